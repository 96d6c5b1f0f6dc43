"""Finds out which rows may share a forward without changing each other's bits.

A matrix product may sum in another order when it has more rows, and a token that was a narrow second may
then win. So at load one layer is asked, with the real weights, threads and kernels, whether a row's result
depends on its company, and turns are batched only as far as it does not. Linears of the same shapes whose
sums cancel are asked too, since rounding hides most differences of the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor

from .batching import BatchRule
from .threads import using_threads

# Numbers of rows that forwards are padded to: fine steps, for padding costs time; few, for each has kernels.
_ROW_COUNTS = (1, 2, 4, 8, 16, 24, 32, 48, *range(64, 4096, 32))
_PADDED_ROWS = 8


def find_batch_rule(
    row_function: Callable[[Tensor], Tensor],
    width: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    block_tokens: int,
    max_rows: int,
    others: Callable[[], Iterable[Callable[[Tensor], Tensor]]] = tuple,
) -> BatchRule:
    """The most permissive rule under which `row_function` gives each row the same bits.

    Some kernels sum in another order for one row, or a few, than for all larger numbers: then the smallest
    numbers of rows are padded.

    Args:
        row_function: maps (rows, width) to (rows, anything), each row by itself.
        width: of a row.
        dtype: of a row.
        device: of a row.
        block_tokens: see `BatchRule`.
        max_rows: see `BatchRule`.
        others: gives further such functions, for which the rule must hold too.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn((max_rows, width), generator=generator).to(device=device, dtype=dtype)
    with torch.inference_mode():
        counts = tuple(count for count in _ROW_COUNTS if count <= max_rows)
        for function in chain((row_function,), others()):
            counts = _same_counts(function, rows, counts)
        if counts and counts[0] <= _PADDED_ROWS:
            return BatchRule(block_tokens=block_tokens, max_rows=max_rows, row_counts=counts)
        functions = chain((row_function,), others())
        if all(is_same_at_any_place(function, rows[:_PADDED_ROWS]) for function in functions):
            return BatchRule(block_tokens=block_tokens, max_rows=block_tokens, padded_rows=_PADDED_ROWS)
    return BatchRule(block_tokens=block_tokens, max_rows=block_tokens, padded_rows=0)


def exact_query_multiple(
    attention: Callable[[int, int, slice, int], Tensor], step: int, *, least: int = 1
) -> int | None:
    """The multiple to which queries are padded in exact chunks, so that each comes out as in any number.

    Kernels take blocks of rows and what is left over; a small rest may take another kernel. None: no multiple
    will do, and every query is computed by itself.

    Args:
        attention: gives some rows of so many queries before a position, padded to a multiple.
        step: exact chunks end at multiples of this, at the latest.
        least: the first multiple to try.
    """
    some = [
        slice(start, start + count) for count in range(1, step) for start in {0, (7 * count) % (step - count)}
    ]
    with torch.inference_mode(), using_threads(1):
        for multiple in (least, 2 * least, 4 * least):
            if all(
                torch.equal(attention(step, end, rows, multiple), together[rows])
                for end in (step, 5 * step)
                for together in (attention(step, end, slice(0, step), multiple),)
                for rows in some
            ):
                return multiple
    return None


def keeps_bits_with_any_threads(functions: Sequence[Callable[[], Tensor]], num_threads: int) -> bool:
    """Whether these give the same bits on one thread as on all."""
    if num_threads == 1:
        return True
    with torch.inference_mode():
        together = [function() for function in functions]
        with using_threads(1):
            alone = [function() for function in functions]
    return all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


def _same_counts(
    row_function: Callable[[Tensor], Tensor], rows: Tensor, counts: tuple[int, ...]
) -> tuple[int, ...]:
    """The largest of these numbers, down to the first in which rows come out in another way."""
    together = row_function(rows)
    for place in reversed(range(len(counts))):
        count = counts[place]
        start = (7 * count) % (len(rows) - count + 1)
        few = slice(start, start + count)
        if not torch.equal(row_function(rows[few].contiguous()), together[few]):
            return counts[place + 1 :]
    return counts


def is_same_at_any_place(row_function: Callable[[Tensor], Tensor], rows: Tensor) -> bool:
    """Whether, in this number of rows, a row comes out the same at any place beside any others."""
    together = row_function(rows)
    # Kernels take rows in blocks of a power of two, so places within a block and in other blocks are tried.
    shifts = [shift for shift in range(1, len(rows)) if shift < 8 or shift & (shift - 1) == 0]
    for shift in shifts:
        if not torch.equal(row_function(rows.roll(shift, 0).contiguous()), together.roll(shift, 0)):
            return False
    alone = torch.zeros_like(rows)
    alone[0] = rows[0]
    return torch.equal(row_function(alone)[0], together[0])
