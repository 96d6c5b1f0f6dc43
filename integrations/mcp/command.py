"""`smolcall mcp`: offer tools, look at what a server offers, or talk with its tools.

    smolcall mcp serve --tools tools.py
    smolcall mcp list uvx mcp-server-time
    smolcall mcp chat http://localhost:8000/mcp

This module is imported whenever `smolcall` starts, so everything of weight is imported where it is used.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_runtime.cli.discovered import CommandContext

    from .client import McpTools

DONE, INTERRUPTED = 0, 130


class McpCommand:
    """The command, as `agent_runtime.cli.discovered` asks for it."""

    purpose = "offer tools over the Model Context Protocol, or use those of a server"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """What may be typed beyond what every command takes."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        serve = actions.add_parser("serve", help="offer tools, over stdio unless --http is given")
        serve.add_argument(
            "--tools", action="append", required=True, metavar="SOURCE", help="a .py file, or module:name"
        )
        serve.add_argument("--http", type=int, metavar="PORT", help="listen on this port (0: a free one)")
        serve.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
        serve.add_argument(
            "--api-key",
            metavar="KEY",
            default=os.environ.get("SMOLCALL_API_KEY"),
            help="what clients must send as a bearer token; or SMOLCALL_API_KEY",
        )
        for name, says in (
            ("list", "show what a server offers, and what of it cannot be honoured"),
            ("chat", "talk with a model that may call a server's tools"),
        ):
            action = actions.add_parser(name, help=says)
            action.add_argument(
                "server",
                nargs=argparse.REMAINDER,
                help="a command line, an address, or an mcpServers .json file",
            )

    def run(self, arguments: argparse.Namespace, context: CommandContext) -> int:
        """Do it.

        Raises:
            AgentRuntimeError: tools or a server cannot be used.
        """
        _check_installed()
        action = {"serve": _serve, "list": _list, "chat": _chat}[arguments.action]
        asyncio.run(action(arguments, context))
        return DONE


COMMAND = McpCommand()


def _check_installed() -> None:
    from agent_runtime import ConfigError

    if importlib.util.find_spec("mcp") is None:
        raise ConfigError("smolcall mcp needs the official MCP SDK: pip install 'smolcall[mcp]'")


async def _serve(arguments: argparse.Namespace, context: CommandContext) -> None:
    from agent_runtime.cli.tools_argument import read_tools

    from .server import serve_http, serve_stdio

    tools = read_tools(arguments.tools)
    if arguments.http is None:
        if sys.stdin.isatty():  # somebody wonders why nothing happens
            _end_on_interrupt()
            context.progress.print("waiting for an MCP client on standard input; Ctrl-C ends, --http listens")
        await serve_stdio(tools, deployment=context.deployment)
    else:
        await serve_http(
            tools,
            host=arguments.host,
            port=arguments.http,
            api_key=arguments.api_key,
            deployment=context.deployment,
        )


def _end_on_interrupt() -> None:
    """Let Ctrl-C end the program: reading from a terminal, the SDK waits for a line that will not come."""
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, os._exit, INTERRUPTED)
    except NotImplementedError:  # Windows
        pass


async def _list(arguments: argparse.Namespace, context: CommandContext) -> None:
    from rich.table import Table

    from agent_runtime.cli.screen import visible

    async with _tools_of(arguments.server) as mcp:
        table = Table("tool", "arguments", "description")
        for tool in mcp.tools:
            names = [
                prop.name if prop.is_required else f"{prop.name}?" for prop in tool.call_shape.properties
            ]
            row = (tool.name, ", ".join(names), tool.description.split("\n")[0])
            table.add_row(*(visible(text) for text in row))
        for refused in mcp.refused:
            row = (refused.name, "cannot be honoured", str(refused.error))
            table.add_row(*(visible(text) for text in row), style="red")
        context.answers.print(table)


async def _chat(arguments: argparse.Namespace, context: CommandContext) -> None:
    from agent_runtime.cli.chat import chat

    async with _tools_of(arguments.server) as mcp, context.load() as runtime:
        for refused in mcp.refused:
            context.progress.print(f"left out: {refused.error}", style="yellow", markup=False)
        await chat(runtime, mcp.tools, console=context.answers)


def _tools_of(given: Sequence[str]) -> McpTools:
    """The server that was typed; what cannot be honoured is left out and told of."""
    from agent_runtime import ConfigError

    from .client import McpTools

    server = [*given[1:]] if given and given[0] == "--" else [*given]
    if not server:
        raise ConfigError("give a server: a command line, an address, or an mcpServers .json file")
    is_address = server[0].startswith(("http://", "https://"))
    if is_address and len(server) > 1:
        raise ConfigError("one address at a time: write several into an mcpServers .json file")
    if server[0].endswith(".json") and len(server) == 1:
        return McpTools.from_file(server[0], on_unusable="skip")
    return McpTools({"server": server[0] if is_address else server}, on_unusable="skip")
