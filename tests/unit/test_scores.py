"""What an evaluation counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.evaluation import Share, wilson
from agent_runtime.evaluation.bfcl import Call
from training.evaluate import are_valid, read_cases
from training.report import evaluation_tables
from training.scores import Outcome, grouped, is_same, is_same_calls


def outcome(expected: list[Call], given_calls: list[Call], **changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "id": "1",
        "group": "g",
        "kind": "single",
        "expected": tuple(expected),
        "given": tuple(given_calls),
        "text": "",
        "is_exact": is_same_calls(given_calls, expected),
        "is_call_expected": bool(expected),
        "is_valid": True,
        "has_tried": bool(given_calls),
    }
    return Outcome(**{**values, **changes})


@given(st.integers(0, 200), st.integers(0, 200))
def test_interval_holds_the_share_and_stays_between_none_and_all(one: int, other: int) -> None:
    num_right, total = min(one, other), max(one, other)
    low, high = wilson(num_right, total)
    assert 0 <= low <= high <= 1
    if total:
        assert low - 1e-9 <= num_right / total <= high + 1e-9


def test_interval_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)


def test_numbers_are_equal_across_types_but_booleans_are_no_numbers() -> None:
    assert is_same({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not is_same(True, 1)
    assert not is_same([1], [1, 1])


def test_calls_are_the_same_in_any_order_and_number_counts() -> None:
    one, two = Call("f", {"x": 1}), Call("f", {"x": 2})
    assert is_same_calls([two, one], [one, two])
    assert not is_same_calls([one, one], [one, two])
    assert not is_same_calls([one, two], [one])


def test_precision_recall_names_and_values_are_counted_apart() -> None:
    scores = grouped(
        [
            outcome([Call("f", {"x": 1, "y": "a"})], [Call("f", {"x": 1, "y": "b"})]),
            outcome([Call("f", {"x": 1})], []),
            outcome([], [Call("f", {})]),
            outcome([], []),
        ]
    )["g"]
    assert (scores.exact.num_right, scores.exact.total) == (1, 4)
    assert (scores.called_rightly.num_right, scores.called_rightly.total) == (1, 2)
    assert (scores.call_found.num_right, scores.call_found.total) == (1, 2)
    assert (scores.names.num_right, scores.names.total) == (1, 2)
    assert {name: share.num_right for name, share in scores.values.items()} == {"integer": 1, "string": 0}


def test_tables_say_how_sure_each_figure_is() -> None:
    tables = evaluation_tables([outcome([Call("f", {})], [Call("f", {})])])
    assert "100.0% (21% to 100%, n=1)" in tables


def test_share_of_nothing_is_a_dash() -> None:
    assert str(Share()) == "-"


def test_call_of_a_tool_not_offered_or_against_its_schema_is_not_valid() -> None:
    tools = [{"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}]
    assert are_valid([Call("f", {"x": 1})], tools)
    assert not are_valid([Call("f", {"x": "1"})], tools)
    assert not are_valid([Call("g", {})], tools)


def test_held_out_cases_ask_without_the_answer() -> None:
    cases = list(read_cases("synthetic", limit=30))
    assert len(cases) == 30
    assert all(case.messages[-1]["role"] in ("user", "tool") for case in cases)
    assert all(case.judge(case.expected) for case in cases)
