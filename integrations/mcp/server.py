"""Our tools as an MCP server: over the pipes of a program that starts us, or over HTTP.

Calls go through the same executor as a run's: arguments are validated, tools have timeouts and retries, and
what a tool raises becomes a readable failure.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import mcp_types
import uvicorn
from mcp import MCPError, stdio_server
from mcp.server.lowlevel import Server
from mcp_types import INVALID_PARAMS, CallToolResult, ListToolsResult, TextContent
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_runtime import (
    ConfigError,
    DeploymentConfig,
    SchemaError,
    Tool,
    ToolCall,
    ToolExecutor,
    ToolHooks,
    ToolResult,
    __version__,
)
from agent_runtime.result_text import as_json_value
from agent_runtime.tools import bind_tools

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def mcp_server(
    tools: Any,
    *,
    name: str = "smolcall",
    instructions: str | None = None,
    deployment: DeploymentConfig | None = None,
    hooks: ToolHooks | None = None,
    context: Mapping[str, Any] | None = None,
) -> Server[Any]:
    """An MCP server that offers tools; serve it with `serve_stdio`, `serve_http` or the SDK's own means.

    Args:
        tools: anything `runtime.run(tools=...)` takes; each needs a function.
        name: what it says it is called.
        instructions: what a client should know about the tools together.
        deployment: timeouts, retries and sizes of results are read from it.
        hooks: approval of calls, and observers.
        context: values for the tools' hidden parameters, by name.

    Raises:
        SchemaError: a tool cannot be honoured or offered; says why.
    """
    bound = {tool.name: tool for tool in bind_tools(tools)}
    offered = [_described(tool) for tool in bound.values()]
    executor = ToolExecutor(deployment or DeploymentConfig())

    async def list_tools(_: Any, params: mcp_types.PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=offered)

    async def call_tool(_: Any, params: mcp_types.CallToolRequestParams) -> CallToolResult:
        if params.name not in bound:  # the protocol wants an error here, not a failed result
            known = ", ".join(bound) or "none"
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}: there are {known}")
        call = ToolCall(id=uuid4().hex, name=params.name, arguments=params.arguments or {})
        session = executor.session(bound.values(), hooks=hooks, context=context)
        return _as_content(await session.run(call))

    return Server(
        name,
        version=__version__,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_stdio(tools: Any, **settings: Any) -> None:
    """Offer tools to the program that started this one, until it closes the pipe.

    Standard output belongs to the protocol meanwhile; what tools print goes to standard error.

    Args:
        tools: as for `mcp_server`.
        **settings: as for `mcp_server`.
    """
    server = tools if isinstance(tools, Server) else mcp_server(tools, **settings)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(
    tools: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    path: str = "/mcp",
    api_key: str | None = None,
    **settings: Any,
) -> None:
    """Offer tools over streamable HTTP until the program is interrupted.

    Args:
        tools: as for `mcp_server`.
        host: where to listen. Anything but this machine itself needs an `api_key`.
        port: where to listen; 0 takes a free one, which is logged.
        path: the address' path.
        api_key: what clients must send as `Authorization: Bearer ...`.
        **settings: as for `mcp_server`.

    Raises:
        ConfigError: it would listen to the network without a key.
    """
    if api_key is None and not _is_loopback(host):
        raise ConfigError(
            f"listening on {host} lets anyone in the network call the tools: "
            "give an api_key, or use 127.0.0.1"
        )
    server = tools if isinstance(tools, Server) else mcp_server(tools, **settings)
    app: ASGIApp = server.streamable_http_app(streamable_http_path=path, host=host)
    if api_key is not None:
        app = _KeyCheck(app, api_key)
    await uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="info")).serve()


class _KeyCheck:
    """Lets requests through that carry the key."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await send(
                    {
                        "type": "http.response.start",
                        "status": 401,
                        "headers": [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")],
                    }
                )
                await send(
                    {"type": "http.response.body", "body": b"a key is needed: Authorization: Bearer ..."}
                )
                return
        await self._app(scope, receive, send)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _described(tool: Tool) -> mcp_types.Tool:
    if tool.function is None:
        raise SchemaError(
            "it is only described: an MCP client could call it, but nothing would run", tool=tool.name
        )
    if _NAME.fullmatch(tool.name) is None:
        raise SchemaError(
            "MCP clients refuse this name: use 1 to 128 letters, digits, '_', '-' and '.', "
            "for example with tool(x, name='...')",
            tool=tool.name,
            keyword="name",
        )
    return mcp_types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema={"type": "object", **tool.parameters},
        annotations=mcp_types.ToolAnnotations(idempotent_hint=True) if tool.is_idempotent else None,
    )


def _as_content(result: ToolResult) -> CallToolResult:
    """The text a model reads, and the value itself where it is an object, as programs want it."""
    content: list[mcp_types.ContentBlock] = [TextContent(text=result.message)]
    if result.status == "failed":
        return CallToolResult(content=content, is_error=True)
    value = as_json_value(result.value)
    return CallToolResult(content=content, structured_content=value if isinstance(value, dict) else None)
