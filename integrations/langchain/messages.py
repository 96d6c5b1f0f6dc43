"""LangChain's messages as the runtime reads them: text, thoughts, calls and results.

Contents may be strings, LangChain's v1 blocks, or OpenAI's and Anthropic's own; what is not text (images,
audio, files) is refused by name, never dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agent_runtime import MessageError

_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user"}
_ASSISTANT_ROLES = ("assistant", "ai")

_THOUGHTS = {"thinking": "thinking", "reasoning": "reasoning", "reasoning_content": "reasoning_content"}
"""Block types that hold a thought, and the key it stands at."""

_NOT_READ = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "redacted_thinking", "input_json_delta"}
)
"""Blocks of an assistant message that repeat its `tool_calls`, or that only their maker can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The LangChain message, and the block of it if not all of it, that a message was read from."""

    message_index: int
    block_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages for the runtime, and where each was read from."""

    messages: tuple[dict[str, Any], ...]
    origins: tuple[Origin, ...]


def read_conversation(messages: Sequence[BaseMessage]) -> Conversation:
    """Read a conversation.

    Raises:
        MessageError: a message of an unknown kind, or a content block that is not text.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    read = [found for index, message in enumerate(messages) for found in _read(message, index, answered)]
    return Conversation(
        messages=tuple(message for message, _ in read), origins=tuple(origin for _, origin in read)
    )


def _read(message: BaseMessage, index: int, answered: set[str]) -> Iterator[tuple[dict[str, Any], Origin]]:
    origin = Origin(message_index=index)
    match message:
        case SystemMessage():
            yield {"role": "system", "content": _text(message.content, index)}, origin
        case AIMessage():
            yield _read_assistant(message, index, answered), origin
        case ToolMessage():
            yield _result(message.tool_call_id, message.content, message.name, index), origin
        case FunctionMessage():
            yield _result(None, message.content, message.name, index), origin
        case HumanMessage():
            yield from _read_user(message, "user", index)
        case ChatMessage(role=role) if role in _ROLES:
            yield from _read_user(message, _ROLES[role], index)
        case ChatMessage(role=role) if role in _ASSISTANT_ROLES:
            yield {"role": "assistant", "content": _text(message.content, index)}, origin
        case _:
            what = f"role {message.role!r}" if isinstance(message, ChatMessage) else type(message).__name__
            raise MessageError(f"found {what}: use system, human, AI and tool messages", index=index)


def _read_user(message: BaseMessage, role: str, index: int) -> Iterator[tuple[dict[str, Any], Origin]]:
    """A user's words; results of tools among them, as Anthropic writes them, become messages before it."""
    content = message.content
    results = [] if isinstance(content, str) else [
        (number, block) for number, block in enumerate(content) if _kind(block) == "tool_result"
    ]  # fmt: skip
    for number, block in results:
        assert isinstance(block, Mapping)
        origin = Origin(message_index=index, block_index=number)
        yield _result(block.get("tool_use_id"), block.get("content") or "", None, index), origin
    words = content if isinstance(content, str) else [b for b in content if _kind(b) != "tool_result"]
    if words or not results:
        read: dict[str, Any] = {"role": role, "content": _text(words, index)}
        yield read if message.name is None else {**read, "name": message.name}, Origin(message_index=index)


def _result(call_id: Any, content: Any, name: str | None, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {"role": "tool", "content": _text(content, index)}
    if call_id is not None:
        result["tool_call_id"] = str(call_id)
    return result if name is None else {**result, "name": name}


def _read_assistant(message: AIMessage, index: int, answered: set[str]) -> dict[str, Any]:
    blocks = [block for block in message.content if isinstance(block, Mapping)]
    if isinstance(message.content, str):
        blocks = []
    words = message.content if isinstance(message.content, str) else [
        part for part in message.content if _kind(part) not in _NOT_READ and _kind(part) not in _THOUGHTS
    ]  # fmt: skip
    read: dict[str, Any] = {"role": "assistant", "content": _text(words, index)}
    thought = "".join(_thought(block) for block in blocks)
    reasoning = thought or message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        read["reasoning"] = reasoning
    calls = [_call(call["id"], call["name"], call["args"]) for call in message.tool_calls] or [
        _call(block.get("id"), block.get("name"), block.get("input"))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    # A call that broke off, and that somebody answered all the same: its result has to follow something.
    calls += [
        _call(call["id"], call["name"], {}) for call in message.invalid_tool_calls if call["id"] in answered
    ]
    if calls:
        read["tool_calls"] = calls
    return read


def _thought(block: Mapping[str, Any]) -> str:
    key = _THOUGHTS.get(str(block.get("type")))
    said = block.get(key) if key else ""
    if isinstance(said, Mapping):  # Bedrock nests it once more
        said = said.get("text")
    return said if isinstance(said, str) else ""


def _call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    call: dict[str, Any] = {"name": name, "arguments": {} if arguments is None else arguments}
    return call if call_id is None else {"id": str(call_id), **call}


def _kind(part: Any) -> str | None:
    return part.get("type") if isinstance(part, Mapping) else None


def _text(content: Any, index: int) -> str:
    """The text of a content, joined as `message.text` joins it."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    return "".join(_block_text(part, index) for part in content)


def _block_text(part: Any, index: int) -> str:
    if isinstance(part, str):
        return part
    kind = _kind(part)
    if kind in ("text", "text-plain", "input_text", "output_text") and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "json" and "json" in part:
        return json.dumps(part["json"], ensure_ascii=False)
    if kind is None and isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    what = repr(kind) if kind is not None else type(part).__name__
    raise MessageError(f"content blocks must be text, found {what}: this model reads text only", index=index)
