from __future__ import annotations

import json
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.branches import SlotBranch, branch_ids, branches_of
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
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
from agent_runtime.scaffold.slot_tokens import end_ids, first_forms, lead_ids
from agent_runtime.scaffold.walker import CallWalker
from heads import SLOT_KINDS
from tests.programs import tiny_view
from tests.shapes import objects, random_walk

VIEW = tiny_view()


def member(name: str, shape: Shape, *, is_required: bool = True) -> Property:
    return Property(name=name, shape=shape, is_required=is_required)


def branches(*members: Property, **limits: int) -> tuple[SlotBranch, ...]:
    return branches_of(build_scaffold("f", ObjectShape(properties=members, **limits)))


def texts_of(*members: Property) -> dict[str, str]:
    return {branch.path: branch.text for branch in branches(*members)}


def test_a_branch_holds_the_keys_of_its_own_slot_only() -> None:
    place = ObjectShape(properties=(member("name", StringShape()), member("floor", IntegerShape())))

    texts = texts_of(
        member("city", StringShape()),
        member("days", IntegerShape()),
        member("origin", place),
        member("names", ArrayShape(items=StringShape())),
        member("sizes", ArrayShape(items=NumberShape())),
        member("stops", ArrayShape(items=place)),
    )

    assert texts == {
        "city": '{"city": "',
        "days": '{"days":',
        "origin.name": '{"origin": {"name": "',
        "origin.floor": '{"origin": {"floor":',
        "names.0": '{"names": ["',
        "sizes.0": '{"sizes": [',
        "stops.0.name": '{"stops": [{"name": "',
        "stops.0.floor": '{"stops": [{"floor":',
    }


def test_the_outermost_optional_property_is_named() -> None:
    inner = ObjectShape(
        properties=(member("x", StringShape(), is_required=False), member("y", StringShape()))
    )

    found = branches(member("a", inner, is_required=False), member("b", inner), member("c", StringShape()))

    assert {branch.path: branch.optional_path for branch in found} == {
        "a.x": "a",
        "a.y": "a",
        "b.x": "b.x",
        "b.y": None,
        "c": None,
    }


def test_every_kind_of_a_value_has_a_branch() -> None:
    either = UnionShape(options=(StringShape(), IntegerShape(), ConstantsShape(values=(None,))))

    found = branches(member("a", either))

    assert [(branch.path, branch.text, branch.kind) for branch in found] == [
        ("a", '{"a": "', "string"),
        ("a", '{"a":', "integer"),
        ("a", '{"a":', "constants"),
    ]


def test_what_can_never_be_written_has_no_branch() -> None:
    found = branches(
        member("a", StringShape()),
        member("b", StringShape(), is_required=False),
        member("c", ArrayShape(items=StringShape(), max_items=0)),
        max_properties=2,
    )

    assert [branch.path for branch in found] == ["a"]


def test_a_date_has_a_kind_of_its_own_and_any_other_string_is_a_string() -> None:
    found = branches(
        member("a", StringShape(format="date")),
        member("b", StringShape(format="ipv4")),
        member("c", ConstantsShape(values=("x",))),
    )

    assert [branch.kind for branch in found] == ["date", "string", "constants"]


@given(objects(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_branch_is_tokenised_as_the_call_that_begins_with_its_slot(shape: ObjectShape, seed: int) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return
    call = scaffold.render(random_walk(CallWalker(scaffold), random.Random(seed)).arguments)

    # The pieces behind the tool's name: a literal, then the first slot unless the call has none.
    first, slot = call[3], call[4] if len(call) > 5 else None
    if slot is None or slot.kind != "slot":
        return

    found = {branch_ids(branch, VIEW.encode) for branch in branches_of(scaffold) if branch.path == slot.path}
    assert VIEW.encode(first.text) in found


@given(objects(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_follows_a_value_begins_with_one_of_its_ends(shape: ObjectShape, seed: int) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return
    call = scaffold.render(random_walk(CallWalker(scaffold), random.Random(seed)).arguments)
    by_shape = _slots_of(scaffold)

    for piece, behind in zip(call, call[1:], strict=False):
        slot = by_shape.get(_first_item(piece.path)) if piece.kind == "slot" else None
        if slot is not None and slot.slot.is_string == behind.text.startswith('"'):
            assert VIEW.encode(behind.text)[0] in end_ids(slot.slot, VIEW.vocabulary)


@given(objects())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_branch_is_the_beginning_of_json_and_of_a_known_kind(shape: ObjectShape) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return

    for branch in branches_of(scaffold):
        closing = "".join({"{": "}", "[": "]"}[x] for x in reversed(_open_brackets(branch.text)))
        json.loads(branch.text + ('x"' if branch.slot.is_string else "0") + closing)
        assert branch.kind in SLOT_KINDS


def test_ends_are_not_part_of_a_value() -> None:
    string, number = branches(member("a", StringShape()), member("b", NumberShape()))

    strings = [VIEW.vocabulary.tokens[token_id] for token_id in end_ids(string.slot, VIEW.vocabulary)]
    others = [VIEW.vocabulary.tokens[token_id] for token_id in end_ids(number.slot, VIEW.vocabulary)]

    assert strings and all(token.startswith(b'"') for token in strings)
    assert others and all(token[:1] in (b",", b"}", b"]") for token in others)


def test_a_number_begins_with_a_space_and_nothing_else_does() -> None:
    number, string, choice = branches(
        member("a", NumberShape()), member("b", StringShape()), member("c", ConstantsShape(values=(True,)))
    )

    assert lead_ids(number.slot, VIEW.encode) in ((), VIEW.encode(" "))
    assert lead_ids(string.slot, VIEW.encode) == lead_ids(choice.slot, VIEW.encode) == ()


def test_a_word_at_the_beginning_of_a_value_has_lost_its_space() -> None:
    forms, tokens = first_forms(VIEW.vocabulary), VIEW.vocabulary.tokens

    for token_id, token in enumerate(tokens):
        form = int(forms[token_id])
        if token and token.isalnum():
            assert form == token_id
        elif token.startswith(b" ") and token[1:].isalnum():
            assert tokens[form] and token[1:].startswith(tokens[form])
        elif not token:
            assert form == -1


def _slots_of(scaffold: Scaffold) -> dict[str, SlotBranch]:
    return {branch.path: branch for branch in branches_of(scaffold)}


def _first_item(path: str) -> str:
    return ".".join("0" if step.isdecimal() else step for step in path.split("."))


def _open_brackets(text: str) -> list[str]:
    """The brackets outside of strings that are open at the end of a text."""
    found: list[str] = []
    is_inside = is_escaped = False
    for letter in text:
        if is_escaped:
            is_escaped = False
        elif letter == "\\":
            is_escaped = is_inside
        elif letter == '"':
            is_inside = not is_inside
        elif not is_inside and letter in "{[":
            found.append(letter)
    return found
