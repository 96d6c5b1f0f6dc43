"""Randomness of one example: a pure function of (seed, index), with the few operations the grammar needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .pool import ToolPool

T = TypeVar("T")

_MIX = 0x9E3779B97F4A7C15
_FIRST_DAY = date(2018, 1, 1)


class Draw:
    """The random choices of one example, and the day it is set on."""

    __slots__ = ("random", "today", "pool")

    def __init__(self, seed: int, index: int, pool: ToolPool | None = None) -> None:
        self.pool = pool
        mixed = ((seed * _MIX) ^ (index * 0xD1342543DE82EF95)) & 0xFFFFFFFFFFFFFFFF
        self.random = Random(mixed).random
        self.today = _FIRST_DAY + timedelta(days=int(self.random() * 3900))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self.random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """An integer, both ends included."""
        return low + int(self.random() * (high - low + 1))

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """Distinct options in random order (fewer if there are not as many)."""
        pool = list(options)
        picked: list[T] = []
        while pool and len(picked) < count:
            picked.append(pool.pop(int(self.random() * len(pool))))
        return picked

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All options in random order."""
        return self.sample(options, len(options))
