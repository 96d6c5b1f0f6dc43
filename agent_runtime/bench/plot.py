"""The plot: time over the question set, forwards and time against argument length, turns at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from .report import BenchReport, RowReport

_COLOURS = {
    "b0": "#8c8c8c",
    "b1-xgrammar": "#c58b2b",
    "b1-llguidance": "#e0b96a",
    "b2": "#2c6fbb",
    "b3": "#4aa3a2",
    "b3b": "#7d5ba6",
    "b3b-verified": "#b59ad6",
    "diffusion": "#c0392b",
    "verified": "#2e8b57",
}
_STYLES = {"copied": "-", "made up": "--"}


def draw(report: BenchReport, file: Path) -> None:
    """Write the plot; the ending of the file says as what."""
    rows = list(report.measured)
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    (times, forwards), (milliseconds, batches) = figure.subplots(2, 2)
    _draw_times(times, rows)
    _draw_growth(forwards, rows, "forwards")
    _draw_growth(milliseconds, rows, "ms")
    _draw_batches(batches, rows)
    settings, machine = report.settings, report.machine
    weights = ", random weights" if settings.is_random else ""
    figure.suptitle(
        f"smolcall bench: {settings.model} ({settings.parameters / 1e6:.1f}M parameters{weights}), "
        f"{machine.dtype}, {machine.processor}",
        fontsize=11,
    )
    handles = [Line2D([], [], color=_COLOURS[row.key], marker="o", label=row.title) for row in rows]
    kinds = dict.fromkeys(one.kind for row in rows for one in row.growth)
    handles += [
        Line2D([], [], color="black", linestyle=_STYLES[kind], label=f"values {kind}") for kind in kinds
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.savefig(file, dpi=140)


def _draw_times(axes: Any, rows: list[RowReport]) -> None:
    measured = [(row, row.questions) for row in rows if row.questions is not None]
    for number, (row, figures) in enumerate(reversed(measured)):
        axes.barh(number, figures.ms.median, color=_COLOURS[row.key], height=0.62)
        axes.plot(
            [figures.ms.median, figures.ms.p95], [number, number], color="black", linewidth=1, marker="|"
        )
        axes.annotate(
            f"{figures.ms.median:.0f}",
            (figures.ms.p95, number),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(measured)), [row.key for row, _ in reversed(measured)])
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_title("milliseconds a call: median, line to p95", fontsize=10)
    axes.grid(axis="x", alpha=0.3)


def _draw_growth(axes: Any, rows: list[RowReport], what: str) -> None:
    has_points = False
    for row in rows:
        for kind, style in _STYLES.items():
            points = sorted(
                (one.written_tokens, getattr(one, what))
                for one in row.growth
                if one.kind == kind and one.written_tokens is not None
            )
            if points:
                has_points = True
                axes.plot(
                    *zip(*points, strict=True),
                    style,
                    color=_COLOURS[row.key],
                    marker="o",
                    markersize=3.5,
                    linewidth=1.4,
                )
    if has_points:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    name = {"forwards": "forwards a call", "ms": "milliseconds a call"}[what]
    axes.set_xlabel("tokens written of each of two string arguments", fontsize=9)
    axes.set_title(f"{name} against argument length", fontsize=10)
    axes.grid(alpha=0.3, which="both")


def _draw_batches(axes: Any, rows: list[RowReport]) -> None:
    sizes = sorted({one.turns for row in rows for one in row.batches})
    for row in rows:
        if row.batches:
            axes.plot(
                [one.turns for one in row.batches],
                [one.calls_per_second for one in row.batches],
                color=_COLOURS[row.key],
                marker="o",
                markersize=3.5,
                linewidth=1.4,
            )
    if sizes:
        axes.set_xticks(sizes)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("turns at once", fontsize=9)
    axes.set_title("calls a second", fontsize=10)
    axes.grid(alpha=0.3)
