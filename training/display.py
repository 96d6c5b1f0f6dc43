"""What a person sees while a job runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from agent_runtime.evaluation import Share

from .calibrate import JudgedTurn
from .recipe import RunRecipe
from .scores import Outcome

_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 60
_PLAIN_EVERY = 10  # log lines between two plain ones


def say(text: str) -> None:
    """A line for the person who started the command."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


Shown = tuple[str, str, str]
"""A row of the panel: label, name of the number, and how it is written."""

_BACKBONE_ROWS: tuple[Shown, ...] = (
    ("loss", "loss", "{:.4f}"),
    ("right tokens", "accuracy", "{:.1%}"),
    ("held-out loss", "validation_loss", "{:.4f}"),
    ("held-out right tokens", "validation_accuracy", "{:.1%}"),
    ("real tokens a second", "tokens_per_second", "{:,.0f}"),
    ("real tokens read", "num_real_tokens", "{:,.0f}"),
    ("learning rate", "learning_rate_share", "{:.0%} of full"),
    ("gradient norm", "gradient_norm", "{:.2f}"),
)
_STYLES = {"good": "green", "bad": "bold red", "": ""}


class TrainingDisplay:
    """Shows a run: its numbers, how good they are, time left."""

    def __init__(
        self,
        recipe: RunRecipe,
        *,
        what: str = "backbone",
        shown: Sequence[Shown] = _BACKBONE_ROWS,
        verdict: Callable[[str, float], str] = lambda name, value: "",
        console: Console | None = None,
    ) -> None:
        """Show nothing yet.

        Args:
            recipe: of the run.
            what: is trained, for the title.
            shown: the numbers to show.
            verdict: `good`, `bad` or nothing, for a number's name and value.
            console: where to.
        """
        self._console = console or Console()
        self._what = what
        self._shown = tuple(shown)
        self._verdict = verdict
        self._total = recipe.schedule.total_steps
        self._name = recipe.name
        self._latest: dict[str, Any] = {}
        self._losses: list[float] = []
        self._messages: list[str] = []
        self._num_lines = 0
        self._progress = Progress(
            TextColumn("step"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("train", total=self._total)
        self._live = Live(console=self._console, refresh_per_second=2) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        """Show a log line."""
        self._latest.update(metrics)
        if "loss" in metrics:
            self._losses.append(metrics["loss"])
        self._progress.update(self._task, completed=metrics["step"])
        self._num_lines += 1
        if self._live:
            self._live.update(self._panel())
        elif "loss" not in metrics or self._num_lines % _PLAIN_EVERY == 1:
            self._console.print(
                "  ".join(f"{key} {value}" for key, value in metrics.items() if key != "time")
            )

    def on_message(self, text: str) -> None:
        """Show that something happened."""
        self._messages = [*self._messages[-2:], text]
        if self._live:
            self._live.update(self._panel())
        else:
            self._console.print(text)

    def _panel(self) -> Panel:
        shown = Table.grid(padding=(0, 2))
        for label, key, form in self._shown:
            if key in self._latest:
                value = self._latest[key]
                shown.add_row(label, Text(form.format(value), style=_STYLES[self._verdict(key, value)]))
        parts: list[Any] = [self._progress, shown, Text(_sparkline(self._losses)), *map(Text, self._messages)]
        return Panel(Group(*parts), title=f"{self._what} {self._name}")


class _CountDisplay:
    """Counts what is asked while it is asked."""

    def __init__(self, what: str, total: int, time: ProgressColumn, console: Console | None) -> None:
        self._progress = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            time,
            console=console or Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=total)
        self._share = Share()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class EvaluationDisplay(_CountDisplay):
    """Counts cases while an evaluation runs."""

    def __init__(self, total: int, *, console: Console | None = None) -> None:
        super().__init__("cases", total, TimeRemainingColumn(), console)

    def on_outcome(self, outcome: Outcome) -> None:
        """Show one more outcome."""
        self._share.add(outcome.is_exact)
        self._progress.update(self._task, advance=1, description=f"right {self._share.value:.1%}")


class CalibrationDisplay(_CountDisplay):
    """Counts conversations and the calls in them while a calibration asks."""

    def __init__(self, total: int, *, console: Console | None = None) -> None:
        # It may end by its minutes: what remains cannot be told.
        super().__init__("conversations", total, TimeElapsedColumn(), console)

    def on_turn(self, turn: JudgedTurn) -> None:
        """Show one more."""
        for call in turn.calls:
            self._share.add(call.is_right)
        description = f"{self._share.total} calls, {self._share.value:.1%} right"
        self._progress.update(self._task, advance=1, description=description)


def _sparkline(values: list[float]) -> str:
    """The last values as one line of blocks."""
    if not values:
        return ""
    group = max(1, len(values) // _SPARK_WIDTH)
    means = [sum(values[i : i + group]) / len(values[i : i + group]) for i in range(0, len(values), group)]
    low, high = min(means), max(means)
    reach = (high - low) or 1.0
    return "".join(
        _SPARKS[round((mean - low) / reach * (len(_SPARKS) - 1))] for mean in means[-_SPARK_WIDTH:]
    )
