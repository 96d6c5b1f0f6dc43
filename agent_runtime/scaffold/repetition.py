"""Noticing that a text only repeats itself, so that it can be ended before it has used up its tokens.

A small model can fall into a loop ("Rome and Rome and Rome and ...") that it never leaves by itself. What
counts is exact: at least `MIN_TOKENS` tokens that are at least `MIN_COPIES` copies of the same few. Shorter
repetitions, as people write them on purpose, are never touched.
"""

from __future__ import annotations

MIN_TOKENS = 64
MIN_COPIES = 4
MAX_PERIOD = 32
"""The longest text, in tokens, whose copies are looked for."""


class RepetitionWatch:
    """Follows a value, or words, token by token."""

    __slots__ = ("_lags", "_token_ids")

    def __init__(self) -> None:
        """No tokens yet."""
        self._token_ids: list[int] = []
        self._lags = [0] * (MAX_PERIOD + 1)
        """For every period: how many of the last tokens equal the one so many places before."""

    def copy(self) -> RepetitionWatch:
        """An independent watch of the same value."""
        twin = RepetitionWatch()
        twin._token_ids, twin._lags = self._token_ids.copy(), self._lags.copy()
        return twin

    def add(self, token_id: int) -> int:
        """Take a token; how many of the last tokens are nothing but copies, 0 if there are too few."""
        ids, lags = self._token_ids, self._lags
        longest = 0
        for period in range(1, min(len(ids), MAX_PERIOD) + 1):
            lags[period] = lags[period] + 1 if ids[-period] == token_id else 0
            length = lags[period] + period
            if length >= MIN_TOKENS and length >= MIN_COPIES * period:
                longest = max(longest, length)
        ids.append(token_id)
        return longest
