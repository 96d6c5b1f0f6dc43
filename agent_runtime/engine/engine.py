"""The engine: one worker thread that owns all torch work, asked from any event loop.

It knows turn programs and nothing of what they say. Making one is instant; the backbone is loaded by the
first turn, or by `warm_up`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AgentRuntimeError, ClosedError, DeadlineError
from .job import Job
from .program import Forward, Program
from .scheduler import Scheduler, SchedulerLimits
from .statistics import EngineStatistics

if TYPE_CHECKING:
    from ..config import DeploymentConfig
    from .backbone import Backbone

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")
Emit = Callable[[Any], None]
StartProgram = Callable[["Backbone", Emit], Program[Outcome]]
"""Makes a turn's program, on the worker thread, once the turn has a place."""

_WARM_UP_TOKENS = 80  # more than a block of a CPU, so that both long and short reads have run once


class Engine:
    """Runs turn programs on a backbone.

    Usable from several event loops at once. Close it, or use it as a context manager (`with`, `async with`);
    an engine that is dropped or left open at exit is closed then.

    Args:
        load_backbone: reads the backbone; called on the worker thread when it is first needed, and again
            after it failed.
        limits: how many turns at once, how many waiting, how large a prefix cache.
    """

    def __init__(self, load_backbone: Callable[[], Backbone], limits: SchedulerLimits | None = None) -> None:
        self._worker = _Worker(Scheduler(load_backbone, limits or SchedulerLimits()))
        self._closing = weakref.finalize(self, self._worker.stop)

    async def run(
        self,
        start: StartProgram[Outcome],
        *,
        deadline_s: float | None = None,
        on_event: Emit | None = None,
    ) -> Outcome:
        """Run a program to its end.

        Cancelling the call stops the program before its next forward and gives its place back at once.

        Args:
            start: makes the program. What it hands to its second argument reaches `on_event`.
            deadline_s: seconds from now, waiting and loading included.
            on_event: called on this event loop, in order, before the outcome is returned.

        Raises:
            ClosedError: the engine is, or meanwhile was, closed.
            OverloadedError: the queue is full.
            DeadlineError: the deadline passed.
            ConfigError: the backbone cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        worker = self._worker  # a job must not keep the engine alive

        def call_soon(callback: Callable[..., None], *arguments: Any) -> None:
            try:
                loop.call_soon_threadsafe(callback, *arguments)
            except RuntimeError:  # the loop was closed under the turn: nobody is left to be told
                worker.scheduler.cancel(job)

        def tell(event: Any) -> None:
            if not answer.done() and on_event is not None:
                on_event(event)

        job = Job(
            lambda backbone: start(backbone, lambda event: call_soon(tell, event)),
            lambda outcome, error: call_soon(_settle, answer, outcome, error),
            deadline_at=None if deadline_s is None else time.monotonic() + deadline_s,
            deadline_s=deadline_s,
        )
        worker.submit(job)
        try:
            async with asyncio.timeout(deadline_s) as limit:
                return await answer
        except TimeoutError as error:
            if deadline_s is not None and limit.expired():
                raise DeadlineError(deadline_s=deadline_s) from error
            raise
        finally:
            worker.scheduler.cancel(job)

    async def warm_up(self) -> None:
        """Load the backbone and run every kind of forward once, so that the first turn is as fast as any.

        Raises:
            ConfigError: the backbone cannot be loaded.
        """
        await self.run(_warm_up_program)

    def statistics(self) -> EngineStatistics:
        """What it has done and is doing."""
        return self._worker.scheduler.statistics()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return not self._closing.alive

    def close(self) -> None:
        """End every turn with `ClosedError`, free the backbone, end the worker thread. Idempotent.

        Waits for the forward that is being computed.
        """
        self._closing()

    async def aclose(self) -> None:
        """The same, without blocking the event loop meanwhile."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        if self._worker.begin_stop(lambda: loop.call_soon_threadsafe(_settle, ended, None, None)):
            await ended
            while self._worker.is_alive:  # noqa: ASYNC110 - for the instant between its last call and its end
                await asyncio.sleep(0)
        self.close()

    def __enter__(self) -> Engine:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Engine:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()


def limits_of(deployment: DeploymentConfig) -> SchedulerLimits:
    """The part of a deployment that scheduling needs."""
    return SchedulerLimits(
        max_batch=deployment.max_batch,
        max_queue=deployment.max_queue,
        prefix_cache_tokens=deployment.prefix_cache_tokens,
    )


class _Worker:
    """The thread. It holds no reference to the engine, so that a dropped engine can end it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._is_stopping = False
        self._lock = threading.Lock()  # over starting and ending the thread, held for moments only
        self._thread: threading.Thread | None = None
        self._has_ended = False
        self._at_end: list[Callable[[], object]] = []

    def submit(self, job: Job) -> None:
        self.scheduler.submit(job)
        if self._thread is None:
            self._start_thread()

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin_stop(self, at_end: Callable[[], object]) -> bool:
        """Have the thread end; whether it runs, and will call `at_end` last."""
        self._is_stopping = True
        self.scheduler.refuse_new()
        self.scheduler.wake()
        with self._lock:
            is_running = self._thread is not None and not self._has_ended
            if is_running:
                self._at_end.append(at_end)
            return is_running

    def stop(self) -> None:
        """Have the thread end, and wait for it."""
        self.begin_stop(lambda: None)
        thread = self._thread
        if thread is threading.current_thread():
            return  # the engine was dropped on its own worker thread, which now ends by itself
        if thread is not None and thread.is_alive():
            thread.join()
        self.scheduler.close(_closed())

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_stopping:
                self._thread = threading.Thread(target=self._work, name="smolcall-engine", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        ending: AgentRuntimeError = _closed()
        try:
            while not self._is_stopping:
                self.scheduler.wait_for_work()
                if not self._is_stopping:
                    self.scheduler.step()
        except BaseException as error:  # whatever it is, nobody may wait for ever for a thread that is gone
            log.exception("the engine's worker thread failed")
            ending = ClosedError(f"the engine failed and is closed now: {error!r}; make a new one")
            ending.__cause__ = error
        finally:
            self.scheduler.close(ending)
            with self._lock:
                self._has_ended = True
            for tell in self._at_end:
                tell()


def _closed() -> ClosedError:
    return ClosedError("the engine was closed while this turn was waiting for it")


def _settle(answer: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(outcome)
    else:
        answer.set_exception(error)


def _warm_up_program(backbone: Backbone, _: Emit) -> Program[None]:
    num_tokens = min(_WARM_UP_TOKENS, backbone.max_positions - 1)
    yield Forward([0] * num_tokens, at=0)
    yield Forward([0], at=num_tokens)
