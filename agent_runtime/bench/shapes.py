"""Shapes that random weights may have; free of torch, since the command line names them."""

from __future__ import annotations

from collections.abc import Mapping

SHAPES: Mapping[str, Mapping[str, int]] = {
    "embedded": {},
    "108M": {
        "hidden_size": 768,
        "intermediate_size": 2560,
        "num_hidden_layers": 14,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
    },
    "smollm3-3b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
    },
}
"""What differs from the config of the model whose tokenizer is used."""
