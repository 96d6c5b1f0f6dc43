"""A short end of a string or number that was begun under a grammar's schema.

llguidance is asked itself, byte by byte: what a pattern suggests is tried out, and random walks, which end
where they may.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from .byte_automaton import LanguageError
from .pattern import LAST_CODE_POINT, Choice, Node, Repeat, Sequence, parse_pattern

_WALKS = 8
_LONGEST_WALK = 400

# What may be missing of the last character, when a token ended in the midst of it or of its escape.
_HALVES = (b"", b"\\", b"u0020", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80")


class _Bytes:
    """A tokenizer whose tokens are bytes."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([value]) for value in range(256)), b"<end>")
    special_token_ids = (256,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


@lru_cache(maxsize=1)
def _byte_tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])


@lru_cache(maxsize=256)
def _scalar_matcher(schema: str) -> LLMatcher:
    return LLMatcher(_byte_tokenizer(), LLMatcher.grammar_from_json_schema(schema), log_level=0)


@lru_cache(maxsize=4096)
def scalar_end(schema: str, begun: bytes) -> bytes | None:
    """A short end of a string or number that begins like this; None where it cannot begin so."""
    matcher = _scalar_matcher(schema)
    if matcher.is_error():
        return None
    matcher = matcher.deep_copy()
    if begun and matcher.try_consume_tokens(list(begun)) != len(begun):
        return None
    if matcher.is_accepting():
        return b""
    if _is_end(matcher, b'"'):
        return b'"'
    found = [tail for tail in _guessed(schema, begun) if _is_end(matcher, tail)]
    found += filter(None, (_walked(matcher.deep_copy(), random.Random(seed)) for seed in range(_WALKS)))
    return min(found, key=len, default=None)


def _is_end(matcher: LLMatcher, tail: bytes) -> bool:
    trial = matcher.deep_copy()
    return trial.try_consume_tokens(list(tail)) == len(tail) and bool(trial.is_accepting())


def _guessed(schema: str, begun: bytes) -> Iterator[bytes]:
    """Ends of a string that a pattern suggests: its shortest match, or what is left of that."""
    known = json.loads(schema)
    for part in (known, *known.get("allOf", ())):
        word = _shortest_match(part["pattern"]) if "pattern" in part else ""
        for start in range(len(word)):
            rest = json.dumps(word[start:], ensure_ascii=False).encode()[1:]
            for opening in _HALVES if begun else (b'"',):
                yield opening + rest


@lru_cache(maxsize=1024)
def _shortest_match(pattern: str) -> str:
    """A short text in which a Rust pattern, as schema/text.py spells it, is found; empty if none is known."""
    source = re.sub(r"\\x\{([0-9a-f]+)\}", r"\\u{\1}", pattern).replace("(?s:.)", r"[\s\S]")
    try:
        return _match_of(parse_pattern(source).node)
    except LanguageError:
        return ""


def _match_of(node: Node) -> str:
    match node:
        case Sequence():
            return "".join(map(_match_of, node.parts))
        case Choice():
            return min(map(_match_of, node.options), key=len)
        case Repeat():
            return _match_of(node.part) * node.low
    codes = [code for low, high in node.surely for code in (max(low, 0x61), max(low, 0x20)) if code <= high]
    return chr(codes[0]) if codes and codes[0] <= LAST_CODE_POINT else ""


_PLAIN = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_MARKS = frozenset(b" !#$%&'()*+,-./:;<=>?@[]^_`{|}~")


def _walked(matcher: LLMatcher, chance: random.Random) -> bytes | None:
    """A random way to the end, which is taken where it is offered."""
    walked = bytearray()
    while not matcher.is_accepting():
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8)[:32], bitorder="little")
        allowed = np.flatnonzero(bits).tolist()
        if not allowed or len(walked) > _LONGEST_WALK:
            return None
        if 0x22 in allowed and not walked.endswith(b"\\"):
            byte = 0x22
        else:
            # Half of the time no letter: what a pattern waits for is rarely one more of the same.
            likely = _MARKS if chance.random() < 0.5 else _PLAIN
            byte = chance.choice([value for value in allowed if value in likely] or allowed)
        matcher.consume_token(byte)
        walked.append(byte)
    return bytes(walked)
