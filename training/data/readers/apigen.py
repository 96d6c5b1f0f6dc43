"""APIGen-MT: turns of human, gpt, function_call and observation. Plain APIGen rows are xLAM's."""

from __future__ import annotations

from typing import Any

from ..rows import parse_json
from . import xlam
from .raw import RawRow, as_list

_ROLES = {"human": "user", "gpt": "assistant", "observation": "tool"}


def read_row(row: dict[str, Any]) -> RawRow:
    """Neighbouring function_call turns are the calls of one message."""
    if "conversations" not in row:
        return xlam.read_row(row)
    messages: list[dict[str, Any]] = []
    if row.get("system"):
        messages.append({"role": "system", "content": row["system"]})
    for turn in row["conversations"]:
        if turn["from"] == "function_call":
            calls = as_list(turn["value"], "a call")
            if messages[-1]["role"] == "assistant" and messages[-1].get("tool_calls"):
                messages[-1]["tool_calls"].extend(calls)
            else:
                messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        else:
            value = turn["value"]
            messages.append(
                {
                    "role": _ROLES[turn["from"]],
                    "content": value if isinstance(value, str) else str(parse_json(value, "a turn")),
                }
            )
    return RawRow(tools=as_list(row["tools"], "tools"), messages=messages, id=str(row.get("id", "")))
