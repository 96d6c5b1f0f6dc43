"""Model Context Protocol, both ways: tools of MCP servers for a runtime, and our tools as an MCP server.

Needs the extra `mcp` (the official Python SDK). Names are fetched when they are first asked for (PEP 562), so
that `smolcall --help`, which imports the command, does not load the SDK.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from agent_runtime.lazy_names import lazy_names

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


def _check_installed() -> None:
    if importlib.util.find_spec("mcp") is None:
        raise ImportError("integrations.mcp needs the official MCP SDK: pip install 'smolcall[mcp]'")


__getattr__, __dir__ = lazy_names(__name__, _HOMES, check=_check_installed)

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
