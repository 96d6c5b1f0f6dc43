"""Siblings: conversations of their own over one listing of tools.

A small model spends most of its training on reading listings. Conversations that share one are read behind it
side by side (batches.py), so that the listing is paid for once; and since only the request differs between
them, the request is what decides.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from ..example import Example
from . import dialogues, lessons, sharing
from .conversation import Conversation, draw_system
from .draw import Draw
from .offering import Split, distractors, draw_action, related_action
from .pool import load_pool
from .stream import stated_date
from .tools import DrawnTool, draw_tool

KINDS: tuple[tuple[str, float], ...] = (
    ("single", 0.33),
    ("parallel", 0.2),
    ("several", 0.19),
    ("none_fits", 0.13),
    ("missing", 0.04),
    ("follow_up", 0.03),
    ("report", 0.03),
    ("chat", 0.05),
)
"""What siblings teach, in which shares."""


def sibling_examples(
    seed: int, index: int, *, split: Split = "train", pool: str | None = None, is_bare: bool = False
) -> Iterator[Example]:
    """Endlessly many examples over listing `index`; the same for the same arguments.

    Tools of a bare listing take one argument at most, or a few numbers, and at times an option that is
    rarely said: little stands between the choices.
    """
    draw = Draw(seed ^ 0x3C6EF372, index, load_pool(pool) if pool else None)
    tools = _bare_listing(draw, split) if is_bare else _listing(draw, split)
    system = draw_system(draw)
    date = stated_date(draw, tools)
    number = 0
    while True:
        kind, talk = _conversation(draw, tools, split, system)
        yield Example(
            source="synthetic",
            id=f"{split}-{seed}-{index}.{number}",
            kind=kind,
            tools=tuple(tool.as_dict() for tool in tools),
            messages=tuple(talk.messages),
            date=date,
            evidence=talk.evidence,
        )
        number += 1


def _listing(draw: Draw, split: Split) -> list[DrawnTool]:
    """One tool, a few, or many: near misses of each other, none so near that a request could mean two."""
    count = 1 if draw.chance(0.3) else draw.between(2, 4) if draw.chance(0.7) else draw.between(5, 8)
    is_related = count > 1 and draw.chance(0.15)
    tools = [draw_tool(draw, related_action(draw, split) if is_related else draw_action(draw, split))]
    for _ in range(count - 1):
        tools += distractors(draw, tools, split, 1)
    return draw.shuffled(tools)


def _bare_listing(draw: Draw, split: Split) -> list[DrawnTool]:
    is_related = draw.chance(0.25)
    tools = [draw_tool(draw, related_action(draw, split) if is_related else draw_action(draw, split))]
    near_share = draw.pick((0.1, 0.4, 0.7, 1.0))
    for _ in range(draw.between(1, 5)):
        tools += distractors(draw, tools, split, 1, near_share)
    for tool in tools:
        required = [p for p in tool.parameters if p.is_required]
        numbers = [p for p in required if p.kind.schema["type"] in ("integer", "number")]
        if 1 < len(numbers) < 5 and len(numbers) == len(required) and draw.chance(0.7):
            kept = numbers  # which of like numbers belongs where is a choice of its own
        else:
            options = [p for p in tool.parameters if not p.is_spare]
            kept = draw.sample(required or options, 1)
        spares = [p for p in tool.parameters if p.is_spare]
        tool.parameters = [*kept, *spares[: draw.between(0, 2)]]
        for parameter in tool.parameters:
            if not parameter.kind.hint and draw.chance(0.7):
                parameter.description = ""
    return draw.shuffled(tools)


def _conversation(draw: Draw, tools: list[DrawnTool], split: Split, system: str) -> tuple[str, Conversation]:
    talk = Conversation(draw, system=system)
    tool = draw.pick(tools)
    match _kind(draw):
        case "parallel" if any(each.parameters for each in tools):
            lessons.talk_parallel(draw, talk, draw.pick([each for each in tools if each.parameters]))
            return "parallel", talk
        case "several" if len(tools) > 1:
            about_the_same = sharing.sharing_tools(draw, tools) if draw.chance(0.5) else []
            if about_the_same:
                sharing.talk_sharing(draw, talk, about_the_same)
                return "several", talk
            lessons.talk_several(draw, talk, draw.sample(tools, min(len(tools), _num_several(draw))))
            return "several", talk
        case "none_fits":
            lessons.talk_none_fits(draw, talk, _missing_tool(draw, tools, tool, split), tool)
            return "none_fits", talk
        case "missing" if lessons.can_miss(tool):
            lessons.talk_missing(draw, talk, tool)
            return "missing", talk
        case "follow_up" if dialogues.talk_follow_up(draw, talk, tool):
            return "follow_up", talk
        case "report":
            dialogues.talk_report(draw, talk, tool)
            return "report", talk
        case "chat":
            dialogues.talk_chat(draw, talk)
            return "chat", talk
    lessons.talk_single(draw, talk, tool)
    return "single", talk


def _missing_tool(draw: Draw, tools: list[DrawnTool], tool: DrawnTool, split: Split) -> DrawnTool | None:
    """A tool that is not offered, at times with arguments like those of one that is; at times none."""
    if draw.chance(0.25):
        return None
    others = distractors(draw, tools, split, 1 if draw.chance(0.45) else 5, near_share=draw.pick((0.4, 0.9)))
    wanted = {p.kind.schema["type"] for p in tool.parameters if p.is_required}
    return max(others, key=lambda other: _num_alike(other, wanted), default=None)


def _num_alike(tool: DrawnTool, wanted: Container[str]) -> int:
    """How many of its needed values would fit where a value of one of these types is wanted."""
    return sum(p.kind.schema["type"] in wanted for p in tool.parameters if p.is_required)


def _kind(draw: Draw) -> str:
    roll = draw.random()
    for kind, share in KINDS:
        roll -= share
        if roll < 0:
            return kind
    return KINDS[0][0]


def _num_several(draw: Draw) -> int:
    return 2 if draw.chance(0.55) else draw.between(3, 4)
