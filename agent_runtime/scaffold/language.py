"""The language of a slot: exactly the JSON texts a scalar shape allows, as an automaton and two counters.

A string slot holds the text between its quotes, escaped as `json.dumps(ensure_ascii=False)` escapes it and in
no other way, so a value has one spelling. Any other slot holds the whole JSON text, after one space where it
follows `:` or `,`. Lengths are counters, never written out into states here (automaton.py counts them).

What tokens make of a language is automaton.py; shapes that are no scalars have no language.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from .byte_automaton import (
    ByteAutomaton,
    LanguageError,
    difference,
    from_words,
    intersection,
    preceded_by_space,
)
from .character_automaton import body_automaton
from .formats import FORMATS
from .multiples import multiples
from .numeral import integers, number_spellings, numbers
from .pattern import counted_pattern, parse_pattern
from .shape import ConstantsShape, IntegerShape, NumberShape, Shape, StringShape

__all__ = ["Language", "LanguageError", "forget_languages", "language_of", "refusal_of"]


@dataclass(frozen=True, slots=True)
class Language:
    """A set of byte strings. Two languages are the same if their `key` is.

    Attributes:
        key: what it was made from; compiled automata are cached by it.
        automaton: the texts, lengths left aside.
        min_length: fewest characters (code points of the value, not bytes).
        max_length: most characters, None without limit.
    """

    key: str
    automaton: ByteAutomaton = field(compare=False, repr=False)
    min_length: int = 0
    max_length: int | None = None

    def accepts(self, text: str) -> bool:
        """Whether `text` is one of the texts, length included."""
        encoded = text.encode()
        if not self.automaton.accepts(encoded):
            return False
        length = self._length(encoded)
        return self.min_length <= length and (self.max_length is None or length <= self.max_length)

    def _length(self, text: bytes) -> int:
        state, length = 0, 0
        for byte in text:
            length += bool(self.automaton.is_boundary[state])
            state = int(self.automaton.table[state, byte])
        return length


def language_of(shape: Shape, *, leading_space: bool = False, without: Iterable[str] = ()) -> Language:
    """The texts a slot of this shape may hold.

    Args:
        shape: a scalar shape (constants, integer, number, string).
        leading_space: whether the text follows `:` or `,`. String slots stand between quotes and ignore it.
        without: raw texts of earlier items of an array of unique items; no text of an equal value is left.

    Raises:
        LanguageError: no automaton of reasonable size is exact, or no value is left.
    """
    spaced = leading_space and not isinstance(shape, StringShape)
    excluded = tuple(
        sorted({text.strip(" ") if not isinstance(shape, StringShape) else text for text in without})
    )
    return _cached_language(_ByText(shape), spaced, excluded)


def refusal_of(shape: Shape) -> str | None:
    """Why no slot can hold a scalar shape exactly, or None if one can; asked when a tool is bound.

    What is refused here may still be decoded under a grammar.
    """
    is_free = isinstance(shape, StringShape) and not (shape.patterns or shape.format or shape.max_length)
    is_plain = isinstance(shape, NumberShape | IntegerShape) and shape.multiple_of is None
    if isinstance(shape, ConstantsShape) or is_free or is_plain:
        return None  # certain without looking
    try:
        language_of(shape)
    except LanguageError as error:
        return error.reason
    return None


def forget_languages() -> None:
    """Empty the cache (measurements of a cold start)."""
    _cached_language.cache_clear()


@dataclass(frozen=True, slots=True)
class _ByText:
    """A shape compared by how it is written: `1`, `1.0` and `True` are equal in Python but not in JSON."""

    shape: Shape = field(compare=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", repr(self.shape))


@lru_cache(maxsize=512)
def _cached_language(by_text: _ByText, leading_space: bool, without: tuple[str, ...]) -> Language:
    shape = by_text.shape
    if isinstance(shape, StringShape):
        shape = _with_counted_patterns(shape)
    automaton = _automaton_of(shape, without)
    lowest, highest = _lengths(shape)
    return Language(
        key=f"{int(leading_space)} {by_text.text} {without!r}"
        if without
        else f"{int(leading_space)} {by_text.text}",
        automaton=preceded_by_space(automaton) if leading_space else automaton,
        min_length=lowest,
        max_length=highest,
    )


def _automaton_of(shape: Shape, without: tuple[str, ...]) -> ByteAutomaton:
    match shape:
        case ConstantsShape():
            texts = dict.fromkeys(json.dumps(value, ensure_ascii=False) for value in shape.values)
            if len(left := [text for text in texts if text not in without]) == 0:
                raise LanguageError("every constant of this shape is taken: no value is left")
            return from_words(_encoded(text) for text in left)
        case IntegerShape():
            return _less(integers(shape), without)
        case NumberShape():
            written = numbers(shape) if shape.multiple_of is None else multiples(shape)
            return _less(written, tuple(text for taken in without for text in number_spellings(taken)))
        case StringShape():
            return _less(_bodies(shape), without)
    raise LanguageError(f"a {type(shape).__name__} is no scalar: it has no slot language")


def _bodies(shape: StringShape) -> ByteAutomaton:
    if shape.format is None and not shape.patterns:
        return body_automaton(None, what="the string")
    found: ByteAutomaton | None = None
    if shape.format is not None:
        if shape.format not in FORMATS:
            raise LanguageError(
                f"format {shape.format!r} is not known: use one of {', '.join(sorted(FORMATS))}"
            )
        what = f"format {shape.format!r}"
        found = body_automaton(parse_pattern(FORMATS[shape.format].pattern), what=what)
    for pattern in shape.patterns:
        matching = body_automaton(parse_pattern(pattern), what=f"pattern {pattern!r}")
        found = matching if found is None else intersection(found, matching, what=f"pattern {pattern!r}")
    assert found is not None
    return found


def _with_counted_patterns(shape: StringShape) -> StringShape:
    """`^[a-z]{1,64}$` says a length: count it, as lengths are counted, and keep `^[a-z]*$`."""
    patterns: list[str] = []
    lowest, highest = shape.min_length, shape.max_length
    for pattern in shape.patterns:
        if (counted := counted_pattern(pattern)) is None:
            patterns.append(pattern)
            continue
        loose, low, high = counted
        patterns.append(loose)
        lowest = max(lowest, low)
        highest = high if highest is None or (high is not None and high < highest) else highest
    return replace(shape, patterns=tuple(patterns), min_length=lowest, max_length=highest)


def _lengths(shape: Shape) -> tuple[int, int | None]:
    if not isinstance(shape, StringShape):
        return 0, None
    limits = [shape.max_length, FORMATS[shape.format].max_length if shape.format else None]
    highest = min((limit for limit in limits if limit is not None), default=None)
    if highest is not None and highest < shape.min_length:
        raise LanguageError(f"no string has at least {shape.min_length} and at most {highest} characters")
    return shape.min_length, highest


def _less(automaton: ByteAutomaton, without: tuple[str, ...]) -> ByteAutomaton:
    if not without:
        return automaton
    taken = from_words(_encoded(text) for text in without)
    return difference(automaton, taken, what="an item that differs from those before it")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LanguageError(
            f"the constant {text!r} holds a lone surrogate, which has no UTF-8 text"
        ) from None
