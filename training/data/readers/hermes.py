"""Hermes function calling: `conversations` of from/value, calls in `<tool_call>` blocks."""

from __future__ import annotations

import re
from typing import Any

from .raw import RawRow, as_list, tagged_calls

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
    "tool": "tool",
    "user": "user",
    "assistant": "assistant",
}


def read_row(row: dict[str, Any]) -> RawRow:
    """The system text of these rows only explains the call format, so it is left out."""
    turns = row["conversations"]
    tools = row.get("tools")
    if not tools:
        block = re.search(r"<tools>(.*?)</tools>", turns[0]["value"], flags=re.DOTALL)
        tools = block.group(1) if block else "[]"
    messages = []
    for turn in turns:
        role = ROLES[turn["from"]]
        text = turn["value"]
        if role == "system":
            continue
        if role == "assistant":
            words, calls = tagged_calls(text)
            messages.append({"role": role, "content": words, "tool_calls": calls})
        elif role == "tool":
            messages.extend({"role": role, "content": inner.strip()} for inner in _responses(text))
        else:
            messages.append({"role": role, "content": text})
    return RawRow(tools=as_list(tools, "tools"), messages=messages, id=str(row.get("id", "")))


def _responses(text: str) -> list[str]:
    return re.findall(r"<tool_response>(.*?)</tool_response>", text, flags=re.DOTALL) or [text]
