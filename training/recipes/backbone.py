"""The backbone recipe: what it reads, in which order, and the sizes of the presets."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from transformers import SmolLM3ForCausalLM

from agent_runtime.errors import ConfigError

from ..checkpoint import find_checkpoint, load_checkpoint
from ..ranks import ALONE, Ranks
from ..recipe import (
    ArchitectureRecipe,
    BackboneRecipe,
    BatchRecipe,
    DataRecipe,
    Preset,
    RunRecipe,
    ScheduleRecipe,
)
from ..run import Watcher
from ..source import ConversationSource
from ..tokenizer import load_tokenizer
from ..trainer import Trainer, new_backbone


def backbone_preset(preset: Preset) -> BackboneRecipe:
    """The recipe of a preset."""
    match preset:
        case "smoke":
            return BackboneRecipe(
                name="smoke",
                architecture=ArchitectureRecipe(
                    hidden_size=64, num_layers=4, num_heads=4, intermediate_size=128
                ),
                data=DataRecipe(short_first=1000),
                batch=BatchRecipe(tokens=2304, lengths=(96, 144, 192, 256, 384, 576, 768)),
                schedule=ScheduleRecipe(total_steps=60, warmup_steps=10),
                validate_every=30,
            )
        case "cpu":
            return BackboneRecipe(
                name="cpu", schedule=ScheduleRecipe(total_steps=50_000), compile=True, threads=0
            )
        case "gpu":
            return BackboneRecipe(
                name="gpu",
                architecture=ArchitectureRecipe(
                    hidden_size=384, num_layers=10, num_heads=6, intermediate_size=1024
                ),
                data=DataRecipe(processes=12),
                batch=BatchRecipe(tokens=73_728),
                schedule=ScheduleRecipe(total_steps=14_000, warmup_steps=200),
                device="cuda",
                compile=True,
            )


RunT = TypeVar("RunT", bound=RunRecipe)


def decayed_from(recipe: RunT, steps: int) -> RunT:
    """The recipe of a run that ends `steps` steps behind its latest checkpoint, its rate falling from there.

    Raises:
        ConfigError: the run has no checkpoint yet.
    """
    target = find_checkpoint(recipe.folder)
    if target is None:
        raise ConfigError(f"{recipe.folder} has no checkpoint to decay from: train it first")
    total = load_checkpoint(target).step + steps
    schedule = recipe.schedule.model_copy(update={"total_steps": total, "decay_share": steps / total})
    return recipe.model_copy(update={"schedule": schedule})


def train_backbone(
    recipe: BackboneRecipe, *, watchers: tuple[Watcher, ...] = (), ranks: Ranks = ALONE
) -> Path:
    """Train (or go on training) a backbone; returns its last checkpoint."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    folder = Path(recipe.tokenizer)
    tokenizer = load_tokenizer(folder)
    model = new_backbone(recipe, tokenizer)
    if recipe.begin_with is not None:
        begin_with(model, Path(recipe.begin_with))
    trainer = Trainer(
        model,
        recipe,
        source=ConversationSource(folder, recipe.data),
        validation=ConversationSource(folder, recipe.data, is_held_out=True),
        pad_id=tokenizer.pad_token_id,
        watchers=watchers,
        ranks=ranks,
    )
    return trainer.run()


def begin_with(model: SmolLM3ForCausalLM, folder: Path) -> None:
    """Put the weights of a model folder into a new model.

    Raises:
        ConfigError: there is no such folder, or its weights have other shapes.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"begin_with: {folder} is no model folder: give one that `export` or save_pretrained wrote"
        )
    given = dict(SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32).named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            found = given.get(name)
            if found is None or found.shape != parameter.shape:
                shape = "missing" if found is None else f"of shape {tuple(found.shape)}"
                raise ConfigError(
                    f"begin_with: {name} of {folder} is {shape}, the recipe needs {tuple(parameter.shape)}: "
                    "set architecture and tokenizer to those the folder was trained with"
                )
            parameter.copy_(found)
