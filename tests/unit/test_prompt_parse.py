"""Replies as models really write them, read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.prompt import ParsedCall, extract_tool_call, parse_reply
from agent_runtime.scaffold.canonical import canonical_call

_TOOLS = ("get_weather", "send_mail", "ping")
_PARIS = ParsedCall("get_weather", {"city": "Paris"})
_BODY = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"<tool_call>\n{_BODY}\n</tool_call>", id="canonical"),
        pytest.param(f"<tool_call>{_BODY}</tool_call>", id="no-line-breaks"),
        pytest.param(f"<tool_call>\n{_BODY}\n", id="no-closing-tag"),
        pytest.param(f"{_BODY}\n</tool_call>", id="no-opening-tag"),
        pytest.param(_BODY, id="bare"),
        pytest.param(f"```json\n{_BODY}\n```", id="fenced"),
        pytest.param(f"```\n{_BODY}", id="fence-not-closed"),
        pytest.param(f"<tool_call>\n```json\n{_BODY}\n```\n</tool_call>", id="fenced-in-tags"),
        pytest.param(f"<tool_call>[{_BODY}]</tool_call>", id="list"),
        pytest.param(f"[{_BODY}]", id="bare-list"),
        pytest.param(f"<tool_call>{_BODY}}}}}</tool_call>", id="brackets-too-many"),
        pytest.param(f"<tool_call>{_BODY[:-1]}</tool_call>", id="one-bracket-missing"),
        pytest.param(f"<tool_call>{_BODY[:-2]}", id="all-brackets-missing"),
        pytest.param(_BODY[:-2], id="bare-and-brackets-missing"),
        pytest.param("<tool_call>" + _BODY.replace("arguments", "parameters"), id="parameters"),
        pytest.param("<tool_call>" + _BODY.replace('"', "'"), id="single-quotes"),
        pytest.param(
            json.dumps({"name": "get_weather", "arguments": '{"city": "Paris"}'}), id="arguments-as-string"
        ),
        pytest.param('{"type": "function", "function": ' + _BODY + "}", id="openai"),
        pytest.param('{"tool_calls": [' + _BODY + "]}", id="wrapped-list"),
        pytest.param('<tool_call>{"get_weather": {"city": "Paris"}}</tool_call>', id="name-as-key"),
        pytest.param(f"<think>Paris, so:</think><tool_call>{_BODY}</tool_call>", id="behind-thoughts"),
        pytest.param(f"Paris, so:</think><tool_call>{_BODY}</tool_call>", id="behind-unopened-thoughts"),
        pytest.param('<tool_call>{"name": "get_weather", "arguments": {"city": "Paris",}}', id="comma"),
    ],
)
def test_call_is_read(text: str) -> None:
    reply = parse_reply(text, _TOOLS)

    assert reply.calls == (_PARIS,)
    assert reply.content == ""
    assert reply.problems == ()


def test_several_calls_and_words_are_told_apart() -> None:
    text = f"Let me look.\n<tool_call>\n{_BODY}\n</tool_call>\n<tool_call>\n{_BODY}\n</tool_call> Done."

    reply = parse_reply(text, _TOOLS)

    assert reply.calls == (_PARIS, _PARIS)
    assert reply.content.split() == ["Let", "me", "look.", "Done."]


def test_objects_that_share_a_tag_are_calls_each() -> None:
    assert parse_reply(f"<tool_call>\n{_BODY}\n{_BODY},\n{_BODY}</tool_call>", _TOOLS).calls == (_PARIS,) * 3


def test_call_without_arguments_has_none() -> None:
    assert parse_reply('<tool_call>{"name": "ping"}</tool_call>', _TOOLS).calls == (ParsedCall("ping", {}),)


def test_calls_inside_thoughts_are_thoughts() -> None:
    reply = parse_reply(f"<think>maybe <tool_call>{_BODY}</tool_call></think>\nNo need.", _TOOLS)

    assert reply.calls == ()
    assert reply.content == "No need."
    assert "get_weather" in reply.reasoning


def test_thoughts_that_never_end_are_no_answer() -> None:
    reply = parse_reply(f"<think>I could call {_BODY}", _TOOLS)

    assert (reply.content, reply.calls) == ("", ())


def test_tool_that_is_not_offered_is_a_problem() -> None:
    reply = parse_reply('<tool_call>{"name": "rm", "arguments": {}}</tool_call>', _TOOLS)

    assert reply.calls == ()
    assert [problem.kind for problem in reply.problems] == ["unknown_tool"]
    assert "'rm'" in reply.problems[0].message


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param('{"name": "get_weather", "arguments": {"city": "Par', id="in-a-string"),
        pytest.param('{"name": "get_weather", "arguments": {"city": "Paris",', id="behind-a-comma"),
        pytest.param('{"name": "get_weather", "arguments": {"city"', id="behind-a-key"),
        pytest.param('{"name": "get_weather", "arguments": {"city": nowhere}}', id="no-value"),
        pytest.param("", id="empty"),
        pytest.param("get_weather(Paris)", id="no-json"),
    ],
)
def test_what_breaks_off_is_not_guessed(broken: str) -> None:
    reply = parse_reply(f"<tool_call>{broken}</tool_call> Sorry.", _TOOLS)

    assert reply.calls == ()
    assert [problem.kind for problem in reply.problems] == ["unreadable_call"]
    assert reply.content == "Sorry."


def test_number_may_go_on_unless_a_tag_ends_it() -> None:
    begun = '<tool_call>{"name": "get_weather", "arguments": {"days": 1'

    assert parse_reply(begun, _TOOLS).calls == ()
    assert parse_reply(begun + "</tool_call>", _TOOLS).calls == (ParsedCall("get_weather", {"days": 1}),)


def test_broken_call_does_not_hide_the_next() -> None:
    reply = parse_reply(f'<tool_call>{{"name": <tool_call>{_BODY}</tool_call>', _TOOLS)

    assert reply.calls == (_PARIS,)
    assert len(reply.problems) == 1


@pytest.mark.parametrize("arguments", ["[1]", "7", '"Paris"', '""'])
def test_arguments_that_are_no_object_are_a_problem(arguments: str) -> None:
    reply = parse_reply(f'<tool_call>{{"name": "ping", "arguments": {arguments}}}</tool_call>', _TOOLS)

    assert [problem.kind for problem in reply.problems] == ["unreadable_arguments"]


@pytest.mark.parametrize(
    "words",
    [
        'The config is {"name": "Bob", "age": 3}.',
        'Use {"city": "Paris"} or [1, 2].',
        "{{{{ [[[[ }}}}",
        "a < b and <b>bold</b> and ```code```",
    ],
)
def test_ordinary_text_with_brackets_stays_text(words: str) -> None:
    reply = parse_reply(words, _TOOLS)

    assert reply.content == words
    assert (reply.calls, reply.problems) == ((), ())


def test_tags_and_brackets_inside_strings_are_just_text() -> None:
    arguments = {"text": 'a } ] " </tool_call> <tool_call> <think> \\ ```', "deep": {"x": [{"y": "{"}]}}
    text = canonical_call("send_mail", arguments)

    assert parse_reply(text, _TOOLS).calls == (ParsedCall("send_mail", arguments),)


def test_extract_gives_the_first_call_of_an_offered_tool() -> None:
    text = f'[{{"name": "rm", "arguments": {{}}}}, {_BODY}]'

    assert extract_tool_call(f"<tool_call>{text}</tool_call>", _TOOLS) == _PARIS
    assert extract_tool_call(_BODY, ("ping",)) is None
    assert extract_tool_call("no call", _TOOLS) is None


def test_text_full_of_brackets_is_read_quickly() -> None:
    for text in ('{"a":' * 100_000, "[{'" * 100_000, "<tool_call>" * 20_000, "<tool_call>" + "[" * 300_000):
        assert parse_reply(text, _TOOLS).calls == ()


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_arguments = st.dictionaries(st.text(), _json_values, max_size=4)


@settings(deadline=None)
@given(calls=st.lists(st.tuples(st.sampled_from(_TOOLS), _arguments), min_size=1, max_size=3))
def test_canonical_calls_are_read_back_exactly(calls: list[tuple[str, dict[str, Any]]]) -> None:
    text = "\n".join(canonical_call(name, arguments) for name, arguments in calls)

    reply = parse_reply(text, _TOOLS)

    assert [(call.name, call.arguments) for call in reply.calls] == calls
    assert (reply.content, reply.problems) == ("", ())


_SHARDS = st.sampled_from(
    [
        *("<think>", "</think>", "<tool_call>", "</tool_call>", "```json", "```", "<", "{", "}", "[", "]"),
        *(",", ":", '"', "'", "\\", "\n", " ", "name", "arguments", "get_weather", "12", "-", "true", "None"),
        *('{"name": "get_weather", "arguments": {', '"city": "Paris"', "\\u12", "\ud800", "\x00", _BODY),
    ]
)


@settings(max_examples=500, deadline=None)
@given(text=st.lists(_SHARDS | st.text(max_size=5), max_size=30).map("".join))
def test_any_text_is_read_without_raising(text: str) -> None:
    reply = parse_reply(text, _TOOLS)

    assert all(call.name in _TOOLS for call in reply.calls)
