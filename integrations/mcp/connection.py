"""One connection to one MCP server, held open by a task of its own.

The SDK's client belongs to the task that opened it, and a transport that breaks cancels that task. Here
that is never the caller's: calls may come from any task, and a server that dies ends calls, not programs.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import math
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

import anyio
import httpx2
from mcp import Client, Implementation, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED

from agent_runtime import AgentRuntimeError, __version__

from .config import ServerConfig

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

HTTP_TIMEOUT = httpx2.Timeout(30.0, read=300.0)
"""Reading takes long: a server may hold a stream open between two events."""

MAX_STDERR_LINES = 20
"""Last lines of a server's error output that are kept to explain why it failed."""


class McpConnectionError(AgentRuntimeError):
    """An MCP server that cannot be reached, did not start, or went away.

    Attributes:
        server: the name it was given.
        stderr: the last lines it wrote to its error output, for a server we started.
    """

    def __init__(self, reason: str, *, server: str, stderr: str = "") -> None:
        self.server = server
        self.stderr = stderr
        said = f"\nits error output ends with:\n{stderr}" if stderr else ""
        super().__init__(f"MCP server {server!r}: {reason}{said}")


@dataclass(frozen=True, slots=True)
class _Link:
    """A client that is connected, and whether its server has told that it forgot the session."""

    client: Client
    forgotten: asyncio.Event


class Connection:
    """A server that is connected to when it is first used, and again after it was lost.

    Args:
        name: what the server is called in messages.
        config: how to reach it.
    """

    def __init__(self, name: str, config: ServerConfig) -> None:
        self.name = name
        self.config = config
        self._stderr: collections.deque[str] = collections.deque(maxlen=MAX_STDERR_LINES)
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[None] | None = None
        self._link: _Link | None = None
        self._is_wanted = asyncio.Event()

    async def use(self, work: Callable[[Client], Awaitable[Outcome]]) -> Outcome:
        """Do something with the client.

        Raises:
            McpConnectionError: there is no connection, or it was lost on the way; the next use tries anew.
            MCPError: the server refused.
        """
        link = await self._connected()
        try:
            return await work(link.client)
        except MCPError as error:
            is_lost = error.code == CONNECTION_CLOSED
            if not is_lost and not link.forgotten.is_set():
                raise
            await self._drop(link)
            if not is_lost:  # refused unseen, so nothing was done: the protocol says to begin a new session
                return await work((await self._connected()).client)
            raise McpConnectionError(
                "the connection was lost during a call, which may or may not have had its effect; "
                "the next call connects again",
                server=self.name,
                stderr=self._last_words(),
            ) from error

    async def _drop(self, link: _Link) -> None:
        async with self._lock:
            if self._link is link:  # else another call has noticed first
                await self._close()

    async def close(self) -> None:
        """End the connection, and the server if we started it."""
        async with self._lock:
            await self._close()

    async def _connected(self) -> _Link:
        async with self._lock:
            if self._link is not None and self._holder is not None and not self._holder.done():
                return self._link
            await self._close()
            return await self._connect()

    async def _connect(self) -> _Link:
        ready: asyncio.Future[_Link] = asyncio.get_running_loop().create_future()
        self._is_wanted = asyncio.Event()
        self._holder = asyncio.create_task(self._hold(ready), name=f"mcp-{self.name}")
        try:
            link = await asyncio.shield(ready)
        except asyncio.CancelledError:
            await self._close()
            raise
        except Exception as error:  # whatever transports and processes may raise
            await self._close()
            raise McpConnectionError(self._why(error), server=self.name, stderr=self._last_words()) from error
        self._link = link
        return link

    async def _close(self) -> None:
        self._link = None
        self._is_wanted.set()
        holder, self._holder = self._holder, None
        if holder is not None:
            await asyncio.wait({holder})

    async def _hold(self, ready: asyncio.Future[_Link]) -> None:
        """Keep the connection open until it is not wanted any more; runs in a task of its own.

        The deadline is one of the scope around everything, lifted once connected: a scope around the
        entering alone would be left while the client's own scopes inside it are still open.
        """
        with anyio.CancelScope(deadline=anyio.current_time() + self.config.connect_timeout_s) as scope:
            try:
                async with AsyncExitStack() as stack:
                    connecting = asyncio.ensure_future(self._cancel_unless_wanted(scope))
                    stack.callback(connecting.cancel)
                    link = await self._enter(stack)
                    connecting.cancel()
                    scope.deadline = math.inf
                    if not ready.done():
                        ready.set_result(link)
                    await self._is_wanted.wait()
            except Exception as error:  # a transport may raise anything, in groups too
                if ready.done():
                    logger.warning("MCP server %s: the connection broke: %s", self.name, _first_cause(error))
                else:
                    ready.set_exception(_first_cause(error))
        if not ready.done():
            ready.set_exception(TimeoutError())

    async def _cancel_unless_wanted(self, scope: anyio.CancelScope) -> None:
        await self._is_wanted.wait()
        scope.cancel()

    async def _enter(self, stack: AsyncExitStack) -> _Link:
        config = self.config
        forgotten = asyncio.Event()
        if config.url is not None:
            http = httpx2.AsyncClient(
                headers=dict(config.headers),
                timeout=HTTP_TIMEOUT,
                event_hooks={"response": [_noticing(forgotten)]},
            )
            transport = streamable_http_client(config.url, http_client=await stack.enter_async_context(http))
        else:
            assert config.command is not None, "ServerConfig has one of the two"
            parameters = StdioServerParameters(
                command=config.command, args=list(config.args), env=dict(config.env), cwd=config.cwd
            )
            self._stderr.clear()
            errors = stack.enter_context(_read_lines(self._take_stderr))
            transport = stdio_client(parameters, errlog=errors)
        info = Implementation(name="smolcall", version=__version__)
        client = await stack.enter_async_context(Client(transport, client_info=info, cache=None))
        return _Link(client, forgotten)

    def _take_stderr(self, line: str) -> None:
        self._stderr.append(line)
        logger.info("MCP server %s: %s", self.name, line)

    def _last_words(self) -> str:
        return "\n".join(f"  {line}" for line in self._stderr)

    def _why(self, error: BaseException) -> str:
        cause = _first_cause(error)
        place = self.config.url or self.config.command
        if isinstance(cause, FileNotFoundError):
            return f"there is no program {place!r}: install it, or give its full path"
        if isinstance(cause, TimeoutError):
            return (
                f"{place} did not introduce itself within {self.config.connect_timeout_s:g} s: "
                "check that it is an MCP server, or raise connect_timeout_s"
            )
        if isinstance(cause, MCPError) and cause.code == CONNECTION_CLOSED:
            return f"{place} ended before it introduced itself: check its arguments"
        return f"{place} could not be connected to: {type(cause).__name__}: {cause}"


def _noticing(forgotten: asyncio.Event) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A hook for responses: a server that restarted answers 404 to a session it does not know."""

    async def notice(response: httpx2.Response) -> None:
        if response.status_code == 404 and "mcp-session-id" in response.request.headers:
            forgotten.set()

    return notice


def _first_cause(error: BaseException) -> BaseException:
    """The innermost first exception of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _read_lines(take: Callable[[str], None]) -> Iterator[TextIO]:
    """A file for a child's error output; its lines are taken in a thread, which any platform can do."""
    read, write = os.pipe()

    def follow() -> None:
        with open(read, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                take(line.rstrip()[:500])

    thread = threading.Thread(target=follow, name="mcp-stderr", daemon=True)
    thread.start()
    with open(write, "w", encoding="utf-8") as file:
        yield file
    thread.join(timeout=1.0)  # ends when the last process that holds the pipe does
