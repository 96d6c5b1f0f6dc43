"""What one forward must read, write and multiply, and how long a device needs for that at least.

A floor, not a forecast: kernels that wait for each other, and everything the host does, are left out. Free of
torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRates:
    """How fast a device is, as its maker says: memory, and products of the weights' number format."""

    bytes_per_s: float
    operations_per_s: float


H200 = DeviceRates(bytes_per_s=4.8e12, operations_per_s=790e12)
"""bfloat16, dense; the operations are what large products reach, a fifth below the data sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardCost:
    """Of one forward.

    Attributes:
        weight_bytes: weights of the layers, and of the head where scores are wanted.
        key_value_bytes: keys and values read and written.
        activation_bytes: what kernels hand each other: every row's vectors written once and read once.
        score_bytes: scores written.
        operations: multiplications and additions.
    """

    weight_bytes: int
    key_value_bytes: int
    activation_bytes: int
    score_bytes: int
    operations: int

    @property
    def num_bytes(self) -> int:
        """All that comes from memory and goes there; activations of some dozens of rows stay in caches."""
        return self.weight_bytes + self.key_value_bytes + self.score_bytes

    def floor_s(self, rates: DeviceRates) -> float:
        """Seconds below which it cannot take: memory and multiplying go on side by side."""
        return max(self.num_bytes / rates.bytes_per_s, self.operations / rates.operations_per_s)


def forward_cost(
    config: Any,
    *,
    rows: int,
    context: int,
    conversations: int = 1,
    score_rows: int | None = None,
    weight_bytes: float = 2,
    value_bytes: int = 2,
) -> ForwardCost:
    """The cost of one forward of a SmolLM3.

    Args:
        config: its `SmolLM3Config`, or anything with those fields.
        rows: tokens computed, padding included, of all conversations together.
        context: positions that each conversation's attention looks at.
        conversations: whose keys and values are read.
        score_rows: rows whose next-token scores are computed; all of them when left out.
        weight_bytes: of one weight: 2 in bfloat16, about 0.55 in 4 bits.
        value_bytes: of one number in keys, values and between kernels.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    size = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    per_layer = width * (queries + 2 * keys) + queries * width + 3 * width * inner
    head = width * config.vocab_size
    score_rows = rows if score_rows is None else score_rows
    key_values = 2 * layers * keys * value_bytes  # of one position
    # Two norms, queries, keys and values, what attention read, the sum twice, gate, up and their product.
    vectors = 4 * width + 2 * queries + 2 * keys + 3 * inner
    attention = 4 * layers * rows * context * queries
    return ForwardCost(
        # The head's weights are the embeddings, and stay in the number format of the values.
        weight_bytes=int(layers * per_layer * weight_bytes) + (head * value_bytes if score_rows else 0),
        key_value_bytes=key_values * (conversations * context + rows),
        activation_bytes=2 * layers * rows * vectors * value_bytes,
        score_bytes=score_rows * config.vocab_size * value_bytes,
        operations=2 * rows * layers * per_layer + 2 * score_rows * head + attention,
    )
