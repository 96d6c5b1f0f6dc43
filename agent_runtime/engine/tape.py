"""The token sequence of one turn: what was read by the backbone, and what is written but not yet read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .program import Forward, Program

Rows = NDArray[np.float32]


class Tape:
    """Collects tokens and reads them together, so that what is forced costs no forward of its own."""

    def __init__(self) -> None:
        """Empty: nothing is written."""
        self._read_length = 0
        self._pending: list[int] = []
        self.num_forwards = 0
        self.num_cached = 0

    @property
    def length(self) -> int:
        """Tokens written, read or not."""
        return self._read_length + len(self._pending)

    @property
    def num_pending(self) -> int:
        """Tokens written but not read."""
        return len(self._pending)

    def write(self, token_ids: Sequence[int]) -> None:
        """Append tokens; they are read by the next `read`."""
        self._pending.extend(token_ids)

    def read(self, num_logits: int = 1) -> Program[Rows]:
        """One forward over all that is pending: the last `num_logits` rows of next-token logits."""
        token_ids, self._pending = self._pending, []
        reading = yield Forward(token_ids, self._read_length, num_logits)
        self._read_length += len(token_ids)
        self.num_forwards += 1
        self.num_cached += reading.cached_tokens
        rows: Rows = reading.logits.numpy()
        return rows

    def cut(self, length: int) -> None:
        """Forget everything behind the first `length` tokens."""
        if length > self.length:
            raise ValueError(f"cannot cut at {length}: only {self.length} tokens are written")
        if length >= self._read_length:
            del self._pending[length - self._read_length :]
        else:
            self._pending = []
            self._read_length = length
