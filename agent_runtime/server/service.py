"""Starting, running and ending the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from aiohttp import web

from ..errors import ConfigError
from ..runtime import AgentRuntime
from ..tools import bind_tools
from .app import Readiness, build_app
from .config import ServerConfig
from .connection import Connections, connection_options
from .gate import Gate
from .metrics import Metrics

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Service:
    """One listening server over a runtime, which stays its caller's to close.

    Args:
        runtime: answers.
        config: where to listen, who may ask and how much.
        tools: what the chat page's questions may call; anything `agent_runtime.tool` takes.

    Raises:
        SchemaError: a tool cannot be honoured.
    """

    def __init__(self, runtime: AgentRuntime, config: ServerConfig, tools: Iterable[Any] = ()) -> None:
        self._runtime = runtime
        self._config = config
        self._tools = bind_tools(tools)
        self._readiness = Readiness()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._gate: Gate | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the port it really got."""
        assert self._listener is not None, "start it first"
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self) -> None:
        """Listen. Requests are answered at once; those that need the model wait until it is loaded.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        metrics = Metrics(lambda: self._runtime.statistics().engine, self._num_connections)
        self._gate = Gate(self._config, metrics)
        app = build_app(
            self._runtime,
            self._config,
            gate=self._gate,
            metrics=metrics,
            readiness=self._readiness,
            tools=self._tools,
        )
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.5, **connection_options(self._config)
        )
        await self._runner.setup()
        assert self._runner.server is not None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                Connections(self._runner.server, self._config),
                self._config.host,
                self._config.port,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen at {self._config.host} port {self._config.port}: {error.strerror or error}; "
                "choose another with --host or --port"
            ) from error
        for listening in self._listener.sockets:
            _give_up_on_silence(listening, self._config.write_timeout_s)

    async def warm_up(self) -> None:
        """Load the model, and be ready from then on.

        Raises:
            ConfigError: it cannot be loaded.
        """
        await self._runtime.warm_up()
        self._readiness.is_loaded = True

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Refuse what is new, finish what runs, and end. Idempotent.

        Args:
            grace_s: seconds for what runs; then it is cancelled. A request's own limit when left out.
        """
        if self._runner is None or self._gate is None:
            return
        self._gate.is_closing = True
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.request_timeout_s if grace_s is None else grace_s):
                await self._gate.wait_idle()
        await self._runner.cleanup()
        self._runner = None

    def _num_connections(self) -> int:
        return (
            0 if self._runner is None or self._runner.server is None else len(self._runner.server.connections)
        )


async def serve(
    runtime: AgentRuntime,
    config: ServerConfig,
    *,
    tools: Iterable[Any] = (),
    on_listening: Callable[[str], None] = lambda url: None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs. A second signal ends at once.

    Args:
        runtime: answers; stays its caller's to close.
        config: where to listen, who may ask and how much.
        tools: what the chat page's questions may call.
        on_listening: told the address once it can be connected to.
        on_ready: told once the model is loaded.

    Raises:
        ConfigError: the address cannot be listened at, or the model cannot be loaded.
    """
    service = Service(runtime, config, tools)
    async with _signals() as asked:
        await service.start()
        on_listening(service.url)
        ending = asyncio.ensure_future(asked.wait())
        loading = asyncio.ensure_future(service.warm_up())
        try:
            await asyncio.wait((ending, loading), return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
                on_ready()
                await ending
            logger.info("shutting down: what runs is finished first")
            asked.clear()
            await _first(service.stop(), asked.wait())
        finally:
            for task in (ending, loading):
                task.cancel()
            await asyncio.wait((ending, loading))
            await service.stop(grace_s=0)


@contextlib.asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Event]:
    """An event that each signal to end sets; where loops know no signals, Ctrl-C raises as ever."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for number in _SIGNALS:
            loop.add_signal_handler(number, asked.set)
    try:
        yield asked
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def _first(*waits: Any) -> None:
    """Wait for one of them, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _give_up_on_silence(listening: Any, seconds: float) -> None:
    """Have the system cut connections, accepted later, whose peer takes nothing for so long (Linux)."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, option, int(1000 * seconds))
