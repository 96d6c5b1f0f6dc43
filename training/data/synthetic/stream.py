"""The stream of synthetic examples: which lesson example `i` teaches, and its conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..example import Example
from . import dialogues, lessons
from .draw import Draw
from .lessons import Lesson
from .offering import Split
from .pool import load_pool
from .tools import DrawnTool

LESSONS: tuple[tuple[str, float, Lesson], ...] = (
    ("single", 0.35, lessons.single),
    ("parallel", 0.16, lessons.parallel),
    ("several", 0.14, lessons.several),
    ("missing", 0.05, lessons.missing),
    ("none_fits", 0.11, lessons.none_fits),
    ("chat", 0.05, dialogues.chat),
    ("report", 0.04, dialogues.report),
    ("follow_up", 0.04, dialogues.follow_up),
    ("chain", 0.03, dialogues.chain),
    ("second_request", 0.03, dialogues.second_request),
)
"""Names, shares (they add up to one) and makers."""


def synthetic_example(seed: int, index: int, *, split: Split = "train", pool: str | None = None) -> Example:
    """Example `index` of the stream: a pure function of its arguments."""
    draw = Draw(seed if split == "train" else seed ^ 0x5DEECE66D, index, load_pool(pool) if pool else None)
    roll = draw.random()
    kind, lesson = _lesson_at(roll)
    while True:
        tools, talk = lesson(draw, split)
        if len({tool.name for tool in tools}) == len(tools):  # two tools may by chance be drawn with one name
            break
    date = stated_date(draw, tools)
    return Example(
        source="synthetic",
        id=f"{split}-{seed}-{index}",
        kind=kind,
        tools=tuple(tool.as_dict() for tool in tools),
        messages=tuple(talk.messages),
        date=date,
        evidence=talk.evidence,
    )


def stated_date(draw: Draw, tools: Sequence[DrawnTool]) -> str | None:
    """Today, where a tool's values may lean on it, and at times elsewhere."""
    if any(p.kind.needs_today for tool in tools for p in tool.parameters) or draw.chance(0.2):
        return draw.today.isoformat()
    return None


def _lesson_at(roll: float) -> tuple[str, Lesson]:
    for kind, share, lesson in LESSONS:
        roll -= share
        if roll < 0:
            return kind, lesson
    return LESSONS[0][0], LESSONS[0][2]


def synthetic_examples(
    seed: int, start: int = 0, *, split: Split = "train", pool: str | None = None
) -> Iterator[Example]:
    """The endless stream from `start` on."""
    index = start
    while True:
        yield synthetic_example(seed, index, split=split, pool=pool)
        index += 1
