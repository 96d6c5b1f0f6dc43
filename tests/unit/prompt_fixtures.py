"""A small byte-level tokenizer with SmolLM3's control tokens, and tools to show it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<think>",
    "</think>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_response>",
    "</tool_response>",
    "<tool_call>",
    "</tool_call>",
)
_CORPUS = (
    "The weather in Paris is sunny today. What is the weather in the city of Copenhagen?",
    '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3, "unit": "celsius"}}',
    "<|im_start|>user <|im_end|> <tool_call> </tool_call> <think> </think> im_start im_end tool_call think",
)


@functools.cache
def byte_tokenizer(vocab_size: int = 700) -> Tokenizer:
    """Byte-level BPE, digits split, special tokens in the trained vocabulary as `BpeTrainer` leaves them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 20, trainer)
    tokenizer.add_tokens([AddedToken("<plain_added>", special=False, normalized=False)])
    return tokenizer


@dataclass(frozen=True)
class ShownTool:
    """The least a tool must be to be shown."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


GET_WEATHER = ShownTool(
    "get_weather",
    "Current weather for a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City name."},
            "days": {
                "type": "integer",
                "minimum": 1,
                "maximum": 7,
                "default": 3,
                "description": "Number of days.",
            },
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)
