"""The optimizer of a run: Muon for hidden matrices, AdamW for the rest, one schedule for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .recipe import OptimizerRecipe, ScheduleRecipe


def rate_share(step: int, schedule: ScheduleRecipe) -> float:
    """Share of the full learning rate at optimizer step `step`, counted from 0."""
    warm = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    num_decay = int(schedule.total_steps * schedule.decay_share)
    if not num_decay:
        return warm
    left = max(0, schedule.total_steps - step) / num_decay
    return warm * max(schedule.final_share, min(1.0, left))


class Optimizer:
    """Steps both optimizers; its state is one mapping."""

    def __init__(self, model: nn.Module, recipe: OptimizerRecipe) -> None:
        matrices = [
            p
            for name, p in model.named_parameters()
            if p.ndim == 2 and len(p) > 1 and "embed" not in name and recipe.matrices == "muon"
        ]
        chosen = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in chosen]
        self._recipe = recipe
        self._parameters = [*matrices, *others]
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(
                [
                    {"params": [p for p in others if p.ndim == 2], "weight_decay": recipe.weight_decay},
                    {"params": [p for p in others if p.ndim != 2], "weight_decay": 0.0},
                ],
                lr=recipe.adamw_lr,
                betas=(0.9, 0.95),
                fused=True,
            ),
        }
        if matrices:
            self._optimizers["muon"] = torch.optim.Muon(
                matrices,
                lr=recipe.muon_lr,
                weight_decay=recipe.weight_decay,
                momentum=recipe.momentum,
                adjust_lr_fn="match_rms_adamw",
            )

    def step(self, share: float) -> float:
        """One step at `share` of the full rates; clears the gradients, returns their norm before clipping."""
        norm = float(self._clipped())
        rates = {"muon": self._recipe.muon_lr, "adamw": self._recipe.adamw_lr}
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """States of both optimizers."""
        return {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up states that `state_dict` gave."""
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])

    def _clipped(self) -> Tensor:
        return nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip_norm)
