"""`McpTools`: the tools of any number of MCP servers, ready for `runtime.run(tools=...)`."""

from __future__ import annotations

import asyncio
import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import mcp_types
from mcp import Client

from agent_runtime import ConfigError, SchemaError, Tool

from .config import Server, ServerConfig, as_config, read_servers
from .connection import Connection
from .content import result_value

MAX_PAGES = 100
"""Pages of a tool list that are read; a server whose list never ends must not hang a program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTool:
    """A tool that a server offers and we cannot honour: which, whose, and why."""

    server: str
    name: str
    error: SchemaError


class McpTools:
    """Connections to MCP servers, and the tools they offer.

    Use it with `async with`; leaving ends the connections and the servers that were started. A server that
    dies makes calls fail, readably for the model, and is started again by the next call.

        async with McpTools({"time": ["uvx", "mcp-server-time"], "docs": "http://localhost:8000/mcp"}) as mcp:
            run = await runtime.run("What time is it in Oslo?", tools=[*mcp.tools, my_own_function])

    Args:
        servers: by name: a command line as a list, an address, a `ServerConfig`, or a dict of its fields.
        on_unusable: what to do about a tool whose schema cannot be honoured: `raise` its `SchemaError`, or
            `skip` it and list it in `refused`.
    """

    def __init__(
        self, servers: Mapping[str, Server], *, on_unusable: Literal["raise", "skip"] = "raise"
    ) -> None:
        if not servers:
            raise ConfigError("no MCP server was given: name at least one")
        self._connections = [Connection(name, as_config(name, server)) for name, server in servers.items()]
        self._on_unusable = on_unusable
        self._tools: tuple[Tool, ...] = ()
        self._refused: tuple[RefusedTool, ...] = ()

    @classmethod
    def from_file(cls, path: str | Path, *, on_unusable: Literal["raise", "skip"] = "raise") -> Self:
        """The servers of an `mcpServers` file; see `read_servers`.

        Raises:
            ConfigError: the file cannot be read or honoured.
        """
        return cls(read_servers(path), on_unusable=on_unusable)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What may be called, bound; in the order of the servers and of their lists."""
        return self._tools

    @property
    def refused(self) -> tuple[RefusedTool, ...]:
        """What was skipped because its schema cannot be honoured."""
        return self._refused

    def __iter__(self) -> Iterator[Tool]:
        """The tools."""
        return iter(self._tools)

    async def refresh(self) -> None:
        """Ask every server for its tools again; a run that is under way keeps those it began with.

        Raises:
            McpConnectionError: a server cannot be reached.
            SchemaError: two tools share a name, or one cannot be honoured.
            ConfigError: a tool that was asked for by name is not offered.
        """
        offered = await _together([_offered(connection) for connection in self._connections])
        tools: dict[str, Tool] = {}
        owners: dict[str, str] = {}
        refused: list[RefusedTool] = []
        for connection, listed in zip(self._connections, offered, strict=True):
            for entry in _chosen(connection, listed):
                name = connection.config.prefix + entry.name
                if name in owners:
                    raise SchemaError(_clash(owners[name], connection.name), tool=name, keyword="name")
                owners[name] = connection.name
                try:
                    tools[name] = _bound(connection, entry, name)
                except SchemaError as error:
                    if self._on_unusable == "raise":
                        raise _explained(error, connection.name) from error
                    refused.append(RefusedTool(server=connection.name, name=name, error=error))
        self._tools, self._refused = tuple(tools.values()), tuple(refused)

    async def close(self) -> None:
        """End the connections, and the servers that were started. Idempotent."""
        await _together([connection.close() for connection in self._connections])

    async def __aenter__(self) -> Self:
        """Connect and read the tools."""
        try:
            await self.refresh()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()


async def _together(work: list[Any]) -> list[Any]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _offered(connection: Connection) -> list[mcp_types.Tool]:
    """Everything the server lists, page by page."""
    listed: list[mcp_types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await connection.use(functools.partial(Client.list_tools, cursor=cursor))
        listed.extend(page.tools)
        cursor = page.next_cursor
        if cursor is None:
            return listed
    raise ConfigError(f"MCP server {connection.name!r}: its list of tools has more than {MAX_PAGES} pages")


def _chosen(connection: Connection, listed: list[mcp_types.Tool]) -> list[mcp_types.Tool]:
    wanted = connection.config.tools
    if wanted is None:
        return listed
    by_name = {entry.name: entry for entry in listed}
    for name in wanted:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it offers {', '.join(by_name) or 'none'}"
            raise ConfigError(f"MCP server {connection.name!r} offers no tool {name!r}: {advice}")
    return [by_name[name] for name in wanted]


def _bound(connection: Connection, entry: mcp_types.Tool, name: str) -> Tool:
    config: ServerConfig = connection.config

    async def call(**arguments: Any) -> Any:
        result = await connection.use(lambda client: client.call_tool(entry.name, arguments))
        return result_value(result, entry.output_schema)

    hints = entry.annotations
    is_repeatable = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    return Tool(
        name=name,
        description=entry.description or entry.title or "",
        parameters={"type": "object", **entry.input_schema},
        function=call,
        timeout_s=config.timeout_s,
        is_idempotent=config.trusts_hints and is_repeatable,
    )


def _clash(first: str, second: str) -> str:
    if first == second:
        return f"the MCP server {first!r} lists it twice: leave it out with tools=[...]"
    return (
        f"the MCP servers {first!r} and {second!r} both offer it: give one of them a prefix, "
        f"ServerConfig(prefix='{second}_', ...), or choose with tools=[...]"
    )


def _explained(error: SchemaError, server: str) -> SchemaError:
    return SchemaError(
        f"{error.reason} (offered by the MCP server {server!r}: leave it out with tools=[...], "
        "or pass on_unusable='skip')",
        tool=error.tool,
        path=error.path,
        keyword=error.keyword,
    )
