"""A prompt as data: its tokens, its text, and which message each part was read from.

What goes where is render.py.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..scaffold.canonical import Piece, PieceKind
from .encode import Encoded, TextEncoder, speakable
from .format import PromptFormat

PromptPieceKind = Literal["template", "content", "text"] | PieceKind


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """A run of prompt text that is tokenised on its own.

    `template` is the format's own; `content` is what message `message_index` says, word for word; `text` is
    other text that is not ours (tools, thoughts). The rest are the pieces of a past call, `path` as there.
    """

    text: str
    encoded: Encoded
    kind: PromptPieceKind
    start: int
    """Index of its first token in the prompt."""

    message_index: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSpan:
    """Where a message's content stands: half-open, in characters of the text and in tokens."""

    message_index: int
    chars: tuple[int, int]
    tokens: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """The characters of a message's content that a prompt token covers, half-open."""

    message_index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the backbone reads.

    `text` has control tokens spelt out; the first `prefix_tokens` of `ids` depend on format, date,
    thinking, system message and tools alone.
    """

    ids: tuple[int, ...]
    text: str
    prefix_tokens: int
    message_spans: tuple[MessageSpan, ...]
    pieces: tuple[PromptPiece, ...]
    is_thinking: bool

    def source(self, token: int) -> TokenSource | None:
        """The part of a message that token number `token` was read from; None for the template's own."""
        number = bisect.bisect_right(self.pieces, token, key=lambda piece: piece.start) - 1
        if number < 0 or token >= len(self.ids):
            return None
        piece = self.pieces[number]
        if piece.message_index is None:
            return None
        within = token - piece.start
        return TokenSource(
            message_index=piece.message_index,
            start=piece.encoded.starts[within],
            end=piece.encoded.ends[within],
        )

    def token_span(self, message_index: int, start: int, end: int) -> tuple[int, int] | None:
        """The tokens that cover characters `[start, end)` of a message's content, or None."""
        for piece in self.pieces:
            if piece.message_index != message_index:
                continue
            if not 0 <= start < end <= len(piece.text):
                return None
            first = bisect.bisect_right(piece.encoded.ends, start)
            last = bisect.bisect_left(piece.encoded.starts, end)
            return piece.start + first, piece.start + last
        return None


class Page:
    """A prompt being written: collects pieces and keeps count of characters and tokens."""

    def __init__(self, format: PromptFormat, encoder: TextEncoder, message_indices: Sequence[int]) -> None:
        """Begin empty.

        Args:
            format: whose control tokens template texts may hold.
            encoder: makes the tokens.
            message_indices: what each message is called in spans and sources.
        """
        self.format = format
        self.num_tokens = 0
        self._num_chars = 0
        self._encoder = encoder
        self._message_indices = message_indices
        self._pieces: list[PromptPiece] = []
        self._spans: list[MessageSpan] = []

    def template(self, text: str) -> None:
        """Write the format's own text."""
        if text:
            self._add(text, self._encoder.encode_template(text, self.format.control_tokens), "template")

    def text(self, text: str) -> None:
        """Write text that is nobody's message: a tool's description, a thought."""
        if text:
            self._add(speakable(text), self._encoder.encode_text(text), "text")

    def content(self, text: str, index: int) -> None:
        """Write what message number `index` says."""
        chars, tokens = self._num_chars, self.num_tokens
        message_index = self._message_indices[index]
        self._add(speakable(text), self._encoder.encode_text(text), "content", message_index=message_index)
        self._spans.append(
            MessageSpan(
                message_index=message_index,
                chars=(chars, self._num_chars),
                tokens=(tokens, self.num_tokens),
            )
        )

    def call(self, pieces: Sequence[Piece]) -> None:
        """Write a past call."""
        for piece in pieces:
            if piece.text:
                self._add(piece.text, self._encoder.encode_piece(piece), piece.kind, path=piece.path)

    def prompt(self, prefix_tokens: int, is_thinking: bool) -> Prompt:
        """What has been written."""
        ids: list[int] = []
        for piece in self._pieces:
            ids.extend(piece.encoded.ids)
        return Prompt(
            ids=tuple(ids),
            text="".join(piece.text for piece in self._pieces),
            prefix_tokens=prefix_tokens,
            message_spans=tuple(self._spans),
            pieces=tuple(self._pieces),
            is_thinking=is_thinking,
        )

    def _add(
        self,
        text: str,
        encoded: Encoded,
        kind: PromptPieceKind,
        *,
        message_index: int | None = None,
        path: str = "",
    ) -> None:
        self._pieces.append(PromptPiece(text, encoded, kind, self.num_tokens, message_index, path))
        self.num_tokens += len(encoded.ids)
        self._num_chars += len(text)
