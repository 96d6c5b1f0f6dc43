"""Attention and feed-forward blocks of the heads: pre-norm and bidirectional.

Nothing here reads a value back from the device or makes a shape depend on data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROTARY_BASE = 10_000.0
_NUM_FREQUENCIES = 16


def unit(states: Tensor) -> Tensor:
    """States scaled to a root mean square of 1, in float32: layers of one backbone differ a hundredfold."""
    return functional.rms_norm(states.float(), states.shape[-1:])


class LevelFeatures(nn.Module):
    """A number in [0, 1] as features: sines of many frequencies and a small network, continuous in it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * _NUM_FREQUENCIES, width)
        self.second = nn.Linear(width, width)

    def forward(self, level: Tensor) -> Tensor:
        """(...,) -> (..., width)."""
        waves = _waves(level, slowest=math.pi / 2, fastest=64 * math.pi).to(self.first.weight.dtype)
        features: Tensor = self.second(functional.silu(self.first(waves)))
        return features


class PlaceFeatures(nn.Module):
    """Places 0, 1, 2, ... as features, without an end: a slot may grow past what training saw."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * _NUM_FREQUENCIES, width)

    def forward(self, places: Tensor) -> Tensor:
        """(...,) -> (..., width)."""
        waves = _waves(places, slowest=1 / 256, fastest=1.0).to(self.project.weight.dtype)
        features: Tensor = self.project(waves)
        return features


def _waves(number: Tensor, *, slowest: float, fastest: float) -> Tensor:
    """Sines and cosines, (..., 2 * _NUM_FREQUENCIES), float32."""
    exponents = torch.linspace(0.0, 1.0, _NUM_FREQUENCIES, device=number.device)
    angles = number.float()[..., None] * (slowest * (fastest / slowest) ** exponents)
    return torch.cat((angles.sin(), angles.cos()), -1)


class FeedForward(nn.Module):
    """A gated feed-forward."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        inner = max(8, round(width * ratio / 8) * 8)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        gate, up = self.gate_up(x).chunk(2, -1)
        mixed: Tensor = self.down(functional.silu(gate) * up)
        return mixed


class SelfAttention(nn.Module):
    """Attention among the rows of a group, both ways, with rotary places."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], may_read: Tensor) -> Tensor:
        """Read each other.

        Args:
            x: (groups, rows, width).
            turn: cosines and sines of the rows' places, of `rotation`.
            may_read: (groups, readers, read); every reader must be allowed something.
        """
        groups, rows, width = x.shape
        heads = self.query_key_value(x).view(groups, rows, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = _rotate(heads[0], turn), _rotate(heads[1], turn), heads[2]
        read = _attend(query, key, value, may_read[:, None])
        mixed: Tensor = self.output(read.transpose(1, 2).reshape(groups, rows, width))
        return mixed


class MemoryAttention(nn.Module):
    """Attention to a memory that is read once and kept.

    A learned first row can always be read, so an empty memory is an answer too.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.nothing = nn.Parameter(torch.zeros(2, num_heads, 1, width // num_heads))
        self.output = nn.Linear(width, width, bias=False)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a memory (batch, length, width), each (batch, heads, 1 + length, size)."""
        batch, length, _ = memory.shape
        heads = self.key_value(memory).view(batch, length, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        nothing = self.nothing[:, None].expand(-1, batch, -1, -1, -1)
        key, value = torch.cat((nothing.to(heads.dtype), heads), 3).unbind(0)
        return key, value

    def forward(self, x: Tensor, remembered: tuple[Tensor, Tensor], may_read: Tensor) -> Tensor:
        """Read the memory.

        Args:
            x: (batch, rows, width).
            remembered: from `remember`.
            may_read: (batch, length) of the memory, or (batch, rows, length) where rows read different parts.
        """
        batch, rows, width = x.shape
        key, value = remembered
        query = self.query(x).view(batch, rows, self.num_heads, -1).transpose(1, 2)
        allowed = functional.pad(may_read.view(batch, -1, may_read.shape[-1]), (1, 0), value=True)[:, None]
        read = _attend(query, key, value, allowed)
        mixed: Tensor = self.output(read.transpose(1, 2).reshape(batch, rows, width))
        return mixed


class Block(nn.Module):
    """Self-attention, memory attention (if any) and feed-forward, each added to what came in."""

    def __init__(
        self, width: int, num_heads: int, *, feed_forward_ratio: float, dropout: float, has_memory: bool
    ) -> None:
        super().__init__()
        self.self_norm = nn.RMSNorm(width)
        self.self_attention = SelfAttention(width, num_heads)
        self.memory_norm = nn.RMSNorm(width) if has_memory else None
        self.memory_attention = MemoryAttention(width, num_heads) if has_memory else None
        self.feed_forward_norm = nn.RMSNorm(width)
        self.feed_forward = FeedForward(width, feed_forward_ratio)
        self.dropout = nn.Dropout(dropout)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` needs of a memory, see `MemoryAttention.remember`."""
        if self.memory_attention is None:
            raise TypeError("this block was made without memory")
        return self.memory_attention.remember(memory)

    def forward(
        self,
        x: Tensor,
        *,
        group: int,
        turn: tuple[Tensor, Tensor],
        may_read: Tensor,
        memory: tuple[tuple[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """One block.

        Args:
            x: (batch, rows, width).
            group: rows that read each other stand in groups of this many (all rows, or those of one slot).
            turn: cosines and sines, (groups, 1, group, size).
            may_read: (groups, group, group).
            memory: what `remember` returned, and which of it may be read.
        """
        batch, rows, width = x.shape
        grouped = self.self_norm(x).view(-1, group, width)
        attended = self.self_attention(grouped, turn, may_read).view(batch, rows, width)
        x = x + self.dropout(attended)
        if self.memory_attention is not None and self.memory_norm is not None and memory is not None:
            remembered, is_there = memory
            x = x + self.dropout(self.memory_attention(self.memory_norm(x), remembered, is_there))
        mixed: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return mixed


def _attend(query: Tensor, key: Tensor, value: Tensor, may_read: Tensor) -> Tensor:
    """Attention (batch, heads, rows, size); on a CPU plain kernels, in a third of the fused one's time."""
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=may_read)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    read: Tensor = scores.masked_fill(~may_read, float("-inf")).softmax(-1) @ value
    return read


def rotation(places: Tensor, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of places (groups, rows), each (groups, 1, rows, head_size / 2)."""
    steps = torch.arange(0, head_size, 2, device=places.device, dtype=torch.float32) / head_size
    angles = places.float()[:, None, :, None] * _ROTARY_BASE**-steps
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = turn
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), -1).to(x.dtype)


def mutual(is_there: Tensor) -> Tensor:
    """Who reads whom: everybody what is there, and a place that is not there only itself.

    (groups, rows) -> (groups, rows, rows). A row that may read nothing would turn into NaN.
    """
    itself = torch.eye(is_there.shape[-1], dtype=torch.bool, device=is_there.device)
    return is_there[:, None, :] | itself
