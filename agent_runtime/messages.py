"""What goes in and what comes out, as plain frozen data: messages, calls, results, turns, runs.

Reading OpenAI-shaped dicts into `Message` lives here; how messages become tokens is prompt.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import MessageError

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["stop", "tool_calls", "length", "abstained"]
FilledBy = Literal["autoregressive", "choice", "copy", "denoise", "draft"]
"""How a value was written: token by token by the backbone; as one of the schema's constants, as a part of the
conversation, or as the diffusion head proposed it; or from a draft that the backbone corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSpan:
    """Half-open character span `[start, end)` of `messages[message_index]["content"]`."""

    message_index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDetail:
    """One argument value: what it is, how sure we are, and where it was read."""

    value: Any
    confidence: float
    evidence: EvidenceSpan | None = None
    filled_by: FilledBy = field(default="autoregressive", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A request to run a tool. `slots` maps a dotted path (`address.city`, `items.0.sku`) to its detail."""

    id: str
    name: str
    arguments: dict[str, Any]
    confidence: float = 1.0
    slots: Mapping[str, SlotDetail] = field(default_factory=dict)
    logprobs: tuple[TokenLogprob, ...] | None = None
    """On request: the call's tokens, each with its log-probability among those the schema allowed."""
    forwards: int = field(default=0, compare=False)
    """Forwards of the backbone that filling it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation, checked."""

    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came back from a call. `message` is the text the model reads; `value` what the tool returned."""

    call_id: str
    tool_name: str
    status: Literal["ok", "failed"]
    message: str
    value: Any = None
    duration_ms: float = 0.0
    attempts: int = 1
    is_truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one turn."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    forwards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds per phase of one turn."""

    queue_ms: float = 0.0
    prompt_ms: float = 0.0
    prefill_ms: float = 0.0
    decide_ms: float = 0.0
    fill_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a turn decided to do, and how sure the backbone was that a call is right."""

    kind: Literal["chat", "tool"]
    call_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A generated token with its log-probability and the best alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One model reply: words, or calls."""

    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop_reason: StopReason = "stop"
    plan: Plan = Plan(kind="chat", call_probability=0.0)
    usage: Usage = Usage()
    timings: Timings = Timings()
    logprobs: tuple[TokenLogprob, ...] | None = None
    """On request: the tokens of the words. Those of a call stand with the call."""

    def as_message(self) -> dict[str, Any]:
        """The turn as an OpenAI-shaped assistant message, ready to append to the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [tool_call_as_dict(call) for call in self.tool_calls]
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Turns and tool results until the answer. `messages` can be dumped as JSON and resumed."""

    output: str
    messages: list[dict[str, Any]]
    turns: tuple[Turn, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


def tool_call_as_dict(call: ToolCall) -> dict[str, Any]:
    """A call in OpenAI's shape: arguments are a JSON string."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
    }


def read_messages(messages: str | Sequence[Mapping[str, Any] | Message]) -> tuple[Message, ...]:
    """Check a conversation and turn it into `Message`s.

    Accepts a plain string (one user message), OpenAI-shaped dicts, or `Message`s.

    Raises:
        MessageError: empty conversation, unknown role, content of a wrong type, a malformed tool call,
            or a tool result that answers no earlier call.
    """
    given: Any = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray)):
        raise MessageError(f"expected a string or a list of messages, found {type(given).__name__}")
    if not given:
        raise MessageError("the conversation is empty: give at least one message")
    read = tuple(
        message if isinstance(message, Message) else _read_message(message, index)
        for index, message in enumerate(given)
    )
    _check_results_answer_calls(read)
    return read


def _read_message(message: Mapping[str, Any], index: int) -> Message:
    if not isinstance(message, Mapping):
        raise MessageError(
            f"expected a dict with 'role' and 'content', found {type(message).__name__}", index=index
        )
    role = message.get("role")
    if role == "developer":  # OpenAI's newer name for the same thing
        role = "system"
    if role not in ("system", "user", "assistant", "tool"):
        raise MessageError(f"unknown role {role!r}: use 'system', 'user', 'assistant' or 'tool'", index=index)
    calls = message.get("tool_calls") or ()
    if calls and role != "assistant":
        raise MessageError(f"only an assistant message may carry tool_calls, not {role!r}", index=index)
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise MessageError(f"tool_calls must be a list, found {type(calls).__name__}", index=index)
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    if not isinstance(reasoning, str):
        raise MessageError(f"reasoning must be a string, found {type(reasoning).__name__}", index=index)
    return Message(
        role=role,
        content=_read_content(message.get("content"), index, is_optional=bool(calls)),
        reasoning=reasoning,
        tool_calls=tuple(_read_call(call, index, number) for number, call in enumerate(calls)),
        tool_call_id=_read_optional_str(message, "tool_call_id", index),
        name=_read_optional_str(message, "name", index),
    )


def _read_optional_str(message: Mapping[str, Any], key: str, index: int) -> str | None:
    value = message.get(key)
    if value is not None and not isinstance(value, str):
        raise MessageError(f"{key} must be a string, found {type(value).__name__}", index=index)
    return value


def _read_content(content: Any, index: int, *, is_optional: bool) -> str:
    """Content is text, or OpenAI content parts of type `text`."""
    if content is None and is_optional:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, (bytes, bytearray)):
        return "".join(_read_part(part, index) for part in content)
    raise MessageError(f"content must be a string, found {type(content).__name__}", index=index)


def _read_part(part: Any, index: int) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise MessageError(
        f"content parts must be text, found {kind!r}: this backbone reads text only", index=index
    )


def _read_call(call: Any, index: int, number: int) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    if not isinstance(call, Mapping):
        raise MessageError(f"tool_calls[{number}] must be a dict, found {type(call).__name__}", index=index)
    body = call.get("function", call)
    name = body.get("name") if isinstance(body, Mapping) else None
    if not isinstance(name, str) or not name:
        raise MessageError(f"tool_calls[{number}] has no name", index=index)
    return ToolCall(
        id=str(call.get("id") or f"call_{index}_{number}"),
        name=name,
        arguments=_read_arguments(body, index, number),
    )


def _read_arguments(body: Mapping[str, Any], index: int, number: int) -> dict[str, Any]:
    arguments = body.get("arguments", body.get("args", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except json.JSONDecodeError as error:
            raise MessageError(
                f"tool_calls[{number}] arguments are not JSON: {error}", index=index
            ) from error
    if not isinstance(arguments, Mapping):
        raise MessageError(
            f"tool_calls[{number}] arguments must be an object, found {type(arguments).__name__}", index=index
        )
    return dict(arguments)


def _check_results_answer_calls(messages: tuple[Message, ...]) -> None:
    """A result with an id answers an earlier call; without one it answers the calls before it in order."""
    known: set[str] = set()
    any_call = False
    for index, message in enumerate(messages):
        known.update(call.id for call in message.tool_calls)
        any_call = any_call or bool(message.tool_calls)
        if message.role != "tool":
            continue
        if not any_call:
            raise MessageError("a tool result without an assistant tool call before it", index=index)
        if message.tool_call_id is not None and message.tool_call_id not in known:
            raise MessageError(f"tool_call_id {message.tool_call_id!r} answers no earlier call", index=index)
