"""`python -m integrations.mcp`: offer tools, look at what a server offers, or talk with its tools."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from rich.console import Console
from rich.table import Table

from agent_runtime import AgentRuntime, AgentRuntimeError, ConfigError
from agent_runtime.cli.chat import chat
from agent_runtime.cli.screen import visible
from agent_runtime.cli.tools_argument import read_tools

from .client import McpTools
from .server import serve_http, serve_stdio


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(parsed.run(parsed))
    except AgentRuntimeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m integrations.mcp", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve", help="offer tools as an MCP server, over stdio unless --http is given"
    )
    serve.add_argument("--tools", action="append", required=True, help="a .py file, or module:name")
    serve.add_argument("--http", type=int, metavar="PORT", help="listen on this port instead")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--api-key", default=os.environ.get("SMOLCALL_API_KEY"), help="or SMOLCALL_API_KEY")
    serve.set_defaults(run=_serve)

    for name, run, says in (
        ("list", _list, "show what a server offers, and what cannot be honoured"),
        ("chat", _chat, "talk with a model that may call a server's tools"),
    ):
        command = commands.add_parser(name, help=says)
        command.add_argument(
            "server", nargs="+", help="a command line, an address, or an mcpServers .json file"
        )
        command.set_defaults(run=run)
    return parser


async def _serve(parsed: argparse.Namespace) -> None:
    tools = read_tools(parsed.tools)
    if parsed.http is None:
        await serve_stdio(tools)
    else:
        await serve_http(tools, host=parsed.host, port=parsed.http, api_key=parsed.api_key)


async def _list(parsed: argparse.Namespace) -> None:
    async with _tools_of(parsed.server) as mcp:
        table = Table("tool", "arguments", "description")
        for tool in mcp.tools:
            arguments = ", ".join(
                prop.name if prop.is_required else f"{prop.name}?" for prop in tool.call_shape.properties
            )
            table.add_row(
                *(visible(text) for text in (tool.name, arguments, tool.description.split("\n")[0]))
            )
        for refused in mcp.refused:
            table.add_row(
                visible(refused.name), "cannot be honoured", visible(str(refused.error)), style="red"
            )
        Console().print(table)


async def _chat(parsed: argparse.Namespace) -> None:
    async with _tools_of(parsed.server) as mcp, AgentRuntime.load() as runtime:
        await chat(runtime, mcp.tools, console=Console())


def _tools_of(given: list[str]) -> McpTools:
    if len(given) == 1 and given[0].endswith(".json"):
        return McpTools.from_file(given[0], on_unusable="skip")
    if len(given) == 1 and given[0].startswith(("http://", "https://")):
        return McpTools({"server": given[0]}, on_unusable="skip")
    if given[0].startswith(("http://", "https://")):
        raise ConfigError("several servers: write them into an mcpServers .json file")
    return McpTools({"server": given}, on_unusable="skip")


if __name__ == "__main__":
    raise SystemExit(main())
