"""Log-probabilities on request: of every token of words or of a call, with the best alternatives.

They are those among the tokens that could have come, at temperature 1. A token that had to come has 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..messages import TokenLogprob
from .sampling import Choice
from .tape import Rows
from .view import BackboneView


class TokenLog:
    """Collects the tokens of one text."""

    def __init__(self, view: BackboneView, num_top: int) -> None:
        """No tokens yet.

        Args:
            view: the backbone's tokens.
            num_top: how many alternatives come with each token.
        """
        self._view = view
        self._num_top = num_top
        self._tokens: list[TokenLogprob] = []

    @property
    def tokens(self) -> tuple[TokenLogprob, ...]:
        """What was written so far."""
        return tuple(self._tokens)

    def note_forced(self, token_ids: Sequence[int]) -> None:
        """Tokens without any alternative."""
        for token_id in token_ids:
            text = self._shown(token_id)
            top = ((text, 0.0),) if self._num_top else ()
            self._tokens.append(TokenLogprob(token=text, logprob=0.0, top=top))

    def note_choice(
        self, logits: Rows, ids: NDArray[np.int64], others: NDArray[np.int64], choice: Choice
    ) -> None:
        """A token that was chosen among two sets that have none in common."""
        allowed = np.concatenate([ids, others])
        scores = logits[allowed]
        best = np.argsort(-scores, kind="stable")[: self._num_top]
        # The chosen token's own log-probability fixes the scale of the others.
        shift = choice.logprob - float(logits[choice.token_id])
        top = tuple((self._shown(int(allowed[at])), float(scores[at]) + shift) for at in best)
        self._tokens.append(TokenLogprob(token=self._shown(choice.token_id), logprob=choice.logprob, top=top))

    def _shown(self, token_id: int) -> str:
        view = self._view
        if token_id in view.ends or token_id in (view.call_open, view.think_close):
            return view.control_text(token_id)
        return view.bytes_of((token_id,)).decode(errors="replace")
