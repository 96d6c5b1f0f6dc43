"""The training loop of a backbone: read a batch, step, measure, keep checkpoints.

It decides nothing about data (batches.py), rates (optimizer.py) or how things look (display.py).
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TextIO

import numpy as np
import torch
from transformers import SmolLM3Config, SmolLM3ForCausalLM

from agent_runtime.errors import ConfigError

from .batches import Batch, BatchStream, DataState, SequenceSource, batches
from .checkpoint import Checkpoint, find_checkpoint, load_checkpoint, random_state, save_checkpoint
from .forward import LossSums, TrainingForward
from .optimizer import BackboneOptimizer, rate_share
from .recipe import METRICS_FILE, RECIPE_FILE, ArchitectureRecipe, BackboneRecipe

FEWER_AFTER_OUT_OF_MEMORY = 0.8
"""Share of the tokens at once to go on with when memory has run out."""


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
class _Window:
    """Sums since the last log line."""

    loss: float = 0.0
    num_right: int = 0
    num_full: int = 0
    pointer_loss: float = 0.0
    num_pointers: int = 0
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

    def add(self, sums: LossSums, batch: Batch) -> None:
        self.loss += float(sums.full_loss)
        self.num_right += int(sums.num_right)
        self.num_full += int(sums.num_full)
        self.pointer_loss += float(sums.pointer_loss.detach())
        self.num_pointers += int(sums.num_pointers)
        self.num_real += batch.num_real
        self.num_padded += batch.tokens.size


def new_model(
    architecture: ArchitectureRecipe, *, vocab_size: int, bos_id: int, eos_id: int, pad_id: int, seed: int
) -> SmolLM3ForCausalLM:
    """A freshly initialised backbone in float32."""
    config = SmolLM3Config(
        vocab_size=vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        num_key_value_heads=architecture.num_kv_heads,
        max_position_embeddings=architecture.max_positions,
        initializer_range=architecture.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=bos_id,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmolLM3ForCausalLM(config).float()
        _scale_first_weights(model, architecture)
        return model


@torch.no_grad()
def _scale_first_weights(model: SmolLM3ForCausalLM, architecture: ArchitectureRecipe) -> None:
    """Embeddings of length one, and layers that begin by adding little.

    A token's identity then survives to the last layer, and tied logits can be sharp: copying needs both.
    """
    model.model.embed_tokens.weight.normal_(std=architecture.hidden_size**-0.5)
    for layer in model.model.layers:
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            weight.mul_((2 * architecture.num_layers) ** -0.5)


class Trainer:
    """Trains `model` as `recipe` says, going on from its folder's latest checkpoint where there is one."""

    def __init__(
        self,
        model: SmolLM3ForCausalLM,
        recipe: BackboneRecipe,
        *,
        source: SequenceSource,
        validation: SequenceSource,
        pad_id: int,
        watchers: tuple[Watcher, ...] = (),
    ) -> None:
        self.model = model.to(recipe.device)
        self.recipe = recipe
        self.folder = recipe.folder
        self.counters = Counters()
        self._source = source
        self._pad_id = pad_id
        self._watchers = watchers
        self._place: dict[str, Any] = {
            "turn": 0,
            "shards": [DataState().as_json() for _ in range(recipe.data.processes)],
        }
        self._is_stopping = False
        self._tokens_at_once = recipe.batch.tokens
        self._forward = TrainingForward(model, dtype=getattr(torch, recipe.dtype), is_compiled=recipe.compile)
        self._optimizer = BackboneOptimizer(model, recipe.optimizer)
        self._validation = _first_batches(validation, recipe, pad_id)

    def run(self) -> Path:
        """Train to the recipe's last step and return the last checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / RECIPE_FILE).write_text(self.recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self._resume()
        with (
            self._stop_on_signals(),
            (self.folder / METRICS_FILE).open("a", encoding="utf-8") as metrics,
            BatchStream(
                self._source,
                self.recipe.batch,
                pad_id=self._pad_id,
                states=self._place["shards"],
                turn=self._place["turn"],
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
        recipe, counters = self.recipe, self.counters
        total = recipe.schedule.total_steps
        window = _Window()
        saved_at = time.perf_counter()
        is_best = False
        while counters.step < total:
            share = rate_share(counters.step, recipe.schedule)
            read = [next(stream) for _ in range(recipe.batch.accumulate)]
            for sums, batch in zip(self._gradients(read), read, strict=True):
                window.add(sums, batch)
            window.norms.append(self._optimizer.step(share))
            counters.step += 1
            is_due = time.perf_counter() - saved_at > recipe.checkpoint_minutes * 60
            is_due = is_due or bool(recipe.checkpoint_every and counters.step % recipe.checkpoint_every == 0)
            is_stopping = self._is_stopping
            is_due = is_due or counters.step == total or is_stopping
            if counters.step % 10 == 0 or is_due:  # a checkpoint counts what was read up to it
                self._log(self._training_metrics(window, share), metrics)
                window = _Window()
            if counters.step % recipe.validate_every == 0 or counters.step == total:
                with window.paused():
                    is_best = self._validate(metrics) or is_best
            if is_due:
                with window.paused():
                    self._save(stream.place(), is_best=is_best)
                is_best, saved_at = False, time.perf_counter()
            if is_stopping:
                self._tell("stopped: start the same command again to go on")
                break
        target = find_checkpoint(self.folder)
        if target is None:
            raise RuntimeError(f"the run in {self.folder} ended without a checkpoint")
        return target

    def _gradients(self, read: list[Batch]) -> list[LossSums]:
        """Gradients of a step; where memory runs out, the same gradients again from fewer rows at a time."""
        while True:
            try:
                return [self._backward(batch) for batch in read]
            except torch.OutOfMemoryError:
                fewer = int(self._tokens_at_once * FEWER_AFTER_OUT_OF_MEMORY)
                if fewer < max(batch.tokens.shape[1] for batch in read):
                    raise
                self._tell(
                    f"out of memory: going on with {fewer} tokens at once instead of {self._tokens_at_once}"
                )
                self._tokens_at_once = fewer
                self.model.zero_grad(set_to_none=True)
                if self.recipe.device == "cuda":
                    torch.cuda.empty_cache()

    def _backward(self, batch: Batch) -> LossSums:
        rows, length = batch.tokens.shape
        at_once = max(1, self._tokens_at_once // length)
        scale = max(float(batch.weights[:, 1:].sum()), 1.0) * self.recipe.batch.accumulate
        parts = []
        for start in range(0, rows, at_once):
            sums = self._loss(batch, slice(start, start + at_once))
            loss = sums.loss + self.recipe.data.pointer_weight * sums.pointer_loss
            (loss / scale).backward()  # type: ignore[no-untyped-call]
            parts.append(sums)
        return parts[0] if len(parts) == 1 else LossSums.total(parts)

    def _loss(self, batch: Batch, rows: slice) -> LossSums:
        device = self.recipe.device
        branches = None if batch.branches is None else torch.from_numpy(batch.branches[rows]).to(device)
        first, last, _ = rows.indices(len(batch.tokens))
        pointers = batch.pointers[(batch.pointers[:, 0] >= first) & (batch.pointers[:, 0] < last)]
        pointers = pointers - np.array([first, 0, 0, 0])
        return self._forward.loss(
            torch.from_numpy(batch.tokens[rows]).to(device),
            torch.from_numpy(batch.weights[rows]).to(device),
            branches,
            torch.from_numpy(pointers).to(device) if len(pointers) else None,
        )

    @torch.no_grad()
    def _validate(self, metrics: TextIO) -> bool:
        """Measure on held-out batches; True when better than ever before."""
        window = _Window()
        for batch in self._validation:
            window.add(self._loss(batch, slice(None)), batch)
        loss = window.loss / max(window.num_full, 1)
        self._log(
            {
                "step": self.counters.step,
                "validation_loss": round(loss, 5),
                "validation_accuracy": round(window.num_right / max(window.num_full, 1), 5),
            },
            metrics,
        )
        is_better = loss < self.counters.best_loss
        self.counters.best_loss = min(loss, self.counters.best_loss)
        return is_better

    def _training_metrics(self, window: _Window, share: float) -> dict[str, Any]:
        counters = self.counters
        seconds = time.perf_counter() - window.began
        counters.seconds += seconds
        counters.num_real_tokens += window.num_real
        counters.num_padded_tokens += window.num_padded
        return {
            "step": counters.step,
            "loss": round(window.loss / max(window.num_full, 1), 5),
            "accuracy": round(window.num_right / max(window.num_full, 1), 5),
            "pointer_loss": round(window.pointer_loss / max(window.num_pointers, 1), 4),
            "learning_rate_share": round(share, 5),
            "gradient_norm": round(sum(window.norms) / max(len(window.norms), 1), 4),
            "tokens_per_second": round(window.num_real / seconds, 1),
            "padding_share": round(1 - window.num_real / max(window.num_padded, 1), 4),
            "num_real_tokens": counters.num_real_tokens,
            "seconds": round(counters.seconds, 1),
            "time": round(time.time(), 1),
        }

    def _log(self, line: dict[str, Any], metrics: TextIO) -> None:
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        for watcher in self._watchers:
            watcher.on_metrics(line)

    def _save(self, data: dict[str, Any], *, is_best: bool) -> None:
        weights = {name: p.detach().cpu().contiguous().clone() for name, p in self.model.named_parameters()}
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
            keep=self.recipe.keep_checkpoints,
            is_best=is_best,
        )
        self._tell(f"saved {target}")

    def _resume(self) -> None:
        target = find_checkpoint(self.folder)
        if target is None:
            return
        checkpoint = load_checkpoint(target)
        load_weights(self.model, checkpoint)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self._place = dict(checkpoint.data)
        num_shards = len(self._place["shards"])
        if num_shards != self.recipe.data.processes:
            raise ConfigError(
                f"{target} was trained with data.processes={num_shards}, which sets the order of its data; "
                f"the recipe says {self.recipe.data.processes}"
            )
        self.counters = Counters(**checkpoint.counters)
        torch.set_rng_state(checkpoint.random_state)
        self._tell(f"going on from {target}")

    def _tell(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.on_message(text)


def load_weights(model: SmolLM3ForCausalLM, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into `model`; every parameter must be there."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.weights[name])


def _first_batches(source: SequenceSource, recipe: BackboneRecipe, pad_id: int) -> tuple[Batch, ...]:
    stream = batches(source, recipe.batch, pad_id=pad_id, state=DataState())
    return tuple(batch for batch, _ in zip(stream, range(recipe.validation_batches), strict=False))
