"""Branches of a call: every slot with the shortest text that leads to it, as if it were the call's only one.

A backbone that reads these side by side behind the tool's name has seen no other slot's draft: the state
before each slot and the row for its first token are exact from the start. Heads are trained and served on
the same branches. The tokens around a slot's value are slot_tokens.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .canonical import ARGUMENTS_KEY, join_path
from .nodes import Branch, Leaf, Members, Node, Slot, leaf_slot
from .scaffold import Scaffold
from .shape import ConstantsShape, GrammarShape, IntegerShape, NumberShape, Shape, StringShape

_FORMAT_KINDS = frozenset({"date", "time", "date-time", "email", "uri", "uuid"})

_BEFORE = ARGUMENTS_KEY + " "
"""What stands between the tool's name and its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotBranch:
    """One slot of a tool, and the way to it.

    Attributes:
        path: as in `ToolCall.slots`; of an array the first item.
        slot: what it may hold, as the first of its array.
        text: the beginning of the arguments that leads here, over as few keys as possible. It ends where the
            slot's first token begins: behind a string's quote, before any other value's space.
        kind: name of one of `heads.SLOT_KINDS`.
        optional_path: the outermost optional property this slot stands in.
    """

    path: str
    slot: Slot
    text: str
    kind: str
    optional_path: str | None

    @property
    def is_optional(self) -> bool:
        """Whether it, or a property around it, may be left out."""
        return self.optional_path is not None


def branches_of(scaffold: Scaffold) -> tuple[SlotBranch, ...]:
    """A branch for every slot a call of this tool may have, in the order of the schema.

    A property that may hold values of several kinds has several branches of the same path, and those of its
    kinds that begin alike have the same text.
    """
    found: tuple[SlotBranch, ...] | None = scaffold.cache.get("branches")
    if found is None:
        found = tuple(_of_node(scaffold.root, "", "", None, has_space=False))
        scaffold.cache["branches"] = found
    return found


def branch_ids(branch: SlotBranch, encode: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """The tokens from behind the tool's name to the slot, tokenised as the call itself would be.

    Args:
        branch: where to.
        encode: text -> token ids, never a control token (`BackboneView.encode`).
    """
    return tuple(encode(_BEFORE + branch.text))


def slot_kind(shape: Shape) -> str:
    """What heads are told of a slot: one of `heads.SLOT_KINDS`."""
    if isinstance(shape, StringShape):
        return shape.format if shape.format in _FORMAT_KINDS else "string"
    if isinstance(shape, IntegerShape):
        return "integer"
    if isinstance(shape, NumberShape):
        return "number"
    if isinstance(shape, ConstantsShape):
        return "constants"
    return "grammar" if isinstance(shape, GrammarShape) else "other"


def _of_node(
    node: Node, path: str, text: str, optional_path: str | None, *, has_space: bool
) -> Iterator[SlotBranch]:
    space = " " if has_space else ""
    if isinstance(node, Branch):
        for option in node.options:
            yield from _of_node(option, path, text, optional_path, has_space=has_space)
    elif isinstance(node, Leaf):
        yield SlotBranch(
            path=path,
            slot=leaf_slot(node, path, has_space=has_space),
            text=text + space + '"' if node.is_string else text,
            kind=slot_kind(node.shape),
            optional_path=optional_path,
        )
    elif isinstance(node, Members):
        yield from _of_members(node, path, text + space + "{", optional_path)
    elif (first := node.node_at(0)) is not None:
        item_path = join_path(path, 0)
        yield from _of_node(first, item_path, text + space + "[", optional_path, has_space=False)


def _of_members(node: Members, path: str, text: str, optional_path: str | None) -> Iterator[SlotBranch]:
    num_required = sum(member.is_required for member in node.members)
    for member in node.members:
        if node.maximum is not None and num_required + (not member.is_required) > node.maximum:
            continue  # there is never room for it
        member_path = join_path(path, member.name)
        outermost = optional_path or (None if member.is_required else member_path)
        yield from _of_node(member.node, member_path, text + member.literal, outermost, has_space=True)
