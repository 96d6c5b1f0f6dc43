"""Where in the conversation an argument's value was read: half-open character spans of messages.

Looks for the value as it is written; a learned guess is the business of the heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .messages import EvidenceSpan, Message

_NUMBER = re.compile(
    r"(?<![\w.,])[-+\u2212]?(?:\d{1,3}(?:[,\u00a0\u202f ]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)"
)
_GROUPING = re.compile(r"[,\u00a0\u202f ]")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_MOST_DIGITS = 40  # longer runs of digits are no numbers anyone means


def find_evidence(value: Any, messages: Sequence[Message]) -> EvidenceSpan | None:
    """The span a value was most likely read from, or None where it stands nowhere.

    User messages come first, the latest before earlier ones; then tool results, then system messages. Strings
    are looked for verbatim, as whole words before parts of words; numbers in any spelling, words included.
    """
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


def _find_string(value: str, messages: Sequence[Message]) -> EvidenceSpan | None:
    if not value.strip():
        return None
    part: EvidenceSpan | None = None
    for index, text in _searched(messages):
        start = text.find(value)
        while start >= 0:
            span = EvidenceSpan(message_index=index, start=start, end=start + len(value))
            if _is_whole(text, span.start, span.end):
                return span
            part = part or span
            start = text.find(value, start + 1)
    return part


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether the span begins and ends where words do."""
    begins_inside = start > 0 and text[start].isalnum() and text[start - 1].isalnum()
    ends_inside = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not begins_inside and not ends_inside


def _find_number(value: float, messages: Sequence[Message]) -> EvidenceSpan | None:
    words = _number_words(value)
    for index, text in _searched(messages):
        for match in _NUMBER.finditer(text):
            if _says(match[0], value):
                return EvidenceSpan(message_index=index, start=match.start(), end=match.end())
        found = re.search(rf"\b{words}\b", text, re.IGNORECASE) if words else None
        if found:
            return EvidenceSpan(message_index=index, start=found.start(), end=found.end())
    return None


def _says(text: str, value: float) -> bool:
    plain = _GROUPING.sub("", text).replace("\u2212", "-")
    if len(plain) > _MOST_DIGITS:
        return False
    return (float(plain) if any(mark in plain for mark in ".eE") else int(plain)) == value


def _number_words(value: float) -> str:
    """A pattern of the English words for a small whole number; empty where there is none."""
    if value != int(value) or not 0 <= value < 100:
        return ""
    tens, units = divmod(int(value), 10)
    if value < 20:
        return _UNITS[int(value)]
    return _TENS[tens - 2] + (f"[- ]{_UNITS[units]}" if units else "")
