"""Every field of a deployment is flipped, and must change something that can be seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent_runtime import AgentRuntime, AgentRuntimeError, DeploymentConfig, tool
from agent_runtime.config import Capabilities, resolve, revised
from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.graph_setup import graphs_of
from agent_runtime.engine.scheduler import run_alone
from agent_runtime.events import DenoiseStep
from agent_runtime.executor import ToolExecutor
from agent_runtime.graph_settings import GraphBuckets
from agent_runtime.messages import ToolCall
from tests.forward_programs import greedy
from tests.tiny_bundle import make_tiny_bundle
from tests.tiny_model import make_tiny_model

BASE = DeploymentConfig(device="cpu", max_tokens=64, think_budget_tokens=16)

Look = Callable[[Path, DeploymentConfig], Awaitable[Any]]


def words(**settings: Any) -> Look:
    """What is answered in words."""

    async def look(model: Path, deployment: DeploymentConfig) -> Any:
        async with AgentRuntime.load(model, deployment=revised(deployment, **settings)) as runtime:
            turn = await runtime.respond("Tell me something.", top_logprobs=0)
            return turn.content, turn.reasoning, turn.logprobs

    return look


def turn_with_tool(**settings: Any) -> Look:
    """Whether and how often a tool is called."""

    async def look(model: Path, deployment: DeploymentConfig) -> Any:
        async with AgentRuntime.load(model, deployment=revised(deployment, **settings)) as runtime:
            asked = [runtime.respond(f"Question {number}", tools=[flag, colour]) for number in range(6)]
            return [(turn.stop_reason, len(turn.tool_calls)) for turn in await asyncio.gather(*asked)]

    return look


async def several_calls(model: Path, deployment: DeploymentConfig) -> Any:
    """What random models of several kinds call; some of them go on calling."""
    deployment = revised(deployment, call_bias=50.0, max_tokens=200)
    seen = []
    for spread in (0.1, 0.2, 0.5):
        folder = model.parent / f"spread-{spread}"
        if not folder.exists():
            make_tiny_model(folder, spread=spread)
        seen.append(await turn_with_tool()(folder, deployment))
    return seen


@tool
def flag(is_on: bool) -> bool:
    """Set the flag."""
    return is_on


@tool
def colour(is_red: bool) -> bool:
    """Choose a colour."""
    return is_red


@tool
def note(text: str) -> str:
    """Write something down."""
    return text


async def length_of_text(model: Path, deployment: DeploymentConfig) -> Any:
    """Characters of a value that a random model would not end by itself."""
    async with AgentRuntime.load(model, deployment=deployment) as runtime:
        turn = await runtime.respond("Write.", tools=[note], tool_choice="required", max_tokens=200)
        return [len(call.arguments["text"]) for call in turn.tool_calls]


async def prompt_text(model: Path, deployment: DeploymentConfig) -> Any:
    async with AgentRuntime.load(model, deployment=deployment) as runtime:
        return (await runtime.prompt("Hi")).text


async def how_it_resolves(model: Path, deployment: DeploymentConfig) -> Any:
    return resolve(deployment, Capabilities(has_cuda=True, has_bitsandbytes=True))


async def recorded_shapes(model: Path, deployment: DeploymentConfig) -> Any:
    """How short reads would be recorded on CUDA, tried out on the CPU."""
    resolved, _ = resolve(deployment, Capabilities(has_cuda=True))
    backbone = Backbone.load(model, max_seq_len=256, graphs=graphs_of(resolved))
    run_alone(backbone, greedy([1] * 10, 4))
    graphs = backbone.graphs
    return graphs is not None and (graphs.buckets, backbone.batch_rule)


async def how_it_compiles(model: Path, deployment: DeploymentConfig) -> Any:
    """Whether torch's compiler would be used on CUDA; it is not run."""
    resolved, _ = resolve(deployment, Capabilities(has_cuda=True))
    graphs = Backbone.load(model, max_seq_len=256, graphs=graphs_of(resolved)).graphs
    return graphs is not None and graphs.is_compiled


async def long_prompt(model: Path, deployment: DeploymentConfig) -> Any:
    async with AgentRuntime.load(model, deployment=deployment) as runtime:
        return (await runtime.respond("word " * 300, max_tokens=8)).usage.prompt_tokens


async def busy_engine(model: Path, deployment: DeploymentConfig) -> Any:
    async with AgentRuntime.load(model, deployment=deployment) as runtime:
        await runtime.warm_up()
        asked = [runtime.respond(f"Question {number}", max_tokens=32) for number in range(6)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = sum(isinstance(answer, AgentRuntimeError) for answer in answers)
        return refused, max(runtime.statistics().engine.batch_sizes)


async def second_reading(model: Path, deployment: DeploymentConfig) -> Any:
    async with AgentRuntime.load(model, deployment=deployment) as runtime:
        await runtime.respond("Tell me something. " * 20, max_tokens=4)
        return (await runtime.respond("Tell me something. " * 20, max_tokens=4)).usage.cached_tokens > 0


async def loading(model: Path, deployment: DeploymentConfig) -> Any:
    AgentRuntime.load(model, deployment=deployment).close()


async def values_from_heads(model: Path, deployment: DeploymentConfig) -> Any:
    """What random heads fill, and in how many forwards."""
    heads = model.parent / "heads"
    if not heads.exists():
        make_tiny_bundle(model, heads, spread=0.3, copies=False)
    async with AgentRuntime.load(model, heads=heads, deployment=deployment) as runtime:
        turns = [
            await runtime.respond(f"Write {number} down.", tools=[note], tool_choice="required")
            for number in range(3)
        ]
        return [(turn.usage.forwards, [call.arguments for call in turn.tool_calls]) for turn in turns]


async def steps_of_a_draft(model: Path, deployment: DeploymentConfig) -> Any:
    """Whether heads tell the steps in which they draft."""
    heads = make_tiny_bundle(model, model.parent / f"heads-{deployment.drafter}", spread=0.3)
    async with AgentRuntime.load(model, heads=heads, deployment=deployment) as runtime:
        told = runtime.stream("Note 'milk'.", tools=[note], tool_choice="required", trace=True)
        return [event.step async for event in told if isinstance(event, DenoiseStep)]


async def hanging_tool(model: Path, deployment: DeploymentConfig) -> Any:
    @tool
    async def hang() -> None:
        await asyncio.sleep(0.2)

    return await result_of(deployment, hang)


async def flaky_tool(model: Path, deployment: DeploymentConfig) -> Any:
    @tool(is_idempotent=True)
    def fail() -> None:
        raise ConnectionError

    return (await result_of(deployment, fail))[0]


async def long_result(model: Path, deployment: DeploymentConfig) -> Any:
    @tool
    def tell() -> str:
        return "x" * 1000

    return len((await result_of(deployment, tell))[1])


async def crowded_tools(model: Path, deployment: DeploymentConfig) -> Any:
    running = most = 0

    @tool
    async def work(n: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    session = ToolExecutor(deployment).session([work])
    calls = [ToolCall(id=f"c{n}", name="work", arguments={"n": n}) for n in range(5)]
    async for _ in session.run_all(calls):
        pass
    return most


async def result_of(deployment: DeploymentConfig, offered: Any) -> Any:
    async def no_wait(seconds: float) -> None:
        return None

    session = ToolExecutor(deployment, sleep=no_wait).session([offered])
    result = await session.run(ToolCall(id="c", name=offered.name, arguments={}))
    return result.attempts, result.message


EXPERIMENTS: dict[str, tuple[Any, Look]] = {
    "fill": ("diffusion", loading),
    "drafter": ("heads", steps_of_a_draft),
    "denoise_steps": (4, values_from_heads),
    "reencode_every": (1, values_from_heads),
    "cfg_scale": (3.0, values_from_heads),
    "remask": ({"enabled": False}, values_from_heads),
    "expansion": ({"max_rounds": 0}, values_from_heads),
    "slot_budget": ({"maximum": 2}, values_from_heads),
    "fallback_below": (1.0, values_from_heads),
    "temperature": (1.0, words()),
    "top_p": (0.01, words(temperature=1.0)),
    "seed": (7, words(temperature=1.0)),
    "call_bias": (50.0, turn_with_tool()),
    "abstain_below": (1.0, turn_with_tool(call_bias=50.0)),
    "max_parallel_calls": (1, several_calls),
    "max_seq_len": (128, long_prompt),
    "max_tokens": (24, words()),
    "max_slot_tokens": (4, length_of_text),
    "think": (True, prompt_text),
    "think_budget_tokens": (4, words(think=True)),
    "date": ("2026-11-20", prompt_text),
    "device": ("cuda", how_it_resolves),
    "dtype": ("bfloat16", words()),
    "quantization": ("4bit", how_it_resolves),
    "cuda_graphs": (False, recorded_shapes),
    "compile": (True, how_it_compiles),
    "graph_buckets": (GraphBuckets(rows=32, batches=(2,), lengths=(128,)), recorded_shapes),
    "max_batch": (1, busy_engine),
    "max_queue": (0, busy_engine),
    "request_deadline_s": (1e-6, words()),
    "prefix_cache_tokens": (0, second_reading),
    "tool_timeout_s": (0.01, hanging_tool),
    "tool_retries": (0, flaky_tool),
    "max_concurrent_tools": (1, crowded_tools),
    "max_result_chars": (100, long_result),
}

# Nothing is read again, so that what is seen is what the heads wrote.
HEADS_ALONE = revised(
    BASE, fill="diffusion", denoise_steps=2, reencode_every=0, max_slot_tokens=40, max_parallel_calls=1
)

BASES = {
    "denoise_steps": HEADS_ALONE,
    "reencode_every": HEADS_ALONE,
    "cfg_scale": HEADS_ALONE,
    "remask": revised(
        HEADS_ALONE,
        denoise_steps=6,
        remask={"ratio": 1.0, "min_lock_confidence": 1.0},
        slot_budget={"extra": 12},
    ),
    "expansion": HEADS_ALONE,
    "slot_budget": HEADS_ALONE,
    "fallback_below": HEADS_ALONE,
    "dtype": revised(BASE, dtype="float32"),
    # 4-bit weights contradict device="cpu"; without a small batch the queue never fills.
    "quantization": revised(BASE, device="auto"),
    "max_queue": revised(BASE, max_batch=2),
    "cuda_graphs": revised(BASE, device="auto"),
    "compile": revised(BASE, device="auto"),
    "graph_buckets": revised(BASE, device="auto"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("settings") / "model", spread=0.5)


def test_every_setting_has_an_experiment() -> None:
    assert set(EXPERIMENTS) == set(DeploymentConfig.model_fields)


@pytest.mark.parametrize("name", EXPERIMENTS)
async def test_setting_changes_what_can_be_seen(model: Path, name: str) -> None:
    value, look = EXPERIMENTS[name]
    base = BASES.get(name, BASE)

    assert await outcome(look, model, base) != await outcome(look, model, revised(base, **{name: value}))


async def outcome(look: Look, model: Path, deployment: DeploymentConfig) -> Any:
    """What is seen; an error of ours is something to see."""
    try:
        return await look(model, deployment)
    except AgentRuntimeError as error:
        return type(error)
