"""How the type of a scalar is spelt in a signature listing: `integer 1..7`, `string(date)`, `number >0`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

ANY = "any"


def json_text(value: Any) -> str:
    """A value as JSON on one line; what JSON cannot say is shown as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def string_type(schema: Mapping[str, Any]) -> str:
    """`string`, with its format, pattern and length where the schema sets them."""
    shown = f"string({schema['format']})" if isinstance(schema.get("format"), str) else "string"
    if isinstance(schema.get("pattern"), str):
        shown += f" /{schema['pattern']}/".replace("\n", "\\n")  # a line stays a line
    size = size_text(schema.get("minLength"), schema.get("maxLength"))
    return f"{shown} {size} characters" if size else shown


def number_type(schema: Mapping[str, Any], kind: str) -> str:
    """`integer` or `number`, with its bounds; exclusive bounds of integers become the next integer."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if kind == "integer" and _is_number(above) and isinstance(above, int):
        low, above = max([above + 1, *filter(_is_number, [low])]), None
    if kind == "integer" and _is_number(below) and isinstance(below, int):
        high, below = min([below - 1, *filter(_is_number, [high])]), None
    bounds = _range_text(low, high)
    shown = f"{kind} {bounds}" if bounds else kind
    shown += f" >{above}" if _is_number(above) else ""
    shown += f" <{below}" if _is_number(below) else ""
    step = schema.get("multipleOf")
    return shown + (f" step {step}" if _is_number(step) else "")


def size_text(low: Any, high: Any) -> str:
    """A range of counts: `2..5`, `>=2`, `<=5`, `3`, or nothing."""
    if _is_number(low) and low == high:
        return f"{low}"
    return _range_text(low if _is_number(low) and low > 0 else None, high)


def implied_type(schema: Mapping[str, Any]) -> str:
    """The type that a schema without `type` is about, read from its keywords; empty for any."""
    for kind, keywords in _TELLING_KEYWORDS.items():
        if any(keyword in schema for keyword in keywords):
            return kind
    return ""


_TELLING_KEYWORDS = {
    "object": ("properties", "patternProperties", "additionalProperties"),
    "array": ("items", "prefixItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _range_text(low: Any, high: Any) -> str:
    if _is_number(low) and _is_number(high):
        return f"{low}..{high}"
    if _is_number(low):
        return f">={low}"
    return f"<={high}" if _is_number(high) else ""


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
