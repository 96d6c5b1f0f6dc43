"""Temperatures and thresholds: fitted on held-out data after training, applied in serving.

They are numbers beside the weights, so that fitting them anew never touches a weight.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from .config import Frozen
from .errors import HeadsError
from .weighing import ValueWeights

_LEAST_TEMPERATURE = 0.25
_MOST_TEMPERATURE = 4.0


class Temperature(Frozen):
    """Log-odds z become z / temperature + bias. The default changes nothing."""

    temperature: float = Field(default=1.0, ge=_LEAST_TEMPERATURE, le=_MOST_TEMPERATURE)
    """Above 1 makes probabilities less extreme."""

    bias: float = Field(default=0.0, ge=-20.0, le=20.0)
    """Above 0 makes all of them larger."""

    def probability(self, log_odds: Tensor) -> Tensor:
        """Calibrated probabilities of log-odds."""
        return (log_odds.float() / self.temperature + self.bias).sigmoid()


class Calibration(Frozen):
    """All that serving needs to read the heads' numbers as probabilities and to act on them."""

    confidence: Temperature = Temperature()
    """Of the probability that a slot's value is right."""

    call: Temperature = Temperature()
    """Of the probability that a whole call is right."""

    presence: Temperature = Temperature()
    """Of the probability that an optional argument is given."""

    span: Temperature = Temperature()
    """Of the log-odds of a proposed span."""

    present_from: float = Field(default=0.5, ge=0.0, le=1.0)
    """An optional argument is given from this probability on."""

    span_from: float = Field(default=0.5, ge=0.0, le=1.0)
    """A span is proposed from this probability on."""

    length_quantile: float = Field(default=0.95, gt=0.0, le=1.0)
    """Share of values that shall fit the slot budget the length probe gives."""

    values: ValueWeights | None = None
    """How much what speaks for each value of a slot counts, where several are weighed. None: none are."""

    lock_from: float = Field(default=0.7, ge=0.0, le=1.0)
    """A position may be locked from this probability on."""

    measured: dict[str, float] = Field(default_factory=dict)
    """What was measured on the held-out data when this was fitted (such as `confidence_ece_before`)."""


def fit_temperature(log_odds: Tensor, is_right: Tensor, *, weight: Tensor | None = None) -> Temperature:
    """The temperature and bias under which the log-odds are most probable.

    Args:
        log_odds: (samples,).
        is_right: (samples,) of 0 and 1.
        weight: (samples,) how much each counts; all the same when left out.

    Raises:
        HeadsError: nothing to fit on, or only right (or only wrong) samples: their probability is not known.
    """
    z, y = log_odds.detach().double().flatten(), is_right.detach().double().flatten()
    w = None if weight is None else weight.detach().double().flatten()
    num_right = int(y.sum())
    if not 0 < num_right < y.numel():
        raise HeadsError(
            f"a temperature cannot be fitted: {num_right} of {y.numel()} samples are right; give held-out "
            "samples of both kinds"
        )
    log_temperature = torch.zeros((), dtype=torch.double, requires_grad=True)
    bias = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        fitted = functional.binary_cross_entropy_with_logits(z / log_temperature.exp() + bias, y, w)
        fitted.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return fitted

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch does not annotate it
    temperature = min(max(float(log_temperature.detach().exp()), _LEAST_TEMPERATURE), _MOST_TEMPERATURE)
    return Temperature(temperature=temperature, bias=min(max(float(bias.detach()), -20.0), 20.0))


def expected_calibration_error(probability: Tensor, is_right: Tensor, *, num_bins: int = 15) -> float:
    """How far stated probabilities are from what happens, over bins of equal width, weighted by samples."""
    p, y = probability.detach().double().flatten(), is_right.detach().double().flatten()
    bins = (p * num_bins).long().clamp(0, num_bins - 1)  # a probability of 1 belongs to the last bin
    count, stated, happened = (
        torch.zeros(num_bins, dtype=torch.double).index_add(0, bins, x) for x in (torch.ones_like(p), p, y)
    )
    return float((stated - happened).abs().sum() / count.sum().clamp(min=1.0))
