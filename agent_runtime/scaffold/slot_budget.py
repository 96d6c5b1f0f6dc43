"""How many tokens a slot may hold: one function for training and serving.

`tokens` is what a parallel fill reserves and may grow; `limit` is the hard cap of a fill that writes
token by token and stops by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .shape import (
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    Shape,
    StringShape,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotBudget:
    """`tokens` to begin with, `limit` at most."""

    tokens: int
    limit: int

    def grown(self, by: int) -> SlotBudget:
        """The budget after one round of expansion."""
        return SlotBudget(tokens=min(self.tokens + by, self.limit), limit=self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotBudgetRules:
    """What budgets are made from, in tokens. Saved with a head bundle, so that serving follows training."""

    extra: int = 2
    """Added to every estimate."""

    maximum: int = 32
    """The most a slot begins with; it may grow from there."""

    limit: int = 1024
    """The most a free string or a grammar's value may ever hold."""


DEFAULT_RULES = SlotBudgetRules()

_SCALAR_LIMIT = 48
"""Digits and signs of one number; more than any value that survives a float or a 64-bit integer."""

# Words of a property's name or description and the tokens its value usually takes; the first hit counts.
_STRING_ESTIMATES = (
    (re.compile(r"\b(id|ids|code|key|uuid|symbol|currency|unit|units|lang|language)\b"), 10),
    (re.compile(r"\b(name|title|label|username)\b"), 15),
    (re.compile(r"\b(description|details|message|body|content|text|query|note|notes|summary|comment)\b"), 30),
    (re.compile(r"\b(city|location|address|place|country|destination|origin)\b"), 20),
)
_FORMAT_ESTIMATES = {
    "date": 10,
    "time": 12,
    "date-time": 22,
    "duration": 8,
    "uuid": 30,
    "email": 16,
    "uri": 24,
    "hostname": 12,
    "ipv4": 10,
    "ipv6": 24,
}
_UNKNOWN_ESTIMATE = 20
_NUMBER_ESTIMATE = 5


def slot_budget(
    shape: Shape,
    *,
    name: str = "",
    description: str = "",
    constants: Sequence[str] = (),
    rules: SlotBudgetRules = DEFAULT_RULES,
) -> SlotBudget:
    """The budget of a slot of this shape.

    Args:
        shape: what the slot may hold.
        name: the property's name; together with the description it tells how long a string gets.
        description: the property's description.
        constants: the texts of a constants slot. A text never takes more tokens than it has bytes.
        rules: the numbers behind the estimate.
    """
    if isinstance(shape, ConstantsShape):
        longest = max((len(text.encode()) for text in constants), default=1)
        return SlotBudget(tokens=min(longest, rules.maximum), limit=longest)
    limit = _limit(shape, rules)
    estimate = _estimate(shape, f"{name} {description}", rules)
    return SlotBudget(tokens=max(1, min(estimate + rules.extra, rules.maximum, limit)), limit=limit)


def _limit(shape: Shape, rules: SlotBudgetRules) -> int:
    if isinstance(shape, (IntegerShape, NumberShape)):
        return min(_SCALAR_LIMIT, rules.limit)
    if isinstance(shape, StringShape) and shape.max_length is not None:
        # A character takes at most twelve tokens: a pair of \uXXXX escapes.
        return max(1, min(rules.limit, 12 * shape.max_length))
    return rules.limit


def _estimate(shape: Shape, words: str, rules: SlotBudgetRules) -> int:
    if isinstance(shape, (IntegerShape, NumberShape)):
        return _NUMBER_ESTIMATE
    if isinstance(shape, GrammarShape):
        return rules.maximum
    if isinstance(shape, StringShape):
        return max(_string_estimate(shape, words), shape.min_length // 4)
    return _UNKNOWN_ESTIMATE


def _string_estimate(shape: StringShape, words: str) -> int:
    if shape.format in _FORMAT_ESTIMATES:
        return _FORMAT_ESTIMATES[shape.format]
    # city_name and cityName are read as words
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-.]", " ", words).lower()
    for pattern, estimate in _STRING_ESTIMATES:
        if pattern.search(spaced):
            return estimate
    return _UNKNOWN_ESTIMATE
