"""The report of a run that trained heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent_runtime.errors import ConfigError

from ..recipe import METRICS_FILE, RECIPE_FILE
from ..report import require_plots
from .metrics import warnings_of
from .recipe import HeadsRecipe

_ROWS = (
    ("calls right, filled without reading drafts again", "fill_exact"),
    ("values right, drafted in one step", "slot_exact"),
    ("values right, by the backbone token by token", "backbone_slot_exact"),
    ("tokens right in one step", "token_accuracy"),
    ("first tokens right", "first_token_accuracy"),
    ("spans right, the first proposal", "span_top1"),
    ("spans right, one of three proposals", "span_top3"),
    ("values not in the text, known to be", "span_absent_recall"),
    ("spans that are sure, right", "span_precision"),
    ("presence of optional arguments right", "presence_accuracy"),
    ("optional arguments that are given, known to be", "presence_recall"),
    ("optional arguments that are not given, known to be", "absence_recall"),
    ("values that fit their budget", "length_coverage"),
)


def is_heads_run(run: Path) -> bool:
    """Whether a folder is that of a run that trained heads."""
    recipe = run / RECIPE_FILE
    return recipe.is_file() and "losses" in json.loads(recipe.read_text(encoding="utf-8"))


def write_heads_report(run: Path) -> Path:
    """`report.md` and `heads.png` in the folder of a run.

    Raises:
        ConfigError: the folder is not one of a run that has measured anything, or matplotlib is missing.
    """
    require_plots()
    from .. import plots

    if not (run / METRICS_FILE).is_file() or not (run / RECIPE_FILE).is_file():
        raise ConfigError(f"{run} holds no {METRICS_FILE} and {RECIPE_FILE}: give the folder of a run")
    recipe = HeadsRecipe.model_validate_json((run / RECIPE_FILE).read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    by_step = {line["step"]: line for line in lines if "slot_exact" in line}
    checks = [line for _, line in sorted(by_step.items())]
    steps = [line for line in lines if "loss" in line]
    if not checks or not steps:
        raise ConfigError(f"{run} has measured nothing yet: train on before asking for its report")
    shown = {"slot_exact": "value in one step", "span_top1": "span", "presence_accuracy": "presence"}
    plots.plot_shares(run / "heads.png", checks, shown)
    report = run / "report.md"
    report.write_text(_text(recipe, steps, checks), encoding="utf-8")
    return report


def _text(recipe: HeadsRecipe, steps: list[dict[str, Any]], checks: list[dict[str, Any]]) -> str:
    first, last = checks[0], checks[-1]
    table = "\n".join(
        f"| {label} | {_share(first, key)} | {_share(last, key)} |" for label, key in _ROWS if key in last
    )
    kinds = "\n".join(
        f"| {key.removeprefix('slot_exact_')} | {_share(last, key)} |"
        for key in last
        if key.startswith("slot_exact_")
    )
    seconds = max(steps[-1]["seconds"], 1e-9)
    worries = "".join(f"\n- {text}" for text in warnings_of(last))
    settings = json.dumps(recipe.model_dump(), indent=2)
    return (
        f"# Heads {recipe.name}\n\n"
        f"{steps[-1]['step']:,} steps, {seconds / 60:.1f} minutes, "
        f"{steps[-1]['num_real_tokens'] / seconds:,.0f} tokens a second. On held-out conversations, whose "
        "actions training never draws:\n\n"
        f"| | step {first['step']} | step {last['step']} |\n|---|---|---|\n{table}\n\n"
        f"| kind of value | right in one step |\n|---|---|\n{kinds}\n\n"
        "![shares right over steps](heads.png)\n"
        f"{worries}\n\n## Recipe\n\n```json\n{settings}\n```\n"
    )


def _share(line: dict[str, Any], key: str) -> str:
    return f"{line[key]:.1%}" if key in line else ""
