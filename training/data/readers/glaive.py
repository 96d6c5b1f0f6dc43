"""Glaive function calling v2: `system` and `chat` as one text each, calls behind `<functioncall>`."""

from __future__ import annotations

import json
import re
from typing import Any

from ..rows import RowError, parse_json
from .raw import RawRow, json_objects

_TURN = re.compile(r"(USER|ASSISTANT|FUNCTION RESPONSE):")
_CALL = re.compile(r"<functioncall>(.*)", flags=re.DOTALL)
_ARGUMENTS = re.compile(r"""("arguments":\s*)'(.*)'(\s*})""", flags=re.DOTALL)


def read_row(row: dict[str, Any]) -> RawRow:
    """Turns are found by their labels."""
    parts = _TURN.split(row["chat"])
    messages: list[dict[str, Any]] = []
    for label, text in zip(parts[1::2], parts[2::2], strict=True):
        text = text.replace("<|endoftext|>", "").strip()
        if label == "USER":
            messages.append({"role": "user", "content": text})
        elif label == "FUNCTION RESPONSE":
            messages.append({"role": "tool", "content": text})
        else:
            call = _CALL.search(text)
            words = text[: call.start()].strip() if call else text
            messages.append(
                {
                    "role": "assistant",
                    "content": words,
                    "tool_calls": [_read_call(call.group(1))] if call else [],
                }
            )
    return RawRow(tools=list(json_objects(row["system"])), messages=messages, id=str(row.get("id", "")))


def _read_call(text: str) -> Any:
    """`{"name": "f", "arguments": '{"a": 1}'}`: the arguments are JSON in single quotes."""
    quoted = _ARGUMENTS.search(text)
    if quoted is None:
        return parse_json(text.strip(), "a call")
    try:
        name = json.loads(text[: quoted.start()].rstrip().rstrip(",") + "}")["name"]
        return {"name": name, "arguments": json.loads(quoted.group(2).replace("\\'", "'"))}
    except (json.JSONDecodeError, KeyError):
        raise RowError("a call is not JSON") from None
