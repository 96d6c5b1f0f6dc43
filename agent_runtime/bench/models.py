"""On which weights is measured: a model's own, or random ones of a shape, which say nothing about quality."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import transformers

from ..errors import ConfigError
from .shapes import SHAPES

_TOKENIZER_FILES = ("tokenizer*", "prompt_format*", "chat_template*", "special_tokens*")


def write_random_model(shape: str, tokenizer_of: Path, folder: Path) -> None:
    """Write a model of random weights, always the same, with the tokenizer and prompts of another.

    Args:
        shape: a name of `SHAPES`.
        tokenizer_of: a model folder. Vocabulary beyond its tokens is computed, and never chosen by us.
        folder: where to.

    Raises:
        ConfigError: the shape has fewer rows than the tokenizer tokens.
    """
    base = transformers.AutoConfig.from_pretrained(tokenizer_of, local_files_only=True)
    sizes = {
        name: getattr(base, name)
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
        )
    } | dict(SHAPES[shape])
    if sizes["vocab_size"] < base.vocab_size:
        raise ConfigError(
            f"--random-weights {shape} has {sizes['vocab_size']} tokens, the tokenizer of {tokenizer_of} "
            f"{base.vocab_size}: choose another shape, or leave --model out"
        )
    config = transformers.SmolLM3Config(
        **sizes,
        max_position_embeddings=base.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=base.bos_token_id,
        eos_token_id=base.eos_token_id,
        pad_token_id=base.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)  # 3B parameters take 12 GB otherwise, for a moment
        try:
            model = transformers.SmolLM3ForCausalLM(config)
        finally:
            torch.set_default_dtype(before)
    model.save_pretrained(folder)
    for pattern in _TOKENIZER_FILES:
        for file in tokenizer_of.glob(pattern):
            shutil.copy(file, folder)


def count_parameters(folder: Path) -> int:
    """Parameters of the weights in a folder."""
    from safetensors import safe_open

    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():
                shape = weights.get_slice(name).get_shape()
                total += int(torch.Size(shape).numel())
    return total
