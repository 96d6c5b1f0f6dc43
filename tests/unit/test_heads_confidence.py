"""The confidence head begins as the probability of the decisions, and learns from all else that is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heads import (
    CallFeatures,
    ConfidenceHead,
    HeadBundle,
    SlotFeatures,
    Temperature,
    call_tensor,
    log_odds,
    slot_tensor,
)
from tests.tiny_heads import shaken, tiny_config, tiny_ends
from training.losses import confidence_loss


def make_head(*, is_shaken: bool = False) -> ConfidenceHead:
    head = HeadBundle.untrained(tiny_config(), tiny_ends()).eval().confidence
    assert head is not None
    if is_shaken:
        shaken(head)
    return head


def slot(**changes: float) -> SlotFeatures:
    return SlotFeatures(**{**dict.fromkeys(SlotFeatures._fields, 0.5), "log_probability": -0.3, **changes})


def call(**changes: float) -> CallFeatures:
    return CallFeatures(**{**dict.fromkeys(CallFeatures._fields, 0.5), "log_probability": -0.3, **changes})


def kinds(count: int, kind: int = 0) -> Tensor:
    return torch.full((count,), kind, dtype=torch.long)


def test_untrained_a_value_is_as_likely_as_its_decisions() -> None:
    probability = torch.tensor([0.02, 0.5, 0.97])
    rows = slot_tensor([slot(log_probability=float(p.log())) for p in probability])

    said = make_head()(rows, kinds(3))

    torch.testing.assert_close(Temperature().probability(said), probability, rtol=1e-4, atol=1e-5)


def test_untrained_a_call_is_as_likely_as_its_values_its_name_and_its_structure() -> None:
    rows = call_tensor(
        [call(log_probability=-0.3, name_log_probability=-0.2, structure_log_probability=-0.1)]
    )

    said = make_head().of_calls(rows)

    torch.testing.assert_close(said.sigmoid(), torch.tensor([-0.6]).exp(), rtol=1e-4, atol=1e-5)


def test_the_kind_of_a_slot_has_an_effect() -> None:
    head, rows = make_head(is_shaken=True), slot_tensor([slot()])

    assert not torch.allclose(head(rows, kinds(1)), head(rows, kinds(1, 1)))


@pytest.mark.parametrize("name", SlotFeatures._fields)
def test_every_slot_feature_has_an_effect(name: str) -> None:
    head = make_head(is_shaken=True)

    usual, changed = head(slot_tensor([slot(), slot(**{name: 3.0})]), kinds(2))

    assert not torch.allclose(usual, changed)


@pytest.mark.parametrize("name", CallFeatures._fields)
def test_every_call_feature_has_an_effect(name: str) -> None:
    head = make_head(is_shaken=True)

    usual, changed = head.of_calls(call_tensor([call(), call(**{name: 3.0})]))

    assert not torch.allclose(usual, changed)


def test_a_head_learns_that_values_that_stand_in_the_text_are_right_more_often() -> None:
    head = make_head()
    is_found = (torch.arange(200) % 2).float()
    rows = slot_tensor([slot(is_found=float(found), log_probability=-0.7) for found in is_found])
    head.slots.begin_on(rows)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-2)
    for _ in range(80):
        optimizer.zero_grad()
        confidence_loss(head(rows, kinds(200)), is_found).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()

    said = head(rows, kinds(200)).sigmoid().detach()
    assert float(said[is_found == 1].min()) > 0.9 and float(said[is_found == 0].max()) < 0.1


def test_certain_and_impossible_values_stay_finite() -> None:
    assert log_odds(torch.tensor([0.0, 1.0])).isfinite().all()
    head = make_head(is_shaken=True)
    extreme = [slot(log_probability=0.0), slot(log_probability=-float("inf"), num_decisions=1e9)]

    assert head(slot_tensor(extreme), kinds(2)).isfinite().all()
    assert head.of_calls(call_tensor([call(call_log_odds=float("inf"))])).isfinite().all()


@given(st.floats(-30, 0), st.floats(-30, 0), st.integers(0, 11))
@settings(max_examples=50, deadline=None)
def test_rows_do_not_depend_on_one_another(first: float, second: float, kind: int) -> None:
    head = make_head(is_shaken=True)
    both = slot_tensor([slot(log_probability=first), slot(log_probability=second)])

    together = head(both, kinds(2, kind))

    torch.testing.assert_close(together[1:], head(both[1:], kinds(1, kind)))


def test_no_slots_have_no_confidence() -> None:
    assert make_head()(slot_tensor([]), kinds(0)).shape == (0,)
