"""`CallWalker`: a cursor over a scaffold while a call is being written.

It says which literals may come next and which slot stands behind each; who takes the decision (a backbone,
a head, given arguments) is somebody else's business. Texts only: no tokens, no probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .canonical import ARGUMENTS_KEY, CALL_FOOTER, CALL_HEADER, join_path
from .fitting import same_json
from .nodes import Branch, Leaf, Members, Node, Repeat, Slot, leaf_slot
from .scaffold import Scaffold
from .shape import ConstantsShape, IntegerShape, JsonValue, NumberShape, StringShape

_CACHED_PLACES = 1024
"""Places of one scaffold whose candidates are remembered."""


@dataclass(frozen=True, slots=True)
class ObjectFrame:
    """Inside an object: the next member to consider, and how many are written."""

    node: Members
    path: str
    next_index: int
    count: int
    parent: Frame | None
    is_unique: bool


@dataclass(frozen=True, slots=True)
class ArrayFrame:
    """Inside an array: how many items are written or begun."""

    node: Repeat
    path: str
    count: int
    parent: Frame | None
    is_unique: bool


Frame = ObjectFrame | ArrayFrame

# `is_unique` of a frame: it or one around it is an array of unique items, so that what may come next
# depends on what was written.

_Filled = tuple[tuple[str, JsonValue], ...]
"""Path and value of every slot closed so far."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A literal that may come next.

    Behind it stands a slot, or the end of the call (`is_end`), or (neither) the next candidates.
    """

    text: str
    slot: Slot | None
    is_end: bool
    frame: Frame | None


class CallWalker:
    """Walks one call from the tool's name to its end.

    A new walker stands in a slot that holds the tool's name and nothing else, so that the names of several
    tools compete as the values of a slot do.
    """

    __slots__ = ("_candidates", "_filled", "_frame", "_parts", "_scaffold", "is_complete", "slot")

    def __init__(self, scaffold: Scaffold) -> None:
        """Open the slot of the tool's name."""
        self._scaffold = scaffold
        self._parts: tuple[str, ...] = ()
        self._filled: _Filled = ()
        self._frame: Frame | None = None
        self.slot: Slot | None = scaffold.name_slot
        self.is_complete = False
        self._candidates: tuple[Candidate, ...] = ()

    @property
    def tool_name(self) -> str:
        """The tool being called."""
        return self._scaffold.tool_name

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What may come next; empty while a slot is open and when the call is complete."""
        return self._candidates

    @property
    def options(self) -> tuple[str, ...]:
        """The texts of the candidates; a single one is forced."""
        return tuple(candidate.text for candidate in self._candidates)

    @property
    def text(self) -> str:
        """The JSON text so far, without the tags."""
        return "".join((CALL_HEADER, *self._parts)).strip("\n")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the completed call.

        Raises:
            ValueError: the call is not complete.
        """
        if not self.is_complete:
            raise ValueError(f"the call of {self.tool_name!r} is not complete yet: {self.text}")
        arguments: dict[str, Any] = json.loads(self.text)["arguments"]
        return arguments

    @property
    def filled(self) -> _Filled:
        """Path and value of every closed slot, in the order they were written."""
        return self._filled

    @property
    def is_named(self) -> bool:
        """Whether the tool's name is written."""
        return bool(self._parts)

    @property
    def frame(self) -> Frame | None:
        """The object or array that the next value or literal stands in, with all around it."""
        return self._frame

    @property
    def depends_on_value(self) -> bool:
        """Whether what may follow the open slot depends on its value (an array of unique items)."""
        return self._frame is not None and self._frame.is_unique

    def copy(self) -> CallWalker:
        """An independent walker at the same place."""
        copied = CallWalker.__new__(CallWalker)
        for name in self.__slots__:
            setattr(copied, name, getattr(self, name))
        return copied

    def choose(self, index: int) -> None:
        """Take a candidate: a slot opens, or new candidates appear, or the call is complete.

        Raises:
            ValueError: a slot is open, or there is no such candidate.
        """
        if not 0 <= index < len(self._candidates):
            raise ValueError(f"there is no candidate {index}: {len(self._candidates)} are on offer")
        candidate = self._candidates[index]
        self._parts += (candidate.text,)
        self._frame = candidate.frame
        self.slot = candidate.slot
        self.is_complete = candidate.is_end
        self._candidates = ()
        if candidate.slot is None and not candidate.is_end:
            self._candidates = self._next_candidates(self._frame, "", self._filled)

    def fill(self, text: str) -> None:
        """Close the open slot with its text as it stands in the call.

        String slots take the escaped body; others JSON with the leading space, which may be left out.

        Raises:
            ValueError: no slot is open, or the text is not JSON.
        """
        slot = self._open_slot()
        if slot is self._scaffold.name_slot:
            self._fill_name(text)
            return
        if slot.leading_space and not text.startswith(" "):
            text = " " + text
        filled = (*self._filled, (slot.path, slot_value(slot, text)))
        self._candidates = self._next_candidates(self._frame, _closing(slot), filled)
        self._filled = filled
        self._parts += (text,)
        self.slot = None

    def following(self, text: str) -> tuple[Candidate, ...]:
        """The candidates there would be if the open slot were closed with this text."""
        slot = self._open_slot()
        if slot is self._scaffold.name_slot:
            return self._first_candidates()
        filled = self._filled
        if self.depends_on_value:
            filled = (*filled, (slot.path, slot_value(slot, text)))
        return self._next_candidates(self._frame, _closing(slot), filled)

    def _fill_name(self, text: str) -> None:
        if text != self._scaffold.name_slot.constants[0]:
            raise ValueError(f"the call is one of {self.tool_name!r}, not of {text!r}")
        self._candidates = self._first_candidates()
        self._parts += (text,)
        self.slot = None

    def _open_slot(self) -> Slot:
        if self.slot is None:
            raise ValueError(f"no slot is open in the call of {self.tool_name!r}: choose a candidate first")
        return self.slot

    def _first_candidates(self) -> tuple[Candidate, ...]:
        first: tuple[Candidate, ...] | None = self._scaffold.cache.get("first")
        if first is None:
            first = tuple(_entered(self._scaffold.root, None, ARGUMENTS_KEY, "", True, ()))
            self._scaffold.cache["first"] = first
        return first

    def _next_candidates(self, frame: Frame | None, closing: str, filled: _Filled) -> tuple[Candidate, ...]:
        if frame is not None and frame.is_unique:
            return tuple(_continued(frame, closing, filled))
        cache = self._scaffold.cache
        place = (frame, closing)
        found: tuple[Candidate, ...] | None = cache.get(place)
        if found is None:
            found = tuple(_continued(frame, closing, filled))
            if len(cache) >= _CACHED_PLACES:
                cache.clear()
            cache[place] = found
        return found


def slot_value(slot: Slot, text: str) -> JsonValue:
    """The value a slot's raw text stands for.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(f'"{text}"' if slot.is_string else text)


def _closing(slot: Slot) -> str:
    return '"' if slot.is_string else ""


# What may come next. Every function yields candidates whose text begins with `prefix`.


def _continued(frame: Frame | None, prefix: str, filled: _Filled) -> Iterator[Candidate]:
    """A value has just ended inside this frame."""
    if frame is None:
        yield Candidate(prefix + CALL_FOOTER, None, True, None)
    elif isinstance(frame, ObjectFrame):
        yield from _more_members(frame, prefix, ", ", filled)
    else:
        yield from _more_items(frame, prefix, filled)


def _more_members(frame: ObjectFrame, prefix: str, opening: str, filled: _Filled) -> Iterator[Candidate]:
    """The members that may come next: optional ones up to and including the next required one, or the end."""
    node = frame.node
    for index in range(frame.next_index, len(node.members)):
        member = node.members[index]
        if _may_write(node, index, frame.count):
            after = ObjectFrame(node, frame.path, index + 1, frame.count + 1, frame.parent, frame.is_unique)
            path = join_path(frame.path, member.name)
            yield from _entered(member.node, after, prefix + opening + member.literal, path, True, filled)
        if member.is_required or frame.count + len(node.members) - index - 1 < node.minimum:
            return  # cannot be passed over
    if frame.count >= max(node.minimum, 1):
        yield from _continued(frame.parent, prefix + "}", filled)


def _may_write(node: Members, index: int, count: int) -> bool:
    return node.maximum is None or count + 1 + node.num_required_after[index + 1] <= node.maximum


def _more_items(frame: ArrayFrame, prefix: str, filled: _Filled) -> Iterator[Candidate]:
    item = frame.node.node_at(frame.count)
    if item is not None:
        yield from _item(item, frame, prefix + ",", True, filled)
    if frame.count >= frame.node.minimum:
        yield from _continued(frame.parent, prefix + "]", filled)


def _item(
    item: Node, frame: ArrayFrame, prefix: str, has_space: bool, filled: _Filled
) -> Iterator[Candidate]:
    after = ArrayFrame(frame.node, frame.path, frame.count + 1, frame.parent, frame.is_unique)
    path = join_path(frame.path, frame.count)
    yield from _entered(item, after, prefix, path, has_space, filled)


def _entered(
    node: Node, frame: Frame | None, prefix: str, path: str, has_space: bool, filled: _Filled
) -> Iterator[Candidate]:
    """A value begins here; `frame` is where the writer stands once it is written."""
    space = " " if has_space else ""
    if isinstance(node, Branch):
        for option in node.options:
            yield from _entered(option, frame, prefix, path, has_space, filled)
    elif isinstance(node, Leaf):
        slot = _slot(node, frame, path, has_space, filled)
        if slot is not None:
            text = prefix + space + '"' if node.is_string else prefix
            yield Candidate(text, slot, False, frame)
    elif isinstance(node, Members):
        is_unique = frame is not None and frame.is_unique
        inside = ObjectFrame(node, path, 0, 0, frame, is_unique)
        yield from _more_members(inside, prefix, space + "{", filled)
        if not node.num_required_after[0] and not node.minimum:
            yield Candidate(prefix + space + "{}", None, False, frame)
    else:
        is_unique = node.is_unique or (frame is not None and frame.is_unique)
        first = node.node_at(0)
        if first is not None:
            array = ArrayFrame(node, path, 0, frame, is_unique)
            yield from _item(first, array, prefix + space + "[", False, filled)
        if node.minimum == 0:
            yield Candidate(prefix + space + "[]", None, False, frame)


# Arrays of unique items.


def _slot(node: Leaf, frame: Frame | None, path: str, has_space: bool, filled: _Filled) -> Slot | None:
    """The slot of a leaf, or None where every value it could hold is taken."""
    slot = leaf_slot(node, path, has_space=has_space)
    earlier = _earlier_items(frame, path, filled) if frame is not None and frame.is_unique else ()
    return _differing(slot, earlier) if earlier else slot


def _differing(slot: Slot, earlier: tuple[JsonValue, ...]) -> Slot | None:
    """The same slot, holding none of the earlier values; None where nothing is left."""
    shape = slot.shape
    earlier = tuple(value for value in earlier if _could_equal(slot, value))
    if not earlier:
        return slot
    if isinstance(shape, ConstantsShape):
        left = tuple(
            text
            for text in slot.constants
            if not any(same_json(slot_value(slot, text), value) for value in earlier)
        )
        return replace(slot, constants=left, earlier_items=earlier) if left else None
    if isinstance(shape, IntegerShape) and shape.minimum is not None and shape.maximum is not None:
        step = shape.multiple_of or 1
        if shape.maximum // step - -(-shape.minimum // step) + 1 <= len(earlier):
            return None
    if isinstance(shape, StringShape) and shape.max_length == 0:
        return None
    return replace(slot, earlier_items=earlier)


def _could_equal(slot: Slot, value: JsonValue) -> bool:
    """Whether the slot can hold a value of this type; items of an array of a union differ in it."""
    if slot.is_string:
        return isinstance(value, str)
    if isinstance(slot.shape, (IntegerShape, NumberShape)):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return True


def _earlier_items(frame: Frame, path: str, filled: _Filled) -> tuple[JsonValue, ...]:
    """The values a slot must differ from, so that its array's items are unique."""
    if isinstance(frame, ArrayFrame):
        if not frame.node.is_unique:
            return ()
        items = {join_path(frame.path, index) for index in range(frame.count - 1)}
        return tuple(value for where, value in filled if where in items)
    array = frame.parent
    if (
        not isinstance(array, ArrayFrame)
        or not array.node.is_unique
        or array.node.deciding != frame.next_index - 1
    ):
        return ()
    name = frame.node.members[frame.next_index - 1].name
    current = _item_values(array.path, array.count - 1, filled)
    found = []
    for index in range(array.count - 1):
        values = _item_values(array.path, index, filled)
        before = {member.name for member in frame.node.members[: frame.next_index - 1]}
        begun = {key: value for key, value in values.items() if key.split(".", 1)[0] in before}
        if same_json(begun, current):
            found.append(values[name])
    return tuple(found)


def _item_values(array_path: str, index: int, filled: _Filled) -> dict[str, JsonValue]:
    start = join_path(array_path, index) + "."
    return {where.removeprefix(start): value for where, value in filled if where.startswith(start)}
