from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent_runtime.config import DeploymentConfig
from agent_runtime.errors import (
    AgentRuntimeError,
    ClosedError,
    ConfigError,
    MessageError,
    OverloadedError,
    RunLimitError,
    SchemaError,
    ToolChoiceError,
)
from agent_runtime.events import RunFinished, TextDelta, TurnFinished
from agent_runtime.hooks import Answer, ToolHooks
from agent_runtime.messages import Turn
from agent_runtime.runtime import AgentRuntime
from agent_runtime.testing import ScriptedEngine, call, calls, scripted_runtime
from agent_runtime.turn_engine import OnEvent, ToolChoice, TurnOrder


def get_weather(city: str, days: int = 1) -> dict[str, Any]:
    """Weather of a city.

    Args:
        city: City name.
        days: Number of days.
    """
    return {"city": city, "degrees": 21}


DESCRIBED = {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {}}}


def engine_and_runtime(*replies: Any, **deployment: Any) -> tuple[ScriptedEngine, AgentRuntime]:
    engine = ScriptedEngine(*replies)
    return engine, AgentRuntime(engine, DeploymentConfig(**deployment))


async def test_run_answers_with_the_help_of_a_tool() -> None:
    runtime = scripted_runtime(calls(get_weather={"city": "Paris"}), "It is 21 degrees in Paris.")

    run = await runtime.run("What's the weather in Paris?", tools=[get_weather], max_turns=8)

    assert run.output == "It is 21 degrees in Paris."
    assert json.loads(json.dumps(run.messages)) == run.messages
    assert run.tool_results[0].value == {"city": "Paris", "degrees": 21}
    assert run.turns[0].tool_calls[0].slots["city"].value == "Paris"


async def test_respond_runs_no_tool() -> None:
    def explode() -> None:
        raise AssertionError("must not run")

    turn = await scripted_runtime(calls(explode={})).respond("Go", tools=[explode])

    assert turn.stop_reason == "tool_calls"
    assert turn.tool_calls[0].id


async def test_stream_gives_the_turn_in_pieces_and_whole() -> None:
    events = [event async for event in scripted_runtime("one two three").stream("Count")]

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two three"
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].turn.content == "one two three"


async def test_stream_run_ends_in_the_run() -> None:
    runtime = scripted_runtime(calls(get_weather={"city": "Rome"}), "Warm.")

    events = [event async for event in runtime.stream_run("Weather?", tools=[get_weather])]

    assert isinstance(events[-1], RunFinished)
    assert events[-1].run.output == "Warm."


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        pytest.param([], MessageError, id="empty"),
        pytest.param([{"role": "wizard", "content": "x"}], MessageError, id="unknown role"),
        pytest.param([{"role": "user", "content": 3}], MessageError, id="content of a wrong type"),
        pytest.param(None, MessageError, id="nothing"),
        pytest.param(3, MessageError, id="a number"),
    ],
)
async def test_bad_conversation_never_reaches_the_engine(messages: Any, error: type[Exception]) -> None:
    engine, runtime = engine_and_runtime("Hi")

    for method in (runtime.respond, runtime.run, runtime.prompt):
        with pytest.raises(error):
            await method(messages)
    for stream in (runtime.stream, runtime.stream_run):
        with pytest.raises(error):
            await anext(stream(messages))

    assert engine.orders == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        pytest.param(
            {"tool_choice": "required"}, ToolChoiceError, "without tools", id="required without tools"
        ),
        pytest.param({"tool_choice": "sing"}, ToolChoiceError, "'sing'", id="unknown choice"),
        pytest.param(
            {"tool_choice": "get_wether", "tools": [get_weather]},
            ToolChoiceError,
            "did you mean 'get_weather'",
            id="misspelt tool",
        ),
        pytest.param({"tool_choice": {"type": "what"}}, ToolChoiceError, "not understood", id="unknown dict"),
        pytest.param({"tool_choice": 3}, ToolChoiceError, "int", id="a number"),
        pytest.param({"tools": [get_weather, get_weather]}, SchemaError, "name", id="duplicate names"),
        pytest.param({"tools": [object()]}, SchemaError, "cannot be a tool", id="no tool"),
        pytest.param({"temperature": -1}, ConfigError, "temperature", id="setting out of range"),
        pytest.param({"temprature": 1}, ConfigError, "did you mean 'temperature'", id="misspelt setting"),
        pytest.param(
            {"max_batch": 1}, ConfigError, "unknown setting 'max_batch' of a turn", id="not a turn's"
        ),
        pytest.param({"stop": [""]}, ConfigError, "stop", id="empty stop"),
        pytest.param({"stop": 3}, ConfigError, "stop", id="stop of a wrong type"),
        pytest.param({"stop": ["x"] * 17}, ConfigError, "at most 16", id="too many stops"),
        pytest.param({"deadline_s": -1}, ConfigError, "deadline", id="deadline in the past"),
    ],
)
async def test_bad_argument_never_reaches_the_engine(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    engine, runtime = engine_and_runtime("Hi")

    with pytest.raises(error, match=words):
        await runtime.respond("Hi", **arguments)
    with pytest.raises(error, match=words):
        await runtime.run("Hi", **arguments)

    assert engine.orders == []


@pytest.mark.parametrize("top_logprobs", [-1, 21, True, "3"])
async def test_log_probabilities_have_a_range(top_logprobs: Any) -> None:
    with pytest.raises(ConfigError, match="0 to 20"):
        await scripted_runtime("Hi").respond("Hi", top_logprobs=top_logprobs)


@pytest.mark.parametrize(
    "limits", [{"max_turns": 0}, {"max_turns": "3"}, {"max_repeats": 0}, {"deadline_s": float("nan")}]
)
async def test_limits_of_a_run_are_checked(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        await scripted_runtime("Hi").run("Hi", **limits)


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ("get_weather", ToolChoice(mode="required", name="get_weather")),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            ToolChoice(mode="required", name="get_weather"),
        ),
        ({"type": "function", "name": "get_weather"}, ToolChoice(mode="required", name="get_weather")),
        ({"type": "tool", "name": "get_weather"}, ToolChoice(mode="required", name="get_weather")),
        ({"type": "any"}, ToolChoice(mode="required")),
    ],
)
async def test_tool_choice_is_understood_in_all_its_forms(choice: Any, read: ToolChoice) -> None:
    engine, runtime = engine_and_runtime("Hi")

    await runtime.respond("Hi", tools=[get_weather], tool_choice=choice)

    assert engine.orders[0].tool_choice == read


@pytest.mark.parametrize(
    ("choice", "later"), [("required", "auto"), ("get_weather", "auto"), ("none", "none")]
)
async def test_only_the_first_turn_of_a_run_is_forced_to_call(choice: str, later: str) -> None:
    engine, runtime = engine_and_runtime(calls(get_weather={"city": "Oslo"}), "Cold.")

    await runtime.run("Weather?", tools=[get_weather], tool_choice=choice)

    assert engine.orders[1].tool_choice == ToolChoice(mode=later)  # type: ignore[arg-type]  # parametrised


async def test_last_answer_of_a_run_is_asked_for_in_words() -> None:
    engine, runtime = engine_and_runtime(calls(get_weather={"city": "Oslo"}), calls(get_weather={}), "Cold.")

    run = await runtime.run("Weather?", tools=[get_weather], max_turns=2, answer_at_limit=True)

    assert run.output == "Cold."
    assert [order.tool_choice.mode for order in engine.orders] == ["auto", "auto", "none"]


async def test_settings_of_a_turn_lie_over_the_deployment() -> None:
    engine, runtime = engine_and_runtime("Hi", temperature=0.5, max_tokens=100)

    await runtime.respond("Hi", seed=7, temperature=None, deadline_s=3.0, parallel_tool_calls=False, stop="x")

    order = engine.orders[0]
    assert order.deployment == DeploymentConfig(
        temperature=0.5, max_tokens=100, seed=7, request_deadline_s=3.0, max_parallel_calls=1
    )
    assert order.stop == ("x",)


async def test_tool_without_a_function_cannot_be_run_but_can_be_called_or_answered() -> None:
    hooks = ToolHooks(approve=lambda call: Answer("found it"))

    with pytest.raises(ConfigError, match="'search' is only described"):
        await scripted_runtime(calls(search={})).run("Go", tools=[DESCRIBED])
    turn = await scripted_runtime(calls(search={})).respond("Go", tools=[DESCRIBED])
    run = await scripted_runtime(calls(search={}), "Done.").run("Go", tools=[DESCRIBED], hooks=hooks)

    assert turn.tool_calls[0].name == "search"
    assert run.tool_results[0].message == "found it"


async def test_typed_arguments_reach_the_function() -> None:
    seen: list[Any] = []

    def book(person: Person) -> str:
        seen.append(person)
        return person

    await scripted_runtime(calls(book={"person": {"name": "Ada", "age": 36}}), "Done.").run(
        "Go", tools=[book]
    )

    assert seen == [Person(name="Ada", age=36)]


class Person(BaseModel):
    name: str
    age: int


async def test_run_stopped_by_a_limit_goes_on_from_its_messages() -> None:
    runtime = scripted_runtime(calls(get_weather={"city": "Oslo"}))
    with pytest.raises(RunLimitError) as raised:
        await runtime.run("Weather?", tools=[get_weather], max_turns=1)

    run = await scripted_runtime("Cold.").run(raised.value.run.messages, tools=[get_weather])

    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]


async def test_wrong_setting_is_found_before_a_waiting_call_is_run() -> None:
    ran: list[str] = []

    def act() -> None:
        ran.append("act")

    waiting = Turn(content="", tool_calls=(call("act"),)).as_message()
    waiting["tool_calls"][0]["id"] = "call_1"
    with pytest.raises(ConfigError):
        await scripted_runtime("Hi").run([{"role": "user", "content": "Go"}, waiting], tools=[act], top_p=7)

    assert ran == []


async def test_engine_errors_pass_through() -> None:
    runtime = scripted_runtime(OverloadedError(queued=1, retry_after_s=2.0))

    for attempt in (runtime.respond("Hi"), runtime.run("Hi"), anext(runtime.stream("Hi"))):
        with pytest.raises(OverloadedError):
            await attempt


class SlowEngine(ScriptedEngine):
    """Begins a turn and never ends it; says when it was cancelled."""

    def __init__(self) -> None:
        super().__init__("never")
        self.begun = asyncio.Event()
        self.was_cancelled = False

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        if on_event is not None:
            on_event(TextDelta(text="begun"))
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        raise AssertionError


async def test_cancelling_a_call_cancels_the_turn() -> None:
    for method in ("respond", "run"):
        engine = SlowEngine()
        task = asyncio.ensure_future(getattr(AgentRuntime(engine), method)("Hi"))
        await engine.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert engine.was_cancelled


async def test_leaving_a_stream_cancels_the_turn() -> None:
    engine = SlowEngine()

    async with aclosing(AgentRuntime(engine).stream("Hi")) as events:
        async for _ in events:
            break

    assert engine.was_cancelled
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closed_runtime_refuses_everything_and_closing_twice_is_fine() -> None:
    runtime = scripted_runtime("Hi")
    async with runtime:
        await runtime.respond("Hi")
    runtime.close()

    for attempt in (runtime.respond("Hi"), runtime.run("Hi"), runtime.warm_up(), runtime.prompt("Hi")):
        with pytest.raises(ClosedError):
            await attempt
    with pytest.raises(ClosedError):
        await anext(runtime.stream("Hi"))
    with pytest.raises(ClosedError), runtime:
        pass


def test_runtime_closes_in_plain_code_too() -> None:
    with scripted_runtime("Hi") as runtime:
        assert asyncio.run(runtime.respond("Hi")).content == "Hi"
        assert asyncio.run(runtime.respond("Hi")).content == "Hi"

    with pytest.raises(ClosedError):
        asyncio.run(runtime.respond("Hi"))


@pytest.mark.parametrize("fill", ["diffusion"])
def test_fill_that_needs_heads_says_so(fill: Any) -> None:
    with pytest.raises(ConfigError, match=f"fill='{fill}' contradicts heads=None"):
        AgentRuntime.load("folder", deployment=DeploymentConfig(fill=fill))


async def test_missing_model_folder_is_found_when_it_is_first_needed(tmp_path: Path) -> None:
    async with AgentRuntime.load(tmp_path / "none") as runtime:
        with pytest.raises(ConfigError, match="does not exist"):
            await runtime.warm_up()


async def test_statistics_cover_engine_and_tools() -> None:
    runtime = scripted_runtime(calls(get_weather={"city": "Oslo"}), "Cold.")
    await runtime.run("Weather?", tools=[get_weather])

    statistics = runtime.statistics()

    assert statistics.engine == {"turns": 2}
    assert statistics.executor.ok == 1


def test_every_error_is_an_agent_runtime_error() -> None:
    import agent_runtime

    for name in agent_runtime.__all__:
        found = getattr(agent_runtime, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, AgentRuntimeError)


async def test_a_scripted_runtime_says_that_it_reads_no_prompts() -> None:
    async with scripted_runtime("hello") as runtime:
        with pytest.raises(ConfigError, match="model folder"):
            await runtime.prompt("hi")
