"""Running tool calls: in parallel under a limit, with timeouts, retries, approval and cancellation.

Whatever a tool does, what comes back is a `ToolResult` the model can read; nothing a tool raises or
returns ends a run. How code is kept at arm's length is workers.py, how values become text is
result_text.py, turns and results in order are loop.py.

A `ToolExecutor` belongs to a runtime and holds the limits; a `ToolSession` belongs to one run and
holds its tools, its hooks and the results it already has.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import inspect
import json
import logging
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tenacity

from .errors import ToolExecutionError, ToolFailed, ToolRejected, ToolTimeout, UnknownTool
from .hooks import Answer, Approve, Edit, Reject, ToolHooks
from .messages import ToolCall, ToolResult
from .result_text import error_text, result_text, truncated
from .workers import Workers

if TYPE_CHECKING:
    from .config import DeploymentConfig
    from .tools import Tool

__all__ = [
    "Answer",
    "Approve",
    "Edit",
    "ExecutorStatistics",
    "Reject",
    "ToolExecutor",
    "ToolHooks",
    "ToolSession",
]

logger = logging.getLogger(__name__)

# Exceptions that say the tool or its arguments are wrong: another attempt would fail the same way.
_NOT_WORTH_RETRYING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    FileNotFoundError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    PermissionError,
    SystemExit,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStatistics:
    """What an executor is doing and has done.

    Attributes:
        running: attempts running now.
        stuck: attempts that were given up and have not ended yet.
        ok: calls that came back well.
        failed: calls that came back as failed results.
        timed_out: attempts that ran past their timeout.
        retried: attempts after a failed one.
    """

    running: int = 0
    stuck: int = 0
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    retried: int = 0


class ToolExecutor:
    """Runs tool calls under the limits of a deployment.

    Sync tools run in threads. A thread cannot be killed: a sync tool that ran past its timeout goes on
    unseen until it returns. At most `4 * max_concurrent_tools` such threads are tolerated; beyond that sync
    tools fail with a readable result until some return. They never hold up the exit of the program.

    Args:
        config: `tool_timeout_s`, `tool_retries`, `max_concurrent_tools` and `max_result_chars` are read.
        sleep: waits between attempts; a test passes one that does not.
        cancel_grace_s: seconds an async tool has to end once it is cancelled.
    """

    def __init__(
        self,
        config: DeploymentConfig,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        cancel_grace_s: float = 2.0,
    ) -> None:
        self._config = config
        self._sleep = sleep
        self._workers = Workers(max_stuck=4 * config.max_concurrent_tools, cancel_grace_s=cancel_grace_s)
        # One per event loop, because a semaphore belongs to the loop that first waits on it.
        self._limits: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._limits = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._counts = ExecutorStatistics()

    def session(
        self,
        tools: Iterable[Tool],
        *,
        hooks: ToolHooks | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> ToolSession:
        """A place to run the calls of one run.

        Args:
            tools: what may be called.
            hooks: approval and observers.
            context: values for the tools' hidden parameters, by name.
        """
        return ToolSession(self, tools, hooks=hooks or ToolHooks(), context=context or {})

    def statistics(self) -> ExecutorStatistics:
        """What is running, stuck and done."""
        return dataclasses.replace(self._counts, stuck=self._workers.num_stuck)

    def count(self, **changes: int) -> None:
        """Add to the statistics."""
        with self._lock:
            counts = {name: getattr(self._counts, name) + change for name, change in changes.items()}
            self._counts = dataclasses.replace(self._counts, **counts)

    @property
    def max_result_chars(self) -> int:
        """Characters of a result that the model reads."""
        return self._config.max_result_chars

    async def run_tool(self, tool: Tool, values: Mapping[str, Any]) -> Execution:
        """Run a tool until an attempt succeeds or none is left. Never raises what the tool raises."""
        retries = self._config.tool_retries if tool.is_idempotent else 0
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(1 + retries),
            wait=tenacity.wait_exponential(multiplier=0.2, max=10.0) + tenacity.wait_random(0.0, 0.1),
            retry=tenacity.retry_if_result(_is_worth_retrying),
            retry_error_callback=_last_execution,
            before_sleep=lambda state: self.count(retried=1),
            sleep=self._sleep,
        )
        execution: Execution = await retrying(self._attempt, tool, values)
        return dataclasses.replace(execution, attempts=retrying.statistics["attempt_number"])

    async def _attempt(self, tool: Tool, values: Mapping[str, Any]) -> Execution:
        timeout_s = tool.timeout_s or self._config.tool_timeout_s
        async with self._limit():
            self.count(running=1)
            try:
                return await self._workers.within(timeout_s, self._invoke(tool, values))
            except TimeoutError:
                self.count(timed_out=1)
                return Execution(error=ToolTimeout(tool_name=tool.name, after_s=timeout_s))
            finally:
                self.count(running=-1)

    async def _invoke(self, tool: Tool, values: Mapping[str, Any]) -> Execution:
        """Call the function and read what it returned: all code of the user's runs in here."""
        function = tool.function
        assert function is not None, "the session refuses tools without a function"
        try:
            if _is_async(function):
                return await self._read(tool, await function(**values))
            execution = await self._workers.in_thread(lambda: self._call(tool, lambda: function(**values)))
            if inspect.isawaitable(execution.value):  # a plain function that returned a coroutine
                return await self._read(tool, await execution.value)
            return execution
        except (Exception, SystemExit) as error:  # user code may raise anything; the cause is kept
            return _failed(tool, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _failed(tool, error)  # the tool cancelled itself; nobody cancelled the run

    async def _read(self, tool: Tool, value: Any) -> Execution:
        """The result as text; away from the event loop unless it is surely quick."""
        if value is None or type(value) in (str, bool, int, float):
            return self._call(tool, lambda: value)
        return await self._workers.in_thread(lambda: self._call(tool, lambda: value))

    def _call(self, tool: Tool, function: Callable[[], Any]) -> Execution:
        try:
            value = function()
            if inspect.isawaitable(value):
                return Execution(value=value)
            text, is_truncated = result_text(value, self.max_result_chars)
            return Execution(value=value, text=text, is_truncated=is_truncated)
        except BaseException as error:  # in a thread of ours: SystemExit and the like must not pass either
            return _failed(tool, error)

    def _limit(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        limit = self._limits.get(loop)
        if limit is None:
            limit = self._limits[loop] = asyncio.Semaphore(self._config.max_concurrent_tools)
        return limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How running a tool ended: a value with its text, or an error."""

    value: Any = None
    text: str = ""
    is_truncated: bool = False
    error: ToolExecutionError | None = None
    attempts: int = 1


class ToolSession:
    """The tools, hooks and results of one run.

    A call (id, name and arguments) runs once: asked again, also while it is running, it has the first
    result.
    """

    def __init__(
        self, executor: ToolExecutor, tools: Iterable[Tool], *, hooks: ToolHooks, context: Mapping[str, Any]
    ) -> None:
        self._executor = executor
        self._tools = {tool.name: tool for tool in tools}
        self._hooks = hooks
        self._context = context
        self._tasks: dict[tuple[str, str, str], asyncio.Task[ToolResult]] = {}

    async def run(self, call: ToolCall) -> ToolResult:
        """Run one call; every failure of the tool is a result with `status="failed"`."""
        key = (call.id, call.name, canonical_arguments(call.arguments))
        while True:
            task = self._tasks.get(key)
            if task is None or task.cancelled():
                task = self._tasks[key] = asyncio.ensure_future(self._run_once(call))
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait({task})
                raise
            if not task.cancelled():  # else another waiter was cancelled, and with it the task
                return task.result()

    async def run_all(self, calls: Sequence[ToolCall]) -> AsyncGenerator[ToolResult, None]:
        """Run calls side by side, yielding each result as it comes; closing the generator ends the rest."""
        tasks = [asyncio.ensure_future(self.run(call)) for call in calls]
        finished: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()
        for task in tasks:
            task.add_done_callback(finished.put_nowait)
        try:
            for _ in tasks:
                yield (await finished.get()).result()
        finally:
            waiting = [task for task in tasks if not task.done()]
            for task in waiting:
                task.cancel()
            if waiting:
                await asyncio.wait(waiting)

    async def _run_once(self, call: ToolCall) -> ToolResult:
        started = time.perf_counter()
        try:
            execution = await self._carry_out(call)
        except ToolExecutionError as error:
            execution = Execution(error=error)
        result = self._as_result(call, execution, duration_ms=(time.perf_counter() - started) * 1000)
        result = await self._after(call, result)
        self._executor.count(**{"ok" if result.status == "ok" else "failed": 1})
        return result

    async def _carry_out(self, call: ToolCall) -> Execution:
        tool = self._tools.get(call.name)
        if tool is None:
            raise UnknownTool(_unknown_tool(call.name, list(self._tools)), tool_name=call.name)
        values = self._prepared(tool, call.arguments)
        if self._hooks.approve is not None:
            decision = await _run_hook("approval", call, self._hooks.approve, call)
            if isinstance(decision, Reject):
                raise ToolRejected(f"{call.name} was not run: {decision.reason}", tool_name=call.name)
            if isinstance(decision, Answer):
                text, is_truncated = result_text(decision.value, self._executor.max_result_chars)
                return Execution(value=decision.value, text=text, is_truncated=is_truncated)
            if isinstance(decision, Edit):
                call = dataclasses.replace(call, arguments=dict(decision.arguments))
                values = self._prepared(tool, call.arguments)
            elif not isinstance(decision, Approve):
                logger.error("the approval hook returned %r, which is no decision", decision)
                raise ToolRejected(f"{call.name} was not run: it was not approved", tool_name=call.name)
        if tool.function is None:
            raise ToolFailed(f"{call.name} cannot be run here: it is only described", tool_name=call.name)
        if self._hooks.before is not None:
            await _run_hook("before", call, self._hooks.before, call)
        return await self._executor.run_tool(tool, values)

    def _prepared(self, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return tool.prepare(arguments, context=self._context)
        except ToolExecutionError:
            raise
        except Exception as error:  # validators of a user's models may raise anything
            raise ToolFailed(
                f"the arguments of {tool.name} are not valid: {error_text(error)}", tool_name=tool.name
            ) from error

    async def _after(self, call: ToolCall, result: ToolResult) -> ToolResult:
        if self._hooks.after is None:
            return result
        try:
            replaced = await _run_hook("after", call, self._hooks.after, call, result)
        except ToolExecutionError as error:  # perhaps it redacts: without it the result must not pass
            return dataclasses.replace(result, status="failed", message=str(error), value=None)
        if isinstance(replaced, ToolResult):
            text, is_cut = truncated(replaced.message, self._executor.max_result_chars)
            return dataclasses.replace(
                replaced, call_id=call.id, message=text, is_truncated=replaced.is_truncated or is_cut
            )
        return result

    def _as_result(self, call: ToolCall, execution: Execution, *, duration_ms: float) -> ToolResult:
        text, is_truncated = execution.text, execution.is_truncated
        if execution.error is not None:
            text, is_truncated = truncated(str(execution.error), self._executor.max_result_chars)
        return ToolResult(
            call_id=call.id,
            tool_name=call.name,
            status="ok" if execution.error is None else "failed",
            message=text,
            value=execution.value,
            duration_ms=duration_ms,
            attempts=execution.attempts,
            is_truncated=is_truncated,
        )


def canonical_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as text that is equal for equal arguments, whatever the order of their keys."""
    return json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=repr)


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an async function, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _is_worth_retrying(execution: Execution) -> bool:
    error = execution.error
    return error is not None and not isinstance(error.__cause__, _NOT_WORTH_RETRYING)


def _last_execution(state: tenacity.RetryCallState) -> Execution:
    assert state.outcome is not None
    last: Execution = state.outcome.result()
    return last


def _failed(tool: Tool, error: BaseException) -> Execution:
    failure = ToolFailed(f"{tool.name} failed: {error_text(error)}", tool_name=tool.name)
    failure.__cause__ = error
    return Execution(error=failure)


async def _run_hook(kind: str, call: ToolCall, hook: Callable[..., Any], *args: Any) -> Any:
    """Run a hook; when it raises, the call fails: an exception never lets a call pass."""
    try:
        outcome = hook(*args)
        return await outcome if inspect.isawaitable(outcome) else outcome
    except Exception as error:  # a hook is the user's code too
        logger.exception("the %s hook of %s raised", kind, call.name)
        raise ToolFailed(
            f"{call.name} failed: its {kind} hook raised {type(error).__name__}", tool_name=call.name
        ) from error


def _unknown_tool(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
    return f"there is no tool {name!r}: {advice}"
