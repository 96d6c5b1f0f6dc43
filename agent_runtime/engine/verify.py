"""Verified reading: one forward over a draft of the call decides as many tokens as the draft got right.

This is `fill="verified"`. The call is written by the very loop of fill.py, decision by decision, so its
tokens, confidences and limits are those of `fill="autoregressive"`; only the rows come differently. Where a
row is missing, the rest of the call is drafted (draft.py) and read together with what is certain, in one
causal forward: behind every drafted token that turns out right, the next row is there already. The first
that does not is corrected by the loop, and the rest is drafted anew from all that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..scaffold.frontier import CallFrontier
from .batching import BatchRule
from .draft import MAX_DRAFT_TOKENS, Draft, Drafter
from .program import Program
from .tape import Rows, Tape

_FREE_DRAFTS = 4
"""The first drafts of a call may be as long as they like: they are there to learn from."""

_LEAST_AHEAD = 4


def most_ahead(rule: BatchRule) -> int:
    """How many tokens it pays to read ahead: none where every row is read by itself."""
    return MAX_DRAFT_TOKENS if rule.padded_rows is None else max(0, rule.padded_rows - 1)


class VerifiedReader:
    """Gives the rows of one call to the loop that writes it."""

    def __init__(
        self, drafter: Drafter, *, tokens_left: Callable[[], int], max_ahead: int = MAX_DRAFT_TOKENS
    ) -> None:
        """Begin a call.

        Args:
            drafter: a new one for each call.
            max_ahead: the most tokens to read ahead.
            tokens_left: how many tokens the turn may still write; no more are read ahead.
        """
        self._drafter = drafter
        self._tokens_left = tokens_left
        self._max_ahead = self._most_ahead = max_ahead
        self._drafted_at = 0
        self._num_drafts = 0
        self._draft = Draft()

    def next_row(self, frontier: CallFrontier, tape: Tape) -> Program[Rows]:
        """The row behind everything on the tape; the frontier stands there too."""
        if tape.is_foreseen:
            rows = yield from tape.read(is_exact=True)
            return _last(rows)
        ahead = self.draft_ahead(frontier, tape)
        rows = yield from tape.read(ahead=ahead, is_exact=True)
        self.learn(_last(rows), tape)
        return _last(rows)

    def draft_ahead(self, frontier: CallFrontier, tape: Tape) -> Sequence[int]:
        """A draft of what follows the tape, where the frontier stands too; `learn` when it was read."""
        self._draft = self._next_draft(frontier, tape)
        return self._draft.token_ids

    def learn(self, row: Rows, tape: Tape) -> None:
        """Take what the backbone said of the last draft, which the tape holds as read ahead.

        Args:
            row: behind what was written before the draft.
            tape: as it stands after that forward.
        """
        self._drafter.learn(self._draft, row, tape.ahead_rows)

    def _next_draft(self, frontier: CallFrontier, tape: Tape) -> Draft:
        self._note_luck(tape)
        return self._drafter.draft(frontier, min(self._most_ahead, self._tokens_left()))

    def _note_luck(self, tape: Tape) -> None:
        """Read less ahead where drafts fail again and again, and more where they hold."""
        num_held, self._drafted_at = tape.length - self._drafted_at, tape.length
        self._num_drafts += 1
        if self._num_drafts <= _FREE_DRAFTS:
            return
        if num_held > self._most_ahead // 2:
            self._most_ahead = min(2 * self._most_ahead, self._max_ahead)
        elif num_held <= 2:
            self._most_ahead = min(max(self._most_ahead // 2, _LEAST_AHEAD), self._max_ahead)


def _last(rows: Rows) -> Rows:
    """The last of some rows."""
    row: Rows = rows[-1]
    return row
