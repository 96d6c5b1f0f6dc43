from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.canonical import call_pieces
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from agent_runtime.scaffold.walker import CallWalker
from tests.shapes import objects, random_walk, schema_of

STRING = StringShape()
INTEGER = IntegerShape()
UNIT = ConstantsShape(values=("celsius", "fahrenheit"))


def members(optional: str = "", **shapes: Shape) -> ObjectShape:
    return ObjectShape(
        properties=tuple(
            Property(name=name, shape=shape, is_required=name not in optional.split())
            for name, shape in shapes.items()
        )
    )


def started(shape: ObjectShape, name: str = "f") -> CallWalker:
    walker = CallWalker(build_scaffold(name, shape))
    walker.fill(name)
    return walker


def write(walker: CallWalker, *texts: str) -> CallWalker:
    """Take candidates by their text and fill slots in between."""
    for text in texts:
        if walker.slot is not None:
            walker.fill(text)
        else:
            walker.choose(walker.options.index(text))
    return walker


def is_impossible(shape: ObjectShape) -> bool:
    try:
        build_scaffold("f", shape)
    except SchemaError:
        return True
    return False


@given(objects(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_every_walk_gives_a_call_its_schema_allows(shape: ObjectShape, chance: random.Random) -> None:
    if is_impossible(shape):
        return

    walker = random_walk(CallWalker(build_scaffold("f", shape)), chance)

    call = json.loads(walker.text)
    assert call == {"name": "f", "arguments": walker.arguments}
    Draft202012Validator(schema_of(shape)).validate(call["arguments"])


@given(objects(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_rendering_the_arguments_gives_the_walked_text(shape: ObjectShape, chance: random.Random) -> None:
    if is_impossible(shape):
        return
    scaffold = build_scaffold("f", shape)

    walker = random_walk(CallWalker(scaffold), chance)

    pieces = scaffold.render(walker.arguments)
    assert "".join(piece.text for piece in pieces if piece.kind != "control").strip("\n") == walker.text


def walked_pieces(walker: CallWalker, chance: random.Random) -> list[str]:
    """Every text the walk takes, one by one."""
    texts = []
    before = walker.text
    while not walker.is_complete:
        if walker.slot is not None and walker.slot.constants:
            walker.fill(chance.choice(walker.slot.constants))
        elif walker.slot is not None:
            walker.fill(" 12" if walker.slot.leading_space else "12")
        else:
            text = chance.choice(walker.options)
            texts.append(text)
            walker.choose(walker.options.index(text))
            before += text
            continue
        texts.append(walker.text[len(before) :])
        before = walker.text
    return texts


@pytest.mark.parametrize("seed", range(30))
def test_a_walk_cuts_the_call_where_the_canonical_pieces_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    inner = members("note tags", days=INTEGER, note=STRING, tags=ArrayShape(items=UNIT))
    shape = members("x", rows=ArrayShape(items=inner, max_items=3), one=inner, x=ArrayShape(items=INTEGER))
    walker = CallWalker(build_scaffold("f", shape))

    texts = walked_pieces(walker, chance)

    pieces = call_pieces("f", walker.arguments)
    assert [text for text in texts if text] == [
        piece.text for piece in pieces if piece.kind != "control" and piece.text
    ][1:]


def test_required_members_are_forced_with_all_that_stands_between() -> None:
    walker = started(members(city=STRING, days=INTEGER))

    assert list(walker.options) == ['", "arguments": {"city": "']
    walker.choose(0)
    walker.fill("Oslo")
    assert list(walker.options) == ['", "days":']
    walker.choose(0)
    assert walker.slot is not None and walker.slot.leading_space and walker.slot.path == "days"
    walker.fill(" 3")
    assert list(walker.options) == ["}}\n"]


def test_optional_members_up_to_the_next_required_one_compete() -> None:
    walker = started(members("a c", a=INTEGER, b=INTEGER, c=INTEGER))

    assert list(walker.options) == ['", "arguments": {"a":', '", "arguments": {"b":']


def test_a_tool_without_parameters_is_called_without_arguments() -> None:
    walker = started(ObjectShape())

    assert write(walker, '", "arguments": {}', "}\n").arguments == {}


def test_slots_have_dotted_paths_through_objects_and_arrays() -> None:
    walker = started(members(items=ArrayShape(items=members(sku=STRING))))

    write(walker, '", "arguments": {"items": [{"sku": "', "x", '"}, {"sku": "')

    assert walker.slot is not None and walker.slot.path == "items.1.sku"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param(ArrayShape(items=INTEGER), ["[", "[]"], id="may be empty"),
        pytest.param(ArrayShape(items=INTEGER, min_items=1), ["["], id="one at least"),
        pytest.param(ArrayShape(items=INTEGER, max_items=0), ["[]"], id="none at most"),
        pytest.param(ArrayShape(), ["[]"], id="no items declared"),
    ],
)
def test_array_length_decides_how_it_may_begin(shape: ArrayShape, expected: list[str]) -> None:
    walker = started(members(x=shape))

    assert list(walker.options) == [f'", "arguments": {{"x": {opening}' for opening in expected]


def test_array_length_decides_when_it_may_end() -> None:
    walker = started(members(x=ArrayShape(items=INTEGER, min_items=2, max_items=3)))

    write(walker, '", "arguments": {"x": [', "1")
    assert list(walker.options) == [","]
    write(walker, ",", " 2")
    assert list(walker.options) == [",", "]}}\n"]
    write(walker, ",", " 3")
    assert list(walker.options) == ["]}}\n"]


def test_prefix_items_have_shapes_of_their_own() -> None:
    walker = started(members(x=ArrayShape(prefix=(STRING, INTEGER), items=None)))

    write(walker, '", "arguments": {"x": ["', "a", '",', " 1")

    assert list(walker.options) == ["]}}\n"]


def test_used_constants_are_left_out_of_unique_arrays() -> None:
    walker = started(members(x=ArrayShape(items=UNIT, is_unique=True)))

    write(walker, '", "arguments": {"x": ["', "celsius", '", "')

    assert walker.slot is not None and walker.slot.constants == ("fahrenheit",)
    assert [candidate.text for candidate in walker.following("fahrenheit")] == ['"]}}\n']


def test_used_up_integers_end_a_unique_array() -> None:
    walker = started(members(x=ArrayShape(items=IntegerShape(minimum=1, maximum=2), is_unique=True)))

    write(walker, '", "arguments": {"x": [', "1", ",", " 2")

    assert list(walker.options) == ["]}}\n"]


def test_unique_objects_are_kept_apart_by_a_required_value() -> None:
    row = members("note", kind=UNIT, id=INTEGER, note=STRING)
    walker = started(members(x=ArrayShape(items=row, is_unique=True)))
    opening = '", "arguments": {"x": [{"kind": "'

    same_kind = write(
        walker.copy(), opening, "celsius", '", "id":', " 1", '}, {"kind": "', "celsius", '", "id":'
    )
    other_kind = write(
        walker.copy(), opening, "celsius", '", "id":', " 1", '}, {"kind": "', "fahrenheit", '", "id":'
    )

    assert same_kind.slot is not None and same_kind.slot.earlier_items == (1,)
    assert other_kind.slot is not None and other_kind.slot.earlier_items == ()


def test_the_empty_text_is_unique_once() -> None:
    walker = started(members(x=ArrayShape(items=StringShape(max_length=0), is_unique=True)))

    write(walker, '", "arguments": {"x": ["', "")

    assert list(walker.options) == ['"]}}\n']


def test_items_that_cannot_be_kept_apart_come_one_at_most() -> None:
    walker = started(members(x=ArrayShape(items=ArrayShape(items=INTEGER), is_unique=True)))

    write(walker, '", "arguments": {"x": [[', "1")

    assert list(walker.options) == [",", "]]}}\n"]


def test_two_items_that_cannot_be_kept_apart_are_refused() -> None:
    shape = members(x=ArrayShape(items=ArrayShape(items=INTEGER), is_unique=True, min_items=2))

    with pytest.raises(SchemaError) as refusal:
        build_scaffold("f", shape)

    assert (refusal.value.tool, refusal.value.path) == ("f", "$.properties.x")
    assert refusal.value.keyword == "uniqueItems"


def test_union_options_are_candidates_side_by_side() -> None:
    shape = UnionShape(options=(STRING, INTEGER, ConstantsShape(values=(None,)), ArrayShape(items=STRING)))

    walker = started(members(x=shape))

    opening = '", "arguments": {"x":'
    assert list(walker.options) == [opening + ' "', opening, opening, opening + ' ["', opening + " []"]
    assert write(walker, opening + ' ["', "a", '"]}}\n').arguments == {"x": ["a"]}


def test_member_counts_limit_which_members_may_come() -> None:
    shape = ObjectShape(
        properties=members("a b c", a=INTEGER, b=INTEGER, c=INTEGER).properties,
        min_properties=2,
        max_properties=2,
    )
    walker = started(shape)

    assert list(walker.options) == ['", "arguments": {"a":', '", "arguments": {"b":']
    write(walker, '", "arguments": {"a":', " 1")
    assert list(walker.options) == [', "b":', ', "c":']
    write(walker, ', "c":', " 1")
    assert list(walker.options) == ["}}\n"]


def test_a_grammar_value_is_one_slot() -> None:
    walker = started(members(x=GrammarShape(schema={})))

    assert write(walker, '", "arguments": {"x":', ' {"k": [1]}', "}}\n").arguments == {"x": {"k": [1]}}


def test_a_long_chain_of_optional_arrays_has_few_candidates() -> None:
    names = [f"p{number}" for number in range(40)]
    shape = members(" ".join(names), **{name: ArrayShape(items=STRING) for name in names})

    walker = started(shape)

    assert len(walker.options) == 2 * len(names) + 1


def test_copies_walk_on_by_themselves() -> None:
    walker = started(members(city=STRING))
    copied = write(walker.copy(), '", "arguments": {"city": "', "Oslo", '"}}\n')

    assert copied.is_complete and not walker.is_complete
    assert list(walker.options) == ['", "arguments": {"city": "']


def test_two_tools_of_equal_looking_constants_keep_their_own() -> None:
    first = members(x=ConstantsShape(values=(1,)))
    second = members(x=ConstantsShape(values=(True,)))

    texts = [scaffold_text(build_scaffold("f", shape)) for shape in (first, second)]

    assert texts == [{"x": 1}, {"x": True}]


def scaffold_text(scaffold: Scaffold) -> dict[str, Any]:
    return random_walk(CallWalker(scaffold), random.Random(0)).arguments


@pytest.mark.parametrize("action", ["choose", "fill"])
def test_a_wrong_step_is_refused(action: str) -> None:
    walker = started(members(city=STRING))
    if action == "choose":
        with pytest.raises(ValueError, match="no candidate"):
            walker.choose(7)
    else:
        with pytest.raises(ValueError, match="no slot is open"):
            walker.fill("x")


def test_arguments_of_an_unfinished_call_are_refused() -> None:
    with pytest.raises(ValueError, match="not complete"):
        _ = started(members(city=STRING)).arguments
