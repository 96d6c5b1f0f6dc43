"""Shapes: what a tool's schema allows, after reading, as a small closed set of frozen types.

`schema.py` turns JSON Schema into shapes, `scaffold.py` turns shapes into literals and slots. A shape is
exact: it allows nothing its schema forbids. What these types cannot say is a `GrammarShape`, which
llguidance decodes token by token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonValue = Any
"""A value `json.loads` can return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantsShape:
    """`enum`, `const`, `boolean` and `null`: one of finitely many values, in schema order."""

    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerShape:
    """An integer; bounds are inclusive, `None` is unbounded."""

    minimum: int | None = None
    maximum: int | None = None
    multiple_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberShape:
    """A number; bounds as declared."""

    minimum: float | None = None
    maximum: float | None = None
    is_minimum_exclusive: bool = False
    is_maximum_exclusive: bool = False
    multiple_of: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StringShape:
    """A string; lengths in code points; all `patterns` must be found (ECMA 262, unanchored)."""

    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[str, ...] = ()
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """`prefix` items by position, then `items` (None: nothing more may follow)."""

    prefix: tuple[Shape, ...] = ()
    items: Shape | None = None
    min_items: int = 0
    max_items: int | None = None
    is_unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One declared property, in schema order."""

    name: str
    shape: Shape
    is_required: bool
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """Declared properties only, written in declared order.

    Other keys are never written: a subset of what an open object allows, so always valid.
    """

    properties: tuple[Property, ...] = ()
    min_properties: int = 0
    max_properties: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionShape:
    """Any one of the options; no two need be disjoint, since each alone is valid."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrammarShape:
    """A value decoded token by token by llguidance under `schema` (self-contained, `$defs` included)."""

    schema: Mapping[str, Any] = field(hash=False)


Shape = (
    ConstantsShape
    | IntegerShape
    | NumberShape
    | StringShape
    | ArrayShape
    | ObjectShape
    | UnionShape
    | GrammarShape
)
