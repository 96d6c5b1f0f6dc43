"""xLAM function calling: `query`, `tools` and `answers`, the last two as JSON text."""

from __future__ import annotations

from typing import Any

from .raw import RawRow, as_list


def read_row(row: dict[str, Any]) -> RawRow:
    """No answers means that no tool fits: such rows hold no words to learn and are dropped by the check."""
    calls = as_list(row["answers"], "answers")
    messages = [
        {"role": "user", "content": row["query"]},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    return RawRow(tools=as_list(row["tools"], "tools"), messages=messages, id=str(row.get("id", "")))
