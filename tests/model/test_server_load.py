"""Two hundred connections at once against the embedded model, with slow and vanishing clients among them."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psutil
import pytest

from ..served import WEATHER_TOOL

CONNECTIONS = 200
WAVES = 3
GROWTH_MB = 24.0

SERVER = """
import asyncio, sys
from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.server import ServerConfig, serve

async def main():
    deployment = DeploymentConfig(max_batch=4, max_queue=24, max_tokens=48)
    config = ServerConfig(
        port=0, rate_per_minute=0, max_connections=400, body_timeout_s=1.0, header_timeout_s=2.0,
        write_timeout_s=2.0,
    )
    async with AgentRuntime.load(deployment=deployment) as runtime:
        await serve(
            runtime, config, on_listening=lambda url: print(url, flush=True),
            on_ready=lambda: print("ready", flush=True),
        )

asyncio.run(main())
"""

QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What's the weather in Oslo?"}],
    "tools": [WEATHER_TOOL],
    "tool_choice": "required",
}
WORDS: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 24,
    "stream": True,
}

KINDS = {"call": 90, "stream": 30, "slow body": 20, "gone in body": 20, "gone after": 25, "slow reader": 15}


class Load:
    """Clients of every kind, and what became of those that waited for an answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.outcomes: Counter[tuple[str, int]] = Counter()

    async def wave(self, seed: int) -> None:
        """All clients at once, in some order."""
        kinds = [kind for kind, number in KINDS.items() for _ in range(number)]
        assert len(kinds) == CONNECTIONS
        random.Random(seed).shuffle(kinds)
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(self._client(kind))

    async def _client(self, kind: str) -> None:
        body = json.dumps(WORDS if kind in ("stream", "slow reader") else QUESTION).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=2**20)
        try:
            is_broken = kind in ("slow body", "gone in body")
            writer.write(head + (body[:10] if is_broken else body))
            await writer.drain()
            if kind in ("gone in body", "gone after"):
                return
            if kind == "slow reader":
                await reader.readexactly(1)
                await asyncio.sleep(0.2)
            self._note(kind, await reader.read())
        finally:
            writer.close()

    def _note(self, kind: str, answer: bytes) -> None:
        """An answer is whole: a status, and a body that ends as it should."""
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 200:
            assert json.loads(body)["error"]["message"]
        elif kind in ("stream", "slow reader"):
            assert b"data: [DONE]" in body
        else:
            assert json.loads(body)["choices"][0]["message"]["tool_calls"]
        self.outcomes[kind, status] += 1

    async def wait_quiet(self) -> None:
        """Wait until nothing is being answered or computed any more."""
        async with aiohttp.ClientSession(self.url) as client:
            while True:
                async with client.get("/metrics") as answer:
                    rows = [row for row in (await answer.text()).splitlines() if not row.startswith("#")]
                numbers = {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows)}
                busy = (
                    numbers["smolcall_engine_active_turns"],
                    numbers["smolcall_engine_queue_length"],
                    numbers["smolcall_http_requests_in_flight"] - 1,  # the one that asks
                )
                if not any(busy):
                    return


@asynccontextmanager
async def loaded_server() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A server in a process of its own, with its model loaded."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        assert await process.stdout.readline() == b"ready\n"
        yield url, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.slow
async def test_every_request_of_two_hundred_clients_is_answered_or_refused_and_memory_stays() -> None:
    async with loaded_server() as (url, process):
        load = Load(url)
        memory = psutil.Process(process.pid)
        megabytes = []
        for seed in range(WAVES):
            await load.wave(seed)
            await load.wait_quiet()
            megabytes.append(memory.memory_info().rss / 2**20)
        process.send_signal(signal.SIGTERM)
        status = await process.wait()

    told = Counter({kind: 0 for kind in KINDS})
    for (kind, _), number in load.outcomes.items():
        told[kind] += number
    for kind in ("call", "stream", "slow reader", "slow body"):
        assert told[kind] == WAVES * KINDS[kind]
    statuses = {status for _, status in load.outcomes}
    assert statuses <= {200, 408, 429}
    assert load.outcomes["call", 200] > 0
    assert load.outcomes["stream", 200] > 0
    assert status == 0
    # The first wave fills caches and pools; what later ones add would go on adding.
    assert megabytes[-1] - megabytes[0] < GROWTH_MB, megabytes
