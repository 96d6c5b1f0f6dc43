"""Calls filled with heads: valid whatever the heads say, the same as without where they are verified."""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed

from agent_runtime import AgentRuntime, BundleError, ConfigError, DeploymentConfig, Tool
from agent_runtime.config import revised
from agent_runtime.engine.engine import Engine
from agent_runtime.engine.head_fill.settings import DenoiseSettings
from agent_runtime.engine.program import Program
from agent_runtime.engine.scheduler import SchedulerLimits
from agent_runtime.engine.turn import TurnRequest, turn_program
from agent_runtime.engine.view import BackboneView
from agent_runtime.errors import SchemaError
from agent_runtime.events import DenoiseStep, TurnFinished
from agent_runtime.messages import Message, Turn
from agent_runtime.runtime import embedded_model_folder
from agent_runtime.turn_engine import ToolChoice
from tests.contract.schema_coverage import judge_for
from tests.tiny_bundle import backbone_with_heads, make_tiny_bundle
from tests.tiny_model import make_tiny_model
from tests.unit.test_schema_soundness import schemas
from tests.unit.test_verified_turns import compared, random_shapes, requests_of

NUM_CALLS = int(os.environ.get("SMOLCALL_HEAD_CALLS", "60"))
"""Calls of random schemas that are checked. `SMOLCALL_HEAD_CALLS=20000 pytest tests/unit/test_head_fill.py
-k valid --timeout 0` checks as many as a release claims."""

EMBEDDED = embedded_model_folder().parent

QUICK = DeploymentConfig(device="cpu", max_tokens=300, max_slot_tokens=120, max_parallel_calls=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("head-fill") / "model", spread=0.2)


@pytest.fixture(scope="module")
def random_heads(model: Path) -> Path:
    return make_tiny_bundle(model, model.parent / "random-heads", spread=0.3)


@pytest.fixture(scope="module")
def new_heads(model: Path) -> Path:
    return make_tiny_bundle(model, model.parent / "new-heads")


@pytest.mark.parametrize(("dtype", "spread"), [("float32", 0.3), ("bfloat16", 0.3), ("float32", 0.0)])
async def test_verified_turns_are_the_autoregressive_ones_whatever_heads_say(
    model: Path, random_heads: Path, new_heads: Path, dtype: str, spread: float
) -> None:
    backbone, view = backbone_with_heads(model, random_heads if spread else new_heads, dtype=dtype)

    seen = await compared(backbone, requests_of(view, random_shapes(6, 3), 3), view)

    assert seen.num_calls >= 3


def random_schemas(count: int, seed: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    @hypothesis_seed(seed)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(schemas, schemas)
    def collect(one: Any, other: Any) -> None:
        found.append({"type": "object", "properties": {"a": one, "b": other}, "required": ["a"]})

    collect()
    return found


def diffusion_request(view: BackboneView, tool: Tool, number: int) -> TurnRequest:
    chance = random.Random(number)
    words = " ".join(chance.choices(["Paris", "12", "-3.5", "abc", "2026-11-20", "x_1", "and", "Zoë,"], k=12))
    return TurnRequest(
        prompt_ids=view.encode(words),
        messages=(Message(role="user", content=words),),
        copyable=((1, len(view.encode(words))),),
        tools=(tool,),
        tool_choice=ToolChoice(mode="required"),
        is_parallel=False,
        max_tokens=chance.choice([40, 200]),
        max_slot_tokens=24,
        fill="diffusion",
        denoise=DenoiseSettings(
            denoise_steps=chance.randint(1, 3),
            reencode_every=chance.randint(0, 2),
            cfg_scale=chance.choice([0.0, 1.0]),
            fallback_below=chance.choice([0.0, 0.0, 0.5]),
        ),
    )


@pytest.mark.timeout(0 if NUM_CALLS > 1000 else 60)
@pytest.mark.parametrize("kind", ["random", "new", "trained"])
async def test_every_call_is_valid_whatever_heads_say(
    model: Path, random_heads: Path, new_heads: Path, kind: str
) -> None:
    folders = {
        "random": (model, random_heads),
        "new": (model, new_heads),
        "trained": (EMBEDDED / "model", EMBEDDED / "heads"),  # these weigh values, too
    }
    backbone, view = backbone_with_heads(*folders[kind])
    asked: list[tuple[dict[str, Any], TurnRequest]] = []
    for number, schema in enumerate(random_schemas(2 * NUM_CALLS, 11)):
        try:
            tool = Tool(name="probe", parameters=schema)
        except SchemaError:
            continue
        asked.append((schema, diffusion_request(view, tool, number)))

    limits = SchedulerLimits(max_batch=4, max_queue=8, prefix_cache_tokens=0)
    num_calls = 0
    async with Engine(lambda: backbone, limits) as engine:
        for start in range(0, min(len(asked), NUM_CALLS), 4):
            some = asked[start : start + 4]
            turns = await asyncio.gather(
                *(engine.run(partial(_program, request, view)) for _, request in some)
            )
            for (schema, _), turn in zip(some, turns, strict=True):
                for call in turn.tool_calls:
                    num_calls += 1
                    judge_for(schema).validate(call.arguments)

    assert num_calls > NUM_CALLS // 4


def _program(request: TurnRequest, view: BackboneView, _backbone: Any, emit: Any) -> Program[Turn]:
    return turn_program(request, view, emit)


async def forwards_for(runtime: AgentRuntime, text: str) -> int:
    turn = await runtime.respond(f'Note "{text}".', tools=[note], tool_choice="required")
    return turn.usage.forwards


def note(text: str) -> None:
    """Write something down."""


@pytest.mark.parametrize(("reencode_every", "expected"), [(0, 1), (1, 3), (2, 2)])
async def test_forwards_of_a_call_do_not_depend_on_how_long_its_values_are(
    model: Path, random_heads: Path, reencode_every: int, expected: int
) -> None:
    deployment = revised(QUICK, fill="diffusion", denoise_steps=2, reencode_every=reencode_every)
    async with AgentRuntime.load(model, heads=random_heads, deployment=deployment) as runtime:
        counts = {await forwards_for(runtime, text) for text in ("four", "long words " * 18)}

    assert counts == {1 + expected}  # one reads the prompt


async def test_random_heads_and_backbones_fill_the_same_call_alone_and_beside_others(
    model: Path, random_heads: Path
) -> None:
    questions = [f"Book for {number} people in Oslo" for number in range(4)]
    deployment = revised(QUICK, fill="diffusion")
    async with AgentRuntime.load(model, heads=random_heads, deployment=deployment) as runtime:
        alone = [await runtime.respond(q, tools=[note], tool_choice="required") for q in questions]
        together = await asyncio.gather(
            *(runtime.respond(q, tools=[note], tool_choice="required") for q in questions)
        )

    assert [turn.tool_calls for turn in together] == [turn.tool_calls for turn in alone]


async def test_steps_are_told_on_request(model: Path, new_heads: Path) -> None:
    deployment = revised(QUICK, fill="diffusion", denoise_steps=2)
    async with AgentRuntime.load(model, heads=new_heads, deployment=deployment) as runtime:
        told = [
            [e async for e in runtime.stream("Hi Bob", tools=[note], tool_choice="required", trace=trace)]
            for trace in (True, False)
        ]

    steps = [event for event in told[0] if isinstance(event, DenoiseStep)]
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert {"propose", "read"} <= {step.kind for step in steps}
    assert all(slot.path == "text" for step in steps for slot in step.slots)
    assert not any(isinstance(event, DenoiseStep) for event in told[1])
    turns = [events[-1].turn for events in told if isinstance(events[-1], TurnFinished)]
    assert turns[0].tool_calls == turns[1].tool_calls
    assert steps[0].call_id == turns[0].tool_calls[0].id


async def test_each_value_says_how_it_was_filled(model: Path, new_heads: Path) -> None:
    seen = {}
    for fill, below in (("autoregressive", 0.0), ("verified", 0.0), ("diffusion", 0.0), ("diffusion", 1.0)):
        deployment = revised(QUICK, fill=fill, drafter="heads", fallback_below=below)
        async with AgentRuntime.load(model, heads=new_heads, deployment=deployment) as runtime:
            turn = await runtime.respond("Hi", tools=[note], tool_choice="required")
            call = turn.tool_calls[0]
            seen[fill, below] = call.slots["text"].filled_by
            assert 0 < call.forwards <= turn.usage.forwards

    assert seen["autoregressive", 0.0] == seen["diffusion", 1.0] == "autoregressive"
    assert seen["verified", 0.0] in ("copy", "denoise", "draft")
    assert seen["diffusion", 0.0] in ("copy", "denoise", "draft")


async def test_heads_draft_only_where_they_are_asked_to(model: Path, random_heads: Path) -> None:
    calls, forwards = [], []
    for drafter in ("copies", "heads"):
        deployment = revised(QUICK, drafter=drafter)
        async with AgentRuntime.load(model, heads=random_heads, deployment=deployment) as runtime:
            turn = await runtime.respond("Note 'milk'.", tools=[note], tool_choice="required")
            calls.append([call.arguments for call in turn.tool_calls])
            forwards.append(turn.usage.forwards)

    assert calls[0] == calls[1]
    assert forwards[0] != forwards[1]


def test_heads_that_shall_draft_must_be_given(model: Path) -> None:
    with pytest.raises(ConfigError, match="drafter='heads' contradicts heads=None"):
        AgentRuntime.load(model, deployment=DeploymentConfig(drafter="heads"))


async def test_heads_of_another_backbone_are_refused(model: Path, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", seed=5)
    heads = make_tiny_bundle(other, tmp_path / "heads")

    async with AgentRuntime.load(model, heads=heads) as runtime:
        with pytest.raises(BundleError, match="fingerprint"):
            await runtime.respond("Hi")


async def test_heads_that_are_not_there_are_refused(model: Path, tmp_path: Path) -> None:
    async with AgentRuntime.load(model, heads=tmp_path / "nothing") as runtime:
        with pytest.raises(BundleError, match="does not exist"):
            await runtime.respond("Hi")
