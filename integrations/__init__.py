"""Thin packages that join the runtime to other libraries; each one's dependency is an extra of its name.

Import the package you need (`integrations.mcp`); this one imports none of them. Tools of LangChain are
understood by `agent_runtime.tool` as they are.
"""

from __future__ import annotations

__all__: list[str] = []
