"""Examples as the runtime's own types: what `render_prompt` takes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_runtime.messages import Message, read_messages

from .data import Example


@dataclass(frozen=True, slots=True)
class ExampleTool:
    """A tool as an example offers it: schema only."""

    name: str
    description: str
    parameters: Mapping[str, Any]


def offered_tools(tools: Iterable[Mapping[str, Any]]) -> tuple[ExampleTool, ...]:
    """Tools of an example or a question, as the prompt takes them."""
    return tuple(
        ExampleTool(tool["name"], tool.get("description", ""), tool.get("parameters", {})) for tool in tools
    )


def conversation(
    example: Example,
) -> tuple[tuple[Message, ...], tuple[ExampleTool, ...], datetime.date | None]:
    """Messages, tools and stated date of an example."""
    date = datetime.date.fromisoformat(example.date) if example.date else None
    return read_messages(example.messages), offered_tools(example.tools), date
