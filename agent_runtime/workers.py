"""Running a user's code at arm's length: with a timeout, in a thread if it blocks, and without trust.

Which code, with what arguments and how often is executor.py.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

CANCEL_GRACE_S = 2.0
"""Seconds a coroutine has to end after it was cancelled; then it is left behind and counted."""


class Workers:
    """Threads and tasks for code that may hang.

    A Python thread cannot be stopped from outside, and a coroutine may swallow its cancellation. What is
    given up is therefore left behind: it is counted until it ends, its result is dropped, and while
    `max_stuck` of them exist no further thread is started. None of them holds up the exit.
    """

    def __init__(self, *, max_stuck: int, cancel_grace_s: float = CANCEL_GRACE_S) -> None:
        self._max_stuck = max_stuck
        self._cancel_grace_s = cancel_grace_s
        self._lock = threading.Lock()
        self._num_stuck = 0

    @property
    def num_stuck(self) -> int:
        """How many were given up and have not ended yet."""
        return self._num_stuck

    async def within(self, timeout_s: float, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Wait for work; give it up after a time, and end it when we are cancelled ourselves.

        `asyncio.timeout` would wait for ever for code that swallows its cancellation.

        Raises:
            TimeoutError: it took longer. An exception of the work itself is raised as it is.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=timeout_s)
            if not task.done():
                raise TimeoutError
        finally:
            if not task.done():
                await self._end(task)
            if task.done() and not task.cancelled():
                task.exception()  # whoever waited may have been cancelled before they could hear of it
        return task.result()

    async def _end(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        await asyncio.wait({task}, timeout=self._cancel_grace_s)
        if not task.done():
            logger.warning("a tool swallowed its cancellation and was left behind")
            self._change_stuck(1)
            task.add_done_callback(lambda ended: self._change_stuck(-1))

    async def in_thread(self, work: Callable[[], Outcome]) -> Outcome:
        """Run blocking work, which must not raise, in a thread of its own.

        Not `asyncio.to_thread`: its pool belongs to the whole program, a few hanging tools would fill it,
        and the interpreter waits for its threads at exit.

        Raises:
            RuntimeError: too many earlier ones are stuck.
        """
        if self._num_stuck >= self._max_stuck:
            raise RuntimeError(
                f"{self._num_stuck} earlier tools are still running after they were given up, "
                "so no more are started; try again later"
            )
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        context = contextvars.copy_context()
        worker = _Worker(self._change_stuck)

        def deliver(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        def run() -> None:
            outcome = context.run(work)
            worker.end()
            try:
                loop.call_soon_threadsafe(deliver, outcome)
            except RuntimeError:
                logger.debug("a tool returned after its event loop had closed")

        threading.Thread(target=run, name="smolcall-tool", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            worker.abandon()
            raise

    def _change_stuck(self, change: int) -> None:
        with self._lock:
            self._num_stuck += change


class _Worker:
    """Whether a thread has ended or was given up first; only the latter is counted."""

    def __init__(self, change_stuck: Callable[[int], None]) -> None:
        self._change_stuck = change_stuck
        self._lock = threading.Lock()
        self._has_ended = self._is_abandoned = False

    def end(self) -> None:
        with self._lock:
            self._has_ended = True
            if self._is_abandoned:
                self._change_stuck(-1)

    def abandon(self) -> None:
        with self._lock:
            self._is_abandoned = True
            if not self._has_ended:
                self._change_stuck(1)
