"""What a deployment says about filling with heads, as turn programs carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ...config import DeploymentConfig
from ...fill_settings import Expansion, Remask, SlotBudgetChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseSettings:
    """The fields of `DeploymentConfig` of the same names, which say what each means."""

    denoise_steps: int = 8
    reencode_every: int = 1
    cfg_scale: float = 0.0
    remask: Remask = Remask()
    expansion: Expansion = Expansion()
    slot_budget: SlotBudgetChanges = SlotBudgetChanges()
    fallback_below: float = 0.0

    @classmethod
    def of(cls, deployment: DeploymentConfig) -> Self:
        """Those of a deployment."""
        return cls(
            denoise_steps=deployment.denoise_steps,
            reencode_every=deployment.reencode_every,
            cfg_scale=deployment.cfg_scale,
            remask=deployment.remask,
            expansion=deployment.expansion,
            slot_budget=deployment.slot_budget,
            fallback_below=deployment.fallback_below,
        )

    @property
    def rounds(self) -> tuple[int, ...]:
        """Denoise steps before each forward over the draft, and behind the last one (0 for none)."""
        if not self.reencode_every:
            return (self.denoise_steps,)
        whole, rest = divmod(self.denoise_steps, self.reencode_every)
        return (*(self.reencode_every for _ in range(whole)), rest)
