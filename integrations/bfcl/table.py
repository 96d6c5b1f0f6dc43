"""What the screen shows: progress while questions are asked, and the table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from agent_runtime.evaluation import wilson

from .scoring import INFERENCE_ERROR, CategoryScore

_PLAIN_EVERY = 50  # answers between two lines where there is no terminal
_MOST_FREQUENT = 3
_LABELS = {
    "irrelevance_error:decoder_success": "called, none fits",
    "relevance_error:decoder_failed": "not called, one fits",
    "ast_decoder:decoder_failed": "not called",
    INFERENCE_ERROR: "could not be answered",
}


class AskingProgress:
    """A bar a category on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._category = ""
        self._done = self._total = 0
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, category: str, *, done: int, total: int) -> None:
        """A category, of which some questions may be answered already."""
        self._category, self._done, self._total = category, done, total
        self._bar = self._bars.add_task(category, total=total, completed=done)
        if done:
            self._plain(f"{category}: {done} of {total} answered before")

    def advance(self) -> None:
        """One more answer."""
        self._done += 1
        if self._bar is not None:
            self._bars.advance(self._bar)
        if self._done == self._total or self._done % _PLAIN_EVERY == 0:
            self._plain(f"{self._category}: {self._done} of {self._total}")

    def _plain(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"smolcall bfcl: {text}", soft_wrap=True)


def score_table(scores: Sequence[CategoryScore]) -> Table:
    """A line a category: how many were right, where the true share lies, and which errors led."""
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        caption="right by the leaderboard's own rules; intervals: Wilson, 95 %",
        caption_justify="left",
    )
    table.add_column("category", no_wrap=True)
    table.add_column("right", justify="right", no_wrap=True)
    table.add_column("share (interval)", justify="right", no_wrap=True)
    table.add_column("most frequent errors", overflow="fold")
    for score in scores:
        low, high = wilson(score.right.num_right, score.right.total)
        table.add_row(
            score.category,
            f"{score.right.num_right}/{score.right.total}",
            f"{score.right.value:.1%} ({100 * low:.1f}-{100 * high:.1f})",
            "\n".join(_errors(score)),
        )
    return table


def _errors(score: CategoryScore) -> list[str]:
    lines = [f"{count} {_label(kind)}" for kind, count in score.error_types.most_common(_MOST_FREQUENT)]
    if score.num_failed and INFERENCE_ERROR not in dict(score.error_types.most_common(_MOST_FREQUENT)):
        lines.append(f"({score.num_failed} {_LABELS[INFERENCE_ERROR]})")
    return lines


def _label(error_type: str) -> str:
    """An error type in a few letters: without the name of the checker that found it."""
    if error_type in _LABELS:
        return _LABELS[error_type]
    before, _, kind = error_type.rpartition(":")
    is_checker = before.endswith(("_checker", "_decoder", "_no_order"))
    return kind if is_checker else error_type
