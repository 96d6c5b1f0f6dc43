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
    content_chars: int = 0
    """How many of its characters are the message's; a line break of the format's may follow them."""

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
        start = piece.encoded.starts[token - piece.start]
        if start >= piece.content_chars:
            return None
        end = min(piece.encoded.ends[token - piece.start], piece.content_chars)
        return TokenSource(message_index=piece.message_index, start=start, end=end)

    def token_span(self, message_index: int, start: int, end: int) -> tuple[int, int] | None:
        """The tokens that cover characters `[start, end)` of a message's content, or None."""
        for piece in self.pieces:
            if piece.message_index != message_index:
                continue
            if not 0 <= start < end <= piece.content_chars:
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
            encoded = self._encoder.encode_template(text, self.format.control_tokens)
            self._add(PromptPiece(text, encoded, "template", self.num_tokens))

    def text(self, text: str) -> None:
        """Write text that is nobody's message: a tool's description, a thought."""
        if text:
            encoded = self._encoder.encode_text(text)
            self._add(PromptPiece(speakable(text), encoded, "text", self.num_tokens))

    def content(self, text: str, index: int, following: str = "") -> None:
        r"""Write what message number `index` says, and then template text.

        Line breaks of that text are tokenised with the message: vocabularies have tokens such as `.\n\n`,
        and their backbones have never seen the two apart.
        """
        message_index = self._message_indices[index]
        breaks = following[: len(following) - len(following.lstrip("\n"))]
        encoded = self._encoder.encode_text(text + breaks)
        num_content_tokens = bisect.bisect_left(encoded.starts, len(text))
        self._spans.append(
            MessageSpan(
                message_index=message_index,
                chars=(self._num_chars, self._num_chars + len(text)),
                tokens=(self.num_tokens, self.num_tokens + num_content_tokens),
            )
        )
        self._add(
            PromptPiece(
                speakable(text) + breaks, encoded, "content", self.num_tokens, message_index, len(text)
            )
        )
        self.template(following.removeprefix(breaks))

    def call(self, pieces: Sequence[Piece]) -> None:
        """Write a past call."""
        for piece in pieces:
            if piece.text:
                encoded = self._encoder.encode_piece(piece)
                self._add(PromptPiece(piece.text, encoded, piece.kind, self.num_tokens, path=piece.path))

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

    def _add(self, piece: PromptPiece) -> None:
        self._pieces.append(piece)
        self.num_tokens += len(piece.encoded.ids)
        self._num_chars += len(piece.text)
