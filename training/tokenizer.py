"""A byte-level BPE tokenizer for small backbones that must copy: how text is cut, trained and saved.

A small model learns to copy a value long before it learns that two token sequences spell the same value. So
a word is the same tokens wherever it stands: at the start of a text, behind a space, behind a quote. Spaces
are tokens of their own, except in front of a closed list of function words, which values hardly ever begin
with; digits stand alone; words end at case changes and underscores. JSON punctuation is cut so that the
border between a literal and a slot is always a border between tokens: tokenising a call piece by piece gives
what tokenising its whole text gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agent_runtime.errors import ConfigError
from agent_runtime.prompt import compact_chat_template

NUM_RESERVED = 12
SPECIAL_TOKENS: tuple[str, ...] = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<think>",
    "</think>",
    "<|finetune_right_pad_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_response>",
    "</tool_response>",
    "<tool_call>",
    "</tool_call>",
    *(f"<|reserved_special_token_{number}|>" for number in range(NUM_RESERVED)),
)
"""SmolLM3's names, so that code written for it finds them. Reserved 2 and 11 are the heads' mask and NULL."""

FUNCTION_WORDS: tuple[str, ...] = tuple(
    """
    a about after all also am an and any are as at be been before but by can could did do does for from get
    give had has have he her his how if in into is it its just let like made make many may me more most much
    must my need no not of on one only or our out over please should so some such tell than that the their
    them then there these they this to too up us use used using want was we were what when where which while
    who will with would you your yes true false null
    """.split()
)
"""Words that keep the space before them."""

_CUTS: tuple[str, ...] = (
    # The listing of a tool begins its lines so.
    r"\n(?:- |# )?",
    # Escapes inside JSON strings.
    r"\\(?:u[0-9a-fA-F]{4}|.)",
    # A quote, the structure behind it, and the quote that opens the next string.
    r'"(?: \| "|[,:}\]]+(?: [\[{]*")?)?',
    rf" (?:{'|'.join(FUNCTION_WORDS)})(?![\p{{L}}\p{{N}}_])",
    # An empty array or object: the writer decides anew behind it.
    r"(?<=[:,]) (?:\[\]|\{\})",
    # Structure between values that are not strings.
    r'(?<=[:,]) [\[{]+"?',
    r"\[\]",
    r'[\[{]+"?',
    r"\?: (?=[\p{L}\[{])",
    r"[.,:;?!] (?=\p{L})(?!true|false|null)",
    r'[,:}\]]+(?: [\[{]*")?',
    r" [|=] ",
    r"\.\.+",
    r"'(?:s|t|re|ve|ll|d|m)(?!\p{L})",
    r"\p{N}",
    r"\p{Lu}?[\p{Ll}\p{M}]+",
    r"\p{Lu}+(?!\p{Ll})",
    r"\p{Lu}",
    r"[\p{L}\p{M}]+",
    r"\s",
    r"[^\s\p{L}\p{M}\p{N}]",
)


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, min_frequency: int = 2
) -> PreTrainedTokenizerFast:
    """Learn merges from `texts` and wrap them as a `transformers` tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("|".join(_CUTS)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        max_token_length=16,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|im_end|>",
        pad_token="<|finetune_right_pad_id|>",
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    wrapped.chat_template = compact_chat_template()
    return wrapped


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and the chat template into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Read a tokenizer that `save_tokenizer` wrote.

    Raises:
        ConfigError: the folder holds none.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"no tokenizer in {folder}: train one (python -m training tokenizer --set output={folder}) or "
            "name another folder (--set tokenizer=FOLDER)"
        )
    return PreTrainedTokenizerFast.from_pretrained(str(folder))
