"""`smolcall serve` as a person starts and ends it: a process with the embedded model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from agent_runtime import AgentRuntime, ConfigError
from agent_runtime.cli import main
from agent_runtime.server import ServerConfig, serve
from agent_runtime.testing import ScriptedEngine, scripted_runtime

from ..served import WEATHER_TOOL, HeldEngine


@asynccontextmanager
async def smolcall(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running `smolcall`, killed when it is left behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent_runtime",
        *arguments,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """The next line of stderr that holds a text."""
    assert process.stderr is not None
    while text not in (line := (await process.stderr.readline()).decode()):
        assert line, f"it ended before it said {text!r}"
    return line


async def test_a_person_starts_asks_and_ends_it() -> None:
    async with smolcall("serve", "--port", "0", SMOLCALL_API_KEY="secret") as process:
        url = (await line_with(process, "http://")).split(" at ")[1].split("/v1")[0]
        headers = {"Authorization": "Bearer secret"}
        async with aiohttp.ClientSession(url, headers=headers) as client:
            body: dict[str, Any] = {
                "model": "smolcall",
                "messages": [{"role": "user", "content": "What's the weather in Oslo?"}],
                "tools": [WEATHER_TOOL],
                "tool_choice": "required",
            }
            async with client.post("/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
                (choice,) = (await answer.json())["choices"]
            (call,) = choice["message"]["tool_calls"]
            assert json.loads(call["function"]["arguments"])["city"] == "Oslo"
            assert call["slots"]["city"]["evidence"] == {"message_index": 0, "start": 22, "end": 26}
            async with client.get("/v1/models", headers={"Authorization": "Bearer wrong"}) as answer:
                assert answer.status == 401
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_it_ends_cleanly_while_the_model_is_still_loading() -> None:
    async with smolcall("serve", "--port", "0") as process:
        await line_with(process, "http://")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "contradicts api_key=None"),
        (["--api-key", ""], "api_key is empty"),
        (["--port", "99999"], "port: Input should be less than or equal to 65535"),
        (["--rate-limit", "-1"], "rate_per_minute"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMOLCALL_API_KEY", raising=False)

    assert main(["serve", "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_taken_port_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2

    assert f"cannot listen at 127.0.0.1 port {port}" in capsys.readouterr().err


def test_an_empty_key_in_the_environment_opens_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOLCALL_API_KEY", "")

    assert main(["serve", "--port", "0"]) == 2
    assert "api_key is empty" in capsys.readouterr().err


async def test_a_signal_lets_what_runs_finish() -> None:
    engine = HeldEngine("Done.")
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AgentRuntime(engine) as runtime:
        serving = asyncio.ensure_future(serve(runtime, ServerConfig(port=0), on_listening=url.set_result))
        async with aiohttp.ClientSession(await url) as client:
            body = {"messages": [{"role": "user", "content": "Hello"}]}
            running = asyncio.ensure_future(client.post("/v1/chat/completions", json=body))
            await engine.started.acquire()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
            engine.released.set()
            assert (await running).status == 200
        await serving


async def test_a_second_signal_ends_at_once() -> None:
    engine = HeldEngine()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AgentRuntime(engine) as runtime:
        serving = asyncio.ensure_future(serve(runtime, ServerConfig(port=0), on_listening=url.set_result))
        async with aiohttp.ClientSession(await url) as client:
            body = {"messages": [{"role": "user", "content": "Hello"}]}
            running = asyncio.ensure_future(client.post("/v1/chat/completions", json=body))
            await engine.started.acquire()
            os.kill(os.getpid(), signal.SIGINT)
            async with client.get("/health") as answer:
                assert answer.status in (200, 503)
            os.kill(os.getpid(), signal.SIGINT)
            await serving
            assert engine.num_cancelled == 1
            with pytest.raises(aiohttp.ClientError):
                await running


async def test_a_model_that_cannot_be_loaded_ends_it() -> None:
    class Unloadable(ScriptedEngine):
        async def warm_up(self) -> None:
            raise ConfigError("no such model")

    with pytest.raises(ConfigError, match="no such model"):
        await serve(AgentRuntime(Unloadable("x")), ServerConfig(port=0))


async def test_cancelling_it_ends_it() -> None:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve(scripted_runtime("x"), ServerConfig(port=0), on_listening=url.set_result)
    )
    await url
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
