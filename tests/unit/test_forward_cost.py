"""The counted cost of a forward, against sizes that are known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent_runtime.engine.forward_cost import H200, forward_cost

SMOLLM3_3B = SimpleNamespace(
    hidden_size=2048,
    intermediate_size=11008,
    num_hidden_layers=36,
    num_attention_heads=16,
    num_key_value_heads=4,
    vocab_size=128256,
)


def test_a_decoded_token_reads_every_weight_of_smollm3_once() -> None:
    cost = forward_cost(SMOLLM3_3B, rows=1, context=1000)

    assert cost.weight_bytes == pytest.approx(2 * 3.075e9, rel=1e-3)
    assert cost.key_value_bytes == pytest.approx(73_700 * 1001, rel=1e-3)
    assert cost.floor_s(H200) == pytest.approx(1.3e-3, rel=0.02)


def test_some_dozens_of_rows_take_hardly_longer_than_one_and_a_prompt_is_bound_by_multiplying() -> None:
    one, draft, prompt = (
        forward_cost(SMOLLM3_3B, rows=rows, context=1000, score_rows=min(rows, 64)).floor_s(H200)
        for rows in (1, 64, 1000)
    )

    assert one < draft < 1.15 * one
    assert prompt == pytest.approx(7.3e-3, rel=0.05)
