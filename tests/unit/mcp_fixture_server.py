"""An MCP server made with the official SDK, as somebody else would write one; tests start it as a process."""

from __future__ import annotations

import asyncio
import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ImageContent, TextContent

server = MCPServer("fixture")
cancelled = 0


@server.tool()
def forecast(city: str, days: int = 1) -> dict[str, object]:
    """Weather forecast for a city."""
    return {"city": city, "days": days, "sky": "clear"}


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def divide(a: float, b: float) -> float:
    """Divide a number by another."""
    if b == 0:
        raise ToolError("division by zero")
    return a / b


@server.tool()
def picture() -> CallToolResult:
    """A picture with words."""
    image = ImageContent(data="aGVsbG8=", mime_type="image/png")
    return CallToolResult(content=[TextContent(text="a cat"), image])


@server.tool()
async def hang() -> str:
    """Never comes back."""
    global cancelled
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled += 1
        raise
    return "never"


@server.tool()
def num_cancelled() -> int:
    """How many calls of `hang` were cancelled."""
    return cancelled


@server.tool()
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


@server.tool()
def process_id() -> int:
    """Which process this is."""
    return os.getpid()


if __name__ == "__main__":
    sys.stderr.write("fixture server is up\n")
    server.run("stdio")
