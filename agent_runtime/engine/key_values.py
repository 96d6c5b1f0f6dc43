"""What the backbone keeps of one conversation, in one preallocated slab that grows by doubling.

Keys and values always; and where heads want them, the states of some layers (the taps).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SLAB_STEP = 64
"""Slabs have room for a multiple of this many positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueShape:
    """What one token's keys, values and states look like."""

    num_layers: int
    num_heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device
    max_length: int
    """Positions no sequence has more of."""
    num_taps: int = 0
    """Layers whose states are kept."""
    hidden_size: int = 0
    """Width of a state."""


@dataclass(frozen=True, slots=True)
class SlabBlock:
    """A copy of some positions of a slab."""

    key_values: Tensor  # (layers, 2, heads, positions, head_size)
    states: Tensor | None  # (taps, positions, hidden)


class KeyValueSlab:
    """Keys and values of positions 0 up to `capacity`, all layers in one tensor; states in another.

    It does not know how many positions are filled; its sequence does.

    Attributes:
        data: (layers, 2, heads, capacity, head_size).
        states: (taps, capacity, hidden); None where nothing is tapped.
    """

    def __init__(self, shape: KeyValueShape, capacity: int) -> None:
        self._shape = shape
        self.data, self.states = self._allocate(capacity)

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.data.shape[3]

    def reserve(self, length: int, *, keep: int) -> None:
        """Make room for `length` positions, keeping the first `keep`."""
        if length <= self.capacity:
            return
        data, states = self._allocate(max(length, min(2 * self.capacity, self._shape.max_length)))
        data[:, :, :, :keep] = self.data[:, :, :, :keep]
        if states is not None and self.states is not None:
            states[:, :keep] = self.states[:, :keep]
        self.data, self.states = data, states

    def copy_out(self, start: int, stop: int) -> SlabBlock:
        """A copy of positions `[start, stop)`."""
        states = None if self.states is None else self.states[:, start:stop].clone()
        return SlabBlock(self.data[:, :, :, start:stop].clone(), states)

    def copy_in(self, start: int, block: SlabBlock) -> None:
        """Write what `copy_out` gave, from position `start` on."""
        stop = start + block.key_values.shape[3]
        self.data[:, :, :, start:stop] = block.key_values
        if self.states is not None and block.states is not None:
            self.states[:, start:stop] = block.states

    def states_of(self, start: int, stop: int) -> Tensor:
        """A copy of the states of positions `[start, stop)`: (positions, taps, hidden)."""
        assert self.states is not None, "states are kept only where there are taps"
        return self.states[:, start:stop].transpose(0, 1).clone(memory_format=torch.contiguous_format)

    def _allocate(self, capacity: int) -> tuple[Tensor, Tensor | None]:
        shape = self._shape
        # Whole steps, and zeros: exact attention looks at the rest of a step too, with no weight, and no
        # weight times what memory happened to hold may still be NaN.
        capacity = -(-capacity // SLAB_STEP) * SLAB_STEP
        data = torch.zeros(
            (shape.num_layers, 2, shape.num_heads, capacity, shape.head_size),
            dtype=shape.dtype,
            device=shape.device,
        )
        if not shape.num_taps:
            return data, None
        states = torch.empty(
            (shape.num_taps, capacity, shape.hidden_size), dtype=shape.dtype, device=shape.device
        )
        return data, states
