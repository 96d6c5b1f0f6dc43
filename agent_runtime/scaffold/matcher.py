"""Following one slot value token by token: what may come next, and when it may end.

`matcher_for` picks the way: an automaton where the shape has one, llguidance (grammar.py) where it has not.
Whatever tokens a caller takes among those allowed, the value is complete within the budget.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .automaton import UNREACHABLE, TokenAutomaton, compile_language
from .grammar import GrammarMatcher
from .language import language_of
from .shape import GrammarShape, Shape
from .vocabulary import TokenVocabulary

Mask = NDArray[np.bool_]

MASK_BYTES = 64 * 2**20
"""Memory for masks; the oldest go first."""

PLACES = 4096
"""States, counts and budgets of one automaton whose allowed classes are remembered."""


class SlotMatcher(Protocol):
    """A cursor over one slot value while it is being written."""

    @property
    def raw(self) -> bytes:
        """The bytes so far."""

    @property
    def text(self) -> str:
        """The text so far; an unfinished character shows as U+FFFD."""

    def allowed(self) -> Mask:
        """`(V,)`, read-only: tokens after which the value can still be completed within the budget."""

    def can_end(self) -> bool:
        """Whether the value may end here."""

    def advance(self, token_id: int) -> None:
        """Take one allowed token."""

    def forced(self) -> int | None:
        """The only token that may come, where the value can neither end nor go on otherwise."""

    def copy(self) -> Self:
        """An independent cursor at the same place."""

    def end_soon(self) -> None:
        """From here on take a short way out."""


def matcher_for(
    shape: Shape,
    vocabulary: TokenVocabulary,
    *,
    leading_space: bool = False,
    budget: int = 64,
    earlier_items: Iterable[str] = (),
) -> SlotMatcher:
    """The matcher of a slot of this shape.

    Args:
        shape: a scalar shape, or a `GrammarShape`.
        vocabulary: the tokenizer's tokens.
        leading_space: whether the slot begins before a space (not string slots).
        budget: most tokens the value may take; raised to the fewest that any value takes.
        earlier_items: raw texts that the value may not repeat (unique items of an array).

    Raises:
        LanguageError: the shape has no exact language, or every value is taken.
    """
    if isinstance(shape, GrammarShape):
        return GrammarMatcher.of(
            shape, vocabulary, leading_space=leading_space, budget=budget, earlier_items=tuple(earlier_items)
        )
    language = language_of(shape, leading_space=leading_space, without=earlier_items)
    return AutomatonMatcher(compile_language(language, vocabulary), vocabulary, budget=budget)


class AutomatonMatcher:
    """Follows a `TokenAutomaton` within a budget."""

    __slots__ = ("_automaton", "_count", "_left", "_masks", "_state", "_taken", "_vocabulary")

    def __init__(self, automaton: TokenAutomaton, vocabulary: TokenVocabulary, *, budget: int) -> None:
        self._automaton = automaton
        self._vocabulary = vocabulary
        self._masks = _masks_of(automaton)
        self._state = automaton.initial
        self._count = 0
        self._left = max(budget, automaton.min_tokens)
        self._taken: list[int] = []

    @property
    def raw(self) -> bytes:
        """The bytes so far."""
        return self._vocabulary.text_of(self._taken)

    @property
    def text(self) -> str:
        """The text so far; an unfinished character shows as U+FFFD."""
        return self.raw.decode(errors="replace")

    def allowed(self) -> Mask:
        """Tokens that leave the value completable with what is left of the budget."""
        return self._masks.of(self._state, self._count, self._left)[0]

    def can_end(self) -> bool:
        """Whether the value may end here."""
        return self._automaton.can_end(self._state, self._count)

    def advance(self, token_id: int) -> None:
        """Take one allowed token.

        Raises:
            ValueError: it is not allowed here.
        """
        state, count = self._automaton.step(self._state, self._count, token_id)
        if state < 0 or self._automaton.min_tokens_to_accept[state, count] >= self._left:
            raise ValueError(f"token {token_id} is not allowed after {self.text!r}")
        self._state, self._count = state, count
        self._left -= 1
        self._taken.append(token_id)

    def forced(self) -> int | None:
        """The only token that may come, if there is one and the value may not end instead."""
        return None if self.can_end() else self._masks.of(self._state, self._count, self._left)[1]

    def copy(self) -> AutomatonMatcher:
        """An independent cursor at the same place."""
        twin = AutomatonMatcher(self._automaton, self._vocabulary, budget=self._left)
        twin._state, twin._count, twin._left = self._state, self._count, self._left
        twin._taken = self._taken.copy()
        return twin

    def end_soon(self) -> None:
        """From here on take a shortest way out."""
        self._left = int(self._automaton.min_tokens_to_accept[self._state, self._count])


class _Masks:
    """Masks of one automaton, computed when first asked for and shared by all its matchers.

    Many states, counts and budgets allow the same classes; those share one mask.
    """

    def __init__(self, automaton: TokenAutomaton) -> None:
        self._automaton = automaton
        self._classes_at: dict[tuple[int, int, int], bytes] = {}
        distance = automaton.min_tokens_to_accept
        self._horizon = int(distance[distance < UNREACHABLE].max()) + 1

    def of(self, state: int, count: int, left: int) -> tuple[Mask, int | None]:
        """The mask, and the only token in it if there is just one."""
        place = (state, count, min(left, self._horizon))  # further away the budget excludes nothing
        key = self._classes_at.get(place)
        if key is None:
            if len(self._classes_at) >= PLACES:
                self._classes_at.clear()
            key = self._classes_at[place] = self._allowed_classes(*place).tobytes()
        found = _kept_masks.get((self, key))
        return found if found is not None else self._written_out(key)

    def _allowed_classes(self, state: int, count: int, left: int) -> NDArray[np.bool_]:
        automaton = self._automaton
        targets = automaton.next[state]
        after = count + automaton.lengths[state]
        is_alive: NDArray[np.bool_] = targets >= 0
        if automaton.max_length is not None:
            is_alive &= after <= automaton.highest_count
        after = np.minimum(after, automaton.highest_count)
        is_alive &= automaton.min_tokens_to_accept[targets, after] < left
        return is_alive

    def _written_out(self, key: bytes) -> tuple[Mask, int | None]:
        mask = np.frombuffer(key, np.bool_)[self._automaton.classes]
        mask.flags.writeable = False
        found = (mask, int(mask.argmax()) if np.count_nonzero(mask) == 1 else None)
        _kept_masks[self, key] = found
        while len(_kept_masks) * mask.nbytes > MASK_BYTES:
            _kept_masks.popitem(last=False)
        return found


_kept_masks: OrderedDict[tuple[_Masks, bytes], tuple[Mask, int | None]] = OrderedDict()
_masks: WeakKeyDictionary[TokenAutomaton, _Masks] = WeakKeyDictionary()


def _masks_of(automaton: TokenAutomaton) -> _Masks:
    found = _masks.get(automaton)
    if found is None:
        found = _masks[automaton] = _Masks(automaton)
    return found
