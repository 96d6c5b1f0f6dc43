"""Reports: a training run and an evaluation as Markdown with plots beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from agent_runtime.evaluation import Share, wilson

from .recipe import METRICS_FILE, RECIPE_FILE, BackboneRecipe
from .scores import Outcome, Scores, grouped

_BLUE, _ORANGE, _GREY = "#2a6f97", "#e07a2f", "#8a8f98"


def write_training_report(run: Path) -> Path:
    """`report.md`, `loss.png` and `speed.png` in the folder of a run."""
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    recipe = BackboneRecipe.model_validate_json((run / RECIPE_FILE).read_text(encoding="utf-8"))
    steps = _unrepeated(line for line in lines if "loss" in line)
    checks = _unrepeated(line for line in lines if "validation_loss" in line)
    _plot_loss(run / "loss.png", steps, checks)
    _plot_speed(run / "speed.png", steps)
    report = run / "report.md"
    report.write_text(_training_text(recipe, steps, checks), encoding="utf-8")
    return report


def _unrepeated(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a step: a run that was resumed has logged some steps twice, and the last counts."""
    return [line for _, line in sorted({line["step"]: line for line in lines}.items())]


def _training_text(recipe: BackboneRecipe, steps: list[dict[str, Any]], checks: list[dict[str, Any]]) -> str:
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
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    settings = json.dumps(recipe.model_dump(), indent=2)
    return (
        f"# Training run {recipe.name}\n\n| | |\n|---|---|\n{table}\n\n"
        "Held-out conversations use actions that training never draws.\n\n"
        "![loss of reply tokens](loss.png)\n\n![tokens a second](speed.png)\n\n"
        f"## Recipe\n\n```json\n{settings}\n```\n"
    )


def _mean(lines: list[dict[str, Any]], key: str) -> float:
    return float(sum(line[key] for line in lines)) / len(lines)


def _plot_loss(file: Path, steps: list[dict[str, Any]], checks: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    tokens = {line["step"]: line["num_real_tokens"] / 1e6 for line in steps}
    at = [line["num_real_tokens"] / 1e6 for line in steps]
    axes.plot(at, [line["loss"] for line in steps], color=_GREY, linewidth=0.7, alpha=0.6, label="training")
    axes.plot(at, _smoothed([line["loss"] for line in steps]), color=_BLUE, label="training, smoothed")
    known = [line for line in checks if line["step"] in tokens]
    axes.plot(
        [tokens[line["step"]] for line in known],
        [line["validation_loss"] for line in known],
        color=_ORANGE,
        marker="o",
        markersize=3,
        label="held-out",
    )
    axes.set(xlabel="million tokens read", ylabel="loss of a reply token (nats)", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _plot_speed(file: Path, steps: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot(
        [line["step"] for line in steps],
        [line["tokens_per_second"] for line in steps],
        color=_BLUE,
        linewidth=0.8,
    )
    axes.set(xlabel="step", ylabel="tokens a second,\nwithout padding", ylim=(0, None))
    axes.grid(alpha=0.25)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _smoothed(values: Sequence[float], *, reach: int = 10) -> list[float]:
    """The mean of each value and its neighbours."""
    around = [values[max(0, at - reach) : at + reach + 1] for at in range(len(values))]
    return [sum(near) / len(near) for near in around]


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
    """`evaluation.md`, `evaluation.png` and `outcomes.jsonl` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "outcomes.jsonl").open("w", encoding="utf-8") as file:
        for outcome in outcomes:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
    _plot_groups(folder / "evaluation.png", grouped(outcomes))
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


def _plot_groups(file: Path, groups: dict[str, Scores]) -> None:
    names = list(groups)[::-1]
    shares = [groups[name].exact for name in names]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.38 * len(names)), layout="constrained")
    bounds = [wilson(share.num_right, share.total) for share in shares]
    errors = [
        [max(0.0, share.value - low) for share, (low, _) in zip(shares, bounds, strict=True)],
        [max(0.0, high - share.value) for share, (_, high) in zip(shares, bounds, strict=True)],
    ]
    axes.barh(names, [share.value for share in shares], color=_BLUE, height=0.6)
    axes.errorbar(
        [share.value for share in shares], names, xerr=errors, fmt="none", ecolor=_ORANGE, capsize=3
    )
    axes.set(xlabel="share right, with 95 % interval", xlim=(0, 1))
    axes.grid(axis="x", alpha=0.25)
    figure.savefig(file, dpi=120)
    plt.close(figure)
