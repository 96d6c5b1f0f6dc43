"""The heads recipe: all heads of a frozen backbone, trained together."""

from __future__ import annotations

from pathlib import Path

import torch

from ..heads.backbone import FrozenBackbone
from ..heads.recipe import HeadsRecipe
from ..heads.source import HeadSource
from ..heads.trainer import HeadsTrainer, write_bundle
from ..ranks import ALONE, Ranks
from ..recipe import RECIPE_FILE, BatchRecipe, Preset, ScheduleRecipe
from ..run import Watcher
from ..source import ConversationSource


def heads_preset(preset: Preset) -> HeadsRecipe:
    """The recipe of a preset."""
    match preset:
        case "smoke":
            base = HeadsRecipe(name="heads-smoke")
            return base.model_copy(
                update={
                    "data": base.data.model_copy(update={"sibling_tokens": 384}),
                    "batch": BatchRecipe(tokens=1152, lengths=(192, 288, 384, 576)),
                    "schedule": ScheduleRecipe(total_steps=12, warmup_steps=2),
                    "validate_every": 12,
                    "validation_batches": 1,
                }
            )
        case "cpu":
            # Falling from the first step on: at a constant rate hardly anything is learnt.
            return HeadsRecipe(
                schedule=ScheduleRecipe(total_steps=2000, warmup_steps=50, decay_share=1.0),
                validate_every=200,
                validation_batches=8,
                fill_calls=80,
            )
        case "gpu":
            base = HeadsRecipe(name="heads-gpu", device="cuda")
            return base.model_copy(
                update={
                    "data": base.data.model_copy(update={"processes": 8}),
                    "batch": BatchRecipe(tokens=73_728),
                    "schedule": ScheduleRecipe(total_steps=6000, warmup_steps=200, decay_share=1.0),
                }
            )


def export_heads(run: Path, output: Path, *, name: str = "latest") -> Path:
    """Write the bundle of a run's checkpoint (`latest` or `best`).

    Raises:
        ConfigError: the run has no checkpoint, or its backbone is gone.
    """
    recipe = HeadsRecipe.model_validate_json((run / RECIPE_FILE).read_text(encoding="utf-8"))
    recipe = recipe.model_copy(update={"output": str(run.parent), "name": run.name})
    return write_bundle(FrozenBackbone.load(recipe), recipe, output, name=name)


def train_heads(recipe: HeadsRecipe, *, watchers: tuple[Watcher, ...] = (), ranks: Ranks = ALONE) -> Path:
    """Train (or go on training) heads; returns the folder of the run, whose `bundle` can be deployed.

    Raises:
        ConfigError: the backbone cannot be loaded, or the recipe does not suit it.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    backbone = FrozenBackbone.load(recipe)
    trainer = HeadsTrainer(
        backbone,
        recipe,
        source=HeadSource(backbone.folder, ConversationSource(backbone.folder, recipe.data)),
        validation=HeadSource(
            backbone.folder, ConversationSource(backbone.folder, recipe.data, is_held_out=True)
        ),
        watchers=watchers,
        ranks=ranks,
    )
    trainer.run()
    return recipe.folder
