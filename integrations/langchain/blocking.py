"""Driving async code from LangChain's synchronous methods: one event loop in a thread of its own.

Leaving early (closing the iterator, Ctrl-C) cancels what runs, so that a turn's place in the engine is
given back at once. The thread is a daemon: an iterator that is left open does not keep a program from ending,
which the portals of anyio would.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")
Item = TypeVar("Item")


class _LoopThread:
    """An event loop that runs when it is first needed, and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="smolcall-langchain", daemon=True
                )
                self._thread.start()
            return self._loop


_thread = _LoopThread()


def run_blocking(start: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Await what `start` makes, and return its outcome."""
    future = asyncio.run_coroutine_threadsafe(start(), _thread.loop())
    try:
        return future.result()
    finally:
        future.cancel()  # only of use when waiting was interrupted


def iterate_blocking(start: Callable[[], AsyncGenerator[Item, None]]) -> Iterator[Item]:
    """The items of the generator `start` makes; it is closed with this one."""
    items: queue.SimpleQueue[tuple[Item] | None] = queue.SimpleQueue()

    async def pump() -> None:
        try:
            async with aclosing(start()) as made:
                async for item in made:
                    items.put((item,))
        finally:
            items.put(None)

    future = asyncio.run_coroutine_threadsafe(pump(), _thread.loop())
    try:
        while (found := items.get()) is not None:
            yield found[0]
        future.result()
    finally:
        future.cancel()
