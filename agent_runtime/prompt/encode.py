"""Text to tokens, such that only the runtime itself can write a control token.

A `TextEncoder` reads text with a copy of the tokenizer that has no added tokens at all, so nothing a user,
tool or document says can become one. Control tokens come from template texts and call tags only.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from tokenizers import Tokenizer

from ..errors import ConfigError
from ..scaffold.canonical import CALL_CLOSE, CALL_OPEN, Piece
from .format import PromptFormat

_SURROGATES = re.compile("[\ud800-\udfff]")
_CACHED_TOKENS = 400_000


class HasBackend(Protocol):
    """A `transformers` fast tokenizer: it carries a `tokenizers.Tokenizer`."""

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer behind."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a text; token `i` covers its characters `starts[i]` to `ends[i]`."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


class TextEncoder:
    """Encodes text for one tokenizer, remembering what it has encoded lately."""

    def __init__(self, tokenizer: HasBackend | Tokenizer) -> None:
        """Copy the tokenizer: changes made to it later are not seen."""
        backend = backend_of(tokenizer)
        self._control_ids = {
            token.content: token_id for token_id, token in backend.get_added_tokens_decoder().items()
        }
        self._plain = _without_added_tokens(backend)
        self._cache: OrderedDict[tuple[str, tuple[str, ...]], Encoded] = OrderedDict()
        self._cached_tokens = 0
        self._lock = threading.Lock()

    @property
    def control_ids(self) -> dict[str, int]:
        """Every token that text cannot become, with its id."""
        return dict(self._control_ids)

    def control_id(self, token: str) -> int:
        """The id of a control token.

        Raises:
            ConfigError: the tokenizer has no such token.
        """
        try:
            return self._control_ids[token]
        except KeyError:
            raise ConfigError(
                f"the tokenizer has no control token {token!r}: it must be one of its added tokens; use the "
                "tokenizer the backbone was trained with"
            ) from None

    def encode_text(self, text: str) -> Encoded:
        """Tokens of somebody's text: never a control token, whatever it contains."""
        return self._remembered(text, ())

    def encode_template(self, text: str, control_tokens: tuple[str, ...]) -> Encoded:
        """Tokens of our own template text, in which `control_tokens` are recognised."""
        return self._remembered(text, control_tokens)

    def encode_call(self, pieces: Iterable[Piece]) -> list[int]:
        """Tokens of a call, every piece on its own."""
        ids: list[int] = []
        for piece in pieces:
            ids.extend(self.encode_piece(piece).ids)
        return ids

    def encode_piece(self, piece: Piece) -> Encoded:
        """Tokens of one piece of a call."""
        if piece.kind != "control":
            return self.encode_text(piece.text)
        return Encoded((self.control_id(piece.text),), (0,), (len(piece.text),))

    def _remembered(self, text: str, control_tokens: tuple[str, ...]) -> Encoded:
        key = (text, control_tokens)
        with self._lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
                return found
        made = self._encode_parts(text, control_tokens) if control_tokens else self._encode(text)
        with self._lock:
            self._remember(key, made)
        return made

    def _remember(self, key: tuple[str, tuple[str, ...]], made: Encoded) -> None:
        if key in self._cache or len(made.ids) > _CACHED_TOKENS // 4:
            return
        self._cache[key] = made
        self._cached_tokens += len(made.ids) + 1
        while self._cached_tokens > _CACHED_TOKENS:
            _, dropped = self._cache.popitem(last=False)
            self._cached_tokens -= len(dropped.ids) + 1

    def _encode(self, text: str) -> Encoded:
        encoding = self._plain.encode(speakable(text), add_special_tokens=False)
        offsets = encoding.offsets
        return Encoded(
            tuple(encoding.ids), tuple(start for start, _ in offsets), tuple(end for _, end in offsets)
        )

    def _encode_parts(self, text: str, control_tokens: tuple[str, ...]) -> Encoded:
        ids: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for part in _splitter(control_tokens).split(text):
            if part in control_tokens:
                ids.append(self.control_id(part))
                starts.append(at)
                ends.append(at + len(part))
            else:
                encoded = self._encode(part)
                ids.extend(encoded.ids)
                starts.extend(at + start for start in encoded.starts)
                ends.extend(at + end for end in encoded.ends)
            at += len(part)
        return Encoded(tuple(ids), tuple(starts), tuple(ends))


def text_encoder(tokenizer: HasBackend | Tokenizer) -> TextEncoder:
    """The encoder of a tokenizer, made once: copying a large vocabulary takes a good part of a second."""
    return _made_encoder(cast(Hashable, tokenizer))


@functools.lru_cache(maxsize=8)
def _made_encoder(tokenizer: Any) -> TextEncoder:
    return TextEncoder(tokenizer)


def encode_call(pieces: Iterable[Piece], *, tokenizer: HasBackend | Tokenizer) -> list[int]:
    """Tokens of a call written piece by piece, as labels, history and the runtime have them."""
    return text_encoder(tokenizer).encode_call(pieces)


def check_tokenizer(tokenizer: HasBackend | Tokenizer, format: PromptFormat) -> None:
    """Check that every control token of the format is one token of the tokenizer.

    Raises:
        ConfigError: names the tokens that are missing.
    """
    backend = backend_of(tokenizer)
    wanted = dict.fromkeys((*format.control_tokens, CALL_OPEN, CALL_CLOSE))
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    missing = [
        token
        for token in wanted
        if token not in added or len(backend.encode(token, add_special_tokens=False).ids) != 1
    ]
    if missing:
        raise ConfigError(
            f"the tokenizer lacks control tokens of the {format.name!r} prompt format: "
            f"{', '.join(missing)}. Each must be one added token; "
            "use the tokenizer the backbone was trained with"
        )


def speakable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer can read, replaced one for one."""
    return _SURROGATES.sub("\ufffd", text)


def backend_of(tokenizer: HasBackend | Tokenizer) -> Tokenizer:
    """The `tokenizers.Tokenizer` of a `transformers` fast tokenizer, or the tokenizer itself.

    Raises:
        ConfigError: a slow tokenizer, which cannot say where its tokens stand in the text.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"the tokenizer is a {type(tokenizer).__name__}, but a fast one is needed: "
            "the model folder must hold a tokenizer.json"
        )
    return backend


@functools.lru_cache(maxsize=32)
def _splitter(control_tokens: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(control_tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")


def _without_added_tokens(backend: Tokenizer) -> Tokenizer:
    """A copy that knows no added token, special or not.

    `encode_special_tokens` would leave added tokens that are not marked special, and a vocabulary trained
    with its special tokens can find them as whole words (`ignore_merges`): take them out of both places.
    """
    description: dict[str, Any] = json.loads(backend.to_str())
    added = {token["content"] for token in description["added_tokens"]}
    model = description["model"]
    if model.get("type") != "BPE" or model.get("unk_token") in added:
        raise ConfigError(
            f"the tokenizer's model is {model.get('type')}, with unknown token {model.get('unk_token')!r}: "
            "a byte-level BPE that can write any text is needed"
        )
    model["vocab"] = {text: token_id for text, token_id in model["vocab"].items() if text not in added}
    description["added_tokens"] = []
    description["post_processor"] = None
    description["truncation"] = None
    description["padding"] = None
    return Tokenizer.from_str(json.dumps(description))
