from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from agent_runtime.config import DeploymentConfig
from agent_runtime.errors import ConfigError
from agent_runtime.executor import ToolExecutor, ToolSession
from agent_runtime.hooks import Answer, Approve, Edit, Reject, ToolHooks
from agent_runtime.messages import ToolCall, ToolResult


@dataclass
class PlainTool:
    """What the executor needs of a tool, without a schema."""

    function: Callable[..., Any] | None
    name: str = "tool"
    timeout_s: float | None = None
    is_idempotent: bool = False

    def prepare(self, arguments: Mapping[str, Any], *, context: Mapping[str, Any]) -> dict[str, Any]:
        if "bad" in arguments:
            raise ValueError("'bad' is not allowed")
        return {**arguments, **context}


waits: list[float] = []


async def no_wait(seconds: float) -> None:
    waits.append(seconds)


def make_session(
    *functions: Callable[..., Any] | PlainTool,
    hooks: ToolHooks | None = None,
    context: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[ToolSession, ToolExecutor]:
    executor = ToolExecutor(DeploymentConfig(**changes), sleep=no_wait, cancel_grace_s=0.05)
    tools = [
        found if isinstance(found, PlainTool) else PlainTool(found, name=found.__name__)
        for found in functions
    ]
    return executor.session(tools, hooks=hooks, context=context), executor  # type: ignore[arg-type]  # by duck type


def make_call(name: str, call_id: str = "call_1", **arguments: Any) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


async def run_one(function: Callable[..., Any] | PlainTool, **changes: Any) -> ToolResult:
    session, _ = make_session(function, **changes)
    name = function.name if isinstance(function, PlainTool) else function.__name__
    return await session.run(make_call(name))


async def test_sync_tool_runs_in_a_thread_with_the_callers_context() -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    tenant.set("acme")

    def where(n: int) -> dict[str, Any]:
        return {
            "n": n,
            "tenant": tenant.get(),
            "is_main": threading.current_thread() is threading.main_thread(),
        }

    session, executor = make_session(where)
    result = await session.run(make_call("where", n=3))

    assert result.status == "ok"
    assert result.value == {"n": 3, "tenant": "acme", "is_main": False}
    assert result.message == '{"n": 3, "tenant": "acme", "is_main": false}'
    assert (result.call_id, result.tool_name, result.attempts) == ("call_1", "where", 1)
    assert result.duration_ms > 0
    assert executor.statistics().ok == 1


class AsyncObject:
    async def __call__(self) -> str:
        return "from an object"


async def plain_async() -> str:
    return "from a coroutine"


@pytest.mark.parametrize(
    ("function", "text"),
    [
        pytest.param(plain_async, "from a coroutine", id="async function"),
        pytest.param(functools.partial(plain_async), "from a coroutine", id="partial"),
        pytest.param(AsyncObject(), "from an object", id="object with an async call"),
        pytest.param(lambda: plain_async(), "from a coroutine", id="plain function returning a coroutine"),
    ],
)
async def test_every_kind_of_async_tool_is_awaited(function: Callable[..., Any], text: str) -> None:
    assert (await run_one(PlainTool(function))).message == text


async def test_failed_tool_reaches_the_model_as_a_result() -> None:
    def divide() -> float:
        return 1 / 0

    result = await run_one(divide)

    assert result.status == "failed"
    assert result.message == "divide failed: ZeroDivisionError: division by zero"


def stop_iteration() -> None:
    raise StopIteration("over")


def leave() -> None:
    sys.exit("bye")


async def leave_async() -> None:
    sys.exit("bye")


async def cancel_itself() -> None:
    raise asyncio.CancelledError("odd")


async def time_out_itself() -> None:
    raise TimeoutError("its own")


def rude() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise Rude


def recurse() -> None:
    recurse()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (stop_iteration, "StopIteration: over"),
        (leave, "SystemExit: bye"),
        (leave_async, "SystemExit: bye"),
        (cancel_itself, "CancelledError"),
        (time_out_itself, "TimeoutError: its own"),
        (rude, "Rude"),
        (recurse, "RecursionError"),
    ],
)
async def test_nothing_a_tool_raises_gets_past_the_executor(function: Callable[..., Any], words: str) -> None:
    result = await run_one(function)

    assert result.status == "failed"
    assert words in result.message


async def test_tool_that_hangs_is_given_up_after_its_timeout() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    session, executor = make_session(PlainTool(hang, name="hang", timeout_s=0.02))
    result = await session.run(make_call("hang"))

    assert (result.status, result.message) == ("failed", "hang did not finish within 0.02 s")
    assert executor.statistics().timed_out == 1
    assert executor.statistics().running == executor.statistics().stuck == 0


async def test_sync_tool_that_hangs_is_counted_until_its_thread_ends() -> None:
    release = threading.Event()
    session, executor = make_session(PlainTool(release.wait, name="hang", timeout_s=0.02))

    result = await session.run(make_call("hang"))
    stuck = executor.statistics().stuck
    release.set()
    await until(lambda: executor.statistics().stuck == 0)

    assert "did not finish" in result.message
    assert stuck == 1


async def test_too_many_stuck_threads_refuse_new_ones_but_not_async_tools() -> None:
    release = threading.Event()
    hang = PlainTool(release.wait, name="hang", timeout_s=0.01)
    session, executor = make_session(hang, plain_async, max_concurrent_tools=1)

    results = [await session.run(make_call("hang", f"call_{n}")) for n in range(5)]
    other = await session.run(make_call("plain_async"))
    release.set()
    await until(lambda: executor.statistics().stuck == 0)
    later = await session.run(make_call("hang", "call_later"))

    assert all("did not finish" in result.message for result in results[:4])
    assert "still running after they were given up" in results[4].message
    assert other.status == later.status == "ok"


async def test_async_tool_that_swallows_its_cancellation_does_not_hold_the_run() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    session, executor = make_session(PlainTool(stubborn, name="stubborn", timeout_s=0.01))
    result = await session.run(make_call("stubborn"))
    stuck = executor.statistics().stuck
    release.set()
    await until(lambda: executor.statistics().stuck == 0)

    assert "did not finish" in result.message
    assert stuck == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is waited for happens in a thread
            await asyncio.sleep(0.001)


async def test_calls_run_side_by_side_under_the_limit() -> None:
    running = most = 0
    gate = asyncio.Event()

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            gate.set()
        await gate.wait()
        await asyncio.sleep(0)
        running -= 1
        return n

    session, _ = make_session(work, max_concurrent_tools=3)
    calls = [make_call("work", f"call_{n}", n=n) for n in range(10)]
    results = [result async for result in session.run_all(calls)]

    assert most == 3
    assert sorted(result.value for result in results) == list(range(10))


async def test_results_come_as_they_finish() -> None:
    first_is_out = asyncio.Event()

    async def slow() -> str:
        await first_is_out.wait()
        return "slow"

    session, _ = make_session(slow, plain_async)
    names = []
    async for result in session.run_all([make_call("slow", "a"), make_call("plain_async", "b")]):
        names.append(result.tool_name)
        first_is_out.set()

    assert names == ["plain_async", "slow"]


async def test_leaving_early_ends_the_other_calls() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    session, executor = make_session(hang, plain_async)
    results = session.run_all([make_call("hang", "a"), make_call("plain_async", "b")])
    await anext(results)
    await results.aclose()

    assert ended.is_set()
    assert executor.statistics().running == 0


async def test_cancelling_a_call_cancels_its_tool_and_is_not_swallowed() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    session, executor = make_session(hang)
    task = asyncio.ensure_future(session.run(make_call("hang")))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert executor.statistics().running == 0


async def test_tool_that_is_safe_to_repeat_is_retried_with_growing_waits() -> None:
    waits.clear()
    attempts = 0

    def flaky() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ConnectionError("reset")
        return "at last"

    session, executor = make_session(PlainTool(flaky, name="flaky", is_idempotent=True), tool_retries=2)
    result = await session.run(make_call("flaky"))

    assert (result.message, result.attempts) == ("at last", 3)
    assert len(waits) == 2 and waits[0] < waits[1]
    assert executor.statistics().retried == 2


@pytest.mark.parametrize(
    ("is_idempotent", "error", "attempts"),
    [
        pytest.param(True, ConnectionError, 3, id="safe to repeat"),
        pytest.param(False, ConnectionError, 1, id="not marked as safe"),
        pytest.param(True, KeyError, 1, id="a bug fails the same way again"),
    ],
)
async def test_attempts_are_bounded(is_idempotent: bool, error: type[Exception], attempts: int) -> None:
    def fail() -> None:
        raise error("again")

    result = await run_one(PlainTool(fail, is_idempotent=is_idempotent), tool_retries=2)

    assert (result.status, result.attempts) == ("failed", attempts)


async def test_timeout_is_retried_for_tools_that_are_safe_to_repeat() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    result = await run_one(PlainTool(hang, timeout_s=0.01, is_idempotent=True), tool_retries=1)

    assert result.attempts == 2


async def test_same_call_twice_has_the_first_result() -> None:
    count = 0

    async def book(n: int) -> int:
        nonlocal count
        count += 1
        await asyncio.sleep(0)
        return count

    session, _ = make_session(book)
    call = make_call("book", n=1)
    together = await asyncio.gather(session.run(call), session.run(call))
    later = await session.run(call)
    other = await session.run(make_call("book", n=2))

    assert [result.value for result in (*together, later, other)] == [1, 1, 1, 2]


async def test_cancelling_one_of_two_waiters_leaves_the_other_its_result() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        started.set()
        await release.wait()
        return "done"

    session, _ = make_session(work)
    first = asyncio.ensure_future(session.run(make_call("work")))
    second = asyncio.ensure_future(session.run(make_call("work")))
    await started.wait()
    first.cancel()
    await asyncio.wait({first})
    release.set()

    assert (await second).message == "done"


async def test_unknown_tool_is_answered_with_the_nearest_name() -> None:
    session, _ = make_session(plain_async)

    result = await session.run(make_call("plain_asink"))

    assert result.status == "failed"
    assert result.message == "there is no tool 'plain_asink': did you mean 'plain_async'?"


async def test_invalid_arguments_are_told_to_the_model() -> None:
    session, _ = make_session(plain_async)

    result = await session.run(make_call("plain_async", bad=1))

    assert result.message == "the arguments of plain_async are not valid: ValueError: 'bad' is not allowed"


async def test_tool_without_a_function_says_so() -> None:
    assert "only described" in (await run_one(PlainTool(None))).message


async def test_hidden_parameters_come_from_the_context() -> None:
    def whoami(user: str) -> str:
        return user

    session, _ = make_session(whoami, context={"user": "ada"})

    assert (await session.run(make_call("whoami"))).message == "ada"


async def test_huge_result_is_cut_and_says_so() -> None:
    def dump() -> str:
        return "x" * 1_000_000

    result = await run_one(dump, max_result_chars=100)

    assert result.is_truncated and len(result.message) <= 100
    assert "of 1000000 characters]" in result.message


async def test_huge_error_is_cut_too() -> None:
    def fail() -> None:
        raise ValueError("y" * 1_000_000)

    assert len((await run_one(fail, max_result_chars=64)).message) <= 64


async def async_reject(call: ToolCall) -> Reject:
    return Reject("not today")


def raise_error(*args: Any) -> Any:
    raise ConfigError("hook is broken")


@pytest.mark.parametrize(
    ("approve", "status", "message"),
    [
        pytest.param(lambda call: Approve(), "ok", "1", id="approve"),
        pytest.param(lambda call: Edit({"n": 5}), "ok", "5", id="edit"),
        pytest.param(lambda call: Edit({"bad": 5}), "failed", "not valid", id="edit that is not valid"),
        pytest.param(lambda call: Reject("too dear"), "failed", "was not run: too dear", id="reject"),
        pytest.param(async_reject, "failed", "was not run: not today", id="async hook"),
        pytest.param(lambda call: Answer({"n": 9}), "ok", '{"n": 9}', id="answer instead"),
        pytest.param(lambda call: None, "failed", "was not approved", id="no decision"),
        pytest.param(raise_error, "failed", "approval hook raised ConfigError", id="broken hook"),
    ],
)
async def test_approval_decides_what_runs(approve: Any, status: str, message: str) -> None:
    session, _ = make_session(echo, hooks=ToolHooks(approve=approve))

    result = await session.run(make_call("echo", n=1))

    assert result.status == status
    assert message in result.message


def echo(n: int) -> int:
    return n


async def test_hooks_see_the_call_and_the_result_in_order() -> None:
    seen: list[str] = []

    def approve(call: ToolCall) -> Edit:
        seen.append(f"approve {call.arguments}")
        return Edit({"n": 2})

    async def before(call: ToolCall) -> None:
        seen.append(f"before {call.arguments}")

    def after(call: ToolCall, result: ToolResult) -> None:
        seen.append(f"after {result.message}")

    session, _ = make_session(echo, hooks=ToolHooks(approve=approve, before=before, after=after))
    await session.run(make_call("echo", n=1))

    assert seen == ["approve {'n': 1}", "before {'n': 2}", "after 2"]


async def test_after_hook_may_replace_a_result_within_the_limit() -> None:
    def after(call: ToolCall, result: ToolResult) -> ToolResult:
        return ToolResult(call_id="forged", tool_name="echo", status="ok", message="z" * 1000)

    session, _ = make_session(echo, hooks=ToolHooks(after=after), max_result_chars=100)
    result = await session.run(make_call("echo", n=1))

    assert result.call_id == "call_1"
    assert len(result.message) <= 100 and result.is_truncated


async def test_result_does_not_pass_a_broken_after_hook() -> None:
    session, _ = make_session(echo, hooks=ToolHooks(after=raise_error))

    result = await session.run(make_call("echo", n=42))

    assert (result.status, result.value) == ("failed", None)
    assert "42" not in result.message


def test_one_executor_serves_several_event_loops() -> None:
    session_of = ToolExecutor(DeploymentConfig(max_concurrent_tools=1)).session

    async def main() -> list[str]:
        session = session_of([PlainTool(plain_async)])  # type: ignore[list-item]  # by duck type
        calls = [make_call("tool", f"call_{n}") for n in range(3)]
        return [result.message async for result in session.run_all(calls)]

    assert [asyncio.run(main()) for _ in range(2)] == [["from a coroutine"] * 3] * 2


async def test_nothing_is_left_behind() -> None:
    session, executor = make_session(echo, plain_async)
    before = asyncio.all_tasks()

    async for _ in session.run_all([make_call("echo", f"e{n}", n=n) for n in range(20)]):
        pass
    await until(lambda: not any(thread.name == "smolcall-tool" for thread in threading.enumerate()))
    gc.collect()

    assert asyncio.all_tasks() == before
    assert executor.statistics().running == executor.statistics().stuck == 0
