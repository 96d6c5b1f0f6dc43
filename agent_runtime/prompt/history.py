"""Fitting a conversation into the backbone's window without tearing it apart.

What goes first is the oldest: whole exchanges (a user's message and all that followed it), then, inside
the present exchange, older calls together with their results. The system message, the tools, the last
user message and whatever the conversation ends with always stay.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from ..errors import PromptTooLongError
from ..messages import Message
from .encode import HasBackend
from .format import PromptFormat
from .listing import OfferedTool
from .page import Prompt
from .render import render_prompt

# Dropping a little more than needed keeps the same messages out for many turns, and with them the
# prefix that the cache knows.
_STEPS_PER_WINDOW = 8


_Group = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHistory:
    """A conversation that fits, and its prompt.

    `kept` and `dropped` are indices into the conversation that was given, and so are the message indices
    of the prompt.
    """

    messages: tuple[Message, ...]
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    prompt: Prompt


def fit_history(
    messages: Sequence[Message],
    tools: Sequence[OfferedTool] = (),
    *,
    max_tokens: int,
    format: PromptFormat,
    tokenizer: HasBackend | Tokenizer,
    date: datetime.date | None = None,
    think: bool = False,
) -> FittedHistory:
    """Drop old messages until the prompt has at most `max_tokens` tokens.

    Args:
        messages: the conversation.
        tools: what is offered; always stays.
        max_tokens: tokens the prompt may have, room for the reply already taken off.
        format: as for `render_prompt`.
        tokenizer: as for `render_prompt`.
        date: as for `render_prompt`.
        think: as for `render_prompt`.

    Raises:
        PromptTooLongError: what must stay is too long already.
    """
    window = _Window(messages, tools, max_tokens, format, tokenizer, date, think)
    exchanges, steps = _droppable(messages)
    whole = window.without(())
    total = len(whole.prompt.ids)
    if total <= max_tokens:
        return whole
    if (least := window.tokens_without(exchanges)) <= max_tokens:
        size = max(1, max_tokens // _STEPS_PER_WINDOW)
        goal = total + (max_tokens - total) // size * size  # a whole number of steps less, at most max_tokens
        return window.shortened(exchanges, (), max(goal, least))
    if (least := window.tokens_without((*exchanges, *steps))) > max_tokens:
        raise PromptTooLongError(prompt_tokens=least, max_tokens=max_tokens)
    return window.shortened(steps, exchanges, max_tokens)


@dataclass(frozen=True, slots=True)
class _Window:
    messages: Sequence[Message]
    tools: Sequence[OfferedTool]
    max_tokens: int
    format: PromptFormat
    tokenizer: HasBackend | Tokenizer
    date: datetime.date | None
    think: bool

    def shortened(self, groups: Sequence[_Group], gone: Sequence[_Group], max_tokens: int) -> FittedHistory:
        """Drop as few of the groups as it takes, the first ones first, besides those already gone."""

        def tokens_without_first(count: int) -> int:
            return self.tokens_without((*gone, *groups[:count]))

        count = bisect.bisect_left(
            range(len(groups)), True, key=lambda count: tokens_without_first(count) <= max_tokens
        )
        return self.without((*gone, *groups[:count]))

    def tokens_without(self, groups: Sequence[_Group]) -> int:
        return len(self._prompt(self._kept(groups)).ids)

    def without(self, groups: Sequence[_Group]) -> FittedHistory:
        kept = self._kept(groups)
        return FittedHistory(
            messages=tuple(self.messages[index] for index in kept),
            kept=kept,
            dropped=tuple(sorted(index for group in groups for index in group)),
            prompt=self._prompt(kept),
        )

    def _prompt(self, kept: tuple[int, ...]) -> Prompt:
        return render_prompt(
            [self.messages[index] for index in kept],
            self.tools,
            format=self.format,
            tokenizer=self.tokenizer,
            date=self.date,
            think=self.think,
            message_indices=kept,
        )

    def _kept(self, groups: Sequence[_Group]) -> tuple[int, ...]:
        dropped = {index for group in groups for index in group}
        return tuple(index for index in range(len(self.messages)) if index not in dropped)


def _droppable(messages: Sequence[Message]) -> tuple[list[_Group], list[_Group]]:
    """What may go, oldest first: past exchanges, and steps of the present one except its last."""
    cuts = _cuts(messages)
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    last_user = users[-1] if users else -1
    starts = [0, *(index for index in users if index in cuts and index > 0)]
    present = starts[-1] if users else 0
    exchanges = list(_groups(messages, [start for start in starts if start < present], present))
    step_starts = [index for index in range(last_user + 1, len(messages)) if index in cuts]
    steps = list(_groups(messages, step_starts[:-1], step_starts[-1])) if step_starts else []
    return exchanges, steps


def _groups(messages: Sequence[Message], starts: Sequence[int], end: int) -> Iterator[_Group]:
    for start, stop in zip(starts, [*starts[1:], end], strict=False):
        group = tuple(index for index in range(start, stop) if messages[index].role != "system")
        if group:
            yield group


def _cuts(messages: Sequence[Message]) -> set[int]:
    """Indices before which the conversation may be cut: no call stands before one and its result behind."""
    cuts = {index for index, message in enumerate(messages) if message.role != "tool"}
    caller_of: dict[str, int] = {}
    last_caller = 0
    for index, message in enumerate(messages):
        if message.tool_calls:
            last_caller = index
            caller_of.update((call.id, index) for call in message.tool_calls)
        if message.role == "tool":
            caller = caller_of.get(message.tool_call_id or "", last_caller)
            cuts.difference_update(range(caller + 1, index + 1))
    return cuts
