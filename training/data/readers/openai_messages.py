"""OpenAI messages as JSON lines: `messages` with `tool_calls`, and `tools` (or the older `functions`)."""

from __future__ import annotations

from typing import Any

from .raw import RawRow, as_list


def read_row(row: dict[str, Any]) -> RawRow:
    """The older `function_call` is one call."""
    messages: list[dict[str, Any]] = []
    for message in row["messages"]:
        calls = list(message.get("tool_calls") or ())
        if message.get("function_call"):
            calls.append(message["function_call"])
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        messages.append({"role": message["role"], "content": content, "tool_calls": calls})
    tools = row.get("tools") or row.get("functions") or []
    return RawRow(tools=as_list(tools, "tools"), messages=messages, id=str(row.get("id", "")))
