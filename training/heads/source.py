"""Head rows in their fixed order, for the data process: the conversations a backbone is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from agent_runtime.errors import MessageError
from agent_runtime.prompt import PromptFormat

from ..conversations import conversation
from ..data import Example
from ..data.mixture import mixture_example
from ..data.synthetic.siblings import sibling_examples
from ..source import ConversationSource
from .rows import HeadRow, fitting_talks
from .samples import Sampler, Talk

MOST_TALKS = 24
"""Conversations of one row, at most: beyond, a listing is asked about again and again."""


@dataclass(frozen=True, slots=True)
class HeadSource:
    """Rows of talks in a fixed endless order."""

    model: Path
    conversations: ConversationSource

    def __call__(self, start: int, stride: int) -> Iterator[HeadRow]:
        """Every `stride`th row from number `start` on."""
        sampler = Sampler(
            Tokenizer.from_file(str(self.model / "tokenizer.json")), PromptFormat.for_folder(self.model)
        )
        source = self.conversations
        recipe, mixture = source.recipe, source.mixture()
        for number in source.numbers(start, stride):
            if source.is_siblings(number):
                yield self._siblings(sampler, number)
                continue
            example = mixture_example(mixture, recipe.seed, number)
            talk = _talk(sampler, example)
            yield HeadRow.of([talk] if talk is not None else [])

    def _siblings(self, sampler: Sampler, number: int) -> HeadRow:
        recipe = self.conversations.recipe
        is_bare = Random(number ^ 0x2E5D).random() < recipe.bare_share
        examples = sibling_examples(recipe.seed, number, pool=recipe.pool, is_bare=is_bare)
        drawn = (example for example, _ in zip(examples, range(2 * MOST_TALKS), strict=False))
        talks = (talk for example in drawn if (talk := _talk(sampler, example)) is not None)
        return HeadRow.of(fitting_talks(talks, max_tokens=recipe.sibling_tokens, max_talks=MOST_TALKS))


def _talk(sampler: Sampler, example: Example) -> Talk | None:
    if not any(message.get("tool_calls") for message in example.messages):
        return None
    try:
        messages, tools, date = conversation(example)
    except MessageError:  # a public row that the runtime would refuse as a conversation
        return None
    return sampler.talk(messages, tools, date=date, evidence=example.evidence)
