"""Whatever a request says, it is honoured or refused: nothing is ignored and nothing else is raised."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime import DeploymentConfig
from agent_runtime.server.chat_body import UNSUPPORTED, read_json
from agent_runtime.server.config import ServerConfig
from agent_runtime.server.rate_limit import MAX_CLIENTS, RateLimit
from agent_runtime.server.refusal import Refusal
from agent_runtime.server.request import ChatOrder, read_order

from ..served import WEATHER_TOOL

CONFIG = ServerConfig()
DEPLOYMENT = DeploymentConfig()
HELLO = [{"role": "user", "content": "Hello"}]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "model",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "n",
    "seed",
    "stop",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "reasoning_effort",
    "timeout",
    "abstain_below",
    "user",
    *UNSUPPORTED,
]


def order_of(**body: Any) -> ChatOrder:
    return read_order({"messages": HELLO, **body}, CONFIG, DEPLOYMENT)


def refusal_of(**body: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        order_of(**body)
    assert json.dumps(refused.value.as_dict())
    return refused.value


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3), JSON)
def test_any_request_is_an_order_or_a_refusal(body: dict[str, Any], content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    try:
        order = read_order({"messages": messages, **body}, CONFIG, DEPLOYMENT)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        assert len(refusal.as_dict()["error"]["message"]) < 2000
    else:
        assert order.seeds


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "x"]), JSON), max_size=3))
def test_any_conversation_is_an_order_or_a_refusal(messages: list[Any]) -> None:
    try:
        read_order({"messages": messages}, CONFIG, DEPLOYMENT)
    except Refusal as refusal:
        assert refusal.status == 400


@given(st.binary() | st.text().map(str.encode))
def test_any_body_is_an_object_or_a_refusal(body: bytes) -> None:
    try:
        assert isinstance(read_json(body), dict)
    except Refusal as refusal:
        assert refusal.code == "invalid_json"


@pytest.mark.parametrize(
    ("name", "asking"),
    [
        ("audio", {"voice": "x", "format": "wav"}),
        ("frequency_penalty", 0.5),
        ("function_call", "auto"),
        ("functions", [{"name": "f"}]),
        ("logit_bias", {"5": 10}),
        ("metadata", {"a": "b"}),
        ("modalities", ["text", "audio"]),
        ("moderation", {"model": "m"}),
        ("prediction", {"type": "content", "content": "x"}),
        ("presence_penalty", -1),
        ("prompt_cache_options", {"mode": "explicit"}),
        ("prompt_cache_retention", "24h"),
        ("service_tier", "priority"),
        ("store", True),
        ("verbosity", "low"),
        ("web_search_options", {}),
    ],
)
def test_what_is_not_offered_is_refused_by_name(name: str, asking: Any) -> None:
    refusal = refusal_of(**{name: asking})

    assert (refusal.status, refusal.param, refusal.code) == (400, name, "unsupported_parameter")
    assert order_of(**{name: None})
    for neutral in UNSUPPORTED[name][0]:
        assert order_of(**{name: neutral})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"foo": 1}, "foo"),
        ({"top_k": 5}, "top_k"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "response_format": {"type": "json_object"}}, "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"timeout": 0}, "timeout"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            "response_format",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"nonsense": 1}}}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"tools": [WEATHER_TOOL, WEATHER_TOOL]}, "tools"),
        ({"tools": [WEATHER_TOOL], "tool_choice": "get_wether"}, "tool_choice"),
        ({"tools": [WEATHER_TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": "x", "colour": "red"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x", "audio": {"id": "1"}}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(body: dict[str, Any], param: str) -> None:
    refusal = refusal_of(**body)

    assert (refusal.status, refusal.param) == (400, param)


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    assert "did you mean 'temperature'?" in str(refusal_of(temprature=1))


def test_what_was_sent_is_quoted_briefly() -> None:
    assert len(str(refusal_of(temperature="x" * 10_000))) < 300
    assert len(str(refusal_of(**{"y" * 10_000: 1}))) < 300


def test_an_assistant_that_refused_is_read_with_its_refusal() -> None:
    messages = [*HELLO, {"role": "assistant", "content": None, "refusal": "I will not."}, *HELLO]

    assert order_of(messages=messages).messages[1].content == "I will not."


def test_a_tool_may_be_called_auto() -> None:
    tools = [{"type": "function", "function": {"name": "auto"}}]
    named = {"type": "function", "function": {"name": "auto"}}

    assert order_of(tools=tools, tool_choice=named).tool_choice == named
    assert order_of(tools=tools, tool_choice="auto").tool_choice == "auto"


def test_seeds_follow_the_first() -> None:
    assert order_of(seed=-1, n=2).seeds == (2**63 - 1, 0)
    assert order_of(n=1).seeds == (DEPLOYMENT.seed,)


def test_no_thinking_can_be_asked_for() -> None:
    assert order_of(reasoning_effort="none").settings["think"] is False


def test_a_bucket_refills_steadily() -> None:
    now = 0.0
    limit = RateLimit(60, clock=lambda: now)

    assert [limit.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait_s("a") == pytest.approx(1.0)
    assert limit.wait_s("b") == 0.0
    now = 1.0
    assert limit.wait_s("a") == 0.0
    assert limit.wait_s("a") > 0.0


def test_no_limit_is_no_limit() -> None:
    assert {RateLimit(0).wait_s("a") for _ in range(1000)} == {0.0}


def test_clients_are_forgotten_before_they_fill_the_memory() -> None:
    limit = RateLimit(1, clock=lambda: 0.0)
    for number in range(MAX_CLIENTS + 10):
        limit.wait_s(str(number))

    assert limit.wait_s("0") == 0.0
    assert limit.wait_s(str(MAX_CLIENTS + 9)) > 0.0
