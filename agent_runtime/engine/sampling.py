"""Choosing a token: greedy or sampled, among those allowed, with honest probabilities.

Every request draws from a generator of its own, so that its turn is the same alone and in a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_IDS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


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
    tokens that would have ended the slot, together. `entropy` (in nats) and `rival_logprob`, the best of what
    else could have come, take ending the slot for one outcome.
    """

    token_id: int
    logprob: float
    ending_logprob: float
    entropy: float = 0.0
    rival_logprob: float = -math.inf


class Sampler:
    """Chooses the tokens of one turn."""

    def __init__(self, sampling: Sampling) -> None:
        """Begin at the seed."""
        self._sampling = sampling
        self._generator = np.random.default_rng(sampling.seed)

    def choose(
        self, logits: NDArray[np.float32], ids: NDArray[np.int64], ending: NDArray[np.int64] = NO_IDS
    ) -> Choice:
        """Choose among `ids` and `ending`: ascending, disjoint, not both empty.

        Args:
            logits: a row over the vocabulary.
            ids: tokens that go on.
            ending: tokens that end the slot; their joint probability is reported.
        """
        going, stopping = _taken(logits, ids), logits[ending]
        top = max(_top(going), _top(stopping))
        if not math.isfinite(top):
            going, stopping = _finite(going), _finite(stopping)
            top = max(_top(going), _top(stopping))
        stopping_weights = np.exp(stopping - top)
        stopping_weight = float(stopping_weights.sum(dtype=np.float64))
        going_weights = np.exp(going - top)
        total = float(going_weights.sum(dtype=np.float64)) + stopping_weight
        if self._sampling.temperature == 0:
            is_ending, at = _best(going, stopping, ids, ending)
        else:
            at = self._drawn(np.concatenate([going, stopping]), top)
            is_ending = at >= len(going)
            at -= len(going) if is_ending else 0
        token_id, score = (ending[at], stopping[at]) if is_ending else (ids[at], going[at])
        log_total = math.log(total)
        ending_logprob = math.log(stopping_weight) - log_total if stopping_weight > 0 else -math.inf
        rival = _top(going) if is_ending else _second(going, at)
        return Choice(
            token_id=int(token_id),
            logprob=float(score) - top - log_total,
            ending_logprob=ending_logprob,
            entropy=log_total
            - (_weighed(going_weights, going - top) + _self_weighed(stopping_weight)) / total,
            rival_logprob=max(rival - top - log_total, -math.inf if is_ending else ending_logprob),
        )

    def _drawn(self, scores: NDArray[np.float32], top: float) -> int:
        weights = np.exp((scores.astype(np.float64) - top) / self._sampling.temperature)
        if self._sampling.top_p < 1.0:
            return self._drawn_from_nucleus(weights)
        return _position(np.cumsum(weights), self._generator.random())

    def _drawn_from_nucleus(self, weights: NDArray[np.float64]) -> int:
        order = np.argsort(-weights, kind="stable")
        cumulative = np.cumsum(weights[order])
        kept = int(np.searchsorted(cumulative, self._sampling.top_p * cumulative[-1])) + 1
        return int(order[_position(cumulative[:kept], self._generator.random())])


def _taken(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The scores of some ids; a run of ids, as a vocabulary's text tokens are, is not copied."""
    if len(ids) and ids[-1] - ids[0] == len(ids) - 1:
        return logits[ids[0] : ids[-1] + 1]
    return logits[ids]


def _top(scores: NDArray[np.float32]) -> float:
    return float(scores.max()) if len(scores) else -math.inf


def _second(scores: NDArray[np.float32], taken: int) -> float:
    """The best score but for the one at a place."""
    return max(_top(scores[:taken]), _top(scores[taken + 1 :]))


def _weighed(weights: NDArray[np.float32], logs: NDArray[np.float32]) -> float:
    """The sum of weights times their logarithms, where those of nothing count nothing."""
    with np.errstate(invalid="ignore"):
        return float(np.nansum(weights * logs, dtype=np.float64))


def _self_weighed(weight: float) -> float:
    return weight * math.log(weight) if weight > 0 else 0.0


def _best(
    going: NDArray[np.float32],
    stopping: NDArray[np.float32],
    ids: NDArray[np.int64],
    ending: NDArray[np.int64],
) -> tuple[bool, int]:
    """The most probable token, the lowest id among equals: whether it ends, and where it stands."""
    if not len(stopping):
        return False, int(going.argmax())
    last = int(stopping.argmax())
    if not len(going):
        return True, last
    first = int(going.argmax())
    is_ending = (stopping[last], -ending[last]) > (going[first], -ids[first])
    return bool(is_ending), last if is_ending else first


def _position(cumulative: NDArray[np.float64], draw: float) -> int:
    found = int(np.searchsorted(cumulative, draw * cumulative[-1], side="right"))
    return min(found, len(cumulative) - 1)


def _finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores a broken or overflowing backbone may give, made comparable."""
    return np.nan_to_num(scores, nan=-1e30, posinf=1e30, neginf=-1e30)
