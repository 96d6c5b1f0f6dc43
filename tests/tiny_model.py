"""Tiny random SmolLM3 folders: the real architecture and tokenizer classes, small enough for every test.

The weights are random, so such a model says nothing sensible; what it says is the same every time.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, SmolLM3Config, SmolLM3ForCausalLM

SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|reserved_special_token_11|>",
    "<|im_start|>",
    "<|im_end|>",
)
"""Control tokens of SmolLM3's tokenizer, hidden by `skip_special_tokens`."""

MARKER_TOKENS = ("<think>", "</think>", "<tool_response>", "</tool_response>", "<tool_call>", "</tool_call>")
"""Single tokens too, but text as far as decoding goes."""

_SEED_TEXT = """
What is the weather in Paris tomorrow? It is 21 degrees in Copenhagen, light rain in the evening.
{"name": "get_weather", "arguments": {"city": "Berlin", "days": 3, "unit": "celsius", "is_hourly": true}}
{"name": "book_table", "arguments": {"people": 4, "time": "19:30", "items": [{"sku": "A-12", "qty": null}]}}
Please convert 250 euros to dollars and send the result to anna@example.com before 2026-11-20. system user
assistant tool Today is. Tools: string integer number boolean required optional one of the following values
"""

# Llama-3's pre-tokenizer, but digits stand alone.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tiny_tokenizer(*, vocab: int = 512) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocab` tokens with SmolLM3's special-token names; never needs `unk`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    num_added = len(SPECIAL_TOKENS) + len(MARKER_TOKENS)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - num_added,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*_SEED_TEXT.splitlines(), *_made_up_words(vocab)], trainer)
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS]
    )
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in MARKER_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|im_end|>",
        pad_token="<|finetune_right_pad_id|>",
        clean_up_tokenization_spaces=False,
    )


def make_tiny_model(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 4,
    vocab: int = 512,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate: int | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    spread: float = 0.08,
) -> Path:
    """Write a random SmolLM3 model folder and return it.

    Args:
        folder: made if missing.
        hidden: width of the hidden states.
        layers: every fourth has no rotary embedding, as in SmolLM3.
        vocab: size of the vocabulary, of the model and of its tokenizer.
        heads: attention heads.
        kv_heads: key/value heads.
        intermediate: width of the feed-forward; 2.75 times hidden if not given.
        dtype: dtype of the saved weights.
        seed: other seeds give other weights.
        spread: standard deviation of the weights; larger makes the next tokens more decided.
    """
    tokenizer = make_tiny_tokenizer(vocab=vocab)
    config = SmolLM3Config(
        vocab_size=max(vocab, len(tokenizer)),
        hidden_size=hidden,
        intermediate_size=intermediate if intermediate is not None else hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
        initializer_range=spread,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmolLM3ForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms start at one; a trained model's do not stay there
                parameter.data += torch.randn_like(parameter) * 0.1
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _made_up_words(count: int) -> list[str]:
    """Seeded nonsense, so that larger vocabularies find enough to merge."""
    draw = random.Random(0)
    syllables = [c + v for c in "bcdfghklmnprstvwz" for v in ("a", "e", "i", "o", "u", "an", "er", "in")]
    return [
        " ".join("".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(8))
        for _ in range(count)
    ]
