"""Batches of head rows over a tiny random backbone, for tests of what heads are trained on."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor

from heads import HeadBundle, NoiseConfig
from tests.tiny_heads import shaken
from tests.tiny_model import make_tiny_model
from training.conversations import conversation
from training.data.synthetic.siblings import sibling_examples
from training.heads.backbone import FrozenBackbone
from training.heads.copies import CopySpeller
from training.heads.frozen import reader_for
from training.heads.inputs import HeadTensors, TokenTables
from training.heads.objective import HeadObjective, TrainingNoise
from training.heads.recipe import HeadsRecipe
from training.heads.rows import HeadBatch, HeadRow, collate_rows
from training.heads.samples import Sampler, Talk
from training.losses import LossWeights


@lru_cache(maxsize=1)
def tiny_folder() -> Path:
    """A tiny backbone's folder, made once."""
    return make_tiny_model(Path(mkdtemp(prefix="tiny-")) / "model", vocab=600, spread=0.3)


@lru_cache(maxsize=1)
def tiny_backbone() -> FrozenBackbone:
    """The backbone of the folder, in float32."""
    return FrozenBackbone.load(HeadsRecipe(model=str(tiny_folder()), dtype="float32"))


@lru_cache(maxsize=1)
def sampler() -> Sampler:
    """Makes talks for the tiny backbone."""
    from agent_runtime.prompt import PromptFormat

    return Sampler(tiny_backbone().tokenizer, PromptFormat.compact())


def talks(number: int, count: int, seed: int = 5) -> list[Talk]:
    """Talks over one listing."""
    made: list[Talk] = []
    for example in islice(sibling_examples(seed, number), 4 * count):
        messages, tools, date = conversation(example)
        talk = sampler().talk(messages, tools, date=date, evidence=example.evidence)
        if talk is not None and len(made) < count:
            made.append(talk)
    return made


@lru_cache(maxsize=4)
def tiny_batch(count: int = 3) -> HeadBatch:
    """Two rows of a few talks each."""
    rows = [HeadRow.of(talks(1, count)), HeadRow.of(talks(4, count))]
    return collate_rows(rows, max(len(row.ids) for row in rows) + 3, pad_id=0, state={})


def objective(*, is_shaken: bool = True, dtype: Any = torch.float32) -> HeadObjective:
    """All heads on the tiny backbone, none of whose weights is zero."""
    backbone = tiny_backbone()
    bundle = HeadBundle.untrained(backbone.head_config(HeadsRecipe()), backbone.ends)
    if is_shaken:
        shaken(bundle, by=0.05)
    return HeadObjective(
        bundle,
        backbone.ends,
        TokenTables.of(backbone.vocabulary, backbone.facts.vocab_size, "cpu"),
        CopySpeller(backbone.vocabulary, backbone.encode),
        weights=LossWeights(),
        noise=TrainingNoise(
            masks=NoiseConfig(), unread_share=0.3, blank_share=0.1, null_share=0.25, most_positions=12
        ),
        dtype=dtype,
    )


def read(batch: HeadBatch, made: HeadObjective) -> tuple[HeadTensors, Tensor]:
    """A batch on the CPU, and the states of its one forward."""
    config = made.bundle.config
    tensors = HeadTensors.of(batch, config, "cpu")
    reader = reader_for(tiny_backbone().model, config.taps, dtype=torch.float32, is_compiled=False)
    return tensors, reader(tensors.tokens, tensors.positions, tensors.may_read())
