"""Rotary position tables, computed once for every position a sequence may have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError

# These recompute their frequencies as the sequence grows, so what was cached under the old ones turns wrong.
_LENGTH_DEPENDENT = ("dynamic", "longrope")


class RotaryTables:
    """Cosines and signed sines: `x * cosines + roll(x, half) * sines` rotates x.

    The sign sits in the sine table, so that a rotation is three operations for queries and keys together.
    """

    def __init__(self, config: Any, *, length: int, dtype: torch.dtype, device: torch.device) -> None:
        frequencies, scale = _frequencies(config, device)
        positions = torch.arange(length, dtype=torch.float32, device=device)
        angles = torch.outer(positions, frequencies)
        cosines, sines = angles.cos() * scale, angles.sin() * scale
        self.cosines = torch.cat((cosines, cosines), dim=-1).to(dtype).unsqueeze(1)  # (length, 1, head_size)
        self.sines = torch.cat((-sines, sines), dim=-1).to(dtype).unsqueeze(1)
        self.half = frequencies.shape[0]

    def rotate_in_place(self, rows: Tensor, cosines: Tensor, sines: Tensor) -> None:
        """Rotate (rows, heads, head_size) by the table rows of their positions."""
        torch.addcmul(rows * cosines, rows.roll(self.half, -1), sines, out=rows)


def _frequencies(config: Any, device: torch.device) -> tuple[Tensor, float]:
    parameters = config.rope_parameters
    kind = parameters.get("rope_type", "default")
    if kind in _LENGTH_DEPENDENT:
        raise ConfigError(
            f"config.json asks for rope_type {kind!r}, whose angles change with the length of the sequence: "
            "use 'default', 'linear', 'yarn' or 'llama3'"
        )
    if kind == "default":
        size = head_size_of(config)
        exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
        return 1.0 / (parameters["rope_theta"] ** exponents), 1.0
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    if kind not in ROPE_INIT_FUNCTIONS:
        raise ConfigError(f"config.json asks for rope_type {kind!r}: known are {sorted(ROPE_INIT_FUNCTIONS)}")
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, device)
    return frequencies.float(), float(scale)


def head_size_of(config: Any) -> int:
    """Width of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
