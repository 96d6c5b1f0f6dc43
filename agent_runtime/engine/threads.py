"""How many threads a forward uses on the CPU.

Threads of one forward wait for each other a dozen times a layer, spinning. On an idle machine two threads
halve a prompt's time; where another process holds a core, each such wait costs a time slice, and a forward
of a small model takes a thousand times as long (measured: 8 ms for a 20 us product). So small forwards use
one thread, larger ones all of them unless a quick trial shows that the machine is busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

# Products (rows times weights) of about a millisecond on one thread; below, threads gain nothing.
_MIN_PRODUCTS = 10**8
# Above about a tenth of a second on one thread, all threads are always used: waiting is the smaller evil.
_MAX_PRODUCTS = 10**10
# A parallel operation takes some 20 us when every thread has a core to itself, and milliseconds otherwise.
_BUSY_S = 3e-4
_TRIAL_ELEMENTS = 1 << 17  # torch splits elementwise work from 32768 elements on
_FIRST_PAUSE, _LONGEST_PAUSE = 4, 256


@contextmanager
def using_threads(num_threads: int) -> Iterator[None]:
    """Within it, this thread (and no other) computes with so many."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ThreadChoice:
    """Chooses a number of threads per forward, and sets it for that forward on that thread only.

    Args:
        num_weights: weights every row is multiplied with.
        can_vary: whether results keep their bits whatever the number of threads.
        num_threads: all there are.
        trial: takes seconds as a parallel operation does; replaceable for tests.
    """

    def __init__(
        self,
        *,
        num_weights: int,
        can_vary: bool,
        num_threads: int,
        trial: Callable[[], float] | None = None,
    ) -> None:
        self._num_weights = num_weights
        self._can_vary = can_vary and num_threads > 1
        self._num_threads = num_threads
        self._trial = trial or _Trial()
        self._pause = _FIRST_PAUSE
        self._num_skipped = _FIRST_PAUSE

    def choose(self, num_rows: int) -> int:
        """Threads for a forward of this many rows."""
        products = num_rows * self._num_weights
        if not self._can_vary or products > _MAX_PRODUCTS:
            return self._num_threads
        if products < _MIN_PRODUCTS or self._is_busy():
            return 1
        return self._num_threads

    def for_rows(self, num_rows: int) -> AbstractContextManager[None]:
        """Within it, this thread computes with what `choose` says."""
        return using_threads(self.choose(num_rows)) if self._can_vary else nullcontext()

    def _is_busy(self) -> bool:
        """Try again after a pause that doubles while the machine stays busy."""
        if self._num_skipped < self._pause:
            self._num_skipped += 1
            return True
        if self._trial() > _BUSY_S:
            self._num_skipped, self._pause = 0, min(2 * self._pause, _LONGEST_PAUSE)
            return True
        self._pause = self._num_skipped = _FIRST_PAUSE
        return False


class _Trial:
    """Takes the time of a small parallel operation."""

    def __init__(self) -> None:
        self._buffer = torch.zeros(_TRIAL_ELEMENTS)

    def __call__(self) -> float:
        started = time.perf_counter()
        self._buffer.fill_(1.0)
        return time.perf_counter() - started
