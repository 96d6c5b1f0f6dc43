"""The noise of masked diffusion: how much of a draft is masked at time t, and which positions.

Log-linear: at time t of [0, 1] a token is masked with probability (1 - eps) t. At t = 1, where every request
begins, everything is masked, and training draws exactly t = 1 for a share of its samples.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from .config import Frozen

TimeSampling = Literal["uniform", "sqrt", "mixture_high"]


class NoiseConfig(Frozen):
    """How drafts are masked in training."""

    eps: float = Field(default=1e-3, gt=0.0, lt=1.0)
    """Share of tokens still clean as t approaches 1."""

    sampling: TimeSampling = "mixture_high"
    """How times are drawn: evenly, towards 1 (`sqrt`), or evenly with a share near 1 (`mixture_high`)."""

    high_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of times drawn between `high_from` and 1, with `mixture_high`."""

    high_from: float = Field(default=0.8, ge=0.0, le=1.0)
    """Where those times begin."""

    full_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of times that are exactly 1: the state every request starts in."""

    leftmost_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of slots whose clean tokens all stand before the masked ones, as when a fill reveals leftmost
    first; the others are clean here and there."""


def masked_share(time: Tensor, *, eps: float) -> Tensor:
    """Probability that a token is masked at `time`: 1 - exp(-sigma)."""
    return (1.0 - eps) * time


def total_noise(time: Tensor, *, eps: float) -> Tensor:
    """sigma(t) = -log1p(-(1 - eps) t)."""
    return -torch.log1p(-(1.0 - eps) * time)


def noise_rate(time: Tensor, *, eps: float) -> Tensor:
    """How fast sigma grows: (1 - eps) / (1 - (1 - eps) t)."""
    return (1.0 - eps) / (1.0 - (1.0 - eps) * time)


def importance_time(uniform: Tensor, *, eps: float) -> Tensor:
    """Times drawn so that the noise level sigma, not the time, is even; from uniform draws of [0, 1]."""
    least = total_noise(torch.zeros_like(uniform), eps=eps)
    most = total_noise(torch.ones_like(uniform), eps=eps)
    sigma = least + uniform * (most - least)
    return -torch.expm1(-sigma) / (1.0 - eps)


def draw_times(num_samples: int, config: NoiseConfig, *, generator: torch.Generator | None = None) -> Tensor:
    """Times (num_samples,) in (0, 1], of which `full_share` are exactly 1."""
    uniform = 1.0 - torch.rand(num_samples, generator=generator)  # never 0: something is always masked
    if config.sampling == "sqrt":
        time = uniform.sqrt()
    elif config.sampling == "mixture_high":
        is_high = torch.rand(num_samples, generator=generator) < config.high_share
        time = torch.where(is_high, config.high_from + (1.0 - config.high_from) * uniform, uniform)
    else:
        time = uniform
    is_full = torch.rand(num_samples, generator=generator) < config.full_share
    return torch.where(is_full, torch.ones_like(time), time)


def draw_masked(
    is_maskable: Tensor, time: Tensor, config: NoiseConfig, *, generator: torch.Generator | None = None
) -> Tensor:
    """Which positions a forward diffusion masks: at least one of every sample that has any.

    Args:
        is_maskable: (samples, positions); scaffold and padding are never masked.
        time: (samples,) in [0, 1]; at 1 every maskable position is masked.
        config: how.
        generator: where the draws come from.

    Returns:
        (samples, positions), a part of `is_maskable`.
    """
    shape = is_maskable.shape
    device = is_maskable.device  # drawn on the CPU: the same draws whatever the device
    draws = torch.rand(shape, generator=generator).to(device)
    is_leftmost = (torch.rand(shape[0], 1, generator=generator) < config.leftmost_share).to(device)
    share = masked_share(time, eps=config.eps)[:, None]
    is_masked = (draws < share) & is_maskable
    # Leftmost first: as many clean ones, moved to the front.
    num_clean = (is_maskable & ~is_masked).sum(1, keepdim=True)
    rank = is_maskable.cumsum(1)
    is_masked = torch.where(is_leftmost, is_maskable & (rank > num_clean), is_masked)
    is_masked = torch.where(time[:, None] >= 1.0, is_maskable, is_masked)
    # One at least: of the maskable positions, that with the smallest draw, or the last under leftmost first.
    last = is_maskable.sum(1, keepdim=True)
    chosen = torch.where(is_maskable, draws, torch.inf).argmin(1, keepdim=True)
    one = torch.where(is_leftmost, rank == last, torch.zeros_like(is_maskable).scatter(1, chosen, True))
    return torch.where(is_masked.any(1, keepdim=True), is_masked, one & is_maskable)
