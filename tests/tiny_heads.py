"""A tiny random backbone with heads on it, and readings of made-up prompts and slots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import SmolLM3Config, SmolLM3ForCausalLM

from heads import (
    BackboneEnds,
    BackboneFacts,
    ConfidenceConfig,
    DiffusionConfig,
    HeadConfig,
    ProbeConfig,
    SlotReading,
    SpanConfig,
    read_taps,
)

VOCAB, HIDDEN, LAYERS = 96, 48, 3
MASK, NULL = 90, 91
END_IDS = (7, 8)


@lru_cache(maxsize=1)
def tiny_backbone() -> Any:
    """A random SmolLM3 in evaluation mode, the same every time."""
    config = SmolLM3Config(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SmolLM3ForCausalLM(config)
        model.model.norm.weight.data += 0.3 * torch.randn(HIDDEN)
    return model.eval().requires_grad_(False)


def tiny_config(**changes: Any) -> HeadConfig:
    """All heads, on the tiny backbone."""
    parts: dict[str, Any] = {
        "backbone": BackboneFacts(
            hidden_size=HIDDEN,
            num_layers=LAYERS,
            vocab_size=VOCAB,
            fingerprint="f" * 8,
            tokenizer_fingerprint="t" * 8,
        ),
        "taps": (0, 2, 3),
        "mask_token_id": MASK,
        "null_token_id": NULL,
        "diffusion": DiffusionConfig(width=32, num_blocks=2, num_attention_heads=4),
        "span": SpanConfig(width=32, num_blocks=1, num_attention_heads=4, max_span_tokens=6),
        "probes": ProbeConfig(width=16, max_slot_tokens=12),
        "confidence": ConfidenceConfig(width=8),
    }
    return HeadConfig(**{**parts, **changes})


def tiny_ends() -> BackboneEnds:
    """Embeddings, last norm and vocabulary of the tiny backbone."""
    return BackboneEnds.of(tiny_backbone())


def states_of(token_ids: Sequence[int], config: HeadConfig) -> Tensor:
    """What the tiny backbone makes of these tokens, (tokens, taps, hidden)."""
    return read_taps(tiny_backbone(), config.taps, input_ids=torch.tensor([token_ids]), use_cache=False)[0]


def prompt_of(token_ids: Sequence[int], config: HeadConfig) -> tuple[Tensor, Sequence[int]]:
    """States and ids of a prompt."""
    return states_of(token_ids, config), token_ids


def slot_of(
    prompt: Sequence[int], key: Sequence[int], draft: Sequence[int], config: HeadConfig, *, num_read: int = 0
) -> SlotReading:
    """A slot whose branch (prompt, key) was read, and the first `num_read` tokens of its draft."""
    text = [*prompt, *key, *draft[:num_read]]
    states = states_of(text, config)
    anchor = len(prompt) + len(key) - 1
    return SlotReading(
        anchor=states[anchor],
        draft=draft,
        kind=config.kind_of("string"),
        end_ids=END_IDS,
        states=states[anchor + 1 :],
    )


def shaken(module: torch.nn.Module, *, seed: int = 1, by: float = 0.2) -> None:
    """Move every weight, so that nothing is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
