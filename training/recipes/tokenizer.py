"""The tokenizer recipe: which texts the merges are learnt from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from agent_runtime.prompt import PromptFormat, signature_lines
from agent_runtime.prompt.schema_order import ordered_arguments
from agent_runtime.scaffold.canonical import CALL_CLOSE, CALL_OPEN, canonical_call

from ..conversations import conversation
from ..data import Example, synthetic_examples
from ..data.public import load_public
from ..labels import Labeller
from ..recipe import DataRecipe, Preset, TokenizerRecipe
from ..tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

_TAGS = re.compile(f"{re.escape(CALL_OPEN)}|{re.escape(CALL_CLOSE)}")


def tokenizer_preset(preset: Preset) -> TokenizerRecipe:
    """The recipe of a preset."""
    match preset:
        case "smoke":
            return TokenizerRecipe(vocab_size=1024, num_synthetic=400)
        case "cpu":
            return TokenizerRecipe(vocab_size=4096)
        case "gpu":
            return TokenizerRecipe(vocab_size=8192, num_synthetic=60_000)


def train_tokenizer_recipe(recipe: TokenizerRecipe) -> Path:
    """Train the tokenizer and save it; returns its folder."""
    synthetic = islice(synthetic_examples(recipe.seed), recipe.num_synthetic)
    tokenizer = train_tokenizer(_texts(synthetic, _public(recipe)), vocab_size=recipe.vocab_size)
    folder = Path(recipe.output)
    save_tokenizer(tokenizer, folder)
    return folder


def conversation_length(folder: Path, *, num_examples: int = 500) -> tuple[float, float]:
    """Mean tokens of a held-out composed conversation, and of the replies in it."""
    labeller = Labeller(load_tokenizer(folder), PromptFormat.compact(), DataRecipe())
    num_read = num_replied = 0
    for example in islice(synthetic_examples(1, split="dev"), num_examples):
        messages, tools, date = conversation(example)
        weights = labeller.label(messages, tools, date=date).weights
        num_read += len(weights)
        num_replied += sum(weight >= 0.5 for weight in weights)
    return num_read / num_examples, num_replied / num_examples


def _public(recipe: TokenizerRecipe) -> Iterator[Example]:
    if recipe.public is not None:
        rows = load_public(recipe.public, "train")
        for index in range(recipe.num_public):
            yield rows.example(recipe.seed, index, rename_share=0.0)


def _texts(*sources: Iterable[Example]) -> Iterator[str]:
    """Every text of the examples as prompts have it, without control tokens."""
    for source in sources:
        for example in source:
            yield from example_texts(example)


def example_texts(example: Example) -> Iterator[str]:
    """Listing, contents and calls of one example."""
    messages, tools, _ = conversation(example)
    parameters = {tool.name: tool.parameters for tool in tools}
    if tools:
        yield "Tools:\n" + "".join(signature_lines(tool) for tool in tools)
    for message in messages:
        if message.content:
            yield message.content
        for call in message.tool_calls:
            arguments = ordered_arguments(call.arguments, parameters.get(call.name, {}))
            yield _TAGS.sub("", canonical_call(call.name, arguments))
