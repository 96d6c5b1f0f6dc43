"""A reply of a schema: offered as a tool, settled into words."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime import (
    ArgumentsDelta,
    CallReady,
    CallStarted,
    SchemaError,
    SlotDetail,
    TextDelta,
    ToolCall,
    Turn,
    tool,
)
from agent_runtime.structured_reply import SettledTurn, StructuredReply, name_choice
from agent_runtime.testing import call, calls, scripted_runtime
from agent_runtime.turn_engine import ToolChoice

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@tool
def get_weather(city: str) -> str:
    """Current weather.

    Args:
        city: Where.
    """
    return city


def test_alone_the_reply_is_required() -> None:
    reply = StructuredReply.of_schema(PLACE, name="place")

    for choice in (ToolChoice(), ToolChoice(mode="none")):
        offer = reply.offer([], choice)
        assert [one.name for one in offer.tools] == ["place"]
        assert (offer.tool_choice, offer.parallel_tool_calls) == (name_choice("place"), False)


def test_beside_tools_either_is_required() -> None:
    offer = StructuredReply.of_schema(PLACE, name="place").offer([get_weather])

    assert [one.name for one in offer.tools] == ["get_weather", "place"]
    assert offer.tool_choice == "required"


def test_tools_that_may_not_be_called_are_not_offered() -> None:
    offer = StructuredReply.of_schema(PLACE).offer([get_weather], ToolChoice(mode="none"))

    assert [one.name for one in offer.tools] == ["reply"]


def test_a_required_tool_leaves_no_room_for_a_reply() -> None:
    offer = StructuredReply.of_schema(PLACE).offer(
        [get_weather], ToolChoice(mode="required", name="get_weather")
    )

    assert [one.name for one in offer.tools] == ["get_weather"]
    assert offer.tool_choice == name_choice("get_weather")


def test_a_name_that_is_taken_is_changed() -> None:
    reply = StructuredReply.of_schema(PLACE, name="get_weather", taken=["get_weather"])

    assert reply.tool.name == "get_weather_reply"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ({"type": "string"}, "Oslo"),
        ({"type": "object"}, {"any": ["thing"]}),
        ({"$ref": "#/$defs/N", "$defs": {"N": {"type": "integer", "minimum": 3}}}, 5),
        ({"anyOf": [{"type": "null"}, PLACE]}, None),
        (PLACE, {"city": "Oslo"}),
    ],
)
def test_any_json_value_can_be_a_reply(schema: dict[str, Any], value: Any) -> None:
    reply = StructuredReply.of_schema(schema)
    arguments = {"value": value} if reply.is_wrapped else value
    assert not reply.tool.validate(arguments)

    settled = reply.settle(calls(call("reply", arguments)))

    assert json.loads(settled.turn.content) == value
    assert settled.turn.tool_calls == ()
    assert settled.turn.stop_reason == "stop"


def test_paths_of_the_report_begin_at_the_reply() -> None:
    reply = StructuredReply.of_any_object()
    made = ToolCall(
        id="1",
        name="reply",
        arguments={"value": {"a": 1}},
        slots={"value.a": SlotDetail(value=1, confidence=0.5), "value": SlotDetail(value={}, confidence=1)},
    )

    settled = reply.settle(calls(made))

    assert settled.reply is not None
    assert set(settled.reply.slots) == {"a", ""}


def test_calls_of_tools_win_over_a_reply() -> None:
    reply = StructuredReply.of_schema(PLACE)
    weather = call("get_weather", {"city": "Oslo"})

    settled = reply.settle(calls(call("reply", {"city": "Rome"}), weather))

    assert settled.reply is None
    assert settled.turn.tool_calls == (weather,)
    assert settled.turn.stop_reason == "tool_calls"


def test_a_turn_that_ended_early_stays_as_it_is() -> None:
    turn = Turn(content="", stop_reason="length")

    assert StructuredReply.of_schema(PLACE).settle(turn).turn == turn


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("schema", [PLACE, {"type": "array"}])
async def test_events_tell_the_reply_as_text_and_hide_the_call(
    schema: dict[str, Any], is_alone: bool
) -> None:
    reply = StructuredReply.of_schema(schema)
    value: Any = ["Ørsted"] if reply.is_wrapped else {"city": "Ørsted"}
    arguments = {"value": value} if reply.is_wrapped else value
    said = dataclasses.replace(calls(call("reply", arguments)), content="Well")
    offer = reply.offer([] if is_alone else [get_weather])
    async with scripted_runtime(said) as runtime:
        events = runtime.stream("x", tools=offer.tools, tool_choice=offer.tool_choice)
        told = [event async for event in reply.settle_events(events, is_alone=is_alone)]

    assert not any(isinstance(event, (CallStarted, ArgumentsDelta, CallReady)) for event in told)
    assert json.loads("".join(event.text for event in told if isinstance(event, TextDelta))) == value
    assert isinstance(told[-1], SettledTurn)


async def test_events_of_real_calls_pass() -> None:
    reply = StructuredReply.of_schema(PLACE)
    offer = reply.offer([get_weather])
    async with scripted_runtime(calls(get_weather={"city": "Oslo"})) as runtime:
        events = runtime.stream("x", tools=offer.tools, tool_choice=offer.tool_choice)
        told = [type(event).__name__ async for event in reply.settle_events(events)]

    assert told == [
        "TurnStarted",
        "CallStarted",
        "ArgumentsDelta",
        "CallReady",
        "TurnFinished",
        "SettledTurn",
    ]


@pytest.mark.parametrize("schema", [{"type": "strange"}, {"$ref": "https://example.org/x"}, [], "string"])
def test_a_schema_that_cannot_be_honoured_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        StructuredReply.of_schema(schema)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_the_text_is_the_value_as_json(value: Any) -> None:
    settled = StructuredReply.of_schema({}).settle(calls(call("reply", {"value": value})))

    assert json.loads(settled.turn.content) == value
