"""How likely a call and its values are to be right: from how they were filled, to probabilities.

The first guess is the probability of the decisions themselves; what is learned from everything else that is
known (`SlotFeatures`, `CallFeatures`) corrects it. Nothing here reads a state of the backbone: what a fill
decided and what the conversation says is enough, so that every fill can be asked. Temperatures fitted on
held-out data (calibration.py) make the probabilities honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .errors import HeadConfigError

_LEAST = 1e-6
_LEAST_SPREAD = 1e-3
"""Features that vary less were the same for all samples, and keep their scale."""

_SUREST_GUESS = 5.0
_FARTHEST = 5.0
"""Features farther from usual than so many standard deviations count as this far."""


class SlotFeatures(NamedTuple):
    """What is known about one filled slot: one list for training and serving. Logarithms are natural."""

    log_probability: float
    """Of the value: the sum over its decisions."""
    lead_log_probability: float
    """Of what led to the slot: that an optional argument is given, that a list goes on."""
    lowest_log_probability: float
    """Of its least sure decision."""
    lowest_margin: float
    """Least log-probability by which a decision of it beat the best other."""
    mean_entropy: float
    """Of its decisions, in nats."""
    highest_entropy: float
    """Of its decisions, in nats."""
    num_decisions: float
    """That made it."""
    num_choices: float
    """Of a slot that holds one of several constants, else 0."""
    is_found: float
    """1 where the value stands in the conversation."""
    is_latest: float
    """1 where it stands in the latest user message."""
    num_places: float
    """Places of that message where it stands."""
    support: float
    """How much the words before its place speak of the argument."""
    is_shared: float
    """1 where another value of the call was read from the same place."""
    item: float
    """Its place in the list it is an item of, from 1; 0 outside lists."""
    num_twins: float
    """Other items of its list with the same value."""
    is_repeated: float
    """1 where an earlier call of the turn has the same value in the same slot."""
    num_rivals: float
    """Numbers (for a number) or constants (for one of several) in the user's messages that no slot has."""
    is_cut_short: float
    """1 where a value of the call, or the call itself, was ended by its limit."""
    name_log_probability: float
    """Of the tool's name."""
    num_slots: float
    """Of the call."""
    is_denoised: float
    """1 where heads filled it and the backbone did not verify every token."""


class CallFeatures(NamedTuple):
    """What is known about one call, beside its slots."""

    log_probability: float
    """That all its values are right, by their confidences: the sum of their logarithms."""
    lowest_log_probability: float
    """Of its least sure value."""
    name_log_probability: float
    """Of the tool's name."""
    name_margin: float
    """Least log-probability by which a decision of the name beat the best other."""
    name_entropy: float
    """The highest of the name's decisions, in nats."""
    structure_log_probability: float
    """Of the decisions that belong to no value."""
    lead_log_probability: float
    """Of all that led to slots."""
    call_log_odds: float
    """That there is a call at all."""
    num_slots: float
    """It fills."""
    num_tools: float
    """That could have been called."""
    num_earlier: float
    """Calls of the turn before it."""
    num_unread: float
    """Numbers of the latest user message that no value was read from."""
    share_found: float
    """Of its values that are no constants, those that stand in the conversation."""
    share_shared: float
    """Of its values, those read from a place that another value was read from."""
    num_words: float
    """Of the latest user message."""
    is_denoised: float
    """1 where heads filled it and the backbone did not verify every token."""


class _Judge(nn.Module):
    """A correction of log-odds, learned from features brought to the same scale."""

    mean: Tensor
    scale: Tensor

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.inner = nn.Linear(num_features, width)
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @torch.no_grad()
    def begin_on(self, features: Tensor, weight: Tensor | None = None) -> None:
        """Take the usual size and spread of every feature from data, of which some may count less."""
        shares = torch.ones(len(features)) if weight is None else weight
        shares = (shares / shares.sum())[:, None]
        self.mean.copy_((features * shares).sum(0))
        spread = ((features - self.mean).square() * shares).sum(0).sqrt()
        self.scale.copy_(spread.where(spread > _LEAST_SPREAD, 1.0))

    def forward(self, features: Tensor, beside: Tensor | None = None) -> Tensor:
        scaled = ((features - self.mean) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        x = self.inner(scaled.to(self.inner.weight.dtype))
        learned: Tensor = self.output(functional.silu(x if beside is None else x + beside))
        return learned[..., 0].float()


class ConfidenceHead(nn.Module):
    """Log-odds that a slot's value, and that a whole call, is right."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        if config.confidence is None:
            raise HeadConfigError("confidence: this config has no confidence head")
        width = config.confidence.width
        self.config = config
        self.slots = _Judge(len(SlotFeatures._fields), width)
        self.calls = _Judge(len(CallFeatures._fields), width)
        self.kind_embedding = nn.Embedding(len(config.slot_kinds), width)
        nn.init.normal_(self.kind_embedding.weight, std=0.02)

    def forward(self, features: Tensor, kinds: Tensor) -> Tensor:
        """Log-odds that values are right; untrained, those of their decisions' probability.

        Args:
            features: `slot_tensor` of the slots.
            kinds: (slots,).

        Returns:
            (slots,).
        """
        logs = features[..., SlotFeatures._fields.index("log_probability")]
        learned: Tensor = self.slots(features, self.kind_embedding(kinds))
        return _first_guess(logs) + learned

    def of_calls(self, features: Tensor) -> Tensor:
        """Log-odds that calls are right as a whole; untrained, those of all decisions together.

        Args:
            features: `call_tensor` of the calls.

        Returns:
            (calls,).
        """
        names = ("log_probability", "name_log_probability", "structure_log_probability")
        logs = features[..., [CallFeatures._fields.index(name) for name in names]].sum(-1)
        learned: Tensor = self.calls(features)
        return _first_guess(logs) + learned


_LOGARITHMIC = frozenset(
    {
        "num_decisions",
        "num_choices",
        "num_slots",
        "num_tools",
        "num_words",
        "num_places",
        "num_rivals",
        "num_unread",
        "num_earlier",
        "item",
        "num_twins",
    }
)


def slot_tensor(features: Sequence[SlotFeatures]) -> Tensor:
    """(slots, features)."""
    return _tensor(features, SlotFeatures._fields)


def call_tensor(features: Sequence[CallFeatures]) -> Tensor:
    """(calls, features)."""
    return _tensor(features, CallFeatures._fields)


def _tensor(rows: Sequence[tuple[float, ...]], names: tuple[str, ...]) -> Tensor:
    """Counts enter by their logarithms, so that large ones do not outweigh all else."""
    tensor = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(names))
    counts = [at for at, name in enumerate(names) if name in _LOGARITHMIC]
    tensor[:, counts] = tensor[:, counts].clamp(min=0.0).log1p()
    return tensor.nan_to_num(posinf=1e6, neginf=-1e6)


def _first_guess(log_probability: Tensor) -> Tensor:
    """Log-odds that are never so sure that what is learned could not correct them."""
    return log_odds(log_probability.exp()).clamp(-_SUREST_GUESS, _SUREST_GUESS)


def log_odds(probability: Tensor) -> Tensor:
    """The logit of a probability, kept finite."""
    return probability.clamp(_LEAST, 1.0 - _LEAST).logit()
