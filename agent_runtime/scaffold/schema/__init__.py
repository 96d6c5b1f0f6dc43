"""JSON Schema to shapes.

    read_document   any dialect -> one dialect, self-contained        dialect.py, references.py
    OptionReader    a schema -> alternatives, each a list of facts    options.py, facts.py, text.py
    Shaper          facts -> shapes, or a grammar for llguidance      shaping.py, settle.py, grammar.py

Every keyword is honoured exactly, narrowed to something that surely satisfies it, or refused with a
`SchemaError` that names tool, path and keyword. Keywords that no dialect defines are annotations.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import SchemaError
from ..shape import ObjectShape, Shape
from .dialect import Document, read_document
from .options import OptionReader
from .shaping import Shaper

__all__ = ["CompiledCall", "compile_call", "compile_schema", "normalise_schema"]

_CACHE_SIZE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledCall:
    """What a tool's parameter schema comes to."""

    schema: Mapping[str, Any]
    """The schema after reading: JSON Schema 2020-12, self-contained."""

    shapes: tuple[ObjectShape, ...]
    """What the arguments may be: any one of these, at least one."""

    notes: tuple[str, ...]
    """What was read differently from how it was written."""


_T = TypeVar("_T")
_shapes: OrderedDict[str, Shape] = OrderedDict()
_calls: OrderedDict[str, CompiledCall] = OrderedDict()


def normalise_schema(schema: Any, *, tool_name: str) -> dict[str, Any]:
    """The same schema in JSON Schema 2020-12, every reference `#` or `#/$defs/NAME`.

    Raises:
        SchemaError: it is not a schema, or a reference leads nowhere.
    """
    return read_document(schema, tool=tool_name).as_schema()


def compile_schema(schema: Any, *, tool_name: str) -> Shape:
    """The shape of the values a schema allows, or of a part of them where it says more than shapes can.

    Raises:
        SchemaError: it cannot be honoured; carries tool, path and keyword.
    """
    key = _key(schema)
    known = _recall(_shapes, key)
    if known is not None:
        return known
    _, reader, shaper = _open(schema, tool_name)
    shape = _guarded(lambda: shaper.shape(reader.root(), "$"), tool_name)
    return _remember(_shapes, key, shape)


def compile_call(schema: Any, *, tool_name: str) -> CompiledCall:
    """The shapes of a call's arguments, with the schema in one dialect and notes on what was rewritten.

    Raises:
        SchemaError: it cannot be honoured, or does not describe an object.
    """
    key = _key(schema)
    known = _recall(_calls, key)
    if known is not None:
        return known
    document, reader, shaper = _open(schema, tool_name)
    shapes = _guarded(lambda: shaper.call_shapes(reader.root(), "$"), tool_name)
    notes = tuple(dict.fromkeys((*document.notes, *shaper.notes)))
    return _remember(_calls, key, CompiledCall(schema=document.as_schema(), shapes=shapes, notes=notes))


def _open(schema: Any, tool_name: str) -> tuple[Document, OptionReader, Shaper]:
    document = _guarded(lambda: read_document(schema, tool=tool_name), tool_name)
    reader = OptionReader(document)
    return document, reader, Shaper(reader, tool=tool_name)


def _guarded(step: Callable[[], _T], tool_name: str) -> _T:
    """Run one step; a schema too deep for Python's stack is refused like any other, by the public error."""
    try:
        return step()
    except RecursionError as error:
        raise SchemaError("nested too deeply", tool=tool_name) from error
    except SchemaError as error:
        if type(error) is SchemaError:
            raise
        raise SchemaError(
            error.reason, tool=error.tool, path=error.path, keyword=error.keyword
        ) from error.__cause__


def _key(schema: Any) -> str | None:
    """A schema as text; property order counts, because calls are written in it."""
    try:
        return json.dumps(schema, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def _recall(cache: OrderedDict[str, _T], key: str | None) -> _T | None:
    if key is None or key not in cache:
        return None
    cache.move_to_end(key)
    return cache[key]


def _remember(cache: OrderedDict[str, _T], key: str | None, value: _T) -> _T:
    if key is not None:
        cache[key] = value
        while len(cache) > _CACHE_SIZE:
            cache.popitem(last=False)
    return value
