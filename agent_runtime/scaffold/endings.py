"""The shortest end of a JSON value that was begun under a grammar.

llguidance says what may come next, not how far the end is. This reads what is written so far against the
schema (in the dialect of schema/grammar.py) and says what completes it. Of a schema in any other dialect it
says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .scalar_endings import scalar_end

JsonSchema = Mapping[str, Any]


class _NoEnd(Exception):
    """A part that has to be written has no value that is known."""


class _Reading(NamedTuple):
    """A value that begins somewhere: where it ends, or what completes it; neither, and it is another's."""

    end: int | None = None
    tail: bytes | None = None


_NO = _Reading()


class Endings:
    """How values of one schema end."""

    def __init__(self, schema: JsonSchema) -> None:
        """Work out the shortest value of every definition."""
        self._root = schema
        self._definitions: Mapping[str, JsonSchema] = schema.get("$defs", {})
        self._least: dict[str, bytes] = {}
        self._least_parts: dict[int, bytes | None] = {}
        self._written = b""
        self._read: dict[tuple[int, int], _Reading] = {}
        self.shortest: bytes | None = None
        """A whole value; None where nothing is known."""
        self.largest_step = b""
        """The most that one decision adds to the end: an item, a key with its value, an option."""
        if all(map(_is_familiar, _parts(schema))):
            self._find_least()
            self.shortest = self._shortest(schema)
            self.largest_step = max(self._steps(), key=len, default=b"")

    def after(self, written: bytes) -> bytes | None:
        """What completes a value that begins like this; None where that is not known."""
        if self.shortest is None:
            return None
        if not written:
            return self.shortest
        self._written = written
        self._read.clear()
        try:
            reading = self._value(self._root, 0)
        except _NoEnd:
            return None
        return b"" if reading.end == len(written) else reading.tail

    # The shortest value of a schema.

    def _find_least(self) -> None:
        """Shortest values of all definitions: what they refer to first, as often as anything gets shorter."""
        is_changed = True
        while is_changed:
            is_changed = False
            self._least_parts.clear()
            for name in reversed(list(self._definitions)):
                found = self._computed(self._definitions[name])
                if found is not None and len(found) < len(self._least.get(name, found + b".")):
                    self._least[name] = found
                    is_changed = True
        self._least_parts.clear()

    def _shortest(self, schema: Any) -> bytes | None:
        known = self._least_parts.get(id(schema), b"")
        if known == b"":
            known = self._least_parts[id(schema)] = self._computed(schema)
        return known

    def _surely(self, schema: Any) -> bytes:
        found = self._shortest(schema)
        if found is None:
            raise _NoEnd
        return found

    def _computed(self, schema: Any) -> bytes | None:
        if schema is False:
            return None
        if "$ref" in schema:
            return self._least.get(_name_of(schema))
        if "anyOf" in schema:
            return _shorter(map(self._shortest, schema["anyOf"]))
        if "enum" in schema:
            return _shorter(map(_json, schema["enum"]))
        if schema["type"] == "array":
            items = [self._shortest(_item(schema, index)) for index in range(schema.get("minItems", 0))]
            return None if None in items else b"[" + b", ".join(filter(None, items)) + b"]"
        if schema["type"] == "object":
            needed = [schema["properties"].get(name, False) for name in schema["required"]]
            if any(self._shortest(part) is None for part in needed):
                return None
            return b"{" + self._rest(schema, 0, 0)
        return scalar_end(json.dumps(schema), b"")

    def _steps(self) -> Iterator[bytes]:
        """What one decision can add to a value, for every kind of decision."""
        for schema in _parts(self._root):
            if "anyOf" in schema:
                options = [found for part in schema["anyOf"] if (found := self._shortest(part)) is not None]
                longest = max(options, key=len, default=b"")
                yield longest[len(_shorter(options) or b"") :]
            elif schema.get("type") == "array" and _may_have(schema, schema.get("minItems", 0)):
                yield b", " + (self._shortest(_item(schema, schema.get("minItems", 0))) or b"")
            elif schema.get("type") == "object":
                for name, part in _members(schema):
                    if name not in schema["required"]:
                        yield b", " + _key(name) + (self._shortest(part) or b"")
                for pattern, part in schema.get("patternProperties", {}).items():
                    yield b", " + (_extra_key(pattern, b"") or b"") + (self._shortest(part) or b"")
            elif schema.get("type") == "string":
                yield self._shortest(schema) or b""

    # What is written, read against a schema.

    def _value(self, schema: Any, at: int) -> _Reading:
        key = (id(schema), at)
        known = self._read.get(key)
        if known is None:
            known = self._read[key] = self._read_value(schema, at)
        return known

    def _read_value(self, schema: Any, at: int) -> _Reading:
        if schema is False:
            return _NO
        if "$ref" in schema:
            return self._value(self._definitions[_name_of(schema)], at)
        if at == len(self._written):
            return _Reading(tail=self._shortest(schema))
        if "anyOf" in schema:
            readings = [self._value(option, at) for option in schema["anyOf"]]
            ended = next((reading for reading in readings if reading.end is not None), None)
            return ended or _Reading(tail=_shorter(reading.tail for reading in readings))
        if "enum" in schema:
            return self._constant(schema["enum"], at)
        if schema["type"] == "array":
            return self._array(schema, at)
        return self._object(schema, at) if schema["type"] == "object" else self._scalar(schema, at)

    def _constant(self, values: Iterable[Any], at: int) -> _Reading:
        begun = self._written[at:]
        tails: list[bytes] = []
        for text in map(_json, values):
            if begun.startswith(text) and not _goes_on(text, begun):
                return _Reading(end=at + len(text))
            if text.startswith(begun):
                tails.append(text[len(begun) :])
        return _Reading(tail=_shorter(tails))

    def _scalar(self, schema: JsonSchema, at: int) -> _Reading:
        end = _scalar_extent(self._written, at)
        begun = self._written[at:end]
        tail = scalar_end(json.dumps(schema), begun)
        if tail == b"":
            return _Reading(end=end)
        return _Reading(tail=tail) if end == len(self._written) else _NO

    def _array(self, schema: JsonSchema, at: int) -> _Reading:
        written, count = self._written, 0
        if written[at : at + 1] != b"[":
            return _NO
        at += 1
        while True:
            if at == len(written):
                return _Reading(tail=self._items_left(schema, count, opening=b", " if count else b""))
            if written[at : at + 1] == b"]":
                return _Reading(end=at + 1) if count >= schema.get("minItems", 0) else _NO
            if count:
                rest = written[at : at + 2]
                if not b", ".startswith(rest) or not _may_have(schema, count):
                    return _NO
                at += len(rest)
                if at == len(written):
                    tail = self._surely(_item(schema, count)) + self._items_left(schema, count + 1)
                    return _Reading(tail=b", "[len(rest) :] + tail)
            if not _may_have(schema, count):
                return _NO
            item = self._value(_item(schema, count), at)
            count += 1
            if item.tail is not None:
                return _Reading(tail=item.tail + self._items_left(schema, count))
            if item.end is None:
                return _NO
            at = item.end

    def _items_left(self, schema: JsonSchema, count: int, opening: bytes = b", ") -> bytes:
        items = [self._surely(_item(schema, index)) for index in range(count, schema.get("minItems", 0))]
        return (opening + b", ".join(items) if items else b"") + b"]"

    def _object(self, schema: JsonSchema, at: int) -> _Reading:
        written, count, index = self._written, 0, 0
        if written[at : at + 1] != b"{":
            return _NO
        at += 1
        while True:
            if at == len(written):
                return _Reading(tail=self._rest(schema, index, count))
            if written[at : at + 1] == b"}":
                return _Reading(end=at + 1)
            if count:
                rest = written[at : at + 2]
                if not b", ".startswith(rest):
                    return _NO
                at += len(rest)
                if at == len(written):
                    tail = _shorter(self._next_members(schema, index, count))
                    return _NO if tail is None else _Reading(tail=b", "[len(rest) :] + tail)
            index, member = self._member(schema, index, count, at)
            count += 1
            if member.end is None:
                return member
            at = member.end

    def _member(self, schema: JsonSchema, index: int, count: int, at: int) -> tuple[int, _Reading]:
        """The member whose key begins here, and which declared one may come behind it."""
        begun = self._written[at:]
        tails: list[bytes] = []
        for following, key, part in self._keys(schema, index):
            if begun.startswith(key):
                value = self._value(part, at + len(key))
                if value.tail is None:
                    return following, value
                return following, _Reading(tail=value.tail + self._rest(schema, following, count + 1))
            if key.startswith(begun):
                tails.append(
                    key[len(begun) :] + self._surely(part) + self._rest(schema, following, count + 1)
                )
        extra = self._extra_member(schema, index, count, at)
        if extra.end is not None:
            return index, extra
        return index, _Reading(tail=_shorter([*tails, extra.tail]))

    def _extra_member(self, schema: JsonSchema, index: int, count: int, at: int) -> _Reading:
        """A member that nothing declares; it stands behind all that are."""
        if any(name in schema["required"] for name, _ in _members(schema)[index:]):
            return _NO
        end = _scalar_extent(self._written, at)
        begun, behind = self._written[at:end], self._written[end : end + 2]
        tails: list[bytes | None] = []
        for pattern, part in schema.get("patternProperties", {}).items():
            key_end = _extra_key(pattern, begun)
            if key_end is None or not (key_end.removesuffix(b": ") == b"" or end == len(self._written)):
                continue
            if behind == b": ":
                value = self._value(part, end + 2)
                if value.end is not None:
                    return value
                rest = value.tail
            else:
                rest = key_end[len(behind) :] + self._surely(part)
            if rest is not None:
                tails.append(rest + self._rest(schema, len(schema["properties"]), count + 1))
        return _Reading(tail=_shorter(tails))

    def _keys(self, schema: JsonSchema, index: int) -> Iterator[tuple[int, bytes, Any]]:
        """The declared keys that may come next, and what stands behind them."""
        members = _members(schema)
        for number in range(index, len(members)):
            name, part = members[number]
            yield number + 1, _key(name), part
            if name in schema["required"]:
                return

    def _next_members(self, schema: JsonSchema, index: int, count: int) -> Iterator[bytes]:
        """Shortest ends of an object that goes on."""
        for following, key, part in self._keys(schema, index):
            yield key + self._surely(part) + self._rest(schema, following, count + 1)
        if not any(name in schema["required"] for name, _ in _members(schema)[index:]):
            for extra in self._extras(schema):
                yield extra + self._rest(schema, len(schema["properties"]), count + 1)

    def _extras(self, schema: JsonSchema) -> Iterator[bytes]:
        for pattern, part in schema.get("patternProperties", {}).items():
            key, value = _extra_key(pattern, b""), self._shortest(part)
            if key is not None and value is not None:
                yield key + value

    def _rest(self, schema: JsonSchema, index: int, count: int) -> bytes:
        """The shortest end of an object with `count` members; `index` is the first declared one to come."""
        left = [
            _key(name) + (self._shortest(part) or b"")
            for name, part in _members(schema)[index:]
            if name in schema["required"]
        ]
        if count + len(left) < schema.get("minProperties", 0):
            left.append(_shorter(self._extras(schema)) or b"")
        return (b", " if count and left else b"") + b", ".join(left) + b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _name_of(schema: JsonSchema) -> str:
    return str(schema["$ref"]).removeprefix("#/$defs/")


def _shorter(texts: Iterable[bytes | None]) -> bytes | None:
    return min((text for text in texts if text is not None), key=len, default=None)


def _item(schema: JsonSchema, index: int) -> Any:
    prefix = schema.get("prefixItems", ())
    return prefix[index] if index < len(prefix) else schema.get("items", False)


def _may_have(schema: JsonSchema, index: int) -> bool:
    return index < schema["maxItems"] and _item(schema, index) is not False


def _members(schema: JsonSchema) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in schema["properties"].items() if part is not False]


def _key(name: str) -> bytes:
    return _json(name) + b": "


def _extra_key(pattern: str, begun: bytes) -> bytes | None:
    end = scalar_end(json.dumps({"type": "string", "pattern": pattern}), begun)
    return None if end is None else end + b": "


def _parts(schema: Any) -> Iterator[JsonSchema]:
    """A schema and everything in it, definitions included."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    inner = [schema.get("items"), *schema.get("prefixItems", ()), *schema.get("anyOf", ())]
    for keyword in ("properties", "patternProperties", "$defs"):
        inner += schema.get(keyword, {}).values()
    for part in inner:
        yield from _parts(part)


def _is_familiar(schema: JsonSchema) -> bool:
    """Whether a part of a schema says nothing but what schema/grammar.py writes."""
    if "$ref" in schema or "anyOf" in schema or "enum" in schema:
        return schema.keys() <= {"$ref", "anyOf", "enum", "$defs"} and len(schema.keys() - {"$defs"}) == 1
    kind = schema.get("type")
    if kind == "object":
        return schema.keys() >= {"properties", "required"} and schema.get("additionalProperties") is False
    if kind == "array":
        return schema.keys() >= {"items", "maxItems"}
    return kind in ("string", "number", "integer")


def _scalar_extent(written: bytes, at: int) -> int:
    """Where the string, number or name that begins here ends, or the text does."""
    if written[at : at + 1] != b'"':
        while at < len(written) and written[at] not in b",]}":
            at += 1
        return at
    at += 1
    while at < len(written):
        if written[at] == 0x22:
            return at + 1
        at += 2 if written[at] == 0x5C else 1
    return len(written)


def _goes_on(text: bytes, begun: bytes) -> bool:
    """Whether a constant is only the beginning of what is written: 1 of 12."""
    return text[-1:].isalnum() and begun[len(text) : len(text) + 1] not in (b"", b",", b"]", b"}")
