"""The token sequence of one turn: what was read by the backbone, and what is written but not yet read.

Tokens may also be read ahead of being written: a guess of what comes next, read in the same forward as what
is certain. Whoever then writes the same finds it read; whoever writes something else loses nothing but the
guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .program import Forward, Program, Reading

Rows = NDArray[np.float32]

_NO_ROWS: Rows = np.empty((0, 0), dtype=np.float32)


class Tape:
    """Collects tokens and reads them together, so that what is forced costs no forward of its own."""

    def __init__(self) -> None:
        """Empty: nothing is written."""
        self._token_ids: list[int] = []
        self._read_length = 0
        self._pending: list[int] = []
        self._ahead: list[int] = []
        self._ahead_rows = _NO_ROWS
        self._states: Tensor | None = None
        self._ahead_states: Tensor | None = None
        self.num_forwards = 0
        self.num_cached = 0

    @property
    def length(self) -> int:
        """Tokens written, read or not."""
        return self._read_length + len(self._pending)

    @property
    def token_ids(self) -> Sequence[int]:
        """All tokens written."""
        return self._token_ids

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

    @property
    def states(self) -> Tensor | None:
        """The states that the last reading was asked for: of the last tokens read, (tokens, taps, hidden)."""
        return self._states

    @property
    def ahead_states(self) -> Tensor | None:
        """The states of the tokens that `ahead_rows` stand behind, where states were asked for with them."""
        return self._ahead_states

    def write(self, token_ids: Sequence[int]) -> None:
        """Append tokens; they are read by the next `read`."""
        self._token_ids.extend(token_ids)
        self._pending.extend(token_ids)

    def read(
        self,
        num_logits: int = 1,
        *,
        ahead: Sequence[int] = (),
        is_exact: bool = False,
        num_states: int = 0,
    ) -> Program[Rows]:
        """The last `num_logits` rows of next-token logits of all that is pending, in one forward or none.

        Args:
            num_logits: rows that are wanted.
            ahead: tokens that may come next, read in the same forward if there is one, always exactly. They
                are not written; their rows are kept.
            is_exact: whether the rows of what is pending must be the same whatever is read together.
            num_states: states of the last so many tokens written are kept in `states`; then those of the
                tokens ahead are kept too.
        """
        token_ids, num_known, known = self._take_pending(num_logits)
        rest = token_ids[num_known:]
        if not rest and (token_ids or (num_states and not ahead)):
            self._drop_ahead(num_known)
            self._read_length += num_known
            self._states = None
            if num_states:
                yield from self._read_states(num_states)
            return known
        num_wanted = min(num_logits, len(rest))
        at = self._read_length + num_known
        asked_states = num_states + len(ahead) if num_states else 0
        reading = yield Forward(
            [*rest, *ahead],
            at,
            num_wanted + len(ahead),
            is_exact=is_exact,
            num_states=asked_states,
            num_exact=len(ahead),
        )
        self._read_length += len(token_ids)
        self._note(reading)
        rows: Rows = reading.logits.numpy()
        self._ahead, self._ahead_rows = list(ahead), rows[num_wanted:]
        self._keep_states(reading, num_states)
        return _joined(known, rows[:num_wanted])

    def read_branches(
        self,
        branches: Sequence[Sequence[int]],
        *,
        num_logits: int = 1,
        num_states: int = 0,
        is_exact: bool = False,
        behind: int | None = None,
        ahead: Sequence[int] = (),
    ) -> Program[Reading]:
        """Read branches beside one another, each as if it alone came next, and all that is pending with them.

        One forward. Nothing of the branches is written, and what was read ahead before is given up.

        Args:
            branches: one or more, none of them empty.
            num_logits: rows that are wanted of each branch, counted from its end.
            num_states: states that are wanted of the last so many tokens written.
            is_exact: whether what is pending must be read as `read` reads it with `is_exact`.
            behind: tokens of the tape that the branches go on from; all of them when left out. It must be
                given where something is read ahead, which branches do not see.
            ahead: tokens that may come next, as in `read`.

        Returns:
            The branches' rows and states; as `logits` the row behind the last pending token, if anything was
            pending.
        """
        token_ids, num_known, known = self._take_pending(1)
        rest = token_ids[num_known:]
        num_wanted = min(1, len(rest))
        reading = yield Forward(
            [*rest, *ahead],
            self._read_length + num_known,
            num_wanted + len(ahead),
            is_exact=is_exact and bool(rest or ahead),
            branches=branches,
            num_branch_logits=num_logits,
            num_states=num_states + len(ahead) if num_states else 0,
            branches_behind=behind,
        )
        self._read_length += len(token_ids)
        self._note(reading)
        self._ahead, self._ahead_rows = list(ahead), reading.logits.numpy()[num_wanted:]
        self._keep_states(reading, num_states)
        row = reading.logits[:num_wanted] if rest else torch.from_numpy(known.copy())
        return replace(reading, logits=row, states=self._states)

    def _take_pending(self, num_logits: int) -> tuple[list[int], int, Rows]:
        """What is pending, how much of it was read ahead, and the wanted rows of that part."""
        token_ids, self._pending = self._pending, []
        num_known = _num_common(token_ids, self._ahead)
        return token_ids, num_known, self._ahead_rows[:num_known][max(0, len(token_ids) - num_logits) :]

    def _drop_ahead(self, count: int) -> None:
        """The first tokens read ahead are written now."""
        self._ahead, self._ahead_rows = self._ahead[count:], self._ahead_rows[count:]
        if self._ahead_states is not None:
            self._ahead_states = self._ahead_states[count:]

    def _read_states(self, num_states: int) -> Program[None]:
        """States of what is read already; nothing is computed, and what is read ahead stays so."""
        end = self._read_length + len(self._ahead)
        reading = yield Forward([], end, 0, num_states=num_states + len(self._ahead))
        self._keep_states(reading, num_states)

    def _keep_states(self, reading: Reading, num_states: int) -> None:
        self._states = self._ahead_states = None
        if reading.states is not None:
            self._states, self._ahead_states = reading.states[:num_states], reading.states[num_states:]

    def _note(self, reading: Reading) -> None:
        self.num_forwards += 1
        self.num_cached += reading.cached_tokens

    def cut(self, length: int) -> None:
        """Forget everything behind the first `length` tokens."""
        if length > self.length:
            raise ValueError(f"cannot cut at {length}: only {self.length} tokens are written")
        del self._token_ids[length:]
        if length >= self._read_length:
            del self._pending[length - self._read_length :]
        else:
            self._pending = []
            self._read_length = length
            self._ahead, self._ahead_rows, self._ahead_states = [], _NO_ROWS, None


def _joined(known: Rows, rows: Rows) -> Rows:
    """Rows that were read ahead and those behind them."""
    return np.concatenate([known, rows]) if len(known) else rows


def _num_common(token_ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    num_common = 0
    for one, other in zip(token_ids, others, strict=False):
        if one != other:
            break
        num_common += 1
    return num_common
