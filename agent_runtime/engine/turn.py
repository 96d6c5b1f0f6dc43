"""One whole turn as a program: think, decide, then call or answer.

How each part works is in decide.py, fill.py and decode.py; this file is their order and what is told to
the caller. Rendering the prompt and running tools happen outside.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, Protocol

from ..config import Fill
from ..errors import AgentRuntimeError, ToolChoiceError
from ..events import (
    ArgumentsDelta,
    CallReady,
    CallStarted,
    DenoiseStep,
    ReasoningDelta,
    SlotTrace,
    TextDelta,
    TurnEvent,
    TurnStarted,
)
from ..evidence import find_call_evidence
from ..messages import FilledBy, Message, Plan, SlotDetail, StopReason, Timings, ToolCall, Turn, Usage
from ..prompt.parse import parse_reply
from ..scaffold.canonical import string_body
from ..scaffold.fitting import same_json
from ..scaffold.frontier import DEFAULT_MAX_SLOT_TOKENS, CallFrontier
from ..scaffold.scaffold import Scaffold, build_scaffold
from ..scaffold.shape import ObjectShape
from ..scaffold.slot_budget import DEFAULT_RULES
from ..scaffold.walker import CallWalker
from ..turn_engine import ToolChoice
from .confidence import CallContext, PlainConfidence, ReadsConfidence
from .decide import call_opening, decide, decide_another
from .decode import Decoded, WordStream, decode_text
from .draft import MAX_DRAFT_TOKENS, Drafter
from .draft_copies import CopySource
from .fill import FilledCall, FilledSlot, NextRow, fill_autoregressive
from .head_fill.call_reader import CallOpening, DiffusionReader, HeadVerifiedReader
from .head_fill.head_drafter import HeadDrafter
from .head_fill.settings import DenoiseSettings
from .program import Program
from .sampling import Sampler, Sampling
from .tape import Rows, Tape
from .token_log import TokenLog
from .verify import VerifiedReader
from .view import BackboneView

Emit = Callable[[TurnEvent], None]

# Words that begin like this may be a call without its tags; they are looked at as a whole.
_CALL_LIKE_STARTS = ("{", "[", "```", "<")

# The part of a call's text before its arguments.
_BEFORE_ARGUMENTS = re.compile(r'\{"name": "(?:[^"\\]|\\.)*", "arguments": ')


class OfferedTool(Protocol):
    """The part of a `Tool` a turn needs."""

    @property
    def name(self) -> str:
        """What the backbone calls it."""
        ...

    @property
    def call_shapes(self) -> tuple[ObjectShape, ...]:
        """What its arguments may be: any one of these."""
        ...

    def validate(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """What is wrong with arguments; empty when they are valid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """All a turn program is told.

    Attributes:
        prompt_ids: the rendered prompt, up to where the reply begins.
        messages: the conversation, for evidence.
        tools: what may be called.
        tool_choice: whether a tool is called, and which.
        is_parallel: whether the turn may make more than one call.
        max_calls: calls a turn may make.
        max_tokens: tokens the turn may write. A call that does not fit is not made.
        max_slot_tokens: tokens one argument value may take; a longer one is ended there.
        fill: how calls are written.
        max_ahead: with the verified fill, tokens of a drafted call that are read ahead of what is certain.
        denoise: how heads fill values.
        copyable: runs of prompt tokens that are content of messages, half-open.
        sampling: how tokens are chosen. Whether to call is never drawn: it is the more probable.
        stop: texts that end the words where they appear.
        is_thinking: whether the turn begins with a thought (the prompt must have been rendered for it).
        think_budget_tokens: tokens the thought may take; then it is closed.
        call_bias: added to the log-odds of calling.
        abstain_below: a call of lower confidence is not made, unless `tool_choice` asks for one.
        top_logprobs: None for no log-probabilities, else how many alternatives come with each token.
        is_traced: whether the steps in which heads draft a call are told.
        confidence: says how sure we are of a call.
        queue_ms: how long the turn waited for its place.
        prompt_ms: how long rendering the prompt took.
    """

    prompt_ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    is_parallel: bool = True
    max_calls: int = 8
    max_tokens: int = 1024
    max_slot_tokens: int = DEFAULT_MAX_SLOT_TOKENS
    fill: Fill = "autoregressive"
    max_ahead: int = MAX_DRAFT_TOKENS
    denoise: DenoiseSettings = DenoiseSettings()
    copyable: tuple[tuple[int, int], ...] = ()
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    is_thinking: bool = False
    think_budget_tokens: int = 512
    call_bias: float = 0.0
    abstain_below: float = 0.0
    top_logprobs: int | None = None
    is_traced: bool = False
    confidence: ReadsConfidence = PlainConfidence()
    queue_ms: float = 0.0
    prompt_ms: float = 0.0


def turn_program(
    request: TurnRequest,
    view: BackboneView,
    emit: Emit | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Program[Turn]:
    """Make one turn.

    Every event but `TurnFinished` is emitted as it happens. `CallStarted` without a `CallReady` is a call
    that was given up: it did not fit, was too doubtful, or repeated an earlier one.

    Raises:
        ToolChoiceError: `tool_choice` asks for a tool that is not offered.
        AgentRuntimeError: a filled call its tool does not accept, which is a fault of this package.
    """
    _check_choice(request)
    return _TurnWriter(request, view, emit or _ignore, clock).write()


class _TurnWriter:
    def __init__(
        self, request: TurnRequest, view: BackboneView, emit: Emit, clock: Callable[[], float]
    ) -> None:
        self._request = request
        self._view = view
        self._emit = emit
        self._clock = clock
        self._tape = Tape()
        self._sampler = Sampler(request.sampling)
        self._max_length = len(request.prompt_ids) + request.max_tokens
        self._spent = dict.fromkeys(("prefill", "decide", "fill", "decode"), 0.0)
        self._calls: list[ToolCall] = []
        self._reasoning = ""
        self._num_reasoning_tokens = 0
        self._drafter: HeadDrafter | None = None
        self._num_steps = 0

    def write(self) -> Program[Turn]:
        request, started = self._request, self._clock()
        self._emit(TurnStarted())
        self._tape.write(request.prompt_ids)
        if request.is_thinking:
            yield from self._think()
        if request.tools and request.tool_choice.mode != "none":
            turn = yield from self._choose()
        else:
            decoded = yield from self._answer(None, may_call=False)
            turn = self._told(decoded, call_probability=0.0)
        return self._finished(turn, self._clock() - started)

    # Words.

    def _think(self) -> Program[None]:
        view, tape = self._view, self._tape
        tape.write(view.reasoning_open)
        start = tape.length
        limit = min(start + self._request.think_budget_tokens, self._max_length - len(view.reasoning_close))
        words = WordStream(lambda text: self._emit(ReasoningDelta(text=text)))
        with self._timed("prefill"):
            logits = (yield from tape.read())[-1]
        with self._timed("decode"):
            decoded = yield from decode_text(
                view,
                tape,
                stops=view.thought_end_ids,
                sampler=self._sampler,
                max_length=limit,
                words=words,
                logits=logits,
            )
        self._reasoning = decoded.text
        self._num_reasoning_tokens = tape.length - start
        self._close_thought(is_open=decoded.ending != "thought_closed")

    def _close_thought(self, *, is_open: bool) -> None:
        """Close the thought as the format does; a backbone that closes it itself has begun to."""
        close, mark = self._view.reasoning_close, self._view.think_close
        start = 0 if is_open or mark is None else close.index(mark)
        self._tape.write(close[start:])

    def _answer(self, logits: Rows | None, *, may_call: bool) -> Program[Decoded]:
        view, request = self._view, self._request
        words = WordStream(
            lambda text: self._emit(TextDelta(text=text)),
            stop=request.stop,
            held_starts=_CALL_LIKE_STARTS if may_call else (),
        )
        if logits is None:
            with self._timed("prefill" if self._tape.num_forwards == 0 else "decode"):
                logits = (yield from self._tape.read())[-1]
        with self._timed("decode"):
            decoded = yield from decode_text(
                view,
                self._tape,
                # The first token was decided not to begin a call.
                stops=view.end_or_call_ids if may_call else view.end_ids,
                first_stops=view.end_ids,
                sampler=self._sampler,
                max_length=self._max_length,
                words=words,
                logits=logits,
                call_bias=request.call_bias if may_call else 0.0,
                top_logprobs=request.top_logprobs,
            )
        if words.is_held and not self._spoken_tools(decoded.text):
            words.release()
        return decoded

    def _spoken_tools(self, text: str) -> tuple[OfferedTool, ...]:
        """The tools that words without the tags of a call try to call."""
        if not text.startswith(_CALL_LIKE_STARTS):
            return ()
        names = [call.name for call in parse_reply(text, [tool.name for tool in self._request.tools]).calls]
        return tuple(tool for tool in self._request.tools if tool.name in names[:1])

    def _told(self, decoded: Decoded, *, call_probability: float) -> Turn:
        return Turn(
            content=decoded.text,
            stop_reason="length" if decoded.ending == "length" else "stop",
            plan=Plan(kind="chat", call_probability=call_probability),
            logprobs=decoded.logprobs if self._request.top_logprobs is not None else None,
        )

    # Calls.

    def _choose(self) -> Program[Turn]:
        request, choice = self._request, self._request.tool_choice
        frontier = self._frontier(self._choosable(), len(call_opening(self._view)))
        reader = self._copying_reader() if self._is_call_likely else None
        with self._timed("prefill" if self._tape.num_forwards == 0 else "decide"):
            decision = yield from decide(
                self._view,
                self._tape,
                frontier,
                call_bias=request.call_bias,
                draft_ahead=None if reader is None else reader.draft_ahead,
            )
        if reader is not None:
            reader.learn(decision.call_logits, self._tape)
        probability = decision.call_probability
        if choice.mode == "required" or probability > 0.5:
            turn = yield from self._call(
                frontier, decision.call_logits, probability, opening=decision.opening, reader=reader
            )
            if turn.stop_reason != "abstained":
                return turn
            # Who asked hears something: what would have been said had nothing been called.
            self._tape.cut(decision.reply_start)
            decoded = yield from self._answer(decision.reply_logits, may_call=False)
            spoken_turn = self._told(decoded, call_probability=probability)
            return replace(spoken_turn, stop_reason="abstained")
        self._tape.cut(decision.reply_start)
        decoded = yield from self._answer(decision.reply_logits, may_call=True)
        if decoded.ending == "call":
            frontier = self._open_call(request.tools)
            return (yield from self._call(frontier, None, probability, words=decoded))
        spoken = self._spoken_tools(decoded.text)
        if spoken:
            # A call without its tags: take it at its word, and write it as a call.
            self._tape.cut(decision.reply_start)
            return (yield from self._call(self._open_call(spoken), None, probability))
        return self._told(decoded, call_probability=probability)

    def _choosable(self) -> tuple[OfferedTool, ...]:
        request = self._request
        name = request.tool_choice.name
        return tuple(tool for tool in request.tools if name is None or tool.name == name)

    def _open_call(self, tools: tuple[OfferedTool, ...]) -> CallFrontier:
        self._tape.write(call_opening(self._view))
        return self._frontier(tools)

    def _frontier(self, tools: tuple[OfferedTool, ...], num_before: int = 0) -> CallFrontier:
        """The calls that may be made, behind `num_before` tokens that are still to be written."""
        return CallFrontier(
            [CallWalker(self._scaffold(tool.name, shape)) for tool in tools for shape in tool.call_shapes],
            vocabulary=self._view.vocabulary,
            trees=self._view.trees,
            max_slot_tokens=self._request.max_slot_tokens,
            max_tokens=self._max_length - self._tape.length - num_before,
            is_quoted=self._is_quoted,
        )

    def _is_quoted(self, text: bytes) -> bool:
        """Whether a part of a value stands in a message."""
        return any(text in string_body(message.content).encode() for message in self._request.messages)

    def _call(
        self,
        frontier: CallFrontier,
        logits: Rows | None,
        call_probability: float,
        *,
        words: Decoded | None = None,
        opening: tuple[int, ...] | None = None,
        reader: VerifiedReader | None = None,
    ) -> Program[Turn]:
        """Write calls until none follows.

        Args:
            frontier: of the first.
            logits: the row for its next token, where that is read.
            call_probability: of the decision that led here.
            words: what was said before.
            opening: what the tape already holds of the first.
            reader: of the first, where it has drafted it already.
        """
        stop_reason: StopReason = "tool_calls"
        while True:
            call_id, token_log = self._next_call_id(), self._token_log(opening)
            opening = None
            num_before = self._tape.num_forwards
            with self._timed("fill"):
                filled = yield from fill_autoregressive(
                    frontier,
                    self._tape,
                    sampler=self._sampler,
                    max_length=self._max_length,
                    logits=logits,
                    next_row=self._row_reader() if reader is None else reader.next_row,
                    on_name=partial(self._begin_call, call_id),
                    on_text=_ArgumentsStream(call_id, self._emit),
                    token_log=token_log,
                )
            reader = None
            refusal = self._take(
                filled, call_id, token_log, call_probability, self._tape.num_forwards - num_before
            )
            if refusal is not None:
                stop_reason = refusal if not self._calls or refusal == "length" else stop_reason
                break
            if not self._request.is_parallel or len(self._calls) >= self._request.max_calls:
                break
            with self._timed("decide"):
                has_another = yield from decide_another(self._view, self._tape)
            if not has_another:
                break
            self._tape.write(self._view.calls_joint)
            frontier, logits = self._open_call(self._choosable()), None
        spoken = () if words is None else words.logprobs
        return Turn(
            content="" if words is None else words.text,
            tool_calls=tuple(self._calls),
            stop_reason=stop_reason,
            plan=Plan(kind="tool", call_probability=call_probability),
            logprobs=spoken if self._request.top_logprobs is not None else None,
        )

    def _token_log(self, opening: tuple[int, ...] | None) -> TokenLog | None:
        """The log of a call that begins; what stands before its text is left out."""
        if self._request.top_logprobs is None:
            return None
        log = TokenLog(self._view, self._request.top_logprobs)
        log.note_forced((call_opening(self._view) if opening is None else opening)[1:])
        return log

    @property
    def _is_call_likely(self) -> bool:
        """Whether it pays to draft a call before it is decided on: results are mostly followed by words."""
        messages = self._request.messages
        return self._request.tool_choice.mode == "required" or not messages or messages[-1].role == "user"

    def _row_reader(self) -> NextRow | None:
        """How the rows of the next call are read; None is one by one."""
        if not self._is_drafted:
            return None
        reader = self._copying_reader()
        return self._head_reader() if reader is None else reader.next_row

    @property
    def _is_drafted(self) -> bool:
        request = self._request
        return request.fill == "diffusion" or (request.fill == "verified" and request.max_ahead > 0)

    def _copying_reader(self) -> VerifiedReader | None:
        """Reads the rows of the next call where copies draft it."""
        request = self._request
        if not self._is_drafted or self._view.heads is not None:
            return None
        drafter = Drafter(self._view, self._copy_source, closing=self._closing)
        return VerifiedReader(drafter, max_ahead=request.max_ahead, tokens_left=self._tokens_left)

    @property
    def _closing(self) -> tuple[int, ...]:
        """What follows the next call."""
        request = self._request
        may_follow = request.is_parallel and len(self._calls) + 1 < request.max_calls
        return (self._view.call_close,) if may_follow else ()

    def _head_reader(self) -> NextRow:
        request, view, heads = self._request, self._view, self._view.heads
        assert heads is not None
        drafter = HeadDrafter(
            view,
            self._copy_source,
            heads,
            closing=self._closing,
            copyable=request.copyable,
            settings=request.denoise,
            max_slot_tokens=request.max_slot_tokens,
            is_whole=request.fill == "diffusion",
            watch=self._tell_step if request.is_traced else None,
        )
        self._drafter = drafter
        opening = CallOpening(view, heads, drafter, self._scaffolds)
        if request.fill == "diffusion":
            return DiffusionReader(
                opening,
                drafter,
                request.denoise,
                tokens_left=self._tokens_left,
                vocab_size=heads.bundle.config.backbone.vocab_size,
            ).next_row
        return HeadVerifiedReader(
            opening,
            drafter,
            tokens_left=self._tokens_left,
            max_ahead=request.max_ahead,
            num_steps=1,
        ).next_row

    def _tell_step(self, kind: Literal["propose", "denoise", "read"], slots: Sequence[SlotTrace]) -> None:
        self._num_steps += 1
        self._emit(
            DenoiseStep(call_id=self._next_call_id(), step=self._num_steps, kind=kind, slots=tuple(slots))
        )

    def _tokens_left(self) -> int:
        return self._max_length - self._tape.length

    def _scaffolds(self, name: str) -> list[Scaffold]:
        """The scaffolds of a tool."""
        return [
            self._scaffold(tool.name, shape)
            for tool in self._request.tools
            if tool.name == name
            for shape in tool.call_shapes
        ]

    def _scaffold(self, name: str, shape: ObjectShape) -> Scaffold:
        heads = self._view.heads
        return build_scaffold(name, shape, rules=DEFAULT_RULES if heads is None else heads.rules)

    @cached_property
    def _copy_source(self) -> CopySource:
        return CopySource.of(self._view.vocabulary, self._request.prompt_ids, self._request.messages)

    def _begin_call(self, call_id: str, name: str) -> None:
        self._emit(CallStarted(call_id=call_id, name=name))

    def _take(
        self,
        filled: FilledCall | None,
        call_id: str,
        token_log: TokenLog | None,
        call_probability: float,
        num_forwards: int,
    ) -> StopReason | None:
        """Accept a call, or say why the turn ends instead."""
        request = self._request
        if filled is None:
            return "length"
        if any(
            call.name == filled.name and same_json(call.arguments, filled.arguments) for call in self._calls
        ):
            return "tool_calls"  # the backbone repeats itself
        evidence = find_call_evidence(
            {path: slot.value for path, slot in filled.slots.items()},
            request.messages,
            labels={path: slot.slot.description for path, slot in filled.slots.items() if slot.slot},
            earlier=[{path: slot.evidence for path, slot in c.slots.items()} for c in self._calls],
        )
        confidence = request.confidence.read(
            filled,
            CallContext(
                messages=request.messages,
                evidence=evidence,
                earlier=tuple(self._calls),
                num_tools=len(request.tools),
                call_probability=call_probability,
                is_denoised=request.fill == "diffusion",
                weighed=() if self._drafter is None else self._drafter.weighed,
            ),
        )
        if request.tool_choice.mode == "auto" and confidence.call < request.abstain_below:
            return "abstained"
        self._check(filled)
        call = ToolCall(
            id=call_id,
            name=filled.name,
            arguments=filled.arguments,
            confidence=confidence.call,
            slots={
                path: SlotDetail(
                    value=slot.value,
                    confidence=confidence.slots[path],
                    evidence=evidence[path],
                    filled_by=self._filled_by(path, slot),
                )
                for path, slot in filled.slots.items()
            },
            logprobs=None if token_log is None else token_log.tokens,
            forwards=num_forwards,
        )
        self._calls.append(call)
        self._emit(CallReady(call=call))
        return None

    def _filled_by(self, path: str, slot: FilledSlot) -> FilledBy:
        if slot.slot is None:
            return "choice"  # there was nothing to decide
        drafter = self._drafter
        if self._request.fill == "autoregressive" or (drafter is not None and path in drafter.given_up):
            return "autoregressive"
        if drafter is None:
            return "draft"
        return drafter.source_of(path, slot.slot, slot.slot.raw_text(slot.value)) or "draft"

    def _check(self, filled: FilledCall) -> None:
        """By construction this never fails; a call that does must not reach a tool."""
        tool = next(tool for tool in self._request.tools if tool.name == filled.name)
        problems = tool.validate(filled.arguments)
        if problems:
            raise AgentRuntimeError(
                f"a call of {filled.name!r} was written that its schema does not allow "
                f"({'; '.join(problems)}): this is a fault of smolcall, please report it with the tool"
            )

    def _next_call_id(self) -> str:
        """The same for the same turn of the same conversation, different within it."""
        what = repr((self._request.prompt_ids, self._request.sampling.seed, len(self._calls)))
        return "call_" + hashlib.blake2b(what.encode(), digest_size=9).hexdigest()

    # Counting.

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._spent[phase] += self._clock() - began

    def _finished(self, turn: Turn, elapsed_s: float) -> Turn:
        request, tape = self._request, self._tape
        return replace(
            turn,
            reasoning=self._reasoning,
            usage=Usage(
                prompt_tokens=len(request.prompt_ids),
                completion_tokens=tape.length - len(request.prompt_ids),
                cached_tokens=tape.num_cached,
                reasoning_tokens=self._num_reasoning_tokens,
                forwards=tape.num_forwards,
            ),
            timings=Timings(
                queue_ms=request.queue_ms,
                prompt_ms=request.prompt_ms,
                prefill_ms=1000 * self._spent["prefill"],
                decide_ms=1000 * self._spent["decide"],
                fill_ms=1000 * self._spent["fill"],
                decode_ms=1000 * self._spent["decode"],
                total_ms=1000 * elapsed_s + request.queue_ms + request.prompt_ms,
            ),
        )


class _ArgumentsStream:
    """Tells the arguments of one call piece by piece, as its text grows."""

    def __init__(self, call_id: str, emit: Emit) -> None:
        self._call_id = call_id
        self._emit = emit
        self._start: int | None = None
        self._num_told = 0

    def __call__(self, text: str) -> None:
        if self._start is None:
            found = _BEFORE_ARGUMENTS.match(text)
            if found is None:
                return
            self._start = found.end()
        # A call's text ends in the brace that closes its arguments and the one that closes the call.
        arguments = text[self._start : -1] if text.endswith("}}") else text[self._start :]
        if len(arguments) > self._num_told:
            self._emit(ArgumentsDelta(call_id=self._call_id, text=arguments[self._num_told :]))
            self._num_told = len(arguments)


def _check_choice(request: TurnRequest) -> None:
    names = [tool.name for tool in request.tools]
    choice = request.tool_choice
    if choice.mode == "required" and not names:
        raise ToolChoiceError("a tool call is required, but no tools are offered: offer at least one")
    if choice.name is not None and choice.name not in names:
        raise ToolChoiceError(
            f"tool_choice names {choice.name!r}, which is not offered: use 'auto', 'none', 'required' or one "
            f"of {', '.join(map(repr, names)) or 'none offered'}"
        )


def _ignore(_: TurnEvent) -> None:
    return None
