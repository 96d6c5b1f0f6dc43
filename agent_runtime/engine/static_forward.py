"""SmolLM3's forward with fixed shapes, for CUDA graphs and compilation: equal to `forward.py` up to rounding.

What is read stands in numbers on the device (tokens, where they go, what they see), never in a shape: the
number of rows is always the same, conversations stand in places of one pool, attention looks at the first
so many positions of the first so many places, and a mask made on the device says which of them a row sees.
Nothing in it waits for the device.

Since every row is always computed among equally many, the linear layers give it the same bits whatever
stands beside it, wherever a kernel treats the rows of a block alike (`same_rows.py` asks).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .chunks import Chunk
from .parts import Layer, Parts
from .slab_pool import SlabPool

_FIELDS = ("token", "place", "write", "position", "upto", "first", "state", "cell")


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """The shape of one static forward's attention.

    Attributes:
        batch: places of the pool that attend, from the first.
        tokens: rows each of them may have.
        length: positions that are looked at.
    """

    batch: int
    tokens: int
    length: int

    @property
    def num_cells(self) -> int:
        """Rows of attention, of all places together."""
        return self.batch * self.tokens


@dataclass(frozen=True, slots=True)
class Rows:
    """The numbers of one static forward on the device: one of each per row.

    Attributes:
        token: what is read.
        place: of its conversation in the pool.
        write: where in its slab its keys and values go.
        position: for the rotary embedding.
        upto: it sees what stands up to here, this included,
        first: and what stands from here up to itself, both included.
        state: where in its slab its states go.
        cell: which row of attention it is, if there are more of those than rows.
        row_of_cell: the other way round.
    """

    token: Tensor
    place: Tensor
    write: Tensor
    position: Tensor
    upto: Tensor
    first: Tensor
    state: Tensor
    cell: Tensor
    row_of_cell: Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """The same on the host, and which rows are wanted of each chunk."""

    numbers: np.ndarray  # (fields, rows)
    row_of_cell: np.ndarray | None  # (cells,), where attention has more rows than the forward
    wanted: list[list[int]]


class StaticForward:
    """Reads rows of several conversations of one pool, in a number of rows that never changes.

    It computes from its buffers and into its buffers: `fill` says what is to be read, calling it reads,
    and then `logits` holds what came out, row by row.

    Args:
        parts: of the backbone.
        pool: where the conversations are.
        num_rows: rows of every forward.
        taps: layers whose output the slabs keep as states, 0 for the embeddings.
    """

    def __init__(self, parts: Parts, pool: SlabPool, *, num_rows: int, taps: Sequence[int] = ()) -> None:
        self._parts = parts
        self._taps = tuple(taps)
        self.pool = pool
        self.num_rows = num_rows
        device, dtype = parts.embedding.device, parts.embedding.dtype
        num_numbers = (len(_FIELDS) + pool.num_places) * num_rows
        with torch.inference_mode(False):
            self._numbers = torch.zeros(num_numbers, dtype=torch.int64, device=device)
            self.logits = torch.zeros((num_rows, len(parts.embedding)), dtype=dtype, device=device)
        fields = self._numbers[: len(_FIELDS) * num_rows].view(len(_FIELDS), num_rows)
        self.rows = Rows(
            **dict(zip(_FIELDS, fields.unbind(0), strict=True)),
            row_of_cell=self._numbers[len(_FIELDS) * num_rows :],
        )
        self._project, self._finish = project, finish
        self.is_compiled = False

    def compile(self) -> None:
        """Have torch fuse what stands between attentions; the first forward then takes a minute longer.

        Compiled apart from attention and from what is written: both are as fast as they are, and these two
        functions have the same shapes in every layer and every bucket, so little is to be compiled.
        """
        self._project = torch.compile(project, fullgraph=True, dynamic=False)
        self._finish = torch.compile(finish, fullgraph=True, dynamic=False)
        self.is_compiled = True

    def stop_compiling(self) -> None:
        """Compute as written again."""
        self._project, self._finish = project, finish
        self.is_compiled = False

    def fixed_kernels(self) -> AbstractContextManager[None]:
        """Within it attention on CUDA is of one kind: fused, with masks, all rows of a block alike."""
        if self.logits.device.type != "cuda":
            return nullcontext()
        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state."""
        return self._parts.embedding.shape[1]

    @property
    def query_shape(self) -> tuple[int, int]:
        """Heads, and the width of one: what attention has of a row."""
        return self._parts.num_heads, self._parts.head_size

    def lay_out(self, chunks: Sequence[Chunk], bucket: Bucket) -> Layout:
        """Where every token of the chunks stands; every chunk's slab is in the pool, within the bucket."""
        numbers = np.zeros((len(_FIELDS), self.num_rows), dtype=np.int64)
        token, place, write, position, upto, first, state, cell = numbers
        # Rows that mean nothing are written behind every slab's end, and see one position.
        write[:] = state[:] = self.pool.length
        first[:] = self.pool.length + 1
        is_spread = bucket.num_cells > self.num_rows
        row_of_cell = np.zeros(bucket.num_cells, dtype=np.int64) if is_spread else None
        used: dict[int, int] = {}
        num_laid = 0
        wanted: list[list[int]] = []
        for chunk in chunks:
            where = self.pool.place_of(chunk.slab)
            assert where is not None and where < bucket.batch and chunk.end <= bucket.length
            size = len(chunk.token_ids)
            start = where * bucket.tokens + used.get(where, 0)
            used[where] = used.get(where, 0) + size
            assert used[where] <= bucket.tokens
            rows = slice(num_laid, num_laid + size) if is_spread else slice(start, start + size)
            if row_of_cell is not None:
                cell[rows] = np.arange(start, start + size)
                row_of_cell[start : start + size] = np.arange(num_laid, num_laid + size)
            num_laid += size
            token[rows] = chunk.token_ids
            place[rows] = where
            write[rows] = np.arange(chunk.at, chunk.end)
            position[rows] = chunk.positions
            states_at = chunk.at if chunk.states_at is None else chunk.states_at
            state[rows] = np.arange(states_at, states_at + size)
            # A row sees what stands before, less what is hidden, and its own from where that begins.
            seen_to, begins = (chunk.at, chunk.at) if chunk.hidden is None else chunk.hidden
            upto[rows] = seen_to - 1
            if chunk.branch_sizes:
                assert begins == chunk.at
                first[rows] = begins + np.repeat(_starts_of(chunk.branch_sizes), chunk.branch_sizes)
            else:
                first[rows] = begins
            wanted.append([rows.start + row for row in chunk.wanted])
        return Layout(numbers, row_of_cell, wanted)

    def fill(self, layout: Layout) -> None:
        """Say what is read next."""
        num_numbers = layout.numbers.size
        self._numbers[:num_numbers].copy_(torch.from_numpy(layout.numbers.reshape(-1)))
        if layout.row_of_cell is not None:
            cells = torch.from_numpy(layout.row_of_cell)
            self.rows.row_of_cell[: len(cells)].copy_(cells)

    def __call__(self, bucket: Bucket) -> None:
        """Read what the buffers say: keys, values and states into the pool, scores into `logits`."""
        parts, rows = self._parts, self.rows
        hidden = functional.embedding(rows.token, parts.embedding)
        rotation = parts.rotary.cosines[rows.position], parts.rotary.sines[rows.position]
        mask = self._mask(bucket)
        self._tap(0, hidden)
        for number, layer in enumerate(parts.layers):
            queries, keys, values = self._project(parts, layer, hidden, *rotation)
            slabs = self.pool.data[:, number]
            # (places, room, heads, size), indexed by two numbers a row: (rows, heads, size)
            slabs[:, 0].transpose(1, 2).index_put_((rows.place, rows.write), keys)
            slabs[:, 1].transpose(1, 2).index_put_((rows.place, rows.write), values)
            read = attend(parts, queries, slabs, mask, rows, bucket)
            hidden = self._finish(parts, layer, hidden, read)
            self._tap(number + 1, hidden)
        hidden = functional.rms_norm(hidden, hidden.shape[-1:], parts.norm, parts.epsilon)
        self.logits.copy_(parts.head(hidden))

    def try_attention(self, chunk: Chunk, bucket: Bucket, queries: Tensor) -> Tensor:
        """Attention of made-up queries (tokens, heads, size) to what stands in the first layer of a slab.

        Of no meaning in itself: it shows whether a row's result depends on the bucket and its company.
        """
        layout = self.lay_out([replace(chunk, num_wanted=len(queries))], bucket)
        self.fill(layout)
        where = torch.tensor(layout.wanted[0], device=queries.device)
        of_rows = queries.new_zeros((self.num_rows, *queries.shape[1:]))
        of_rows[where] = queries
        slabs = self.pool.data[:, 0]
        return attend(self._parts, of_rows, slabs, self._mask(bucket), self.rows, bucket)[where]

    def _tap(self, number: int, hidden: Tensor) -> None:
        if number in self._taps and self.pool.states is not None:
            states = self.pool.states[:, self._taps.index(number)]
            states.index_put_((self.rows.place, self.rows.state), hidden)

    def _mask(self, bucket: Bucket) -> Tensor:
        """What to add to the scores, (batch, 1, tokens * group, length).

        Row `t * group + g` is query t of the g-th head of its group.
        """
        rows, group = self.rows, self._parts.num_heads // self._parts.num_kv_heads
        upto, first, write = (
            to_cells(numbers.unsqueeze(1), rows, bucket) for numbers in (rows.upto, rows.first, rows.write)
        )
        keys = torch.arange(bucket.length, device=upto.device)
        is_seen = (keys <= upto) | ((keys >= first) & (keys <= write))
        mask = torch.zeros(is_seen.shape, dtype=self.logits.dtype, device=is_seen.device)
        mask.masked_fill_(~is_seen, float("-inf"))
        mask = mask.view(bucket.batch, 1, bucket.tokens, 1, bucket.length)
        return mask.expand(-1, -1, -1, group, -1).reshape(bucket.batch, 1, -1, bucket.length)


def project(
    parts: Parts, layer: Layer, hidden: Tensor, cosines: Tensor, sines: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A layer up to its attention: queries, keys and values of each row, (rows, their heads, size)."""
    normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.input_norm, parts.epsilon)
    projected = layer.query_key_value(normed).view(len(hidden), -1, parts.head_size)
    num_turned = parts.num_heads + parts.num_kv_heads
    turned, values = projected[:, :num_turned], projected[:, num_turned:]
    if layer.is_rotary:
        turned = torch.addcmul(turned * cosines, turned.roll(parts.rotary.half, -1), sines)
    return turned[:, : parts.num_heads], turned[:, parts.num_heads :], values


def finish(parts: Parts, layer: Layer, hidden: Tensor, read: Tensor) -> Tensor:
    """A layer from its attention on: (rows, hidden) -> (rows, hidden)."""
    hidden = hidden + layer.attention_output(read)
    normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.feed_forward_norm, parts.epsilon)
    gate, up = layer.gate_up(normed).chunk(2, -1)
    return hidden + layer.down(functional.silu(gate) * up)


def attend(parts: Parts, queries: Tensor, slabs: Tensor, mask: Tensor, rows: Rows, bucket: Bucket) -> Tensor:
    """Attention of every place's rows to its own slab: (rows, heads, size) -> (rows, heads * size).

    Args:
        parts: say how heads share keys.
        queries: of every row.
        slabs: one layer of the pool, (places, 2, heads, room, size).
        mask: added to the scores.
        rows: say which row of attention each row is.
        bucket: how many there are.
    """
    kv_heads, group = parts.num_kv_heads, parts.num_heads // parts.num_kv_heads
    cells = to_cells(queries.reshape(len(queries), -1), rows, bucket)
    cells = cells.view(bucket.batch, bucket.tokens, kv_heads, group, parts.head_size)
    # Query heads that share a key head stand as further rows of it, so keys are never repeated.
    stacked = cells.permute(0, 2, 1, 3, 4).reshape(bucket.batch, kv_heads, -1, parts.head_size)
    keys, values = slabs[: bucket.batch, :, :, : bucket.length].unbind(1)
    read = functional.scaled_dot_product_attention(
        stacked, keys, values, attn_mask=mask, scale=parts.head_size**-0.5
    )
    read = read.view(bucket.batch, kv_heads, bucket.tokens, group, parts.head_size).permute(0, 2, 1, 3, 4)
    return _to_rows(read.reshape(bucket.num_cells, -1), rows, bucket)


def _starts_of(sizes: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *sizes[:-1]])


def to_cells(of_rows: Tensor, rows: Rows, bucket: Bucket) -> Tensor:
    """Rows as attention has them, place by place: (rows, ...) -> (cells, ...)."""
    if bucket.num_cells > len(of_rows):
        return of_rows[rows.row_of_cell[: bucket.num_cells]]
    return of_rows[: bucket.num_cells]


def _to_rows(of_cells: Tensor, rows: Rows, bucket: Bucket) -> Tensor:
    num_rows = len(rows.token)
    if bucket.num_cells > num_rows:
        return of_cells[rows.cell]
    return functional.pad(of_cells, (0, 0, 0, num_rows - bucket.num_cells))
