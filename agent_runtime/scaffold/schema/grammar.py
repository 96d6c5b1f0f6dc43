"""Schemas for llguidance: values that shapes cannot say, in a dialect it reads exactly.

The schema given here contains no combination and no keyword that llguidance reads loosely. Recursion
becomes a reference to a definition around it; strings and arrays get an upper limit. A definition is only
referred to if some finite value satisfies it, so a value can always end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from . import text
from .facts import (
    ANYTHING,
    ArrayFacts,
    ConstantFacts,
    Facts,
    Node,
    NumberFacts,
    ObjectFacts,
    StringFacts,
    both,
    common_multiple,
    integer_bounds,
    integer_step,
    is_nothing,
    least,
)
from .options import OptionReader
from .settle import (
    Unwritable,
    settled_array,
    settled_number,
    settled_objects,
    settled_string,
    wants_more_keys,
)

JsonSchema = dict[str, Any]

MAX_TEXT = 256
"""Characters of a string without maxLength."""

MAX_ITEMS = 16
"""Items of an array without maxItems, and undeclared keys of an object."""

MAX_PARTS = 2500
"""Subschemas and keys one grammar may have. Where recursion makes it larger, it is left out."""

MAX_TOTAL_PARTS = 40_000
"""Subschemas and keys that may be looked at for all grammars of one document: a bound on time."""

_MAX_INTEGER = 2**53 - 1
_MAX_NUMBER = 10**12
_KEY = text.rust_key()


class _TooLarge(Exception):
    """The grammar has more parts than it may."""


class GrammarWriter:
    """Writes grammars of the nodes of one document; what they have in common is worked out once."""

    def __init__(self, reader: OptionReader) -> None:
        """A writer for the nodes that `reader` reads."""
        self._reader = reader
        self._definitions: dict[str, JsonSchema] = {}
        self._names: dict[tuple[Node, bool], str] = {}
        self._known: dict[tuple[Node, bool], JsonSchema | None] = {}
        self._found: dict[Node, JsonSchema | None] = {}
        self._writable: set[Node] = set()
        self._stack: list[Node] = []
        self._may_recur = True
        self._is_unsure = False
        self._num_parts = 0
        self._total_parts = 0
        self._obstacle: Unwritable | None = None

    def write(self, of: Node) -> JsonSchema:
        """A self-contained schema of a node that llguidance compiles.

        Raises:
            Unwritable: nothing that satisfies the node can be written.
        """
        for self._may_recur in (True, False):
            try:
                schema = self._complete(of)
            except _TooLarge:
                continue
            if schema is None:
                raise self._obstacle or Unwritable("no value of finite size satisfies this", "")
            definitions = self._reachable(schema)
            if sum(map(_size, definitions.values())) > MAX_PARTS:
                continue
            if definitions:
                schema = {**schema, "$defs": definitions}
            problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
            if problem and not problem.startswith("WARNING"):
                raise Unwritable(f"the grammar engine refuses it: {problem.strip().splitlines()[0]}", "")
            return schema
        raise Unwritable(f"it has more than {MAX_PARTS} parts", "")

    def _complete(self, of: Node) -> JsonSchema | None:
        """The schema of a node, once it is known which of the nodes it leads to have finite values.

        A node that leads back to one around it is first taken to have none; that is put right by going
        over everything again, until nothing more is found.
        """
        while True:
            self._num_parts, self._obstacle, self._is_unsure = 0, None, False
            num_writable = len(self._writable)
            self._found.clear()
            schema = self._node(of)
            if not self._is_unsure or len(self._writable) == num_writable:
                self._known.update({(node, self._may_recur): found for node, found in self._found.items()})
                return schema

    def _reachable(self, schema: JsonSchema) -> dict[str, JsonSchema]:
        """The definitions a schema needs."""
        found: dict[str, JsonSchema] = {}
        pending = [schema]
        while pending:
            for name in _references(pending.pop()):
                if name not in found:
                    found[name] = self._definitions[name]
                    pending.append(found[name])
        return found

    def _node(self, of: Node) -> JsonSchema | None:
        """The schema of a node, or None if nothing of finite size can be written."""
        of = self._reader.canonical(of)
        if of == ANYTHING:
            return self._anything()
        if is_nothing(of):
            return None
        key = (of, self._may_recur)
        if key in self._known:
            return self._known[key]
        if of in self._found:
            return self._found[of]
        if of in self._stack:
            return self._leading_back(of)
        self._count(1)
        self._stack.append(of)
        try:
            schema = self._options(self._reader.options(of).branches)
        finally:
            self._stack.pop()
        if schema is not None:
            if self._may_recur:
                self._writable.add(of)
            if key in self._names or "properties" in schema or "anyOf" in schema:
                self._definitions[self._name(of)] = schema
                schema = self._reference(of)
        self._found[of] = schema
        return schema

    def _leading_back(self, of: Node) -> JsonSchema | None:
        if not self._may_recur:
            return None
        if of in self._writable:
            return self._reference(of)
        self._is_unsure = True
        return None

    def _reference(self, of: Node) -> JsonSchema:
        return {"$ref": f"#/$defs/{self._name(of)}"}

    def _name(self, of: Node) -> str:
        return self._names.setdefault((of, self._may_recur), f"part{len(self._names)}")

    def _count(self, parts: int) -> None:
        self._num_parts += parts
        self._total_parts += parts
        if self._total_parts > MAX_TOTAL_PARTS:
            raise Unwritable("too much of it is recursive or free-form", "")
        if self._num_parts > MAX_PARTS:
            raise _TooLarge

    def _options(self, branches: Iterable[Facts]) -> JsonSchema | None:
        options: list[JsonSchema] = []
        for facts in branches:
            try:
                options += (option for option in self._facts(facts) if option not in options)
            except Unwritable as obstacle:
                self._obstacle = obstacle
        return _any_of(options)

    def _facts(self, facts: Facts) -> Iterable[JsonSchema]:
        match facts:
            case ConstantFacts():
                return [{"enum": list(facts.values)}]
            case NumberFacts():
                return [_number(settled_number(facts))]
            case StringFacts():
                return [_string(facts)]
            case ArrayFacts():
                array = self._array(settled_array(facts, self._reader))
                return [] if array is None else [array]
            case ObjectFacts():
                return [
                    schema
                    for settled in settled_objects(facts, self._reader)
                    for schema in self._objects(settled)
                ]

    def _array(self, facts: ArrayFacts) -> JsonSchema | None:
        most = (
            facts.max_items
            if facts.max_items is not None
            else max(MAX_ITEMS, facts.min_items, len(facts.prefix))
        )
        if facts.is_unique and most > 1:
            if facts.min_items > 1:
                raise Unwritable("several unique items cannot be kept apart here", "uniqueItems")
            most = 1
        prefix: list[JsonSchema] = []
        for item in facts.prefix[:most]:
            schema = self._node(item)
            if schema is None:
                most = len(prefix)
                break
            prefix.append(schema)
        rest = self._node(facts.rest) if most > len(prefix) else None
        if rest is None:
            most = min(most, len(prefix))
        if facts.min_items > most:
            return None
        result: JsonSchema = {"type": "array", "items": rest if rest is not None else False, "maxItems": most}
        if prefix:
            result["prefixItems"] = prefix
        if facts.min_items:
            result["minItems"] = facts.min_items
        return result

    def _objects(self, facts: ObjectFacts) -> Iterable[JsonSchema]:
        declared: dict[str, JsonSchema] = {}
        taken: dict[str, bool] = {}
        for name in facts.declared():
            schema = self._node(self._reader.written_property(facts, name))
            if schema is None and name in facts.required:
                return
            if schema is None:
                taken[name] = False
            else:
                declared[name] = schema
        self._count(len(declared))
        optional = [name for name in declared if name not in facts.required]
        fewest = max(facts.min_properties - len(facts.required), 0)
        most = None if facts.max_properties is None else facts.max_properties - len(facts.required)
        if most is not None and most < 0:
            return
        wants_more = wants_more_keys(facts) or fewest > len(optional)
        extra = self._undeclared(facts) if wants_more and (most is None or most > 0) else {}
        for chosen, others in _presence(optional, fewest, most, has_extra=bool(extra)):
            still = fewest - len(chosen)
            properties = {
                name: declared[name]
                for name in declared
                if name in facts.required or name in (*chosen, *others)
            }
            left = {name: False for name in declared if name not in properties}
            result: JsonSchema = {
                "type": "object",
                "properties": {**properties, **taken, **left},
                "required": [*facts.required, *chosen],
                "additionalProperties": False,
            }
            is_alone = not others and not taken and not left
            if still > 1:  # llguidance may write a key twice, which then counts once
                raise Unwritable("several undeclared keys cannot be kept apart", "minProperties")
            # llguidance counts keys only where none is optional.
            if extra and (is_alone or (most is None and still == 0)):
                result["patternProperties"] = extra
                if is_alone:
                    room = MAX_ITEMS if most is None else most - len(chosen)
                    result["maxProperties"] = len(properties) + min(room, MAX_ITEMS)
                    if still > 0:
                        result["minProperties"] = len(properties) + still
            elif still > 0:
                continue
            yield result

    def _undeclared(self, facts: ObjectFacts) -> JsonSchema:
        """Keys that nothing declares, as disjoint `patternProperties`."""
        patterns = list(dict.fromkeys(pattern for scope in facts.scopes for pattern, _ in scope.patterns))
        names = self._key_patterns(facts)
        regions: JsonSchema = {}
        if not patterns:
            value = ANYTHING
            for scope in facts.scopes:
                value = both(value, scope.additional)
            schema = self._node(value)
            return {} if schema is None or names is None else {names: schema}
        if facts.names:
            return {}
        for pattern in patterns:
            value = ANYTHING
            for scope in facts.scopes:
                matching = [child for other, child in scope.patterns if other == pattern]
                for child in matching or [scope.additional]:
                    value = both(value, child)
                for other, child in scope.patterns:  # a key may match several: then all of them count
                    if other != pattern and not text.are_disjoint(other, pattern):
                        value = both(value, child)
            schema = self._node(value)
            spelt = text.rust_patterns(pattern)
            if schema is None or spelt is None or len(spelt) > 1:
                continue
            if text.is_spent(spelt[0], frozenset(facts.declared())):
                continue
            if all(
                text.are_disjoint(pattern, other)
                for other in patterns
                if other != pattern and spelt_key(other) in regions
            ):
                regions[spelt[0]] = schema
        return regions

    def _key_patterns(self, facts: ObjectFacts) -> str | None:
        """What undeclared keys look like, or None where every allowed key is declared."""
        if not facts.names:
            # Declared names stay out: llguidance would demand of them what it demands of undeclared ones.
            return text.rust_key(facts.declared())
        declared, is_spent = frozenset(facts.declared()), False
        options = [
            item for item in self._reader.options(facts.names).branches if not isinstance(item, ObjectFacts)
        ]
        for item in options:
            if isinstance(item, StringFacts):
                settled = settled_string(item)
                spelt = [
                    part for pattern in settled.patterns for part in text.rust_patterns(pattern) or ("",)
                ]
                if settled.formats or len(spelt) > 1 or "" in spelt:
                    continue
                if not spelt:
                    most = (
                        settled.max_length if settled.max_length is not None else max(48, settled.min_length)
                    )
                    return _KEY.replace("{1,48}", f"{{{max(settled.min_length, 1)},{most}}}")
                if settled.min_length or settled.max_length is not None:
                    continue
                if not text.is_spent(spelt[0], declared):
                    return spelt[0]
                is_spent = True
            if isinstance(item, ConstantFacts):
                words = [value for value in item.values if isinstance(value, str)]
                free = [word for word in words if word not in declared]
                if free:
                    return "^(?:" + "|".join(map(text.rust_literal, free)) + ")$"
                is_spent = is_spent or bool(words)
        if is_spent:
            return None
        raise Unwritable("these key names cannot be written", "propertyNames")

    def _anything(self) -> JsonSchema:
        """Any JSON value."""
        inner: JsonSchema = {"$ref": "#/$defs/any"}
        self._definitions["any"] = {
            "anyOf": [
                {"enum": [None, True, False]},
                {"type": "number", "minimum": -_MAX_NUMBER, "maximum": _MAX_NUMBER},
                {"type": "string", "maxLength": MAX_TEXT},
                {"type": "array", "items": inner, "maxItems": MAX_ITEMS},
                {
                    "type": "object",
                    "properties": {},
                    "required": [],
                    "patternProperties": {_KEY: inner},
                    "additionalProperties": False,
                    "maxProperties": MAX_ITEMS,
                },
            ]
        }
        return inner


def _references(schema: Any) -> Iterable[str]:
    """Names of the definitions a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/$defs/")
        for key, value in schema.items():
            if key not in ("enum", "required"):
                yield from _references(list(value.values()) if key in _MAPS else value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


_MAPS = ("properties", "patternProperties")


def _size(definition: JsonSchema) -> int:
    """How much of a grammar a definition is: its keys, and one for itself."""
    options = definition.get("anyOf", (definition,))
    return len(options) + sum(len(option.get("properties", ())) for option in options)


def spelt_key(pattern: str) -> str:
    """The key under which a pattern's region is written."""
    spelt = text.rust_patterns(pattern)
    return spelt[0] if spelt else ""


def _presence(
    optional: Sequence[str], fewest: int, most: int | None, *, has_extra: bool
) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which optional keys to require and which to leave open, so that counts hold without counting."""
    if most is not None and most < len(optional):
        if most == 1:
            yield from (((name,), ()) for name in optional)
            if fewest == 0:
                yield (), ()
            return
        optional = optional[:most]
    if fewest == 0 or (not optional and has_extra):
        yield (), tuple(optional)
    elif fewest == 1:
        yield from (((name,), tuple(other for other in optional if other != name)) for name in optional)
        if has_extra:
            yield (), ()
    else:
        yield tuple(optional[:fewest]), tuple(optional[fewest:])


def _any_of(options: list[JsonSchema]) -> JsonSchema | None:
    if not options:
        return None
    return options[0] if len(options) == 1 else {"anyOf": options}


def _number(facts: NumberFacts) -> JsonSchema:
    step = common_multiple(facts.multiples)
    if facts.is_integer or (step is not None and float(step).is_integer()):  # so are its multiples
        step = integer_step(facts.multiples)
        low, high = integer_bounds(facts)
        low = max(-_MAX_INTEGER, (high or 0) - _MAX_INTEGER) if low is None else low
        high = max(_MAX_INTEGER, low + 1) if high is None else high
        result: JsonSchema = {"type": "integer", "minimum": low, "maximum": high}
    else:
        low_key = (
            "exclusiveMinimum" if facts.is_minimum_exclusive and facts.minimum is not None else "minimum"
        )
        high_key = (
            "exclusiveMaximum" if facts.is_maximum_exclusive and facts.maximum is not None else "maximum"
        )
        low_value = -_MAX_NUMBER if facts.minimum is None else max(facts.minimum, -_MAX_NUMBER)
        high_value = _MAX_NUMBER if facts.maximum is None else min(facts.maximum, _MAX_NUMBER)
        if low_value > high_value:
            raise Unwritable("numbers this large are not supported here", "minimum")
        result = {"type": "number", low_key: low_value, high_key: high_value}
    if step is not None:
        result["multipleOf"] = step
    return result


def _string(facts: StringFacts) -> JsonSchema:
    excluded = facts.excluded
    settled = settled_string(replace(facts, excluded=frozenset()))
    spelt: list[str] = [text.rust_all_but(excluded)] if excluded else []
    for pattern in settled.patterns:
        parts = text.rust_patterns(pattern)
        if parts is None:
            raise Unwritable(f"the look-ahead of {pattern!r} is not supported here", "pattern")
        spelt += parts
    most = settled.max_length
    for name in settled.formats:
        pattern, limit = text.rust_format(name)
        spelt.append(pattern)
        most = least(most, limit)
    if most is None:
        most = max(MAX_TEXT, settled.min_length)
        if spelt and _is_refused(tuple(spelt), settled.min_length, most):
            most = None
    return text.string_schema(spelt, settled.min_length, most)


@lru_cache(maxsize=1024)
def _is_refused(patterns: tuple[str, ...], fewest: int, most: int | None) -> bool:
    schema = text.string_schema(list(patterns), fewest, most)
    return bool(LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema)))
