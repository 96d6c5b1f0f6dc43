from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent_runtime.result_text import as_json_value, error_text, result_text


class Weather(BaseModel):
    city: str
    at: datetime.date
    degrees: float = math.nan


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Pair(NamedTuple):
    left: int
    right: str


class Colour(enum.Enum):
    RED = "red"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain text", "plain text"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ({"ä": [1, 2.5]}, '{"ä": [1, 2.5]}'),
        (float("inf"), '"inf"'),
        ({1: {2, 1}}, '{"1": [1, 2]}'),
        (
            Weather(city="Rome", at=datetime.date(2026, 1, 2)),
            '{"city": "Rome", "at": "2026-01-02", "degrees": "nan"}',
        ),
        (Point(1, Colour.RED), '{"x": 1, "y": "red"}'),
        (Pair(1, "b"), '{"left": 1, "right": "b"}'),
        (datetime.datetime(2026, 1, 2, 3, 4), '"2026-01-02T03:04:00"'),
        (datetime.timedelta(hours=1), '"1:00:00"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Path("/tmp/x"), '"/tmp/x"'),
        (b"bytes", '"bytes"'),
        (b"\xff\x00", '"base64:/wA="'),
        (numpy.array([[1, 2]]), "[[1, 2]]"),
        (numpy.float64(0.5), "0.5"),
        (ValueError("odd"), '{"error": "ValueError: odd"}'),
        (Hostile(), '"<Hostile that cannot be shown: RuntimeError>"'),
        ({"k": Hostile()}, '{"k": "<Hostile that cannot be shown: RuntimeError>"}'),
        ("half a pair \ud800", "half a pair ?"),
    ],
)
def test_value_becomes_text(value: Any, text: str) -> None:
    assert result_text(value, 1000) == (text, False)


def test_circular_value_names_the_circle() -> None:
    inner: dict[str, Any] = {"n": 1}
    inner["self"] = inner

    assert result_text([inner], 1000)[0] == '[{"n": 1, "self": "<circular: dict>"}]'


def test_same_value_twice_is_no_circle() -> None:
    shared = [1]

    assert as_json_value([shared, shared]) == [[1], [1]]


def test_very_deep_value_ends_with_a_mark() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]

    assert "<too deep: list>" in result_text(value, 10_000)[0]


def test_endless_list_costs_bounded_work_and_says_what_is_missing() -> None:
    read = as_json_value(range(3)), as_json_value([0] * 1_000_000)

    assert read[0] == "range(0, 3)"
    assert len(read[1]) < 150_000 and "more left out" in read[1][-1]


def test_long_result_is_cut_with_a_visible_mark() -> None:
    text, is_cut = result_text("x" * 5000, 100)

    assert is_cut
    assert len(text) <= 100
    assert text.endswith("… [truncated: 62 of 5000 characters]")


def test_huge_integer_is_described() -> None:
    assert "bits" in result_text(10**10_000, 100)[0]


@pytest.mark.parametrize(
    "message",
    [
        "401 for https://bob:hunter2@example.com/x",
        "header Authorization: Bearer abcdef123456",
        "api_key=hunter2 was refused",
        "{'password': 'hunter2'}",
        "OPENAI_API_KEY: hunter2",
        "GET /x?access_token=hunter2&y=1",
        "key sk-hunter2abcdefgh1234 is invalid",
        "token ghp_hunter2abcdefgh1234",
    ],
)
def test_secrets_in_an_exception_do_not_reach_the_model(message: str) -> None:
    text = error_text(RuntimeError(message))

    assert "hunter2" not in text and "abcdef123456" not in text
    assert "***" in text


def test_plain_exception_keeps_its_words() -> None:
    assert error_text(KeyError("city")) == "KeyError: 'city'"
    assert error_text(ValueError("the token count is 7")) == "ValueError: the token count is 7"
    assert error_text(TimeoutError()) == "TimeoutError"


def test_exception_that_cannot_be_shown_is_still_named() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    assert error_text(Rude()).startswith("Rude: <Rude that cannot be shown")


def test_long_exception_is_shortened() -> None:
    assert len(error_text(ValueError("x" * 100_000))) < 600


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(categories=["L", "Cs", "Cc"])),
        st.binary(max_size=8),
        st.dates(),
        st.decimals(),
        st.builds(object),
        st.builds(Hostile),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.none()), inner, max_size=4),
        st.builds(Point, st.integers(), inner),
        st.frozensets(st.integers(), max_size=3),
    ),
    max_leaves=12,
)


@given(values, st.integers(64, 2000))
def test_whatever_a_tool_returns_is_text_within_its_limit(value: Any, max_chars: int) -> None:
    text, is_cut = result_text(value, max_chars)

    assert len(text) <= max_chars
    text.encode("utf-8")
    if not is_cut and not isinstance(value, str):
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
