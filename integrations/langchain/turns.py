"""Making one turn: the runtime's events, with a structured reply told as words.

What LangChain makes of the events is blocks.py (messages and chunks) and protocol.py (v3 events).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from agent_runtime import (
    AgentRuntime,
    ArgumentsDelta,
    CallReady,
    CallStarted,
    DenoiseStep,
    OverloadedError,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Turn,
    TurnFinished,
    TurnStarted,
    Usage,
)

from .asks import Ask
from .errors import langchain_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The turn, whole. `reply` is the call behind a structured reply."""

    turn: Turn
    reply: ToolCall | None = None


TurnPiece = TextDelta | ReasoningDelta | CallStarted | ArgumentsDelta | CallReady | Made


async def turn_pieces(
    runtime: AgentRuntime, ask: Ask, *, max_retries: int = 0
) -> AsyncGenerator[TurnPiece, None]:
    """The pieces of one turn as they are made, ending in `Made`. Closing it stops the computation.

    A turn that finds the queue full is tried again, `max_retries` times, when the engine says it may be.
    """
    with langchain_errors():
        if ask.reply is None:
            async with aclosing(_retried(runtime, ask, max_retries)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        first: Turn | None = None
        if ask.tools and ask.tool_choice != "none":
            async with aclosing(_retried(runtime, ask, max_retries)) as pieces:
                async for piece in pieces:
                    # Words are not yet the reply: they only say that no tool is called.
                    if isinstance(piece, Made):
                        first = piece.turn
                    elif not isinstance(piece, TextDelta):
                        yield piece
            assert first is not None
            if first.tool_calls or ask.tool_choice != "auto":
                yield Made(turn=first)
                return
        async with aclosing(_replied(runtime, ask, first, max_retries)) as pieces:
            async for piece in pieces:
                yield piece


async def _replied(
    runtime: AgentRuntime, ask: Ask, first: Turn | None, max_retries: int
) -> AsyncGenerator[TurnPiece, None]:
    """The structured reply: a call that is required, told as words while its values settle."""
    reply = ask.reply
    assert reply is not None
    forced = dataclasses.replace(
        ask,
        tools=(reply.tool,),
        tool_choice=reply.tool.name,
        is_parallel=False,
        reply=None,
        # What was thought before the decision is not thought again.
        settings={**ask.settings, "think": False} if first is not None else ask.settings,
    )
    async with aclosing(_retried(runtime, forced, max_retries)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ReasoningDelta):
                yield piece
            elif isinstance(piece, ArgumentsDelta) and not reply.is_wrapped:
                yield TextDelta(text=piece.text)
            elif isinstance(piece, Made):
                settled = reply.settle(piece.turn)
                if reply.is_wrapped and settled.reply is not None:
                    yield TextDelta(text=settled.turn.content)
                turn = settled.turn if first is None else _joined(first, settled.turn)
                yield Made(turn=turn, reply=settled.reply)


def _joined(first: Turn, second: Turn) -> Turn:
    """A reply that took two turns, one to decide that no tool is called."""
    a, b = first.usage, second.usage
    usage = Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        reasoning_tokens=a.reasoning_tokens + b.reasoning_tokens,
        forwards=a.forwards + b.forwards,
    )
    timings = type(first.timings)(
        **{
            field.name: getattr(first.timings, field.name) + getattr(second.timings, field.name)
            for field in dataclasses.fields(first.timings)
        }
    )
    return dataclasses.replace(
        second, reasoning=first.reasoning + second.reasoning, plan=first.plan, usage=usage, timings=timings
    )


async def _retried(runtime: AgentRuntime, ask: Ask, max_retries: int) -> AsyncGenerator[TurnPiece, None]:
    for attempt in range(max_retries + 1):
        try:
            async with aclosing(_streamed(runtime, ask)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except OverloadedError as error:  # said before anything was made
            if attempt == max_retries:
                raise
            await asyncio.sleep(error.retry_after_s)


async def _streamed(runtime: AgentRuntime, ask: Ask) -> AsyncGenerator[TurnPiece, None]:
    events = runtime.stream(
        ask.conversation.messages,
        tools=ask.tools,
        tool_choice=ask.tool_choice,
        parallel_tool_calls=ask.is_parallel,
        stop=ask.stop,
        top_logprobs=ask.top_logprobs,
        deadline_s=ask.deadline_s,
        **ask.settings,
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TurnFinished):
                yield Made(turn=event.turn)
            elif not isinstance(event, (TurnStarted, DenoiseStep)):
                yield event


@dataclass(slots=True)
class _OpenCall:
    index: int
    call_id: str
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPiece:
    """A piece of a streamed call: its beginning carries the name, its end `is_complete` or `is_given_up`."""

    index: int
    call_id: str
    name: str
    text: str = ""
    starts: bool = False
    ready: ToolCall | None = None
    is_given_up: bool = False


class CallStream:
    """Calls as a caller may see them while they are written.

    What the runtime may still take back is held until it is sure: a call that could repeat an earlier one,
    and every call where doubtful ones are not made. A call that breaks off for lack of tokens cannot be
    taken back; it ends as given up.
    """

    def __init__(self, *, may_abstain: bool) -> None:
        self._may_abstain = may_abstain
        self._names: set[str] = set()
        self._num_shown = 0
        self._open: _OpenCall | None = None
        self._is_shown = False

    def take(self, piece: CallStarted | ArgumentsDelta | CallReady) -> list[CallPiece]:
        """What of it is shown now."""
        if isinstance(piece, CallStarted):
            given_up = self.end()
            self._open = _OpenCall(self._num_shown, piece.call_id, piece.name)
            self._is_shown = not self._may_abstain and piece.name not in self._names
            return [*given_up, *([self._piece(starts=True)] if self._is_shown else [])]
        if self._open is None:
            return []
        if isinstance(piece, ArgumentsDelta):
            self._open.text += piece.text
            return [self._piece(text=piece.text)] if self._is_shown else []
        return self._ready(piece.call)

    def end(self) -> list[CallPiece]:
        """The turn is over, or another call begins: one that is still open was given up."""
        if self._open is None or not self._is_shown:
            self._open = None
            return []
        piece = self._piece(text=spoiling_text(self._open.text), is_given_up=True)
        self._close()
        return [piece]

    def _ready(self, call: ToolCall) -> list[CallPiece]:
        assert self._open is not None
        # A fill that settles all values at once tells no pieces.
        text = self._open.text or json.dumps(call.arguments, ensure_ascii=False)
        shown = [] if self._is_shown else [self._piece(starts=True)]
        if not self._is_shown or not self._open.text:
            shown.append(self._piece(text=text))
        shown.append(self._piece(ready=call))
        self._names.add(call.name)
        self._close()
        return shown

    def _close(self) -> None:
        self._open = None
        self._num_shown += 1

    def _piece(self, **what: Any) -> CallPiece:
        assert self._open is not None
        return CallPiece(index=self._open.index, call_id=self._open.call_id, name=self._open.name, **what)


def spoiling_text(begun: str) -> str:
    """Text that makes the beginning of a JSON text unreadable, even for parsers that complete it.

    LangChain parses a call that breaks off as if it had been whole; with this text it finds an invalid call.
    """
    inside: list[str] = []
    is_string = is_escaped = False
    for letter in begun:
        if is_string:
            is_escaped, is_string = letter == "\\" and not is_escaped, is_escaped or letter != '"'
        elif letter == '"':
            is_string = True
        elif letter in "{[":
            inside.append("}" if letter == "{" else "]")
        elif letter in "}]" and inside:
            inside.pop()
    closing = '"' if is_string else ""
    return closing + ("]" if not inside or inside[-1] == "}" else "}")
