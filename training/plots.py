"""The pictures of reports. Importing this needs matplotlib, of the extra `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from agent_runtime.evaluation import wilson

from .scores import Scores

_BLUE, _ORANGE, _GREY = "#2a6f97", "#e07a2f", "#8a8f98"


def plot_loss(file: Path, steps: list[dict[str, Any]], checks: list[dict[str, Any]]) -> None:
    """Loss of reply tokens over tokens read, in training and held out."""
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


def plot_pointers(file: Path, steps: list[dict[str, Any]], *, until: dict[str, Any]) -> None:
    """Loss of the attention that is told where to look, over tokens read up to the line `until`."""
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    at = [line["num_real_tokens"] / 1e6 for line in steps]
    losses = [line["pointer_loss"] for line in steps]
    axes.plot(at, losses, color=_GREY, linewidth=0.7, alpha=0.6, label="training")
    axes.plot(at, _smoothed(losses), color=_BLUE, label="training, smoothed")
    axes.set(xlabel="million tokens read", ylabel="loss of a pointer (nats)", ylim=(0, None))
    axes.set_xlim(0, until["num_real_tokens"] / 1e6)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def plot_shares(file: Path, checks: list[dict[str, Any]], shown: Mapping[str, str]) -> None:
    """Shares measured on held-out data, over steps; `shown` maps their names to labels."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for (name, label), colour in zip(shown.items(), (_BLUE, _ORANGE, _GREY), strict=False):
        known = [line for line in checks if name in line]
        axes.plot([line["step"] for line in known], [line[name] for line in known], color=colour, label=label)
    axes.set(xlabel="step", ylabel="share right, held-out", ylim=(0, 1))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def plot_speed(file: Path, steps: list[dict[str, Any]]) -> None:
    """Tokens a second over steps."""
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


def plot_groups(file: Path, groups: dict[str, Scores]) -> None:
    """What was right in an evaluation, a bar a group."""
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
