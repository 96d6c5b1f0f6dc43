"""Turns as the events of LangChain's content-block protocol: `stream_events(version="v3")`.

LangChain can make these from chunks by itself; made here, the finished block of a call carries its argument
report, and a block is finished as soon as it is, not at the end of the turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from langchain_protocol.protocol import MessagesData

from agent_runtime import ReasoningDelta, TextDelta

from .asks import Ask
from .blocks import (
    PROVIDER,
    extras_of,
    may_abstain,
    metadata_of,
    reply_extras,
    report,
    reports_of,
    usage_of,
)
from .report import REPORT_KEY
from .turns import CallPiece, CallStream, Made, TurnPiece


class ProtocolWriter:
    """The pieces of a turn as protocol events."""

    def __init__(self, ask: Ask, model_name: str) -> None:
        self._ask = ask
        self._model_name = model_name
        self._calls = CallStream(may_abstain=may_abstain(ask))
        self._num_blocks = 0
        self._words: dict[str, Any] | None = None
        """The open block of words or thoughts."""
        self._call_blocks: dict[str, tuple[int, str]] = {}
        """Wire index and arguments so far of every open call."""

    def begin(self, message_id: str) -> Iterator[MessagesData]:
        """The event before all others."""
        metadata = {"provider": PROVIDER, "model": self._model_name}
        yield _event("message-start", role="ai", id=message_id, metadata=metadata)

    def write(self, piece: TurnPiece) -> Iterator[MessagesData]:
        """The events of a piece: none while a call is held back."""
        if isinstance(piece, TextDelta):
            yield from self._say("text", piece.text)
        elif isinstance(piece, ReasoningDelta):
            yield from self._say("reasoning", piece.text)
        elif isinstance(piece, Made):
            for call_piece in self._calls.end():
                yield from self._call(call_piece)
            if piece.reply is not None and self._words is not None:
                self._words["extras"] = reply_extras(piece.reply.id, report(piece.reply, self._ask))
            yield from self._end_words()
            yield from self._finish(piece)
        else:
            for call_piece in self._calls.take(piece):
                yield from self._call(call_piece)

    def _say(self, kind: str, text: str) -> Iterator[MessagesData]:
        if self._words is None or self._words["type"] != kind:
            yield from self._end_words()
            self._words = {"type": kind, kind: ""}
            yield _event("content-block-start", index=self._num_blocks, content=dict(self._words))
            self._num_blocks += 1
        self._words[kind] += text
        delta = {"type": f"{kind}-delta", kind: text}
        yield _event("content-block-delta", index=self._num_blocks - 1, delta=delta)

    def _end_words(self) -> Iterator[MessagesData]:
        """Words are over before a call begins, so that their block is always the latest."""
        if self._words is not None:
            yield _event("content-block-finish", index=self._num_blocks - 1, content=self._words)
            self._words = None

    def _call(self, piece: CallPiece) -> Iterator[MessagesData]:
        if piece.starts:
            yield from self._end_words()
            self._call_blocks[piece.call_id] = (self._num_blocks, "")
            begun = {"type": "tool_call_chunk", "id": piece.call_id, "name": piece.name, "args": ""}
            yield _event("content-block-start", index=self._num_blocks, content=begun)
            self._num_blocks += 1
            return
        index, text = self._call_blocks[piece.call_id]
        if piece.text and not piece.is_given_up:
            self._call_blocks[piece.call_id] = (index, text + piece.text)
            delta = {"type": "tool-call-delta", "args": piece.text}
            yield _event("content-block-delta", index=index, delta=delta)
        if piece.ready is not None:
            called = {
                "type": "tool_call",
                "id": piece.call_id,
                "name": piece.name,
                "args": piece.ready.arguments,
                "extras": extras_of(report(piece.ready, self._ask)),
            }
            yield _event("content-block-finish", index=index, content=called)
        elif piece.is_given_up:
            broken = {
                "type": "invalid_tool_call",
                "id": piece.call_id,
                "name": piece.name,
                "args": text,
                "error": "the call broke off: raise max_tokens",
            }
            yield _event("content-block-finish", index=index, content=broken)

    def _finish(self, made: Made) -> Iterator[MessagesData]:
        reports = reports_of(made, self._ask)
        yield _event(
            "message-finish",
            usage=usage_of(made.turn),
            metadata=metadata_of(made.turn, self._model_name),
            **({"additional_kwargs": {REPORT_KEY: reports}} if reports else {}),
        )


def _event(kind: str, **parts: Any) -> MessagesData:
    return cast("MessagesData", {"event": kind, **parts})
