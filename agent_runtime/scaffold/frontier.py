"""Which tokens may come next while a call is being written.

A `CallFrontier` follows every reading of the tokens so far that still leads to a valid call: usually one,
more where a union's options or several tools begin alike. Which of the allowed tokens is taken is the
business of engine/.
"""

from __future__ import annotations

import copy
import os.path
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .byte_automaton import LanguageError
from .grammar import GrammarMatcher
from .matcher import AutomatonMatcher, SlotMatcher, matcher_for
from .need import needs_of
from .nodes import Slot
from .repetition import RepetitionWatch
from .token_tree import TokenNode, TokenTrees
from .vocabulary import TokenVocabulary
from .walker import ArrayFrame, CallWalker, Candidate

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

    @property
    def place(self) -> Hashable:
        filled = self.walker.filled
        return filled[-1][0] if filled else "", self.node

    def copy(self) -> _InLiteral:
        return _InLiteral(self.walker, self.node)

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

    __slots__ = ("ends", "ends_need", "node", "token_ids", "walker")

    def __init__(self, walker: CallWalker, node: TokenNode) -> None:
        self.walker = walker
        self.node = node
        self.token_ids: list[int] = []
        self.ends: TokenNode | None = None
        self.ends_need = 0

    @property
    def place(self) -> Hashable:
        assert self.walker.slot is not None
        return self.walker.slot.path, self.node

    def copy(self) -> _InConstants:
        twin = _InConstants(self.walker, self.node)
        twin.token_ids, twin.ends, twin.ends_need = self.token_ids.copy(), self.ends, self.ends_need
        return twin


class _InSlot:
    """In a slot whose language a matcher follows."""

    __slots__ = (
        "budget", "ends", "ends_need", "is_ended", "mask", "matcher", "token_ids", "walker", "watch"
    )  # fmt: skip

    def __init__(self, walker: CallWalker, matcher: SlotMatcher, budget: int) -> None:
        self.walker = walker
        self.matcher = matcher
        self.budget = budget
        self.mask: NDArray[np.bool_] | None = None
        self.token_ids: list[int] = []
        self.ends: TokenNode | None = None
        self.ends_need = 0
        self.watch = RepetitionWatch()
        self.is_ended = False

    @property
    def place(self) -> Hashable:
        assert self.walker.slot is not None
        return self.walker.slot.path, tuple(self.token_ids)

    def copy(self) -> _InSlot:
        twin = _InSlot(self.walker, self.matcher.copy(), self.budget)
        twin.mask, twin.token_ids = self.mask, self.token_ids.copy()
        twin.ends, twin.ends_need = self.ends, self.ends_need
        twin.watch, twin.is_ended = self.watch.copy(), self.is_ended
        return twin


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
        max_tokens: int | None = None,
        is_quoted: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Stand before the name of the tool.

        Args:
            walkers: new walkers of the tools that may be called; several of a tool whose arguments may be
                objects of several kinds.
            vocabulary: what every token writes.
            trees: remembers how texts are tokenised.
            max_slot_tokens: tokens one value may take, beside its slot's own limit; it is ended there.
            max_tokens: tokens the call may take from here on. Near the end of them nothing is begun that
                would not fit, so that the call is completed: a value takes at most half of what is left,
                arrays do not grow and optional arguments are left out. None is no limit.
            is_quoted: whether a text (a string's JSON, without quotes) stands in the conversation. A value
                that does nothing but repeat itself is ended unless that is quoted.
        """
        self._vocabulary = vocabulary
        self._trees = trees
        self._max_slot_tokens = max_slot_tokens
        self._tokens_left = max_tokens
        self._is_quoted = is_quoted
        self._needs = needs_of(vocabulary, trees)
        self.overflowed: set[str] = set()
        """Paths of the values that were ended by their limit."""
        self.is_cut_short = False
        """Whether an array could not grow, or a constant could not be had, for lack of tokens."""
        self.num_behind_name = 0
        """Tokens taken since the tool's name was complete."""
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

    @property
    def filled_paths(self) -> tuple[str, ...]:
        """Paths of the values that are written, by the first reading."""
        return tuple(path for path, _ in self._first().filled)

    @property
    def open_slot(self) -> Slot | None:
        """The slot that is open, by the first reading."""
        return None if self._complete is not None else self._readings[0].walker.slot

    @property
    def open_tokens(self) -> tuple[int, ...]:
        """What the open slot holds so far, by the first reading."""
        reading = self._readings[0]
        return () if isinstance(reading, _InLiteral) else tuple(reading.token_ids)

    @property
    def literals(self) -> TokenNode | None:
        """The literals that may come next, by the first reading; None where the open slot must go on."""
        reading = self._readings[0]
        return reading.node if isinstance(reading, _InLiteral) else self._ends(reading)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the numbers in `literals` stand for."""
        reading = self._readings[0]
        if isinstance(reading, _InLiteral):
            return reading.walker.candidates
        return reading.walker.following(self._text(reading) if reading.walker.depends_on_value else "")

    @property
    def place(self) -> Hashable:
        """Where the first reading stands: the same in two calls that differ in other slots' values only."""
        reading = self._readings[0]
        return reading.walker.tool_name, type(reading), reading.place

    def copy(self) -> CallFrontier:
        """An independent frontier at the same place."""
        twin = copy.copy(self)
        twin._readings = [reading.copy() for reading in self._readings]
        twin.overflowed = self.overflowed.copy()
        return twin

    def end_soon(self) -> None:
        """From here on the open value takes a short way to its end."""
        for reading in self._readings:
            if isinstance(reading, _InSlot):
                reading.matcher.end_soon()
                reading.mask = None
        self._allowed = None

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
                forced = list(literal.take_forced())
                taken += forced
                self._count(len(forced))
                self.num_behind_name += len(forced)  # no literal stands before the name
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
        self._count(1)
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
        if self.num_behind_name or self.is_named:
            self.num_behind_name += 1

    # Where a walker stands becomes readings.

    def _opened(self, walker: CallWalker) -> Iterator[_Reading]:
        slot = walker.slot
        if slot is None:
            yield _InLiteral(walker, self._literals(walker.candidates)[0])
        elif slot.constants:
            yield _InConstants(walker, self._trees.tree(self._fitting_constants(slot, walker)))
        else:
            budget = self._budget(slot, walker)
            yield _InSlot(walker, self._matcher(slot, budget), budget)

    def _count(self, num_tokens: int) -> None:
        if self._tokens_left is not None:
            self._tokens_left -= num_tokens

    def _fitting_constants(self, slot: Slot, walker: CallWalker) -> tuple[str, ...]:
        """The constants for which there are tokens enough, at least the shortest."""
        left = self._tokens_left
        if left is None:
            return slot.constants
        lengths = [self._trees.length(text) for text in slot.constants]
        most = max(min(lengths), left - self._needs.after_slot(walker))
        if max(lengths) <= most:
            return slot.constants
        self.is_cut_short = True
        fitting = zip(slot.constants, lengths, strict=True)
        return tuple(text for text, length in fitting if length <= most)

    def _budget(self, slot: Slot, walker: CallWalker) -> int:
        budget = min(slot.budget.limit, self._max_slot_tokens)
        left = self._tokens_left
        if left is None:
            return budget
        return max(1, min(budget, left // 2, left - self._needs.after_slot(walker)))

    def _matcher(self, slot: Slot, budget: int) -> SlotMatcher:
        return matcher_for(
            slot.shape,
            self._vocabulary,
            leading_space=slot.leading_space,
            budget=budget,
            earlier_items=[slot.raw_text(value) for value in slot.earlier_items],
        )

    def _literals(self, candidates: tuple[Candidate, ...]) -> tuple[TokenNode, int]:
        """The tree of some candidates, and how many tokens must be left for it to stay the same."""
        fitting, need = self._fitting(candidates)
        is_any = any(candidate.slot is not None and candidate.slot.earlier_items for candidate in candidates)
        if len(fitting) == len(candidates) and not is_any:
            return self._trees.tree(tuple(candidate.text for candidate in candidates)), need
        left = {number: candidates[number] for number in fitting}
        tree = self._trees.tree_of_some(
            {number: one.text for number, one in left.items() if self._has_value_left(one.slot)}
        )
        return tree, need

    def _fitting(self, candidates: tuple[Candidate, ...]) -> tuple[list[int], int]:
        """The candidates for which there are tokens enough, and the most that one of them takes."""
        if self._tokens_left is None:
            return list(range(len(candidates))), 0
        needs = [self._needs.of(candidate) for candidate in candidates]
        most = max(self._tokens_left, min(needs))
        fitting = [number for number, need in enumerate(needs) if need <= most]
        if len(fitting) < len(needs) and isinstance(candidates[0].frame, ArrayFrame):
            # A lack of tokens, not the backbone, may have ended the array.
            self.is_cut_short = True
        return fitting, max(needs[number] for number in fitting)

    def _note_overflow(self, reading: _InConstants | _InSlot) -> None:
        """Record a value that ends at its limit although it could go on."""
        slot = reading.walker.slot
        if slot is None or isinstance(reading, _InConstants):
            return
        if reading.is_ended or (isinstance(reading.matcher, GrammarMatcher) and reading.matcher.is_cut):
            self.overflowed.add(slot.path)
            return
        if isinstance(reading.matcher, GrammarMatcher) or len(reading.token_ids) < reading.budget:
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
            matcher = self._matcher(slot, slot.budget.limit)
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
        ends = self._ends(reading, is_taking=True)
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
            self._watch(reading, token_id)
            yield reading

    def _watch(self, reading: _InSlot, token_id: int) -> None:
        """End a string that only repeats itself, unless it quotes."""
        num_copied = reading.watch.add(token_id)
        if not num_copied or reading.is_ended:
            return
        matcher, slot = reading.matcher, reading.walker.slot
        is_string = matcher.is_in_string if isinstance(matcher, GrammarMatcher) else slot and slot.is_string
        copied = self._vocabulary.text_of(reading.token_ids[-num_copied:])
        if is_string and not (self._is_quoted is not None and self._is_quoted(copied)):
            matcher.end_soon()
            reading.is_ended = True

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

    def _ends(self, reading: _InConstants | _InSlot, *, is_taking: bool = False) -> TokenNode | None:
        """The literals that may follow if the slot ended here, or None where it cannot.

        What is being taken was allowed before it was counted, and stays so.
        """
        if not (reading.node.ends if isinstance(reading, _InConstants) else reading.matcher.can_end()):
            return None
        is_scarce = self._tokens_left is not None and self._tokens_left < reading.ends_need
        if reading.ends is None or (is_scarce and not is_taking):
            text = self._text(reading) if reading.walker.depends_on_value else ""
            reading.ends, reading.ends_need = self._literals(reading.walker.following(text))
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
