"""What is printed: one Markdown table for the questions, one for growing arguments, one for turns at once."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..cli.screen import visible
from .report import BenchReport, GrowthFigures, RowReport

_NOTHING = "-"
_WIDE = 200  # a table that is not shown in a terminal is for a file, and must not be folded


def show(report: BenchReport, console: Console) -> None:
    """Print everything."""
    console.print(Text(visible(_heading(report)), style="bold"), soft_wrap=True)
    # A table that goes to a file must not be folded.
    wide = console if console.is_terminal else Console(file=console.file, width=_WIDE, highlight=False)
    for table in _tables(report):
        wide.print(table)
    for row in report.rows:
        for note in row.notes:
            console.print(Text(visible(f"{row.title}: {note}"), style="dim"), soft_wrap=True)
        if row.missing is not None:
            line = f"{row.title}: not measured: {row.missing}"
            console.print(Text(visible(line), style="yellow"), soft_wrap=True)
    for agreement in report.agreements:
        line = f"{agreement.row} and b2: {agreement.num_same} of {agreement.num_compared} calls are the same"
        fault = "" if agreement.holds else ", which is a fault: please report it"
        console.print(Text(line + fault, style="dim" if agreement.holds else "bold red"), soft_wrap=True)


def _heading(report: BenchReport) -> str:
    settings, machine = report.settings, report.machine
    weights = "random" if settings.is_random else "its own"
    return (
        f"{settings.model}, {settings.parameters / 1e6:.1f}M parameters ({weights} weights), "
        f"{machine.dtype} on {machine.device}: {machine.processor}, {machine.threads} threads, "
        f"torch {machine.versions['torch']}; {settings.num_questions} questions, {settings.repeats} repeats, "
        f"prompt read every time; {report.started[:10]}, smolcall {report.smolcall}"
    )


def _tables(report: BenchReport) -> Iterator[Table]:
    measured = list(report.measured)
    if measured:
        yield _questions_table(report)
        yield _counts_table(measured)
    if any(row.growth for row in measured):
        yield _growth_table(measured)
    if any(row.batches for row in measured):
        yield _batches_table(measured)


def _questions_table(report: BenchReport) -> Table:
    table = _table("", "p50 ms", "p95 ms", "forwards, p50", "valid", "exact", "x B1", "x B2")
    for row in report.rows:
        figures = row.questions
        if figures is None:
            table.add_row(row.title, "not measured", *[_NOTHING] * 6)
            continue
        table.add_row(
            row.title,
            f"{figures.ms.median:.1f}",
            f"{figures.ms.p95:.1f}",
            f"{figures.forwards.median:g}",
            f"{100 * figures.valid:.2f} %",
            _or_nothing(None if figures.exact is None else 100 * figures.exact, "{:.1f} %"),
            _or_nothing(figures.speedup_over_b1, "{:.2f}"),
            _or_nothing(figures.speedup_over_b2, "{:.2f}"),
        )
    return table


def _counts_table(rows: list[RowReport]) -> Table:
    table = _table(
        "a call",
        "processor ms",
        "forwards, mean",
        "tokens, mean",
        "tokens a forward",
        "accepted",
        "loaded MB",
        "answer MB",
    )
    for row in rows:
        figures, memory = row.questions, row.memory
        if figures is not None and memory is not None:
            table.add_row(
                row.title,
                f"{figures.processor_ms:.1f}",
                f"{figures.forwards.mean:.1f}",
                f"{figures.tokens.mean:.1f}",
                f"{figures.tokens_a_forward:.1f}",
                _or_nothing(figures.acceptance, "{:.1f}"),
                _or_nothing(memory.loaded, "{:.0f}"),
                _or_nothing(memory.answering, "{:.0f}"),
            )
    return table


def _growth_table(rows: list[RowReport]) -> Table:
    points = dict.fromkeys((one.kind, one.argument_tokens) for row in rows for one in row.growth)
    table = _table(
        "two arguments, tokens each (asked for): written / forwards / ms",
        *(f"{length} {kind}" for kind, length in points),
    )
    for row in rows:
        if not row.growth:
            continue
        by_point = {(one.kind, one.argument_tokens): one for one in row.growth}
        cells = (by_point.get(point) for point in points)
        table.add_row(row.title, *(_NOTHING if one is None else _growth_cell(one) for one in cells))
    return table


def _growth_cell(one: GrowthFigures) -> str:
    return f"{_or_nothing(one.written_tokens, '{:.0f}')} / {one.forwards:g} / {one.ms:.0f}"


def _batches_table(rows: list[RowReport]) -> Table:
    sizes = dict.fromkeys(one.turns for row in rows for one in row.batches)
    table = _table("calls a second, by turns at once", *map(str, sizes))
    for row in rows:
        by_size = {one.turns: one.calls_per_second for one in row.batches}
        table.add_row(row.title, *(_or_nothing(by_size.get(size), "{:.1f}") for size in sizes))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=MARKDOWN, header_style="")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def _or_nothing(number: float | None, form: str) -> str:
    return _NOTHING if number is None else form.format(number)
