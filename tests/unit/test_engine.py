from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.engine import Engine, StartProgram
from agent_runtime.engine.program import Forward, Program
from agent_runtime.engine.scheduler import SchedulerLimits, run_alone
from agent_runtime.errors import (
    AgentRuntimeError,
    ClosedError,
    ConfigError,
    DeadlineError,
    OverloadedError,
)
from tests.forward_programs import greedy, wander
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone.load(folder)


@pytest.fixture
async def engine(backbone: Backbone) -> AsyncIterator[Engine]:
    async with Engine(lambda: backbone, SchedulerLimits(max_batch=4, max_queue=4)) as engine:
        yield engine


def write(prompt: list[int], num_tokens: int) -> StartProgram[list[int]]:
    return lambda _backbone, _emit: greedy(prompt, num_tokens)


def endless(passed: threading.Event) -> StartProgram[None]:
    """Decodes until it is stopped; sets `passed` once it runs."""

    def program() -> Program[None]:
        yield Forward([1], at=0)
        while True:
            yield Forward([2], at=1)
            passed.set()

    return lambda _backbone, _emit: program()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens on the worker thread
        await asyncio.sleep(0)


async def test_program_runs_to_its_outcome(engine: Engine, backbone: Backbone) -> None:
    outcome = await engine.run(write([1, 2, 3], 8))

    assert outcome == run_alone(backbone, greedy([1, 2, 3], 8))


async def test_making_an_engine_loads_nothing_and_warming_up_does(backbone: Backbone) -> None:
    loaded: list[str] = []

    def load() -> Backbone:
        loaded.append(threading.current_thread().name)
        return backbone

    async with Engine(load) as engine:
        assert not loaded
        assert not engine.statistics().is_loaded

        await engine.warm_up()
        await engine.warm_up()

        assert loaded == ["smolcall-engine"]
        assert engine.statistics().is_loaded


async def test_events_arrive_in_order_on_the_callers_loop_before_the_outcome(engine: Engine) -> None:
    seen: list[tuple[int, threading.Thread]] = []

    def start(_: Backbone, emit: Callable[[Any], None]) -> Program[str]:
        def program() -> Program[str]:
            for number in range(50):
                yield Forward([1], at=0)
                emit(number)
            return "done"

        return program()

    outcome = await engine.run(start, on_event=lambda event: seen.append((event, threading.current_thread())))

    assert outcome == "done"
    assert [event for event, _ in seen] == list(range(50))
    assert {thread for _, thread in seen} == {threading.current_thread()}


async def test_cancelled_call_frees_its_place_at_once(backbone: Backbone) -> None:
    async with Engine(lambda: backbone, SchedulerLimits(max_batch=1, max_queue=0)) as engine:
        passed = threading.Event()
        running = asyncio.create_task(engine.run(endless(passed)))
        await until(passed.is_set)
        with pytest.raises(OverloadedError):
            await engine.run(write([1], 1))

        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.run(write([1], 1))

        await until(lambda: engine.statistics().active_held_tokens == 0)
        assert engine.statistics().cancelled == 1
        assert engine.statistics().turns == 1


async def test_deadline_is_kept_in_the_batch_in_the_queue_and_while_loading(backbone: Backbone) -> None:
    is_released = threading.Event()

    def load() -> Backbone:
        is_released.wait()
        return backbone

    async with Engine(load, SchedulerLimits(max_batch=1)) as engine:
        with pytest.raises(DeadlineError):
            await engine.run(write([1], 1), deadline_s=0.01)
        is_released.set()

        passed = threading.Event()
        with pytest.raises(DeadlineError) as caught:
            await asyncio.gather(
                engine.run(endless(passed), deadline_s=0.2), engine.run(write([1], 1), deadline_s=0.1)
            )
        assert caught.value.deadline_s == 0.1
        await until(lambda: engine.statistics().expired == 3)
        assert engine.statistics().active == engine.statistics().queue_length == 0


async def test_timeout_of_the_callers_own_stays_a_timeout(engine: Engine) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await engine.run(endless(threading.Event()), deadline_s=60)


async def test_error_of_a_program_reaches_its_caller(engine: Engine) -> None:
    def start(_backbone: Backbone, _emit: Callable[[Any], None]) -> Program[None]:
        raise KeyError("while starting")

    def program() -> Program[None]:
        yield Forward([1], at=0)
        raise LookupError("while running")

    with pytest.raises(KeyError, match="while starting"):
        await engine.run(start)
    with pytest.raises(LookupError, match="while running"):
        await engine.run(lambda _backbone, _emit: program())
    assert await engine.run(write([1], 1))


async def test_worker_that_dies_leaves_nobody_waiting(backbone: Backbone) -> None:
    def start(_backbone: Backbone, _emit: Callable[[Any], None]) -> Program[None]:
        raise SystemExit("a program must not do this")

    async with Engine(lambda: backbone) as engine:
        with pytest.raises(ClosedError, match="the engine failed and is closed now: SystemExit"):
            await engine.run(start)
        with pytest.raises(ClosedError):
            await engine.run(write([1], 1))


async def test_load_error_reaches_the_caller_and_the_next_turn_tries_again(backbone: Backbone) -> None:
    attempts: list[int] = []

    def load() -> Backbone:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConfigError("model folder is missing")
        return backbone

    async with Engine(load) as engine:
        with pytest.raises(ConfigError, match="model folder is missing"):
            await engine.warm_up()
        await engine.warm_up()


async def test_closing_ends_waiting_turns_and_refuses_new_ones(backbone: Backbone) -> None:
    engine = Engine(lambda: backbone, SchedulerLimits(max_batch=1))
    passed = threading.Event()
    turns = [asyncio.create_task(engine.run(endless(passed))) for _ in range(3)]
    await until(passed.is_set)

    await engine.aclose()
    engine.close()

    ended = await asyncio.gather(*turns, return_exceptions=True)
    assert all(isinstance(error, ClosedError) for error in ended)
    assert engine.is_closed
    with pytest.raises(ClosedError):
        await engine.run(write([1], 1))


def test_engine_that_was_never_used_closes() -> None:
    engine = Engine(lambda: pytest.fail("nothing asked for the backbone"))

    engine.close()

    assert engine.is_closed


def test_dropped_engine_ends_its_thread(backbone: Backbone) -> None:
    others = set(threading.enumerate())  # other tests keep engines of their own
    engine = Engine(lambda: backbone)
    asyncio.run(engine.warm_up())
    threads = [
        thread
        for thread in threading.enumerate()
        if thread.name == "smolcall-engine" and thread not in others
    ]
    assert threads

    del engine
    gc.collect()
    for thread in threads:
        thread.join(10)

    assert not any(thread.is_alive() for thread in threads)


def test_several_event_loops_use_one_engine(backbone: Backbone) -> None:
    outcomes: list[list[int]] = []

    def use(number: int) -> None:
        async def both() -> list[list[int]]:
            return [*await asyncio.gather(shared.run(write([number], 5)), shared.run(write([number], 5)))]

        outcomes.extend(asyncio.run(both()))

    with Engine(lambda: backbone, SchedulerLimits(max_queue=100)) as shared:
        threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared.statistics().turns == 12

    expected = [run_alone(backbone, greedy([number], 5)) for number in range(6) for _ in range(2)]
    assert sorted(outcomes) == sorted(expected)


def test_loop_that_ends_under_its_turn_frees_the_place(backbone: Backbone) -> None:
    with Engine(lambda: backbone, SchedulerLimits(max_batch=1, max_queue=0)) as engine:
        passed = threading.Event()
        loop = asyncio.new_event_loop()
        turn = loop.create_task(engine.run(endless(passed)))
        while not passed.is_set():
            loop.run_until_complete(asyncio.sleep(0))
        turn.cancel()
        loop.run_until_complete(asyncio.gather(turn, return_exceptions=True))
        loop.close()

        assert asyncio.run(engine.run(write([1], 2)))


async def test_event_loop_is_never_blocked(backbone: Backbone) -> None:
    engine = Engine(lambda: backbone, SchedulerLimits(max_batch=2))
    with blockbuster_ctx():
        await engine.warm_up()
        await asyncio.gather(*(engine.run(write([number], 5)) for number in range(8)))
        turn = asyncio.create_task(engine.run(endless(threading.Event())))
        await asyncio.sleep(0)
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        engine.statistics()
        await engine.aclose()


async def test_storm_of_turns_ends_in_answers_or_typed_errors_and_leaves_nothing(
    backbone: Backbone,
) -> None:
    draw = random.Random(0)
    num_threads, num_tasks = threading.active_count(), len(asyncio.all_tasks())
    limits = SchedulerLimits(max_batch=4, max_queue=12, prefix_cache_tokens=2048)

    async def turn(number: int) -> str:
        await asyncio.sleep(draw.random() * 0.5)
        deadline_s = 0.01 if draw.random() < 0.1 else None
        call = asyncio.create_task(
            engine.run(lambda _backbone, _emit: wander(number % 20, 512), deadline_s=deadline_s)
        )
        if draw.random() < 0.2:
            await asyncio.sleep(draw.random() * 0.02)
            call.cancel()
        try:
            seen = await call
        except AgentRuntimeError as error:
            return type(error).__name__
        except asyncio.CancelledError:
            return "cancelled"
        assert seen == expected[number % 20]
        return "answered"

    expected = {seed: run_alone(backbone, wander(seed, 512)) for seed in range(20)}
    async with Engine(lambda: backbone, limits) as engine:
        ended = await asyncio.gather(*(turn(number) for number in range(150)))
        await until(lambda: engine.statistics().active_held_tokens == 0)
        statistics = engine.statistics()

    assert set(ended) <= {"answered", "cancelled", "DeadlineError", "OverloadedError"}
    # A caller may go away while its outcome is on the way; the engine has counted that turn as ended.
    assert 0 < ended.count("answered") <= statistics.turns
    ends = (
        statistics.turns + statistics.failed + statistics.cancelled + statistics.expired + statistics.refused
    )
    assert ends == len(ended)
    assert ended.count("OverloadedError") == statistics.refused
    assert statistics.active == statistics.queue_length == 0
    assert statistics.cache_held_tokens <= 2048
    assert len(asyncio.all_tasks()) == num_tasks
    assert threading.active_count() == num_threads
