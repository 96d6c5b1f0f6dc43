"""The frozen backbone over a batch of rows: states at the taps, without gradient.

On a CPU the lean training forward with weights packed once, for which a row's segments are a mask; elsewhere,
and for quantised weights, the transformers model itself under the same mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from heads import read_taps

from ..forward import LayerForward


class Reader(Protocol):
    """Reads rows of tokens."""

    def __call__(self, tokens: Tensor, positions: Tensor, may_read: Tensor) -> Tensor:
        """States of `tokens` (rows, length) at the taps, (rows * length, taps, hidden).

        `positions` (rows, length) are theirs, `may_read` (rows, length, length) says who reads whom.
        """


def reader_for(model: Any, taps: Sequence[int], *, dtype: torch.dtype, is_compiled: bool) -> Reader:
    """The fastest reader there is for a backbone where it stands."""
    is_plain = all(parameter.is_floating_point() for parameter in model.parameters())
    if is_plain and model.device.type == "cpu":
        return PackedReader(model, taps, dtype=dtype, is_compiled=is_compiled)
    return TransformersReader(model, taps)


class PackedReader:
    """The training forward, with the weights of a layer packed and converted once."""

    def __init__(self, model: Any, taps: Sequence[int], *, dtype: torch.dtype, is_compiled: bool) -> None:
        self._forward = LayerForward(model.config, is_compiled=is_compiled)
        self._embedding = model.model.embed_tokens.weight.detach()
        with torch.no_grad():
            self._layers = [self._forward.packed(layer, dtype) for layer in model.model.layers]
        self._taps = tuple(taps)
        self._dtype = dtype

    @torch.no_grad()
    def __call__(self, tokens: Tensor, positions: Tensor, may_read: Tensor) -> Tensor:
        """States at the taps."""
        unread = torch.zeros_like(may_read, dtype=self._dtype).masked_fill(~may_read, float("-inf"))
        turn = self._forward.rotation(positions.reshape(-1))
        x = functional.embedding(tokens.reshape(-1), self._embedding).to(self._dtype)
        found = {0: x}
        for number, layer in enumerate(self._layers, 1):
            x = self._forward.layer(x, layer, turn, unread)
            found[number] = x
        return torch.stack([found[tap] for tap in self._taps], 1)


class TransformersReader:
    """A transformers model, whatever its weights are kept in."""

    def __init__(self, model: Any, taps: Sequence[int]) -> None:
        self._model = model
        self._taps = tuple(taps)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, positions: Tensor, may_read: Tensor) -> Tensor:
        """States at the taps."""
        unread = torch.zeros_like(may_read, dtype=self._model.dtype)
        unread = unread.masked_fill(~may_read, torch.finfo(self._model.dtype).min)
        states = read_taps(
            self._model,
            self._taps,
            input_ids=tokens,
            attention_mask=unread[:, None],
            position_ids=positions,
            use_cache=False,
        )
        return states.flatten(0, 1)
