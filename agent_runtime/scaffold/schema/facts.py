"""What is known of a value of one JSON type: the atoms that a schema is taken apart into.

A schema becomes a list of facts, any one of which is enough (`options.py`). Facts of one type can be
joined into one that demands both, so `allOf` and sibling keywords vanish here. A child (a property's
schema, an array's items) is a `Node`: a set of subschemas that all hold, read only when needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Literal:
    """One subschema of the document, or its negation."""

    schema: Mapping[str, Any] | bool = field(hash=False, compare=False)
    path: str = field(hash=False, compare=False)
    is_negated: bool = False
    key: int = 0


def literal(schema: Mapping[str, Any] | bool, path: str, *, is_negated: bool = False) -> Literal:
    """A literal that equals another of the same subschema object."""
    if isinstance(schema, bool):
        return Literal(schema != is_negated, path, False, int(schema != is_negated))
    return Literal(schema, path, is_negated, id(schema))


Node = tuple[Literal, ...]
"""Subschemas that must all hold. The empty node allows anything."""

ANYTHING: Node = ()


def nothing(path: str) -> Node:
    """The node that no value satisfies."""
    return (literal(False, path),)


def node(*literals: Literal) -> Node:
    """A node of these literals, each once; `true` says nothing and is left out."""
    return tuple(dict.fromkeys(item for item in literals if item.schema is not True))


def both(first: Node, second: Node) -> Node:
    """The node that demands what either demands."""
    return node(*first, *second) if first and second else first or second


def is_nothing(of: Node) -> bool:
    """Whether the node is `false` outright."""
    return any(item.schema is False for item in of)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantFacts:
    """One of these values, of whatever type."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """A number within bounds. `has_fraction` asks for a number that is no integer."""

    is_integer: bool = False
    has_fraction: bool = False
    minimum: float | None = None
    maximum: float | None = None
    is_minimum_exclusive: bool = False
    is_maximum_exclusive: bool = False
    multiples: tuple[int | float, ...] = ()
    not_multiples: tuple[int | float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StringFacts:
    """A string. `excluded` are whole strings it may not be."""

    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()
    not_patterns: tuple[str, ...] = ()
    not_formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains:
    """At least `minimum` and at most `maximum` items satisfy `item`."""

    item: Node
    negation: Node
    minimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFacts:
    """An array: `prefix` by position, then `rest`.

    `evaluated` says how many items were looked at by `prefixItems` or `items` (None: all), which is what
    `unevaluatedItems` asks for.
    """

    prefix: tuple[Node, ...] = ()
    rest: Node = ANYTHING
    min_items: int = 0
    max_items: int | None = None
    is_unique: bool = False
    has_duplicates: bool = False
    contains: tuple[Contains, ...] = ()
    evaluated: int | None = 0

    def item(self, index: int) -> Node:
        """What the item at `index` must satisfy."""
        return self.prefix[index] if index < len(self.prefix) else self.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """`properties`, `patternProperties` and `additionalProperties` of one schema: they belong together."""

    properties: Mapping[str, Node] = field(default_factory=dict)
    patterns: tuple[tuple[str, Node], ...] = ()
    additional: Node = ANYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """An object. `extras`: for each set of names, at least one key outside it must be there."""

    scopes: tuple[Scope, ...] = ()
    required: tuple[str, ...] = ()
    min_properties: int = 0
    max_properties: int | None = None
    names: Node = ANYTHING
    extras: tuple[frozenset[str], ...] = ()
    evaluated: frozenset[str] = frozenset()
    evaluated_patterns: tuple[str, ...] = ()
    is_all_evaluated: bool = False

    def declared(self) -> tuple[str, ...]:
        """Every name some scope or `required` mentions, in order of appearance."""
        names = dict.fromkeys(name for scope in self.scopes for name in scope.properties)
        return tuple(names | dict.fromkeys(self.required))


Facts = ConstantFacts | NumberFacts | StringFacts | ArrayFacts | ObjectFacts

EVERYTHING: tuple[Facts, ...] = (
    ConstantFacts(values=(None,)),
    ConstantFacts(values=(True, False)),
    NumberFacts(),
    StringFacts(),
    ArrayFacts(),
    ObjectFacts(),
)


def type_names(value: Any) -> tuple[str, ...]:
    """The JSON Schema types a value has; 1.0 is an integer too."""
    match value:
        case None:
            return ("null",)
        case bool():
            return ("boolean",)
        case int():
            return ("integer", "number")
        case float():
            return ("integer", "number") if value.is_integer() else ("number",)
        case str():
            return ("string",)
        case list() | tuple():
            return ("array",)
    return ("object",)


def is_same(first: Any, second: Any) -> bool:
    """JSON equality: 1 is 1.0, but true is not 1."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(is_same, first, second))
    return bool(first == second)


def join_numbers(first: NumberFacts, second: NumberFacts) -> NumberFacts:
    """Both at once."""
    low = _tighter(
        (first.minimum, first.is_minimum_exclusive),
        (second.minimum, second.is_minimum_exclusive),
        is_low=True,
    )
    high = _tighter(
        (first.maximum, first.is_maximum_exclusive),
        (second.maximum, second.is_maximum_exclusive),
        is_low=False,
    )
    return NumberFacts(
        is_integer=first.is_integer or second.is_integer,
        has_fraction=first.has_fraction or second.has_fraction,
        minimum=low[0],
        is_minimum_exclusive=low[1],
        maximum=high[0],
        is_maximum_exclusive=high[1],
        multiples=_together(first.multiples, second.multiples),
        not_multiples=_together(first.not_multiples, second.not_multiples),
    )


def _tighter(
    first: tuple[float | None, bool], second: tuple[float | None, bool], *, is_low: bool
) -> tuple[float | None, bool]:
    if first[0] is None:
        return second
    if second[0] is None:
        return first
    if first[0] == second[0]:
        return first[0], first[1] or second[1]
    return first if (first[0] > second[0]) == is_low else second


def join_strings(first: StringFacts, second: StringFacts) -> StringFacts:
    """Both at once."""
    return StringFacts(
        min_length=max(first.min_length, second.min_length),
        max_length=least(first.max_length, second.max_length),
        patterns=_together(first.patterns, second.patterns),
        formats=_together(first.formats, second.formats),
        excluded=first.excluded | second.excluded,
        not_patterns=_together(first.not_patterns, second.not_patterns),
        not_formats=_together(first.not_formats, second.not_formats),
    )


def join_arrays(first: ArrayFacts, second: ArrayFacts) -> ArrayFacts:
    """Both at once."""
    length = max(len(first.prefix), len(second.prefix))
    return ArrayFacts(
        prefix=tuple(both(first.item(index), second.item(index)) for index in range(length)),
        rest=both(first.rest, second.rest),
        min_items=max(first.min_items, second.min_items),
        max_items=least(first.max_items, second.max_items),
        is_unique=first.is_unique or second.is_unique,
        has_duplicates=first.has_duplicates or second.has_duplicates,
        contains=(*first.contains, *second.contains),
        evaluated=None
        if first.evaluated is None or second.evaluated is None
        else max(first.evaluated, second.evaluated),
    )


def join_objects(first: ObjectFacts, second: ObjectFacts) -> ObjectFacts:
    """Both at once."""
    return ObjectFacts(
        scopes=(*first.scopes, *(scope for scope in second.scopes if scope not in first.scopes)),
        required=_together(first.required, second.required),
        min_properties=max(first.min_properties, second.min_properties),
        max_properties=least(first.max_properties, second.max_properties),
        names=both(first.names, second.names),
        extras=_together(first.extras, second.extras),
        evaluated=first.evaluated | second.evaluated,
        evaluated_patterns=_together(first.evaluated_patterns, second.evaluated_patterns),
        is_all_evaluated=first.is_all_evaluated or second.is_all_evaluated,
    )


def least(first: int | None, second: int | None) -> int | None:
    """The smaller limit; None is no limit."""
    return second if first is None else first if second is None else min(first, second)


def _together(first: tuple[_T, ...], second: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def integer_bounds(facts: NumberFacts) -> tuple[int | None, int | None]:
    """Inclusive bounds of the integers these facts allow."""
    low: int | None = None
    high: int | None = None
    if facts.minimum is not None:
        low = math.ceil(facts.minimum)
        low += facts.is_minimum_exclusive and low == facts.minimum
    if facts.maximum is not None:
        high = math.floor(facts.maximum)
        high -= facts.is_maximum_exclusive and high == facts.maximum
    return low, high


def common_multiple(steps: tuple[int | float, ...]) -> int | float | None:
    """The step whose multiples are the multiples of all; exact, as the decimals were written."""
    if not steps:
        return None
    if len(steps) == 1:
        return steps[0]
    total = as_fraction(steps[0])
    for step in steps[1:]:
        other = as_fraction(step)
        total = Fraction(
            math.lcm(total.numerator * other.denominator, other.numerator * total.denominator),
            total.denominator * other.denominator,
        )
    return int(total) if total.denominator == 1 else float(total)


def integer_step(steps: tuple[int | float, ...]) -> int | None:
    """The step of the integers among the multiples of all steps: of p/q they are the multiples of p."""
    common = common_multiple(steps)
    if common is None:
        return None
    step = as_fraction(common).numerator
    return None if step == 1 else step


def as_fraction(number: int | float) -> Fraction:
    """A number as its shortest decimal says: 0.1 is one tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def with_scope(facts: ObjectFacts, scope: Scope) -> ObjectFacts:
    """The facts with one more scope."""
    return replace(facts, scopes=(*facts.scopes, scope))
