"""Calibration: calls are judged by references, the head is fitted on them, and what it says is measured."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime import AgentRuntime
from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.confidence import CallContext, KnownCall, PlainConfidence
from agent_runtime.engine.fill import Decision, FilledCall, FilledSlot
from agent_runtime.errors import ConfigError
from agent_runtime.messages import Message, ToolCall
from agent_runtime.runtime import embedded_model_folder
from heads import BundleMismatch, Calibration, ConfidenceConfig, HeadBundle, stated_in_card
from tests.tiny_heads import tiny_config, tiny_ends
from training.__main__ import main
from training.calibrate import JudgedCall, JudgedTurn, judge
from training.confidence_fit import (
    ConfidenceFitRecipe,
    auroc,
    exact_with_threshold,
    fit_confidence,
    honesty,
    stated_by,
    stated_plainly,
)
from training.data import Example
from training.recipes.calibrate import CalibrateRecipe, calibrate
from training.reliability import Reliability, best_threshold, measured, reliability_tables

CONFIG = tiny_config(confidence=ConfidenceConfig(width=8))
CONTEXT = CallContext(messages=(Message(role="user", content="two of 3"),), evidence={})


def example(*calls: dict[str, Any]) -> Example:
    return Example(
        source="test",
        id="1",
        tools=(),
        messages=(
            {"role": "user", "content": "Do it."},
            {"role": "assistant", "content": "" if calls else "No.", "tool_calls": list(calls)},
        ),
    )


def expected(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def made(name: str, *, sure: float = -0.1, **arguments: Any) -> tuple[FilledCall, CallContext]:
    slots = {path: FilledSlot(value=value, decisions=(Decision(sure),)) for path, value in arguments.items()}
    return FilledCall(name=name, arguments=arguments, text="", slots=slots), CONTEXT


def test_values_are_judged_by_the_reference_call_of_the_same_tool() -> None:
    turn = judge(example(expected("f", x=1, y="a")), [made("f", x=1.0, y="b", z=2)], fill="verified")

    (call,) = turn.calls
    assert call.are_slots_right == {"x": True, "y": False, "z": False}
    assert not call.is_right and turn.is_exact_with == (False, False)


def test_values_of_a_wrong_tool_are_neither_right_nor_wrong() -> None:
    (call,) = judge(example(expected("f", x=1)), [made("g", x=1)], fill="verified").calls

    assert call.are_slots_right is None and not call.is_right


def test_each_call_is_held_against_the_reference_most_like_it() -> None:
    reference = example(expected("f", x=1, y=1), expected("f", x=2, y=2))

    turn = judge(reference, [made("f", x=2, y=2), made("f", x=1, y=3)], fill="verified")

    assert [call.are_slots_right for call in turn.calls] == [{"x": True, "y": True}, {"x": True, "y": False}]
    assert turn.is_exact_with == (False, False, False)


def test_a_turn_is_exact_with_all_of_its_calls_and_no_more() -> None:
    two = judge(example(expected("f", x=1)), [made("f", x=1), made("f", x=2)], fill="verified")
    words = judge(example(), [made("f", x=1)], fill="verified")

    assert two.is_exact_with == (False, True, False)
    assert words.is_exact_with == (True, False)


def drawn_turns(count: int, *, seed: int, is_telling: bool = False) -> list[JudgedTurn]:
    """Calls whose decisions are always sure, half of them seldom right: those with two values if it tells."""
    chance = random.Random(seed)
    turns = []
    for _ in range(count):
        has_more = chance.random() < 0.5
        is_right = chance.random() < (0.2 if has_more else 0.8)
        values = {"x": "v", "y": "w"} if has_more and is_telling else {"x": "v"}
        call, context = made("f", **values)
        known = KnownCall(call, context)
        judged = JudgedCall(
            known=known,
            plain=PlainConfidence().read(call, context),
            is_right=is_right,
            are_slots_right=dict.fromkeys(values, is_right),
        )
        turns.append(
            JudgedTurn(
                kind="single", fill="verified", calls=(judged,), is_exact_with=(not is_right, is_right)
            )
        )
    return turns


def test_a_fitted_head_is_honest_where_decisions_are_not() -> None:
    fitted_on, tested_on = (drawn_turns(600, seed=seed, is_telling=True) for seed in (1, 2))

    head, of_slots, of_calls, crossed = fit_confidence(
        fitted_on, CONFIG, ConfidenceFitRecipe(steps=60, width=8)
    )

    calibration = Calibration(confidence=of_slots, call=of_calls)
    learned = stated_by(head, calibration, tested_on, CONFIG)
    plain = stated_plainly(tested_on, CONFIG)
    for before, after, is_right in (
        (plain.slots, learned.slots, learned.are_slots_right),
        (plain.calls, learned.calls, learned.are_calls_right),
    ):
        assert honesty(before, is_right).ece > 0.3
        assert honesty(after, is_right).ece < 0.06
        assert honesty(after, is_right).auroc > 0.75
    assert honesty(crossed.calls, crossed.are_calls_right).ece < 0.1


def test_fitting_is_the_same_every_time() -> None:
    turns, recipe = drawn_turns(80, seed=3), ConfidenceFitRecipe(steps=10, width=8)

    first, again = (fit_confidence(turns, CONFIG, recipe)[0].state_dict() for _ in range(2))

    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_values_of_a_list_without_end_count_as_few() -> None:
    def turns(num_items: int) -> list[JudgedTurn]:
        endless = judge(
            example(expected("f", x=1)),
            [made("f", **{f"a.{at}": 0 for at in range(num_items)})],
            fill="verified",
        )
        return [*drawn_turns(200, seed=4), endless]

    def stated(num_items: int) -> float:
        recipe = ConfidenceFitRecipe(steps=30, width=8, full_values=2)
        head, of_slots, of_calls, _ = fit_confidence(turns(num_items), CONFIG, recipe)
        calibration = Calibration(confidence=of_slots, call=of_calls)
        return float(stated_by(head, calibration, drawn_turns(100, seed=5), CONFIG).slots.mean())

    assert stated(2000) == pytest.approx(stated(20), abs=0.05)


@pytest.mark.parametrize("turns", [[], drawn_turns(3, seed=1)])
def test_too_little_to_fit_on_is_said(turns: list[JudgedTurn]) -> None:
    with pytest.raises(ConfigError, match="num_fit"):
        fit_confidence(turns, CONFIG, ConfidenceFitRecipe())


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_auroc_counts_pairs(samples: list[tuple[float, bool]]) -> None:
    right = [score for score, is_right in samples if is_right]
    wrong = [score for score, is_right in samples if not is_right]
    found = auroc(
        torch.tensor([score for score, _ in samples]), torch.tensor([float(right) for _, right in samples])
    )

    if not right or not wrong:
        assert found != found
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    assert found == pytest.approx(sum(pairs) / len(pairs))


def kept(turns: Sequence[JudgedTurn], *of_calls: float, threshold: float) -> list[bool]:
    return exact_with_threshold(turns, torch.tensor(of_calls), threshold)


def test_calls_behind_one_that_is_not_made_are_not_made_either() -> None:
    reference = example(expected("f", x=1), expected("f", x=2))
    turn = judge(reference, [made("f", x=1), made("f", x=2)], fill="verified")
    words = judge(example(), [made("f", x=1)], fill="verified")

    assert kept([turn, words], 0.9, 0.9, 0.3, threshold=0.5) == [True, True]
    assert kept([turn, words], 0.4, 0.9, 0.6, threshold=0.5) == [False, False]
    assert kept([turn, words], 0.9, 0.4, 0.6, threshold=0.0) == [True, False]


def reliability_of(turns: Sequence[JudgedTurn]) -> Reliability:
    plain = stated_plainly(turns, CONFIG)
    return Reliability(turns=turns, plain=plain, learned=plain, slot_kinds=CONFIG.slot_kinds, threshold=0.0)


def test_the_best_threshold_makes_the_most_turns_exact() -> None:
    right, wrong = drawn_turns(40, seed=6), [judge(example(), [made("f", x=1)], fill="verified")] * 5
    sure = torch.tensor([float(turn.is_exact_with[1]) for turn in right] + [0.35] * 5)

    assert best_threshold([*right, *wrong], sure) == 0.4


def test_tables_tell_values_calls_fills_and_thresholds() -> None:
    turns = [*drawn_turns(30, seed=7), judge(example(), [made("f", x=1)], fill="diffusion")]
    found = reliability_of(turns)

    tables = reliability_tables(found)

    assert "| values, calibrated | 30 |" in tables and "| calls, calibrated | 31 |" in tables
    assert "| calls, diffusion | 1 |" in tables and "| 0.0 (chosen) |" in tables
    assert measured(found)["call_count"] == 31


SMALL = CalibrateRecipe.model_validate(
    {"data": {"num_fit": 40, "num_test": 20}, "fit": {"steps": 20}, "concurrency": 8}
)


@pytest.mark.slow
def test_the_embedded_model_gets_a_bundle_that_says_how_sure_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "heads"

    arguments = ["--set", "data.num_fit=60", "--set", "data.num_test=20", "--set", "fit.steps=20"]
    assert main(["calibrate", "--heads", str(folder), "--output", str(tmp_path / "report"), *arguments]) == 0

    assert "| values, calibrated |" in (tmp_path / "report" / "reliability.md").read_text()
    assert (tmp_path / "report" / "reliability.png").stat().st_size > 10_000
    assert json.loads((folder / "calibration.json").read_text())["measured"]["call_count"] > 0
    question, offered = "How warm is it in Oslo?", [_temperature]
    before, after = asyncio.run(_first_calls(question, offered, None, folder))
    assert before.arguments == after.arguments and before.confidence != after.confidence


@pytest.mark.slow
def test_other_heads_and_what_their_card_says_stay(tmp_path: Path) -> None:
    backbone = Backbone.load(embedded_model_folder())
    config = tiny_config(
        backbone=backbone.facts,
        taps=(backbone.facts.num_layers,),
        diffusion=None,
        span=None,
        confidence=None,
    )
    bundle = HeadBundle.untrained(config, backbone.ends)
    bundle.save_pretrained(tmp_path, base_model="me/mine", notes="Trained for long.")

    for _ in range(2):
        calibrated = calibrate(embedded_model_folder(), tmp_path, SMALL).bundle

    loaded = HeadBundle.from_pretrained(tmp_path, backbone=backbone.facts)
    assert loaded.confidence is not None and loaded.calibration == calibrated.calibration
    assert loaded.probes is not None and bundle.probes is not None
    before, after = bundle.probes.state_dict(), loaded.probes.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    said = stated_in_card(tmp_path)
    assert said.base_model == "me/mine" and said.notes.startswith("Trained for long.")
    assert said.notes.count("### Confidence") == 1


def test_heads_of_another_backbone_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    HeadBundle.untrained(tiny_config(), tiny_ends()).save_pretrained(tmp_path)

    with pytest.raises(BundleMismatch, match="hidden_size"):
        calibrate(embedded_model_folder(), tmp_path, SMALL)


async def _first_calls(question: str, offered: list[Any], *heads: Path | None) -> list[ToolCall]:
    calls = []
    for folder in heads:
        async with AgentRuntime.load(embedded_model_folder(), heads=folder) as runtime:
            turn = await runtime.respond(question, tools=offered, tool_choice="required")
            calls.append(turn.tool_calls[0])
    return calls


def _temperature(city: str) -> int:
    """Temperature in a city.

    Args:
        city: City name.
    """
    return len(city)
