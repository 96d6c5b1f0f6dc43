"""The token sequence of one turn: what was read by the backbone, and what is written but not yet read.

Tokens may also be read ahead of being written: a guess of what comes next, read in the same forward as what
is certain. Whoever then writes the same finds it read; whoever writes something else loses nothing but the
guess.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .program import Forward, Program

Rows = NDArray[np.float32]

_NO_ROWS: Rows = np.empty((0, 0), dtype=np.float32)


class Tape:
    """Collects tokens and reads them together, so that what is forced costs no forward of its own."""

    def __init__(self) -> None:
        """Empty: nothing is written."""
        self._read_length = 0
        self._pending: list[int] = []
        self._ahead: list[int] = []
        self._ahead_rows = _NO_ROWS
        self.num_forwards = 0
        self.num_cached = 0

    @property
    def length(self) -> int:
        """Tokens written, read or not."""
        return self._read_length + len(self._pending)

    @property
    def num_pending(self) -> int:
        """Tokens written whose rows nobody asked for."""
        return len(self._pending)

    @property
    def is_foreseen(self) -> bool:
        """Whether something is pending and all of it was read ahead: reading it takes no forward."""
        return 0 < len(self._pending) == _num_common(self._pending, self._ahead)

    @property
    def ahead_rows(self) -> Rows:
        """The rows behind the tokens that were read ahead and are neither written nor refuted."""
        return self._ahead_rows

    def write(self, token_ids: Sequence[int]) -> None:
        """Append tokens; they are read by the next `read`."""
        self._pending.extend(token_ids)

    def read(
        self, num_logits: int = 1, *, ahead: Sequence[int] = (), is_exact: bool = False
    ) -> Program[Rows]:
        """The last `num_logits` rows of next-token logits of all that is pending, in one forward or none.

        Args:
            num_logits: rows that are wanted.
            ahead: tokens that may come next, read in the same forward if there is one. They are not
                written; their rows are kept.
            is_exact: whether the rows must be the same whatever is read together.
        """
        token_ids, self._pending = self._pending, []
        num_known = _num_common(token_ids, self._ahead)
        rest = token_ids[num_known:]
        known = self._ahead_rows[:num_known][max(0, len(token_ids) - num_logits) :]
        if not rest and token_ids:
            self._ahead, self._ahead_rows = self._ahead[num_known:], self._ahead_rows[num_known:]
            self._read_length += num_known
            return known
        num_wanted = min(num_logits, len(rest))
        at = self._read_length + num_known
        reading = yield Forward([*rest, *ahead], at, num_wanted + len(ahead), is_exact=is_exact)
        self._read_length += len(token_ids)
        self.num_forwards += 1
        self.num_cached += reading.cached_tokens
        rows: Rows = reading.logits.numpy()
        self._ahead, self._ahead_rows = list(ahead), rows[num_wanted:]
        return np.concatenate([known, rows[:num_wanted]]) if len(known) else rows[:num_wanted]

    def cut(self, length: int) -> None:
        """Forget everything behind the first `length` tokens."""
        if length > self.length:
            raise ValueError(f"cannot cut at {length}: only {self.length} tokens are written")
        if length >= self._read_length:
            del self._pending[length - self._read_length :]
        else:
            self._pending = []
            self._read_length = length
            self._ahead, self._ahead_rows = [], _NO_ROWS


def _num_common(token_ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    num_common = 0
    for one, other in zip(token_ids, others, strict=False):
        if one != other:
            break
        num_common += 1
    return num_common
