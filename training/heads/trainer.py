"""The training run of heads: one frozen forward a batch, all losses, and what is logged and measured."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from agent_runtime.errors import ConfigError
from heads import HeadBundle

from ..batches import DataState, RowSource, batches
from ..checkpoint import find_checkpoint, load_checkpoint
from ..ranks import ALONE, Ranks
from ..run import TrainingRun, Watcher, load_weights
from .backbone import FrozenBackbone
from .copies import CopySpeller
from .fills import HeldOutFills
from .frozen import reader_for
from .inputs import HeadTensors, TokenTables
from .metrics import Tally, measure, warnings_of
from .objective import HeadObjective, TrainingNoise
from .recipe import HeadsRecipe
from .rows import HeadBatch, HeadRow

BUNDLE_FOLDER = "bundle"

_FIRST_PRESENCE_WEIGHT = 0.1

_JUDGED_BY = ("slot_exact", "token_accuracy", "span_top1", "presence_accuracy")
"""Shares whose mean decides which checkpoint is the best where no calls are filled to know."""


def write_bundle(backbone: FrozenBackbone, recipe: HeadsRecipe, output: Path, *, name: str = "best") -> Path:
    """Write a checkpoint's heads as a bundle folder.

    Args:
        backbone: what they were trained on.
        recipe: of their run.
        output: folder to write.
        name: `best` or `latest`.

    Raises:
        ConfigError: the run has no checkpoint yet.
    """
    target = find_checkpoint(recipe.folder, name) or find_checkpoint(recipe.folder)
    if target is None:
        raise ConfigError(f"{recipe.folder} has no checkpoint yet: train on until the first one is written")
    checkpoint = load_checkpoint(target)
    bundle = HeadBundle(backbone.head_config(recipe))
    load_weights(bundle, checkpoint)
    return bundle.save_pretrained(
        output,
        dtype=getattr(torch, recipe.dtype),
        base_model="" if recipe.model is None else Path(recipe.model).name,
        notes=f"Trained for {checkpoint.step:,} steps on composed and public conversations.",
    )


class HeadsTrainer(TrainingRun):
    """Trains all heads of a bundle on a frozen backbone."""

    row = HeadRow

    def __init__(
        self,
        backbone: FrozenBackbone,
        recipe: HeadsRecipe,
        *,
        source: RowSource[HeadRow],
        validation: RowSource[HeadRow],
        watchers: tuple[Watcher, ...] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        config = backbone.head_config(recipe)
        self.bundle = HeadBundle.untrained(config, backbone.ends, seed=recipe.seed).to(recipe.device)
        assert self.bundle.probes is not None
        with torch.no_grad():
            # Log-odds of whole keys are far from 0: unlearning them takes a thousand steps.
            self.bundle.probes.presence_weight.fill_(_FIRST_PRESENCE_WEIGHT)
        self._backbone = backbone
        self._recipe = recipe
        dtype = getattr(torch, recipe.dtype)
        self._reader = reader_for(backbone.model, config.taps, dtype=dtype, is_compiled=recipe.compile)
        tables = TokenTables.of(backbone.vocabulary, backbone.facts.vocab_size, recipe.device)
        self._fills = HeldOutFills(backbone.folder, recipe.fill_calls) if recipe.fill_calls else None
        self._objective = HeadObjective(
            self.bundle,
            backbone.ends,
            tables,
            CopySpeller(backbone.vocabulary, backbone.encode),
            weights=recipe.losses,
            noise=TrainingNoise(**dict(recipe.noise), target=recipe.target),
            dtype=dtype,
        )
        super().__init__(
            self.bundle,
            recipe,
            source=source,
            num_processes=recipe.data.processes,
            pad_id=backbone.pad_id,
            watchers=watchers,
            ranks=ranks,
        )
        self._logged_at = time.perf_counter()
        self._sums: defaultdict[str, list[float]] = defaultdict(list)
        self._validation: list[HeadBatch] = list(
            islice(
                batches(validation, recipe.batch, pad_id=backbone.pad_id, state=DataState()),
                recipe.validation_batches,
            )
        )

    def run(self) -> Path:
        """Train, and write the bundle of the best checkpoint; returns the last one."""
        target = super().run()
        if self._ranks.is_first:
            self.write_bundle()
        return target

    def _save(self, data: dict[str, Any], *, is_best: bool) -> None:
        super()._save(data, is_best=is_best)
        if is_best:  # so that a bundle can be tried while training goes on
            self.write_bundle()

    def write_bundle(self) -> Path:
        """Write the best checkpoint's heads as a bundle folder."""
        return write_bundle(self._backbone, self._recipe, self.folder / BUNDLE_FOLDER)

    def _gradients(self, read: list[HeadBatch]) -> None:
        recipe, step, ranks = self._recipe, self.counters.step, self._ranks
        # A batch counts by its slots, as if those of all batches and processes were read together.
        num_slots = [int(batch.is_given.sum()) for batch in read]
        (total,) = ranks.totals(sum(num_slots))
        self.bundle.train()
        for number, batch in enumerate(read):
            # Drawn anew from the step's number, so that a resumed run draws the same.
            seed = (recipe.seed * 1_000_003 + step) * 64 + number * ranks.count + ranks.number
            torch.manual_seed(seed)
            tensors, states = self._read(batch)
            losses = self._objective.losses(
                tensors,
                states,
                progress=step / recipe.schedule.total_steps,
                generator=torch.Generator().manual_seed(seed),
            )
            share = num_slots[number] / max(total, 1)
            (losses.total * share).backward()  # type: ignore[no-untyped-call]
            self._note("loss", float(losses.total.detach()))
            for name, part in losses.parts.items():
                self._note(name, float(part))
            for name, count in losses.counts.items():
                self._note(name, count)
            self._sums["num_slots"].append(num_slots[number])

    def _note(self, name: str, value: float) -> None:
        self._sums[name].append(value)

    def _read(self, batch: HeadBatch) -> tuple[HeadTensors, torch.Tensor]:
        tensors = HeadTensors.of(batch, self.bundle.config, self._recipe.device)
        return tensors, self._reader(tensors.tokens, tensors.positions, tensors.may_read())

    def _training_metrics(self) -> dict[str, Any]:
        sums: defaultdict[str, list[float]] = defaultdict(list)
        for noted in self._ranks.gathered(dict(self._sums)):
            for name, values in noted.items():
                sums[name] += values
        self._sums = defaultdict(list)
        num_slots = sum(sums.pop("num_slots"))
        seconds = time.perf_counter() - self._logged_at
        self._logged_at = time.perf_counter()
        means = {name: round(sum(values) / len(values), 5) for name, values in sums.items()}
        self._warn(means)
        return {**means, "slots_per_second": round(num_slots / seconds, 1)}

    def _held_out_metrics(self) -> tuple[dict[str, Any], float]:
        tally = Tally()
        served = self._objective.as_served()
        for batch in self._validation:
            tensors, states = self._read(batch)
            measure(served, tensors, states, tally)
        shares = {name: round(value, 5) for name, value in tally.shares().items()}
        self._warn(shares)
        judged = [shares[name] for name in _JUDGED_BY if name in shares]
        worth = sum(judged) / max(len(judged), 1)
        if self._fills is not None:
            dtype = getattr(torch, self._recipe.dtype)
            shares["fill_exact"] = round(self._fills.share_right(self.bundle, dtype), 5)
            worth = shares["fill_exact"] + worth / 100  # which decides between equals
        return shares, -worth

    def _warn(self, metrics: dict[str, float]) -> None:
        if self.counters.step > self._recipe.schedule.warmup_steps:
            for text in warnings_of(metrics):
                self._tell(f"step {self.counters.step}: {text}")
