from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.evidence import find_call_evidence, find_evidence
from agent_runtime.messages import EvidenceSpan, Message


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
        pytest.param(20, "twenty-two of them", None, id="beginning of a number in words"),
        pytest.param(22, "Twenty Two of them", "Twenty Two", id="capital words for a number"),
        pytest.param(1250000, "pay 1,250,000 now", "1,250,000", id="grouped"),
        pytest.param(-4.5, "it is -4.5 outside", "-4.5", id="negative"),
        pytest.param(5.0, "about 5 km", "5", id="whole float"),
        pytest.param(2, "it has 2, maybe 3", "2", id="comma behind"),
        pytest.param("mi", "twelve miles", None, id="beginning of a word too short to be its stem"),
        pytest.param("cat", "concatenate", None, id="inside a word"),
        pytest.param("inch", "twelve inches", "inch", id="singular of a plural"),
        pytest.param("10:20", "at 10:20am", "10:20", id="time with half of the day"),
        pytest.param("東京", "明日は東京へ行く", "東京", id="script without spaces"),
        pytest.param(70, "weighs 70kg", "70", id="number with its unit"),
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


def places_of(values: dict[str, Any], *texts: str, **given: Any) -> dict[str, int | None]:
    found = find_call_evidence(values, [user(text) for text in texts], **given)
    return {path: None if span is None else span.start for path, span in found.items()}


def test_of_several_places_the_one_behind_the_arguments_name_is_chosen() -> None:
    text = "a gauge with width 12, height 12 and depth 12"

    found = places_of({"depth": 12, "width": 12, "height": 12}, text)

    assert found == {"depth": text.rindex("12"), "width": text.index("12"), "height": text.index("12", 22)}


def test_words_of_the_description_tell_places_apart_too() -> None:
    text = "from Paris over Oslo back to Paris"

    found = places_of({"q": "Paris"}, text, labels={"q": "Where to go back to."})

    assert found == {"q": text.rindex("Paris")}


def test_two_values_are_not_read_from_one_place() -> None:
    found = places_of({"x": 3, "y": 3}, "between 3 and 3")

    assert sorted(place for place in found.values() if place is not None) == [8, 14]


def test_later_calls_are_read_behind_earlier_ones() -> None:
    text = "rain in Oslo for 3 days, and snow in Bergen for 3 days"
    first = find_call_evidence({"city": "Oslo", "days": 3}, [user(text)])

    second = places_of({"city": "Bergen", "days": 3}, text, earlier=[first])

    assert first["days"] == EvidenceSpan(message_index=0, start=text.index("3"), end=text.index("3") + 1)
    assert second["days"] == text.rindex("3")


def test_items_of_a_list_are_read_near_one_another() -> None:
    text = "Add 4 to the list 7, 4, 9"

    assert places_of({"items.0": 7, "items.1": 4, "items.2": 9}, text)["items.1"] == text.rindex("4")


@given(st.lists(st.sampled_from(["ab", "a b", "7", "é", "東", "-", "12:30", " "]), min_size=1, max_size=12))
def test_the_text_of_a_strings_span_is_the_string(parts: list[str]) -> None:
    message, value = user("".join(parts)), parts[-1]

    span = find_call_evidence({"x": value, "y": value}, [message])["x"]

    assert span is None or message.content[span.start : span.end] == value


def test_a_value_that_stands_everywhere_is_found_at_once() -> None:
    text = "1 " * 20_000

    assert places_of({"x": 1, "y": "1"}, text)["x"] is not None
