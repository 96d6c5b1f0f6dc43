"""Random shapes, the JSON Schema each stands for, and raw texts for their slots."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from agent_runtime.scaffold.canonical import json_text, string_body
from agent_runtime.scaffold.fitting import same_json
from agent_runtime.scaffold.nodes import Slot
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from agent_runtime.scaffold.walker import CallWalker, slot_value

CONSTANTS: list[Any] = [
    "celsius",
    "cel",
    "",
    'a"b',
    "é",
    1,
    10,
    -2.5,
    True,
    False,
    None,
    "1",
    [1, "x"],
    {"k": 0},
]


def schema_of(shape: Shape) -> dict[str, Any]:
    """The JSON Schema (2020-12) that a shape stands for."""
    match shape:
        case ConstantsShape():
            return {"enum": list(shape.values)}
        case IntegerShape():
            return _named(
                type="integer", minimum=shape.minimum, maximum=shape.maximum, multipleOf=shape.multiple_of
            )
        case NumberShape():
            low = "exclusiveMinimum" if shape.is_minimum_exclusive else "minimum"
            high = "exclusiveMaximum" if shape.is_maximum_exclusive else "maximum"
            return _named(type="number", **{low: shape.minimum, high: shape.maximum})
        case StringShape():
            return _named(type="string", minLength=shape.min_length, maxLength=shape.max_length)
        case ArrayShape():
            return _named(
                type="array",
                prefixItems=[schema_of(item) for item in shape.prefix] or None,
                items=False if shape.items is None else schema_of(shape.items),
                minItems=shape.min_items,
                maxItems=shape.max_items,
                uniqueItems=shape.is_unique,
            )
        case ObjectShape():
            return _named(
                type="object",
                properties={member.name: schema_of(member.shape) for member in shape.properties},
                required=[member.name for member in shape.properties if member.is_required],
                additionalProperties=False,
                minProperties=shape.min_properties,
                maxProperties=shape.max_properties,
            )
        case UnionShape():
            return {"anyOf": [schema_of(option) for option in shape.options]}
        case GrammarShape():
            return dict(shape.schema)


def _named(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}


def integers() -> st.SearchStrategy[Shape]:
    return st.builds(
        lambda low, width: IntegerShape(minimum=low, maximum=None if width is None else low + width),
        st.integers(-20, 20),
        st.none() | st.integers(0, 30),
    ) | st.just(IntegerShape())


def strings() -> st.SearchStrategy[Shape]:
    return st.builds(
        lambda low, more: StringShape(min_length=low, max_length=None if more is None else low + more),
        st.integers(0, 4),
        st.none() | st.integers(0, 8),
    )


def constants() -> st.SearchStrategy[Shape]:
    some = st.lists(st.sampled_from(range(len(CONSTANTS))), min_size=1, max_size=5, unique=True)
    return some.map(lambda chosen: ConstantsShape(values=tuple(CONSTANTS[index] for index in chosen)))


def scalars() -> st.SearchStrategy[Shape]:
    return integers() | strings() | constants() | st.just(NumberShape())


def shapes() -> st.SearchStrategy[Shape]:
    return st.recursive(scalars(), _containers, max_leaves=8)


def _containers(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return _arrays(inner) | objects(inner) | _unions(inner)


def _unions(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return st.lists(inner, min_size=2, max_size=3).map(lambda options: UnionShape(options=tuple(options)))


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Shape]) -> Shape:
    prefix = tuple(draw(st.lists(inner, max_size=2)))
    items = draw(st.none() | inner)
    low = draw(st.integers(0, 2 if items is not None else len(prefix)))
    high = draw(st.none() | st.integers(low, low + 3))
    is_unique = low <= 1 and draw(st.booleans())
    return ArrayShape(prefix=prefix, items=items, min_items=low, max_items=high, is_unique=is_unique)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Shape] | None = None) -> ObjectShape:
    names = draw(st.lists(st.sampled_from(["a", "ab", "b c", "é", 'q"', "0"]), max_size=4, unique=True))
    properties = tuple(
        Property(name=name, shape=draw(shapes() if inner is None else inner), is_required=draw(st.booleans()))
        for name in names
    )
    num_required = sum(member.is_required for member in properties)
    low = draw(st.integers(0, len(properties)))
    high = draw(st.none() | st.integers(max(low, num_required), len(properties) + 1))
    return ObjectShape(properties=properties, min_properties=low, max_properties=high)


def slot_text(slot: Slot, chance: random.Random) -> str:
    """A text that the slot allows, as it stands in the call."""
    space = " " if slot.leading_space else ""
    if slot.constants:
        return chance.choice(slot.constants)
    for _ in range(1000):
        text = space + _scalar_text(slot, chance)
        if not any(same_json(slot_value(slot, text), earlier) for earlier in slot.earlier_items):
            return text
    raise AssertionError(f"no value is left for {slot}")


def _scalar_text(slot: Slot, chance: random.Random) -> str:
    match slot.shape:
        case IntegerShape(minimum=low, maximum=high):
            low = -99 if low is None else low
            return str(chance.randint(low, low + 99 if high is None else high))
        case NumberShape(minimum=lowest):
            return json_text(chance.randint(-5 if lowest is None else int(lowest), 9) + 0.25)
        case StringShape(min_length=low, max_length=high):
            length = chance.randint(low, low + 6 if high is None else high)
            return string_body("".join(chance.choice('ab é"\\\n') for _ in range(length)))
        case _:
            return chance.choice(["null", "[1]", '{"k": "v"}', '"text"'])


def random_walk(walker: CallWalker, chance: random.Random, max_steps: int = 200) -> CallWalker:
    """Walk to the end; after many steps take the last candidate, which closes what can be closed."""
    steps = 0
    while not walker.is_complete:
        steps += 1
        if walker.slot is not None:
            walker.fill(slot_text(walker.slot, chance))
        elif steps > max_steps:
            walker.choose(len(walker.candidates) - 1)
        else:
            walker.choose(chance.randrange(len(walker.candidates)))
    return walker
