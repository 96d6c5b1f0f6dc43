"""Values that are weighed behind a settled draft: chosen together, valid, and told as what they are."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_runtime import AgentRuntime, DeploymentConfig, Tool, ToolCall
from agent_runtime.config import revised
from agent_runtime.engine.engine import Engine
from agent_runtime.engine.head_fill.weighing import Choice, Option, WeighedSlot
from agent_runtime.engine.scheduler import SchedulerLimits
from agent_runtime.engine.turn import turn_program
from agent_runtime.errors import SchemaError
from heads import NUM_WEIGHTS, HeadBundle, ValueFeatures, ValueWeights
from tests.contract.schema_coverage import judge_for
from tests.tiny_bundle import backbone_with_heads, make_tiny_bundle
from tests.tiny_model import make_tiny_model
from tests.unit.test_head_fill import diffusion_request, random_schemas
from training.calibrate import JudgedCall, JudgedTurn
from training.value_fit import ValueFitRecipe, fit_values

NUM_CALLS = 40
QUICK = DeploymentConfig(
    device="cpu", max_tokens=300, max_slot_tokens=120, max_parallel_calls=1, fill="diffusion", denoise_steps=2
)
DRAFT_ONLY = ValueWeights()
AGAINST_DRAFTS = ValueWeights.of([-9.0, *[0.0] * (NUM_WEIGHTS - 1)])
AGAINST_REPEATS = ValueWeights.of([2.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0, -5.0, 0.0, -5.0])


def option(value: Any, log_probability: float = 0.0, *, drafted: bool = False, num_places: int = 1) -> Option:
    features = ValueFeatures(is_drafted=float(drafted), log_probability=log_probability)
    return Option(token_ids=(1, 2), value=value, features=features, num_places=num_places)


def left_out(*, drafted: bool = False) -> Option:
    return Option(token_ids=None, features=ValueFeatures(is_drafted=float(drafted), is_absent=1.0))


def slot(path: str, *options: Option) -> WeighedSlot:
    drafted = next(number for number, one in enumerate(options) if one.features.is_drafted)
    return WeighedSlot(path=path, kind="integer", options=options, drafted=drafted)


def chosen(slots: list[WeighedSlot], weights: ValueWeights) -> list[Any]:
    numbers = Choice(slots, weights).chosen
    return [one.options[number].value for one, number in zip(slots, numbers, strict=True)]


def test_one_of_two_slots_that_hold_the_same_takes_what_is_left() -> None:
    slots = [
        slot("a", option(36, -0.1, drafted=True), option(24, -3.0)),
        slot("b", option(36, -0.5, drafted=True), option(24, -1.0)),
    ]

    assert chosen(slots, AGAINST_REPEATS) == [36, 24]
    assert chosen(slots, DRAFT_ONLY) == [36, 36]


def test_two_slots_change_together_where_one_alone_would_clash() -> None:
    slots = [
        slot("a", option(1, -9.0, drafted=True), option(2, -0.1)),
        slot("b", option(2, -9.0, drafted=True), option(1, -0.1)),
    ]

    assert chosen(slots, AGAINST_REPEATS) == [2, 1]


def test_an_optional_argument_does_not_repeat_another() -> None:
    slots = [slot("a", option(4, drafted=True)), slot("b", option(4, drafted=True), left_out())]

    assert chosen(slots, AGAINST_REPEATS) == [4, None]


def test_what_is_said_twice_may_stand_twice() -> None:
    twice = option(5, drafted=True, num_places=2)
    slots = [slot("a", twice, option(7, -1.0)), slot("b", twice, option(7, -1.0))]

    assert chosen(slots, AGAINST_REPEATS) == [5, 5]


def test_what_is_chosen_is_never_worse_than_the_draft() -> None:
    chance = random.Random(3)
    for _ in range(40):
        weights = ValueWeights.of([chance.gauss(0, 2) for _ in range(NUM_WEIGHTS)])
        slots = [
            slot(str(n), *(option(chance.randint(1, 3), -chance.random(), drafted=not k) for k in range(3)))
            for n in range(4)
        ]

        choice = Choice(slots, weights)

        assert total(slots, choice.chosen, weights) >= total(slots, [0] * 4, weights) - 1e-9
        assert all(0 < probability <= 1 for _, probability in choice.changes().values())


def total(slots: list[WeighedSlot], numbers: list[int], weights: ValueWeights) -> float:
    options = [one.options[number] for one, number in zip(slots, numbers, strict=True)]
    clashes = [
        weights.clash_score(one.clash(other)) for at, one in enumerate(options) for other in options[:at]
    ]
    return sum(weights.score(one.features) for one in options) + sum(clashes)


def judged(*slots: WeighedSlot, **expected: Any) -> JudgedTurn:
    nothing: Any = None
    call = JudgedCall(
        known=nothing, plain=nothing, is_right=True, are_slots_right={}, expected=expected, weighed=slots
    )
    return JudgedTurn(kind="call", fill="diffusion", calls=(call,), is_exact_with=(False, True))


def test_weights_learn_that_values_are_not_repeated() -> None:
    turns = [
        judged(
            slot("a", option(number, -0.1, drafted=True), option(number + 1, -2.0)),
            slot("b", option(number, -0.1, drafted=True), option(number + 1, -1.0)),
            a=number,
            b=number + 1,
        )
        for number in range(30)
    ]

    fitted = fit_values(turns, ValueFitRecipe())

    assert fitted.weights is not None
    assert fitted.weights.clash[0] < 0
    assert (fitted.share_drafted, fitted.share_chosen) == (0.0, 1.0)


def test_nothing_is_chosen_where_drafts_are_best() -> None:
    turns = [judged(slot("a", option(1, -0.1, drafted=True), option(2, -2.0)), a=1) for _ in range(20)]

    assert fit_values(turns, ValueFitRecipe()).weights is None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("head-weighing") / "model", spread=0.2)


def heads_with(model: Path, folder: Path, weights: ValueWeights | None, *, spread: float = 0.3) -> Path:
    bundle = HeadBundle.from_pretrained(make_tiny_bundle(model, folder, spread=spread))
    bundle.calibration = bundle.calibration.model_copy(update={"values": weights})
    return bundle.save_pretrained(folder)


def book(guest: str, city: str, people: int, room: str = "") -> None:
    """Book a hotel."""


async def calls_of(model: Path, heads: Path, questions: list[str], **changes: Any) -> list[ToolCall]:
    async with AgentRuntime.load(model, heads=heads, deployment=revised(QUICK, **changes)) as runtime:
        turns = await asyncio.gather(
            *(runtime.respond(text, tools=[book], tool_choice="required") for text in questions)
        )
    return [call for turn in turns for call in turn.tool_calls]


QUESTIONS = [f"Book for {number} people in Oslo or Rome, room {number + 1}" for number in range(2, 6)]


async def test_weights_of_drafts_alone_change_nothing(model: Path, tmp_path: Path) -> None:
    without = await calls_of(model, heads_with(model, tmp_path / "a", None), QUESTIONS)
    weighed = await calls_of(model, heads_with(model, tmp_path / "b", DRAFT_ONLY), QUESTIONS)

    assert [call.arguments for call in weighed] == [call.arguments for call in without]
    assert all(one.forwards - other.forwards in (0, 1) for one, other in zip(weighed, without, strict=True))


async def test_what_is_chosen_says_where_it_comes_from(model: Path, tmp_path: Path) -> None:
    without = await calls_of(model, heads_with(model, tmp_path / "a", None), QUESTIONS)
    weighed = await calls_of(model, heads_with(model, tmp_path / "b", AGAINST_DRAFTS), QUESTIONS)

    changed = [
        (text, path, detail)
        for text, one, other in zip(QUESTIONS, weighed, without, strict=True)
        for path, detail in one.slots.items()
        if other.arguments.get(path) != detail.value
    ]
    assert changed
    for text, path, detail in changed:
        assert detail.filled_by == "copy", path
        assert str(detail.value) in text
        span = detail.evidence  # None for parts of words, which random heads propose
        assert span is None or text[span.start : span.end] == str(detail.value)


async def test_choices_are_the_same_alone_and_beside_others(model: Path, tmp_path: Path) -> None:
    heads = heads_with(model, tmp_path / "heads", AGAINST_DRAFTS)

    alone = [call for text in QUESTIONS for call in await calls_of(model, heads, [text])]

    assert await calls_of(model, heads, QUESTIONS) == alone


async def test_verified_calls_are_not_weighed(model: Path, tmp_path: Path) -> None:
    heads = heads_with(model, tmp_path / "heads", AGAINST_DRAFTS)

    verified = await calls_of(model, heads, QUESTIONS, fill="verified", drafter="heads")

    greedy = await calls_of(model, heads, QUESTIONS, fill="autoregressive")
    assert [call.arguments for call in verified] == [call.arguments for call in greedy]


@pytest.mark.timeout(60)
async def test_every_call_is_valid_whatever_weights_say(model: Path, tmp_path: Path) -> None:
    chance = random.Random(5)
    weights = ValueWeights.of([-6.0, *(chance.gauss(0, 3) for _ in range(NUM_WEIGHTS - 1))])
    backbone, view = backbone_with_heads(model, heads_with(model, tmp_path / "heads", weights))
    num_calls = 0
    async with Engine(lambda: backbone, SchedulerLimits(max_batch=1, prefix_cache_tokens=0)) as engine:
        for number, schema in enumerate(random_schemas(NUM_CALLS, 17)):
            try:
                tool = Tool(name="probe", parameters=schema)
            except SchemaError:
                continue
            request = diffusion_request(view, tool, number)
            turn = await engine.run(partial(lambda asked, _, emit: turn_program(asked, view, emit), request))
            for call in turn.tool_calls:
                num_calls += 1
                judge_for(schema).validate(call.arguments)

    assert num_calls > NUM_CALLS // 4
