"""What every reader makes of a row, before it is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..rows import RowError, parse_json


@dataclass(slots=True)
class RawRow:
    """Tools and messages as the row has them."""

    tools: list[Any]
    messages: list[dict[str, Any]]
    source: str = ""
    id: str = ""
    split: str = ""
    """`train` or `dev` where the row states it; empty: decided by its tools."""
    is_benchmark: bool = False


def json_objects(text: str) -> Iterator[Any]:
    """The JSON values that stand one after the other in a text, other text between them skipped."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        match = re.compile(r"[\[{]").search(text, position)
        if match is None:
            return
        try:
            value, position = decoder.raw_decode(text, match.start())
        except json.JSONDecodeError:
            position = match.start() + 1
            continue
        yield value


def tagged_calls(text: str, tag: str = "tool_call") -> tuple[str, list[Any]]:
    """Text outside `<tag>...</tag>` blocks, and the calls inside them (one, or a list, per block)."""
    calls: list[Any] = []
    for block in re.findall(rf"<{tag}>(.*?)(?:</{tag}>|$)", text, flags=re.DOTALL):
        value = parse_json(block.strip(), "a call")
        calls.extend(value if isinstance(value, list) else [value])
    words = re.sub(rf"<{tag}>.*?(?:</{tag}>|$)", "", text, flags=re.DOTALL)
    words = re.sub(r"<think>.*?</think>", "", words, flags=re.DOTALL)
    return words.strip(), calls


def as_list(value: Any, what: str) -> list[Any]:
    """A list, or JSON text of one."""
    read = parse_json(value, what)
    if isinstance(read, dict):
        return [read]
    if not isinstance(read, list):
        raise RowError(f"{what} is not a list")
    return read
