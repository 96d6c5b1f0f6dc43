"""The official program's verdicts beside those of our own rules, question by question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from agent_runtime.errors import ConfigError
from agent_runtime.evaluation.bfcl import read_questions

from ..files import BfclFolder
from ..scoring import score_category


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A question judged differently."""

    id: str
    official: str
    """An error type, or `right`."""
    ours: str

    @property
    def is_verdict(self) -> bool:
        """Whether one says right and the other wrong, and not only wrong for another reason."""
        return "right" in (self.official, self.ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryComparison:
    """How one category was judged by both."""

    category: str
    total: int
    official_right: int
    our_right: int
    differences: tuple[Difference, ...]


def compare_category(data: Path, folder: BfclFolder, category: str) -> CategoryComparison:
    """Judge the answers of a category with our rules, and compare with the official score file beside them.

    Args:
        data: the official question files.
        folder: result and score files of the official program.
        category: a category of one question and one reply.

    Raises:
        ConfigError: there is no score file, or it says other counts than it has lines.
    """
    file = folder.score_file(category)
    if not file.is_file():
        raise ConfigError(f"there is no official score of {category} at {file}")
    header, *wrong = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if header["total_count"] - header["correct_count"] != len(wrong):
        raise ConfigError(f"{file}: {len(wrong)} wrong answers, while its first line says otherwise")
    official = {row["id"]: _error_type(row) for row in wrong}
    answers = folder.read_answers(category)
    score = score_category(category, read_questions(data, category), answers, name=folder.name)
    ours = {row["id"]: str(row["error_type"]) for row in score.wrong}
    differences = tuple(
        Difference(id=id, official=official.get(id, "right"), ours=ours.get(id, "right"))
        for id in answers
        if official.get(id, "right") != ours.get(id, "right")
    )
    return CategoryComparison(
        category=category,
        total=header["total_count"],
        official_right=header["correct_count"],
        our_right=score.right.num_right,
        differences=differences,
    )


def _error_type(row: dict[str, object]) -> str:
    """Single-turn rows name the error beside the message."""
    return str(row.get("error_type", "unknown"))


def comparison_table(comparisons: Sequence[CategoryComparison]) -> Table:
    """A line a category, and the questions that were judged differently."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("category", no_wrap=True)
    for heading in ("asked", "official right", "ours right", "other verdict", "other reason"):
        table.add_column(heading, justify="right")
    for each in comparisons:
        verdicts = sum(difference.is_verdict for difference in each.differences)
        table.add_row(
            each.category,
            str(each.total),
            str(each.official_right),
            str(each.our_right),
            str(verdicts),
            str(len(each.differences) - verdicts),
        )
    return table
