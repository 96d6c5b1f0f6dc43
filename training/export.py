"""A checkpoint as a model folder: what a deployment, and `transformers`, can load.

`config.json`, `model.safetensors` in bfloat16, the tokenizer, `prompt_format.json` and a model card.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import SmolLM3ForCausalLM

from agent_runtime.errors import ConfigError
from agent_runtime.prompt import PromptFormat, compact_chat_template

from .checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from .model_card import model_card
from .recipe import METRICS_FILE, RECIPE_FILE, BackboneRecipe
from .run import load_weights
from .tokenizer import load_tokenizer, save_tokenizer
from .trainer import new_backbone


def read_run(run: Path, name: str = "latest") -> tuple[BackboneRecipe, Checkpoint]:
    """Recipe and checkpoint (`latest` or `best`) of a run's folder.

    Raises:
        ConfigError: the folder holds no run, or no checkpoint yet.
    """
    recipe_file = run / RECIPE_FILE
    if not recipe_file.is_file():
        raise ConfigError(f"{run} holds no {RECIPE_FILE}: give the folder of a training run")
    target = find_checkpoint(run, name)
    if target is None:
        raise ConfigError(f"{run} has no {name!r} checkpoint yet: train on until the first one is written")
    return BackboneRecipe.model_validate_json(recipe_file.read_text(encoding="utf-8")), load_checkpoint(
        target
    )


def trained_model(recipe: BackboneRecipe, checkpoint: Checkpoint) -> SmolLM3ForCausalLM:
    """The backbone of a checkpoint, in float32."""
    model = new_backbone(recipe, load_tokenizer(Path(recipe.tokenizer)))
    load_weights(model, checkpoint)
    return model


def export_model(run: Path, output: Path, *, name: str = "latest", evaluation: str = "") -> Path:
    """Write the model folder of a run's checkpoint.

    Args:
        run: folder of the training run.
        output: folder to write; what it holds under the same names is replaced.
        name: `latest` or `best`.
        evaluation: Markdown table of figures for the model card.
    """
    recipe, checkpoint = read_run(run, name)
    output.mkdir(parents=True, exist_ok=True)
    model = trained_model(recipe, checkpoint).to(torch.bfloat16)
    model.save_pretrained(output)
    tokenizer = load_tokenizer(Path(recipe.tokenizer))
    tokenizer.chat_template = compact_chat_template()
    save_tokenizer(tokenizer, output)
    PromptFormat.compact().save(output)
    card = model_card(
        recipe,
        num_parameters=model.num_parameters(),
        counters=checkpoint.counters,
        last_metrics=_last_metrics(run / METRICS_FILE),
        evaluation=evaluation,
    )
    (output / "README.md").write_text(card, encoding="utf-8")
    return output


def _last_metrics(file: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            merged.update(json.loads(line))
    return merged
