"""Short reads (decoded tokens, literals, drafts, branches) as CUDA graphs, recorded once for each shape.

A forward of SmolLM3-3B is some 600 kernels that a large GPU runs in about 2 ms; Python takes longer than
that to start them one by one. A graph starts them all at once. It is recorded when its shape is first
needed; where that fails the same static forward runs without it, with the same bits, and the log says why,
once. Prompts are read by `forward.py`: their blocks are long enough to keep a GPU busy.
"""

from __future__ import annotations

import bisect
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .batching import BatchRule
from .chunks import Chunk
from .key_values import SLAB_STEP, KeyValueSlab
from .slab_pool import SlabPool
from .static_forward import Bucket, StaticForward

log = logging.getLogger(__name__)

_WARM_UPS = 3


class Recorder(Protocol):
    """Makes something that can be repeated cheaply of a function whose shapes and addresses never change."""

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Run it at least once, and return what runs it again."""
        ...


class PlainRecorder:
    """Records nothing: to repeat is to call."""

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Call it once, and return it."""
        function()
        return function


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory; they are replayed one after another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._memory = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Warm up on a stream of our own, capture there, and replay once."""
        current = torch.cuda.current_stream(self._device)
        # A capture that fails may leave its own stream the current one: the outer context undoes that.
        with torch.cuda.stream(current):
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):  # libraries load kernels and make workspaces in their first calls
                    function()
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the GPU meanwhile; only what this one does is captured.
            with torch.cuda.graph(
                graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"
            ):
                function()
        graph.replay()
        return graph.replay


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Which shapes are recorded.

    Attributes:
        num_rows: rows of every forward.
        batches: numbers of conversations, rising; the last is all there can be.
        lengths: numbers of positions, rising; the last is all a place of the pool has.
    """

    num_rows: int
    batches: tuple[int, ...]
    lengths: tuple[int, ...]

    @classmethod
    def fitted(
        cls, *, num_rows: int, batches: Sequence[int], lengths: Sequence[int], max_batch: int, max_length: int
    ) -> BucketPlan:
        """What of the asked numbers makes sense for so many conversations of at most so many positions."""
        # Whole steps, since fused attention wants lengths that are multiples of eight.
        steps = sorted({-(-min(length, max_length) // SLAB_STEP) * SLAB_STEP for length in lengths})
        sizes = sorted({size for size in batches if size < max_batch})
        return cls(num_rows=num_rows, batches=(*sizes, max_batch), lengths=tuple(steps))

    def choose(self, *, batch: int, tokens: int, length: int) -> Bucket:
        """The smallest shape for the first `batch` places, `tokens` rows each and `length` positions."""
        batch = self.batches[bisect.bisect_left(self.batches, batch)]
        length = self.lengths[bisect.bisect_left(self.lengths, length)]
        even = self.num_rows // batch
        return Bucket(batch, even if tokens <= even else self.num_rows, length)

    def __iter__(self) -> Iterator[Bucket]:
        """Every shape there can be."""
        for batch, length in itertools.product(self.batches, self.lengths):
            for tokens in {self.num_rows // batch, self.num_rows} - {0}:
                yield Bucket(batch, tokens, length)


class GraphedForward:
    """Reads chunks that stand in the pool, through one recorded forward a shape.

    Args:
        static: the forward.
        plan: the shapes.
        recorder: how they are recorded.
    """

    def __init__(self, static: StaticForward, plan: BucketPlan, recorder: Recorder) -> None:
        self._static = static
        self._plan = plan
        self._recorder = recorder
        self._recorded: dict[Bucket, Callable[[], None]] = {}

    @property
    def pool(self) -> SlabPool:
        """Where conversations must stand to be read here."""
        return self._static.pool

    def batch_rule(self, rule: BatchRule) -> BatchRule:
        """How rows may be put together where short reads go through this forward: up to as many as it has."""
        return BatchRule(
            block_tokens=rule.block_tokens, max_rows=rule.block_tokens, padded_rows=self._plan.num_rows
        )

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The shapes that were needed so far, in order."""
        return tuple(self._recorded)

    @property
    def is_compiled(self) -> bool:
        """Whether torch's compiler fuses what it computes."""
        return self._static.is_compiled

    def takes(self, chunk: Chunk) -> bool:
        """Whether this chunk can be read here; that follows from its size and end alone."""
        place = self._static.pool.place_of(chunk.slab)
        return (
            place is not None
            and len(chunk.token_ids) <= self._plan.num_rows
            and chunk.end <= self._plan.lengths[-1]
        )

    def read(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """Read chunks that it takes: what each wanted, (rows, vocab) float32 on the CPU, or None."""
        scores = [part for group in self._groups(chunks) for part in self._read_group(group)]
        return [part if len(part) else None for part in scores]

    def _groups(self, chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
        """As many as fit one forward; those that take turns at one place of a slab in different ones."""
        group: list[Chunk] = []
        for chunk in chunks:
            num_rows = sum(len(other.token_ids) for other in group)
            is_clashing = any(
                other.slab is chunk.slab and other.at < chunk.end and chunk.at < other.end for other in group
            )
            if group and (is_clashing or num_rows + len(chunk.token_ids) > self._plan.num_rows):
                yield group
                group = []
            group.append(chunk)
        if group:
            yield group

    def _read_group(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        bucket = self._place(chunks)
        layout = self._static.lay_out(chunks, bucket)
        self._static.fill(layout)
        if (again := self._recorded.get(bucket)) is not None:
            again()
        else:
            self._recorded[bucket] = self._record(bucket)
        return self._scores(layout.wanted)

    def _place(self, chunks: Sequence[Chunk]) -> Bucket:
        """The bucket for these chunks, with their conversations moved together if that makes it smaller."""
        pool = self._static.pool
        slabs: dict[int, KeyValueSlab] = {id(chunk.slab): chunk.slab for chunk in chunks}
        tokens = dict.fromkeys(slabs, 0)
        for chunk in chunks:
            tokens[id(chunk.slab)] += len(chunk.token_ids)
        needed = {"tokens": max(tokens.values()), "length": max(chunk.end for chunk in chunks)}
        smallest = self._plan.choose(batch=len(slabs), **needed)
        pool.gather(list(slabs.values()), smallest.batch)
        last = max(place for slab in slabs.values() if (place := pool.place_of(slab)) is not None)
        return self._plan.choose(batch=max(last + 1, smallest.batch), **needed)

    def _record(self, bucket: Bucket) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode(), self._static.fixed_kernels():
                self._static(bucket)

        while True:
            try:
                return self._recorder.record(run)
            except Exception as error:  # a driver, a compiler, a kernel that cannot be captured, full memory
                if not self._gives_up_something(f"{type(error).__name__}: {error}"):
                    raise

    def _gives_up_something(self, reason: str) -> bool:
        """Go on without what may have failed; False if there is nothing left to go on without."""
        if self._static.is_compiled:
            log.warning("compile is off, forwards run as they are: %s", reason)
            self._static.stop_compiling()
            return True
        if not isinstance(self._recorder, PlainRecorder):
            log.warning("cuda_graphs is off for shapes not yet recorded, forwards run without: %s", reason)
            self._recorder = PlainRecorder()
            return True
        return False

    def _scores(self, wanted: Sequence[Sequence[int]]) -> list[Tensor]:
        logits = self._static.logits
        rows = [row for of_chunk in wanted for row in of_chunk]
        if not rows:
            chosen = logits[:0]
        elif rows == list(range(rows[0], rows[0] + len(rows))):
            chosen = logits[rows[0] : rows[0] + len(rows)]
        else:
            chosen = logits[torch.tensor(rows, device=logits.device)]
        # Pinned memory is copied to at full speed; torch keeps it for later forwards. Converted on the device
        # first, or the copy would go through memory that is not.
        scores = torch.empty(chosen.shape, dtype=torch.float32, pin_memory=logits.device.type == "cuda")
        scores.copy_(chosen.float())
        return list(torch.split(scores, [len(of_chunk) for of_chunk in wanted]))
