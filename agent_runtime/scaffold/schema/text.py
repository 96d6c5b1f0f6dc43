"""The `pattern` and `format` of strings: what can be honoured, what is provably empty, Rust spellings.

The syntax of patterns is `scaffold/pattern.py`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from ...errors import SchemaError
from ..byte_automaton import LanguageError
from ..formats import FORMATS
from ..pattern import (
    BEGIN,
    END,
    LAST_CODE_POINT,
    Characters,
    Choice,
    Node,
    Ranges,
    Repeat,
    Sequence,
    parse_pattern,
)
from .facts import StringFacts, least

EXACT_FORMATS = frozenset(
    ("date", "time", "date-time", "duration", "uuid", "email", "uri", "hostname", "ipv4", "ipv6")
)
"""Formats that shapes and llguidance know."""

# Formats whose values include all values of an exact one.
_WIDER_FORMATS = {
    "idn-email": "email", "host-name": "hostname", "ip-address": "ipv4",
    "iri": "uri", "iri-reference": "uri", "uri-reference": "uri", "uri-template": "uri",
}  # fmt: skip
# Formats written in a plain part of what they allow.
_PATTERN_FORMATS = {
    "json-pointer": "^(/[A-Za-z0-9_.-]*)*$",
    "relative-json-pointer": "^[0-9](/[A-Za-z0-9_.-]*)*$",
    "regex": "^[A-Za-z0-9 _,;:@-]*$",
    # Without hyphens, so that nothing reads as a (perhaps broken) A-label.
    "idn-hostname": r"^[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){0,3}$",
    "color": "^#[0-9a-f]{6}$",
}


def read_pattern(pattern: str, *, tool: str, path: str, keyword: str = "pattern") -> tuple[str, ...]:
    """The pattern, if it can be honoured; none if it is found in every text.

    Raises:
        SchemaError: malformed, or not a regular language.
    """
    try:
        parse_pattern(pattern)
    except LanguageError as error:
        raise SchemaError(str(error), tool=tool, path=path, keyword=keyword) from error
    return () if pattern in ("", ".*", "^", "^.*") else (pattern,)


def read_format(name: str) -> tuple[str, ...]:
    """The format, if JSON Schema defines it; a name it does not define is an annotation."""
    return (name,) if is_known_format(name) else ()


def is_known_format(name: str) -> bool:
    """Whether a format means anything to JSON Schema."""
    return name in EXACT_FORMATS or name in _WIDER_FORMATS or name in _PATTERN_FORMATS


def written_format(name: str) -> tuple[str | None, tuple[str, ...]]:
    """How a format is written: as an exact format, or as patterns."""
    if name in EXACT_FORMATS:
        return name, ()
    if name in _WIDER_FORMATS:
        return _WIDER_FORMATS[name], ()
    return None, (_PATTERN_FORMATS[name],)


@lru_cache(maxsize=4096)
def _compiled(pattern: str, is_wide: bool) -> re.Pattern[str]:
    parsed = parse_pattern(pattern)
    ahead = [f"(?={_spelt(node, is_wide, _PYTHON)})" for node in parsed.required]
    ahead += [f"(?!{_spelt(node, not is_wide, _PYTHON)})" for node in parsed.forbidden]
    body = _spelt(parsed.node, is_wide, _PYTHON)
    return re.compile(rf"\A{''.join(ahead)}(?s:.*?)(?:{body})" if ahead else body)


def found_in(pattern: str, value: str, *, is_wide: bool = False) -> bool:
    """Whether a pattern is found in a text, for every reader; `is_wide`: for some reader."""
    return _compiled(pattern, is_wide).search(value) is not None


def all_but(words: frozenset[str]) -> str:
    """A pattern for every text but these."""
    return "^(?!(?:" + "|".join(_escaped(word) for word in sorted(words)) + ")$)"


def _escaped(word: str) -> str:
    return "".join(
        "\\" + letter
        if letter in "\\^$.|?*+()[]{}/-"
        else letter
        if letter.isprintable()
        else f"\\u{ord(letter):04x}"
        for letter in word
    )


def negated(pattern: str) -> str | None:
    """A pattern for texts in which `pattern` is not found, where that can be written."""
    parsed = parse_pattern(pattern)
    if parsed.required or parsed.forbidden:
        return None
    if pattern.startswith("^") and "|" not in pattern:
        return f"^(?!{pattern[1:]})"
    return None if "^" in pattern.replace("[^", "") else rf"^(?![\s\S]*(?:{pattern}))"


@lru_cache(maxsize=4096)
def rust_patterns(pattern: str, *, is_wide: bool = False) -> tuple[str, ...] | None:
    """The pattern in Rust's syntax, as patterns that must all be found; None where a look-ahead forbids.

    Classes are spelt out as ranges: `is_wide` takes what a class means in any dialect, otherwise what it
    means in all of them.
    """
    parsed = parse_pattern(pattern)
    if parsed.forbidden:
        return None
    sources = (parsed.node, *(Sequence((_ANCHOR, node)) for node in parsed.required))
    return tuple(_spelt(node, is_wide, _RUST) for node in sources)


_ANCHOR = Characters(((BEGIN, BEGIN),), ((BEGIN, BEGIN),))


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How an engine writes characters by number, and the ends of the text."""

    character: Callable[[int], str]
    begin: str
    end: str


_RUST = _Dialect(lambda code: f"\\x{{{code:x}}}", "^", "$")
_PYTHON = _Dialect(lambda code: f"\\U{code:08x}", r"\A", r"\Z")


def _spelt(node: Node, is_wide: bool, dialect: _Dialect) -> str:
    match node:
        case Characters():
            return _spelt_class(node.maybe if is_wide else node.surely, dialect)
        case Sequence():
            return "".join(_spelt(part, is_wide, dialect) for part in node.parts)
        case Choice():
            return "(?:" + "|".join(_spelt(option, is_wide, dialect) for option in node.options) + ")"
        case Repeat():
            bounds = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((node.low, node.high))
            if bounds is None:
                bounds = f"{{{node.low},{'' if node.high is None else node.high}}}"
            return f"(?:{_spelt(node.part, is_wide, dialect)}){bounds}"


def _spelt_class(ranges: Ranges, dialect: _Dialect) -> str:
    if ranges == ((BEGIN, BEGIN),):
        return dialect.begin
    if ranges == ((END, END),):
        return dialect.end
    spans = [(low, min(high, LAST_CODE_POINT)) for low, high in ranges if low <= LAST_CODE_POINT]
    write = dialect.character
    if not spans:
        return f"[^{write(0)}-{write(LAST_CODE_POINT)}]"
    return "[" + "".join(f"{write(low)}-{write(high)}" for low, high in spans) + "]"


def is_empty_language(facts: StringFacts) -> bool:
    """Whether provably no string satisfies the facts; formats and excluded words are not looked at."""
    if not facts.patterns or (len(facts.patterns) == 1 and facts.max_length is None and not facts.min_length):
        return False
    return _is_empty(facts.patterns, facts.min_length, facts.max_length)


@lru_cache(maxsize=4096)
def _is_empty(patterns: tuple[str, ...], fewest: int, most: int | None) -> bool:
    parts: list[str] = []
    for pattern in patterns:
        parts += rust_patterns(pattern, is_wide=True) or ()
    schema = string_schema(parts, fewest, most)
    message = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
    return str(message).startswith("Unsatisfiable")


def string_schema(patterns: list[str], fewest: int, most: int | None) -> dict[str, object]:
    """A string schema for llguidance."""
    schema: dict[str, object] = {"type": "string"}
    if fewest:
        schema["minLength"] = fewest
    if most is not None:
        schema["maxLength"] = most
    if len(patterns) == 1:
        schema["pattern"] = patterns[0]
    elif patterns:
        schema["allOf"] = [{"type": "string", "pattern": pattern} for pattern in patterns]
    return schema


def is_apart(facts: StringFacts, pattern: str) -> bool:
    """Whether provably no string of the facts has `pattern` in it."""
    return bool(facts.patterns) and _is_empty((*facts.patterns, pattern), facts.min_length, facts.max_length)


_Trie = dict[str, Any]
_ANY_CHARACTER = r"(?s:.)"
_KEY_CHARACTER = r'[^"\\\x{0}-\x{1f}\x{7f}-\x{9f}]'


def rust_all_but(words: frozenset[str]) -> str:
    """A Rust pattern for every text but these, letter by letter: llguidance knows no look-ahead."""
    return f"^{_other_than(_trie(words), r'[^{}]', _ANY_CHARACTER + '*', is_start=False)}$"


@lru_cache(maxsize=1024)
def is_spent(pattern: str, words: frozenset[str]) -> bool:
    """Whether a Rust pattern is provably found in no text but some of these words."""
    if not words:
        return False
    schema = string_schema([pattern, rust_all_but(words)], 0, None)
    message = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
    return str(message).startswith("Unsatisfiable")


def rust_key(names: Iterable[str] = (), *, shortest: int = 1, longest: int = 48) -> str:
    """A Rust pattern for keys that need no escape, none of them among `names`."""
    taken = _trie(names)
    if not taken:
        return f"^{_KEY_CHARACTER}{{{shortest},{longest}}}$"
    other = r'[^{}"\\\x{{0}}-\x{{1f}}\x{{7f}}-\x{{9f}}]'
    return f"^{_other_than(taken, other, _KEY_CHARACTER + f'{{0,{longest - 1}}}', is_start=True)}$"


def _trie(words: Iterable[str]) -> _Trie:
    root: _Trie = {}
    for word in words:
        branch = root
        for letter in word:
            branch = branch.setdefault(letter, {})
        branch[""] = {}
    return root


def _other_than(trie: _Trie, other: str, rest: str, *, is_start: bool) -> str:
    """Texts that leave the trie: they end within it, or take a letter unknown to it, then `rest`."""
    letters = sorted(letter for letter in trie if letter)
    options = [] if "" in trie or is_start else [""]
    inside = "".join(f"\\x{{{ord(letter):x}}}" for letter in letters)
    options.append((other.format(inside) if letters or other != "[^{}]" else _ANY_CHARACTER) + rest)
    options += [
        f"\\x{{{ord(letter):x}}}{_other_than(trie[letter], other, rest, is_start=False)}"
        for letter in letters
    ]
    return "(?:" + "|".join(options) + ")"


def rust_literal(word: str) -> str:
    """A Rust pattern for exactly this text."""
    return "".join(f"\\x{{{ord(letter):x}}}" for letter in word)


@lru_cache(maxsize=4096)
def are_disjoint(first: str, second: str) -> bool:
    """Whether provably no string has both patterns in it."""
    return _is_empty((first, second), 0, None)


# Dates without the look-ahead of formats.py, which llguidance does not know: no year 0, no 29th of February.
_DATE = (
    "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)


@lru_cache(maxsize=64)
def rust_format(name: str) -> tuple[str, int | None]:
    """A Rust pattern for a format, every value of it valid, and how long it may be."""
    form = FORMATS[name]
    if name == "date":
        return f"^{_DATE}$", None
    if name == "date-time":
        (time,) = rust_patterns(FORMATS["time"].pattern) or ("",)
        return f"^{_DATE}T{time.removeprefix('^')}", None
    (pattern,) = rust_patterns(form.pattern) or ("",)
    return pattern, form.max_length


@lru_cache(maxsize=1024)
def is_unwritable(facts: StringFacts) -> bool:
    """Whether patterns, format and length leave nothing that we can write."""
    spelt: list[str] = []
    most = facts.max_length
    for pattern in facts.patterns:
        spelt += rust_patterns(pattern) or ()
    for name in facts.formats:
        pattern, limit = rust_format(name)
        spelt.append(pattern)
        most = least(most, limit)
    if not spelt or (len(spelt) == 1 and not facts.min_length and facts.max_length is None):
        return False
    schema = string_schema(spelt, facts.min_length, most)
    message = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
    return str(message).startswith("Unsatisfiable")
