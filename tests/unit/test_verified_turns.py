"""Verified turns on real backbones equal autoregressive ones bit for bit, alone and side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime import AgentRuntime, DeploymentConfig, embedded_model_folder
from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.engine import Engine
from agent_runtime.engine.sampling import Sampling
from agent_runtime.engine.scheduler import SchedulerLimits
from agent_runtime.engine.turn import TurnRequest, turn_program
from agent_runtime.engine.view import BackboneView
from agent_runtime.errors import SchemaError
from agent_runtime.messages import Message, Timings, Turn
from agent_runtime.prompt.format import PromptFormat
from agent_runtime.scaffold.scaffold import build_scaffold
from agent_runtime.scaffold.shape import ObjectShape
from agent_runtime.turn_engine import ToolChoice
from tests.shapes import objects
from tests.tiny_model import make_tiny_model

WORDS = 'Book "Hotel Sol" in New York for 12 people on 2026-11-20, or Zoë; celsius, 3.5 stars, a b c.'.split()


@dataclass(frozen=True)
class ShapeTool:
    """A tool of a random shape; what it accepts is not asked here."""

    name: str
    shape: ObjectShape
    call_shapes: tuple[ObjectShape, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_shapes", (self.shape,))

    @property
    def call_shape(self) -> ObjectShape:
        return self.shape

    def validate(self, arguments: Any) -> tuple[str, ...]:
        return ()


def random_shapes(count: int, seed: int) -> list[ObjectShape]:
    """Shapes that a call can satisfy."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as hypothesis_seed

    found: list[ObjectShape] = []

    @hypothesis_seed(seed)
    @settings(max_examples=2 * count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(objects())
    def collect(shape: ObjectShape) -> None:
        try:
            build_scaffold("f", shape)
        except SchemaError:
            return
        found.append(shape)

    collect()
    return found[:count]


def requests_of(view: BackboneView, shapes: Sequence[ObjectShape], seed: int) -> list[TurnRequest]:
    """Random questions; some with several tools, some with a temperature, some that may be words."""
    chance = random.Random(seed)
    requests = []
    for number in range(len(shapes)):
        names = chance.sample(["f", "get_it", "get_them", "book"], k=chance.choice([1, 1, 2, 3]))
        words = " ".join(chance.choices(WORDS, k=chance.randint(3, 60)))
        requests.append(
            TurnRequest(
                prompt_ids=view.encode(words),
                messages=(Message(role="user", content=words),),
                tools=tuple(ShapeTool(name, chance.choice(shapes)) for name in names),
                tool_choice=ToolChoice(mode="required") if chance.random() < 0.8 else ToolChoice(),
                sampling=Sampling(temperature=0.7 if chance.random() < 0.15 else 0.0, seed=number),
                is_thinking=chance.random() < 0.1,
                think_budget_tokens=6,
                is_parallel=chance.random() < 0.5,
                max_calls=3,
                max_tokens=chance.choice([60, 120]),
                max_slot_tokens=chance.choice([6, 12, 24]),
            )
        )
    return requests


async def made(engine: Engine, asked: TurnRequest, view: BackboneView) -> tuple[Turn, int]:
    """The turn without what may differ, and its forwards."""
    turn = await engine.run(lambda _backbone, emit: turn_program(asked, view, emit))
    return replace(turn, timings=Timings(), usage=replace(turn.usage, forwards=0)), turn.usage.forwards


@dataclass
class Comparison:
    """What came of turns in both fills."""

    num_calls: int = 0
    forwards: int = 0
    verified_forwards: int = 0


async def compared(backbone: Backbone, requests: Sequence[TurnRequest], view: BackboneView) -> Comparison:
    """Both fills make the same turns: each alone, then verified ones side by side."""
    seen = Comparison()
    limits = SchedulerLimits(max_batch=5, max_queue=len(requests), prefix_cache_tokens=2048)
    verified = [replace(asked, fill="verified") for asked in requests]
    async with Engine(lambda: backbone, limits) as engine:
        for asked, same in zip(requests, verified, strict=True):
            expected, num_forwards = await made(engine, asked, view)
            turn, num_verified = await made(engine, same, view)
            assert replace(turn, usage=expected.usage) == expected
            assert turn.usage.completion_tokens == expected.usage.completion_tokens
            seen.num_calls += len(turn.tool_calls)
            seen.forwards += num_forwards
            seen.verified_forwards += num_verified
        alone = [await made(engine, asked, view) for asked in requests]
        together = await asyncio.gather(*(made(engine, asked, view) for asked in verified))
    for (one, _), (other, _) in zip(alone, together, strict=True):
        assert replace(other, usage=one.usage) == one
    return seen


@pytest.mark.parametrize(
    ("dtype", "layers", "seed"), [("float32", 4, 0), ("bfloat16", 4, 1), ("bfloat16", 1, 2)]
)
async def test_verified_turns_of_a_random_backbone_are_the_autoregressive_ones(
    tmp_path: Path, dtype: str, layers: int, seed: int
) -> None:
    backbone = Backbone.load(make_tiny_model(tmp_path, spread=0.2, layers=layers, seed=seed), dtype=dtype)
    view = BackboneView.from_tokenizer(
        backbone.tokenizer, PromptFormat.compact(), vocab_size=backbone.vocab_size
    )

    seen = await compared(backbone, requests_of(view, random_shapes(12, seed), seed), view)

    assert seen.num_calls >= 5
    assert seen.verified_forwards <= seen.forwards


async def test_verified_turns_of_the_embedded_model_are_the_autoregressive_ones() -> None:
    backbone = Backbone.load(embedded_model_folder(), dtype="bfloat16")
    view = BackboneView.from_tokenizer(
        backbone.tokenizer, backbone.prompt_format, vocab_size=backbone.vocab_size
    )

    seen = await compared(backbone, requests_of(view, random_shapes(6, 7), 7), view)

    assert seen.num_calls >= 3
    assert seen.verified_forwards < seen.forwards


async def test_a_deployment_says_how_calls_are_written() -> None:
    def get_weather(city: str, days: int, is_metric: bool) -> str:
        """Weather for a city."""
        return ""

    seen = []
    for fill in ("autoregressive", "verified"):
        async with AgentRuntime.load(deployment=DeploymentConfig(fill=fill, max_parallel_calls=1)) as runtime:
            turn = await runtime.respond(
                "What's the weather in Oslo for 5 days?", tools=[get_weather], tool_choice="required"
            )
            seen.append((turn.tool_calls, turn.usage.forwards))

    (expected, num_expected), (calls, num_forwards) = seen
    assert calls == expected
    assert num_forwards < num_expected
