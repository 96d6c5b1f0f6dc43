"""Which tokens may come next while a call is being written.

A `CallFrontier` follows every reading of the tokens so far that still leads to a valid call: usually one,
more where a union's options or several tools begin alike. Which of the allowed tokens is taken is the
business of engine/.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .byte_automaton import LanguageError
from .grammar import GrammarMatcher
from .matcher import AutomatonMatcher, SlotMatcher, matcher_for
from .nodes import Slot
from .token_tree import TokenNode, TokenTrees
from .vocabulary import TokenVocabulary
from .walker import CallWalker, Candidate

DEFAULT_MAX_SLOT_TOKENS = 512

MAX_READINGS = 64
"""Readings followed at once beyond those of the tools' names; the rest are given up, never made invalid."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The tokens that may come next, in ascending order.

    Attributes:
        ids: those that go on.
        ending: those that end the open slot; none of them is among `ids`.
        path: the slot that is open; None between slots, or where readings differ.
    """

    ids: NDArray[np.int64]
    ending: NDArray[np.int64]
    path: str | None

    @property
    def only(self) -> int | None:
        """The token that must come next, if there is just one."""
        if len(self.ids) + len(self.ending) != 1:
            return None
        return int(self.ids[0] if len(self.ids) else self.ending[0])


class _InLiteral:
    """Somewhere in the literals that the walker offers."""

    __slots__ = ("node", "walker")

    def __init__(self, walker: CallWalker, node: TokenNode) -> None:
        self.walker = walker
        self.node = node

    def take_forced(self) -> Iterator[int]:
        """Go down to the last token before a choice or the literal's end."""
        node = self.node
        while len(node.children) == 1:
            ((token_id, child),) = node.children.items()
            if child.ends:
                break
            yield token_id
            self.node = node = child


class _InConstants:
    """In a slot that holds one of some constants."""

    __slots__ = ("ends", "node", "token_ids", "walker")

    def __init__(self, walker: CallWalker, node: TokenNode) -> None:
        self.walker = walker
        self.node = node
        self.token_ids: list[int] = []
        self.ends: TokenNode | None = None


class _InSlot:
    """In a slot whose language a matcher follows."""

    __slots__ = ("ends", "mask", "matcher", "token_ids", "walker")

    def __init__(self, walker: CallWalker, matcher: SlotMatcher) -> None:
        self.walker = walker
        self.matcher = matcher
        self.mask: NDArray[np.bool_] | None = None
        self.token_ids: list[int] = []
        self.ends: TokenNode | None = None


_Reading = _InLiteral | _InConstants | _InSlot

_NO_IDS: NDArray[np.int64] = np.empty(0, dtype=np.int64)
_FEW = 256
"""Below this many tokens, sets are faster than masks."""


class CallFrontier:
    """Writes one call of one of some tools, token by token."""

    def __init__(
        self,
        walkers: Sequence[CallWalker],
        *,
        vocabulary: TokenVocabulary,
        trees: TokenTrees,
        max_slot_tokens: int = DEFAULT_MAX_SLOT_TOKENS,
        tokens_left: Callable[[], int] | None = None,
    ) -> None:
        """Stand before the name of the tool.

        Args:
            walkers: new walkers of the tools that may be called; several of a tool whose arguments may be
                objects of several kinds.
            vocabulary: what every token writes.
            trees: remembers how texts are tokenised.
            max_slot_tokens: tokens one value may take, beside its slot's own limit; it is ended there.
            tokens_left: tokens that may still be written. A value takes at most half of them, so that a
                backbone that never ends a value still completes its call.
        """
        self._vocabulary = vocabulary
        self._trees = trees
        self._max_slot_tokens = max_slot_tokens
        self._tokens_left = tokens_left
        self.overflowed: set[str] = set()
        """Paths of the values that were ended by their limit."""
        self._allowed: Allowed | None = None
        self._complete: CallWalker | None = None
        self._limit = max(MAX_READINGS, len(walkers))
        self._readings: list[_Reading] = [reading for walker in walkers for reading in self._opened(walker)]

    @property
    def completed(self) -> CallWalker | None:
        """The walker of the finished call, once there is one."""
        return self._complete

    @property
    def is_named(self) -> bool:
        """Whether the tool's name is written."""
        return self._complete is not None or all(reading.walker.is_named for reading in self._readings)

    @property
    def tool_name(self) -> str | None:
        """The tool being called, as soon as only one is left."""
        if self._complete is not None:
            return self._complete.tool_name
        names = {reading.walker.tool_name for reading in self._readings}
        return names.pop() if len(names) == 1 else None

    @property
    def settled_text(self) -> str:
        """The beginning of the call's text that no longer changes: what every reading has written."""
        if self._complete is not None:
            return self._complete.text
        return os.path.commonprefix([reading.walker.text for reading in self._readings])

    @property
    def num_slots(self) -> int:
        """Slots that were closed or are open, by the first reading."""
        walker = self._first()
        return len(walker.filled) + (walker.slot is not None and walker.is_named)

    def slot_path(self, index: int) -> str:
        """The path of one of these slots."""
        walker = self._first()
        if index < len(walker.filled):
            return walker.filled[index][0]
        assert walker.slot is not None
        return walker.slot.path

    def _first(self) -> CallWalker:
        return self._complete or self._readings[0].walker

    def allowed(self) -> Allowed:
        """The tokens that may come next; never none before the call is complete."""
        if self._allowed is None:
            self._allowed = self._find_allowed()
        return self._allowed

    def take_forced(self, max_tokens: int | None = None) -> list[int]:
        """Take tokens as long as only one is possible, and say which; stop soon behind `max_tokens`."""
        taken: list[int] = []
        while self._complete is None and (max_tokens is None or len(taken) <= max_tokens):
            if len(self._readings) == 1 and isinstance(literal := self._readings[0], _InLiteral):
                taken.extend(literal.take_forced())
            token_id = self.allowed().only
            if token_id is None:
                break
            taken.append(token_id)
            self.advance(token_id)
        return taken

    def advance(self, token_id: int) -> None:
        """Take a token.

        Raises:
            ValueError: the token is not allowed.
        """
        following: list[_Reading] = []
        completed: CallWalker | None = None
        for reading in self._readings:
            for after in self._advanced(reading, token_id):
                if isinstance(after, CallWalker):
                    completed = completed or after
                elif len(following) < self._limit:
                    following.append(after)
        if not following and completed is None:
            raise ValueError(f"token {token_id} cannot come next in this call")
        self._readings = following
        self._complete = completed
        self._allowed = None

    # Where a walker stands becomes readings.

    def _opened(self, walker: CallWalker) -> Iterator[_Reading]:
        slot = walker.slot
        if slot is None:
            yield _InLiteral(walker, self._literals(walker.candidates))
        elif slot.constants:
            yield _InConstants(walker, self._trees.tree(slot.constants))
        else:
            yield _InSlot(walker, self._matcher(slot, self._budget(slot)))

    def _budget(self, slot: Slot) -> int:
        budget = min(slot.budget.limit, self._max_slot_tokens)
        return budget if self._tokens_left is None else min(budget, max(1, self._tokens_left() // 2))

    def _matcher(self, slot: Slot, budget: int) -> SlotMatcher:
        return matcher_for(
            slot.shape,
            self._vocabulary,
            leading_space=slot.leading_space,
            budget=budget,
            earlier_items=[slot.raw_text(value) for value in slot.earlier_items],
        )

    def _literals(self, candidates: tuple[Candidate, ...]) -> TokenNode:
        texts = tuple(candidate.text for candidate in candidates)
        if not any(candidate.slot is not None and candidate.slot.earlier_items for candidate in candidates):
            return self._trees.tree(texts)
        return self._trees.tree_of_some(
            {n: text for n, text in enumerate(texts) if self._has_value_left(candidates[n].slot)}
        )

    def _note_overflow(self, reading: _InConstants | _InSlot) -> None:
        """Record a value that ends at its limit although it could go on."""
        slot = reading.walker.slot
        if slot is None or isinstance(reading, _InConstants):
            return
        if isinstance(reading.matcher, GrammarMatcher):
            if reading.matcher.is_cut:
                self.overflowed.add(slot.path)
            return
        if len(reading.token_ids) < self._budget(slot):
            return
        unbounded = self._matcher(slot, 2 * len(reading.token_ids) + 64)
        for token_id in reading.token_ids:
            unbounded.advance(token_id)
        if unbounded.allowed().any():
            self.overflowed.add(slot.path)

    def _has_value_left(self, slot: Slot | None) -> bool:
        """Whether a slot of an array of unique items can hold anything that is not taken."""
        if slot is None or slot.constants or not slot.earlier_items:
            return True
        try:
            matcher = self._matcher(slot, self._budget(slot))
        except LanguageError:
            return False
        return matcher.can_end() or bool(matcher.allowed().any())

    def _arrived(self, walker: CallWalker, node: TokenNode) -> Iterator[_Reading | CallWalker]:
        """A token led into literals: stay among them, and enter what the finished ones lead to."""
        for index in node.ends:
            after = walker.copy()
            after.choose(index)
            if after.is_complete:
                yield after
            else:
                yield from self._opened(after)
        if node.children:
            yield _InLiteral(walker, node)

    def _advanced(self, reading: _Reading, token_id: int) -> Iterator[_Reading | CallWalker]:
        if isinstance(reading, _InLiteral):
            child = reading.node.children.get(token_id)
            if child is not None:
                yield from self._arrived(reading.walker, child)
            return
        ends = self._ends(reading)
        end = ends.children.get(token_id) if ends is not None else None
        if end is not None:
            self._note_overflow(reading)
            after = reading.walker.copy()
            after.fill(self._text(reading))
            yield from self._arrived(after, end)
        if isinstance(reading, _InConstants):
            child = reading.node.children.get(token_id)
            if child is not None:
                reading.node = child
                reading.token_ids.append(token_id)
                reading.ends = None
                yield reading
        elif token_id < len(mask := self._mask(reading)) and mask[token_id]:
            reading.matcher.advance(token_id)
            reading.mask = None
            reading.token_ids.append(token_id)
            if reading.walker.depends_on_value:
                reading.ends = None
            yield reading

    # What a reading allows.

    def _find_allowed(self) -> Allowed:
        alone = [self._allowed_by(reading) for reading in self._readings]
        return alone[0] if len(alone) == 1 else _union(alone)

    def _allowed_by(self, reading: _Reading) -> Allowed:
        if isinstance(reading, _InLiteral):
            return Allowed(reading.node.ids, _NO_IDS, None)
        if isinstance(reading, _InConstants):
            ids = reading.node.ids
        else:
            mask = self._mask(reading)
            # An automaton keeps the masks of its states; others make each one anew.
            keeps_masks = isinstance(reading.matcher, AutomatonMatcher)
            ids = self._trees.ids_of(mask) if keeps_masks else np.flatnonzero(mask)
        path = reading.walker.slot.path if reading.walker.slot is not None else None
        ends = self._ends(reading)
        if ends is None:
            return Allowed(ids, _NO_IDS, path)
        goes_on = reading.node.children if isinstance(reading, _InConstants) else self._mask(reading)
        return Allowed(ids, _without(ends.ids, goes_on), path)

    def _mask(self, reading: _InSlot) -> NDArray[np.bool_]:
        if reading.mask is None:
            reading.mask = reading.matcher.allowed()
        return reading.mask

    def _ends(self, reading: _InConstants | _InSlot) -> TokenNode | None:
        """The literals that may follow if the slot ended here, or None where it cannot."""
        if not (reading.node.ends if isinstance(reading, _InConstants) else reading.matcher.can_end()):
            return None
        if reading.ends is None:
            text = self._text(reading) if reading.walker.depends_on_value else ""
            reading.ends = self._literals(reading.walker.following(text))
        return reading.ends

    def _text(self, reading: _InConstants | _InSlot) -> str:
        return self._vocabulary.text_of(reading.token_ids).decode()


def _without(
    ending: NDArray[np.int64], goes_on: NDArray[np.bool_] | dict[int, TokenNode]
) -> NDArray[np.int64]:
    """The ending tokens that cannot go on as well; what can is followed both ways."""
    if isinstance(goes_on, dict):
        is_both = [token_id in goes_on for token_id in ending.tolist()]
    else:
        is_both = [token_id < len(goes_on) and bool(goes_on[token_id]) for token_id in ending.tolist()]
    return ending[~np.array(is_both)] if any(is_both) else ending


def _union(alone: list[Allowed]) -> Allowed:
    """What several readings allow together; a token ends the slot only if it goes on in none of them."""
    paths = {allowed.path for allowed in alone}
    ids = _sorted_union([allowed.ids for allowed in alone])
    ending = _sorted_union([allowed.ending for allowed in alone])
    if len(ending) and len(ids):
        ending = ending[ids[np.minimum(np.searchsorted(ids, ending), len(ids) - 1)] != ending]
    return Allowed(ids, ending, paths.pop() if len(paths) == 1 else None)


def _sorted_union(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else _NO_IDS
    if max(map(len, parts)) < _FEW:
        return np.array(sorted({token_id for part in parts for token_id in part.tolist()}), dtype=np.int64)
    mask = np.zeros(1 + max(int(part[-1]) for part in parts), dtype=np.bool_)
    for part in parts:
        mask[part] = True
    return np.flatnonzero(mask)
