"""Model Context Protocol, both ways: tools of MCP servers for a runtime, and our tools as an MCP server.

Needs the extra `mcp` (the official Python SDK). Names are fetched when they are first asked for (PEP 562), so
that `smolcall --help`, which imports the command, does not load the SDK.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import McpTools, RefusedTool
    from .config import ServerConfig, read_servers
    from .connection import McpConnectionError
    from .server import mcp_server, serve_http, serve_stdio

_HOMES = {
    "client": ("McpTools", "RefusedTool"),
    "config": ("ServerConfig", "read_servers"),
    "connection": ("McpConnectionError",),
    "server": ("mcp_server", "serve_http", "serve_stdio"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if importlib.util.find_spec("mcp") is None:
        raise ImportError("integrations.mcp needs the official MCP SDK: pip install 'smolcall[mcp]'")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})


__all__ = [
    "McpConnectionError",
    "McpTools",
    "RefusedTool",
    "ServerConfig",
    "mcp_server",
    "read_servers",
    "serve_http",
    "serve_stdio",
]
