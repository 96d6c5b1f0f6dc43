"""Who goes next: which chunks of which turns stand in one forward. Pure decisions, free of torch."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """How rows may be put together in one forward.

    Attributes:
        block_tokens: prompts are read in blocks that begin at multiples of this.
        max_rows: rows of one forward.
        padded_rows: None: any rows may stand together. Otherwise chunks of at most this many rows may,
            padded to exactly this many, and a longer chunk stands alone; 0: every chunk stands alone.
        row_counts: where any rows may stand together, their number is padded to the next of these.
            A kernel is made for each number of rows that occurs (half a millisecond and 0.7 MB per
            layer shape, measured), so only few should.
    """

    block_tokens: int
    max_rows: int
    padded_rows: int | None = None
    row_counts: tuple[int, ...] = ()

    def with_padding(self, num_rows: int) -> int:
        """How many rows are computed where so many are needed."""
        if self.padded_rows is not None:
            return max(num_rows, self.padded_rows)
        place = bisect.bisect_left(self.row_counts, num_rows)
        return self.row_counts[place] if place < len(self.row_counts) else num_rows


def cut_at_blocks(at: int, num_tokens: int, done: int, block_tokens: int) -> tuple[int, ...]:
    """Sizes of the chunks in which the rest of a forward is read.

    Depends on the forward alone, never on `done`'s history or on other turns: the same chunks are read
    whether earlier ones came from the cache or not. Up to one block is read at once; more is cut at
    multiples of the block.
    """
    start, end = at + done, at + num_tokens
    if num_tokens <= block_tokens:
        return (end - start,) if end > start else ()
    cuts = [start, *range((start // block_tokens + 1) * block_tokens, end, block_tokens), end]
    return tuple(after - before for before, after in zip(cuts, cuts[1:], strict=False) if after > before)


def cut_to_size(num_tokens: int, most: int) -> tuple[int, ...]:
    """Sizes of the chunks in which so many tokens are read, where at most so many may stand together."""
    return tuple(min(most, num_tokens - start) for start in range(0, num_tokens, most))


@dataclass(frozen=True, slots=True)
class BranchPart:
    """What is read of a forward's branches in one chunk: whole ones beside one another, or a piece of one.

    Attributes:
        first: number of the first branch.
        sizes: tokens of each branch in it.
        start: tokens of the branch before the piece.
        rows_before: tokens of all branches before it.
    """

    first: int
    sizes: tuple[int, ...]
    start: int = 0
    rows_before: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens of all its branches."""
        return sum(self.sizes)


def part_branches(sizes: Sequence[int], at: int, most: int) -> tuple[BranchPart, ...]:
    """How branches that begin at a position are read: as many beside one another as fit into `most` tokens.

    A longer one is read by itself, cut as if it were the rest of the conversation. Depends on the forward
    alone.
    """
    parts: list[BranchPart] = []
    first = rows = 0
    while first < len(sizes):
        stop = first + 1
        if sizes[first] > most:
            start = 0
            for piece in cut_at_blocks(at, sizes[first], 0, most):
                parts.append(BranchPart(first, (piece,), start=start, rows_before=rows))
                start += piece
                rows += piece
        else:
            while stop < len(sizes) and sum(sizes[first : stop + 1]) <= most:
                stop += 1
            parts.append(BranchPart(first, tuple(sizes[first:stop]), rows_before=rows))
            rows += sum(sizes[first:stop])
        first = stop
    return tuple(parts)


def plan_batch(waiting: Sequence[tuple[int, ...]], rule: BatchRule) -> list[int]:
    """How many of its next chunks each turn reads in this forward.

    Short reads (a decoded token, a literal) go before prompts, but one block is always left to a prompt,
    so that neither starves the other.

    Args:
        waiting: chunk sizes of each turn, longest unserved turn first; none is empty.
        rule: how rows may be put together.
    """
    if rule.padded_rows is not None:
        return _plan_padded(waiting, rule.padded_rows)
    taken = [0] * len(waiting)
    prompts = [
        number for number, sizes in enumerate(waiting) if len(sizes) > 1 or sizes[0] >= rule.block_tokens
    ]
    left = rule.max_rows
    for number, sizes in enumerate(waiting):
        kept_free = rule.block_tokens if prompts else 0
        if number not in prompts and sizes[0] <= left - kept_free:
            taken[number] = 1
            left -= sizes[0]
    for number in prompts:
        for size in waiting[number]:
            if size > left:
                break
            taken[number] += 1
            left -= size
    return taken


def _plan_padded(waiting: Sequence[tuple[int, ...]], padded_rows: int) -> list[int]:
    taken = [0] * len(waiting)
    left = padded_rows
    for number, sizes in enumerate(waiting):
        if number == 0 and sizes[0] > padded_rows:
            taken[0] = 1
            return taken
        for size in sizes:
            if size > left:
                break
            taken[number] += 1
            left -= size
    return taken
