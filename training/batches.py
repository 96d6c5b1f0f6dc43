"""Labelled sequences to batches of few shapes, made in processes of their own, exactly resumable.

Every batch has the same number of tokens: rows of one of a few lengths. What a batch held, and what waits
for its bucket to fill, is plain data that travels with the batch, so a checkpoint can name the exact place in
the data where a run goes on.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent_runtime.errors import ConfigError

from .recipe import BatchRecipe

PROCESS_START_S = 300.0
"""Patience with the data process before it counts as dead."""


class Pointer(NamedTuple):
    """What is written behind token `reader` is copied from where token `read` stands."""

    kind: int
    reader: int
    read: int


NAME, VALUE, COPY = 0, 1, 2
"""Kinds of pointers: to a tool's name in the listing, to where a value begins in a message, and from inside a
value to the token of the message that goes on with it or stands behind it."""


class Row(Protocol):
    """A row of a batch: tokens and whatever is known about them."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Its tokens; none where a number of the data holds nothing to learn from."""

    def as_json(self) -> list[Any]:
        """Plain data for a checkpoint."""

    @classmethod
    def from_json(cls, parts: Sequence[Any]) -> Self:
        """Read what `as_json` wrote."""

    @staticmethod
    def collate(rows: Any, length: int, pad_id: int, state: dict[str, Any]) -> Any:
        """Rows as one batch, which carries the place in the data behind it as its `state`."""


RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True, slots=True)
class LabelledSequence:
    """Token ids and the loss weight of each; 0 is read only. An empty one is counted and passed over."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    starts: tuple[int, ...] = ()
    """Where conversations side by side begin: each reads itself and what stands before the first start, and
    its positions go on from there. None: one conversation, all of it."""
    pointers: tuple[Pointer, ...] = ()

    def as_json(self) -> list[Any]:
        """Plain data for a checkpoint."""
        pointers = [list(pointer) for pointer in self.pointers]
        return [list(self.ids), list(self.weights), list(self.starts), pointers]

    @classmethod
    def from_json(cls, parts: Sequence[Any]) -> LabelledSequence:
        """Read what `as_json` wrote."""
        ids, weights, starts, pointers = (*parts, [], [])[:4]
        return cls(
            tuple(ids), tuple(weights), tuple(starts), tuple(Pointer(*pointer) for pointer in pointers)
        )

    @staticmethod
    def collate(rows: list[LabelledSequence], length: int, pad_id: int, state: dict[str, Any]) -> Batch:
        """Rows as one batch."""
        return _collate(rows, length, pad_id, state)


@dataclass(slots=True)
class DataState(Generic[RowT]):
    """A place in the data: how many sequences were taken, and which wait for company of their length."""

    num_taken: int = 0
    num_too_long: int = 0
    waiting: dict[int, list[RowT]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "num_taken": self.num_taken,
            "num_too_long": self.num_too_long,
            "waiting": {
                str(length): [row.as_json() for row in rows] for length, rows in self.waiting.items()
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], row: type[RowT]) -> DataState[RowT]:
        """Read what `as_json` wrote."""
        return DataState(
            num_taken=data["num_taken"],
            num_too_long=data["num_too_long"],
            waiting={
                int(length): [row.from_json(parts) for parts in rows]
                for length, rows in data["waiting"].items()
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one length, and the place in the data behind them."""

    tokens: NDArray[np.int64]  # (rows, length)
    weights: NDArray[np.float32]  # (rows, length)
    branches: NDArray[np.int64] | None  # (rows, length): 0 is read by all; None: nothing stands side by side
    pointers: NDArray[np.int64]  # (pointers, 4): row, kind, reader, read
    num_real: int
    state: dict[str, Any]


RowSource = Callable[[int, int], Iterator[RowT]]
"""Called with a start and a stride: yields rows `start`, `start + stride`, ... of an endless, fixed order.
Picklable."""

SequenceSource = RowSource[LabelledSequence]


def batches(
    source: RowSource[RowT],
    recipe: BatchRecipe,
    *,
    pad_id: int,
    state: DataState[RowT],
    shard: int = 0,
    num_shards: int = 1,
) -> Iterator[Any]:
    """Fill buckets of equal length and give each as it fills; a shard reads every `num_shards`th row."""
    for sequence in source(shard + state.num_taken * num_shards, num_shards):
        state.num_taken += 1
        if not sequence.ids:
            continue
        length = next((length for length in recipe.lengths if length >= len(sequence.ids)), None)
        if length is None:
            state.num_too_long += 1
            continue
        rows = state.waiting.setdefault(length, [])
        rows.append(sequence)
        if len(rows) == recipe.tokens // length:
            del state.waiting[length]
            yield sequence.collate(rows, length, pad_id, state.as_json())


def _collate(rows: list[LabelledSequence], length: int, pad_id: int, state: dict[str, Any]) -> Batch:
    tokens = np.full((len(rows), length), pad_id, dtype=np.int64)
    weights = np.zeros((len(rows), length), dtype=np.float32)
    for row, sequence in enumerate(rows):
        tokens[row, : len(sequence.ids)] = sequence.ids
        weights[row, : len(sequence.ids)] = sequence.weights
    return Batch(
        tokens=tokens,
        weights=weights,
        branches=_branches(rows, length),
        pointers=np.array(
            [(row, *pointer) for row, sequence in enumerate(rows) for pointer in sequence.pointers],
            dtype=np.int64,
        ).reshape(-1, 4),
        num_real=sum(len(s.ids) for s in rows),
        state=state,
    )


def _branches(rows: list[LabelledSequence], length: int) -> NDArray[np.int64] | None:
    if not any(sequence.starts for sequence in rows):
        return None
    begins = np.zeros((len(rows), length), dtype=np.int64)
    for row, sequence in enumerate(rows):
        begins[row, list(sequence.starts)] = 1
    return begins.cumsum(axis=1)


class BatchStream:
    """Batches made ahead in other processes. Use as a context manager; iteration never ends by itself.

    Each process makes the batches of one shard of the data, and they are taken in turn, so the order depends
    on the number of processes and on nothing else. `states` says where every shard stands.

    Where several devices train together, each has such a stream. Their batches, taken in turn, are those of
    one stream with as many processes as all of them have.
    """

    def __init__(
        self,
        source: RowSource[Any],
        recipe: BatchRecipe,
        *,
        pad_id: int,
        states: Sequence[dict[str, Any]],
        turn: int = 0,
        ahead: int = 12,
        row: type[Row] = LabelledSequence,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.states = list(states)
        self.turn = turn
        self._queues: list[Any] = [context.Queue(maxsize=ahead) for _ in states]
        self._processes: list[BaseProcess] = [
            context.Process(
                target=_produce,
                args=(
                    output,
                    source,
                    recipe,
                    pad_id,
                    state,
                    number * num_ranks + rank,
                    len(states) * num_ranks,
                    row,
                ),
                daemon=True,
            )
            for number, (output, state) in enumerate(zip(self._queues, states, strict=True))
        ]

    def __enter__(self) -> BatchStream:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        for output in self._queues:
            output.close()

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Any:
        shard = self.turn % len(self._queues)
        batch = self._wait(shard)
        self.states[shard] = batch.state
        self.turn += 1
        return batch

    def place(self) -> dict[str, Any]:
        """The place in the data behind the last batch, for a checkpoint."""
        return {"turn": self.turn, "shards": list(self.states)}

    def _wait(self, shard: int) -> Any:
        waited_s = 0.0
        while True:
            try:
                made = self._queues[shard].get(timeout=5.0)
            except queue.Empty:
                waited_s += 5.0
                if not self._processes[shard].is_alive() or waited_s > PROCESS_START_S:
                    raise RuntimeError(
                        "the data process ended without a word: try `python -m training data show`"
                    ) from None
                continue
            if isinstance(made, ConfigError):
                raise made
            if isinstance(made, str):
                raise RuntimeError(f"the data process failed: {made}")
            return made


def _produce(
    output: Any,
    source: RowSource[Any],
    recipe: BatchRecipe,
    pad_id: int,
    state: dict[str, Any],
    shard: int,
    num_shards: int,
    row: type[Row],
) -> None:
    # Signals that stop a run reach its whole group of processes, but its last step may need a batch still.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, signal.SIG_IGN)
    made = batches(
        source,
        recipe,
        pad_id=pad_id,
        state=DataState.from_json(state, row),
        shard=shard,
        num_shards=num_shards,
    )
    try:
        for batch in made:
            if not _has_put(output, batch):
                return
        output.put("the data source ended, but it must be endless")
    except ConfigError as error:  # the user's to mend, in these words
        output.put(error)
    except Exception as error:  # whatever broke is told to the training process, which cannot see this one
        output.put(f"{type(error).__name__}: {error}")


def _has_put(output: Any, batch: Any) -> bool:
    """Wait for a place in the queue, but not for a training process that was killed."""
    parent = multiprocessing.parent_process()
    while True:
        try:
            output.put(batch, timeout=5.0)
        except queue.Full:
            if parent is not None and not parent.is_alive():
                output.cancel_join_thread()
                return False
        else:
            return True
