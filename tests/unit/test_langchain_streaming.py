"""Streams of the chat model: chunks that add up to the message, calls as they settle, events, cancelling."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.utils.json import parse_partial_json
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from agent_runtime import (
    AgentRuntime,
    ArgumentsDelta,
    CallReady,
    CallStarted,
    DeploymentConfig,
    ReasoningDelta,
    TextDelta,
    Turn,
    TurnStarted,
    Usage,
)
from agent_runtime.testing import Reply, ScriptedEngine, call, calls
from agent_runtime.turn_engine import OnEvent, TurnOrder
from integrations.langchain import ChatSmolLM3, argument_report
from integrations.langchain.turns import spoiling_text

pytestmark = pytest.mark.filterwarnings(
    "ignore:The method `BaseChatModel._a?chat_model_stream_v3` is in beta"
)


def get_weather(city: str, days: int = 1) -> dict[str, Any]:
    """Current weather for a city."""
    return {"city": city}


def get_time(zone: str) -> str:
    """Current time in a zone."""
    return zone


QUESTION = "What's the weather in Oslo for 5 days?"
TOOLS = [get_weather, get_time]


def scripted(*replies: Reply, **fields: Any) -> ChatSmolLM3:
    return ChatSmolLM3(runtime=AgentRuntime(ScriptedEngine(*replies)), **fields)


def added(chunks: Iterable[Any]) -> AIMessageChunk:
    whole: AIMessageChunk | None = None
    for chunk in chunks:
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


USAGE = Usage(prompt_tokens=7, completion_tokens=5, reasoning_tokens=2)
TURNS = [
    pytest.param(Turn(content="It is sunny.", usage=USAGE), id="words"),
    pytest.param(Turn(content="Sunny.", reasoning="Hm.", usage=USAGE), id="thought"),
    pytest.param(calls(call("get_weather", {"city": "Oslo", "days": 5})), id="call"),
    pytest.param(
        calls(
            call("get_weather", {"city": "Oslo"}),
            call("get_time", {"zone": "UTC"}),
            call("get_time", {"zone": "X"}),
        ),
        id="calls",
    ),
    pytest.param(
        replace(calls(call("get_time", {"zone": "UTC"})), content="Let me see."), id="words and call"
    ),
    pytest.param(calls(call("get_weather", {"city": 'O"s\\lo é'})), id="escapes"),
]


class ThinkingEngine(ScriptedEngine):
    """A scripted engine that also tells its thoughts."""

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        def tell(event: Any) -> None:
            assert on_event is not None
            on_event(event)
            if isinstance(event, TurnStarted) and isinstance(self._replies[0], Turn):
                for letter in self._replies[0].reasoning:
                    on_event(ReasoningDelta(text=letter))

        return await super().turn(order, tell if on_event else None)


def model_of(turn: Turn, **fields: Any) -> ChatSmolLM3:
    return ChatSmolLM3(runtime=AgentRuntime(ThinkingEngine(turn)), **fields)


def essence(message: AIMessage) -> Any:
    """What must not depend on how a message was got."""
    blocks = [
        {key: value for key, value in block.items() if key != "index"} for block in message.content_blocks
    ]
    made = [(made["name"], made["args"]) for made in message.tool_calls]
    reports = [(report.name, dict(report.arguments)) for report in argument_report(message)]
    metadata = {
        key: message.response_metadata[key] for key in ("model_name", "model_provider", "finish_reason")
    }
    for block in blocks:
        block.pop("id", None)  # a scripted engine counts on
    return blocks, made, reports, message.usage_metadata, metadata


@pytest.mark.parametrize("output_version", [None, "v1"])
@pytest.mark.parametrize("turn", TURNS)
async def test_every_way_to_ask_gives_the_same_message(turn: Turn, output_version: str | None) -> None:
    bound = model_of(turn, output_version=output_version).bind_tools(TOOLS)
    chunks = [chunk async for chunk in bound.astream(QUESTION)]
    events = bound.stream_events(QUESTION, version="v3")
    assert_valid_event_stream(list(events))
    async_events = await bound.astream_events(QUESTION, version="v3")

    whole = await asyncio.to_thread(bound.invoke, QUESTION)

    assert essence(await bound.ainvoke(QUESTION)) == essence(whole)
    assert essence(added(bound.stream(QUESTION))) == essence(whole)
    assert essence(added(chunks)) == essence(whole)
    assert essence(events.output) == essence(whole)
    assert essence(await async_events.output) == essence(whole)
    assert isinstance(chunks[-1], AIMessageChunk) and chunks[-1].chunk_position == "last"


@pytest.mark.parametrize("fill", ["autoregressive", "verified"])
def test_arguments_are_streamed_as_they_settle(fill: str) -> None:
    model = ChatSmolLM3(deployment={"fill": fill})

    chunks = list(model.bind_tools([get_weather], tool_choice="any").stream(QUESTION))

    parts = [part for chunk in chunks if isinstance(chunk, AIMessageChunk) for part in chunk.tool_call_chunks]
    assert (parts[0]["name"], parts[0]["args"], parts[0]["index"]) == ("get_weather", "", 0)
    assert parts[0]["id"] is not None
    assert sum(bool(part["args"]) for part in parts) > 1
    (made,) = added(chunks).tool_calls
    assert json.loads("".join(part["args"] or "" for part in parts)) == made["args"]


async def test_v2_events_tell_tokens_and_the_end() -> None:
    model = scripted("one two")

    kinds = [event["event"] async for event in model.astream_events("Hello", version="v2")]

    assert kinds[0] == "on_chat_model_start"
    assert kinds.count("on_chat_model_stream") >= 2
    assert kinds[-1] == "on_chat_model_end"


def test_v3_events_carry_the_id_of_the_message() -> None:
    stream = scripted("one two").stream_events("Hello", version="v3")

    first = next(iter(stream))

    assert first["id"] == stream.output.id != ""


async def test_v3_projections_stream_words_thoughts_and_calls() -> None:
    turn = Turn(content="So so.", reasoning="Hm.", usage=USAGE)
    stream = await model_of(turn).astream_events("Hello", version="v3")

    assert [text async for text in stream.reasoning] == ["H", "m", "."]
    assert "".join([text async for text in stream.text]) == "So so."
    assert (await stream.output).usage_metadata == {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 0},
        "output_token_details": {"reasoning": 2},
    }


# What is taken back.


class ToldEngine(ScriptedEngine):
    """Tells these events, whatever the turn says in the end."""

    def __init__(self, turn: Turn, *events: Any) -> None:
        super().__init__(turn)
        self._told = (TurnStarted(), *events)
        self._last = turn

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        for event in self._told:
            if on_event is not None:
                on_event(event)
        return self._last


BROKEN_OFF = ToldEngine(
    Turn(content="", stop_reason="length"),
    CallStarted(call_id="1", name="get_weather"),
    ArgumentsDelta(call_id="1", text='{"city": "'),
    ArgumentsDelta(call_id="1", text="Os"),
)


def test_a_call_that_breaks_off_is_streamed_as_invalid_not_as_half_a_call() -> None:
    bound = ChatSmolLM3(runtime=AgentRuntime(BROKEN_OFF)).bind_tools([get_weather])

    whole = added(bound.stream(QUESTION))
    events = bound.stream_events(QUESTION, version="v3")

    assert whole.tool_calls == []
    assert [(broken["name"], broken["id"]) for broken in whole.invalid_tool_calls] == [("get_weather", "1")]
    assert whole.response_metadata["finish_reason"] == "length"
    assert events.output.tool_calls == []
    assert [broken["name"] for broken in events.output.invalid_tool_calls] == ["get_weather"]


def _repeating(*, abstained: bool = False) -> ToldEngine:
    first = call("get_time", {"zone": "UTC"})
    told: list[Any] = []
    for number in "12":
        told.append(CallStarted(call_id=number, name="get_time"))
        told.append(ArgumentsDelta(call_id=number, text='{"zone": "UTC"}'))
        if number == "1" and not abstained:
            first = replace(first, id="1")
            told.append(CallReady(call=first))
    made = () if abstained else (first,)
    return ToldEngine(Turn(content="", tool_calls=made, stop_reason="tool_calls"), *told)


def test_a_call_that_is_told_only_when_it_is_ready_is_streamed_whole() -> None:
    made = replace(call("get_weather", {"city": "Zürich"}), id="1")
    told = (CallStarted(call_id="1", name="get_weather"), CallReady(call=made))
    engine = ToldEngine(Turn(content="", tool_calls=(made,), stop_reason="tool_calls"), *told)

    whole = added(ChatSmolLM3(runtime=AgentRuntime(engine)).bind_tools([get_weather]).stream(QUESTION))

    assert [made["args"] for made in whole.tool_calls] == [{"city": "Zürich"}]


def test_a_call_that_may_be_a_repeat_is_held_until_it_is_none() -> None:
    whole = added(ChatSmolLM3(runtime=AgentRuntime(_repeating())).bind_tools(TOOLS).stream(QUESTION))

    assert [made["id"] for made in whole.tool_calls] == ["1"]
    assert whole.invalid_tool_calls == []


@pytest.mark.parametrize("where", ["field", "deployment"])
def test_a_call_that_may_be_dropped_for_doubt_is_held_until_it_is_made(where: str) -> None:
    engine, doubt = _repeating(abstained=True), DeploymentConfig(abstain_below=0.9)
    if where == "field":
        model = ChatSmolLM3(runtime=AgentRuntime(engine), abstain_below=0.9)
    else:
        model = ChatSmolLM3(runtime=AgentRuntime(engine, doubt))

    whole = added(model.bind_tools(TOOLS).stream(QUESTION))

    assert whole.tool_calls == whole.invalid_tool_calls == []


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=2), x),
        max_leaves=6,
    ),
    st.data(),
)
def test_spoiled_beginnings_of_json_cannot_be_completed(value: Any, data: st.DataObject) -> None:
    text = json.dumps({"a": value})
    begun = text[: data.draw(st.integers(1, len(text)))]
    if begun.endswith("\\") or "\\u" in begun[-6:]:
        return  # settled text never ends inside an escape

    with pytest.raises((json.JSONDecodeError, ValueError)):
        found = parse_partial_json(begun + spoiling_text(begun))
        if not isinstance(found, dict):
            raise ValueError


# Cancelling.


class HangingEngine(ScriptedEngine):
    """Begins to speak and never ends; knows when it was cancelled."""

    def __init__(self) -> None:
        super().__init__("Hi")
        self.begun, self.cancelled = threading.Event(), threading.Event()

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        try:
            for event in (TurnStarted(), TextDelta(text="Hi")):
                if on_event is not None:
                    on_event(event)
            self.begun.set()
            return await asyncio.Future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_cancelling_ends_the_turn() -> None:
    engine = HangingEngine()
    task = asyncio.ensure_future(ChatSmolLM3(runtime=AgentRuntime(engine)).ainvoke("Hello"))
    await asyncio.to_thread(engine.begun.wait, 10)

    task.cancel()
    await asyncio.wait([task])

    assert engine.cancelled.is_set()


async def test_leaving_an_async_stream_ends_the_turn() -> None:
    engine = HangingEngine()

    stream = ChatSmolLM3(runtime=AgentRuntime(engine)).astream("Hello")
    assert (await anext(stream)).content == "Hi"
    await stream.aclose()

    assert await asyncio.to_thread(engine.cancelled.wait, 10)


def test_leaving_a_synchronous_stream_ends_the_turn() -> None:
    engine = HangingEngine()

    stream = ChatSmolLM3(runtime=AgentRuntime(engine)).stream("Hello")
    assert next(stream).content == "Hi"
    stream.close()

    assert engine.cancelled.wait(10)


async def test_cancelling_stops_the_computation_of_a_real_model() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 400}
    long_call = {"name": "send", "parameters": {"properties": {"x": numbers}, "required": ["x"]}}
    model = ChatSmolLM3(max_tokens=3000, deployment={"prefix_cache_tokens": 0})
    runtime, _ = model._runtime_for(None)
    stream = model.bind_tools([long_call], tool_choice="any").astream("Send me some numbers.")
    await anext(stream)

    await stream.aclose()

    async with asyncio.timeout(20):
        while not runtime.statistics().engine.cancelled:  # noqa: ASYNC110 - the worker tells nobody
            await asyncio.sleep(0.01)
    assert runtime.statistics().engine.active == 0
    assert runtime.statistics().engine.turns == 0
