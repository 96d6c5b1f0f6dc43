"""The whole chain behind `make embedded`: tokenizer, backbone, model folder, evaluation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..display import TrainingDisplay
from ..evaluate import evaluate, read_cases
from ..export import export_model
from ..recipe import Preset
from ..report import evaluation_tables, require_plots, write_evaluation_report, write_training_report
from .backbone import backbone_preset, train_backbone
from .tokenizer import tokenizer_preset, train_tokenizer_recipe

_NUM_CASES: dict[Preset, int] = {"smoke": 20, "cpu": 300, "gpu": 1000}


def train_embedded(preset: Preset, *, output: Path, public: str | None = None) -> str:
    """Train and measure a model folder; returns the tables of its evaluation.

    The folder is `output/{preset}-model`; reports stand in it and in the run's folder. To ship it, copy it to
    `agent_runtime/embedded/model`.

    Raises:
        ConfigError: a package of the extra `train` is not installed.
    """
    require_plots()
    tokenizer = tokenizer_preset(preset).model_copy(
        update={"output": str(output / f"{preset}-tokenizer"), "public": public}
    )
    folder = train_tokenizer_recipe(tokenizer)
    recipe = backbone_preset(preset)
    recipe = recipe.model_copy(
        update={
            "tokenizer": str(folder),
            "output": str(output),
            "data": recipe.data.model_copy(update={"public": public}),
        }
    )
    with TrainingDisplay(recipe) as display:
        train_backbone(recipe, watchers=(display,))
    write_training_report(recipe.folder)
    model = output / f"{preset}-model"
    export_model(recipe.folder, model)
    outcomes = asyncio.run(evaluate(model, list(read_cases("synthetic", limit=_NUM_CASES[preset]))))
    tables = evaluation_tables(outcomes)
    export_model(recipe.folder, model, evaluation=tables)
    write_evaluation_report(recipe.folder / "evaluation", outcomes, model=str(model), sources=["synthetic"])
    return tables
