"""A training run, whatever is trained: batches, steps, measurements, checkpoints, and stopping in good order.

What a step and a measurement are is said by a subclass: trainer.py for backbones, heads/trainer.py for heads.
It decides nothing about data (batches.py), rates (optimizer.py) or how things look (display.py).
"""

from __future__ import annotations

import json
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TextIO

import torch
from torch import nn

from agent_runtime.errors import ConfigError

from .batches import BatchStream, DataState, LabelledSequence, Row, RowSource
from .checkpoint import Checkpoint, find_checkpoint, load_checkpoint, random_state, save_checkpoint
from .optimizer import Optimizer, rate_share
from .ranks import ALONE, Ranks
from .recipe import METRICS_FILE, RECIPE_FILE, RunRecipe


class Watcher(Protocol):
    """Told of every logged step; a display or a tracker."""

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        """A log line: of training, or of a measurement on held-out conversations."""

    def on_message(self, text: str) -> None:
        """Something happened that is no number."""


@dataclass(slots=True)
class Counters:
    """What a run has done so far."""

    step: int = 0
    num_real_tokens: int = 0
    num_padded_tokens: int = 0
    seconds: float = 0.0
    best_loss: float = float("inf")

    def as_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Window:
    """What happened since the last log line, as far as every run knows it."""

    num_real: int = 0
    num_padded: int = 0
    norms: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside does not count as training time."""
        paused_at = time.perf_counter()
        yield
        self.began += time.perf_counter() - paused_at


class TrainingRun(ABC):
    """Trains a module as its recipe says, going on from its folder's latest checkpoint where there is one."""

    row: type[Row] = LabelledSequence
    """What its batches are made of."""

    def __init__(
        self,
        module: nn.Module,
        recipe: RunRecipe,
        *,
        source: RowSource[Any],
        num_processes: int,
        pad_id: int,
        watchers: tuple[Watcher, ...] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        self.module = module
        self.folder = recipe.folder
        self.counters = Counters()
        self._run_recipe = recipe
        self._source = source
        self._pad_id = pad_id
        self._ranks = ranks
        self._watchers = watchers if self._ranks.is_first else ()
        self._place: dict[str, Any] = {
            "turn": 0,
            "shards": [DataState[Any]().as_json() for _ in range(num_processes)],
        }
        self._is_stopping = False
        self._optimizer = Optimizer(module, recipe.optimizer)

    @abstractmethod
    def _gradients(self, read: list[Any]) -> None:
        """Compute the gradients of one optimizer step and remember what is to be logged of it.

        Where several processes train together, theirs add up to those of the step.
        """

    @abstractmethod
    def _training_metrics(self) -> dict[str, Any]:
        """What the steps since the last call showed, in all processes."""

    @abstractmethod
    def _held_out_metrics(self) -> tuple[dict[str, Any], float]:
        """A measurement on held-out data, and how bad it is: the lowest is kept as the best checkpoint."""

    def run(self) -> Path:
        """Train to the recipe's last step and return the last checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._ranks.is_first:
            described = self._run_recipe.model_dump_json(indent=2)
            (self.folder / RECIPE_FILE).write_text(described + "\n", encoding="utf-8")
        self._resume()
        if len(set(self._ranks.gathered(self.counters.step))) > 1:
            raise ConfigError(f"{self.folder} is not one folder for all processes: put it on a shared disk")
        with (
            self._stop_on_signals(),
            (self.folder / METRICS_FILE).open("a", encoding="utf-8") as metrics,
            BatchStream(
                self._source,
                self._run_recipe.batch,
                pad_id=self._pad_id,
                states=self._place["shards"],
                turn=self._place["turn"],
                row=self.row,
                rank=self._ranks.number,
                num_ranks=self._ranks.count,
            ) as stream,
        ):
            return self._train(stream, metrics)

    @contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        """Finish the step, save and return on SIGTERM and Ctrl-C; a second signal ends the process."""

        def stop(number: int, _: FrameType | None) -> None:
            self._is_stopping = True
            signal.signal(number, before[number])

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}
        for stopping in (signal.SIGTERM, signal.SIGINT):
            before[stopping] = signal.signal(stopping, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _train(self, stream: BatchStream, metrics: TextIO) -> Path:
        recipe, counters = self._run_recipe, self.counters
        total = recipe.schedule.total_steps
        window = Window()
        saved_at = time.perf_counter()
        is_best = False
        while counters.step < total:
            share = rate_share(counters.step, recipe.schedule)
            read = [next(stream) for _ in range(recipe.batch.accumulate)]
            self._gradients(read)
            window.num_real += sum(batch.num_real for batch in read)
            window.num_padded += sum(batch.tokens.size for batch in read)
            self._ranks.add_gradients(self.module.parameters())
            window.norms.append(self._optimizer.step(share))
            counters.step += 1
            is_due = time.perf_counter() - saved_at > recipe.checkpoint_minutes * 60
            is_due = is_due or bool(recipe.checkpoint_every and counters.step % recipe.checkpoint_every == 0)
            # A signal may reach only some, and clocks differ: what one does, all do.
            is_stopping, is_due = map(bool, self._ranks.totals(self._is_stopping, is_due))
            is_due = is_due or counters.step == total or is_stopping
            if counters.step % 10 == 0 or is_due:  # a checkpoint counts what was read up to it
                self._log(self._log_line(window, share), metrics)
                window = Window()
            is_measured = counters.step % recipe.validate_every == 0 or counters.step == total
            if is_measured and self._ranks.is_first:
                with window.paused():
                    is_best = self._validate(metrics) or is_best
            if is_due:
                with window.paused():
                    self._save_for_all(stream, is_best=is_best)
                is_best, saved_at = False, time.perf_counter()
            if is_stopping:
                self._tell("stopped: start the same command again to go on")
                break
        target = find_checkpoint(self.folder)
        if target is None:
            raise RuntimeError(f"the run in {self.folder} ended without a checkpoint")
        return target

    @torch.no_grad()
    def _validate(self, metrics: TextIO) -> bool:
        """Measure on held-out batches; True when better than ever before."""
        line, badness = self._held_out_metrics()
        self._log({"step": self.counters.step, **line}, metrics)
        is_better = badness < self.counters.best_loss
        self.counters.best_loss = min(badness, self.counters.best_loss)
        return is_better

    def _log_line(self, window: Window, share: float) -> dict[str, Any]:
        counters = self.counters
        seconds = time.perf_counter() - window.began
        num_real, num_padded = map(int, self._ranks.totals(window.num_real, window.num_padded))
        counters.seconds += seconds
        counters.num_real_tokens += num_real
        counters.num_padded_tokens += num_padded
        return {
            "step": counters.step,
            **self._training_metrics(),
            "learning_rate_share": round(share, 5),
            "gradient_norm": round(sum(window.norms) / max(len(window.norms), 1), 4),
            "tokens_per_second": round(num_real / seconds, 1),
            "padding_share": round(1 - num_real / max(num_padded, 1), 4),
            "num_real_tokens": counters.num_real_tokens,
            "seconds": round(counters.seconds, 1),
            "time": round(time.time(), 1),
        }

    def _log(self, line: dict[str, Any], metrics: TextIO) -> None:
        if not self._ranks.is_first:
            return
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        for watcher in self._watchers:
            watcher.on_metrics(line)

    def _save_for_all(self, stream: BatchStream, *, is_best: bool) -> None:
        """One checkpoint, with every process's place in the data; none goes on before it is there."""
        place = stream.place()
        shards = zip(*self._ranks.gathered(place["shards"]), strict=True)
        place |= {"shards": list(chain.from_iterable(shards)), "ranks": self._ranks.count}
        if self._ranks.is_first:
            self._save(place, is_best=is_best)
        self._ranks.wait()

    def _save(self, data: dict[str, Any], *, is_best: bool) -> None:
        weights = {name: p.detach().cpu().contiguous().clone() for name, p in self.module.named_parameters()}
        target = save_checkpoint(
            self.folder,
            Checkpoint(
                step=self.counters.step,
                weights=weights,
                optimizer=self._optimizer.state_dict(),
                data=data,
                counters=self.counters.as_json(),
                random_state=random_state(),
            ),
            keep=self._run_recipe.keep_checkpoints,
            is_best=is_best,
        )
        self._tell(f"saved {target}")

    def _resume(self) -> None:
        target = find_checkpoint(self.folder)
        if target is None:
            return
        checkpoint = load_checkpoint(target)
        load_weights(self.module, checkpoint)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self._place = self._own_place(checkpoint.data, target)
        self.counters = Counters(**checkpoint.counters)
        torch.set_rng_state(checkpoint.random_state)
        self._tell(f"going on from {target}")

    def _own_place(self, data: Mapping[str, Any], target: Path) -> dict[str, Any]:
        """What a checkpoint says of the place of this process in the data."""
        num_ranks = data.get("ranks", 1)
        if num_ranks != self._ranks.count:
            raise ConfigError(
                f"{target} was trained on {num_ranks} device(s), which sets the order of its data, and this "
                f"run has {self._ranks.count}: start it with --num_processes {num_ranks}"
            )
        shards = data["shards"][self._ranks.number :: num_ranks]
        if len(shards) != len(self._place["shards"]):
            raise ConfigError(
                f"{target} was trained with data.processes={len(shards)}, which sets the order of its data; "
                f"the recipe says {len(self._place['shards'])}"
            )
        return {"turn": data["turn"], "shards": shards}

    def _tell(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.on_message(text)


def load_weights(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into `module`; every parameter must be there."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(checkpoint.weights[name])
