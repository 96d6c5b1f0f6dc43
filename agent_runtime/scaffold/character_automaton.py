"""From pattern syntax to bytes: a deterministic automaton over characters, then over their JSON spelling.

Positions of the pattern are bits of an integer (Glushkov's construction), so that determinising is a few
bit operations per state, and the number of states is bounded before memory is: a hostile pattern is refused,
it does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .byte_automaton import ByteAutomaton, LanguageError, difference, explore, intersection
from .pattern import ANY, BEGIN, END, Characters, Choice, Node, Pattern, Ranges, Repeat, Sequence, ranges_of

MAX_POSITIONS = 20_000
MAX_CHARACTER_STATES = 4_000

_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x0C: "\\f", 0x08: "\\b"}

_ByteRanges = tuple[tuple[int, int], ...]


def body_automaton(pattern: Pattern | None, *, what: str) -> ByteAutomaton:
    """JSON string bodies, as `json.dumps(ensure_ascii=False)` writes them, whose value matches the pattern.

    Raises:
        LanguageError: too many states, or nothing matches.
    """
    if pattern is None:
        return _encoded(_CharacterAutomaton(atoms=[ANY], rows=[{0: 0}], is_final=[True]), what=what)
    everything = Repeat(Characters(_ALL_SYMBOLS, _ALL_SYMBOLS), 0, None)
    found = _encoded(_determinised(Sequence((everything, pattern.node, everything)), False, what), what=what)
    begin = Characters(((BEGIN, BEGIN),), ((BEGIN, BEGIN),))
    for node in pattern.required:
        ahead = _encoded(_determinised(Sequence((begin, node, everything)), False, what), what=what)
        found = intersection(found, ahead, what=what)
    for node in pattern.forbidden:
        automaton = _determinised(Sequence((begin, node, everything)), True, what)
        if any(automaton.is_final):
            found = difference(found, _encoded(automaton, what=what), what=what)
    return found


_ALL_SYMBOLS = ranges_of(*ANY, (BEGIN, END))


@dataclass(frozen=True, slots=True)
class _CharacterAutomaton:
    """State 0 is initial; `rows[state][atom]` is the next state; atoms are sets of code points."""

    atoms: list[Ranges]
    rows: list[dict[int, int]]
    is_final: list[bool]


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A piece of pattern: can it be empty, and which positions come first and last (bit sets)."""

    is_nullable: bool
    first: int
    last: int


@dataclass(slots=True)
class _Positions:
    """Glushkov's follow relation, as bit sets."""

    uses_maybe: bool
    what: str
    sets: list[Ranges] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)

    def add(self, node: Node) -> _Fragment:
        match node:
            case Characters():
                return self._position(node)
            case Sequence(parts):
                whole = _Fragment(True, 0, 0)
                for part in parts:
                    whole = self._joined(whole, self.add(part))
                return whole
            case Choice(options):
                found = [self.add(option) for option in options]
                return _Fragment(
                    any(option.is_nullable for option in found),
                    _union_of(option.first for option in found),
                    _union_of(option.last for option in found),
                )
            case Repeat():
                return self._repeated(node)

    def _position(self, node: Characters) -> _Fragment:
        if len(self.sets) >= MAX_POSITIONS:
            raise LanguageError(
                f"{self.what} is too long when its repeats are written out: use minLength and maxLength"
            )
        bit = 1 << len(self.sets)
        self.sets.append(node.maybe if self.uses_maybe else node.surely)
        self.follow.append(0)
        return _Fragment(False, bit, bit)

    def _joined(self, left: _Fragment, right: _Fragment) -> _Fragment:
        for position in _bits(left.last):
            self.follow[position] |= right.first
        return _Fragment(
            left.is_nullable and right.is_nullable,
            left.first | (right.first if left.is_nullable else 0),
            right.last | (left.last if right.is_nullable else 0),
        )

    def _repeated(self, node: Repeat) -> _Fragment:
        copies = max(node.low, 1) if node.high is None else node.high
        if copies == 0:
            return _Fragment(True, 0, 0)
        # Written out from the back: x{2,4} is x x (x (x)?)?
        whole = _Fragment(True, 0, 0)
        for copy in range(copies, 0, -1):
            part = self.add(node.part)
            if node.high is None and copy == copies:
                self._joined(part, part)
            whole = self._joined(part, whole)
            if copy > node.low:
                whole = _Fragment(True, whole.first, whole.last)
        return whole


def _determinised(node: Node, uses_maybe: bool, what: str) -> _CharacterAutomaton:
    """Subset construction over texts between `BEGIN` and `END`."""
    positions = _Positions(uses_maybe, what)
    whole = positions.add(node)
    atoms, accepts = _atoms(positions.sets)
    begin = next((accept for atom, accept in zip(atoms, accepts, strict=True) if atom[0][0] == BEGIN), 0)
    end = next((accept for atom, accept in zip(atoms, accepts, strict=True) if atom[0][0] == END), 0)
    moves = [(index, accepts[index]) for index, atom in enumerate(atoms) if atom[0][0] < BEGIN]
    following: dict[int, int] = {}

    def after(consumed: int) -> int:
        if consumed not in following:
            following[consumed] = _union_of(positions.follow[position] for position in _bits(consumed))
        return following[consumed]

    initial = after(whole.first & begin)
    number = {initial: 0}
    order = [initial]
    rows: list[dict[int, int]] = []
    for ahead in order:  # grows while it is read
        row: dict[int, int] = {}
        for index, accept in moves:
            if consumed := ahead & accept:
                target = after(consumed)
                if target not in number:
                    number[target] = len(order)
                    order.append(target)
                row[index] = number[target]
        rows.append(row)
        if len(order) > MAX_CHARACTER_STATES:
            raise LanguageError(
                f"{what} needs more than {MAX_CHARACTER_STATES} states: anchor or simplify it"
            )
    is_final = [bool(ahead & end & whole.last) for ahead in order]
    return _CharacterAutomaton(atoms=atoms, rows=rows, is_final=is_final)


def _atoms(sets: list[Ranges]) -> tuple[list[Ranges], list[int]]:
    """The coarsest partition of code points that no set cuts, and the sets (as bits) that hold each part."""
    changes: dict[int, int] = {BEGIN: 0, END: 0, END + 1: 0}
    members: dict[Ranges, int] = {}
    for position, ranges in enumerate(sets):
        members[ranges] = members.get(ranges, 0) | 1 << position
    for ranges, bits in members.items():
        for low, high in ranges:
            changes[low] = changes.get(low, 0) ^ bits
            changes[high + 1] = changes.get(high + 1, 0) ^ bits
    parts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    points = sorted(changes)
    held = 0
    for low, high in zip(points, points[1:], strict=False):
        held ^= changes[low]
        if held:
            parts.setdefault((held, low if low >= BEGIN else 0), []).append((low, high - 1))
    return [ranges_of(*ranges) for ranges in parts.values()], [held for held, _ in parts]


def _encoded(automaton: _CharacterAutomaton, *, what: str) -> ByteAutomaton:
    """Spell every character as its bytes. Between characters a state is that of the character automaton."""
    nodes, root = _spelling(automaton.atoms)
    leaves = _leaves(nodes)
    # Bytes that all nodes treat alike are explored once.
    alike: dict[tuple[tuple[int, int] | None, ...], int] = {}
    column = [alike.setdefault(tuple(node.get(byte) for node in nodes), byte) for byte in range(256)]
    first = set(alike.values())
    nodes = [{byte: target for byte, target in node.items() if byte in first} for node in nodes]

    def targets_of(row: Mapping[int, int], node: int) -> dict[int, _Place]:
        found: dict[int, _Place] = {}
        for byte, (atom, child) in nodes[node].items():
            if atom >= 0:
                if atom in row:
                    found[byte] = (row[atom], -1, ())
            elif ahead := tuple((leaf, row[leaf]) for leaf in leaves[child] if leaf in row):
                found[byte] = (-1, child, ahead)
        return found

    def step(place: _Place) -> dict[int, _Place]:
        state, node, ahead = place
        return targets_of(automaton.rows[state], root) if state >= 0 else targets_of(dict(ahead), node)

    start: _Place = (0, -1, ())
    found = explore(
        start,
        step,
        lambda place: place[0] >= 0 and automaton.is_final[place[0]],
        is_boundary=lambda place: place[0] >= 0,
        what=what,
    )
    return replace(found, table=np.ascontiguousarray(found.table[:, column]))


_Place = tuple[int, int, tuple[tuple[int, int], ...]]
"""A state of the character automaton, -1 inside a character; there, the node and where each atom leads."""

_Node = dict[int, tuple[int, int]]
"""Byte -> (atom, -1) where a character is complete, (-1, node) where more bytes follow."""


def _spelling(atoms: list[Ranges]) -> tuple[list[_Node], int]:
    """A tree of the bytes of every character; equal subtrees are one node."""
    nodes: list[_Node] = []
    number: dict[tuple[tuple[int, tuple[int, int]], ...], int] = {}

    def build(spellings: list[tuple[_ByteRanges, int]]) -> int:
        buckets: dict[int, list[tuple[_ByteRanges, int]]] = {}
        for ranges, atom in spellings:
            for byte in range(ranges[0][0], ranges[0][1] + 1):
                buckets.setdefault(byte, []).append((ranges[1:], atom))
        node: _Node = {}
        known: dict[tuple[tuple[_ByteRanges, int], ...], tuple[int, int]] = {}
        for byte, rest in buckets.items():
            key = tuple(rest)
            if key not in known:
                known[key] = (rest[0][1], -1) if not rest[0][0] else (-1, build(rest))
            node[byte] = known[key]
        content = tuple(sorted(node.items()))
        if content not in number:
            number[content] = len(nodes)
            nodes.append(node)
        return number[content]

    root = build(
        [
            (spelling, index)
            for index, atom in enumerate(atoms)
            for low, high in atom
            if low < BEGIN
            for spelling in _spellings(low, high)
        ]
    )
    return nodes, root


def _leaves(nodes: list[_Node]) -> list[tuple[int, ...]]:
    """The atoms below each node; children come before their parents."""
    leaves: list[tuple[int, ...]] = []
    for node in nodes:
        below: set[int] = set()
        for atom, child in node.values():
            below.update((atom,) if atom >= 0 else leaves[child])
        leaves.append(tuple(sorted(below)))
    return leaves


def _spellings(low: int, high: int) -> Iterator[_ByteRanges]:
    """Byte-range sequences of the canonical JSON spelling of the characters `low..high`."""
    start = low
    for special in (*range(0x20), 0x22, 0x5C):
        if not low <= special <= high:
            continue
        if start < special:
            yield from _utf8(start, special - 1)
        escape = _ESCAPES.get(special, f"\\u{special:04x}")
        yield tuple((byte, byte) for byte in escape.encode())
        start = special + 1
    if start <= high:
        yield from _utf8(start, high)


def _utf8(low: int, high: int) -> Iterator[_ByteRanges]:
    """Split a range of code points where the number or the run of its UTF-8 bytes changes."""
    for last in (0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF):
        if low <= last < high:
            yield from _utf8(low, last)
            yield from _utf8(last + 1, high)
            return
    if 0xD800 <= low <= 0xDFFF:
        return
    if high <= 0x7F:
        yield ((low, high),)
        return
    for shift in (6, 12, 18):  # a trailing byte may vary freely only if all lower ones do
        size = 1 << shift
        if low >> shift != high >> shift:
            if low & (size - 1):
                yield from _utf8(low, low | (size - 1))
                yield from _utf8((low | (size - 1)) + 1, high)
                return
            if high & (size - 1) != size - 1:
                yield from _utf8(low, (high & ~(size - 1)) - 1)
                yield from _utf8(high & ~(size - 1), high)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _union_of(masks: Iterator[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
