"""Long conversations are shortened without being torn apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.errors import PromptTooLongError
from agent_runtime.messages import Message, ToolCall
from agent_runtime.prompt import FittedHistory, PromptFormat, fit_history, render_prompt

from .prompt_fixtures import GET_WEATHER, byte_tokenizer

_SYSTEM = Message(role="system", content="Be brief.")


def _user(text: str = "and what is the weather in the city of Copenhagen?") -> Message:
    return Message(role="user", content=text)


def _call(identifier: str, count: int = 1) -> Message:
    calls = [
        ToolCall(id=f"{identifier}{at}", name="get_weather", arguments={"city": "P"}) for at in range(count)
    ]
    return Message(role="assistant", tool_calls=tuple(calls))


def _result(identifier: str) -> Message:
    return Message(role="tool", content="sunny " * 5, tool_call_id=identifier)


def _answer() -> Message:
    return Message(role="assistant", content="It is sunny in the city.")


def _num_tokens(messages: Sequence[Message]) -> int:
    return len(_prompt_ids(messages))


def _prompt_ids(messages: Sequence[Message]) -> Any:
    return render_prompt(
        messages, [GET_WEATHER], format=PromptFormat.compact(), tokenizer=byte_tokenizer()
    ).ids


def _fit(messages: Sequence[Message], max_tokens: int) -> FittedHistory:
    return fit_history(
        messages,
        [GET_WEATHER],
        max_tokens=max_tokens,
        format=PromptFormat.compact(),
        tokenizer=byte_tokenizer(),
    )


def test_conversation_that_fits_is_left_alone() -> None:
    talk = [_SYSTEM, _user(), _answer(), _user()]

    fitted = _fit(talk, _num_tokens(talk))

    assert fitted.messages == tuple(talk)
    assert fitted.dropped == ()
    assert fitted.prompt.ids == _prompt_ids(talk)


def test_oldest_exchanges_go_first_and_whole() -> None:
    talk = [_SYSTEM, _user("old"), _call("a"), _result("a0"), _answer(), _user(), _answer(), _user("new")]

    fitted = _fit(talk, _num_tokens(talk) - 1)

    assert fitted.dropped == (1, 2, 3, 4)
    assert fitted.messages == (_SYSTEM, *talk[5:])
    assert fitted.kept == (0, 5, 6, 7)
    assert [span.message_index for span in fitted.prompt.message_spans] == [0, 5, 6, 7]


def test_older_calls_of_the_present_exchange_go_with_their_results() -> None:
    talk = [_SYSTEM, _user("go"), _call("a", 2), _result("a0"), _result("a1"), _call("b"), _result("b0")]

    fitted = _fit(talk, _num_tokens(talk) - 1)

    assert fitted.dropped == (2, 3, 4)


def test_call_and_result_with_a_user_between_stay_together() -> None:
    talk = [_user("old"), _answer(), _user("go"), _call("a"), _user("hurry"), _result("a0")]

    fitted = _fit(talk, _num_tokens(talk) - 1)

    assert fitted.dropped == (0, 1)


def test_what_cannot_fit_is_refused_with_both_lengths() -> None:
    talk = [_SYSTEM, _user("old"), _answer(), _user("new")]
    least = _num_tokens([_SYSTEM, talk[-1]])

    with pytest.raises(PromptTooLongError) as caught:
        _fit(talk, least - 1)

    assert (caught.value.prompt_tokens, caught.value.max_tokens) == (least, least - 1)


def test_growing_conversation_keeps_its_beginning_for_several_turns() -> None:
    talk = [_SYSTEM]
    beginnings = []
    for turn in range(60):
        talk += [_user(f"turn {turn}"), _answer()]
        fitted = _fit([*talk, _user("now")], 900)
        if fitted.dropped:
            beginnings.append(fitted.kept[1])

    changes = sum(before != after for before, after in zip(beginnings, beginnings[1:], strict=False))
    assert len(beginnings) > 30
    assert changes < len(beginnings) / 2


@st.composite
def _talks(draw: st.DrawFn) -> list[Message]:
    talk = [_SYSTEM] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 5))):
        talk.append(_user("word " * draw(st.integers(1, 9))))
        for step in range(draw(st.integers(0, 2))):
            count = draw(st.integers(1, 3))
            talk.append(_call(f"{number}.{step}.", count))
            talk += [_result(f"{number}.{step}.{at}") for at in draw(st.permutations(range(count)))]
        if draw(st.booleans()):
            talk.append(_answer())
    return talk


@settings(max_examples=150, deadline=None)
@given(talk=_talks(), share=st.floats(0.3, 1.0))
def test_what_is_kept_always_fits_and_always_holds_together(talk: list[Message], share: float) -> None:
    max_tokens = int(_num_tokens(talk) * share)
    try:
        fitted = _fit(talk, max_tokens)
    except PromptTooLongError as error:
        assert error.prompt_tokens > max_tokens
        return

    calls = {call.id for message in fitted.messages for call in message.tool_calls}
    results = {message.tool_call_id for message in fitted.messages if message.role == "tool"}
    last_user = max(index for index, message in enumerate(talk) if message.role == "user")
    assert fitted.prompt.ids == _prompt_ids(fitted.messages)
    assert len(fitted.prompt.ids) <= max_tokens
    assert calls == results
    assert last_user in fitted.kept
    assert len(talk) - 1 in fitted.kept
    assert (0 in fitted.kept) or talk[0].role != "system"
    assert sorted((*fitted.kept, *fitted.dropped)) == list(range(len(talk)))
