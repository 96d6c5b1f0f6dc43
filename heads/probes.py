"""What a slot's anchor alone tells: how many tokens its value has, and whether it is given at all.

Both are asked before anything is filled. The anchor is the backbone's state after the slot's key; it has read
the whole prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import HeadConfig
from .errors import HeadConfigError
from .layers import unit


class SlotProbes(nn.Module):
    """Length and presence of values, from anchors."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        if config.probes is None:
            raise HeadConfigError("probes: this config has no probes")
        sizes = config.probes
        self.config = config
        self.anchor_in = nn.Linear(len(config.taps) * config.backbone.hidden_size, sizes.width)
        self.kind_embedding = nn.Embedding(len(config.slot_kinds), sizes.width)
        self.trunk = nn.Sequential(
            nn.SiLU(), nn.Dropout(sizes.dropout), nn.Linear(sizes.width, sizes.width), nn.SiLU()
        )
        self.length_out = nn.Linear(sizes.width, sizes.max_slot_tokens + 1)
        self.presence_out = nn.Linear(sizes.width, 1)
        self.presence_weight = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.presence_out.weight)
        nn.init.zeros_(self.presence_out.bias)
        nn.init.normal_(self.kind_embedding.weight, std=0.02)

    def lengths(self, anchors: Tensor, kinds: Tensor) -> Tensor:
        """Scores of 0, 1, ..., `max_slot_tokens` (or more) tokens.

        Args:
            anchors: (..., taps, hidden).
            kinds: (...,).

        Returns:
            (..., max_slot_tokens + 1).
        """
        scores: Tensor = self.length_out(self._read(anchors, kinds))
        return scores.float()

    def presence(self, anchors: Tensor, kinds: Tensor, backbone_log_odds: Tensor) -> Tensor:
        """Log-odds that an optional argument is given; the backbone's own until training says otherwise.

        Args:
            anchors: (..., taps, hidden), of the argument's own branch.
            kinds: (...,).
            backbone_log_odds: what the backbone gives for writing the argument's key, (...,).
        """
        learned = self.presence_out(self._read(anchors, kinds))[..., 0]
        log_odds: Tensor = self.presence_weight.float() * backbone_log_odds.float() + learned.float()
        return log_odds

    def _read(self, anchors: Tensor, kinds: Tensor) -> Tensor:
        states = unit(anchors).flatten(-2).to(self.anchor_in.weight.dtype)
        read: Tensor = self.trunk(self.anchor_in(states) + self.kind_embedding(kinds))
        return read


def slot_tokens(length_scores: Tensor, *, quantile: float) -> Tensor:
    """The fewest tokens that hold the value with probability `quantile`: the slot's budget.

    One function for training and serving; the caller still keeps it within the slot's own limits.

    Args:
        length_scores: of `SlotProbes.lengths`, (..., classes).
        quantile: in (0, 1]; higher reserves more.

    Returns:
        Tokens, at least 1, (...,).
    """
    covered = length_scores.softmax(-1).cumsum(-1)
    num_short = (covered < min(quantile, 1.0 - 1e-6)).sum(-1)
    return num_short.clamp(min=1, max=length_scores.shape[-1] - 1)
