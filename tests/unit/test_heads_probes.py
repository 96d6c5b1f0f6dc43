"""Length, presence, confidence: they begin as what is known without them, and calibrate to probabilities."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heads import (
    Calibration,
    ConfidenceHead,
    HeadBundle,
    HeadConfigError,
    HeadsError,
    SlotProbes,
    Temperature,
    expected_calibration_error,
    fit_temperature,
    slot_tokens,
)
from tests.tiny_heads import HIDDEN, tiny_config, tiny_ends
from training.losses import length_loss, presence_loss


def make_bundle() -> HeadBundle:
    return HeadBundle.untrained(tiny_config(), tiny_ends()).eval()


def anchors(count: int, *, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, HIDDEN, generator=torch.Generator().manual_seed(seed))


def test_untrained_presence_is_the_backbones_own() -> None:
    probes = make_bundle().probes
    assert probes is not None
    odds = torch.tensor([-3.0, 0.2, 4.0])

    said = probes.presence(anchors(3), torch.zeros(3, dtype=torch.long), odds)

    torch.testing.assert_close(said, odds)


def test_presence_and_length_are_learned_from_anchors() -> None:
    bundle = make_bundle()
    probes = bundle.probes
    assert probes is not None
    seen = anchors(64)
    kinds = torch.zeros(64, dtype=torch.long)
    is_given = seen[:, 0, 0] > 0
    num_tokens = torch.where(seen[:, 1, 1] > 0, 3, 9)
    optimizer = torch.optim.AdamW(probes.parameters(), lr=1e-2)
    for _ in range(60):
        loss = presence_loss(probes.presence(seen, kinds, torch.zeros(64)), is_given) + length_loss(
            probes.lengths(seen, kinds), num_tokens
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with torch.no_grad():
        assert ((probes.presence(seen, kinds, torch.zeros(64)) > 0) == is_given).all()
        assert (slot_tokens(probes.lengths(seen, kinds), quantile=0.9) >= num_tokens).double().mean() > 0.95
        assert (probes.lengths(seen, kinds).argmax(-1) == num_tokens).all()


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.floats(-8, 8), min_size=2, max_size=20),
    quantile=st.floats(0.01, 1.0),
)
def test_slot_tokens_are_the_fewest_that_hold_the_value(scores: list[float], quantile: float) -> None:
    shares = torch.tensor(scores, dtype=torch.double).softmax(-1)

    tokens = int(slot_tokens(torch.tensor(scores, dtype=torch.double), quantile=quantile))

    wanted = min(quantile, 1 - 1e-6)
    assert 1 <= tokens <= len(scores) - 1
    assert float(shares[: tokens + 1].sum()) >= wanted - 1e-9 or tokens == len(scores) - 1
    assert tokens == 1 or float(shares[:tokens].sum()) < wanted + 1e-9


def test_a_higher_quantile_reserves_more() -> None:
    scores = torch.zeros(33)

    reserved = [int(slot_tokens(scores, quantile=q)) for q in (0.2, 0.5, 0.9, 1.0)]

    assert reserved == sorted(reserved) and reserved[0] < reserved[-1] == 32


def drawn_outcomes(*, temperature: float, bias: float, count: int = 20_000) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    odds = 3 * torch.randn(count, generator=generator)
    truth = (odds / temperature + bias).sigmoid()
    return odds, (torch.rand(count, generator=generator) < truth).float()


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.0, 0.5), (0.5, -1.0)])
def test_the_temperature_behind_outcomes_is_found(temperature: float, bias: float) -> None:
    odds, is_right = drawn_outcomes(temperature=temperature, bias=bias)

    fitted = fit_temperature(odds, is_right)

    assert fitted.temperature == pytest.approx(temperature, rel=0.06)
    assert fitted.bias == pytest.approx(bias, abs=0.06)
    assert expected_calibration_error(fitted.probability(odds), is_right) < 0.015


def test_fitting_lowers_the_calibration_error() -> None:
    odds, is_right = drawn_outcomes(temperature=3.0, bias=0.0)
    before = expected_calibration_error(odds.sigmoid(), is_right)

    after = expected_calibration_error(fit_temperature(odds, is_right).probability(odds), is_right)

    assert before > 0.1 > 0.02 > after


def test_temperature_stays_in_its_bounds() -> None:
    odds, is_right = drawn_outcomes(temperature=50.0, bias=0.0)

    assert fit_temperature(odds, is_right).temperature == 4.0


@pytest.mark.parametrize("is_right", [torch.zeros(5), torch.ones(5), torch.zeros(0)])
def test_outcomes_of_one_kind_cannot_be_fitted(is_right: Tensor) -> None:
    with pytest.raises(HeadsError, match="of both kinds"):
        fit_temperature(torch.randn(len(is_right)), is_right)


def test_calibration_error_of_known_cases() -> None:
    generator = torch.Generator().manual_seed(0)
    rare = (torch.rand(50_000, generator=generator) < 0.1).float()

    assert expected_calibration_error(torch.full((50_000,), 0.1), rare) < 0.01
    assert expected_calibration_error(torch.ones(10), torch.zeros(10)) == 1.0
    assert expected_calibration_error(torch.ones(10), torch.ones(10)) == 0.0


def test_calibration_is_plain_data() -> None:
    calibration = Calibration(span=Temperature(temperature=2.0), measured={"ece": 0.01})

    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_a_config_without_a_head_has_none() -> None:
    for kind, name in ((SlotProbes, "probes"), (ConfidenceHead, "confidence")):
        config = tiny_config(**{name: None})
        assert getattr(HeadBundle(config), name) is None
        with pytest.raises(HeadConfigError, match=name):
            kind(config)
