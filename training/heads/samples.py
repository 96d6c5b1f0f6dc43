"""Calls of a conversation as head samples: every slot's branch, its gold value, and where that stands.

Branches, end tokens and first tokens come from `agent_runtime`, so a head is trained on what it is served.
Free of torch, for the data process. How samples are put beside each other in rows is rows.py.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from agent_runtime import Tool
from agent_runtime.errors import AgentRuntimeError
from agent_runtime.messages import EvidenceSpan, Message, ToolCall
from agent_runtime.prompt import OfferedTool, Prompt, PromptFormat, render_prompt
from agent_runtime.prompt.encode import HasBackend, text_encoder
from agent_runtime.scaffold.branches import SlotBranch, branch_ids, branches_of
from agent_runtime.scaffold.canonical import join_path
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import ObjectShape
from agent_runtime.scaffold.slot_tokens import lead_ids

from ..data import ValuePath
from ..data.example import leaves

UNKNOWN_SPAN = (-1, -1)
"""The value stands in the text, but not as whole tokens: such a slot has no part in the span loss."""

ABSENT_SPAN = (0, 0)


class SlotSample(NamedTuple):
    """One branch of a called tool."""

    literal: tuple[int, ...]
    """Tokens from behind the tool's name to the slot."""

    value: tuple[int, ...]
    """Gold tokens of the value; where it is not given those that every value begins with."""

    kind: str
    is_string: bool
    num_lead: int
    """Tokens that every value of this slot begins with, known without being asked for."""

    is_given: bool
    is_optional: bool
    is_present: bool
    """Whether the optional property it belongs to is given."""

    gold_at: int
    """Prompt token where the value begins in the gold call; 0 where it does not stand there."""

    span: tuple[int, int]
    """Prompt tokens the value can be copied from."""

    limit: int
    has_space: bool
    """Whether its value stands behind a space of its own."""


class Gold(NamedTuple):
    """A value as the gold call has it; `at` is its first token in the prompt."""

    text: str
    at: int
    is_string: bool


class CallSample(NamedTuple):
    """One gold call of a conversation."""

    fork: int
    """The prompt's token that ends the tool's name; branches begin behind it."""

    copyable: tuple[tuple[int, int], ...]
    """Prompt tokens of the messages before the call, half-open."""

    slots: tuple[SlotSample, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation up to its last value, and the samples of its calls."""

    ids: tuple[int, ...]
    prefix_tokens: int
    calls: tuple[CallSample, ...]

    @property
    def num_branch_tokens(self) -> int:
        """Tokens of all branches, values included."""
        return sum(len(slot.literal) + len(slot.value) for call in self.calls for slot in call.slots)


class Sampler:
    """Makes talks for one tokenizer and prompt format."""

    def __init__(self, tokenizer: HasBackend | Tokenizer, format: PromptFormat) -> None:
        self._tokenizer = tokenizer
        self._format = format
        self._encoder = text_encoder(tokenizer)

    def talk(
        self,
        messages: Sequence[Message],
        tools: Sequence[OfferedTool],
        *,
        date: datetime.date | None = None,
        evidence: Mapping[ValuePath, EvidenceSpan | None],
    ) -> Talk | None:
        """The samples of a conversation; None where it has no call with a slot that can be learned from."""
        if not any(message.tool_calls for message in messages):
            return None
        prompt = render_prompt(
            messages,
            tools,
            format=self._format,
            tokenizer=self._tokenizer,
            date=date,
            add_generation_prompt=False,
        )
        offered = {tool.name: tool for tool in tools}
        calls = [
            sample
            for written in _written_calls(prompt, messages)
            if (sample := self._call(prompt, written, offered, evidence)) is not None and sample.slots
        ]
        if not calls:
            return None
        end = max(
            max(call.fork + 1, *(slot.gold_at + len(slot.value) for slot in call.slots)) for call in calls
        )
        return Talk(prompt.ids[:end], prompt.prefix_tokens, tuple(calls))

    def _call(
        self,
        prompt: Prompt,
        written: _WrittenCall,
        offered: Mapping[str, OfferedTool],
        evidence: Mapping[ValuePath, EvidenceSpan | None],
    ) -> CallSample | None:
        call = written.call
        scaffold = _scaffold_of(offered.get(call.name), call)
        if scaffold is None:
            return None
        present = set(_paths(call.arguments))
        slots = []
        for branch in branches_of(scaffold):
            gold = written.values.get(branch.path)
            if gold is not None and _holds(branch, gold):
                slots.append(self._given(prompt, branch, gold, written, evidence))
            elif branch.optional_path is not None:
                slots.append(self._slot(branch, is_present=branch.optional_path in present))
        copyable = tuple(
            span.tokens
            for span in prompt.message_spans
            if span.message_index < written.message_index and span.tokens[0] < span.tokens[1]
        )
        return CallSample(written.fork, copyable, tuple(slots))

    def _given(
        self,
        prompt: Prompt,
        branch: SlotBranch,
        gold: Gold,
        written: _WrittenCall,
        evidence: Mapping[ValuePath, EvidenceSpan | None],
    ) -> SlotSample:
        found = evidence.get((written.message_index, written.number, branch.path))
        span = ABSENT_SPAN
        if found is not None and found.message_index < written.message_index:
            span = span_tokens(prompt, found)
        return self._slot(
            branch,
            value=self._encoder.encode_text(gold.text).ids,
            is_given=True,
            is_present=True,
            gold_at=gold.at,
            span=span,
        )

    def _slot(self, branch: SlotBranch, **known: Any) -> SlotSample:
        encode = self._encode
        lead = lead_ids(branch.slot, encode)
        return SlotSample(
            **{
                "literal": branch_ids(branch, encode),
                "value": lead,
                "kind": branch.kind,
                "is_string": branch.slot.is_string,
                "num_lead": len(lead),
                "is_given": False,
                "is_optional": branch.is_optional,
                "is_present": False,
                "gold_at": 0,
                "span": ABSENT_SPAN,
                "limit": branch.slot.budget.limit,
                "has_space": branch.slot.leading_space,
                **known,
            }
        )

    def _encode(self, text: str) -> tuple[int, ...]:
        return self._encoder.encode_text(text).ids


def span_tokens(prompt: Prompt, evidence: EvidenceSpan) -> tuple[int, int]:
    """The tokens a span of a message covers, or `UNKNOWN_SPAN` where they hold more than blanks besides."""
    found = prompt.token_span(evidence.message_index, evidence.start, evidence.end)
    if found is None or found[0] == 0:
        return UNKNOWN_SPAN
    first, last = prompt.source(found[0]), prompt.source(found[1] - 1)
    if first is None or last is None:
        return UNKNOWN_SPAN
    text = next(piece.text for piece in prompt.pieces if piece.message_index == evidence.message_index)
    wanted = text[evidence.start : evidence.end]
    return found if text[first.start : last.end].strip() == wanted.strip() else UNKNOWN_SPAN


@dataclass(frozen=True, slots=True)
class _WrittenCall:
    """A call as it stands in a prompt: which, where its name ends, and text and place of every value."""

    call: ToolCall
    message_index: int
    number: int
    fork: int
    values: dict[str, Gold]


def _written_calls(prompt: Prompt, messages: Sequence[Message]) -> Iterator[_WrittenCall]:
    pieces = iter(prompt.pieces)
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        for number, call in enumerate(message.tool_calls):
            name = next(piece for piece in pieces if piece.kind == "name")
            is_string = {path: isinstance(value, str) for path, value in leaves(call.arguments)}
            # Empty strings leave no piece in a prompt.
            values = {path: Gold("", 0, True) for path, value in leaves(call.arguments) if value == ""}
            for piece in pieces:
                if piece.kind == "control":
                    break
                if piece.kind == "slot":
                    values[piece.path] = Gold(piece.text, piece.start, is_string[piece.path])
            fork = name.start + len(name.encoded.ids) - 1
            yield _WrittenCall(call, index, number, fork, values)


def _scaffold_of(tool: OfferedTool | None, call: ToolCall) -> Scaffold | None:
    """The scaffold the call was written along; None where it fits none."""
    if tool is None:
        return None
    for shape in _call_shapes(tool.name, json.dumps(tool.parameters)):
        try:
            scaffold = build_scaffold(tool.name, shape)
            scaffold.ordered(call.arguments)
        except (AgentRuntimeError, ValueError):
            continue
        return scaffold
    return None


@lru_cache(maxsize=256)
def _call_shapes(name: str, parameters: str) -> tuple[ObjectShape, ...]:
    """What a tool's schema means; nothing where the runtime would refuse to bind it."""
    try:
        return Tool(name=name, parameters=json.loads(parameters)).call_shapes
    except AgentRuntimeError:
        return ()


def _holds(branch: SlotBranch, gold: Gold) -> bool:
    """Whether a branch is the one a value was written in: a path may have several, for its several kinds."""
    if branch.slot.is_string != gold.is_string:
        return False
    return not branch.slot.constants or gold.text in branch.slot.constants


def _paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield join_path(path, key)
            yield from _paths(inner, join_path(path, key))
