"""Values written as Java source text, read as the official program reads them.

What does not look like a value of its type stays text, and then matches only where text is listed.
"""

from __future__ import annotations

import re
from typing import Any

JAVA_TYPES: dict[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "float": float,
    "double": float,
    "long": int,
    "boolean": bool,
    "char": str,
    "Array": list,
    "ArrayList": list,
    "Set": set,
    "HashMap": dict,
    "Hashtable": dict,
    "Queue": list,
    "Stack": list,
    "String": str,
    "any": str,
}

_INTEGER = re.compile(r"-?\d+$")
_LONG = re.compile(r"-?\d+[lL]$")
_DOUBLE = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?$")
_FLOAT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$")
_LIST_OF_ITEMS = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_LIST_WITH_ADDS = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}", re.DOTALL)
_EMPTY_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ADD = re.compile(r"add\((.+?)\)")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_MAP_WITH_PUTS = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}", re.DOTALL)
_EMPTY_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r"put\(\"(.*?)\",\s*(.*?)\)")


def java_value(text: str, kind: str, inner: str | None = None) -> Any:
    """The value of Java source text.

    Args:
        text: the source text.
        kind: the declared type, such as `ArrayList`.
        inner: the declared type of its items.
    """
    match kind:
        case "byte" | "short" | "integer":
            return int(text) if _INTEGER.match(text) else text
        case "long":
            return int(text.rstrip("\n")[:-1]) if _LONG.match(text) else text
        case "float":
            return float(text.rstrip("\n")[:-1]) if _FLOAT.match(text) else text
        case "double":
            return float(text) if _DOUBLE.match(text) else text
        case "boolean":
            return text == "true" if text in ("true", "false") else text
        case "ArrayList":
            return _array_list(text, inner)
        case "Array":
            return _array(text, inner)
        case "HashMap":
            return _hash_map(text)
    return text


def _array_list(text: str, inner: str | None) -> Any:
    if of_items := _LIST_OF_ITEMS.search(text):
        return [_item(item.strip(), inner) for item in of_items.group(1).split(",")]
    if with_adds := _LIST_WITH_ADDS.search(text):
        return [_item(item.strip(), inner) for item in _ADD.findall(with_adds.group(1))]
    return [] if _EMPTY_LIST.search(text) else text


def _item(text: str, inner: str | None) -> Any:
    if inner in ("char", "String"):
        return text[1:-1]
    return java_value(text, inner) if inner else _value(text)


def _array(text: str, inner: str | None) -> Any:
    found = _ARRAY.search(text)
    if found is None:
        return text
    items = [item.strip() for item in found.group(1).split(",") if item.strip()]
    return [java_value(item, inner) if inner else _value(item) for item in items]


def _hash_map(text: str) -> Any:
    if with_puts := _MAP_WITH_PUTS.search(text):
        return {key: _value(value.strip()) for key, value in _PUT.findall(with_puts.group(1))}
    return {} if _EMPTY_MAP.search(text) else text


def _value(text: str) -> Any:
    """A value whose type is not declared."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    if _LONG.match(text):
        return int(text[:-1])
    if _FLOAT.match(text):
        return float(text[:-1])
    return number_or_text(text)


def number_or_text(text: str) -> int | float | str:
    """A number where the text is one by Python's reading, else the text."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
