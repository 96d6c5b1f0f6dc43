"""Runs many turns side by side on one backbone: a bounded queue, shared forwards, fairness, deadlines.

Submitting and cancelling may happen on any thread and never block (no lock is taken: the containers'
single operations are atomic). Computing happens in `step`, on one thread: the engine's worker.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ClosedError, DeadlineError, OverloadedError
from .batching import plan_batch
from .job import Job, Reader
from .program import Forward, Reading
from .statistics import EngineStatistics, Tally

if TYPE_CHECKING:
    from .chunks import Chunk
    from .sequence import KeyValueCache

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

# How many recent turns the estimate of `retry_after_s` rests on, and what it is before there are any.
_RECENT_TURNS = 32
_FIRST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """What a scheduler is told.

    Attributes:
        max_batch: turns that are computed side by side.
        max_queue: turns that may wait for a place beyond those.
        prefix_cache_tokens: tokens the prefix cache may hold; 0 is off.
    """

    max_batch: int = 8
    max_queue: int = 64
    prefix_cache_tokens: int = 32768


class Scheduler:
    """Owns the turns, from submission to outcome.

    Args:
        get_reader: gives the backbone; asked when there is work. What it raises ends the waiting turns.
        limits: sizes.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        get_reader: Callable[[], Reader],
        limits: SchedulerLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get_reader = get_reader
        self._limits = limits
        self._clock = clock
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._open: set[Job] = set()  # submitted, neither done nor cancelled: what the bound counts
        self._queued: deque[Job] = deque()
        self._active: list[Job] = []  # longest unserved first
        self._reader: Reader | None = None
        self._cache: KeyValueCache | None = None
        self._tally = Tally()
        self._ended_at: deque[float] = deque(maxlen=_RECENT_TURNS)
        self._is_closed = False

    # Any thread.

    def submit(self, job: Job) -> None:
        """Take a turn in.

        Raises:
            ClosedError: the scheduler was closed.
            OverloadedError: every place, in the batch and in the queue, is taken.
        """
        if self._is_closed:
            raise ClosedError("the engine is closed: make a new one")
        if len(self._open) >= self._limits.max_batch + self._limits.max_queue:
            self._tally.refused += 1
            num_waiting = max(0, len(self._open) - self._limits.max_batch)
            raise OverloadedError(queued=num_waiting, retry_after_s=self._retry_after_s())
        self._open.add(job)
        self._inbox.put(job)
        if self._is_closed:  # closed meanwhile: whoever closed may not have seen this turn
            self.cancel(job)
            raise ClosedError("the engine is closed: make a new one")

    def cancel(self, job: Job) -> None:
        """Give its place back at once; its computing stops before the next forward."""
        if job in self._open:
            job.is_cancelled = True
            self._open.discard(job)
            self._inbox.put(None)

    def refuse_new(self) -> None:
        """Take no more turns in."""
        self._is_closed = True

    def wake(self) -> None:
        """Make a waiting `wait_for_work` return."""
        self._inbox.put(None)

    def statistics(self) -> EngineStatistics:
        """A snapshot; exact when nothing runs."""
        tally, active = self._tally, list(self._active)
        num_active = sum(1 for job in active if job in self._open)
        return EngineStatistics(
            is_loaded=self._reader is not None,
            turns=tally.turns,
            failed=tally.failed,
            cancelled=tally.cancelled,
            expired=tally.expired,
            refused=tally.refused,
            queue_length=max(0, len(self._open) - num_active),
            active=num_active,
            forwards=tally.forwards,
            prefill_tokens=tally.prefill_tokens,
            decode_tokens=tally.decode_tokens,
            cached_tokens=tally.cached_tokens,
            cache_held_tokens=0 if self._cache is None else self._cache.held_tokens,
            active_held_tokens=sum(job.num_held_tokens for job in active),
            batch_sizes=dict(tally.batch_sizes),
            compute_s=tally.compute_s,
        )

    # The worker thread.

    def wait_for_work(self) -> None:
        """Block until there is something to do (or `wake` was called)."""
        if self._active or self._queued:
            return
        job = self._inbox.get()
        if job is not None:
            self._queued.append(job)

    def step(self) -> bool:
        """Compute one forward for whoever is next; False when there was nothing to do."""
        self._take_in()
        if not self._active and not self._queued:
            return False
        if not self._attach():
            return True
        self._fill_places()
        self._deliver_read()
        self._compute()
        return True

    def close(self, error: BaseException) -> None:
        """End every turn with `error` and refuse new ones."""
        self._is_closed = True
        self._take_in()
        for job in (*self._active, *self._queued):
            self._end(job, error)
        self._active.clear()
        self._queued.clear()
        if self._cache is not None:
            self._cache.clear()
        self._reader = self._cache = None

    def _take_in(self) -> None:
        while True:
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                self._queued.append(job)
        now = self._clock()
        self._active = [job for job in self._active if not self._is_over(job, now)]
        if any(job.is_cancelled or self._is_late(job, now) for job in self._queued):
            self._queued = deque(job for job in self._queued if not self._is_over(job, now))

    def _is_over(self, job: Job, now: float) -> bool:
        """Whether a turn is over, ending it if its caller went away or its deadline passed."""
        if self._is_late(job, now):
            self._end(job, DeadlineError(deadline_s=job.deadline_s or 0.0))
        elif job.is_cancelled:
            self._end(job, None)
        return job.is_done

    def _is_late(self, job: Job, now: float) -> bool:
        return job.deadline_at is not None and now >= job.deadline_at

    def _attach(self) -> bool:
        """Have a backbone; when that fails the waiting turns end, and later ones try again."""
        if self._reader is not None:
            return True
        try:
            reader = self._get_reader()
        except Exception as error:  # a model folder can fail in any way; its callers hear of it
            for job in self._queued:
                self._end(job, error)
            self._queued.clear()
            return False
        self._cache = reader.new_cache(self._limits.prefix_cache_tokens)
        self._reader = reader
        self._take_in()  # loading takes time: some callers may be gone
        return True

    def _fill_places(self) -> None:
        assert self._reader is not None and self._cache is not None
        while self._queued and len(self._active) < self._limits.max_batch:
            job = self._queued.popleft()
            self._active.append(job)
            job.begin(self._reader, self._cache)
            self._settle(job)
        self._active = [job for job in self._active if not job.is_done]

    def _deliver_read(self) -> None:
        """Copy what the cache holds; forwards that it answers wholly go straight back to their programs."""
        for job in self._active:
            while not job.is_done:
                self._tally.cached_tokens += job.copy_cached()
                if not job.is_read():
                    break
                job.deliver()
                self._settle(job)
        self._active = [job for job in self._active if not job.is_done]

    def _compute(self) -> None:
        served = self._plan()
        if not served:
            return
        for _, chunks in served:
            self._count_tokens(chunks)
        self._tally.batch_sizes[len(served)] += 1
        started = self._clock()
        self._read(served)
        self._tally.compute_s += self._clock() - started
        for job, _ in served:
            if not job.is_done and job.is_read():
                job.deliver()
            self._settle(job)
        served_jobs = {job for job, _ in served}
        unserved = [job for job in self._active if job not in served_jobs]
        self._active = unserved + [job for job, _ in served if not job.is_done]

    def _plan(self) -> list[tuple[Job, list[Chunk]]]:
        """Chunks of this forward by turn. A block that another turn computes now is waited for."""
        assert self._reader is not None
        names: set[tuple[int, tuple[int, ...]]] = set()
        ready = []
        for job in self._active:
            name = job.block_name()
            if name is None or name not in names:
                ready.append(job)
            if name is not None:
                names.add(name)
        waiting = [job.chunk_sizes() for job in ready]
        taken = plan_batch(waiting, self._reader.batch_rule) if ready else []
        return [
            (job, job.chunks(sizes[:number]))
            for job, sizes, number in zip(ready, waiting, taken, strict=True)
            if number
        ]

    def _read(self, served: list[tuple[Job, list[Chunk]]]) -> None:
        """One forward; if it fails, each turn's part by itself, so that only the one at fault ends."""
        assert self._reader is not None
        chunks = [chunk for _, of_job in served for chunk in of_job]
        try:
            logits = self._reader.read(chunks)
        except Exception as error:  # out of memory, a driver's fault
            if len(served) == 1:
                log.exception("a forward failed")
                served[0][0].finish(None, error)
                return
            for one in served:
                self._read([one])
            return
        self._tally.forwards += 1
        start = 0
        for job, of_job in served:
            job.note_read(of_job, logits[start : start + len(of_job)])
            start += len(of_job)

    def _count_tokens(self, chunks: list[Chunk]) -> None:
        num_tokens = sum(len(chunk.token_ids) for chunk in chunks)
        if num_tokens == 1:
            self._tally.decode_tokens += 1
        else:
            self._tally.prefill_tokens += num_tokens

    def _settle(self, job: Job) -> None:
        """Account for a turn that has just ended, then tell its caller."""
        if not job.is_done:
            return
        if isinstance(job.error, DeadlineError):
            self._tally.expired += 1
        elif job.is_cancelled:
            self._tally.cancelled += 1
        elif job.error is None:
            self._tally.turns += 1
        else:
            self._tally.failed += 1
        self._ended_at.append(self._clock())
        self._open.discard(job)
        job.tell()

    def _end(self, job: Job, error: BaseException | None) -> None:
        job.finish(None, error)
        self._settle(job)

    def _retry_after_s(self) -> float:
        """When a place should be free, from how often turns ended lately."""
        if len(self._ended_at) < 2:
            return _FIRST_RETRY_S
        span = self._clock() - self._ended_at[0]
        return max(0.05, span / len(self._ended_at))


def run_alone(reader: Reader, program: Generator[Forward, Reading, Outcome]) -> Outcome:
    """Run one program to its end on this thread, without queue, cache or company.

    For training, evaluation and tests; an answer is the same as through the engine.
    """
    ended: list[tuple[Any, BaseException | None]] = []
    limits = SchedulerLimits(max_batch=1, max_queue=0, prefix_cache_tokens=0)
    scheduler = Scheduler(lambda: reader, limits)
    scheduler.submit(Job(lambda _: program, lambda outcome, error: ended.append((outcome, error))))
    while not ended:
        scheduler.step()
    outcome, error = ended[0]
    if error is not None:
        raise error
    return outcome  # type: ignore[no-any-return]
