from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from agent_runtime.config import DeploymentConfig
from agent_runtime.errors import MessageError, OverloadedError, RunLimitError
from agent_runtime.events import ResultReady, RunEvent, RunFinished, TurnEvent, TurnFinished, TurnStarted
from agent_runtime.executor import ToolExecutor, ToolSession
from agent_runtime.hooks import ToolHooks
from agent_runtime.loop import RunLimits, run_events
from agent_runtime.messages import Run, ToolCall, Turn, read_messages
from tests.unit.test_executor import PlainTool

Reply = str | list[ToolCall] | Exception


class ScriptedModel:
    """Answers with the next reply of a script, and remembers what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.asked: list[list[dict[str, Any]]] = []
        self.places: list[str] = []

    async def ask(self, messages: list[dict[str, Any]], place: str) -> AsyncGenerator[TurnEvent, None]:
        self.asked.append(messages)
        self.places.append(place)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        yield TurnStarted()
        if isinstance(reply, Exception):
            raise reply
        calls = tuple(reply) if isinstance(reply, list) else ()
        yield TurnFinished(turn=Turn(content=reply if isinstance(reply, str) else "", tool_calls=calls))


def call(name: str, call_id: str = "call_1", **arguments: Any) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def session_of(*functions: Callable[..., Any], **hooks: Any) -> ToolSession:
    executor = ToolExecutor(DeploymentConfig(), cancel_grace_s=0.05)
    tools = [PlainTool(function, name=function.__name__) for function in functions]
    return executor.session(tools, hooks=ToolHooks(**hooks))  # type: ignore[arg-type]  # by duck type


async def events_of(
    messages: Any, model: ScriptedModel, *functions: Callable[..., Any], **limits: Any
) -> list[RunEvent]:
    events = run_events(
        read_messages(messages), ask=model.ask, session=session_of(*functions), limits=RunLimits(**limits)
    )
    return [event async for event in events]


async def run_of(messages: Any, model: ScriptedModel, *functions: Callable[..., Any], **limits: Any) -> Run:
    last = (await events_of(messages, model, *functions, **limits))[-1]
    assert isinstance(last, RunFinished)
    return last.run


def double(n: int) -> int:
    return 2 * n


async def test_run_goes_on_until_the_model_answers() -> None:
    model = ScriptedModel([call("double", n=4)], "It is 8.")

    run = await run_of("Twice four?", model, double)

    assert run.output == "It is 8."
    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert run.messages[2] == {"role": "tool", "tool_call_id": "call_1", "name": "double", "content": "8"}
    assert [result.value for result in run.tool_results] == [8]
    assert len(run.turns) == 2
    assert model.asked[1] == run.messages[:3]
    assert model.places == ["first", "middle"]


async def test_events_come_in_the_documented_order() -> None:
    model = ScriptedModel([call("double", n=4)], "It is 8.")

    events = await events_of("Twice four?", model, double)

    assert [type(event).__name__ for event in events] == [
        "TurnStarted",
        "TurnFinished",
        "ResultReady",
        "TurnStarted",
        "TurnFinished",
        "RunFinished",
    ]
    assert [event.turn_index for event in events if isinstance(event, TurnStarted)] == [0, 1]


async def test_failed_tool_does_not_end_the_run() -> None:
    def fail() -> None:
        raise ValueError("out of order")

    run = await run_of("Go", ScriptedModel([call("fail")], "It does not work."), fail)

    assert run.output == "It does not work."
    assert run.messages[2]["content"] == "fail failed: ValueError: out of order"
    assert run.tool_results[0].status == "failed"


async def test_results_enter_the_conversation_in_the_order_of_the_calls() -> None:
    second_is_done = asyncio.Event()

    async def slow() -> str:
        await second_is_done.wait()
        return "slow"

    async def quick() -> str:
        second_is_done.set()
        return "quick"

    model = ScriptedModel([call("slow", "a"), call("quick", "b")], "Done.")
    events = await events_of("Go", model, slow, quick)

    assert [event.result.tool_name for event in events if isinstance(event, ResultReady)] == ["quick", "slow"]
    assert [message["content"] for message in model.asked[1][2:]] == ["slow", "quick"]


async def test_messages_of_a_run_survive_json_and_can_be_continued() -> None:
    first = await run_of("Twice four?", ScriptedModel([call("double", n=4)], "It is 8."), double)

    messages = [*json.loads(json.dumps(first.messages)), {"role": "user", "content": "And five?"}]
    second = await run_of(messages, ScriptedModel([call("double", "call_2", n=5)], "It is 10."), double)

    assert second.output == "It is 10."
    assert second.messages[:4] == first.messages


async def test_calls_without_a_result_are_run_first_on_resuming() -> None:
    model = ScriptedModel([call("double", "a", n=1), call("double", "b", n=2)], "Done.")
    with pytest.raises(RunLimitError) as raised:
        await run_of("Go", model, double, max_turns=1)

    run = await run_of(raised.value.run.messages, ScriptedModel("Resumed."), double)

    assert raised.value.limit == "max_turns"
    assert [message["content"] for message in run.messages[2:]] == ["2", "4", "Resumed."]


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param({"role": "tool", "tool_call_id": "a", "content": "given"}, id="by id"),
        pytest.param({"role": "tool", "content": "given"}, id="in order"),
    ],
)
async def test_only_the_calls_that_still_wait_are_run_on_resuming(answered: dict[str, str]) -> None:
    assistant = Turn(content="", tool_calls=(call("double", "a", n=1), call("double", "b", n=2))).as_message()

    run = await run_of(
        [{"role": "user", "content": "Go"}, assistant, answered], ScriptedModel("Done."), double
    )

    assert [message["content"] for message in run.messages[2:]] == ["given", "4", "Done."]


async def test_conversation_that_went_on_without_a_result_is_left_as_it_is() -> None:
    assistant = Turn(content="", tool_calls=(call("double", n=1),)).as_message()
    messages = [{"role": "user", "content": "Go"}, assistant, {"role": "user", "content": "Never mind"}]

    run = await run_of(messages, ScriptedModel("Fine."), double)

    assert run.tool_results == ()


async def test_turns_are_limited_and_the_error_carries_the_run() -> None:
    model = ScriptedModel(*([call("double", f"call_{n}", n=n)] for n in range(9)))

    with pytest.raises(RunLimitError, match="no answer after 3 turns") as raised:
        await run_of("Go", model, double, max_turns=3)

    assert len(raised.value.run.turns) == 3
    assert [result.value for result in raised.value.run.tool_results] == [0, 2]


async def test_same_call_in_too_many_turns_ends_the_run() -> None:
    with pytest.raises(RunLimitError, match="called double with the same arguments") as raised:
        await run_of("Go", ScriptedModel([call("double", n=4)]), double, max_repeats=2)

    assert raised.value.limit == "repeated_call"
    assert len(raised.value.run.turns) == 3


@pytest.mark.parametrize("limits", [{"max_repeats": 2}, {"max_repeats": 9, "max_turns": 3}])
async def test_model_may_be_asked_for_a_last_answer_instead_of_an_error(limits: dict[str, int]) -> None:
    again = [call("double", n=4)]
    model = ScriptedModel(again, again, again, "It is 8, I suppose.")

    run = await run_of("Go", model, double, is_answered=True, **limits)

    assert run.output == "It is 8, I suppose."
    assert model.places == ["first", "middle", "middle", "last"]
    assert [message["role"] for message in run.messages][-2:] == ["tool", "assistant"]
    assert len(run.tool_results) == 2


async def test_same_call_twice_in_one_turn_is_no_repetition() -> None:
    calls = [call("double", f"call_{n}", n=4) for n in range(5)]

    run = await run_of("Go", ScriptedModel(calls, "Done."), double, max_repeats=1)

    assert len(run.tool_results) == 5


async def test_deadline_ends_a_hanging_tool_and_keeps_what_came_back() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    model = ScriptedModel([call("hang", "a"), call("double", "b", n=1)])
    with pytest.raises(RunLimitError, match="deadline of 0.05 s") as raised:
        await run_of("Go", model, hang, double, deadline_s=0.05)

    assert raised.value.limit == "deadline"
    assert ended.is_set()
    assert [result.tool_name for result in raised.value.run.tool_results] == ["double"]


async def test_deadline_ends_a_turn_that_takes_too_long() -> None:
    async def ask(messages: list[dict[str, Any]], place: str) -> AsyncGenerator[TurnEvent, None]:
        yield TurnStarted()
        await asyncio.Event().wait()

    events = run_events(read_messages("Go"), ask=ask, session=session_of(), limits=RunLimits(deadline_s=0.02))
    with pytest.raises(RunLimitError, match="deadline"):
        _ = [event async for event in events]


async def test_deadline_never_interrupts_the_consumer() -> None:
    events = run_events(
        read_messages("Go"),
        ask=ScriptedModel("Hi").ask,
        session=session_of(),
        limits=RunLimits(deadline_s=0.01),
    )

    async with aclosing(events):
        await anext(events)
        await asyncio.sleep(0.03)  # a slow consumer; only waiting inside the run is limited
        assert isinstance(await anext(events), TurnFinished)


async def test_error_of_the_engine_is_raised_as_it_is() -> None:
    error = OverloadedError(queued=3, retry_after_s=1.0)

    with pytest.raises(OverloadedError) as raised:
        await run_of("Go", ScriptedModel(error))

    assert raised.value is error


async def test_timeout_error_of_the_engine_is_not_mistaken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        await run_of("Go", ScriptedModel(TimeoutError("its own")), deadline_s=60)


async def test_cancelling_a_run_ends_its_tools_and_is_not_swallowed() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(run_of("Go", ScriptedModel([call("hang")]), hang))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_leaving_the_stream_early_ends_the_tools() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    model = ScriptedModel([call("double", "a", n=1), call("hang", "b")])
    events = run_events(
        read_messages("Go"), ask=model.ask, session=session_of(double, hang), limits=RunLimits()
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ResultReady):
                break

    assert ended.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_arguments_that_are_not_json_are_a_message_error() -> None:
    assistant = {
        "role": "assistant",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": {1}}}}],
    }

    with pytest.raises(MessageError, match=r"messages\[1\]: arguments of a tool call are not JSON"):
        await run_of([{"role": "user", "content": "Go"}, assistant], ScriptedModel("Hi"))
