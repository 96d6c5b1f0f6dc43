"""Runs with the server's own tools, as the chat page asks for them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent_runtime import AgentRuntime, OverloadedError, tool
from agent_runtime.testing import ScriptedEngine, call, calls

from ..served import WEATHER_TOOL, Served, served

HELLO = [{"role": "user", "content": "Hello"}]


def get_weather(city: str) -> str:
    """Current weather for a city.

    Args:
        city: City name.
    """
    if city == "Atlantis":
        raise ValueError("no such city")
    return f"sunny in {city}"


async def run(server: Served, **body: Any) -> tuple[int, list[dict[str, Any]]]:
    """Status and events of a run; an answer that is no stream is its only event."""
    async with server.client.post("/v1/runs", json={"messages": HELLO, **body}) as answer:
        if answer.content_type != "text/event-stream":
            return answer.status, [await answer.json()]
        parts = [part.removeprefix("data: ") for part in (await answer.text()).split("\n\n") if part]
        return answer.status, [json.loads(part) for part in parts if part != "[DONE]"]


async def test_a_run_tells_calls_results_and_the_answer() -> None:
    async with served(calls(get_weather={"city": "Oslo"}), "It is sunny.", tools=[get_weather]) as server:
        status, events = await run(server)
        assert await server.metric("smolcall_tool_calls_total") == 1

    assert status == 200
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["turn_started", "call_started", "call"]
    assert kinds[-1] == "run"
    (made,) = [event["call"] for event in events if event["type"] == "call"]
    assert made["slots"]["city"]["value"] == "Oslo"
    (result,) = [event for event in events if event["type"] == "result"]
    assert (result["status"], result["message"]) == ("ok", "sunny in Oslo")
    assert events[-1]["output"] == "It is sunny."
    assert [message["role"] for message in events[-1]["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


async def test_a_tool_that_fails_does_not_end_the_run() -> None:
    async with served(calls(get_weather={"city": "Atlantis"}), "Sorry.", tools=[get_weather]) as server:
        _, events = await run(server)

    assert [event["status"] for event in events if event["type"] == "result"] == ["failed"]
    assert events[-1]["output"] == "Sorry."


async def test_turns_are_limited_and_then_an_answer_is_asked_for() -> None:
    engine = ScriptedEngine(
        calls(get_weather={"city": "Oslo"}), calls(get_weather={"city": "Rome"}), "Enough."
    )
    async with served(runtime=AgentRuntime(engine), tools=[get_weather], max_turns=2) as server:
        _, events = await run(server)

    assert events[-1]["output"] == "Enough."
    assert engine.orders[-1].tool_choice.mode == "none"


async def test_only_tools_that_can_be_run_are_offered() -> None:
    async with served(
        "Fine.", tools=[get_weather, {**WEATHER_TOOL, "function": {"name": "other"}}]
    ) as server:
        async with server.client.get("/v1/tools") as answer:
            listed = (await answer.json())["data"]

    assert [one["name"] for one in listed] == ["get_weather"]
    assert listed[0]["parameters"]["required"] == ["city"]


@pytest.mark.parametrize("body", [{"messages": []}, {"messages": "x"}, {"tools": []}, {"messages": [{}]}])
async def test_what_cannot_be_is_refused(body: dict[str, Any]) -> None:
    async with served() as server:
        status, (answer,) = await run(server, **body)

    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"


async def test_a_full_queue_has_a_status() -> None:
    async with served(OverloadedError(queued=9, retry_after_s=1)) as server:
        status, _ = await run(server)

    assert status == 429


async def test_a_client_that_goes_away_cancels_the_tool() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Waits."""
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return ""

    async with served(calls(call("wait")), "Done.", tools=[wait]) as server:
        asking = asyncio.ensure_future(run(server))
        await started.wait()
        asking.cancel()
        await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_run_that_takes_too_long_says_so() -> None:
    @tool
    async def wait() -> str:
        """Waits."""
        await asyncio.Event().wait()
        return ""

    async with served(calls(call("wait")), "Done.", tools=[wait], request_timeout_s=0.2) as server:
        _, events = await run(server)

    assert events[-1]["error"]["code"] == "deadline"
