"""Deterministic automata over bytes, and the few operations slot languages are built from.

Everything a scalar slot may hold ends up as one of these: small, minimal, exact, and bounded in size. Where
the bytes come from (numbers, patterns, constants) is numeral.py, pattern.py and language.py; what they
mean in tokens is automaton.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import AgentRuntimeError

MAX_STATES = 30_000
"""States an automaton may have while it is being built; above it a language is refused."""

MINIMISED_STATES = 2_000
LARGE_ROUNDS = 40
"""Above that many states, only automata in which equal states are told apart in so many rounds are minimised:
for long chains it would take longer than it saves."""

State = TypeVar("State", bound=Hashable)


class LanguageError(AgentRuntimeError):
    """A shape whose values no automaton of reasonable size can describe exactly.

    Attributes:
        reason: what is wrong, for whoever turns it into an error with a tool and a path.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True, eq=False)
class ByteAutomaton:
    """Accepts byte strings. State 0 is the initial one.

    Attributes:
        table: `(Q, 256)`, next state per byte, -1 where nothing follows.
        is_final: `(Q,)`, where a value may end.
        is_boundary: `(Q,)`, where a character may begin; lengths count the bytes read in such states.
    """

    table: NDArray[np.int32]
    is_final: NDArray[np.bool_]
    is_boundary: NDArray[np.bool_]

    @property
    def num_states(self) -> int:
        """How many states there are, the initial one included."""
        return len(self.is_final)

    def accepts(self, text: bytes) -> bool:
        """Whether the whole of `text` is in the language (lengths are not counted here)."""
        state = 0
        for byte in text:
            state = int(self.table[state, byte])
            if state < 0:
                return False
        return bool(self.is_final[state])

    def words(self) -> Iterator[bytes]:
        """Every word, shortest first within a state. Only for finite languages."""
        pending: list[tuple[int, bytes]] = [(0, b"")]
        while pending:
            following: list[tuple[int, bytes]] = []
            for state, word in pending:
                if self.is_final[state]:
                    yield word
                following += [
                    (int(self.table[state, byte]), word + bytes((byte,)))
                    for byte in np.flatnonzero(self.table[state] >= 0).tolist()
                ]
            pending = following


def explore(
    initial: State,
    step: Callable[[State], Mapping[int, State]],
    is_final: Callable[[State], bool],
    *,
    is_boundary: Callable[[State], bool] = lambda state: True,
    what: str = "this value",
) -> ByteAutomaton:
    """The minimal automaton of everything reachable from `initial`.

    `step` maps the bytes that may follow a state to the states they lead to. Equal states are one state,
    so what a state forgets is what the automaton merges.

    Raises:
        LanguageError: more than `MAX_STATES` states, or nothing is accepted.
    """
    number: dict[State, int] = {initial: 0}
    order = [initial]
    rows: list[Mapping[int, State]] = []
    for state in order:  # grows while it is read
        row = step(state)
        rows.append(row)
        for target in row.values():
            if target not in number:
                number[target] = len(order)
                order.append(target)
        if len(order) > MAX_STATES:
            raise LanguageError(
                f"{what} needs more than {MAX_STATES} automaton states: loosen the constraint"
            )
    table = np.full((len(order), 256), -1, np.int32)
    for source, row in enumerate(rows):
        if row:
            table[source, list(row)] = [number[target] for target in row.values()]
    return minimised(
        ByteAutomaton(
            table=table,
            is_final=np.fromiter(map(is_final, order), np.bool_, len(order)),
            is_boundary=np.fromiter(map(is_boundary, order), np.bool_, len(order)),
        ),
        what=what,
    )


def from_words(words: Iterable[bytes]) -> ByteAutomaton:
    """The automaton of finitely many words.

    Raises:
        LanguageError: no words, or too many of them.
    """
    children: list[dict[int, int]] = [{}]
    ends: set[int] = set()
    for word in words:
        node = 0
        for byte in word:
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
            node = children[node][byte]
        ends.add(node)
        if len(children) > 20 * MAX_STATES:
            raise LanguageError(
                "the constants are too long to be decoded as one slot: use fewer or shorter values"
            )
    table = np.full((len(children), 256), -1, np.int32)
    for node, row in enumerate(children):
        if row:
            table[node, list(row)] = list(row.values())
    is_final = np.zeros(len(children), np.bool_)
    is_final[list(ends)] = True
    return minimised(
        ByteAutomaton(table=table, is_final=is_final, is_boundary=np.ones(len(children), np.bool_)),
        what="the set of constants",
    )


def product(
    left: ByteAutomaton, right: ByteAutomaton, accept: Callable[[bool, bool], bool], *, what: str
) -> ByteAutomaton:
    """Both automata read the same bytes; `accept` says which pairs of endings count. -1 is "has failed".

    `left` decides where characters begin, so it must be the one that knows.
    """
    symbols, spread = _byte_classes(np.concatenate([left.table, right.table]))
    left_rows, right_rows = _padded(left.table[:, symbols]), _padded(right.table[:, symbols])
    left_final, right_final = [*left.is_final.tolist(), False], [*right.is_final.tolist(), False]
    need_left, need_right = not accept(False, True), not accept(True, False)

    def step(pair: tuple[int, int]) -> dict[int, tuple[int, int]]:
        targets = zip(left_rows[pair[0]], right_rows[pair[1]], strict=True)
        return {
            symbol: target
            for symbol, target in enumerate(targets)
            if not ((need_left and target[0] < 0) or (need_right and target[1] < 0) or target == (-1, -1))
        }

    small = explore(
        (0, 0),
        step,
        lambda pair: accept(left_final[pair[0]], right_final[pair[1]]),
        is_boundary=lambda pair: pair[0] < 0 or bool(left.is_boundary[pair[0]]),
        what=what,
    )
    return ByteAutomaton(table=small.table[:, spread], is_final=small.is_final, is_boundary=small.is_boundary)


def intersection(left: ByteAutomaton, right: ByteAutomaton, *, what: str) -> ByteAutomaton:
    """What both accept."""
    return product(left, right, lambda a, b: a and b, what=what)


def difference(left: ByteAutomaton, right: ByteAutomaton, *, what: str) -> ByteAutomaton:
    """What `left` accepts and `right` does not."""
    return product(left, right, lambda a, b: a and not b, what=what)


def union(left: ByteAutomaton, right: ByteAutomaton, *, what: str) -> ByteAutomaton:
    """What either accepts."""
    return product(left, right, lambda a, b: a or b, what=what)


def preceded_by_space(automaton: ByteAutomaton) -> ByteAutomaton:
    """The same language after one space, as values stand after `:` and `,`."""
    table = np.full((automaton.num_states + 1, 256), -1, np.int32)
    table[1:] = np.where(automaton.table >= 0, automaton.table + 1, -1)
    table[0, ord(" ")] = 1
    return ByteAutomaton(
        table=table,
        is_final=np.concatenate([[False], automaton.is_final]),
        is_boundary=np.concatenate([[True], automaton.is_boundary]),
    )


def minimised(automaton: ByteAutomaton, *, what: str) -> ByteAutomaton:
    """The smallest automaton of the same language; a very large one only loses states that lead nowhere.

    Raises:
        LanguageError: nothing is accepted at all.
    """
    symbols, spread = _byte_classes(automaton.table)
    table = automaton.table[:, symbols]
    useful = _coaccessible(table, automaton.is_final)
    if not useful[0]:
        raise LanguageError(f"no value satisfies {what}: its constraints contradict each other")
    table = np.where((table >= 0) & useful[table], table, -1)
    labels = automaton.is_final.astype(np.int64) + 2 * automaton.is_boundary
    labels[~useful] = 4
    count = 0
    rounds = len(table) if len(table) <= MINIMISED_STATES else LARGE_ROUNDS
    while True:  # Moore: split until no two states of a block are told apart by one more byte
        rows = np.concatenate([labels[:, None], np.where(table >= 0, labels[table], -1)], axis=1)
        _, labels = np.unique(_row_keys(rows), return_inverse=True)
        if (found := int(labels.max()) + 1) == count:
            break
        count, rounds = found, rounds - 1
        if rounds == 0:  # half-split blocks are no states: keep them all
            labels = np.arange(len(table))
            break
    merged, kept = _numbered_as_reached(table, labels)
    return ByteAutomaton(
        table=np.ascontiguousarray(merged[:, spread]),
        is_final=automaton.is_final[kept],
        is_boundary=automaton.is_boundary[kept],
    )


def _numbered_as_reached(
    table: NDArray[np.int32], labels: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """One row per block, numbered in the order in which they are reached, and a state of each block."""
    representative = np.full(int(labels.max()) + 1, -1, np.int64)
    representative[labels[::-1]] = np.arange(len(labels))[::-1]
    merged = np.where(table >= 0, labels[table], -1)[representative]
    order = [int(labels[0])]
    number = {order[0]: 0}
    for block in order:  # grows while it is read
        for target in dict.fromkeys(merged[block].tolist()):
            if target >= 0 and target not in number:
                number[target] = len(order)
                order.append(target)
    renumber = np.full(len(merged) + 1, -1, np.int32)
    renumber[order] = np.arange(len(order))
    return renumber[merged[order]], representative[order]


def _coaccessible(table: NDArray[np.int32], is_final: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """States from which an accepting one can be reached."""
    sources, symbols = np.nonzero(table >= 0)
    targets = table[sources, symbols]
    order = np.argsort(targets, kind="stable")
    sources, starts = sources[order], np.searchsorted(targets[order], np.arange(len(table) + 1))
    useful = is_final.copy()
    pending = np.flatnonzero(is_final).tolist()
    while pending:
        state = pending.pop()
        for source in sources[starts[state] : starts[state + 1]].tolist():
            if not useful[source]:
                useful[source] = True
                pending.append(source)
    return useful


def _byte_classes(table: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Bytes that no state tells apart: one byte of each class, and the class of every byte."""
    _, first, inverse = np.unique(_row_keys(table.T), return_index=True, return_inverse=True)
    return first, inverse


def _row_keys(rows: NDArray[np.integer]) -> NDArray[np.void]:
    """Rows as opaque comparable scalars: `np.unique` on them is far faster than with an axis."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _padded(table: NDArray[np.int32]) -> list[list[int]]:
    """Rows as lists with one more at the end, so that row -1 (failed) leads nowhere."""
    return [*table.tolist(), [-1] * table.shape[1]]
