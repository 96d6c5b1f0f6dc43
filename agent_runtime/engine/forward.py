"""SmolLM3's forward pass, written for serving: few operations, no copies, only the rows that are wanted.

Equal to transformers' `SmolLM3ForCausalLM` (the tests hold that), but reads and writes preallocated key
and value slabs and takes rows of several conversations at once. Each conversation's attention is computed
by itself with the shapes it would have alone, so company never changes its bits as long as the linear
layers give each row the same bits; `same_rows.py` finds out whether they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError
from .key_values import SLAB_STEP, KeyValueShape, KeyValueSlab
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


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one conversation to be read in one forward, at positions `at`, `at + 1`, ...

    The slab must have room for them. `num_wanted` counts the rows, from the end, whose hidden states
    are wanted. The rows of an exact chunk do not depend on which of the tokens stand in it together.
    """

    slab: KeyValueSlab
    token_ids: Sequence[int]
    at: int
    num_wanted: int
    is_exact: bool = False

    @property
    def end(self) -> int:
        """Position after the last token."""
        return self.at + len(self.token_ids)


class _ChunkViews:
    """What every layer needs of one chunk, cut out of its slab once per forward.

    Attention sums in an order that follows from how many keys it looks at. In an exact chunk that number
    follows from the position alone: keys up to the end of a step, those that are not yet written masked.
    """

    __slots__ = ("is_exact", "keys", "mask", "num_queries", "rows", "values", "written")

    def __init__(self, chunk: Chunk, start: int, group: int, num_queries: int, multiple: int = 1) -> None:
        data = chunk.slab.data
        end = seen = chunk.end
        if chunk.is_exact:
            seen = -(-end // SLAB_STEP) * SLAB_STEP
        self.rows = slice(start, start + len(chunk.token_ids))
        self.written = data[:, :, :, chunk.at : end].unbind(0)
        self.keys = data[:, 0, :, :seen].unbind(0)
        self.values = data[:, 1, :, :seen].unbind(0)
        self.num_queries = num_queries
        self.is_exact = chunk.is_exact
        if chunk.is_exact:
            rows = -(-num_queries // multiple) * multiple
            self.mask: Tensor | None = _stepped_mask(num_queries, end, group, data, rows=rows, seen=seen)
        else:
            self.mask = _causal_mask(num_queries, end, group, data)


class LeanForward:
    """The layers of a SmolLM3 backbone, ready to read chunks."""

    def __init__(
        self, config: Any, weights: Weights, *, max_positions: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        _refuse_unsupported(config)
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
        )

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
            chunks: of any conversations; chunks of the same one must be in order.
            with_padding: how many rows to compute where so many are needed.

        Returns:
            (wanted rows of all chunks and then padding, hidden), after the last norm.
        """
        chunks = [piece for chunk in chunks for piece in self._pieces(chunk)]
        hidden, cosines, sines = self._embed(chunks, with_padding)
        views, start = [], 0
        for chunk in chunks:
            views.append(self._views(chunk, start, len(chunk.token_ids)))
            start += len(chunk.token_ids)
        last = len(self._layers) - 1
        for number, layer in enumerate(self._layers):
            normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.input_norm, self._epsilon)
            projected = layer.query_key_value(normed)
            if layer.is_rotary:
                self._rotate(projected, cosines, sines)
            self._write(projected, views, number)
            if number == last:
                # Behind the last layer's keys and values only the wanted rows matter.
                if any(chunk.num_wanted < len(chunk.token_ids) for chunk in chunks):
                    hidden, projected, views = self._keep_wanted(chunks, hidden, projected, with_padding)
                if not views:
                    return hidden
            hidden = hidden + layer.attention_output(self._attend(projected, views, number))
            hidden = self._feed_forward(layer, hidden)
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

    def try_attention(self, rows: Tensor, length: int) -> Tensor:
        """Attention of made-up queries to a made-up slab of `length` positions, for the same purpose."""
        shape = replace(self.key_value_shape, num_layers=1)
        slab = KeyValueSlab(shape, length)
        slab.data.copy_(torch.sin(torch.arange(slab.data.numel(), device=self.device)).view_as(slab.data))
        num_queries = rows.shape[0]
        view = _ChunkViews(
            Chunk(slab, range(num_queries), length - num_queries, 0), 0, self._group, num_queries
        )
        queries = self._layers[0].query_key_value(rows)[:, : self._num_heads * self._head_size]
        return self._attend_one(queries, view, 0)

    def try_exact_attention(self, num_queries: int, end: int, rows: slice, multiple: int) -> Tensor:
        """Some rows of made-up queries that end at position `end`, as an exact chunk of their own."""
        shape = replace(self.key_value_shape, num_layers=1)
        slab = KeyValueSlab(shape, end)
        slab.data.copy_(torch.sin(torch.arange(slab.data.numel(), device=self.device)).view_as(slab.data))
        size = (num_queries, self._num_heads * self._head_size)
        queries = torch.cos(torch.arange(size[0] * size[1], device=self.device) * 0.7).view(size)
        first, num_rows = end - num_queries + rows.start, rows.stop - rows.start
        chunk = Chunk(slab, range(num_rows), first, num_rows, is_exact=True)
        view = _ChunkViews(chunk, 0, self._group, num_rows, multiple)
        return self._attend_one(queries[rows].to(self.dtype), view, 0)

    def _pieces(self, chunk: Chunk) -> list[Chunk]:
        """An exact chunk in pieces that attend to equally many keys; any other as it is."""
        if not chunk.is_exact or chunk.at // self._exact_step == (chunk.end - 1) // self._exact_step:
            return [chunk]
        pieces: list[Chunk] = []
        at = chunk.at
        while at < chunk.end:
            end = min((at // self._exact_step + 1) * self._exact_step, chunk.end)
            token_ids = chunk.token_ids[at - chunk.at : end - chunk.at]
            num_wanted = min(len(token_ids), max(0, end - (chunk.end - chunk.num_wanted)))
            pieces.append(replace(chunk, token_ids=token_ids, at=at, num_wanted=num_wanted))
            at = end
        return pieces

    def _views(self, chunk: Chunk, start: int, num_queries: int) -> _ChunkViews:
        return _ChunkViews(chunk, start, self._group, num_queries, self._exact_multiple)

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
        if len(chunks) == 1 and not padding:
            rows = slice(chunks[0].at, chunks[0].end)
            return hidden, self._rotary.cosines[rows], self._rotary.sines[rows]
        at = [position for chunk in chunks for position in range(chunk.at, chunk.end)]
        positions = torch.tensor(at + [0] * padding, device=self.device)
        return hidden, self._rotary.cosines[positions], self._rotary.sines[positions]

    def _rotate(self, projected: Tensor, cosines: Tensor, sines: Tensor) -> None:
        num_rotated = self._num_heads + self._num_kv_heads
        rows = projected[:, : num_rotated * self._head_size].view(-1, num_rotated, self._head_size)
        self._rotary.rotate_in_place(rows, cosines, sines)

    def _write(self, projected: Tensor, views: Sequence[_ChunkViews], layer: int) -> None:
        """Keys and values into the slabs: (rows, 2, heads, size) -> (2, heads, rows, size)."""
        kv = projected[:, self._num_heads * self._head_size :]
        kv = kv.view(-1, 2, self._num_kv_heads, self._head_size).permute(1, 2, 0, 3)
        if len(views) == 1 and views[0].rows.stop == kv.shape[2]:
            views[0].written[layer].copy_(kv)
            return
        for view in views:
            view.written[layer].copy_(kv[:, :, view.rows])

    def _attend(self, projected: Tensor, views: Sequence[_ChunkViews], layer: int) -> Tensor:
        """Attention of every chunk's queries to its own slab: (rows, heads * size)."""
        queries = projected[:, : self._num_heads * self._head_size]
        if len(views) == 1 and views[0].rows.stop == queries.shape[0]:
            return self._attend_one(queries, views[0], layer)
        read = torch.zeros_like(queries)
        for view in views:
            read[view.rows] = self._attend_one(queries[view.rows], view, layer)
        return read

    def _attend_one(self, queries: Tensor, view: _ChunkViews, layer: int) -> Tensor:
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

    def _keep_wanted(
        self, chunks: Sequence[Chunk], hidden: Tensor, projected: Tensor, with_padding: Callable[[int], int]
    ) -> tuple[Tensor, Tensor, list[_ChunkViews]]:
        kept: list[Tensor] = []
        views: list[_ChunkViews] = []
        end = start = 0
        for chunk in chunks:
            end += len(chunk.token_ids)
            if not chunk.num_wanted:
                continue
            kept.append(torch.arange(end - chunk.num_wanted, end, device=self.device))
            view = self._views(chunk, start, chunk.num_wanted)
            view.rows = slice(start, start + chunk.num_wanted)
            views.append(view)
            start += chunk.num_wanted
        if not views:
            return hidden[:0], projected, []
        wanted = torch.cat(kept)
        if (padding := with_padding(start) - start) > 0:
            wanted = torch.cat((wanted, wanted.new_zeros(padding)))
        return hidden[wanted], projected[wanted], views


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


def _refuse_unsupported(config: Any) -> None:
    if config.hidden_act not in ("silu", "swish"):
        raise ConfigError(f"config.json asks for hidden_act {config.hidden_act!r}: only 'silu' is supported")
    if any(kind != "full_attention" for kind in config.layer_types):
        raise ConfigError("config.json asks for sliding-window attention: only full attention is supported")
