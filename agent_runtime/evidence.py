"""Where in the conversation an argument's value was read: half-open character spans of messages.

Looks for the value as it is written; a learned guess is the business of the heads. A string's span reads
exactly like its value. A number's span is how it was said: `1,250,000`, or `three`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .messages import EvidenceSpan, Message

_NUMBER = re.compile(
    r"(?<![\w.,])[-+\u2212]?(?:\d{1,3}(?:[,\u00a0\u202f ]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)"
)
_NUMBER_AND_UNIT = re.compile(r"(?<![\w.,])[-+\u2212]?\d+(?:\.\d+)?(?=[^\W\d_]+\b)")
_GROUPING = re.compile(r"[,\u00a0\u202f ]")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?:[- ]({'|'.join(_UNITS[1:10])}))?|({'|'.join(_UNITS)}))\b", re.IGNORECASE
)
_MOST_DIGITS = 40  # longer runs of digits are no numbers anyone means

_INFLECTION = re.compile(r"(?:s|es|ed|ing|ly|er|ers)(?![^\W\d_])")
_LEAST_STEM = 3  # shorter ones begin too many other words
_WORD = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

# Weights of what speaks for one of several places, in characters of distance.
_FAR = 300.0
_USED_HERE = 400
_USED_BEFORE = 120
_LABEL_REACH = 40
_LABEL_WORTH = 60
_MOST_PLACES = 24
_MOST_NUMBERS = 64
_UNTOLD = frozenset("the and for with from that this which optional use used value given name".split())


@dataclass(frozen=True, slots=True)
class _Found:
    """Places of one value in one message, the best kind there is."""

    message_index: int
    spans: tuple[tuple[int, int], ...]


def find_evidence(value: Any, messages: Sequence[Message]) -> EvidenceSpan | None:
    """The span a value was most likely read from, or None where it stands nowhere.

    User messages come first, the latest before earlier ones; then tool results, then system messages. Strings
    are looked for verbatim, as whole words before stems of words; numbers in any spelling, words included.
    """
    found = _find(value, messages)
    return None if found is None else _span(found, found.spans[0])


def find_call_evidence(
    values: Mapping[str, Any],
    messages: Sequence[Message],
    *,
    labels: Mapping[str, str] | None = None,
    earlier: Sequence[Mapping[str, EvidenceSpan | None]] = (),
) -> dict[str, EvidenceSpan | None]:
    """The spans the values of one call were read from.

    Where a value stands several times in a message, the place is chosen that is near the call's other values
    and behind words that tell what the argument is, and that no other value was read from.

    Args:
        values: by path.
        messages: the conversation.
        labels: what describes each value, beside the names in its path.
        earlier: evidence of the turn's earlier calls.
    """
    found = {path: _find(value, messages) for path, value in values.items()}
    chosen: dict[str, EvidenceSpan | None] = dict.fromkeys(values)
    unsure: list[tuple[str, _Found]] = []
    for path, places in found.items():
        if places is not None:
            if len(places.spans) == 1:
                chosen[path] = _span(places, places.spans[0])
            else:
                unsure.append((path, places))
    used_before = {span for spans in earlier for span in spans.values() if span is not None}
    for path, places in sorted(unsure, key=lambda pair: len(pair[1].spans)):
        centre = _centre(chosen, path, places.message_index)
        chosen[path] = _best_place(
            places,
            messages[places.message_index].content,
            label=_label_weights(path, (labels or {}).get(path, "")),
            centre=_behind(earlier, places.message_index) if centre is None else centre,
            used_here={span for span in chosen.values() if span is not None},
            used_before=used_before,
        )
    return chosen


def support_of(span: EvidenceSpan, text: str, path: str, description: str = "") -> float:
    """How much the words before a span speak of an argument: 0 for not at all, about 1 for its name.

    Args:
        span: in the text.
        text: the message's.
        path: of the argument.
        description: of it.
    """
    return _told(text, span.start, _label_weights(path, description))


def places_of(value: Any, text: str) -> int:
    """How often a value stands in a text, as words of their own."""
    found = _find(value, (Message(role="user", content=text),))
    return 0 if found is None else len(found.spans)


def numbers_in(text: str) -> tuple[tuple[int, int], ...]:
    """The spans of the numbers that stand in a text in digits, `70kg` included."""
    return _digits_in(text)


@lru_cache(maxsize=32)
def _digits_in(text: str) -> tuple[tuple[int, int], ...]:
    found = {match.span() for pattern in (_NUMBER, _NUMBER_AND_UNIT) for match in pattern.finditer(text)}
    return tuple(sorted(found)[:_MOST_NUMBERS])


def _best_place(
    places: _Found,
    text: str,
    *,
    label: Mapping[str, float],
    centre: float | None,
    used_here: set[EvidenceSpan],
    used_before: set[EvidenceSpan],
) -> EvidenceSpan:
    def cost(span: EvidenceSpan) -> float:
        return (
            (0.0 if centre is None else min(abs(span.start - centre), _FAR))
            + _USED_HERE * (span in used_here)
            + _USED_BEFORE * (span in used_before)
            - _LABEL_WORTH * _told(text, span.start, label)
        )

    return min((_span(places, at) for at in places.spans), key=cost)


def _span(found: _Found, at: tuple[int, int]) -> EvidenceSpan:
    return EvidenceSpan(message_index=found.message_index, start=at[0], end=at[1])


def _centre(chosen: Mapping[str, EvidenceSpan | None], path: str, message_index: int) -> float | None:
    """Where the values are that are known already: those of the same list or object if there are any."""
    known = {
        other: span.start
        for other, span in chosen.items()
        if span is not None and span.message_index == message_index
    }
    parent = path.rpartition(".")[0]
    near = [start for other, start in known.items() if parent and other.rpartition(".")[0] == parent]
    starts = near or list(known.values())
    return sum(starts) / len(starts) if starts else None


def _behind(earlier: Sequence[Mapping[str, EvidenceSpan | None]], message_index: int) -> float | None:
    """Where the turn's calls before this one end, if anything was read for them: calls are made in order."""
    for spans in reversed(earlier):
        ends = [span.end for span in spans.values() if span and span.message_index == message_index]
        if ends:
            return float(max(ends))
    return None


@lru_cache(maxsize=256)
def _label_weights(path: str, description: str) -> Mapping[str, float]:
    """The words that speak of an argument: those of its name more than those of its description."""
    names = [part for part in path.split(".") if not part.isdigit()]
    weights = {word: 0.5 for word in _words(description) if len(word) > 2 and word not in _UNTOLD}
    return weights | dict.fromkeys(_words(_CAMEL.sub(" ", names[-1]) if names else ""), 1.0)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _told(text: str, start: int, label: Mapping[str, float]) -> float:
    """How much the words before a place speak of the argument; nearer ones say more."""
    first = max(0, start - _LABEL_REACH)
    best: dict[str, float] = {}
    for match in _WORD.finditer(text, first, start):
        word = match[0].lower()
        if word in label:
            best[word] = label[word] * (1.0 - (start - match.end()) / _LABEL_REACH)
    return sum(best.values())


def _find(value: Any, messages: Sequence[Message]) -> _Found | None:
    if isinstance(value, str):
        return _find_string(value, messages)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _find_number(value, messages)
    return None


def _searched(messages: Sequence[Message]) -> Iterator[tuple[int, str]]:
    for role in ("user", "tool", "system"):
        for index in range(len(messages) - 1, -1, -1):
            if messages[index].role == role:
                yield index, messages[index].content


def _find_string(value: str, messages: Sequence[Message]) -> _Found | None:
    if not value.strip():
        return None
    stems: _Found | None = None
    for index, text in _searched(messages):
        starts = _starts(text, value)
        spans = tuple((start, start + len(value)) for start in starts)
        whole = tuple(span for span in spans if _is_whole(text, *span))
        if whole:
            return _Found(index, whole)
        stem = tuple(span for span in spans if _is_stem(text, *span))
        stems = stems or (_Found(index, stem) if stem else None)
    return stems


def _starts(text: str, value: str) -> list[int]:
    starts: list[int] = []
    start = text.find(value)
    while start >= 0 and len(starts) < _MOST_PLACES:
        starts.append(start)
        start = text.find(value, start + 1)
    return starts


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether the span begins and ends where words do."""
    return not _is_inside_word(text, start) and not _is_inside_word(text, end)


def _is_inside_word(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    return before.isalnum() and after.isalnum() and not (_SPACELESS.match(before) or _SPACELESS.match(after))


def _is_stem(text: str, start: int, end: int) -> bool:
    """Whether a word follows from the span: `inch` in `inches`, `10:20` in `10:20am`."""
    if _is_inside_word(text, start):
        return False
    if text[end - 1].isdigit():
        return text[end].isalpha()
    return end - start >= _LEAST_STEM and _INFLECTION.match(text, end) is not None


def _find_number(value: float, messages: Sequence[Message]) -> _Found | None:
    joined: _Found | None = None
    for index, text in _searched(messages):
        said, with_unit = _numbers(text)
        if value in said:
            return _Found(index, said[value][:_MOST_PLACES])
        if joined is None and value in with_unit:
            joined = _Found(index, with_unit[value][:_MOST_PLACES])
    return joined


_Places = dict[float, tuple[tuple[int, int], ...]]


@lru_cache(maxsize=32)
def _numbers(text: str) -> tuple[_Places, _Places]:
    """Where each number stands, in digits or in words; and those that a unit is joined to, as in `70kg`."""
    said: dict[float, list[tuple[int, int]]] = {}
    with_unit: dict[float, list[tuple[int, int]]] = {}
    for pattern, places in ((_NUMBER, said), (_NUMBER_AND_UNIT, with_unit)):
        for match in pattern.finditer(text):
            number = _number_of(match[0])
            if number is not None:
                places.setdefault(number, []).append(match.span())
    for match in _NUMBER_WORDS.finditer(text):
        tens, unit, alone = (part and part.lower() for part in match.groups())
        number = _UNITS.index(alone) if alone else 20 + 10 * _TENS.index(tens)
        said.setdefault(number + (_UNITS.index(unit) if unit else 0), []).append(match.span())
    return (
        {number: tuple(sorted(spans)) for number, spans in said.items()},
        {number: tuple(spans) for number, spans in with_unit.items()},
    )


def _number_of(text: str) -> float | None:
    plain = _GROUPING.sub("", text).replace("\u2212", "-")
    if len(plain) > _MOST_DIGITS:
        return None
    return float(plain) if any(mark in plain for mark in ".eE") else int(plain)
