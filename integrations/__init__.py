"""Thin modules that join the runtime to other libraries; each one's dependency is an extra.

None is part of this version. Tools of LangChain are already understood by `agent_runtime.tool`.
"""

from __future__ import annotations

__all__: list[str] = []
