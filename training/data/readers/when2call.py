"""When2Call: calls in `<TOOLCALL>[...]</TOOLCALL>`; rows where words are right are the point."""

from __future__ import annotations

from typing import Any

from ..rows import RowError
from .raw import RawRow, tagged_calls


def read_row(row: dict[str, Any]) -> RawRow:
    """Training rows have `messages`, test rows a question with four candidate answers."""
    tools = list(row.get("tools") or ())
    if "messages" in row:
        messages: list[dict[str, Any]] = []
        for message in row["messages"]:
            if message["role"] == "assistant":
                words, calls = tagged_calls(message["content"], "TOOLCALL")
                messages.append({"role": "assistant", "content": words, "tool_calls": calls})
            else:
                messages.append({"role": message["role"], "content": message["content"]})
        return RawRow(tools=tools, messages=messages, id=str(row.get("uuid", "")))
    answer = row["answers"][row["correct_answer"]]
    if not isinstance(answer, str):
        raise RowError("no answer text")
    words, calls = tagged_calls(answer, "TOOLCALL")
    messages = [
        {"role": "user", "content": row["question"]},
        {"role": "assistant", "content": words, "tool_calls": calls},
    ]
    return RawRow(tools=tools, messages=messages, id=str(row.get("uuid", "")), is_benchmark=True)
