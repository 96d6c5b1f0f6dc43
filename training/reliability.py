"""How honest stated probabilities are, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agent_runtime.evaluation import Share, wilson

from .calibrate import JudgedTurn
from .confidence_fit import Honesty, Stated, exact_with_threshold, honesty
from .report import require_plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#2a6f97", "#e07a2f", "#8a8f98"
_BINS = 10
_FEWEST = 5  # bins with fewer samples show nothing
THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Values of `abstain_below` that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reliability:
    """What was stated of held-out calls, with the head and without.

    Attributes:
        turns: asked.
        plain: products of probabilities.
        learned: the calibrated head.
        slot_kinds: names of the kinds in both.
        threshold: of `abstain_below`, chosen on the conversations the head was fitted on.
    """

    turns: Sequence[JudgedTurn]
    plain: Stated
    learned: Stated
    slot_kinds: Sequence[str]
    threshold: float


def best_threshold(turns: Sequence[JudgedTurn], of_calls: Tensor) -> float:
    """The value of `abstain_below` with the most exact turns, the lowest of equals."""
    exact = [sum(exact_with_threshold(turns, of_calls, threshold)) for threshold in THRESHOLDS]
    return THRESHOLDS[exact.index(max(exact))]


def measured(reliability: Reliability) -> dict[str, float]:
    """The figures a bundle's calibration carries."""
    pairs = {
        "confidence": (
            reliability.plain.slots,
            reliability.learned.slots,
            reliability.learned.are_slots_right,
        ),
        "call": (reliability.plain.calls, reliability.learned.calls, reliability.learned.are_calls_right),
    }
    figures: dict[str, float] = {}
    for name, (before, after, is_right) in pairs.items():
        for when, probability in (("before", before), ("after", after)):
            found = honesty(probability, is_right)
            figures |= {f"{name}_ece_{when}": found.ece, f"{name}_auroc_{when}": found.auroc}
        figures[f"{name}_count"] = float(len(is_right))
    return {name: round(value, 5) for name, value in figures.items()}


def reliability_tables(reliability: Reliability) -> str:
    """The figures as Markdown."""
    plain, learned = reliability.plain, reliability.learned
    rows = [
        _row("values, without the head", honesty(plain.slots, plain.are_slots_right)),
        _row("values, calibrated", honesty(learned.slots, learned.are_slots_right)),
        _row("calls, without the head", honesty(plain.calls, plain.are_calls_right)),
        _row("calls, calibrated", honesty(learned.calls, learned.are_calls_right)),
    ]
    kinds = [
        _row(name, honesty(learned.slots[here], learned.are_slots_right[here]))
        for kind, name in enumerate(reliability.slot_kinds)
        if int((here := learned.slot_kinds == kind).sum()) >= _FEWEST
    ]
    head = "| | samples | right | ECE | AUROC | Brier |\n|---|---|---|---|---|---|\n"
    fills = sorted({turn.fill for turn in reliability.turns})
    if len(fills) > 1:
        rows += [row for fill in fills for row in _rows_of_fill(fill, reliability)]
    return (
        head
        + "\n".join(rows)
        + "\n\nCalibrated, by kind of slot:\n\n"
        + head
        + "\n".join(kinds)
        + "\n\n"
        + _abstention(reliability)
    )


def _rows_of_fill(fill: str, reliability: Reliability) -> list[str]:
    """Values and calls of one fill."""
    learned, turns = reliability.learned, reliability.turns
    here = torch.tensor([turn.fill == fill for turn in turns])
    of_slots, of_calls = here[learned.slot_turns], here[learned.call_turns]
    return [
        _row(f"values, {fill}", honesty(learned.slots[of_slots], learned.are_slots_right[of_slots])),
        _row(f"calls, {fill}", honesty(learned.calls[of_calls], learned.are_calls_right[of_calls])),
    ]


def _row(name: str, found: Honesty) -> str:
    return (
        f"| {name} | {found.count:,} | {found.share_right:.1%} | {found.ece:.2%} | {found.auroc:.3f} | "
        f"{found.brier:.3f} |"
    )


def _abstention(reliability: Reliability) -> str:
    turns = reliability.turns
    kinds = sorted({turn.kind for turn in turns})
    rows = []
    for threshold in THRESHOLDS:
        exact = exact_with_threshold(turns, reliability.learned.calls, threshold)
        shares = {name: Share() for name in ("all", *kinds)}
        for turn, is_exact in zip(turns, exact, strict=True):
            shares["all"].add(is_exact)
            shares[turn.kind].add(is_exact)
        mark = " (chosen)" if threshold == reliability.threshold else ""
        cells = " | ".join(f"{share.value:.1%}" for share in shares.values())
        rows.append(f"| {threshold:.1f}{mark} | {cells} |")
    counts = " | ".join([str(len(turns)), *(str(sum(turn.kind == kind for turn in turns)) for kind in kinds)])
    return (
        f"Turns that are exactly right under `abstain_below`, by what the conversation teaches:\n\n"
        f"| abstain_below | all | {' | '.join(kinds)} |\n|---|---|{'---|' * len(kinds)}\n"
        f"| turns | {counts} |\n" + "\n".join(rows)
    )


def write_reliability_report(folder: Path, reliability: Reliability, *, about: str = "") -> Path:
    """`reliability.md` and `reliability.png` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    plot_reliability(folder / "reliability.png", reliability)
    report = folder / "reliability.md"
    report.write_text(
        "# Reliability of confidence\n\n"
        f"{about}\n\n"
        "A value counts where its call has the right tool; it is right when the reference call has the same "
        "value in the same place. A call is right when all its arguments are. ECE: expected calibration "
        "error, 15 bins of equal width.\n\n"
        f"{reliability_tables(reliability)}\n\n![stated against true](reliability.png)\n",
        encoding="utf-8",
    )
    return report


def plot_reliability(file: Path, reliability: Reliability) -> None:
    """Stated probability against the share that is right, and how often it is stated; values beside calls.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require_plots()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plain, learned = reliability.plain, reliability.learned
    figure, axes = plt.subplots(
        2, 2, figsize=(9, 5.6), layout="constrained", sharex=True, height_ratios=(3, 1)
    )
    panels = (
        ("values", plain.slots, learned.slots, learned.are_slots_right),
        ("calls", plain.calls, learned.calls, learned.are_calls_right),
    )
    for column, (name, before, after, is_right) in enumerate(panels):
        above, below = axes[0][column], axes[1][column]
        above.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":", label="honest")
        _draw_curve(above, before, is_right, _ORANGE, "product of probabilities")
        _draw_curve(above, after, is_right, _BLUE, "calibrated")
        found = honesty(after, is_right)
        above.set(
            title=f"{found.count:,} {name}: ECE {found.ece:.1%}, AUROC {found.auroc:.2f}",
            ylabel="share that is right" if column == 0 else "",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        above.grid(alpha=0.25)
        below.hist(
            [before.numpy(), after.numpy()], bins=_BINS, range=(0, 1), color=[_ORANGE, _BLUE], rwidth=0.9
        )
        below.set(xlabel="stated probability", ylabel="how many" if column == 0 else "")
        below.grid(axis="y", alpha=0.25)
    axes[0][0].legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _draw_curve(axes: Axes, probability: Tensor, is_right: Tensor, color: str, label: str) -> None:
    at = (probability * _BINS).long().clamp(0, _BINS - 1)
    points = []
    for number in range(_BINS):
        here = at == number
        count, num_right = int(here.sum()), int(is_right[here].sum())
        if count >= _FEWEST:
            share, (low, high) = num_right / count, wilson(num_right, count)
            points.append(
                (float(probability[here].mean()), share, max(0.0, share - low), max(0.0, high - share))
            )
    if not points:
        return
    x, y, below, above = torch.tensor(points).T.tolist()
    axes.errorbar(x, y, yerr=[below, above], color=color, marker="o", markersize=4, capsize=2, label=label)
