"""The keys and values of one conversation, in one preallocated slab that grows by doubling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SLAB_STEP = 64
"""Slabs have room for a multiple of this many positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueShape:
    """What one token's keys and values look like."""

    num_layers: int
    num_heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device
    max_length: int
    """Positions no slab has more of."""


class KeyValueSlab:
    """Keys and values of positions 0 up to `capacity`, all layers in one tensor.

    It does not know how many positions are filled; its sequence does.
    """

    def __init__(self, shape: KeyValueShape, capacity: int) -> None:
        self._shape = shape
        self.data = self._allocate(capacity)

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.data.shape[3]

    def reserve(self, length: int, *, keep: int) -> None:
        """Make room for `length` positions, keeping the first `keep`."""
        if length <= self.capacity:
            return
        grown = self._allocate(max(length, min(2 * self.capacity, self._shape.max_length)))
        grown[:, :, :, :keep] = self.data[:, :, :, :keep]
        self.data = grown

    def copy_out(self, start: int, stop: int) -> Tensor:
        """A copy of positions `[start, stop)`: (layers, 2, heads, positions, head_size)."""
        return self.data[:, :, :, start:stop].clone()

    def copy_in(self, start: int, block: Tensor) -> None:
        """Write what `copy_out` gave, from position `start` on."""
        self.data[:, :, :, start : start + block.shape[3]] = block

    def _allocate(self, capacity: int) -> Tensor:
        shape = self._shape
        # Whole steps, and zeros: exact attention looks at the rest of a step too, with no weight, and no
        # weight times what memory happened to hold may still be NaN.
        capacity = -(-capacity // SLAB_STEP) * SLAB_STEP
        return torch.zeros(
            (shape.num_layers, 2, shape.num_heads, capacity, shape.head_size),
            dtype=shape.dtype,
            device=shape.device,
        )
