"""The backbone recipe: what it reads, in which order, and the sizes of the presets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from agent_runtime.prompt import PromptFormat

from ..batches import LabelledSequence
from ..conversations import conversation
from ..data import synthetic_examples
from ..labels import Labeller
from ..recall import recall_sequence
from ..recipe import ArchitectureRecipe, BackboneRecipe, BatchRecipe, DataRecipe, ScheduleRecipe
from ..tokenizer import SPECIAL_TOKENS, load_tokenizer
from ..trainer import Trainer, Watcher, new_model

Preset = Literal["smoke", "cpu", "gpu"]


def backbone_preset(preset: Preset) -> BackboneRecipe:
    """The recipe of a preset."""
    match preset:
        case "smoke":
            return BackboneRecipe(
                name="smoke",
                architecture=ArchitectureRecipe(
                    hidden_size=64, num_layers=4, num_heads=4, intermediate_size=128
                ),
                data=DataRecipe(recall_sequences=100),
                batch=BatchRecipe(tokens=2304),
                schedule=ScheduleRecipe(total_steps=60, warmup_steps=10),
                validate_every=30,
            )
        case "cpu":
            return BackboneRecipe(name="cpu", compile=True)
        case "gpu":
            return BackboneRecipe(
                name="gpu",
                architecture=ArchitectureRecipe(
                    hidden_size=384, num_layers=10, num_heads=6, intermediate_size=1024
                ),
                batch=BatchRecipe(tokens=73_728),
                schedule=ScheduleRecipe(total_steps=14_000, warmup_steps=200),
                device="cuda",
                compile=True,
            )


@dataclass(frozen=True, slots=True)
class ConversationSource:
    """Labelled conversations in a fixed endless order, recall sequences first."""

    tokenizer: Path
    recipe: DataRecipe
    is_held_out: bool = False

    def __call__(self, start: int) -> Iterator[LabelledSequence]:
        """Sequences from number `start` on."""
        tokenizer = load_tokenizer(self.tokenizer)
        num_recall = 0 if self.is_held_out else self.recipe.recall_sequences
        usable = tuple(range(len(SPECIAL_TOKENS) + 256, len(tokenizer)))
        for number in range(start, num_recall):
            yield recall_sequence(self.recipe.seed, number, token_ids=usable, bos_id=tokenizer.bos_token_id)
        labeller = Labeller(tokenizer, PromptFormat.compact(), self.recipe)
        first = max(0, start - num_recall) + self.recipe.start
        split: Literal["train", "dev"] = "dev" if self.is_held_out else "train"
        for number, example in enumerate(
            synthetic_examples(self.recipe.seed, first, split=split), start=first
        ):
            messages, tools, date = conversation(example)
            yield labeller.label(messages, tools, date=date, number=number)


def train_backbone(recipe: BackboneRecipe, *, watchers: tuple[Watcher, ...] = ()) -> Path:
    """Train (or go on training) a backbone; returns its last checkpoint."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    folder = Path(recipe.tokenizer)
    tokenizer = load_tokenizer(folder)
    model = new_model(
        recipe.architecture,
        vocab_size=len(tokenizer),
        bos_id=tokenizer.bos_token_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=recipe.seed,
    )
    trainer = Trainer(
        model,
        recipe,
        source=ConversationSource(folder, recipe.data),
        validation=ConversationSource(folder, recipe.data, is_held_out=True),
        pad_id=tokenizer.pad_token_id,
        watchers=watchers,
    )
    return trainer.run()
