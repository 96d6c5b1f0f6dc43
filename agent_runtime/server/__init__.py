"""The HTTP server: OpenAI's chat completions over one `AgentRuntime`, and a page to talk with it.

`smolcall serve` runs it; a program of yours can with `serve(runtime, ServerConfig(...))`. aiohttp and
prometheus_client are imported here and nowhere else in the package.
"""

from __future__ import annotations

from .config import ServerConfig
from .service import Service, serve

__all__ = ["ServerConfig", "Service", "serve"]
