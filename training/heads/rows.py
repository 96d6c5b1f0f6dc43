"""Talks over one listing as one row of tokens, and rows as batches: what one forward of the backbone reads.

A row is the listing, the conversations behind it side by side, and behind them all branches: each reads the
listing, its own conversation up to the tool's name, and itself. So a listing is read once for all its
conversations, and a conversation once for all slots of its calls. Free of torch, for the data process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .samples import ABSENT_SPAN, UNKNOWN_SPAN, SlotSample, Talk

Ints = NDArray[np.int64]


class Segment(NamedTuple):
    """A run of a row that reads the listing, `[seen_from, seen_to)` before it, and itself."""

    start: int
    seen_from: int
    seen_to: int


class RowSlot(NamedTuple):
    """A slot of a row; places are tokens of the row."""

    call: int
    kind: str
    is_string: bool
    is_given: bool
    is_optional: bool
    is_present: bool
    first: int
    """First token of its branch."""
    anchor: int
    """Last token before its value, which stands behind it."""
    num_tokens: int
    num_lead: int
    gold_at: int
    span: tuple[int, int]
    limit: int
    has_space: bool


class RowCall(NamedTuple):
    """A call of a row."""

    begin: int
    """Where its conversation begins."""
    fork: int
    """The token its branches go on from."""
    copyable: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class HeadRow:
    """One row. An empty one is counted and passed over."""

    ids: tuple[int, ...]
    num_shared: int = 0
    num_prompt: int = 0
    """Tokens of listing and conversations; branches stand behind."""
    segments: tuple[Segment, ...] = ()
    calls: tuple[RowCall, ...] = ()
    slots: tuple[RowSlot, ...] = ()

    @classmethod
    def of(cls, talks: Sequence[Talk]) -> HeadRow:
        """Talks that begin with the same listing, side by side."""
        if not talks:
            return cls(())
        shared = talks[0].prefix_tokens
        ids = list(talks[0].ids[:shared])
        segments: list[Segment] = []
        moves = []
        for talk in talks:
            moves.append(len(ids) - shared)
            segments.append(Segment(len(ids), 0, 0))
            ids += talk.ids[shared:]
        num_prompt = len(ids)
        calls: list[RowCall] = []
        slots: list[RowSlot] = []
        for talk, moved, segment in zip(talks, moves, tuple(segments), strict=True):
            for call in talk.calls:
                placed = _Placed(shared, moved)
                fork = placed.token(call.fork)
                calls.append(RowCall(segment.start, fork, tuple(map(placed.span, call.copyable))))
                for slot in call.slots:
                    segments.append(Segment(len(ids), segment.start, fork + 1))
                    slots.append(placed.slot(slot, len(calls) - 1, len(ids)))
                    ids += slot.literal + slot.value
        return cls(tuple(ids), shared, num_prompt, tuple(segments), tuple(calls), tuple(slots))

    def as_json(self) -> list[Any]:
        """Plain data for a checkpoint."""
        return [list(self.ids), self.num_shared, self.num_prompt, self.segments, self.calls, self.slots]

    @classmethod
    def from_json(cls, parts: Sequence[Any]) -> HeadRow:
        """Read what `as_json` wrote."""
        ids, num_shared, num_prompt, segments, calls, slots = parts
        return cls(
            tuple(ids),
            num_shared,
            num_prompt,
            tuple(Segment(*segment) for segment in segments),
            tuple(RowCall(begin, fork, tuple(map(tuple, spans))) for begin, fork, spans in calls),
            tuple(
                RowSlot(**{**dict(zip(RowSlot._fields, slot, strict=True)), "span": tuple(slot[11])})
                for slot in slots
            ),
        )

    @staticmethod
    def collate(rows: Sequence[HeadRow], length: int, pad_id: int, state: dict[str, Any]) -> HeadBatch:
        """Rows as one batch."""
        return collate_rows(rows, length, pad_id=pad_id, state=state)


class _Placed(NamedTuple):
    """Prompt tokens as tokens of a row."""

    shared: int
    moved: int

    def token(self, index: int) -> int:
        return index + (self.moved if index >= self.shared else 0)

    def span(self, span: tuple[int, int]) -> tuple[int, int]:
        if span in (ABSENT_SPAN, UNKNOWN_SPAN):
            return span
        return self.token(span[0]), self.token(span[1] - 1) + 1

    def slot(self, slot: SlotSample, call: int, first: int) -> RowSlot:
        return RowSlot(
            call=call,
            kind=slot.kind,
            is_string=slot.is_string,
            is_given=slot.is_given,
            is_optional=slot.is_optional,
            is_present=slot.is_present,
            first=first,
            anchor=first + len(slot.literal) - 1,
            num_tokens=len(slot.value),
            num_lead=slot.num_lead,
            gold_at=self.token(slot.gold_at) if slot.gold_at else 0,
            span=self.span(slot.span),
            limit=slot.limit,
            has_space=slot.has_space,
        )


def fitting_talks(talks: Iterable[Talk], *, max_tokens: int, max_talks: int) -> list[Talk]:
    """The first talks that fit one row together."""
    taken: list[Talk] = []
    num_tokens = 0
    for talk in talks:
        own = len(talk.ids) - talk.prefix_tokens + talk.num_branch_tokens
        if (num_tokens or talk.prefix_tokens) + own > max_tokens or len(taken) == max_talks:
            break
        num_tokens = (num_tokens or talk.prefix_tokens) + own
        taken.append(talk)
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBatch:
    """Rows of one length. Tokens are named by their place in the flattened (rows, length) from here on.

    Slots are numbered through the batch. `span_grid` arranges those that may be copied by group: slots with
    the same messages before them. -1 is padding.
    """

    tokens: Ints  # (rows, length)
    positions: Ints  # (rows, length)
    owned_from: Ints  # (rows, length): where the segment of each token begins
    seen: Ints  # (rows, length, 2): what else it reads, beside the listing
    num_shared: Ints  # (rows,)
    num_prompt: int  # most of any row
    first: Ints  # (slots,), and so on
    anchor: Ints
    fork: Ints
    begin: Ints
    """Where its conversation begins, as a place in its own row, as is `visible_to`."""
    visible_to: Ints
    row: Ints
    num_tokens: Ints
    num_lead: Ints
    gold_at: Ints
    limit: Ints
    is_string: NDArray[np.bool_]
    has_space: NDArray[np.bool_]
    is_given: NDArray[np.bool_]
    is_optional: NDArray[np.bool_]
    is_present: NDArray[np.bool_]
    kinds: tuple[str, ...]
    span_grid: Ints  # (groups, slots)
    copied_from: Ints  # (groups, length): the tokens that may be copied, behind the row's first
    where: Ints  # (groups, length): their places in their prompts
    is_copyable: NDArray[np.bool_]  # (groups, length)
    span: Ints  # (slots, 2): in columns of their group; (0, 0) is nowhere, (-1, -1) not known
    num_real: int
    state: dict[str, Any]


def collate_rows(rows: Sequence[HeadRow], length: int, *, pad_id: int, state: dict[str, Any]) -> HeadBatch:
    """Rows as one batch."""
    shape = (len(rows), length)
    tokens = np.full(shape, pad_id, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    owned_from = np.zeros(shape, dtype=np.int64)
    seen = np.zeros((*shape, 2), dtype=np.int64)
    for row, made in enumerate(rows):
        tokens[row, : len(made.ids)] = made.ids
        _lay_out(made, positions[row], owned_from[row], seen[row])
    slots = [(row, slot) for row, made in enumerate(rows) for slot in made.slots]
    calls = [rows[row].calls[slot.call] for row, slot in slots]
    moved = np.array([row * length for row, _ in slots], dtype=np.int64)
    groups = _Groups(rows, length, positions)
    spans = [groups.add(number, row, slot) for number, (row, slot) in enumerate(slots)]

    def ints(values: Iterable[int]) -> Ints:
        return np.fromiter(values, dtype=np.int64)

    def flags(values: Iterable[bool]) -> NDArray[np.bool_]:
        return np.fromiter(values, dtype=np.bool_)

    return HeadBatch(
        tokens=tokens,
        positions=positions,
        owned_from=owned_from,
        seen=seen,
        num_shared=ints(made.num_shared for made in rows),
        num_prompt=max(made.num_prompt for made in rows),
        first=ints(slot.first for _, slot in slots) + moved,
        anchor=ints(slot.anchor for _, slot in slots) + moved,
        fork=ints(call.fork for call in calls) + moved,
        begin=ints(call.begin for call in calls),
        visible_to=ints(call.fork for call in calls),
        row=ints(row for row, _ in slots),
        num_tokens=ints(slot.num_tokens for _, slot in slots),
        num_lead=ints(slot.num_lead for _, slot in slots),
        gold_at=ints(slot.gold_at for _, slot in slots)
        + np.where(ints(slot.gold_at for _, slot in slots) > 0, moved, 0),
        limit=ints(slot.limit for _, slot in slots),
        is_string=flags(slot.is_string for _, slot in slots),
        has_space=flags(slot.has_space for _, slot in slots),
        is_given=flags(slot.is_given for _, slot in slots),
        is_optional=flags(slot.is_optional for _, slot in slots),
        is_present=flags(slot.is_present for _, slot in slots),
        kinds=tuple(slot.kind for _, slot in slots),
        span_grid=_padded(groups.slots, -1),
        copied_from=_padded(groups.copied_from, 0),
        where=_padded(groups.where, 0),
        is_copyable=_padded(groups.where, 0) > 0,
        span=np.array(spans, dtype=np.int64).reshape(-1, 2),
        num_real=sum(len(made.ids) for made in rows),
        state=state,
    )


def _lay_out(row: HeadRow, positions: Ints, owned_from: Ints, seen: Ints) -> None:
    """Positions and sight of every token of a row: the listing, then its segments."""
    positions[: row.num_shared] = np.arange(row.num_shared)
    ends = [segment.start for segment in row.segments[1:]] + [len(row.ids)]
    for segment, end in zip(row.segments, ends, strict=True):
        at = slice(segment.start, end)
        begin = row.num_shared + segment.seen_to - segment.seen_from
        positions[at] = np.arange(begin, begin + end - segment.start)
        owned_from[at] = segment.start
        seen[at] = (segment.seen_from, segment.seen_to)
    # Padding reads itself alone, so that its scores are numbers.
    owned_from[len(row.ids) :] = np.arange(len(row.ids), len(owned_from))


class _Groups:
    """Slots by the messages that stand before their calls."""

    def __init__(self, rows: Sequence[HeadRow], length: int, positions: Ints) -> None:
        self.slots: list[list[int]] = []
        self.copied_from: list[list[int]] = []
        self.where: list[list[int]] = []
        self._columns: list[dict[int, int]] = []
        self._rows = rows
        self._length = length
        self._positions = positions
        self._known: dict[tuple[int, int, tuple[tuple[int, int], ...]], int] = {}

    def add(self, number: int, row: int, slot: RowSlot) -> tuple[int, int]:
        """Put a slot into its group; returns its span in the group's columns.

        Optional ones that are not given are asked about as well: the messages tell that, too.
        """
        if not (slot.is_given or slot.is_optional) or slot.kind == "constants":
            return UNKNOWN_SPAN
        call = self._rows[row].calls[slot.call]
        key = (row, call.begin, call.copyable)
        if key not in self._known:
            self._begin(key)
        group = self._known[key]
        self.slots[group].append(number)
        if not slot.is_given:
            return UNKNOWN_SPAN
        if slot.span in (ABSENT_SPAN, UNKNOWN_SPAN):
            return slot.span
        columns = self._columns[group]
        first, last = columns.get(slot.span[0]), columns.get(slot.span[1] - 1)
        return UNKNOWN_SPAN if first is None or last is None else (first, last + 1)

    def _begin(self, key: tuple[int, int, tuple[tuple[int, int], ...]]) -> None:
        row, _, spans = key
        tokens = [0, *(token for start, end in spans for token in range(start, end) if token)]
        self._known[key] = len(self.slots)
        self.slots.append([])
        self.copied_from.append([row * self._length + token for token in tokens])
        self.where.append([int(self._positions[row, token]) for token in tokens])
        self._columns.append({token: column for column, token in enumerate(tokens)})


def _padded(lists: Sequence[Sequence[int]], with_: int) -> Ints:
    width = max((len(items) for items in lists), default=0)
    made = np.full((len(lists), max(width, 1)), with_, dtype=np.int64)
    for row, items in enumerate(lists):
        made[row, : len(items)] = items
    return made
