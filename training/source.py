"""Labelled conversations in their fixed order, for the data process: free of torch, to start at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from agent_runtime.errors import MessageError
from agent_runtime.prompt import PromptFormat

from .batches import LabelledSequence
from .conversations import conversation
from .data import Example
from .data.mixture import MixtureRecipe, mixture_example
from .data.synthetic.siblings import sibling_examples
from .labels import Labeller
from .recipe import DataRecipe
from .slim import slimmed

LEAST_SIBLINGS = 2
"""Conversations that one listing carries besides one for each tool. More tools leave more to ask about, and
have a longer listing to share; beyond that, attention over the longer row costs what the listing would."""


@dataclass(frozen=True, slots=True)
class ConversationSource:
    """Labelled conversations in a fixed endless order, short ones first."""

    tokenizer: Path
    recipe: DataRecipe
    is_held_out: bool = False

    def __call__(self, start: int, stride: int) -> Iterator[LabelledSequence]:
        """Every `stride`th sequence from number `start` on."""
        tokenizer = Tokenizer.from_file(str(self.tokenizer / "tokenizer.json"))
        labeller = Labeller(tokenizer, PromptFormat.compact(), self.recipe)
        num_short = 0 if self.is_held_out else self.recipe.short_first
        recipe = self.mixture()
        for number in self.numbers(start, stride):
            if self.is_siblings(number):
                yield self._siblings(labeller, number)
                continue
            example = mixture_example(recipe, self.recipe.seed, number)
            if not self.is_held_out and Random(number).random() < self.recipe.slim_share:
                example = slimmed(example) or example
            sequence = self._labelled(labeller, example)
            if number < num_short and len(sequence.ids) > self.recipe.short_tokens:
                sequence = LabelledSequence((), ())
            yield sequence

    def numbers(self, start: int, stride: int) -> Iterator[int]:
        """Every `stride`th number of the mixture from row `start` on.

        Held-out conversations are the same ones wherever training begins, so that runs can be compared.
        """
        return count(start if self.is_held_out else start + self.recipe.start, stride)

    def is_siblings(self, number: int) -> bool:
        """Whether row `number` holds several conversations over one listing; held-out ones stand alone."""
        return not self.is_held_out and Random(number ^ 0x51B1).random() < self.recipe.sibling_share

    def _siblings(self, labeller: Labeller, number: int) -> LabelledSequence:
        recipe = self.recipe
        is_bare = Random(number ^ 0x2E5D).random() < recipe.bare_share
        examples = sibling_examples(recipe.seed, number, pool=recipe.pool, is_bare=is_bare)
        first = next(examples)
        return labeller.label_siblings(
            ((conversation(example), example.evidence) for example in chain((first,), examples)),
            max_tokens=recipe.sibling_tokens,
            max_branches=LEAST_SIBLINGS + (1 + is_bare) * len(first.tools),
        )

    def _labelled(self, labeller: Labeller, example: Example) -> LabelledSequence:
        try:
            messages, tools, date = conversation(example)
        except MessageError:  # a public row that the runtime would refuse as a conversation
            return LabelledSequence((), ())
        return labeller.label(messages, tools, date=date, evidence=example.evidence)

    def mixture(self) -> MixtureRecipe:
        """The sources. Held-out conversations are composed: their loss means the same for every run."""
        if self.is_held_out:
            return MixtureRecipe(split="dev")
        recipe = self.recipe
        return MixtureRecipe(
            public=recipe.public,
            public_share=recipe.public_share,
            rename_share=recipe.rename_share,
            pool=recipe.pool,
        )
