"""Reports: a training run and an evaluation as Markdown with plots beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent_runtime.errors import ConfigError
from agent_runtime.evaluation import Share

from .extras import require
from .recipe import METRICS_FILE, RECIPE_FILE, BackboneRecipe
from .scores import Outcome, Scores, grouped


def require_plots() -> None:
    """Make sure that reports can be written, before hours of work that end in one.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require("matplotlib", by="a report with plots")


def write_training_report(run: Path) -> Path:
    """`report.md` and its plots (`loss.png`, `speed.png`, `pointers.png`) in the folder of a run.

    Raises:
        ConfigError: the folder is not one of a run that has logged steps, or matplotlib is not installed.
    """
    require_plots()
    from . import plots

    if not (run / METRICS_FILE).is_file() or not (run / RECIPE_FILE).is_file():
        raise ConfigError(
            f"{run} holds no {METRICS_FILE} and {RECIPE_FILE}: give the folder of a training run"
        )
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    recipe = BackboneRecipe.model_validate_json((run / RECIPE_FILE).read_text(encoding="utf-8"))
    steps = _unrepeated(line for line in lines if "loss" in line)
    if not steps:
        raise ConfigError(f"{run} has logged no step yet: train on before asking for its report")
    checks = _unrepeated(line for line in lines if "validation_loss" in line)
    plots.plot_loss(run / "loss.png", steps, checks)
    plots.plot_speed(run / "speed.png", steps)
    pointed = [line for line in steps if line.get("pointer_loss")]
    if pointed:
        plots.plot_pointers(run / "pointers.png", pointed, until=steps[-1])
    report = run / "report.md"
    report.write_text(_training_text(recipe, steps, checks, pointed), encoding="utf-8")
    return report


def _unrepeated(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a step: a run that was resumed has logged some steps twice, and the last counts."""
    return [line for _, line in sorted({line["step"]: line for line in lines}.items())]


def _training_text(
    recipe: BackboneRecipe,
    steps: list[dict[str, Any]],
    checks: list[dict[str, Any]],
    pointed: list[dict[str, Any]],
) -> str:
    last = steps[-1]
    seconds = max(last["seconds"], 1e-9)
    rows = [
        ("steps", f"{last['step']:,}"),
        ("tokens read, without padding", f"{last['num_real_tokens']:,}"),
        ("minutes of training", f"{seconds / 60:.1f}"),
        ("tokens a second, without padding", f"{last['num_real_tokens'] / seconds:,.0f}"),
        ("last training loss of a reply token", f"{_mean(steps[-20:], 'loss'):.4f}"),
        ("last share of reply tokens right", f"{_mean(steps[-20:], 'accuracy'):.1%}"),
    ]
    if checks:
        rows.append(("held-out loss of a reply token, last", f"{checks[-1]['validation_loss']:.4f}"))
        rows.append(
            ("held-out share of reply tokens right, last", f"{checks[-1]['validation_accuracy']:.1%}")
        )
    pictures = ["![loss of reply tokens](loss.png)", "![tokens a second](speed.png)"]
    if pointed:
        rows.append(("last loss of a pointer", f"{_mean(pointed[-20:], 'pointer_loss'):.4f}"))
        pictures.insert(1, "![loss of pointers](pointers.png)")
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    settings = json.dumps(recipe.model_dump(), indent=2)
    return (
        f"# Training run {recipe.name}\n\n| | |\n|---|---|\n{table}\n\n"
        "Held-out conversations use actions that training never draws.\n\n"
        + "\n\n".join(pictures)
        + f"\n\n## Recipe\n\n```json\n{settings}\n```\n"
    )


def _mean(lines: list[dict[str, Any]], key: str) -> float:
    return float(sum(line[key] for line in lines)) / len(lines)


def evaluation_tables(outcomes: Sequence[Outcome]) -> str:
    """Markdown tables of an evaluation: by group, values by type, and synthetic cases by kind."""
    groups = grouped(outcomes)
    parts = [_group_table(groups), _value_table(groups)]
    kinds = _by_kind(outcomes)
    if len(kinds) > 1:
        rows = [f"| {kind} | {scores.exact} |" for kind, scores in sorted(kinds.items())]
        parts.append("\n".join(["| kind of composed conversation | all right |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def _group_table(groups: dict[str, Scores]) -> str:
    head = (
        "| data | right | right tools | calls where one was right | needed calls made | valid by schema "
        "| median ms |\n"
        "|---|---|---|---|---|---|---|"
    )
    rows = [
        f"| {name} | {scores.exact} | {scores.names} | {scores.called_rightly} | {scores.call_found} "
        f"| {scores.valid} | {_median(scores.latencies_ms):.0f} |"
        for name, scores in groups.items()
    ]
    return "\n".join([head, *rows])


def _value_table(groups: dict[str, Scores]) -> str:
    merged: dict[str, Share] = {}
    for scores in groups.values():
        for name, share in scores.values.items():
            kept = merged.setdefault(name, Share())
            kept.num_right += share.num_right
            kept.total += share.total
    if not merged:
        return ""
    rows = [f"| {name} | {share} |" for name, share in sorted(merged.items())]
    return "\n".join(["| type of value, in calls of the right tool | right |", "|---|---|", *rows])


def _by_kind(outcomes: Sequence[Outcome]) -> dict[str, Scores]:
    kinds: dict[str, Scores] = {}
    for outcome in outcomes:
        if outcome.group == "synthetic":
            kinds.setdefault(outcome.kind, Scores()).add(outcome)
    return kinds


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0


def write_evaluation_report(
    folder: Path, outcomes: Sequence[Outcome], *, model: str, sources: Sequence[str]
) -> Path:
    """`evaluation.md`, `evaluation.png` and `outcomes.jsonl` in `folder`.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require_plots()
    from .plots import plot_groups

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "outcomes.jsonl").open("w", encoding="utf-8") as file:
        for outcome in outcomes:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
    plot_groups(folder / "evaluation.png", grouped(outcomes))
    arguments = " ".join(f"--data {_portable(source)}" for source in sources)
    report = folder / "evaluation.md"
    report.write_text(
        f"# Evaluation of {Path(model).name}\n\n"
        f"    python -m training evaluate --model {Path(model).name} {arguments} --output {folder.name}\n\n"
        "Shares with their 95 % Wilson intervals. Right: equal calls, or BFCL's match.\n\n"
        f"{evaluation_tables(outcomes)}\n\n![right answers by data](evaluation.png)\n",
        encoding="utf-8",
    )
    return report


def _portable(source: str) -> str:
    """A source as another machine would give it: without the folders above."""
    kind, separator, rest = source.partition(":")
    return f"{kind}{separator}{Path(rest).name}" if separator else kind
