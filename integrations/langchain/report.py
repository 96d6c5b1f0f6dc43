"""The argument report: confidence and evidence of every argument of a call, on the messages of LangChain.

It stands as plain JSON in `additional_kwargs["argument_report"]`, by call id, and in the `extras` of every
`tool_call` content block (of the text block, for a structured reply). `argument_report(message)` reads it
back, typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from agent_runtime import EvidenceSpan, SlotDetail, ToolCall

from .messages import Conversation

REPORT_KEY = "argument_report"

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where in the conversation a value was read: the half-open span `[start, end)` of a message's text.

    Attributes:
        message_index: of the messages the chat model was given.
        start: first character.
        end: one behind the last.
        text: what stands there.
        block_index: the content block that `start` and `end` count in, where the text is not `message.text`
            (a tool's result inside a user message, as Anthropic writes it).
    """

    message_index: int
    start: int
    end: int
    text: str
    block_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentReport:
    """One value of a call.

    Attributes:
        path: dotted path of the value, `city` or `stops.0.name`.
        value: the value.
        confidence: how probable it is, from 0 to 1.
        evidence: where it was read; None for a value that stands nowhere in the conversation.
        is_required: whether the tool's schema asks for it.
        is_choice: whether it is one of a few fixed values, which need not stand in the conversation.
    """

    path: str
    value: Any
    confidence: float
    evidence: Evidence | None = None
    is_required: bool = True
    is_choice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """One call, argument by argument.

    Attributes:
        call_id: id of the tool call. That of a structured reply is its own.
        name: the tool's name, or that of the reply's schema.
        confidence: of the whole call.
        arguments: by dotted path, in the order they were written.
    """

    call_id: str
    name: str
    confidence: float
    arguments: Mapping[str, ArgumentReport]

    @property
    def weakest(self) -> ArgumentReport | None:
        """The argument that is least sure; None for a call without any."""
        return min(self.arguments.values(), key=lambda argument: argument.confidence, default=None)


def argument_report(message: BaseMessage) -> tuple[CallReport, ...]:
    """The reports of a message's calls (or of its structured reply), in order; empty where there are none."""
    said: dict[str, Mapping[str, Any]] = {}
    for call_id, report in _said(message):
        said.setdefault(call_id, report)
    return tuple(_read_call(call_id, report) for call_id, report in said.items())


def _said(message: BaseMessage) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from (message.additional_kwargs.get(REPORT_KEY) or {}).items()
    if isinstance(message.content, list):
        for block in message.content:
            extras = block.get("extras") if isinstance(block, Mapping) else None
            if not isinstance(block, Mapping) or not isinstance(extras, Mapping) or "arguments" not in extras:
                continue
            if block.get("type") == "tool_call":
                yield str(block.get("id")), {"name": block.get("name"), **extras}
            elif "call_id" in extras:
                yield str(extras["call_id"]), extras


def _read_call(call_id: str, said: Mapping[str, Any]) -> CallReport:
    return CallReport(
        call_id=call_id,
        name=str(said.get("name") or ""),
        confidence=float(said["confidence"]),
        arguments={path: _read_argument(path, argument) for path, argument in said["arguments"].items()},
    )


def _read_argument(path: str, said: Mapping[str, Any]) -> ArgumentReport:
    evidence = said.get("evidence")
    return ArgumentReport(
        path=path,
        value=said.get("value"),
        confidence=float(said["confidence"]),
        evidence=Evidence(**evidence) if evidence else None,
        is_required=bool(said.get("required", True)),
        is_choice=bool(said.get("choice", False)),
    )


def report_of(call: ToolCall, conversation: Conversation, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The report of one call as plain JSON.

    Args:
        call: what the runtime made.
        conversation: where its evidence points.
        parameters: JSON Schema of the tool's arguments.
    """
    return {
        "name": call.name,
        "confidence": call.confidence,
        "arguments": {
            path: _report_of_slot(path, slot, conversation, parameters) for path, slot in call.slots.items()
        },
    }


def _report_of_slot(
    path: str, slot: SlotDetail, conversation: Conversation, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "value": slot.value,
        "confidence": slot.confidence,
        "evidence": None,
        **standing(path, parameters),
    }
    if slot.evidence is not None:
        report["evidence"] = _evidence(slot.evidence, conversation)
    return report


def _evidence(span: EvidenceSpan, conversation: Conversation) -> dict[str, Any]:
    origin = conversation.origins[span.message_index]
    text = conversation.messages[span.message_index]["content"][span.start : span.end]
    found = {"message_index": origin.message_index, "start": span.start, "end": span.end, "text": text}
    return found if origin.block_index is None else {**found, "block_index": origin.block_index}


def standing(path: str, parameters: Mapping[str, Any]) -> dict[str, bool]:
    """Whether a schema requires the value at a dotted path, and whether it only offers fixed values."""
    schema: Any = parameters
    is_required = True
    for key in path.split("."):
        schema = _resolved(schema, parameters)
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and key in properties:
            is_required = is_required and key in schema.get("required", ())
            schema = properties[key]
        elif _DIGITS.fullmatch(key) and isinstance(schema.get("items"), Mapping):
            schema = schema["items"]
        else:
            return {"required": False, "choice": False}
    schema = _resolved(schema, parameters)
    is_choice = "enum" in schema or "const" in schema or schema.get("type") in ("boolean", "null")
    return {"required": is_required, "choice": is_choice}


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind a reference into the tool's own definitions."""
    for _ in range(16):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        schema = root
        for step in reference[2:].split("/"):
            schema = schema.get(step, {}) if isinstance(schema, Mapping) else {}
    return schema if isinstance(schema, Mapping) else {}
