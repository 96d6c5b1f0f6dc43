"""LangChain's messages as the runtime reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from agent_runtime import MessageError
from integrations.langchain.messages import Origin, read_conversation

CALL = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "c1"}


def read(*messages: BaseMessage) -> list[dict[str, Any]]:
    return list(read_conversation(messages).messages)


def test_plain_messages_keep_role_and_text() -> None:
    assert read(
        SystemMessage("Be brief."),
        HumanMessage("Hello", name="anna"),
        AIMessage("Hi"),
        ChatMessage("x", role="user"),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "anna"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "x"},
    ]


def test_calls_and_results_keep_their_ids() -> None:
    messages = read(
        AIMessage("", tool_calls=[CALL]), ToolMessage("sunny", tool_call_id="c1", name="get_weather")
    )

    assert messages == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "name": "get_weather", "arguments": {"city": "Oslo"}}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1", "name": "get_weather"},
    ]


def test_a_function_message_answers_the_call_before_it() -> None:
    assert read(FunctionMessage("sunny", name="f")) == [{"role": "tool", "content": "sunny", "name": "f"}]


@pytest.mark.parametrize(
    "thought",
    [
        pytest.param({"type": "thinking", "thinking": "Hm.", "signature": "x"}, id="anthropic"),
        pytest.param({"type": "reasoning", "reasoning": "Hm."}, id="v1"),
        pytest.param({"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}, id="bedrock"),
    ],
)
def test_thoughts_stay_apart_from_words(thought: dict[str, Any]) -> None:
    (message,) = read(AIMessage([thought, {"type": "text", "text": "Hi"}]))

    assert message == {"role": "assistant", "content": "Hi", "reasoning": "Hm."}


def test_our_own_thoughts_are_read_back() -> None:
    (message,) = read(AIMessage("Hi", additional_kwargs={"reasoning_content": "Hm."}))

    assert message["reasoning"] == "Hm."


def test_a_call_that_stands_in_blocks_and_in_tool_calls_is_read_once() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Oslo"}}

    (both,) = read(AIMessage([block], tool_calls=[CALL]))
    (alone,) = read(AIMessage([block]))

    assert both == alone
    assert len(both["tool_calls"]) == 1


def test_results_inside_a_users_message_come_before_its_words() -> None:
    conversation = read_conversation(
        [
            AIMessage("", tool_calls=[CALL]),
            HumanMessage(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "sunny"}],
                    },
                    {"type": "text", "text": "And tomorrow?"},
                ]
            ),
        ]
    )

    assert list(conversation.messages[1:]) == [
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "user", "content": "And tomorrow?"},
    ]
    assert conversation.origins == (
        Origin(message_index=0),
        Origin(message_index=1, block_index=0),
        Origin(message_index=1),
    )


def test_a_broken_call_is_read_only_if_somebody_answered_it() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c1", "error": None}])

    (alone,) = read(broken)
    answered, _ = read(broken, ToolMessage("not JSON", tool_call_id="c1", status="error"))

    assert "tool_calls" not in alone
    assert answered["tool_calls"] == [{"id": "c1", "name": "f", "arguments": {}}]


def test_json_blocks_of_a_result_are_read_as_their_text() -> None:
    (message,) = read(ToolMessage([{"type": "json", "json": {"t": 21}}], tool_call_id="c1"))

    assert message["content"] == '{"t": 21}'


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}]), "'image_url'", id="image"
        ),
        pytest.param(ToolMessage([{"type": "audio", "base64": ""}], tool_call_id="1"), "'audio'", id="audio"),
        pytest.param(ChatMessage("x", role="critic"), "role 'critic'", id="role"),
        pytest.param(RemoveMessage(id="1"), "RemoveMessage", id="no message"),
    ],
)
def test_what_is_not_text_is_refused_by_name(message: BaseMessage, words: str) -> None:
    with pytest.raises(MessageError, match=words) as caught:
        read_conversation([HumanMessage("Hello"), message])
    assert caught.value.index == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4))
def test_text_is_joined_as_langchain_joins_it(parts: list[str]) -> None:
    message = HumanMessage([{"type": "text", "text": part} for part in parts])

    (read_back,) = read(message)

    assert read_back["content"] == message.text
