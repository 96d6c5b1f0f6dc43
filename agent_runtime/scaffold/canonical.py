"""The one way a call is written: its JSON text, cut into pieces that are tokenised one by one.

The cut depends on the values alone, never on a schema, so history, labels and generation agree token by
token even where the tool is no longer offered. What a schema allows next is walker.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"
CALL_HEADER = '\n{"name": "'
CALL_FOOTER = "}\n"
ARGUMENTS_KEY = '", "arguments":'

PieceKind = Literal["control", "literal", "name", "slot"]

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a call's text that is tokenised on its own.

    `control` is one control token; `literal` is structure; `name` is the tool's name; `slot` is one value
    at `path` (a string's escaped body, or another scalar with the space before it).
    """

    text: str
    kind: PieceKind
    path: str = ""


def json_text(value: Any) -> str:
    """Compact JSON as calls spell it: `", "` and `": "`, characters as themselves, half surrogates escaped.

    Raises:
        ValueError: NaN and infinities, which JSON cannot say.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def string_body(value: str) -> str:
    """The escaped text between a string's quotes."""
    return json_text(value)[1:-1]


def join_path(path: str, key: str | int) -> str:
    """`address` and `city` are `address.city`; the root is the empty path."""
    return f"{path}.{key}" if path else str(key)


def canonical_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The whole text of a call, tags included."""
    return "".join(piece.text for piece in call_pieces(name, arguments))


def call_pieces(name: str, arguments: Mapping[str, Any]) -> tuple[Piece, ...]:
    """Cut a call into pieces.

    A literal runs from the end of one value to the beginning of the next; it is also cut behind an empty
    array or object, where the writer has to decide anew.
    """
    return (
        Piece(CALL_OPEN, "control"),
        Piece(CALL_HEADER, "literal"),
        Piece(string_body(name), "name"),
        *_joined(_parts(name, arguments)),
        Piece(CALL_CLOSE, "control"),
    )


def _parts(name: str, arguments: Mapping[str, Any]) -> Iterator[Piece | str]:
    yield ARGUMENTS_KEY
    yield from _value_parts(dict(arguments), "", has_space=True)
    yield CALL_FOOTER


_CUT = ""
"""Stands where a literal ends although another literal follows."""


def _value_parts(value: Any, path: str, *, has_space: bool) -> Iterator[Piece | str]:
    space = " " if has_space else ""
    if isinstance(value, str):
        yield space + '"'
        yield Piece(string_body(value), "slot", path)
        yield '"'
    elif isinstance(value, Mapping):
        yield from _object_parts(value, path, space)
    elif isinstance(value, Sequence):
        yield from _array_parts(value, path, space)
    else:
        yield Piece(space + json_text(value), "slot", path)


def _object_parts(value: Mapping[str, Any], path: str, space: str) -> Iterator[Piece | str]:
    if not value:
        yield space + "{}"
        yield _CUT
        return
    for number, (key, member) in enumerate(value.items()):
        yield (", " if number else space + "{") + json_text(key) + ":"
        yield from _value_parts(member, join_path(path, key), has_space=True)
    yield "}"


def _array_parts(value: Sequence[Any], path: str, space: str) -> Iterator[Piece | str]:
    if not value:
        yield space + "[]"
        yield _CUT
        return
    for number, item in enumerate(value):
        yield "," if number else space + "["
        yield from _value_parts(item, join_path(path, number), has_space=number > 0)
    yield "]"


def _joined(parts: Iterator[Piece | str]) -> Iterator[Piece]:
    literal = ""
    for part in parts:
        if isinstance(part, Piece) or part == _CUT:
            if literal:
                yield Piece(literal, "literal")
            literal = ""
            if isinstance(part, Piece):
                yield part
        else:
            literal += part
    if literal:
        yield Piece(literal, "literal")
