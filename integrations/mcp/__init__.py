"""Model Context Protocol, both ways: tools of MCP servers for a runtime, and our tools as an MCP server.

Needs the extra `mcp` (the official Python SDK). `python -m integrations.mcp` is the command line.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("mcp") is None:
    raise ImportError("integrations.mcp needs the official MCP SDK: pip install 'smolcall[mcp]'")

from .client import McpTools, RefusedTool
from .config import ServerConfig, read_servers
from .connection import McpConnectionError
from .server import mcp_server, serve_http, serve_stdio

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
