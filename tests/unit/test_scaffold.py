from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.scaffold.fitting import MisfitError, same_json
from agent_runtime.scaffold.scaffold import build_scaffold
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from agent_runtime.scaffold.slot_budget import SlotBudgetRules, slot_budget

WEATHER = ObjectShape(
    properties=(
        Property(name="city", shape=StringShape(min_length=1), is_required=True),
        Property(name="days", shape=IntegerShape(minimum=1, maximum=7), is_required=False),
        Property(name="unit", shape=ConstantsShape(values=("C", "F", None)), is_required=False),
    )
)


def tool_of(shape: Shape) -> ObjectShape:
    return ObjectShape(properties=(Property(name="x", shape=shape, is_required=True),))


def test_rendering_writes_keys_in_schema_order() -> None:
    pieces = build_scaffold("weather", WEATHER).render({"unit": None, "days": 2, "city": "Oslo"})

    assert "".join(piece.text for piece in pieces) == (
        '<tool_call>\n{"name": "weather", '
        '"arguments": {"city": "Oslo", "days": 2, "unit": null}}\n</tool_call>'
    )


def test_slots_are_the_only_pieces_with_a_path() -> None:
    pieces = build_scaffold("weather", WEATHER).render({"city": "Oslo", "days": 2})

    assert [(piece.path, piece.text) for piece in pieces if piece.kind == "slot"] == [
        ("city", "Oslo"),
        ("days", " 2"),
    ]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        pytest.param({}, "city", id="missing"),
        pytest.param({"city": "Oslo", "town": "x"}, "town", id="undeclared"),
        pytest.param({"city": 3}, "city", id="wrong type"),
        pytest.param({"city": ""}, "city", id="too short"),
        pytest.param({"city": "Oslo", "days": 8}, "days", id="out of bounds"),
        pytest.param({"city": "Oslo", "days": True}, "days", id="boolean for integer"),
        pytest.param({"city": "Oslo", "days": 1.5}, "days", id="fraction for integer"),
        pytest.param({"city": "Oslo", "unit": "K"}, "unit", id="not a constant"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_their_path(arguments: Any, path: str) -> None:
    with pytest.raises(MisfitError) as misfit:
        build_scaffold("weather", WEATHER).render(arguments)

    assert misfit.value.path == path


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        pytest.param(ArrayShape(items=IntegerShape(), max_items=1), [1, 2], id="too many items"),
        pytest.param(ArrayShape(items=IntegerShape(), min_items=1), [], id="too few items"),
        pytest.param(ArrayShape(items=IntegerShape(), is_unique=True), [1, 1.0], id="repeated item"),
        pytest.param(ArrayShape(items=IntegerShape()), "ab", id="string for array"),
        pytest.param(ObjectShape(), [], id="array for object"),
        pytest.param(ObjectShape(min_properties=0, max_properties=0), {"a": 1}, id="too many members"),
        pytest.param(UnionShape(options=(IntegerShape(), StringShape())), None, id="no option"),
        pytest.param(NumberShape(maximum=1, is_maximum_exclusive=True), 1, id="excluded bound"),
    ],
)
def test_values_that_do_not_fit_their_shape_are_refused(shape: Shape, value: Any) -> None:
    with pytest.raises(MisfitError):
        build_scaffold("f", tool_of(shape)).render({"x": value})


def test_a_whole_float_is_written_as_the_integer_it_is() -> None:
    assert build_scaffold("f", tool_of(IntegerShape())).ordered({"x": 5.0}) == {"x": 5}


def test_the_same_shape_gives_the_same_scaffold() -> None:
    assert build_scaffold("weather", WEATHER) is build_scaffold("weather", WEATHER)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (None, False, False),
        ([1], [1.0], True),
        ({"a": 1}, {"a": True}, False),
    ],
)
def test_equality_is_that_of_json(left: Any, right: Any, expected: bool) -> None:
    assert same_json(left, right) is expected


@pytest.mark.parametrize(
    ("shape", "name", "tokens"),
    [
        pytest.param(StringShape(), "userId", 12, id="identifier"),
        pytest.param(StringShape(), "file_name", 17, id="name"),
        pytest.param(StringShape(), "description", 32, id="text"),
        pytest.param(StringShape(), "xyz", 22, id="unknown string"),
        pytest.param(IntegerShape(), "count", 7, id="integer"),
        pytest.param(StringShape(format="date"), "when", 12, id="date"),
    ],
)
def test_budget_follows_shape_and_name(shape: Shape, name: str, tokens: int) -> None:
    assert slot_budget(shape, name=name).tokens == tokens


def test_budget_of_constants_holds_the_longest() -> None:
    assert slot_budget(ConstantsShape(values=("a", "abc")), constants=["a", "abc"]).limit == 3


def test_budget_grows_up_to_its_limit() -> None:
    budget = slot_budget(StringShape(max_length=1), rules=SlotBudgetRules(extra=0, maximum=4))

    assert (budget.tokens, budget.grown(4).tokens, budget.grown(40).tokens) == (4, 8, 12)
