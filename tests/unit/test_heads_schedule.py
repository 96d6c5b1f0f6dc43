"""Noise: what is masked, how often, and that t = 1 is what training knows best."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads import (
    NoiseConfig,
    draw_masked,
    draw_times,
    importance_time,
    masked_share,
    noise_rate,
    revised,
    total_noise,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masked_share_is_what_the_noise_level_says() -> None:
    time = torch.linspace(0, 1, 101, dtype=torch.double)

    share = masked_share(time, eps=1e-3)

    torch.testing.assert_close(share, 1 - torch.exp(-total_noise(time, eps=1e-3)))
    assert float(share[-1]) == pytest.approx(0.999)


def test_noise_rate_is_the_slope_of_the_noise_level() -> None:
    time = torch.linspace(0.05, 0.9, 30, dtype=torch.double, requires_grad=True)

    (slope,) = torch.autograd.grad(total_noise(time, eps=1e-3).sum(), time)

    torch.testing.assert_close(slope, noise_rate(time.detach(), eps=1e-3))


def test_importance_times_make_the_noise_level_even() -> None:
    uniform = torch.linspace(0, 1, 11, dtype=torch.double)

    level = total_noise(importance_time(uniform, eps=1e-3), eps=1e-3)

    torch.testing.assert_close(level, uniform * -math.log(1e-3), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sampling", ["uniform", "sqrt", "mixture_high"])
def test_times_are_in_range_and_exactly_one_as_often_as_said(sampling: str) -> None:
    config = NoiseConfig.model_validate({"sampling": sampling, "full_share": 0.25})

    times = draw_times(20_000, config, generator=generator())

    assert float(times.min()) > 0 and float(times.max()) == 1
    assert float((times == 1).double().mean()) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("sampling", "expected"), [("uniform", 0.5), ("sqrt", 2 / 3), ("mixture_high", 0.7 * 0.5 + 0.3 * 0.9)]
)
def test_each_sampling_has_its_own_mean(sampling: str, expected: float) -> None:
    config = NoiseConfig.model_validate({"sampling": sampling, "full_share": 0.0})

    assert float(draw_times(40_000, config, generator=generator()).mean()) == pytest.approx(
        expected, abs=0.01
    )


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    maskable=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=6),
    time=st.floats(0, 1),
    leftmost=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_masks_are_on_maskable_positions_and_at_least_one(
    seed: int, maskable: list[list[bool]], time: float, leftmost: float
) -> None:
    is_maskable = torch.tensor(maskable)
    times = torch.full((len(maskable),), time)

    masked = draw_masked(is_maskable, times, NoiseConfig(leftmost_share=leftmost), generator=generator(seed))

    assert not (masked & ~is_maskable).any()
    assert torch.equal(masked.any(1), is_maskable.any(1))
    if time >= 1:
        assert torch.equal(masked, is_maskable)
    if leftmost == 1.0:  # behind a masked position nothing is clean
        seen = masked.long().cumsum(1) > 0
        assert torch.equal(masked, seen & is_maskable)


def test_as_much_is_masked_as_the_time_says() -> None:
    is_maskable = torch.ones(4000, 20, dtype=torch.bool)
    for leftmost in (0.0, 1.0):
        config = NoiseConfig(leftmost_share=leftmost)

        masked = draw_masked(is_maskable, torch.full((4000,), 0.6), config, generator=generator())

        assert float(masked.double().mean()) == pytest.approx(0.6, abs=0.01)


def test_the_same_seed_masks_the_same() -> None:
    is_maskable = torch.ones(5, 9, dtype=torch.bool)
    times = draw_times(5, NoiseConfig(), generator=generator())

    one, two = (draw_masked(is_maskable, times, NoiseConfig(), generator=generator(3)) for _ in range(2))

    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eps", 0.5),
        ("sampling", "sqrt"),
        ("high_share", 0.9),
        ("high_from", 0.3),
        ("full_share", 0.7),
        ("leftmost_share", 0.0),
    ],
)
def test_every_setting_has_an_effect(field: str, value: object) -> None:
    def drawn(config: NoiseConfig) -> tuple[torch.Tensor, torch.Tensor]:
        times = draw_times(200, config, generator=generator())
        return times, draw_masked(torch.ones(200, 9, dtype=torch.bool), times, config, generator=generator(1))

    usual, changed = drawn(NoiseConfig()), drawn(revised(NoiseConfig(), **{field: value}))

    assert not all(torch.equal(a, b) for a, b in zip(usual, changed, strict=True))
