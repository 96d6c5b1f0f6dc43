"""A soak: many mixed runs at once, with faulty tools, cancellations and a small queue.

    python -m benchmarks.soak --runs 500

Every run must end with an answer or a typed error, nothing may leak (tasks, threads, cache tokens, places
in the engine), and memory must stay flat. Leaves with status 1 when that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gc
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from agent_runtime import (
    AgentRuntime,
    AgentRuntimeError,
    Answer,
    Approve,
    DeploymentConfig,
    Edit,
    OverloadedError,
    Reject,
    RunFinished,
    ToolCall,
    ToolHooks,
    TurnFinished,
    tool,
)

DEPLOYMENT = DeploymentConfig(
    device="cpu",
    max_batch=4,
    max_queue=6,
    max_tokens=48,
    prefix_cache_tokens=4096,
    tool_timeout_s=0.2,
    tool_retries=1,
    max_concurrent_tools=6,
    max_result_chars=400,
)

NUM_CLIENTS = 16

Mode = Literal["slow", "fast"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakReport:
    """How a soak ended.

    Attributes:
        outcomes: runs by how they ended; `OverloadedError` are refusals; the run is tried again.
        surprises: endings that must not be: an untyped error, a cancellation nobody asked for.
        leaks: what was left behind.
        seconds: how long it took.
        megabytes: resident memory at each tenth of the runs, after collecting garbage.
    """

    outcomes: Mapping[str, int]
    surprises: tuple[str, ...]
    leaks: tuple[str, ...]
    seconds: float
    megabytes: tuple[float, ...]

    @property
    def growth_megabytes(self) -> float:
        """Memory at the end over memory after the first third, when caches have filled."""
        settled = self.megabytes[len(self.megabytes) // 3]
        return self.megabytes[-1] - settled

    @property
    def is_good(self) -> bool:
        """Whether nothing surprised or leaked."""
        return not self.surprises and not self.leaks


def make_tools(release: threading.Event) -> list[Any]:
    """Tools that work, and tools that fail in every way; blocking ones return when released."""

    @tool
    async def look_up(mode: Mode) -> dict[str, str]:
        """Look something up."""
        await asyncio.sleep(0)
        return {"mode": mode}

    @tool(is_idempotent=True)
    def raises(mode: Mode) -> None:
        """Raise an error."""
        raise (ConnectionError if mode == "slow" else KeyError)(f"password=hunter2 {mode}")

    @tool
    async def hangs(mode: Mode) -> None:
        """Never come back."""
        await asyncio.Event().wait()

    @tool(timeout_s=0.05)
    def blocks(mode: Mode) -> None:
        """Block a thread."""
        release.wait(0.3)

    @tool
    def floods(mode: Mode) -> list[str]:
        """Give far too much."""
        return ["x" * 1000] * 300

    @tool
    def babbles(mode: Mode) -> Any:
        """Give what no JSON can hold."""
        circle: dict[Any, Any] = {1: object(), "nan": float("nan"), "\ud800": {b"\xff"}}
        circle["self"] = circle
        return circle

    @tool
    def leaves(mode: Mode) -> None:
        """End the program."""
        sys.exit(3)

    @tool
    async def cancels(mode: Mode) -> None:
        """Cancel itself."""
        raise asyncio.CancelledError

    return [look_up, raises, hangs, blocks, floods, babbles, leaves, cancels]


@dataclass(slots=True)
class _Soak:
    runtime: AgentRuntime
    tools: list[Any]
    random: random.Random
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    surprises: list[str] = field(default_factory=list)

    async def one(self, number: int) -> bool:
        """One run, sometimes cancelled, and how it ended; False when the queue was full."""
        task = asyncio.ensure_future(self._mixed(number))
        is_cancelled = self.random.random() < 0.2
        if is_cancelled:
            await asyncio.wait({task}, timeout=self.random.random() * 0.05)
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            if not is_cancelled:
                self.surprises.append(f"run {number} was cancelled by nobody")
            self.outcomes["cancelled"] += 1
            return True
        error = task.exception()
        if error is None:
            self.outcomes["answered"] += 1
        elif isinstance(error, AgentRuntimeError):
            self.outcomes[type(error).__name__] += 1
            if isinstance(error, OverloadedError):
                await asyncio.sleep(min(error.retry_after_s, 0.2))
                return False
        else:
            self.surprises.append(f"run {number}: {error!r}")
        return True

    async def _mixed(self, number: int) -> None:
        draw = self.random
        offered = draw.sample(self.tools, draw.randint(1, 3))
        options: dict[str, Any] = {
            "tools": offered,
            "tool_choice": draw.choice(["auto", "required", "required", offered[0].name, "none"]),
            "seed": number,
            "temperature": draw.choice([0.0, 1.0]),
        }
        messages: Any = f"Question {number % 7}: " + "what now? " * draw.randint(1, 20)
        if draw.random() < 0.1:  # calls that wait for a result
            waiting = {"id": "w1", "function": {"name": offered[0].name, "arguments": '{"mode": "slow"}'}}
            messages = [{"role": "user", "content": messages}, {"role": "assistant", "tool_calls": [waiting]}]
        kind = draw.choice(["respond", "stream", "run", "run", "stream_run", "stream_run_left"])
        if kind in ("respond", "stream"):
            options["deadline_s"] = draw.choice([None, None, 0.02])
        else:
            options.update(
                max_turns=draw.randint(1, 4),
                deadline_s=draw.choice([None, None, 0.3]),
                hooks=draw.choice([None, None, ToolHooks(approve=self._approve)]),
            )
        await self._drive(kind, messages, options)

    async def _drive(self, kind: str, messages: Any, options: dict[str, Any]) -> None:
        if kind == "respond":
            await self.runtime.respond(messages, **options)
        elif kind == "run":
            await self.runtime.run(messages, **options)
        else:
            stream = self.runtime.stream if kind == "stream" else self.runtime.stream_run
            leave_after = self.random.randint(1, 6) if kind.endswith("left") else None
            last: Any = None
            async with aclosing(stream(messages, **options)) as events:
                async for event in events:
                    last = event
                    if leave_after is not None and (leave_after := leave_after - 1) == 0:
                        return
            assert isinstance(last, TurnFinished | RunFinished)

    def _approve(self, call: ToolCall) -> Any:
        return self.random.choice(
            [Approve(), Approve(), Edit({"mode": "fast"}), Edit({"mode": 3}), Reject(), Answer(1), None]
        )


async def soak(runtime: AgentRuntime, *, num_runs: int, seed: int = 0) -> SoakReport:
    """Run and report. The runtime must have tool timeouts of a fraction of a second."""
    release = threading.Event()
    state = _Soak(runtime, make_tools(release), random.Random(seed))
    await runtime.warm_up()
    tasks_before, threads_before = asyncio.all_tasks(), _threads()
    numbers = iter(range(num_runs))
    megabytes = [_megabytes()]
    started = time.perf_counter()

    async def client() -> None:
        for number in numbers:
            while not await state.one(number):
                pass
            if number % max(1, num_runs // 10) == 0:
                megabytes.append(_megabytes())

    async with asyncio.TaskGroup() as group:
        for _ in range(NUM_CLIENTS):
            group.create_task(client())
    release.set()
    leaks = await _leaks(runtime, tasks_before, threads_before)
    megabytes.append(_megabytes())
    return SoakReport(
        outcomes=dict(state.outcomes.most_common()),
        surprises=tuple(state.surprises),
        leaks=tuple(leaks),
        seconds=time.perf_counter() - started,
        megabytes=tuple(megabytes),
    )


async def _leaks(
    runtime: AgentRuntime, tasks_before: set[asyncio.Task[Any]], threads_before: set[str]
) -> list[str]:
    """What is still there once everything has had time to end."""
    engine: Callable[[], Any] = lambda: runtime.statistics().engine  # noqa: E731  # read again and again
    executor = lambda: runtime.statistics().executor  # noqa: E731

    checks: dict[str, Callable[[], Any]] = {
        "tasks": lambda: asyncio.all_tasks() - tasks_before,
        "threads": lambda: _threads() - threads_before,
        "active turns": lambda: engine().active,
        "queued turns": lambda: engine().queue_length,
        "tokens of active turns": lambda: engine().active_held_tokens,
        "cache tokens over the limit": lambda: max(
            0, engine().cache_held_tokens - runtime.deployment.prefix_cache_tokens
        ),
        "running tools": lambda: executor().running,
        "stuck tools": lambda: executor().stuck,
    }
    deadline = time.perf_counter() + 10
    while any(check() for check in checks.values()) and time.perf_counter() < deadline:  # noqa: ASYNC110  # threads end unseen
        await asyncio.sleep(0.02)
    return [f"{name}: {left}" for name, check in checks.items() if (left := check())]


def _threads() -> set[str]:
    """Threads by name; those of asyncio's own pool are the interpreter's."""
    return {
        f"{thread.name} {thread.ident}" for thread in threading.enumerate() if "asyncio" not in thread.name
    }


def _megabytes() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a model folder; a tiny random model when left out")
    arguments = parser.parse_args()

    async def run(model: str | Path) -> SoakReport:
        async with AgentRuntime.load(model, deployment=DEPLOYMENT) as runtime:
            return await soak(runtime, num_runs=arguments.runs, seed=arguments.seed)

    if arguments.model:
        report = asyncio.run(run(arguments.model))
    else:
        from tests.tiny_model import make_tiny_model

        with tempfile.TemporaryDirectory() as folder:
            report = asyncio.run(run(make_tiny_model(Path(folder) / "model")))
    print(
        json.dumps(
            {"outcomes": report.outcomes, "surprises": report.surprises, "leaks": report.leaks}, indent=2
        )
    )
    print(f"{report.seconds:.1f} s; memory {', '.join(f'{value:.0f}' for value in report.megabytes)} MB")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
