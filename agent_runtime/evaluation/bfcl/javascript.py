"""Values written as JavaScript source text, read as the official program reads them.

What does not look like a value of its type stays text, and then matches only where text is listed.
"""

from __future__ import annotations

import re
from typing import Any

from .java import number_or_text

JAVASCRIPT_TYPES: dict[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}

_INTEGER = re.compile(r"-?\d+$")
_FLOAT = re.compile(r"-?\d+(\.\d+)?$")
_BIGINT = re.compile(r"-?\d+n$")
_NESTED_ARRAY = re.compile(
    r"\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]|\bnew\s+Array\(\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\)"
)
_ARRAY = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_INNER_ARRAY = re.compile(r"\[(.*?)\]")
_DICTIONARY = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def javascript_value(text: str, kind: str, inner: str | None = None) -> Any:
    """The value of JavaScript source text.

    Args:
        text: the source text.
        kind: the declared type, such as `Bigint`.
        inner: the declared type of its items.
    """
    match kind:
        case "String":
            return text[1:-1] if _is_quoted(text) else text
        case "integer":
            return int(text) if _INTEGER.match(text) else text
        case "float":
            return float(text) if _FLOAT.match(text) else text
        case "Bigint":
            return int(text.rstrip("\n")[:-1]) if _BIGINT.match(text) else text
        case "Boolean":
            return text == "true" if text in ("true", "false") else text
        case "array":
            return _array(text.strip(), inner)
        case "dict":
            return _dictionary(text.strip())
    return text


def _is_quoted(text: str) -> bool:
    return any(text.startswith(quote) and text.endswith(quote) for quote in "\"'")


def _array(text: str, inner: str | None) -> Any:
    if nested := _NESTED_ARRAY.match(text):
        found = _INNER_ARRAY.findall(nested.group(0))
        rows = [row.strip() for row in found]
        rows[0] = rows[0].removeprefix("[")
        return [[_value(item.strip()) for item in row.split(",")] for row in rows]
    flat = _ARRAY.match(text)
    if flat is None:
        return text
    body = next(group for group in flat.groups() if group is not None).strip()
    items = [item.strip() for item in body.split(",")] if body else []
    return [javascript_value(item, inner) if inner else _value(item) for item in items]


def _dictionary(text: str) -> Any:
    if text == "{}":
        return {}
    found = _DICTIONARY.match(text)
    if found is None:
        return text
    return {
        key.strip().strip("'\""): _dictionary_value(value.strip())
        for key, value in _PAIR.findall(found.group(1))
    }


def _dictionary_value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _array(text, None)
    if text.startswith("{") and text.endswith("}"):
        return _dictionary(text)
    return _value(text.strip("'\""))


def _value(text: str) -> Any:
    """A value whose type is not declared."""
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if _is_quoted(text):
        return text[1:-1]
    return number_or_text(text)
