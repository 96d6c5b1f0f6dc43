"""One training example: offered tools, a conversation that ends in the assistant's target, and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_runtime.messages import EvidenceSpan

ValuePath = tuple[int, int, str]
"""Index of the assistant message, number of the call in it, dotted path of the value (`items.0.sku`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A conversation to learn from. Every assistant message is a usable target; the last message is one."""

    source: str
    """Where it comes from: `synthetic`, or the name of a reader or file."""
    id: str
    kind: str = ""
    """What it teaches (`single`, `parallel`, `missing`, ...); for counting, never shown to a model."""
    tools: tuple[dict[str, Any], ...]
    """`{"name", "description", "parameters": JSON Schema}` each."""
    messages: tuple[dict[str, Any], ...]
    """`role`, `content` and, on assistant messages that call, `tool_calls` of `{"name", "arguments"}`."""
    date: str | None = None
    """The stated today (`YYYY-MM-DD`), or None where the conversation does not lean on it."""
    evidence: Mapping[ValuePath, EvidenceSpan | None] = field(default_factory=dict)
    """For every leaf value of every call: the span of an earlier message that *is* the value, or None."""

    @property
    def target(self) -> dict[str, Any]:
        """The last message: what the assistant should say or call."""
        return self.messages[-1]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The scalar values of a call's arguments, with dotted paths."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{number}" if path else str(number))
    elif path:
        yield path, value
