"""Which tools an example offers: the ones it needs, near misses and strangers."""

from __future__ import annotations

from functools import cache
from typing import Literal

from .composed import composed_action, is_held_out, near_misses
from .draw import Draw
from .grammar import Action, actions
from .lookups import lookup_action
from .measures import measure_action
from .naming import content_words
from .pool import ToolPool
from .tools import DrawnTool, draw_tool, is_confusable, shares_words

Split = Literal["train", "dev"]
_DEV_SHARE = 16  # one action in so many is only ever seen in dev


@cache
def actions_of(split: Split) -> tuple[Action, ...]:
    """Actions are held out whole: an action of dev is never the target in train."""
    return tuple(action for action in actions() if is_held_out(action, _DEV_SHARE) == (split == "dev"))


def draw_action(draw: Draw, split: Split) -> Action:
    """An action of the grammar, of the pool where there is one, or a composed one."""
    if draw.pool is not None and draw.chance(0.3):
        while True:
            action = draw.pick(draw.pool.actions)
            if (action.parameters or draw.chance(0.2)) and is_held_out(action, _DEV_SHARE) == (
                split == "dev"
            ):
                return action
    if draw.chance(0.64):
        return draw.pick(actions_of(split))
    while True:
        action = composed_action(draw)
        if is_held_out(action, _DEV_SHARE) == (split == "dev"):
            return action


def related_action(draw: Draw, split: Split) -> Action:
    """An action whose near misses take the same values: a lookup or a measure."""
    while True:
        action = lookup_action(draw) if draw.chance(0.45) else measure_action(draw)
        if is_held_out(action, _DEV_SHARE) == (split == "dev"):
            return action


@cache
def _neighbours(action: Action, split: Split) -> tuple[Action, ...]:
    return tuple(
        other
        for other in actions_of(split)
        if other is not action and (other.domain == action.domain or shares_words(action, other))
    )


def _pool_neighbours(draw: Draw, pool: ToolPool, action: Action, split: Split, count: int) -> list[Action]:
    """Definitions of the pool that share a word with this one, of the same split."""
    words = [word for word in content_words(action.object) if len(pool.by_word.get(word, ())) > 1]
    if not words:
        return []
    found = (draw.pick(pool.by_word[draw.pick(words)]) for _ in range(count * 2))
    return [
        other for other in found if other is not action and is_held_out(other, _DEV_SHARE) == (split == "dev")
    ]


def distractors(
    draw: Draw, tools: list[DrawnTool], split: Split, count: int, near_share: float = 0.7
) -> list[DrawnTool]:
    """Other tools, near misses first: of the same domain or about the same thing."""
    names = {tool.name for tool in tools}
    used = {tool.action for tool in tools}
    found: list[DrawnTool] = []
    known = actions_of(split)
    near: list[Action] = []
    for tool in tools:
        if draw.pool is not None and tool.action.description:
            near += _pool_neighbours(draw, draw.pool, tool.action, split, count)
            continue
        near += (
            _neighbours(tool.action, split) if tool.action in known else near_misses(draw, tool.action, count)
        )
    for _ in range(count * 3):
        if len(found) == count:
            break
        action = draw.pick(near) if near and draw.chance(near_share) else draw_action(draw, split)
        if action in used or any(is_confusable(tool.action, action) for tool in tools):
            continue
        used.add(action)
        tool = draw_tool(draw, action)
        if tool.name not in names:
            names.add(tool.name)
            found.append(tool)
    return found


def offer(draw: Draw, needed: list[DrawnTool], split: Split, count: int) -> list[DrawnTool]:
    """The needed tools among others, in random order."""
    return draw.shuffled([*needed, *distractors(draw, needed, split, count)])


def num_distractors(draw: Draw) -> int:
    """How many other tools: none in half of the examples."""
    return 0 if draw.chance(0.5) else draw.between(1, 3) if draw.chance(0.8) else draw.between(4, 8)
