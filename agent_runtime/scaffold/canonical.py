"""How a call is written: its canonical text, piece by piece.

The text is what the runtime writes, what training labels hold and what a past call looks like in the
history. Each piece is tokenised on its own (docs/interfaces.md, "How a call is written, token by token").
Which piece may come next while a call is being written is walker.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CALL_OPEN = "<tool_call>"
"""Control token that begins a call."""

CALL_CLOSE = "</tool_call>"
"""Control token that ends a call."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of call text that is tokenised on its own.

    `path` is the dotted path of the value a piece holds (`items.0.sku`), None for a literal. A string slot
    holds the JSON-escaped text between the quotes (`is_string`), any other slot begins before its space.
    Only `is_control` pieces may become control tokens, whatever the others contain.
    """

    text: str
    path: str | None = None
    is_string: bool = False
    is_control: bool = False


def canonical_json(value: Any) -> str:
    """JSON as the runtime writes it: `", "` and `": "`, no ASCII escapes, keys in their given order."""
    return json.dumps(value, ensure_ascii=False)


def string_body(text: str) -> str:
    """The JSON-escaped text between a string's quotes."""
    return canonical_json(text)[1:-1]


def ordered_arguments(arguments: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same arguments, with keys in the order the schema declares them, at every depth.

    Undeclared keys keep their order and come last.
    """
    return dict(_ordered(arguments, parameters or {}, parameters or {}))


def canonical_call(
    name: str, arguments: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
) -> str:
    """The whole text of a call, tags included; keys in the order of `parameters` where it is given."""
    return "".join(piece.text for piece in call_pieces(name, arguments, parameters))


def call_pieces(
    name: str, arguments: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
) -> tuple[Piece, ...]:
    """The call as pieces: literals between values, and one slot for every scalar value.

    Args:
        name: tool name.
        arguments: values by parameter name, any JSON value.
        parameters: the tool's JSON Schema, for the order of keys; None keeps the order given.
    """
    runs = _Runs()
    runs.write('\n{"name": "')
    runs.cut()  # here the tool is chosen
    runs.write(f'{string_body(name)}", "arguments": ')
    _write_value(runs, ordered_arguments(arguments, parameters), path="", space="")
    runs.write("}\n")
    return (Piece(CALL_OPEN, is_control=True), *runs.pieces(), Piece(CALL_CLOSE, is_control=True))


class _Runs:
    """Collects literals until a slot or a cut ends the run."""

    def __init__(self) -> None:
        self._done: list[Piece] = []
        self._literal: list[str] = []

    def write(self, text: str) -> None:
        self._literal.append(text)

    def cut(self) -> None:
        literal = "".join(self._literal)
        self._literal.clear()
        if literal:
            self._done.append(Piece(literal))

    def slot(self, text: str, *, path: str, is_string: bool) -> None:
        self.cut()
        if text:
            self._done.append(Piece(text, path=path, is_string=is_string))

    def pieces(self) -> list[Piece]:
        self.cut()
        return self._done


def _write_value(runs: _Runs, value: Any, *, path: str, space: str) -> None:
    """`space` is what separates the value from the text before it: it belongs to the slot of a non-string."""
    match value:
        case str():
            runs.write(f'{space}"')
            runs.slot(string_body(value), path=path, is_string=True)
            runs.write('"')
        case Mapping():
            runs.write(space + "{")
            for number, (key, item) in enumerate(value.items()):
                runs.write(", " if number else "")
                runs.write(f"{canonical_json(str(key))}:")
                _write_value(runs, item, path=_joined(path, str(key)), space=" ")
            runs.write("}")
        case list() | tuple():
            runs.write(space + "[")
            for number, item in enumerate(value):
                runs.write("," if number else "")
                _write_value(runs, item, path=_joined(path, str(number)), space=" " if number else "")
            runs.write("]")
        case _:
            runs.slot(space + canonical_json(value), path=path, is_string=False)


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _ordered(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    match value:
        case Mapping():
            declared = _properties(schema, root)
            keys = sorted(value, key=lambda key: _rank(declared, str(key)))
            return {key: _ordered(value[key], declared.get(str(key), {}), root) for key in keys}
        case list() | tuple():
            return [
                _ordered(item, _item_schema(schema, index, root), root) for index, item in enumerate(value)
            ]
        case _:
            return value


def _rank(declared: Mapping[str, Any], key: str) -> int:
    for rank, name in enumerate(declared):
        if name == key:
            return rank
    return len(declared)


def _properties(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Declared properties of an object schema, its own before those it combines."""
    declared: dict[str, Any] = {}
    for part in _parts(schema, root):
        properties = part.get("properties")
        if isinstance(properties, Mapping):
            for name, shape in properties.items():
                declared.setdefault(name, shape)
    return declared


def _item_schema(schema: Any, index: int, root: Mapping[str, Any]) -> Any:
    for part in _parts(schema, root):
        prefix = part.get("prefixItems")
        if isinstance(prefix, Sequence) and index < len(prefix):
            return prefix[index]
        if isinstance(part.get("items"), Mapping):
            return part["items"]
    return {}


def _parts(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema itself and every schema it refers to or combines, each once."""
    seen: set[int] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part.get("$ref"), str):
            waiting.append(resolve_reference(part["$ref"], root))
        for keyword in ("allOf", "anyOf", "oneOf"):
            if isinstance(part.get(keyword), Sequence):
                waiting.extend(part[keyword])


def resolve_reference(reference: str, root: Mapping[str, Any]) -> Any:
    """What a local `$ref` (`#/$defs/Node`) points at inside `root`, or None."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].strip("/").split("/") if reference not in ("#", "#/") else ():
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
