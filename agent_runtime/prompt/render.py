"""A conversation and its tools as the backbone reads them.

    prompt = render_prompt(messages, tools, format=format, tokenizer=tokenizer, date=None, think=False)
    prompt.ids, prompt.text, prompt.prefix_tokens

System message and tools come first, so that their tokens are the same turn after turn. What a format
looks like is format.py; fitting a long conversation is history.py.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizers import Tokenizer

from ..errors import MessageError
from ..messages import Message, ToolCall
from ..scaffold.canonical import Piece, PieceKind, call_pieces
from .encode import Encoded, HasBackend, TextEncoder, speakable, text_encoder
from .format import PromptFormat
from .listing import OfferedTool, json_line, signature_lines
from .schema_order import ordered_arguments


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """A run of prompt text that is tokenised on its own.

    `template` is the format's own; `content` is what message `message_index` says, word for word; `text` is
    other text that is not ours (tools, thoughts). The rest are the pieces of a past call, `path` as there.
    """

    text: str
    encoded: Encoded
    kind: Literal["template", "content", "text"] | PieceKind
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
    _piece_starts: tuple[int, ...] = field(repr=False)

    def source(self, token: int) -> TokenSource | None:
        """The part of a message that token number `token` was read from; None for the template's own."""
        number = bisect.bisect_right(self._piece_starts, token) - 1
        if number < 0 or token >= len(self.ids):
            return None
        piece = self.pieces[number]
        if piece.message_index is None:
            return None
        within = token - self._piece_starts[number]
        return TokenSource(
            message_index=piece.message_index,
            start=piece.encoded.starts[within],
            end=piece.encoded.ends[within],
        )

    def token_span(self, message_index: int, start: int, end: int) -> tuple[int, int] | None:
        """The tokens that cover characters `[start, end)` of a message's content, or None."""
        for number, piece in enumerate(self.pieces):
            if piece.message_index != message_index:
                continue
            if not 0 <= start < end <= len(piece.text):
                return None
            first = bisect.bisect_right(piece.encoded.ends, start)
            last = bisect.bisect_left(piece.encoded.starts, end)
            offset = self._piece_starts[number]
            return offset + first, offset + last
        return None


def render_prompt(
    messages: Sequence[Message],
    tools: Sequence[OfferedTool] = (),
    *,
    format: PromptFormat,
    tokenizer: HasBackend | Tokenizer,
    date: datetime.date | None = None,
    think: bool = False,
    add_generation_prompt: bool = True,
    message_indices: Sequence[int] | None = None,
) -> Prompt:
    """Lay out a conversation for the backbone.

    Args:
        messages: the conversation, as `read_messages` gives it.
        tools: what may be called, in the order shown.
        format: the layout of the backbone.
        tokenizer: its tokenizer; fast, with the format's control tokens.
        date: today, or None for no date line.
        think: whether the backbone shall think first. A format's flag in the system message wins.
        add_generation_prompt: whether the prompt ends where the reply begins.
        message_indices: what each message is called in spans and sources, where some were left out of a
            longer conversation; counted from 0 otherwise.

    Raises:
        ConfigError: the tokenizer lacks a control token.
        MessageError: arguments of a past call are not JSON.
    """
    page = _Page(format, text_encoder(tokenizer), message_indices or range(len(messages)))
    is_thinking = _is_thinking(messages, format, think)
    rest = _write_system(page, messages, tools, date=date, is_thinking=is_thinking)
    prefix_tokens = page.num_tokens
    parameters = {tool.name: tool.parameters for tool in tools}
    _write_messages(page, messages, rest, parameters, is_thinking=is_thinking)
    if add_generation_prompt:
        page.template(format.assistant_open + ("" if is_thinking else format.no_think_reply))
    return page.prompt(prefix_tokens, is_thinking)


class _Page:
    """Collects pieces and keeps count of characters and tokens."""

    def __init__(self, format: PromptFormat, encoder: TextEncoder, message_indices: Sequence[int]) -> None:
        self.format = format
        self._message_indices = message_indices
        self.num_tokens = 0
        self._num_chars = 0
        self._encoder = encoder
        self._pieces: list[PromptPiece] = []
        self._piece_starts: list[int] = []
        self._spans: list[MessageSpan] = []

    def template(self, text: str) -> None:
        if text:
            encoded = self._encoder.encode_template(text, self.format.control_tokens)
            self._add(PromptPiece(text, encoded, "template"))

    def text(self, text: str) -> None:
        if text:
            self._add(PromptPiece(speakable(text), self._encoder.encode_text(text), "text"))

    def content(self, text: str, message_index: int) -> None:
        message_index = self._message_indices[message_index]
        chars, tokens = self._num_chars, self.num_tokens
        encoded = self._encoder.encode_text(text)
        self._add(PromptPiece(speakable(text), encoded, "content", message_index))
        self._spans.append(
            MessageSpan(
                message_index=message_index,
                chars=(chars, self._num_chars),
                tokens=(tokens, self.num_tokens),
            )
        )

    def call(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if piece.text:
                encoded = self._encoder.encode_piece(piece)
                self._add(PromptPiece(piece.text, encoded, piece.kind, path=piece.path))

    def prompt(self, prefix_tokens: int, is_thinking: bool) -> Prompt:
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
            _piece_starts=tuple(self._piece_starts),
        )

    def _add(self, piece: PromptPiece) -> None:
        self._pieces.append(piece)
        self._piece_starts.append(self.num_tokens)
        self.num_tokens += len(piece.encoded.ids)
        self._num_chars += len(piece.text)


def _is_thinking(messages: Sequence[Message], format: PromptFormat, think: bool) -> bool:
    system = messages[0].content if messages and messages[0].role == "system" else ""
    if format.no_think_flag and format.no_think_flag in system:
        return False
    if format.think_flag and format.think_flag in system:
        return True
    return think


def _write_system(
    page: _Page,
    messages: Sequence[Message],
    tools: Sequence[OfferedTool],
    *,
    date: datetime.date | None,
    is_thinking: bool,
) -> int:
    """Write the system block; returns the index of the first message it does not contain."""
    format = page.format
    has_message = bool(messages) and messages[0].role == "system"
    page.template(format.begin)
    header = format.date_text(date) + (format.think_line if is_thinking else format.no_think_line)
    words = _system_words(messages[0].content, format) if has_message else ""
    if format.is_system_optional and not (header or words or tools):
        return int(has_message)
    page.template(format.system_open + header)
    if words:
        _write_system_words(page, words, messages[0].content)
        page.template(format.system_message_close)
    else:
        default = format.default_system_think if is_thinking else format.default_system_no_think
        page.template(default + format.system_message_close if default else "")
    if tools:
        page.template(format.tools_open)
        for tool in tools:
            page.text(_listed(tool, format))
        page.template(format.tools_close + format.system_close_after_tools)
    else:
        page.template(format.system_close)
    return int(has_message)


def _system_words(content: str, format: PromptFormat) -> str:
    for flag in (format.no_think_flag, format.think_flag):
        content = content.replace(flag, "") if flag else content
    return content.rstrip()


def _write_system_words(page: _Page, words: str, content: str) -> None:
    if content.startswith(words):
        page.content(words, 0)
    else:  # a flag was cut out of the middle: its characters can no longer be counted
        page.text(words)


def _listed(tool: OfferedTool, format: PromptFormat) -> str:
    if format.tool_listing == "json":
        return json_line(tool)
    return signature_lines(tool, description_limit=format.description_limit)


def _write_messages(
    page: _Page,
    messages: Sequence[Message],
    start: int,
    parameters: Mapping[str, Mapping[str, object]],
    *,
    is_thinking: bool,
) -> None:
    format = page.format
    is_after_result = False
    for index in _reading_order(messages, start):
        message = messages[index]
        if message.role == "tool":
            page.template(format.result_joint if is_after_result else format.result_open)
            page.content(message.content, index)
            is_after_result = True
            continue
        if is_after_result:
            page.template(format.result_close)
            is_after_result = False
        if message.role == "assistant":
            _write_reply(page, message, index, parameters, is_thinking=is_thinking)
            continue
        page.template(format.user_open if message.role == "user" else format.later_system_open)
        page.content(message.content, index)
        page.template(format.message_close)
    if is_after_result:
        page.template(format.result_close)


def _write_reply(
    page: _Page,
    message: Message,
    index: int,
    parameters: Mapping[str, Mapping[str, object]],
    *,
    is_thinking: bool,
) -> None:
    """A past reply reads as it was written: the empty thoughts of a reply without thinking are part of it."""
    format = page.format
    if is_thinking and message.reasoning:
        page.template(format.assistant_open + format.reasoning_open)
        page.text(message.reasoning.strip("\n"))
        page.template(format.reasoning_close)
    else:
        page.template(format.assistant_open + ("" if is_thinking else format.no_think_reply))
    page.content(message.content, index)
    for number, call in enumerate(message.tool_calls):
        if number or message.content:
            page.template(format.calls_joint)
        page.call(_pieces(call, index, parameters.get(call.name, {})))
    page.template(format.message_close)


def _pieces(call: ToolCall, index: int, parameters: Mapping[str, object]) -> tuple[Piece, ...]:
    try:
        return call_pieces(call.name, ordered_arguments(call.arguments, parameters))
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"the arguments of {call.name!r} are not JSON: {error}", index=index) from error


def _reading_order(messages: Sequence[Message], start: int) -> Iterator[int]:
    """Message indices, with the results of several calls in the order of the calls.

    Results carry no ids in the prompt: only their order tells which call they answer.
    """
    ranks: dict[str, int] = {}
    index = start
    while index < len(messages):
        message = messages[index]
        if message.role != "tool":
            ranks = {call.id: rank for rank, call in enumerate(message.tool_calls)}
            yield index
            index += 1
            continue
        end = index
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        answered = [messages[at].tool_call_id or "" for at in range(index, end)]
        if all(identifier in ranks for identifier in answered):
            order = sorted(range(len(answered)), key=lambda number: ranks[answered[number]])
            yield from (index + number for number in order)
        else:
            yield from range(index, end)
        index = end
