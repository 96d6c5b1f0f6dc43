"""SmolLM3's forward pass, written for serving: few operations, no copies, only the rows that are wanted.

Equal to transformers' `SmolLM3ForCausalLM` (the tests hold that), but reads and writes preallocated key
and value slabs and takes rows of several conversations at once. Each conversation's attention is computed
by itself with the shapes it would have alone, so company never changes its bits as long as the linear
layers give each row the same bits; `same_rows.py` finds out whether they do. The states that heads stand on
are kept in the slabs as they pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from heads import BackboneEnds

from ..errors import ConfigError
from .chunks import Chunk, ChunkViews
from .key_values import SLAB_STEP, KeyValueShape, KeyValueSlab
from .linear import Linear, touchy_like
from .parts import Layer, Parts, read_layer
from .rotary import RotaryTables, head_size_of
from .same_rows import exact_query_multiple
from .weights import Weights

# On the CPU two matrix products and a softmax beat torch's fused attention, which computes in float32
# inside: in float32 always, in bfloat16 from about this many queries (2.2 times at 64, measured). A bfloat16
# kernel is made and kept for every shape that occurs, so they are used only where both lengths are
# multiples of this.
_BFLOAT16_STEP = 32

_FEWEST_ROWS = 4


class LeanForward:
    """The layers of a SmolLM3 backbone, ready to read chunks."""

    def __init__(
        self,
        config: Any,
        weights: Weights,
        *,
        max_positions: int,
        dtype: torch.dtype,
        device: torch.device,
        taps: Sequence[int] = (),
    ) -> None:
        _refuse_unsupported(config)
        self._tap_of_layer = _number_taps(taps, config.num_hidden_layers)
        self.dtype = dtype
        self.device = device
        self._config = config
        self._max_positions = max_positions
        self._num_heads: int = config.num_attention_heads
        self._num_kv_heads: int = config.num_key_value_heads
        self._head_size = head_size_of(config)
        self._group = self._num_heads // self._num_kv_heads
        self._scale = self._head_size**-0.5
        self._epsilon: float = config.rms_norm_eps
        self._matmul_step = {torch.float32: 1, torch.bfloat16: _BFLOAT16_STEP}.get(dtype, 0)
        if device.type != "cpu":
            self._matmul_step = 0
        self._exact_multiple = 1
        self._exact_step = 1
        self._rotary = RotaryTables(config, length=max_positions, dtype=dtype, device=device)
        self._embedding = weights.tensor("model.embed_tokens.weight")
        self._layers = [read_layer(weights, number, config) for number in range(config.num_hidden_layers)]
        self._norm = weights.tensor("model.norm.weight")
        self._head = weights.linear(["model.embed_tokens" if config.tie_word_embeddings else "lm_head"])
        # Two rows (a query of two heads) take another kernel than more, which only sometimes shows.
        least = -(-_FEWEST_ROWS // self._group)
        multiple = exact_query_multiple(self.try_exact_attention, SLAB_STEP, least=least)
        if multiple is not None:
            self._exact_multiple, self._exact_step = multiple, SLAB_STEP

    @property
    def key_value_shape(self) -> KeyValueShape:
        """What a slab for this model holds."""
        return KeyValueShape(
            num_layers=len(self._layers),
            num_heads=self._num_kv_heads,
            head_size=self._head_size,
            dtype=self.dtype,
            device=self.device,
            max_length=self._max_positions,
            num_taps=len(self._tap_of_layer),
            hidden_size=self._config.hidden_size,
        )

    @property
    def ends(self) -> BackboneEnds:
        """Embeddings, last norm and vocabulary, which heads share."""
        return BackboneEnds(
            embedding=self._embedding, norm_weight=self._norm, epsilon=self._epsilon, project=self._head
        )

    @property
    def taps(self) -> tuple[int, ...]:
        """Layers whose states are kept, rising."""
        return tuple(self._tap_of_layer)

    @property
    def parts(self) -> Parts:
        """What it computes with, for the forward whose shapes are fixed."""
        return Parts(
            embedding=self._embedding,
            layers=tuple(self._layers),
            norm=self._norm,
            head=self._head,
            rotary=self._rotary,
            epsilon=self._epsilon,
            num_heads=self._num_heads,
            num_kv_heads=self._num_kv_heads,
            head_size=self._head_size,
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token scores of hidden states, (rows, vocab), float32 on the CPU."""
        return self._head(hidden).to(device="cpu", dtype=torch.float32)

    def __call__(
        self, chunks: Sequence[Chunk], *, with_padding: Callable[[int], int] = lambda num_rows: num_rows
    ) -> Tensor:
        """Read the chunks: write their keys and values, return the wanted hidden states in order.

        Args:
            chunks: of any conversations; chunks of the same one must be in order, branches last.
            with_padding: how many rows to compute where so many are needed.

        Returns:
            (wanted rows of all chunks and then padding, hidden), after the last norm.
        """
        chunks = [piece for chunk in chunks for piece in self._pieces(chunk)]
        hidden, cosines, sines = self._embed(chunks, with_padding)
        views, start = [], 0
        for chunk in chunks:
            views.append(self._views(chunk, start))
            start += len(chunk.token_ids)
        self._keep_states(hidden, views, 0)
        last = len(self._layers) - 1
        # Behind the last layer's keys and values only the wanted rows matter, unless their states are kept.
        is_cut = last + 1 not in self._tap_of_layer and any(
            chunk.num_rows < len(chunk.token_ids) for chunk in chunks
        )
        for number, layer in enumerate(self._layers):
            normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.input_norm, self._epsilon)
            projected = layer.query_key_value(normed)
            if layer.is_rotary:
                self._rotate(projected, cosines, sines)
            if number == last and is_cut:
                rows = self._wanted_rows(chunks, with_padding)
                hidden = hidden[rows]
                read = self._attend(projected, projected[rows], views, self._wanted_views(chunks), number)
                if not len(rows):
                    return hidden
            else:
                read = self._attend(projected, projected, views, views, number)
            hidden = hidden + layer.attention_output(read)
            hidden = self._feed_forward(layer, hidden)
            self._keep_states(hidden, views, number + 1)
        if last + 1 in self._tap_of_layer:
            hidden = self._only_wanted(chunks, hidden, with_padding)
        return functional.rms_norm(hidden, hidden.shape[-1:], self._norm, self._epsilon)

    @property
    def num_weights(self) -> int:
        """Weights that every row is multiplied with."""
        config = self._config
        width, feed_forward = config.hidden_size, config.intermediate_size
        attention = width * self._head_size * 2 * (self._num_heads + self._num_kv_heads)
        return int(len(self._layers) * (attention + 3 * width * feed_forward))

    def try_rows(self, rows: Tensor) -> Tensor:
        """Everything that is computed row by row (all but attention), once: (rows, hidden) -> (rows, vocab).

        Of no meaning in itself: `same_rows.py` asks it whether a row's result depends on its company.
        """
        layer = self._layers[0]
        normed = functional.rms_norm(rows, rows.shape[-1:], layer.input_norm, self._epsilon)
        projected = layer.query_key_value(normed)
        self._rotate(projected, self._rotary.cosines[1:2], self._rotary.sines[1:2])
        attended = projected[:, : self._num_heads * self._head_size].contiguous()
        hidden = self._feed_forward(layer, rows + layer.attention_output(attended))
        return self.logits(functional.rms_norm(hidden, hidden.shape[-1:], self._norm, self._epsilon))

    def touchy_linears(self) -> Iterator[Linear]:
        """Linears of every shape there is, for the same purpose: they show in which order they sum.

        Each reads rows of the hidden size. One is made after the other, and none is kept.
        """
        layer = self._layers[0]
        seen: set[object] = set()
        for linear in (
            layer.query_key_value,
            layer.attention_output,
            layer.gate_up,
            layer.down,
            self._head,
        ):
            if (shape := getattr(linear, "shape", None)) not in seen:
                seen.add(shape)
                if (touchy := touchy_like(linear)) is not None:
                    yield touchy

    def try_attention(self, rows: Tensor, length: int) -> Tensor:
        """Attention of made-up queries to a made-up slab of `length` positions, for the same purpose."""
        shape = replace(self.key_value_shape, num_layers=1)
        slab = KeyValueSlab(shape, length)
        slab.data.copy_(torch.sin(torch.arange(slab.data.numel(), device=self.device)).view_as(slab.data))
        num_queries = rows.shape[0]
        view = ChunkViews(Chunk(slab, range(num_queries), length - num_queries, 0), 0, self._group)
        queries = self._layers[0].query_key_value(rows)[:, : self._num_heads * self._head_size]
        return self._attend_one(queries, view, 0)

    def try_exact_attention(self, num_queries: int, end: int, rows: slice, multiple: int) -> Tensor:
        """Some rows of made-up queries that end at position `end`, as an exact chunk of their own."""
        shape = replace(self.key_value_shape, num_layers=1)
        slab = KeyValueSlab(shape, end)
        slab.data.copy_(_cancelling(*slab.data.shape).to(self.device))
        size = (num_queries, self._num_heads * self._head_size)
        queries = torch.cos(torch.arange(size[0] * size[1], device=self.device) * 0.7).view(size)
        first, num_rows = end - num_queries + rows.start, rows.stop - rows.start
        chunk = Chunk(slab, range(num_rows), first, num_rows, is_exact=True)
        view = ChunkViews(chunk, 0, self._group, multiple=multiple)
        return self._attend_one(queries[rows].to(self.dtype), view, 0)

    def _pieces(self, chunk: Chunk) -> list[Chunk]:
        """An exact chunk in pieces that attend to equally many keys; any other as it is."""
        if not chunk.is_exact or chunk.at // self._exact_step == (chunk.end - 1) // self._exact_step:
            return [chunk]
        return chunk.cut(self._exact_step)

    def _views(self, chunk: Chunk, start: int, *, only_wanted: bool = False) -> ChunkViews:
        return ChunkViews(chunk, start, self._group, multiple=self._exact_multiple, only_wanted=only_wanted)

    def _wanted_views(self, chunks: Sequence[Chunk]) -> list[ChunkViews | None]:
        """Views for the wanted rows alone."""
        views: list[ChunkViews | None] = []
        start = 0
        for chunk in chunks:
            views.append(self._views(chunk, start, only_wanted=True) if chunk.num_rows else None)
            start += chunk.num_rows
        return views

    def _wanted_rows(self, chunks: Sequence[Chunk], with_padding: Callable[[int], int]) -> Tensor:
        """Numbers of the wanted rows, and padding if there are any."""
        rows: list[int] = []
        start = 0
        for chunk in chunks:
            rows.extend(start + row for row in chunk.wanted)
            start += len(chunk.token_ids)
        if rows:
            rows.extend([0] * (with_padding(len(rows)) - len(rows)))
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _only_wanted(
        self, chunks: Sequence[Chunk], hidden: Tensor, with_padding: Callable[[int], int]
    ) -> Tensor:
        if all(chunk.num_rows == len(chunk.token_ids) for chunk in chunks):
            return hidden
        return hidden[self._wanted_rows(chunks, with_padding)]

    def _keep_states(self, hidden: Tensor, views: Sequence[ChunkViews], layer: int) -> None:
        """The states behind a layer into the slabs, if it is tapped."""
        tap = self._tap_of_layer.get(layer)
        if tap is not None:
            for view in views:
                view.states[tap].copy_(hidden[view.rows])

    def _feed_forward(self, layer: Layer, hidden: Tensor) -> Tensor:
        normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.feed_forward_norm, self._epsilon)
        gate, up = layer.gate_up(normed).chunk(2, -1)
        return hidden + layer.down(functional.silu(gate).mul_(up))

    def _embed(
        self, chunks: Sequence[Chunk], with_padding: Callable[[int], int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        token_ids = [token for chunk in chunks for token in chunk.token_ids]
        padding = with_padding(len(token_ids)) - len(token_ids)
        token_ids += [0] * padding
        hidden = functional.embedding(torch.tensor(token_ids, device=self.device), self._embedding)
        if len(chunks) == 1 and not padding and isinstance(run := chunks[0].positions, range):
            rows = slice(run.start, run.stop)
            return hidden, self._rotary.cosines[rows], self._rotary.sines[rows]
        at = [position for chunk in chunks for position in chunk.positions]
        positions = torch.tensor(at + [0] * padding, device=self.device)
        return hidden, self._rotary.cosines[positions], self._rotary.sines[positions]

    def _rotate(self, projected: Tensor, cosines: Tensor, sines: Tensor) -> None:
        num_rotated = self._num_heads + self._num_kv_heads
        rows = projected[:, : num_rotated * self._head_size].view(-1, num_rotated, self._head_size)
        self._rotary.rotate_in_place(rows, cosines, sines)

    def _attend(
        self,
        projected: Tensor,
        asking: Tensor,
        views: Sequence[ChunkViews],
        asking_views: Sequence[ChunkViews | None],
        layer: int,
    ) -> Tensor:
        """Write all keys and values, and let the asking rows read their own slabs: (rows, heads * size).

        Chunk by chunk, since branches that are not beside one another take turns at the same place.
        """
        width = self._num_heads * self._head_size
        # (rows, 2, heads, size) -> (2, heads, rows, size), as it stands in the slabs
        kv = projected[:, width:].view(-1, 2, self._num_kv_heads, self._head_size).permute(1, 2, 0, 3)
        queries = asking[:, :width]
        if len(views) == 1 and views[0].num_queries == kv.shape[2]:
            views[0].written[layer].copy_(kv)
            if (view := asking_views[0]) is not None and view.num_queries == len(queries):
                return self._attend_one(queries, view, layer)
            views = []  # written already
        read = torch.zeros_like(queries)
        for number, asking_view in enumerate(asking_views):
            if views:
                views[number].written[layer].copy_(kv[:, :, views[number].rows])
            if asking_view is not None:
                read[asking_view.rows] = self._attend_one(queries[asking_view.rows], asking_view, layer)
        return read

    def _attend_one(self, queries: Tensor, view: ChunkViews, layer: int) -> Tensor:
        """Query heads that share a key head stand as further rows of it, so keys are never repeated."""
        num_queries, kv_heads, group = view.num_queries, self._num_kv_heads, self._group
        if view.is_exact and view.mask is not None and len(view.mask) > num_queries * group:
            queries = functional.pad(queries, (0, 0, 0, len(view.mask) // group - num_queries))
        rows = len(queries) * group
        keys, values = view.keys[layer], view.values[layer]
        stacked = queries.view(-1, kv_heads, group, self._head_size).transpose(0, 1)
        stacked = stacked.reshape(kv_heads, rows, self._head_size)
        step = self._matmul_step
        if step and not view.is_exact and num_queries % step == 0 and keys.shape[1] % step == 0:
            if view.mask is None:
                scores = torch.bmm(stacked * self._scale, keys.transpose(1, 2))
            else:
                scores = torch.baddbmm(view.mask, stacked, keys.transpose(1, 2), alpha=self._scale)
            read = torch.bmm(scores.softmax(-1), values)
        else:
            read = functional.scaled_dot_product_attention(
                stacked.unsqueeze(0),
                keys.unsqueeze(0),
                values.unsqueeze(0),
                attn_mask=view.mask,
                scale=self._scale,
            )[0]
        read = read.view(kv_heads, -1, group, self._head_size).transpose(0, 1)[:num_queries]
        return read.reshape(num_queries, -1)


def _cancelling(num_layers: int, num_parts: int, num_heads: int, length: int, head_size: int) -> Tensor:
    """Made-up keys and values of positions whose weighted values cancel, eight by eight.

    Four keys stand twice, once with their value and once with its opposite. A query that sees whole eights
    reads nothing but what rounding left, which shows in which order attention sums.
    """
    order, signs = [0, 1, 2, 3, 2, 0, 3, 1], [1.0] * 4 + [-1.0] * 4
    size = (num_layers, num_parts, num_heads, length // 8, 4, head_size)
    made = torch.randn(size, generator=torch.Generator().manual_seed(0))[:, :, :, :, order]
    made[:, 1] *= torch.tensor(signs).unsqueeze(1)
    return made.flatten(3, 4)


def _refuse_unsupported(config: Any) -> None:
    if config.hidden_act not in ("silu", "swish"):
        raise ConfigError(f"config.json asks for hidden_act {config.hidden_act!r}: only 'silu' is supported")
    if any(kind != "full_attention" for kind in config.layer_types):
        raise ConfigError("config.json asks for sliding-window attention: only full attention is supported")


def _number_taps(taps: Sequence[int], num_layers: int) -> dict[int, int]:
    """Layer -> its number among the taps."""
    if list(taps) != sorted({*taps}) or any(not 0 <= layer <= num_layers for layer in taps):
        raise ConfigError(
            f"taps={tuple(taps)}: expected rising layer numbers from 0 (the embeddings) to {num_layers}, the "
            "backbone's last layer"
        )
    return {layer: number for number, layer in enumerate(taps)}
