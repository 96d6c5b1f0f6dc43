"""The scaffold of a tool's call: everything about its text that the schema already determines.

Its parts are nodes.py. How it becomes text while a call is written is walker.py; how given arguments become
text is `Scaffold.render`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import SchemaError
from .canonical import Piece, call_pieces, json_text, string_body
from .fitting import fitted
from .nodes import Branch, Leaf, Members, Node, Presence, Repeat, Slot, SlotShape
from .shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    JsonValue,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from .slot_budget import DEFAULT_RULES, SlotBudgetRules, slot_budget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaffold:
    """What is fixed and what is open in a call of one tool."""

    tool_name: str
    root: Members
    name_slot: Slot
    """Holds the tool's name, and nothing else."""

    cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What walkers worked out; bounded by them."""

    def render(self, arguments: Mapping[str, Any]) -> tuple[Piece, ...]:
        """The pieces of the call with these arguments, keys in schema order.

        Checks names, types, constants, counts, bounds and lengths. Patterns, formats and multiples are the
        business of `Tool.validate`.

        Raises:
            MisfitError: the arguments do not fit.
        """
        return call_pieces(self.tool_name, self.ordered(arguments))

    def ordered(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The same arguments with their keys in schema order.

        Raises:
            MisfitError: the arguments do not fit.
        """
        ordered: dict[str, Any] = fitted(self.root, arguments)
        return ordered


_CACHED_SCAFFOLDS = 512
_scaffolds: OrderedDict[tuple[str, int, SlotBudgetRules], tuple[ObjectShape, Scaffold]] = OrderedDict()


def build_scaffold(tool_name: str, shape: ObjectShape, *, rules: SlotBudgetRules = DEFAULT_RULES) -> Scaffold:
    """The scaffold of a tool, made once per shape object.

    Shapes are told apart by identity: equality would take the constants `1`, `1.0` and `True` for one.

    Raises:
        SchemaError: counts that no call can satisfy, or more unique items than can be kept apart.
    """
    key = (tool_name, id(shape), rules)
    found = _scaffolds.get(key)
    if found is not None and found[0] is shape:
        return found[1]
    scaffold = Scaffold(
        tool_name=tool_name,
        root=_Builder(tool_name, rules).members(shape, "$"),
        name_slot=_name_slot(tool_name, rules),
    )
    _scaffolds[key] = (shape, scaffold)  # holds the shape, so that its id stays taken
    while len(_scaffolds) > _CACHED_SCAFFOLDS:
        _scaffolds.popitem(last=False)
    return scaffold


def _name_slot(tool_name: str, rules: SlotBudgetRules) -> Slot:
    shape = ConstantsShape(values=(tool_name,))
    text = string_body(tool_name)
    return Slot(
        path="",
        shape=shape,
        is_string=True,
        leading_space=False,
        budget=slot_budget(shape, constants=[text], rules=rules),
        constants=(text,),
    )


class _Builder:
    """Turns the shapes of one tool into nodes. `place` is the JSON path in the schema, for errors."""

    def __init__(self, tool_name: str, rules: SlotBudgetRules) -> None:
        self._tool_name = tool_name
        self._rules = rules

    def members(self, shape: ObjectShape, place: str) -> Members:
        members = tuple(
            Presence(
                name=member.name,
                literal=json_text(member.name) + ":",
                node=self._node(member.shape, f"{place}.properties.{member.name}", member),
                is_required=member.is_required,
            )
            for member in shape.properties
        )
        required_after = [0]
        for member in reversed(members):
            required_after.append(required_after[-1] + member.is_required)
        most = len(members) if shape.max_properties is None else min(len(members), shape.max_properties)
        if shape.min_properties > most or required_after[-1] > most:
            raise self._refusal("no choice of the declared properties satisfies the counts", place)
        return Members(
            members=members,
            minimum=shape.min_properties,
            maximum=shape.max_properties,
            num_required_after=tuple(reversed(required_after)),
        )

    def _node(self, shape: Shape, place: str, member: Property) -> Node:
        if isinstance(shape, ObjectShape):
            return self.members(shape, place)
        if isinstance(shape, ArrayShape):
            return self._repeat(shape, place, member)
        if isinstance(shape, UnionShape):
            return _branch([self._node(option, place, member) for option in shape.options])
        if isinstance(shape, ConstantsShape):
            return self._constants(shape, place, member)
        budget = slot_budget(shape, name=member.name, description=member.description, rules=self._rules)
        return Leaf(
            shape=shape,
            is_string=isinstance(shape, StringShape),
            budget=budget,
            description=member.description,
        )

    def _constants(self, shape: ConstantsShape, place: str, member: Property) -> Node:
        """Strings and other constants begin differently, so a mixed list is a branch of two leaves."""
        strings = tuple(value for value in shape.values if isinstance(value, str))
        others = tuple(value for value in shape.values if not isinstance(value, str))
        leaves = [
            self._constants_leaf(values, is_string, member)
            for values, is_string in ((strings, True), (others, False))
            if values
        ]
        if not leaves:
            raise self._refusal("no value is allowed", place, "enum")
        return _branch(leaves)

    def _constants_leaf(self, values: tuple[JsonValue, ...], is_string: bool, member: Property) -> Leaf:
        texts = tuple(dict.fromkeys(string_body(v) if is_string else json_text(v) for v in values))
        shape = ConstantsShape(values=values)
        spaced = texts if is_string else tuple(" " + text for text in texts)
        return Leaf(
            shape=shape,
            is_string=is_string,
            budget=slot_budget(shape, constants=spaced, rules=self._rules),
            constants=texts,
            description=member.description,
        )

    def _repeat(self, shape: ArrayShape, place: str, member: Property) -> Repeat:
        prefix = tuple(
            self._node(item, f"{place}.prefixItems[{number}]", member)
            for number, item in enumerate(shape.prefix)
        )
        item = None if shape.items is None else self._node(shape.items, f"{place}.items", member)
        maximum = len(prefix) if item is None else shape.max_items
        if shape.max_items is not None and maximum is not None:
            maximum = min(maximum, shape.max_items)
        deciding = _deciding_member(item) if shape.is_unique else None
        is_apart = not prefix and (_is_scalar(item) or deciding is not None)
        if shape.is_unique and not is_apart:
            # Items that cannot be kept apart while they are written: a single one is always unique.
            maximum = 1 if maximum is None else min(maximum, 1)
        if maximum is not None and shape.min_items > maximum:
            raise self._refusal(
                f"{shape.min_items} items are required, but at most {maximum} can be written",
                place,
                "uniqueItems" if shape.is_unique else "minItems",
            )
        return Repeat(
            prefix=prefix,
            item=item,
            minimum=shape.min_items,
            maximum=maximum,
            is_unique=shape.is_unique,
            deciding=deciding,
        )

    def _refusal(self, reason: str, place: str, keyword: str = "") -> SchemaError:
        return SchemaError(reason, tool=self._tool_name, path=place, keyword=keyword)


def _branch(options: Sequence[Node]) -> Node:
    flat = [
        inner for option in options for inner in (option.options if isinstance(option, Branch) else (option,))
    ]
    return flat[0] if len(flat) == 1 else Branch(options=tuple(flat))


def _is_scalar(node: Node | None) -> bool:
    if isinstance(node, Branch):
        return all(_is_scalar(option) for option in node.options)
    return isinstance(node, Leaf) and not isinstance(node.shape, GrammarShape)


def _deciding_member(item: Node | None) -> int | None:
    """The last required member that holds one free value: from there on items surely differ."""
    if not isinstance(item, Members):
        return None
    found = [
        index
        for index, member in enumerate(item.members)
        if member.is_required and isinstance(member.node, Leaf) and _is_free(member.node.shape)
    ]
    return found[-1] if found else None


def _is_free(shape: SlotShape) -> bool:
    """Whether a value can always be found that differs from some others."""
    if isinstance(shape, StringShape):
        return not shape.patterns and shape.format is None and shape.max_length is None
    if isinstance(shape, IntegerShape):
        return shape.minimum is None or shape.maximum is None
    return isinstance(shape, NumberShape) and shape.multiple_of is None and _is_wide(shape)


def _is_wide(shape: NumberShape) -> bool:
    return shape.minimum is None or shape.maximum is None or shape.minimum < shape.maximum
