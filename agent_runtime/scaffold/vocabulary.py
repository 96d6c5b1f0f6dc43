"""The tokens of a tokenizer as bytes, and the tree of their prefixes.

Control, special, reserved and added tokens have no bytes here: no slot value can ever hold one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError


@dataclass(frozen=True, eq=False)
class TokenVocabulary:
    """What every token id writes. Compared and cached by `fingerprint`.

    Attributes:
        tokens: bytes by token id; empty for tokens that may not stand in a value.
        end_ids: ids that end a turn.
        encode: text -> token ids, without special tokens.
    """

    tokens: tuple[bytes, ...]
    end_ids: tuple[int, ...] = ()
    encode: Callable[[str], Sequence[int]] | None = field(default=None, repr=False)

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> TokenVocabulary:
        """Read a `transformers` fast tokenizer or a `tokenizers.Tokenizer`; the result is kept with it.

        Raises:
            ConfigError: its decoder is neither byte-level nor byte-fallback, so token bytes are unknown.
        """
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        with _lock:
            known = _by_tokenizer.get(tokenizer)
            if known is None:
                known = _by_tokenizer[tokenizer] = _read(cls, tokenizer, backend)
            return known

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def fingerprint(self) -> str:
        """Names the byte table: equal tables have equal fingerprints."""
        digest = hashlib.sha256()
        for token in self.tokens:
            digest.update(len(token).to_bytes(4, "little"))
            digest.update(token)
        return digest.hexdigest()[:32]

    @cached_property
    def prefixes(self) -> PrefixTree:
        """The tree of all prefixes of all tokens."""
        return _prefix_tree(self.tokens)

    def text_of(self, token_ids: Sequence[int]) -> bytes:
        """The bytes that these tokens write."""
        return b"".join(self.tokens[token_id] for token_id in token_ids)


@dataclass(frozen=True, slots=True, eq=False)
class PrefixTree:
    """Token prefixes level by level: node 0 is the empty prefix, children follow their parents.

    Attributes:
        parent: node before the last byte.
        byte: last byte.
        levels: index of the first node of each length, and the end.
        node_of_token: the node of each token id, 0 where it has no bytes.
    """

    parent: NDArray[np.int32]
    byte: NDArray[np.uint8]
    levels: tuple[int, ...]
    node_of_token: NDArray[np.int32]


_lock = threading.Lock()
_by_tokenizer: weakref.WeakKeyDictionary[Any, TokenVocabulary] = weakref.WeakKeyDictionary()


def _read(cls: type[TokenVocabulary], tokenizer: Any, backend: Any) -> TokenVocabulary:
    to_bytes = _token_reader(json.loads(backend.decoder.__getstate__()) if backend.decoder else None)
    size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    added = set(backend.get_added_tokens_decoder())
    tokens = [b""] * size
    for text, token_id in backend.get_vocab(with_added_tokens=False).items():
        if token_id not in added:
            tokens[token_id] = to_bytes(text)
    end_id = getattr(tokenizer, "eos_token_id", None)
    return cls(
        tokens=tuple(tokens),
        end_ids=() if end_id is None else (int(end_id),),
        encode=lambda text: list(backend.encode(text, add_special_tokens=False).ids),
    )


def _token_reader(decoder: Any) -> Callable[[str], bytes]:
    kinds = set(_decoder_kinds(decoder))
    if "ByteLevel" in kinds:
        alphabet = {ord(letter): byte for letter, byte in _byte_level_alphabet().items()}
        return lambda text: text.translate(alphabet).encode("latin-1")
    if "ByteFallback" in kinds or "Metaspace" in kinds:
        return _sentencepiece_bytes
    raise ConfigError(
        f"the tokenizer's decoder ({', '.join(sorted(kinds)) or 'none'}) does not say which bytes a token "
        "writes: use a byte-level or byte-fallback tokenizer"
    )


def _decoder_kinds(decoder: Any) -> list[str]:
    if not isinstance(decoder, dict):
        return []
    return [
        str(decoder.get("type")),
        *(kind for part in decoder.get("decoders", ()) for kind in _decoder_kinds(part)),
    ]


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


def _sentencepiece_bytes(text: str) -> bytes:
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return bytes((int(text[3:5], 16),))
    return text.replace("\u2581", " ").encode()


def _prefix_tree(tokens: Sequence[bytes]) -> PrefixTree:
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    flat = np.frombuffer(b"".join(tokens), np.uint8)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    node = np.zeros(len(tokens), np.int64)
    parents, last_bytes, levels = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], [0, 1]
    alive = np.flatnonzero(lengths > 0)
    depth = 0
    while len(alive):
        keys, index = np.unique(node[alive] * 256 + flat[starts[alive] + depth], return_inverse=True)
        node[alive] = levels[-1] + index
        parents.append(keys >> 8)
        last_bytes.append(keys & 255)
        levels.append(levels[-1] + len(keys))
        depth += 1
        alive = alive[lengths[alive] > depth]
    return PrefixTree(
        parent=np.concatenate(parents).astype(np.int32),
        byte=np.concatenate(last_bytes).astype(np.uint8),
        levels=tuple(levels),
        node_of_token=node.astype(np.int32),
    )
