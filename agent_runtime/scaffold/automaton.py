"""A slot language over tokens instead of bytes: which tokens may follow, grouped into classes.

Two tokens are of one class if no state tells them apart; a 128k vocabulary has 10 to 100 classes per
language, and everything later (masks, typed decoding) works on classes. To find them, the prefix tree of the
vocabulary is walked once with *functions* from states to states: a prefix is what it does to every state, and
prefixes that do the same are one. So the walk costs one table look-up per tree node, however many states
there are, where a walk per state (outlines-core's index; benchmarks/typed_decoding.py compares) costs
the product of both.

Lengths are counted beside the states, not in them: a class says how many characters it adds, and the distance
to an end is known for every state and count. `expanded` writes the counts out as states, for whoever
needs one plain table.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .byte_automaton import LanguageError
from .language import Language
from .vocabulary import TokenVocabulary

MAX_FUNCTIONS = 40_000
MAX_CELLS = 24_000_000
MAX_COUNT = 16_384
"""Characters that are counted. A longer `maxLength` is lowered to it: no slot holds that many."""

CACHED_AUTOMATA = 128

UNREACHABLE = int(np.iinfo(np.int32).max)
"""Distance of states and counts from which no value can be completed."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TokenAutomaton:
    """A deterministic automaton over token classes. State 0 is initial.

    Attributes:
        language_key: the language it accepts.
        classes: `(V,)`, class of every token; class 0 leads nowhere from anywhere.
        next: `(Q, K)`, next state per class, -1 where no accepted text follows whatever the count.
        lengths: `(Q, K)`, characters that begin in a token of this class; zero where nothing is counted.
        is_final: `(Q,)`, where a value may end, if it is long enough.
        min_length: fewest characters of a value.
        max_length: most characters, None without limit.
        min_tokens_to_accept: `(Q, N + 1)`, fewest tokens from a state and count to an end; N is the highest
            count, 0 where nothing is counted.
    """

    language_key: str
    classes: NDArray[np.int32]
    next: NDArray[np.int32]
    lengths: NDArray[np.int32]
    is_final: NDArray[np.bool_]
    min_length: int
    max_length: int | None
    min_tokens_to_accept: NDArray[np.int32]

    @property
    def initial(self) -> int:
        """Where a value begins, with count 0."""
        return 0

    @property
    def num_states(self) -> int:
        """Q."""
        return len(self.is_final)

    @property
    def num_classes(self) -> int:
        """K, the dead class included."""
        return int(self.next.shape[1])

    @property
    def highest_count(self) -> int:
        """N. Without `max_length`, counts stay at `min_length` once they are there."""
        return int(self.min_tokens_to_accept.shape[1]) - 1

    @property
    def is_counted(self) -> bool:
        """Whether lengths matter."""
        return self.min_length > 0 or self.max_length is not None

    @property
    def min_tokens(self) -> int:
        """The smallest budget a slot of this language can have."""
        return int(self.min_tokens_to_accept[0, 0])

    def step(self, state: int, count: int, token_id: int) -> tuple[int, int]:
        """State and count after one token; state -1 where it is not accepted."""
        token_class = self.classes[token_id]
        target = int(self.next[state, token_class])
        if target < 0:
            return -1, 0
        count += int(self.lengths[state, token_class])
        if count > self.highest_count:
            if self.max_length is not None:
                return -1, 0
            count = self.highest_count
        return (target, count) if self.min_tokens_to_accept[target, count] != UNREACHABLE else (-1, 0)

    def can_end(self, state: int, count: int) -> bool:
        """Whether a value may end here."""
        return bool(self.is_final[state]) and count >= self.min_length

    def accepts(self, token_ids: Iterable[int]) -> bool:
        """Whether the tokens write a whole value."""
        state, count = 0, 0
        for token_id in token_ids:
            state, count = self.step(state, count, token_id)
            if state < 0:
                return False
        return self.can_end(state, count)

    def expanded(
        self, *, max_states: int = 65_536
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]:
        """`(next, is_final, min_tokens_to_accept)` with a state for every state and count that is useful.

        Raises:
            LanguageError: more than `max_states` of them.
        """
        if not self.is_counted:
            return self.next, self.is_final, self.min_tokens_to_accept[:, 0]
        if self.min_tokens_to_accept.size > max_states:
            raise LanguageError(
                f"counting up to {self.highest_count} characters takes more than {max_states} states: "
                "decode this slot token by token"
            )
        return _expanded(self)


_lock = threading.Lock()
_compiled: OrderedDict[tuple[str, str], TokenAutomaton] = OrderedDict()


def compile_language(language: Language, vocabulary: TokenVocabulary) -> TokenAutomaton:
    """The language as an automaton over the vocabulary's tokens; the last `CACHED_AUTOMATA` are kept.

    Raises:
        LanguageError: too many states or classes, or the vocabulary cannot write any of its texts.
    """
    key = (language.key, vocabulary.fingerprint)
    with _lock:
        if (found := _compiled.get(key)) is not None:
            _compiled.move_to_end(key)
            return found
    found = _compile(language, vocabulary)
    with _lock:
        _compiled[key] = found
        while len(_compiled) > CACHED_AUTOMATA:
            _compiled.popitem(last=False)
    return found


def forget_compiled() -> None:
    """Empty the cache (measurements of a cold start)."""
    with _lock:
        _compiled.clear()


def _compile(language: Language, vocabulary: TokenVocabulary) -> TokenAutomaton:
    classes, table, lengths = _token_classes(language, vocabulary)
    is_final = language.automaton.is_final
    most = _highest_count(language)
    distance = _tokens_to_accept(table, lengths, is_final, language, most)
    if distance[0, 0] == UNREACHABLE:
        raise LanguageError(f"no sequence of the vocabulary's tokens writes a value of {language.key}")
    is_useful = distance.min(axis=1) != UNREACHABLE
    table = np.where((table >= 0) & is_useful[table], table, -1)
    for array in (classes, table, lengths, is_final, distance):
        array.flags.writeable = False
    return TokenAutomaton(
        language_key=language.key,
        classes=classes,
        next=table,
        lengths=lengths,
        is_final=is_final,
        min_length=language.min_length,
        max_length=None if language.max_length is None else most,
        min_tokens_to_accept=distance,
    )


def _highest_count(language: Language) -> int:
    if language.min_length > MAX_COUNT:
        raise LanguageError(
            f"minLength {language.min_length} is too long for a slot: at most {MAX_COUNT} is counted"
        )
    return language.min_length if language.max_length is None else min(language.max_length, MAX_COUNT)


def _token_classes(
    language: Language, vocabulary: TokenVocabulary
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Class of every token, next state per class, and characters a class adds per state."""
    walk = _Walk(language)
    tree = vocabulary.prefixes
    function = np.zeros(len(tree.parent), np.int32)
    function[0] = 1
    for start, end in zip(tree.levels[1:], tree.levels[2:], strict=False):
        parents = function[tree.parent[start:end]]
        alive = np.flatnonzero(parents)
        if not len(alive):
            break
        function[start + alive] = walk.extended(parents[alive], tree.byte[start:end][alive])
    of_token = function[tree.node_of_token]
    of_token[tree.node_of_token == 0] = 0
    used = np.bincount(of_token, minlength=len(walk.targets))
    used[0] = 1
    kept = np.flatnonzero(used)
    renumber = np.zeros(len(used), np.int32)
    renumber[kept] = np.arange(len(kept))
    targets = np.stack([walk.targets[index] for index in kept], axis=1)
    lengths = np.stack([walk.lengths[index] for index in kept], axis=1)
    return renumber[of_token], targets, lengths


class _Walk:
    """Functions from states to (state, characters read), numbered; 0 is dead everywhere, 1 the identity."""

    def __init__(self, language: Language) -> None:
        automaton = language.automaton
        is_counted = language.min_length > 0 or language.max_length is not None
        self._language = language
        self._size = size = automaton.num_states
        counts = (automaton.is_boundary & is_counted).astype(np.int32)
        columns = np.ascontiguousarray(automaton.table.T)
        _, symbols, self._symbol_of_byte = np.unique(
            columns.view(np.dtype((np.void, columns.dtype.itemsize * size))).ravel(),
            return_index=True,
            return_inverse=True,
        )
        # One row more, so that -1 (dead) stays dead.
        self._step = np.concatenate([automaton.table[:, symbols], np.full((1, len(symbols)), -1, np.int32)])
        self._count = np.concatenate([counts, [0]]).astype(np.int32)
        identity = np.arange(size, dtype=np.int32)
        none = np.zeros(size, np.int32)
        self.targets = [np.full(size, -1, np.int32), identity]
        self.lengths = [none, none]
        self._number = {self._key(0): 0, self._key(1): 1}
        self._extended = np.full((1024, len(symbols)), -1, np.int32)

    def _key(self, index: int) -> bytes:
        return self.targets[index].tobytes() + self.lengths[index].tobytes()

    def extended(self, functions: NDArray[np.int32], last_bytes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """What each function becomes when one more byte is read."""
        symbols = self._symbol_of_byte[last_bytes]
        found = self._extended[functions, symbols]
        if len(missing := np.flatnonzero(found < 0)):
            width = self._extended.shape[1]
            for pair in np.unique(functions[missing] * width + symbols[missing]).tolist():
                self._extended[pair // width, pair % width] = self._composed(*divmod(pair, width))
                self._grow()
            found = self._extended[functions, symbols]
        return found

    def _composed(self, index: int, symbol: int) -> int:
        before = self.targets[index]
        target = self._step[before, symbol]
        length = np.where(target >= 0, self.lengths[index] + self._count[before], 0)
        key = target.tobytes() + length.tobytes()
        if (number := self._number.get(key)) is None:
            number = self._number[key] = len(self.targets)
            self.targets.append(target)
            self.lengths.append(length)
            if number > MAX_FUNCTIONS or number * self._size > MAX_CELLS:
                raise LanguageError(
                    f"the tokens of {self._language.key} fall into too many classes: simplify it"
                )
        return number

    def _grow(self) -> None:
        if len(self.targets) >= len(self._extended):
            self._extended = np.concatenate([self._extended, np.full_like(self._extended, -1)])


def _tokens_to_accept(
    table: NDArray[np.int32],
    lengths: NDArray[np.int32],
    is_final: NDArray[np.bool_],
    language: Language,
    most: int,
) -> NDArray[np.int32]:
    """`(Q, most + 1)`: fewest tokens from each state and count to an end, by widening from the ends."""
    sources, classes = np.nonzero(table >= 0)
    edges = np.unique(np.stack([sources, table[sources, classes], lengths[sources, classes]], axis=1), axis=0)
    edges = edges[edges[:, 2] <= most] if language.max_length is not None else edges
    sources, targets, added = edges[:, 0], edges[:, 1], edges[:, 2]
    counts = np.arange(most + 1)
    distance = np.full((len(table), most + 1), UNREACHABLE, np.int32)
    distance[is_final, language.min_length :] = 0
    step = 0
    while True:
        # The states and counts one token before those found last.
        is_last = distance == step
        useful = np.flatnonzero(is_last.any(axis=1)[targets] & (distance.max(axis=1) == UNREACHABLE)[sources])
        step += 1
        found = np.zeros(distance.shape, np.bool_)
        for some in np.array_split(useful, 1 + len(useful) * (most + 1) // MAX_CELLS):
            after = counts + added[some, None]
            is_inside = after <= most
            np.minimum(after, most, out=after)
            hits = is_last[targets[some, None], after]
            if language.max_length is not None:
                hits &= is_inside
            np.logical_or.at(found, sources[some], hits)
        found &= distance == UNREACHABLE
        if not found.any():
            return distance
        distance[found] = step


def _expanded(automaton: TokenAutomaton) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]:
    most = automaton.highest_count
    distance = automaton.min_tokens_to_accept
    number = np.full(distance.shape, -1, np.int32)
    useful = distance != UNREACHABLE
    useful[0, 0] = True
    number[useful] = np.arange(np.count_nonzero(useful))  # (0, 0) comes first, so it stays the initial state
    states, counts = np.nonzero(useful)
    targets = automaton.next[states]
    after = counts[:, None] + automaton.lengths[states]
    is_alive = targets >= 0
    if automaton.max_length is not None:
        is_alive &= after <= most
    table = np.where(is_alive, number[targets, np.minimum(after, most)], -1)
    is_final = automaton.is_final[states] & (counts >= automaton.min_length)
    return table, is_final, distance[states, counts]
