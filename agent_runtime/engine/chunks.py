"""What one forward reads: chunks of conversations, and what attention must know of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .key_values import SLAB_STEP, KeyValueSlab


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one conversation to be read in one forward, at positions `at`, `at + 1`, ...

    Or whole branches beside one another, each at positions from `at` on: `branch_sizes` says how long they
    are. Their keys and values stand behind one another from `at` on and do not outlive the forward; a branch
    sees what stands before `at`, and itself.

    Attributes:
        slab: must have room for them.
        token_ids: one or more.
        at: position of the first.
        num_wanted: rows, counted from the end (of every branch), whose hidden states are wanted.
        is_exact: the rows of an exact chunk do not depend on which of the tokens stand in it together.
        branch_sizes: of branches beside one another; empty for consecutive tokens.
        states_at: where their states are kept; where they stand themselves when left out.
        hidden: places before `at` that are not seen, half-open, and count for nothing in positions: branches
            may go on from before the end of their conversation.
    """

    slab: KeyValueSlab
    token_ids: Sequence[int]
    at: int
    num_wanted: int
    is_exact: bool = False
    branch_sizes: Sequence[int] = ()
    states_at: int | None = None
    hidden: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        """Place in the slab after the last token."""
        return self.at + len(self.token_ids)

    @property
    def positions(self) -> Sequence[int]:
        """Position of each token."""
        first = self.at if self.hidden is None else self.at - (self.hidden[1] - self.hidden[0])
        if not self.branch_sizes:
            return range(first, first + len(self.token_ids))
        return [first + place for size in self.branch_sizes for place in range(size)]

    @property
    def num_rows(self) -> int:
        """Rows that are wanted, of all branches together."""
        if not self.branch_sizes:
            return self.num_wanted
        return sum(min(size, self.num_wanted) for size in self.branch_sizes)

    @property
    def wanted(self) -> Sequence[int]:
        """Which of its rows are wanted."""
        size = len(self.token_ids)
        if not self.branch_sizes:
            return range(size - self.num_wanted, size)
        wanted: list[int] = []
        end = 0
        for size in self.branch_sizes:
            end += size
            wanted.extend(range(end - min(size, self.num_wanted), end))
        return wanted

    def cut(self, step: int) -> list[Chunk]:
        """Pieces that end at multiples of `step`, at the latest; not for branches beside one another."""
        pieces: list[Chunk] = []
        at = self.at
        while at < self.end:
            end = min((at // step + 1) * step, self.end)
            token_ids = self.token_ids[at - self.at : end - self.at]
            num_wanted = min(len(token_ids), max(0, end - (self.end - self.num_wanted)))
            states_at = None if self.states_at is None else self.states_at + at - self.at
            pieces.append(
                replace(self, token_ids=token_ids, at=at, num_wanted=num_wanted, states_at=states_at)
            )
            at = end
        return pieces


class ChunkViews:
    """What every layer needs of one chunk, cut out of its slab once per forward.

    Attention sums in an order that follows from how many keys it looks at. In an exact chunk that number
    follows from the position alone: keys up to the end of a step, those that are not yet written masked.

    Args:
        chunk: what is read.
        start: its first row in the forward.
        group: query heads that share a key head.
        multiple: what the queries of an exact chunk are padded to.
        only_wanted: whether only its wanted rows are there.
    """

    __slots__ = ("is_exact", "keys", "mask", "num_queries", "rows", "states", "values", "written")

    def __init__(
        self, chunk: Chunk, start: int, group: int, *, multiple: int = 1, only_wanted: bool = False
    ) -> None:
        data = chunk.slab.data
        end = seen = chunk.end
        if chunk.is_exact:
            seen = -(-end // SLAB_STEP) * SLAB_STEP
        num_queries = chunk.num_rows if only_wanted else len(chunk.token_ids)
        self.num_queries = num_queries
        self.rows = slice(start, start + num_queries)
        self.written = data[:, :, :, chunk.at : end].unbind(0)
        self.keys = data[:, 0, :, :seen].unbind(0)
        self.values = data[:, 1, :, :seen].unbind(0)
        self.is_exact = chunk.is_exact
        self.states: Sequence[Tensor] = ()
        if (states := chunk.slab.states) is not None:
            at = chunk.at if chunk.states_at is None else chunk.states_at
            self.states = states[:, at : at + len(chunk.token_ids)].unbind(0)
        if chunk.branch_sizes:
            self.mask: Tensor | None = _branch_mask(chunk, group, chunk.wanted if only_wanted else None)
        elif chunk.is_exact:
            rows = -(-num_queries // multiple) * multiple
            self.mask = _stepped_mask(num_queries, end, group, data, rows=rows, seen=seen)
        else:
            self.mask = _causal_mask(num_queries, end, group, data)
        if chunk.hidden is not None:
            if self.mask is None:
                self.mask = torch.zeros((num_queries * group, end), dtype=data.dtype, device=data.device)
            self.mask[:, slice(*chunk.hidden)] = float("-inf")


def _causal_mask(num_queries: int, end: int, group: int, like: Tensor) -> Tensor | None:
    """What to add to the scores of the last `num_queries` positions before `end`; None when all is seen.

    Row `q * group + g` is query q of the g-th head of its group.
    """
    if num_queries == 1:
        return None
    mask = torch.zeros((num_queries, group, end), dtype=like.dtype, device=like.device)
    square = torch.full((num_queries, num_queries), float("-inf"), dtype=like.dtype, device=like.device)
    mask[:, :, end - num_queries :] = square.triu_(1).unsqueeze(1)
    return mask.view(num_queries * group, end)


def _stepped_mask(num_queries: int, end: int, group: int, like: Tensor, *, rows: int, seen: int) -> Tensor:
    """The same for an exact chunk: `rows` queries, the last of no meaning, see the first `seen` positions."""
    mask = torch.zeros((rows, group, seen), dtype=like.dtype, device=like.device)
    later = torch.full(
        (num_queries, seen - end + num_queries), float("-inf"), dtype=like.dtype, device=like.device
    )
    mask[:num_queries, :, end - num_queries :] = later.triu_(1).unsqueeze(1)
    return mask.view(rows * group, seen)


def _branch_mask(chunk: Chunk, group: int, wanted: Sequence[int] | None) -> Tensor:
    """The same for branches beside one another: each sees what stands before all of them, and itself."""
    like = chunk.slab.data
    sizes = torch.tensor(chunk.branch_sizes)
    branch_of = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    is_seen = (branch_of.unsqueeze(1) == branch_of).tril()
    if wanted is not None:
        is_seen = is_seen[torch.tensor(wanted)]
    square = torch.zeros(is_seen.shape, dtype=like.dtype).masked_fill_(~is_seen, float("-inf"))
    mask = torch.zeros((len(square), group, chunk.end), dtype=like.dtype, device=like.device)
    mask[:, :, chunk.at :] = square.to(like.device).unsqueeze(1)
    return mask.view(-1, chunk.end)
