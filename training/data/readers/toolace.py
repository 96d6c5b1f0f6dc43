"""ToolACE: tools inside the system text, calls written `[Name(a=1, b="x"), Other(c=2)]`."""

from __future__ import annotations

import json
import re
from typing import Any

from ..rows import RowError
from .raw import RawRow, json_objects

_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool", "human": "user", "gpt": "assistant"}


def read_row(row: dict[str, Any]) -> RawRow:
    """The names of these tools may hold spaces and dots, so calls are matched against the offered names."""
    tools = next(
        (
            value
            for value in json_objects(row["system"])
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ),
        None,
    )
    if tools is None:
        raise RowError("no tools in the system text")
    names = sorted((tool["name"] for tool in tools), key=len, reverse=True)
    messages: list[dict[str, Any]] = []
    for turn in row["conversations"]:
        role, text = _ROLES[turn["from"]], turn["value"]
        if role == "assistant" and text.strip().startswith("[") and text.strip().endswith("]"):
            messages.append({"role": role, "content": "", "tool_calls": parse_calls(text, names)})
        else:
            messages.append({"role": role, "content": text})
    return RawRow(tools=tools, messages=messages, id=str(row.get("id", "")))


def parse_calls(text: str, names: list[str]) -> list[dict[str, Any]]:
    """The calls in a bracketed list.

    Raises:
        RowError: not such a list, or a name that is not offered.
    """
    position = text.index("[") + 1
    calls: list[dict[str, Any]] = []
    while True:
        while position < len(text) and text[position] in ", \n":
            position += 1
        if position >= len(text) or text[position] == "]":
            return calls
        name = next((name for name in names if text.startswith(f"{name}(", position)), None)
        if name is None:
            raise RowError("a call names a tool that is not offered")
        position += len(name) + 1
        arguments, position = _parse_arguments(text, position)
        calls.append({"name": name, "arguments": arguments})


def _parse_arguments(text: str, position: int) -> tuple[dict[str, Any], int]:
    arguments: dict[str, Any] = {}
    while True:
        match = re.compile(r"\s*,?\s*(?:\)|([\w.\-$ ]+?)\s*=\s*)").match(text, position)
        if match is None:
            raise RowError("a call cannot be read")
        if match.group(1) is None:
            return arguments, match.end()
        arguments[match.group(1)], position = _parse_value(text, match.end())


_PYTHON = {"True": True, "False": False, "None": None}


def _parse_value(text: str, position: int) -> tuple[Any, int]:
    for word, value in _PYTHON.items():
        if text.startswith(word, position):
            return value, position + len(word)
    try:
        return json.JSONDecoder().raw_decode(text, position)
    except json.JSONDecodeError:
        pass
    quoted = re.compile(r"'((?:[^'\\]|\\.)*)'").match(text, position)
    if quoted is None:
        raise RowError("a call's value cannot be read")
    return quoted.group(1).replace("\\'", "'"), quoted.end()
