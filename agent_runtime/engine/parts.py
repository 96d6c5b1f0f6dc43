"""The parts a SmolLM3 forward is made of: its layers' weights and the numbers that say how to use them.

Both forwards compute with the same parts: `forward.py`, whose shapes follow what is read, and
`static_forward.py`, whose shapes are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .linear import Linear
from .rotary import RotaryTables
from .weights import Weights


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what is computed row by row. Attention has no weights of its own."""

    input_norm: Tensor
    query_key_value: Linear
    attention_output: Linear
    feed_forward_norm: Tensor
    gate_up: Linear
    down: Linear
    is_rotary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All of a backbone.

    Attributes:
        embedding: (vocab, hidden).
        layers: in order.
        norm: weight of the last norm.
        head: hidden states to next-token scores.
        rotary: tables for every position a sequence may have.
        epsilon: of every norm.
        num_heads: query heads.
        num_kv_heads: key/value heads.
        head_size: width of one head.
    """

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Linear
    rotary: RotaryTables
    epsilon: float
    num_heads: int
    num_kv_heads: int
    head_size: int


def read_layer(weights: Weights, number: int, config: Any) -> Layer:
    """One layer of a checkpoint."""
    name = f"model.layers.{number}"
    return Layer(
        input_norm=weights.tensor(f"{name}.input_layernorm.weight"),
        query_key_value=weights.linear([f"{name}.self_attn.{part}_proj" for part in "qkv"]),
        attention_output=weights.linear([f"{name}.self_attn.o_proj"]),
        feed_forward_norm=weights.tensor(f"{name}.post_attention_layernorm.weight"),
        gate_up=weights.linear([f"{name}.mlp.gate_proj", f"{name}.mlp.up_proj"]),
        down=weights.linear([f"{name}.mlp.down_proj"]),
        is_rotary=bool(config.no_rope_layers[number]),
    )
