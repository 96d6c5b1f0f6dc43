"""What turn programs need to know of a backbone: which tokens end, open and close things, and its heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..prompt.encode import TextEncoder, text_encoder
from ..prompt.format import PromptFormat
from ..scaffold.canonical import CALL_CLOSE, CALL_OPEN
from ..scaffold.token_tree import TokenTrees
from ..scaffold.vocabulary import TokenVocabulary

if TYPE_CHECKING:
    from .head_fill.loaded import LoadedHeads

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackboneView:
    """The tokens and heads of one backbone. Make one per loaded backbone: it remembers what it encoded."""

    vocabulary: TokenVocabulary
    encoder: TextEncoder
    trees: TokenTrees

    call_open: int
    call_close: int
    calls_joint: Ids
    """Stands between words and the first call, and between calls."""

    ends: Ids
    """Each of them ends a reply."""

    reasoning_open: Ids
    reasoning_close: Ids
    think_close: int | None
    """The first control token of `reasoning_close`, where the format has one."""

    text_ids: NDArray[np.int64]
    """Tokens that may stand in a text: those that write bytes."""

    end_ids: NDArray[np.int64]
    """What may end an answer: the ends of a reply."""

    end_or_call_ids: NDArray[np.int64]
    """What may end words before a call: `end_ids` and the beginning of a call."""

    thought_end_ids: NDArray[np.int64]
    """What may end a thought; empty where the format has no control token for it."""

    heads: LoadedHeads | None = None
    """What is learned on top of the backbone, where a bundle is loaded."""

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        prompt_format: PromptFormat,
        *,
        vocab_size: int | None = None,
        heads: LoadedHeads | None = None,
    ) -> BackboneView:
        """Read a fast tokenizer.

        Args:
            tokenizer: a `transformers` fast tokenizer or a `tokenizers.Tokenizer`.
            prompt_format: the layout of the backbone's prompts.
            vocab_size: columns of the backbone's logits; tokens beyond are never chosen.
            heads: bound to the same backbone.

        Raises:
            ConfigError: a control token of the format is missing.
        """
        vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
        encoder = text_encoder(tokenizer)
        size = len(vocabulary) if vocab_size is None else min(vocab_size, len(vocabulary))
        ends = dict.fromkeys((encoder.control_id(prompt_format.reply_end), *vocabulary.end_ids))
        reasoning_close = encoder.encode_template(
            prompt_format.reasoning_close, prompt_format.control_tokens
        ).ids
        controls = frozenset(encoder.control_ids.values())
        think_close = next((token_id for token_id in reasoning_close if token_id in controls), None)
        call_open = encoder.control_id(CALL_OPEN)
        text_ids = np.array([i for i in range(size) if vocabulary.tokens[i] and i not in controls], np.int64)
        if not len(text_ids):
            raise ConfigError("the tokenizer has no token that writes text: use the backbone's own tokenizer")
        return cls(
            vocabulary=vocabulary,
            encoder=encoder,
            trees=TokenTrees(lambda text: encoder.encode_text(text).ids),
            call_open=call_open,
            call_close=encoder.control_id(CALL_CLOSE),
            calls_joint=encoder.encode_text(prompt_format.calls_joint).ids,
            ends=tuple(ends),
            reasoning_open=encoder.encode_template(
                prompt_format.reasoning_open, prompt_format.control_tokens
            ).ids,
            reasoning_close=reasoning_close,
            think_close=think_close,
            text_ids=text_ids,
            end_ids=np.array(sorted(ends), np.int64),
            end_or_call_ids=np.array(sorted((*ends, call_open)), np.int64),
            thought_end_ids=np.array([] if think_close is None else [think_close], np.int64),
            heads=heads,
        )

    def encode(self, text: str) -> Ids:
        """Tokens of a text on its own, never a control token."""
        return self.encoder.encode_text(text).ids

    def control_text(self, token_id: int) -> str:
        """How a control token is spelt."""
        return next(
            (text for text, known in self.encoder.control_ids.items() if known == token_id), f"<{token_id}>"
        )

    def bytes_of(self, token_ids: Sequence[int]) -> bytes:
        """What tokens write; control tokens write nothing."""
        return self.vocabulary.text_of(token_ids)
