"""What a tool returned or raised, as the text a model reads.

A tool may return anything, cyclic, enormous, or with a `__str__` that raises: here it always becomes text
that can be encoded, dumped as JSON and shown. Running the tool is executor.py.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
import math
import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

from pydantic import BaseModel

MAX_NODES = 100_000
"""Values of one result that are looked at. A model reads some thousand characters; this bounds the work."""

MAX_DEPTH = 64
"""How deep a result is followed."""

MAX_ERROR_CHARS = 500
"""Characters of an exception's message that a model reads."""

_SCALARS = (str, bool, int, float, type(None))


def result_text(value: Any, max_chars: int) -> tuple[str, bool]:
    """The text of a tool's result, and whether it was cut.

    Text stays as it is; everything else becomes JSON. A result longer than `max_chars` is cut to that
    length, its mark included: `… [truncated: 980 of 52000 characters]`.
    """
    if isinstance(value, str):
        text = str.__str__(value)  # a subclass may say something else of itself
    else:
        text = json.dumps(as_json_value(value), ensure_ascii=False, allow_nan=False)
    return truncated(encodable(text), max_chars)


def truncated(text: str, max_chars: int) -> tuple[str, bool]:
    """The text, cut to `max_chars` with a visible mark when it is longer, and whether it was."""
    if len(text) <= max_chars:
        return text, False
    room = max(0, max_chars - len(_mark(len(text), len(text))))
    return text[:room] + _mark(room, len(text)), True


def _mark(kept: int, total: int) -> str:
    return f"… [truncated: {kept} of {total} characters]"


def encodable(text: str) -> str:
    """The text without lone surrogates, which no encoding and no tokenizer takes."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def as_json_value(value: Any) -> Any:
    """The nearest thing that `json.dumps` writes as strict JSON; never raises.

    Models and dataclasses become objects, dates ISO text, bytes text or base64, numbers that JSON lacks their
    name. What refers to itself is named, what is too large ends in a count, and the rest is `str(value)`.
    """
    return _Reader().read(value, depth=0)


class _Reader:
    """One walk over a value: counts what it has seen and knows what it is inside of."""

    def __init__(self) -> None:
        self._num_nodes = 0
        self._open: set[int] = set()

    def read(self, value: Any, depth: int) -> Any:
        self._num_nodes += 1
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, _SCALARS):
            return _read_scalar(value)
        if depth >= MAX_DEPTH or id(value) in self._open:
            return f"<{'circular' if id(value) in self._open else 'too deep'}: {type(value).__name__}>"
        self._open.add(id(value))
        try:
            return self._read_compound(value, depth)
        except Exception as error:  # a user's class may raise from anything; its result is still shown
            return f"<{type(value).__name__} that cannot be read: {type(error).__name__}>"
        finally:
            self._open.discard(id(value))

    def _read_compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._read_pairs(((_text_of(key), item) for key, item in value.items()), depth)
        if isinstance(value, BaseModel):
            extra = value.__pydantic_extra__ or {}
            names = [*type(value).model_fields, *extra]
            return self._read_pairs(((name, getattr(value, name)) for name in names), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return self._read_pairs(((field.name, getattr(value, field.name)) for field in fields), depth)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._read_pairs(zip(value._fields, value, strict=False), depth)
        if isinstance(value, (list, tuple)):
            return self._read_items(value, len(value), depth)
        if isinstance(value, Set):
            return self._read_items(sorted(value, key=_text_of), len(value), depth)
        return self._read_opaque(value, depth)

    def _read_opaque(self, value: Any, depth: int) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _text_of_bytes(bytes(value))
        if isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
            return value.isoformat()
        if isinstance(value, datetime.timedelta):
            return str(value)
        if isinstance(value, BaseException):
            return {"error": error_text(value)}
        for method in ("tolist", "to_dict"):  # numpy and pandas, without importing them
            plain = getattr(value, method, None)
            if callable(plain) and not isinstance(value, type):
                return self.read(plain(), depth + 1)
        return encodable(_text_of(value))

    def _read_pairs(self, pairs: Iterable[tuple[str, Any]], depth: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for name, item in pairs:
            if self._num_nodes >= MAX_NODES:
                read["…"] = "more left out"
                break
            read[encodable(name)] = self.read(item, depth + 1)
        return read

    def _read_items(self, items: Iterable[Any], count: int, depth: int) -> list[Any]:
        read: list[Any] = []
        for item in items:
            if self._num_nodes >= MAX_NODES:
                read.append(f"… {count - len(read)} more left out")
                break
            read.append(self.read(item, depth + 1))
        return read


def _read_scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(str.__str__(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    number = int(value)
    # Python refuses to write integers of more than 4300 digits.
    return number if number.bit_length() < 10_000 else f"<integer of {number.bit_length()} bits>"


def _text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # a user's __str__ may raise anything
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode("ascii")


# What must not travel from an exception's message into a conversation: a model may repeat it to anyone.
_SECRETS = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@:]+:[^\s/@]+@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)((?:api[_-]?key|access[_-]?key|secret|token|passwo?r?d|passwd|credential|signature|authorization)"
            r"[\w-]*[\"']?\s*[=:]\s*)(?!(?:bearer|basic)\s)([\"']?)[^\s\"'&,;)}\]]{3,}\2"
        ),
        r"\1\2***\2",
    ),
    (
        re.compile(
            r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abpr]|hf|AKIA|AIza)[-_]?[A-Za-z0-9_-]{12,}"
        ),
        "***",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), "***"),
)


def error_text(error: BaseException) -> str:
    """An exception as a model may read it: its type and message, shortened, without traceback or secrets."""
    name = type(error).__name__
    message = " ".join(without_secrets(_text_of(error)).split())
    if len(message) > MAX_ERROR_CHARS:
        message, _ = truncated(message, MAX_ERROR_CHARS)
    return encodable(f"{name}: {message}" if message else name)


def without_secrets(text: str) -> str:
    """The text with passwords, keys and tokens that have a recognisable form replaced by `***`."""
    text = text[: 4 * MAX_ERROR_CHARS]  # bounds the time of the patterns
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
