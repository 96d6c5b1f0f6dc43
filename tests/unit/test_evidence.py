from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.evidence import find_evidence
from agent_runtime.messages import Message


def user(text: str) -> Message:
    return Message(role="user", content=text)


def words_of(value: Any, *messages: Message) -> tuple[int, str] | None:
    span = find_evidence(value, messages)
    return (
        None
        if span is None
        else (span.message_index, messages[span.message_index].content[span.start : span.end])
    )


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        pytest.param("Paris", "Fly to Paris, please", "Paris", id="word"),
        pytest.param("Paris", "Fly to Berlin", None, id="absent"),
        pytest.param("paris", "Fly to Paris", None, id="other case"),
        pytest.param("", "Fly", None, id="empty"),
        pytest.param('say "hi"', 'please say "hi" now', 'say "hi"', id="quotes"),
        pytest.param(3, "for 3 days", "3", id="digit"),
        pytest.param(3, "for 13 days or 3.5", None, id="inside a number"),
        pytest.param(3, "for three days", "three", id="word for a number"),
        pytest.param(42, "Forty-two of them", "Forty-two", id="two words for a number"),
        pytest.param(1250000, "pay 1,250,000 now", "1,250,000", id="grouped"),
        pytest.param(-4.5, "it is -4.5 outside", "-4.5", id="negative"),
        pytest.param(5.0, "about 5 km", "5", id="whole float"),
        pytest.param(2, "it has 2, maybe 3", "2", id="comma behind"),
        pytest.param(True, "true", None, id="boolean"),
        pytest.param(None, "null", None, id="null"),
        pytest.param([1], "[1]", None, id="container"),
    ],
)
def test_values_are_found_as_they_are_written(value: Any, text: str, expected: str | None) -> None:
    assert words_of(value, user(text)) == (None if expected is None else (0, expected))


def test_whole_words_come_before_parts_of_words() -> None:
    span = find_evidence("cat", [user("concatenate the cat")])

    assert span is not None and span.start == len("concatenate the ")


def test_the_latest_user_message_comes_first() -> None:
    assert words_of("Oslo", user("Oslo?"), Message(role="tool", content="Oslo"), user("yes, Oslo")) == (
        2,
        "Oslo",
    )


def test_tool_results_come_before_system_messages() -> None:
    system, result = Message(role="system", content="id 77"), Message(role="tool", content="id 77")

    assert words_of(77, system, result) == (1, "77")


def test_the_models_own_words_are_no_evidence() -> None:
    assert words_of("Oslo", Message(role="assistant", content="Oslo")) is None


def test_endless_digits_are_no_number() -> None:
    assert words_of(1, user("1" * 5000)) is None
