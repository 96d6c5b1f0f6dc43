"""How likely a slot's value is to be right: features of how it was filled, to a probability.

The first guess is the probability that typed decoding gave the value; what is learned from how it was filled,
and from the backbone's state before it, corrects that. A temperature fitted on held-out data (calibration.py)
makes it honest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .errors import HeadConfigError
from .layers import unit

_LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotFeatures:
    """What is known about filled slots, each (slots,) float. One list for training and serving.

    Attributes:
        log_probability: of the value, summed over its tokens, under typed decoding.
        lowest_probability: of its least sure token.
        mean_entropy: of its tokens' distributions, in nats.
        margin: log-probability of the value minus that of the runner-up, where there is one, else 0.
        num_tokens: of the value.
        span_probability: of the best span; 0 where the span head was not asked.
        span_agrees: 1 where the value is the text of the best span.
        verifier_log_probability: of the value under the backbone that has read the whole call; where it was
            not asked, `log_probability` again.
        num_choices: of an enum's values, 0 for a slot that is no enum.
    """

    log_probability: Tensor
    lowest_probability: Tensor
    mean_entropy: Tensor
    margin: Tensor
    num_tokens: Tensor
    span_probability: Tensor
    span_agrees: Tensor
    verifier_log_probability: Tensor
    num_choices: Tensor

    def stacked(self) -> Tensor:
        """(slots, features), each brought to the order of one."""
        return torch.stack(
            (
                self.log_probability.clamp(min=-20.0) / 4.0,
                self.lowest_probability,
                self.mean_entropy.clamp(max=10.0),
                self.margin.clamp(-20.0, 20.0) / 4.0,
                self.num_tokens.clamp(min=0.0).log1p(),
                self.span_probability,
                self.span_agrees,
                self.verifier_log_probability.clamp(min=-20.0) / 4.0,
                self.num_choices.clamp(min=0.0).log1p(),
            ),
            -1,
        ).float()


NUM_SLOT_FEATURES = len(fields(SlotFeatures))


class ConfidenceHead(nn.Module):
    """Log-odds that a slot's value is right."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        if config.confidence is None:
            raise HeadConfigError("confidence: this config has no confidence head")
        width = config.confidence.width
        self.config = config
        self.features_in = nn.Linear(NUM_SLOT_FEATURES, width)
        self.anchor_in = nn.Linear(len(config.taps) * config.backbone.hidden_size, width, bias=False)
        self.kind_embedding = nn.Embedding(len(config.slot_kinds), width)
        self.inner = nn.Linear(width, width)
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        nn.init.normal_(self.kind_embedding.weight, std=0.02)

    def forward(self, features: SlotFeatures, anchors: Tensor, kinds: Tensor) -> Tensor:
        """Log-odds; untrained, those of the value's probability under typed decoding.

        Args:
            features: how the slots were filled.
            anchors: states after the token before each slot, (slots, taps, hidden).
            kinds: (slots,).

        Returns:
            (slots,).
        """
        dtype = self.features_in.weight.dtype
        x = functional.silu(
            self.features_in(features.stacked().to(dtype))
            + self.anchor_in(unit(anchors).flatten(-2).to(dtype))
            + self.kind_embedding(kinds)
        )
        learned: Tensor = self.output(functional.silu(self.inner(x)))[..., 0].float()
        return log_odds(features.log_probability.float().exp()) + learned


def log_odds(probability: Tensor) -> Tensor:
    """The logit of a probability, kept finite."""
    return probability.clamp(_LEAST, 1.0 - _LEAST).logit()
