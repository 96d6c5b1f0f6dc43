"""Slabs of several conversations in one tensor, so that one forward of fixed shape reaches all of them.

A conversation in a place of the pool has an ordinary slab, a view of its place: prompts, prefix cache and
every forward that is not static read and write it as any other.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .key_values import SLAB_STEP, KeyValueShape, KeyValueSlab


@dataclass(slots=True)
class _Lease:
    """Which place a slab has; the finalizer knows it after the slab is gone."""

    place: int | None


class PooledSlab(KeyValueSlab):
    """A slab in a place of a pool. When it outgrows the place it gets memory of its own and leaves."""

    def __init__(self, shape: KeyValueShape, pool: SlabPool, lease: _Lease) -> None:
        self._shape = shape
        self.pool = pool
        self.lease = lease
        self.look()

    def look(self) -> None:
        """See the place of the lease; nothing is copied."""
        assert self.lease.place is not None
        self.data, self.states = self.pool.views(self.lease.place)

    def reserve(self, length: int, *, keep: int) -> None:
        """Make room for `length` positions, keeping the first `keep`."""
        before = self.data
        super().reserve(length, keep=keep)
        if self.data is not before:
            self.pool.give_back(self.lease)


class SlabPool:
    """Places for a fixed number of conversations of at most so many positions.

    The places in use are kept together at the beginning as far as it costs nothing, since a static forward
    computes attention for every place up to the last it needs.

    Attributes:
        data: (places, layers, 2, heads, room, head_size).
        states: (places, taps, room, hidden); None where nothing is tapped.
        length: positions a place has; `room` has some more, where rows that mean nothing are written.
    """

    def __init__(self, shape: KeyValueShape, *, num_places: int, length: int) -> None:
        self._shape = shape
        self.length = -(-length // SLAB_STEP) * SLAB_STEP
        self.num_places = num_places
        room = self.length + SLAB_STEP
        # Normal tensors even if made in inference mode: conversations write to them outside of it too.
        with torch.inference_mode(False):
            self.data = torch.zeros(
                (num_places, shape.num_layers, 2, shape.num_heads, room, shape.head_size),
                dtype=shape.dtype,
                device=shape.device,
            )
            self.states: Tensor | None = None
            if shape.num_taps:
                size = (num_places, shape.num_taps, room, shape.hidden_size)
                self.states = torch.zeros(size, dtype=shape.dtype, device=shape.device)
        self._free = set(range(num_places))

    @property
    def num_free(self) -> int:
        """Places that are not in use."""
        return len(self._free)

    @staticmethod
    def num_bytes(shape: KeyValueShape, *, num_places: int, length: int) -> int:
        """Memory that such a pool takes."""
        room = -(-length // SLAB_STEP) * SLAB_STEP + SLAB_STEP
        one = shape.num_layers * 2 * shape.num_heads * shape.head_size + shape.num_taps * shape.hidden_size
        return num_places * room * one * torch.empty((), dtype=shape.dtype).element_size()

    def new_slab(self, length: int) -> PooledSlab | None:
        """A slab with room for `length` positions, if a place is free and long enough."""
        if length > self.length or not self._free:
            return None
        lease = _Lease(self._take_first())
        slab = PooledSlab(self._shape, self, lease)
        # Nothing of an earlier conversation may show: no weight times NaN is still NaN.
        slab.data.zero_()
        weakref.finalize(slab, self.give_back, lease).atexit = False
        return slab

    def place_of(self, slab: KeyValueSlab) -> int | None:
        """Where a slab stands; None if it is not in this pool."""
        return slab.lease.place if isinstance(slab, PooledSlab) and slab.pool is self else None

    def views(self, place: int) -> tuple[Tensor, Tensor | None]:
        """Keys and values, and states, of a place."""
        with torch.inference_mode(False):
            states = None if self.states is None else self.states[place, :, : self.length]
            return self.data[place, :, :, :, : self.length], states

    def give_back(self, lease: _Lease) -> None:
        """Free a place; once is enough. May be called on any thread, and computes nothing."""
        place, lease.place = lease.place, None
        if place is not None:
            self._free.add(place)

    def gather(self, slabs: Sequence[KeyValueSlab], num_places: int) -> None:
        """Move slabs from behind the first `num_places` into free ones of those, as many as there are."""
        for slab in slabs:
            if not isinstance(slab, PooledSlab) or slab.lease.place is None or slab.lease.place < num_places:
                continue
            if min(self._free, default=num_places) >= num_places:
                return
            before, place = slab.lease.place, self._take_first()
            self.data[place].copy_(self.data[before])
            if self.states is not None:
                self.states[place].copy_(self.states[before])
            slab.lease.place = place
            slab.look()
            self._free.add(before)

    def _take_first(self) -> int:
        place = min(self._free)
        self._free.discard(place)
        return place
