"""What speaks for each value a slot may have, and how much each piece of it counts.

One list for training and serving, as for confidence. The weights are fitted on held-out calls after
training (`Calibration.values`); how values are found and chosen together is the runtime's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from .config import Frozen
from .errors import HeadsError


class ValueFeatures(NamedTuple):
    """What speaks for one value of a slot, whatever the other slots hold. Logarithms are natural."""

    is_drafted: float
    """1 for what the settled draft holds."""
    log_probability: float = 0.0
    """Of the value and its end, as the backbone finds it where no other slot is written."""
    log_span: float = 0.0
    """Log-probability that the span head gives it, of a slot that may be copied."""
    is_unproposed: float = 0.0
    """1 where the span head does not propose it."""
    is_constant: float = 0.0
    """1 where the slot holds one of several constants, which nobody copies."""
    is_absent: float = 0.0
    """1 for leaving the argument out."""
    absence_log_odds: float = 0.0
    """That it is left out, where it is."""


class ClashFeatures(NamedTuple):
    """What speaks against two values of one call, in two slots."""

    is_repeated: float = 0.0
    """1 where they are the same, which stands once in the conversation, or nowhere."""
    is_repeated_there: float = 0.0
    """1 where they are the same, and it stands there more than once."""
    is_overlapping: float = 0.0
    """1 where they differ, but are copied from places that overlap."""


NUM_WEIGHTS = len(ValueFeatures._fields) + len(ClashFeatures._fields)


class ValueWeights(Frozen):
    """How much each feature counts. With those of a draft alone nothing drafted is ever changed."""

    value: tuple[float, ...] = Field(
        default=(1.0, *[0.0] * (len(ValueFeatures._fields) - 1)),
        min_length=len(ValueFeatures._fields),
        max_length=len(ValueFeatures._fields),
    )
    """Of `ValueFeatures`, in their order."""

    clash: tuple[float, ...] = Field(
        default=(0.0,) * len(ClashFeatures._fields),
        min_length=len(ClashFeatures._fields),
        max_length=len(ClashFeatures._fields),
    )
    """Of `ClashFeatures`, in their order; below 0, values that clash are avoided."""

    @classmethod
    def of(cls, weights: Sequence[float]) -> ValueWeights:
        """Those of a value, then those of a clash."""
        if len(weights) != NUM_WEIGHTS:
            raise HeadsError(f"{len(weights)} weights of values: expected {NUM_WEIGHTS}")
        num_own = len(ValueFeatures._fields)
        return cls(value=tuple(weights[:num_own]), clash=tuple(weights[num_own:]))

    def score(self, features: ValueFeatures) -> float:
        """What speaks for a value: differences of scores are log-odds."""
        return sum(weight * feature for weight, feature in zip(self.value, features, strict=True))

    def clash_score(self, features: ClashFeatures) -> float:
        """What is added where two values stand in one call."""
        return sum(weight * feature for weight, feature in zip(self.clash, features, strict=True))
