"""Choosing a token: greedy or sampled, among those allowed, with honest probabilities.

Every request draws from a generator of its own, so that its turn is the same alone and in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen. Temperature 0 takes the most probable one."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token.

    `logprob` is its log-probability among the allowed tokens at temperature 1; `ending_logprob` that of all
    tokens that would have ended the slot, together.
    """

    token_id: int
    logprob: float
    ending_logprob: float


class Sampler:
    """Chooses the tokens of one turn."""

    def __init__(self, sampling: Sampling) -> None:
        """Begin at the seed."""
        self._sampling = sampling
        self._generator = np.random.default_rng(sampling.seed)

    def choose(
        self, logits: NDArray[np.float32], ids: NDArray[np.int64], ending: NDArray[np.int64] | None = None
    ) -> Choice:
        """Choose among `ids` (ascending, not empty).

        Args:
            logits: a row over the vocabulary.
            ids: the allowed tokens.
            ending: those of them whose joint probability is wanted as well.
        """
        scores = logits[ids]
        top = float(scores.max())
        if not np.isfinite(top):
            scores, top = _finite(scores)
        weights = np.exp(scores - top)
        total = float(weights.sum(dtype=np.float64))
        at = int(scores.argmax()) if self._sampling.temperature == 0 else self._drawn(scores, top)
        ending_logprob = -np.inf
        if ending is not None and len(ending):
            share = float(weights[np.searchsorted(ids, ending)].sum(dtype=np.float64))
            ending_logprob = _log(share / total)
        return Choice(int(ids[at]), _log(float(weights[at]) / total), ending_logprob)

    def _drawn(self, scores: NDArray[np.float32], top: float) -> int:
        weights = np.exp((scores.astype(np.float64) - top) / self._sampling.temperature)
        if self._sampling.top_p < 1.0:
            return self._drawn_from_nucleus(weights)
        cumulative = np.cumsum(weights)
        return _position(cumulative, self._generator.random())

    def _drawn_from_nucleus(self, weights: NDArray[np.float64]) -> int:
        order = np.argsort(-weights, kind="stable")
        cumulative = np.cumsum(weights[order])
        kept = int(np.searchsorted(cumulative, self._sampling.top_p * cumulative[-1])) + 1
        return int(order[_position(cumulative[:kept], self._generator.random())])


def _position(cumulative: NDArray[np.float64], draw: float) -> int:
    found = int(np.searchsorted(cumulative, draw * cumulative[-1], side="right"))
    return min(found, len(cumulative) - 1)


def _log(probability: float) -> float:
    return float(np.log(probability)) if probability > 0 else -np.inf


def _finite(scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Scores a broken or overflowing backbone may give, made comparable."""
    scores = np.nan_to_num(scores, nan=-1e30, posinf=1e30, neginf=-1e30)
    return scores, float(scores.max())
