"""The parts of a scaffold, as frozen data: what a schema already determines about a call's text.

Leaves (one value each), members (an object: which keys, which of them optional), repeats (an array) and
branches (a union). Making them from shapes is scaffold.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from .canonical import json_text, string_body
from .shape import ConstantsShape, GrammarShape, IntegerShape, JsonValue, NumberShape, StringShape
from .slot_budget import SlotBudget

SlotShape = ConstantsShape | IntegerShape | NumberShape | StringShape | GrammarShape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leaf:
    """One value. `constants` are the raw texts it may have (string bodies, or JSON without a space)."""

    shape: SlotShape
    is_string: bool
    budget: SlotBudget
    constants: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presence:
    """A key and its value; an optional one may be absent."""

    name: str
    literal: str
    node: Node
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Members:
    """An object: its possible members in the order they are written."""

    members: tuple[Presence, ...]
    minimum: int = 0
    maximum: int | None = None
    num_required_after: tuple[int, ...] = ()
    """Required members at index `i` and later, for `i` up to the end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat:
    """An array: `prefix` items by position, then `item` again and again."""

    prefix: tuple[Node, ...] = ()
    item: Node | None = None
    minimum: int = 0
    maximum: int | None = None
    is_unique: bool = False
    deciding: int | None = None
    """In an array of unique objects: the member whose value keeps items apart."""

    def node_at(self, index: int) -> Node | None:
        """What the item at this index is, or None where the array must end."""
        if self.maximum is not None and index >= self.maximum:
            return None
        return self.prefix[index] if index < len(self.prefix) else self.item


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Branch:
    """A union: any one of the options."""

    options: tuple[Node, ...]


Node = Leaf | Members | Repeat | Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One gap of a call being written.

    `constants` are the texts it may have, space included, empty where the shape is not a list of constants.
    `earlier_items` are the values it must differ from (an array of unique items).
    """

    path: str
    shape: SlotShape
    is_string: bool
    leading_space: bool
    budget: SlotBudget
    constants: tuple[str, ...] = ()
    earlier_items: tuple[JsonValue, ...] = ()
    description: str = ""

    def raw_text(self, value: JsonValue) -> str:
        """A value as this slot spells it, without the space."""
        return string_body(value) if self.is_string and isinstance(value, str) else json_text(value)


def leaf_slot(leaf: Leaf, path: str, *, has_space: bool) -> Slot:
    """The slot of a leaf at a path; `has_space` where one stands before its value."""
    leading_space = has_space and not leaf.is_string
    return Slot(
        path=path,
        shape=leaf.shape,
        is_string=leaf.is_string,
        leading_space=leading_space,
        budget=leaf.budget,
        constants=tuple(" " + text for text in leaf.constants) if leading_space else leaf.constants,
        description=leaf.description,
    )
