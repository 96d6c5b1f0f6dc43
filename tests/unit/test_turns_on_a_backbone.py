"""Whole turns on a real (tiny, random) backbone, alone and side by side."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.engine import Engine
from agent_runtime.engine.sampling import Sampling
from agent_runtime.engine.scheduler import SchedulerLimits
from agent_runtime.engine.turn import TurnRequest, turn_program
from agent_runtime.engine.view import BackboneView
from agent_runtime.events import TurnEvent
from agent_runtime.messages import Message, Timings, Turn, Usage
from agent_runtime.prompt.format import PromptFormat
from agent_runtime.tools import tool
from agent_runtime.turn_engine import ToolChoice
from tests.tiny_model import make_tiny_model

BOOK = tool(
    {
        "name": "book_table",
        "parameters": {
            "type": "object",
            "properties": {
                "people": {"type": "integer", "minimum": 1, "maximum": 20},
                "name": {"type": "string", "maxLength": 15},
                "dishes": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {"type": "object", "properties": {"dish": {"enum": ["soup", "fish"]}}},
                },
            },
            "required": ["people"],
        },
    }
)
CANCEL = tool(
    {"name": "cancel", "parameters": {"type": "object", "properties": {"all": {"type": "boolean"}}}}
)
TOOLS = {bound.name: bound for bound in (BOOK, CANCEL)}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder: Path = make_tiny_model(tmp_path_factory.mktemp("model"), spread=0.2)
    return Backbone.load(folder)


def request(view: BackboneView, number: int) -> TurnRequest:
    words = f"A table for {number}, please. " * (1 + number % 3)
    return TurnRequest(
        prompt_ids=view.encode(words),
        messages=(Message(role="user", content=words),),
        tools=tuple(TOOLS.values()),
        tool_choice=ToolChoice(mode="required") if number % 2 else ToolChoice(),
        sampling=Sampling(temperature=0.8 if number % 4 > 1 else 0.0, seed=number),
        is_thinking=number % 5 == 0,
        think_budget_tokens=6,
        max_calls=2,
        max_tokens=160,
    )


async def made(engine: Engine, asked: TurnRequest, view: BackboneView) -> tuple[Turn, list[TurnEvent]]:
    events: list[TurnEvent] = []
    turn = await engine.run(lambda _backbone, emit: turn_program(asked, view, emit), on_event=events.append)
    return replace(turn, timings=Timings(), usage=Usage()), events


async def test_turns_are_the_same_alone_and_side_by_side(backbone: Backbone) -> None:
    view = BackboneView.from_tokenizer(
        backbone.tokenizer, PromptFormat.compact(), vocab_size=backbone.vocab_size
    )
    requests = [request(view, number) for number in range(10)]
    limits = SchedulerLimits(max_batch=4, max_queue=20)

    async with Engine(lambda: backbone, limits) as engine:
        alone = [await made(engine, asked, view) for asked in requests]
    async with Engine(lambda: backbone, limits) as engine:
        together = await asyncio.gather(*(made(engine, asked, view) for asked in requests))

    assert alone == list(together)
    calls = [call for turn, _ in alone for call in turn.tool_calls]
    assert len(calls) >= 5
    assert all(TOOLS[call.name].validate(call.arguments) == () for call in calls)


async def test_a_second_turn_of_a_conversation_reads_only_what_is_new(backbone: Backbone) -> None:
    view = BackboneView.from_tokenizer(
        backbone.tokenizer, PromptFormat.compact(), vocab_size=backbone.vocab_size
    )
    asked = replace(request(view, 1), prompt_ids=view.encode("please book a table " * 40), is_parallel=False)

    async with Engine(lambda: backbone, SchedulerLimits(prefix_cache_tokens=4096)) as engine:
        turns = [await engine.run(lambda _backbone, emit: turn_program(asked, view, emit)) for _ in range(2)]

    assert turns[0].usage.cached_tokens == 0
    assert turns[1].usage.cached_tokens >= len(asked.prompt_ids) // 2
    assert turns[0].tool_calls == turns[1].tool_calls
