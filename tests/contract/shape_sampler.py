"""Values out of shapes, and whether a shape would write a given value: what "honoured exactly" is judged by.

Deliberately independent of scaffolds and automata: only shapes, `jsonschema`'s view of values, and
llguidance driven byte by byte.
"""

from __future__ import annotations

import json
import math
import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from agent_runtime.scaffold.schema import text
from agent_runtime.scaffold.schema.facts import is_same
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Shape,
    StringShape,
    UnionShape,
)

_FORMATS = Draft202012Validator.FORMAT_CHECKER
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_EOS = 256


class NoSample(Exception):
    """The sampler gave up; says nothing about the shape."""


class _Bytes:
    """A tokenizer whose tokens are bytes."""

    eos_token_id = _EOS
    bos_token_id = None
    tokens = [*(bytes([value]) for value in range(256)), b"<end>"]
    special_token_ids = [_EOS]

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


@lru_cache(maxsize=1)
def byte_tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])


def matcher_of(schema: Any) -> LLMatcher:
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_COMPACT)
    matcher = LLMatcher(byte_tokenizer(), grammar, log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    return matcher


def walk(schema: Any, chance: random.Random, *, limit: int = 300) -> Any:
    """A random value of a grammar; after a while the shortest way out is taken."""
    matcher = matcher_of(schema)
    written = bytearray()
    while not matcher.is_stopped():
        mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)[:32]
        allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist()
        if matcher.is_accepting() and (not allowed or chance.random() < 0.3 or len(written) > limit):
            break
        if not allowed:
            raise ValueError(f"dead end after {written!r}")
        if len(written) > 6 * limit:
            raise NoSample
        is_late = len(written) > limit
        common = [index for index in allowed if index in _COMMON] or allowed
        closing = [index for index in allowed if index in b'"}]']
        if is_late or (closing and chance.random() < 0.15):
            common = closing or common
        elif chance.random() < 0.03:
            common = allowed
        token = chance.choice(common)
        if not matcher.consume_token(token):
            raise ValueError(matcher.get_error())
        written.append(token)
    return json.loads(written.decode())


_COMMON = frozenset(b'abcxyzABZ0159 {}[]",:-._/@#')


def sample(shape: Shape, chance: random.Random, *, depth: int = 0) -> Any:
    """A random value of a shape."""
    match shape:
        case ConstantsShape():
            return chance.choice(shape.values)
        case IntegerShape():
            return _integer(shape, chance)
        case NumberShape():
            return _number(shape, chance)
        case StringShape():
            return _string(shape, chance)
        case ArrayShape():
            return _array(shape, chance, depth)
        case ObjectShape():
            return _object(shape, chance, depth)
        case UnionShape():
            return sample(chance.choice(shape.options), chance, depth=depth)
        case GrammarShape():
            return walk(shape.schema, chance)
    raise AssertionError(shape)


def _integer(shape: IntegerShape, chance: random.Random) -> int:
    low = shape.minimum if shape.minimum is not None else min(-1000, (shape.maximum or 0) - 1000)
    high = shape.maximum if shape.maximum is not None else max(1000, low + 1000)
    step = shape.multiple_of or 1
    first, last = -(-low // step), high // step
    if first > last:
        raise ValueError(f"no integer in {shape}")
    return step * chance.choice((first, last, chance.randint(first, last)))


def _number(shape: NumberShape, chance: random.Random) -> float:
    low = shape.minimum if shape.minimum is not None else min(-1e3, (shape.maximum or 0) - 1e3)
    high = shape.maximum if shape.maximum is not None else max(1e3, low + 1e3)
    if shape.multiple_of is not None:
        step = Fraction(repr(shape.multiple_of))
        first, last = math.ceil(Fraction(repr(low)) / step), math.floor(Fraction(repr(high)) / step)
        if shape.is_minimum_exclusive and first * step == Fraction(repr(low)):
            first += 1
        if shape.is_maximum_exclusive and last * step == Fraction(repr(high)):
            last -= 1
        if first > last:
            raise ValueError(f"no number in {shape}")
        return float(step * chance.randint(first, last))
    ends = [
        *([] if shape.is_minimum_exclusive else [low]),
        *([] if shape.is_maximum_exclusive else [high]),
    ]
    middle = low + (high - low) * chance.uniform(0.01, 0.99)
    return chance.choice([*ends, middle, middle])


def _string(shape: StringShape, chance: random.Random) -> str:
    spelt: list[str] = []
    for pattern in shape.patterns:
        spelt += text.rust_patterns(pattern) or ()
    if shape.format:
        spelt.append(text.rust_format(shape.format)[0])
    if shape.min_length > 2000:
        raise NoSample
    schema = text.string_schema(spelt, shape.min_length, shape.max_length)
    try:
        matcher_of(schema)
    except ValueError as error:
        if "Unable to determine" in str(error):  # llguidance gives up; slots are written by other means
            raise NoSample from error
        raise
    for _ in range(20):
        value = walk(schema, chance, limit=max(60, shape.min_length + 10))
        if all(text.found_in(pattern, value) for pattern in shape.patterns):  # look-aheads that forbid
            return str(value)
    raise NoSample


def _array(shape: ArrayShape, chance: random.Random, depth: int) -> list[Any]:
    most = shape.max_items if shape.max_items is not None else shape.min_items + 2
    if shape.items is None:
        most = min(most, len(shape.prefix))
    most = max(shape.min_items, min(most, shape.min_items + (3 if depth < 3 else 0)))
    if shape.min_items > 500:
        raise NoSample
    length = chance.randint(shape.min_items, most)
    values: list[Any] = []
    for index in range(length):
        item = shape.prefix[index] if index < len(shape.prefix) else shape.items
        if item is None:
            raise ValueError(f"{shape} asks for more items than it describes")
        for _ in range(50):
            value = sample(item, chance, depth=depth + 1)
            if not shape.is_unique or not any(is_same(value, other) for other in values):
                values.append(value)
                break
        else:
            if len(values) >= shape.min_items:
                break
            raise NoSample
    return values


def _object(shape: ObjectShape, chance: random.Random, depth: int) -> dict[str, Any]:
    required = [item.name for item in shape.properties if item.is_required]
    optional = [item.name for item in shape.properties if not item.is_required]
    most = len(shape.properties) if shape.max_properties is None else shape.max_properties
    least = max(shape.min_properties, len(required))
    if least > min(most, len(shape.properties)):
        raise ValueError(f"counts of {shape} cannot be met")
    share = chance.choice((0.0, 0.5, 1.0)) if depth < 3 else 0.1
    wanted = min(most, max(least, len(required) + round(share * len(optional))))
    chosen = {*required, *chance.sample(optional, wanted - len(required))}
    return {
        item.name: sample(item.shape, chance, depth=depth + 1)
        for item in shape.properties
        if item.name in chosen
    }


def writes(shape: Shape, value: Any) -> bool:
    """Whether the shape could write this very value (keys in another order count as the same)."""
    match shape:
        case ConstantsShape():
            return any(is_same(value, other) for other in shape.values)
        case IntegerShape():
            if isinstance(value, bool) or not isinstance(value, int):
                return False
            return (
                (shape.minimum is None or value >= shape.minimum)
                and (shape.maximum is None or value <= shape.maximum)
                and (shape.multiple_of is None or value % shape.multiple_of == 0)
            )
        case NumberShape():
            return _writes_number(shape, value)
        case StringShape():
            return (
                isinstance(value, str)
                and len(value) >= shape.min_length
                and (shape.max_length is None or len(value) <= shape.max_length)
                and all(_found(pattern, value) for pattern in shape.patterns)
                and (shape.format is None or _FORMATS.conforms(value, shape.format))
            )
        case ArrayShape():
            return _writes_array(shape, value)
        case ObjectShape():
            return _writes_object(shape, value)
        case UnionShape():
            return any(writes(option, value) for option in shape.options)
        case GrammarShape():
            return _grammar_writes(shape, value)
    raise AssertionError(shape)


def _found(pattern: str, value: str) -> bool:
    try:
        return text.found_in(pattern, value)
    except re.error:
        return False


def _writes_number(shape: NumberShape, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = shape.minimum, shape.maximum
    if low is not None and (value < low or (shape.is_minimum_exclusive and value == low)):
        return False
    if high is not None and (value > high or (shape.is_maximum_exclusive and value == high)):
        return False
    return shape.multiple_of is None or Fraction(repr(value)) % Fraction(repr(shape.multiple_of)) == 0


def _writes_array(shape: ArrayShape, value: Any) -> bool:
    if not isinstance(value, list) or len(value) < shape.min_items:
        return False
    if shape.max_items is not None and len(value) > shape.max_items:
        return False
    if shape.is_unique and any(is_same(a, b) for i, a in enumerate(value) for b in value[:i]):
        return False
    for index, item in enumerate(value):
        inner = shape.prefix[index] if index < len(shape.prefix) else shape.items
        if inner is None or not writes(inner, item):
            return False
    return True


def _writes_object(shape: ObjectShape, value: Any) -> bool:
    if not isinstance(value, dict) or len(value) < shape.min_properties:
        return False
    if shape.max_properties is not None and len(value) > shape.max_properties:
        return False
    known = {item.name: item for item in shape.properties}
    return all(item.name in value for item in shape.properties if item.is_required) and all(
        name in known and writes(known[name].shape, inner) for name, inner in value.items()
    )


def _grammar_writes(shape: GrammarShape, value: Any) -> bool:
    matcher = matcher_of(shape.schema)
    written = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    return matcher.try_consume_tokens(list(written)) == len(written) and matcher.is_accepting()
