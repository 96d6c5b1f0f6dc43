from __future__ import annotations

import pytest

from agent_runtime.engine.draft_copies import CopySource, values_in
from agent_runtime.messages import Message
from tests.programs import tiny_view

TEXT = (
    "Fly to Paris. Weather in New York City for 12.5 days, please\n"
    'Book "the old mill" from Zoë Müller at 10 Downing Street, and search for cheap flights to Rome.'
)
SOURCE = CopySource(TEXT, question=TEXT)


@pytest.mark.parametrize(
    ("begun", "value"),
    [
        pytest.param("Pa", "Paris", id="a word ends before its full stop"),
        pytest.param("New", "New York City", id="a name goes on"),
        pytest.param("the o", "the old mill", id="a quotation ends with its quote"),
        pytest.param("Zo", "Zoë Müller", id="a name of any script"),
        pytest.param("chea", "cheap", id="a word that begins no name stands alone"),
        pytest.param("cheap ", "cheap flights to Rome", id="a phrase that goes on does so to the next mark"),
        pytest.param("London", None, id="what is not there"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_value_goes_on_as_the_text_does(begun: str, value: str | None) -> None:
    assert SOURCE.continued(begun) == value


def test_half_a_character_is_enough_to_go_on() -> None:
    half = "ë".encode()[:1]

    assert SOURCE.continued("Zo", half) == "Zoë Müller"
    assert SOURCE.continued("Z", half) is None


def test_the_latest_occurrence_counts_and_beginnings_of_words_before_their_middles() -> None:
    assert CopySource("Rome, then Romania").continued("Rom") == "Romania"
    assert CopySource("one man, woman").continued("man") == "man"


@pytest.mark.parametrize(("begun", "value"), [("1", "10"), ("12", "12.5"), ("12.", "12.5"), ("7", None)])
def test_a_number_goes_on_to_its_end(begun: str, value: str | None) -> None:
    assert SOURCE.continued_number(begun) == value


def test_values_are_guessed_from_the_question() -> None:
    assert list(SOURCE.strings())[0] == "the old mill"
    assert "New York City" in list(SOURCE.strings())
    assert list(SOURCE.numbers()) == ["12.5", "10"]
    assert SOURCE.says("new york")
    assert not SOURCE.says("york c")


def test_the_question_is_what_the_user_said_last_and_what_came_since() -> None:
    view = tiny_view()
    messages = [
        Message(role="user", content="first 1"),
        Message(role="assistant", content="aside 2"),
        Message(role="user", content="then 3"),
        Message(role="tool", content="result 4"),
    ]

    source = CopySource.of(view.vocabulary, [view.call_open, *view.encode("first 17")], messages)

    assert list(source.numbers()) == ["3", "4"]
    assert source.continued_number("1") == "17"


def test_numbers_said_of_an_argument_come_first() -> None:
    source = CopySource("", question="Phase shift for angle 1.46, refractive index 2.43 and distance 13")

    assert list(source.numbers_for("refractiveIndex"))[0] == "2.43"
    assert list(source.numbers_for("distance", "1")) == ["13", "1.46"]
    assert list(source.numbers_for("speed")) == ["1.46", "2.43", "13"]


def test_codes_and_paths_are_values_a_string_may_have() -> None:
    source = CopySource("", question="Zip ./slab/gate.zip for kai@example.org, ticket ORD-17.")

    assert list(source.strings_for("ticket_id"))[0] == "ORD-17"
    assert {"./slab/gate.zip", "kai@example.org"} <= set(source.strings_for("other"))


def test_the_question_tells_of_an_argument_by_any_word_of_its_name() -> None:
    source = CopySource("", question="Which stocks are listed, Rome, Oslo and Bern?")

    assert source.tells("in_stock") and not source.tells("colour")
    assert source.is_listed("Rome") and not source.is_listed("Bern")


def test_a_calls_text_holds_its_values_without_its_keys() -> None:
    text = '{"name": "f", "arguments": {"p": 73, "q": ["a", -0.5], "r'

    assert values_in(text) == ["f", "73", "a", "-0.5"]
