"""How many requests are worked on at once; the next one is refused instead of kept waiting in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .refusal import overloaded

_RETRY_AFTER_S = 1.0


class Places:
    """So many places for requests whose bodies are held in memory.

    The engine has a queue of its own, and refuses when that is full. These places bound what is read and
    compiled before a request gets that far.

    Args:
        number: how many.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._num_taken = 0

    def check(self) -> None:
        """Whether one is free now.

        Raises:
            Refusal: none is.
        """
        if self._num_taken >= self._number:
            raise overloaded(
                f"{self._num_taken} requests are being answered or wait already: retry in about "
                f"{_RETRY_AFTER_S:.0f} s, or raise max_queue",
                _RETRY_AFTER_S,
            )

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one.

        Raises:
            Refusal: none is free.
        """
        self.check()
        self._num_taken += 1
        try:
            yield
        finally:
            self._num_taken -= 1
