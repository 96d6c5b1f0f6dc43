"""A server under test: listening on a free port, with a client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from agent_runtime import AgentRuntime, DeploymentConfig, Turn
from agent_runtime.events import TextDelta, TurnStarted
from agent_runtime.server import ServerConfig, Service
from agent_runtime.testing import ScriptedEngine, scripted_runtime
from agent_runtime.turn_engine import OnEvent, TurnOrder

WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather for a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Served:
    """A listening server.

    Attributes:
        url: where.
        client: asks it; paths are relative to `url`.
        service: the server itself.
    """

    url: str
    client: aiohttp.ClientSession
    service: Service

    async def chat(self, *, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, dict[str, Any]]:
        """Ask for a chat completion; status and body of the answer."""
        body.setdefault("messages", [{"role": "user", "content": "Hello"}])
        async with self.client.post("/v1/chat/completions", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def metric(self, line: str) -> float:
        """The value of one line of `/metrics`; 0 where it is not there."""
        async with self.client.get("/metrics") as answer:
            text = await answer.text()
        found = [float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.rsplit(" ", 1)[0] == line]
        return found[0] if found else 0.0

    async def wait_metric(self, line: str) -> None:
        """Wait until a line of `/metrics` is no longer 0."""
        while not await self.metric(line):
            continue  # each round asks the server, which goes on meanwhile


class HeldEngine(ScriptedEngine):
    """Begins a turn with a word, then waits until it is released or cancelled."""

    def __init__(self, reply: str = "Hello again") -> None:
        super().__init__(reply)
        self.started = asyncio.Semaphore(0)
        self.ended = asyncio.Semaphore(0)
        self.released = asyncio.Event()
        self.num_cancelled = 0

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        """Wait, then reply; counts who gives up meanwhile."""
        self.started.release()
        try:
            if on_event is not None:
                on_event(TurnStarted())
                on_event(TextDelta(text="Well, "))
            await self.released.wait()
            return await super().turn(order, on_event)
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.ended.release()


@asynccontextmanager
async def served(
    *replies: Any,
    runtime: AgentRuntime | None = None,
    tools: Any = (),
    deployment: DeploymentConfig | None = None,
    is_warm: bool = True,
    **config: Any,
) -> AsyncIterator[Served]:
    """A server whose model says what it is told to, unless a runtime is given."""
    runtime = runtime or scripted_runtime(*(replies or ("Hi there.",)), deployment=deployment)
    service = Service(runtime, ServerConfig(port=0, **config), tools)
    await service.start()
    try:
        if is_warm:
            await service.warm_up()
        async with aiohttp.ClientSession(service.url) as client:
            yield Served(service.url, client, service)
    finally:
        await service.stop(grace_s=0)
        runtime.close()
