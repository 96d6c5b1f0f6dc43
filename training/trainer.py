"""The training run of a backbone: the loss of labelled conversations, and what is logged of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, SmolLM3Config, SmolLM3ForCausalLM

from .batches import Batch, DataState, SequenceSource, batches
from .forward import LossSums, TrainingForward
from .ranks import ALONE, Ranks
from .recipe import ArchitectureRecipe, BackboneRecipe
from .run import TrainingRun, Watcher

FEWER_AFTER_OUT_OF_MEMORY = 0.8
"""Share of the tokens at once to go on with when memory has run out."""


@dataclass(slots=True)
class _Sums:
    """Sums since the last log line."""

    loss: float = 0.0
    num_right: int = 0
    num_full: int = 0
    pointer_loss: float = 0.0
    num_pointers: int = 0

    @classmethod
    def total(cls, parts: Sequence[_Sums]) -> _Sums:
        """Sums over all parts."""
        return cls(*map(sum, zip(*map(astuple, parts), strict=True)))

    def add(self, sums: LossSums) -> None:
        self.loss += float(sums.full_loss)
        self.num_right += int(sums.num_right)
        self.num_full += int(sums.num_full)
        self.pointer_loss += float(sums.pointer_loss.detach())
        self.num_pointers += int(sums.num_pointers)


def new_model(
    architecture: ArchitectureRecipe, *, vocab_size: int, bos_id: int, eos_id: int, pad_id: int, seed: int
) -> SmolLM3ForCausalLM:
    """A freshly initialised backbone in float32."""
    config = SmolLM3Config(
        vocab_size=vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        num_key_value_heads=architecture.num_kv_heads,
        max_position_embeddings=architecture.max_positions,
        initializer_range=architecture.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=bos_id,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmolLM3ForCausalLM(config).float()
        _scale_first_weights(model, architecture)
        return model


def new_backbone(recipe: BackboneRecipe, tokenizer: PreTrainedTokenizerFast) -> SmolLM3ForCausalLM:
    """A freshly initialised backbone as a recipe and its tokenizer have it."""
    return new_model(
        recipe.architecture,
        vocab_size=len(tokenizer),
        bos_id=tokenizer.bos_token_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=recipe.seed,
    )


@torch.no_grad()
def _scale_first_weights(model: SmolLM3ForCausalLM, architecture: ArchitectureRecipe) -> None:
    """Embeddings of length one, and layers that begin by adding little.

    A token's identity then survives to the last layer, and tied logits can be sharp: copying needs both.
    """
    model.model.embed_tokens.weight.normal_(std=architecture.hidden_size**-0.5)
    for layer in model.model.layers:
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            weight.mul_((2 * architecture.num_layers) ** -0.5)


class Trainer(TrainingRun):
    """Trains `model` as `recipe` says."""

    def __init__(
        self,
        model: SmolLM3ForCausalLM,
        recipe: BackboneRecipe,
        *,
        source: SequenceSource,
        validation: SequenceSource,
        pad_id: int,
        watchers: tuple[Watcher, ...] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        self.model = model.to(recipe.device)
        super().__init__(
            model,
            recipe,
            source=source,
            num_processes=recipe.data.processes,
            pad_id=pad_id,
            watchers=watchers,
            ranks=ranks,
        )
        self.recipe = recipe
        self._sums = _Sums()
        self._tokens_at_once = recipe.batch.tokens
        self._forward = TrainingForward(model, dtype=getattr(torch, recipe.dtype), is_compiled=recipe.compile)
        self._validation = _first_batches(validation, recipe, pad_id)

    def _gradients(self, read: list[Batch]) -> None:
        """Gradients of a step; where memory runs out, the same gradients again from fewer rows at a time.

        The loss is a mean over all supervised tokens of the step, in whichever batch or process they are.
        """
        (weight,) = self._ranks.totals(sum(float(batch.weights[:, 1:].sum()) for batch in read))
        scale = max(weight, 1.0)
        while True:
            try:
                for sums in [self._backward(batch, scale) for batch in read]:
                    self._sums.add(sums)
                return
            except torch.OutOfMemoryError:
                fewer = int(self._tokens_at_once * FEWER_AFTER_OUT_OF_MEMORY)
                if fewer < max(batch.tokens.shape[1] for batch in read):
                    raise
                self._tell(
                    f"out of memory: going on with {fewer} tokens at once instead of {self._tokens_at_once}"
                )
                self._tokens_at_once = fewer
                self.model.zero_grad(set_to_none=True)
                if self.recipe.device == "cuda":
                    torch.cuda.empty_cache()

    def _backward(self, batch: Batch, scale: float) -> LossSums:
        rows, length = batch.tokens.shape
        at_once = max(1, self._tokens_at_once // length)
        parts = []
        for start in range(0, rows, at_once):
            sums = self._loss(batch, slice(start, start + at_once))
            loss = sums.loss + self.recipe.data.pointer_weight * sums.pointer_loss
            (loss / scale).backward()  # type: ignore[no-untyped-call]
            parts.append(sums)
        return parts[0] if len(parts) == 1 else LossSums.total(parts)

    def _loss(self, batch: Batch, rows: slice) -> LossSums:
        device = self.recipe.device
        branches = None if batch.branches is None else torch.from_numpy(batch.branches[rows]).to(device)
        first, last, _ = rows.indices(len(batch.tokens))
        pointers = batch.pointers[(batch.pointers[:, 0] >= first) & (batch.pointers[:, 0] < last)]
        pointers = pointers - np.array([first, 0, 0, 0])
        return self._forward.loss(
            torch.from_numpy(batch.tokens[rows]).to(device),
            torch.from_numpy(batch.weights[rows]).to(device),
            branches,
            torch.from_numpy(pointers).to(device) if len(pointers) else None,
        )

    def _held_out_metrics(self) -> tuple[dict[str, Any], float]:
        sums = _Sums()
        for batch in self._validation:
            sums.add(self._loss(batch, slice(None)))
        loss = sums.loss / max(sums.num_full, 1)
        accuracy = sums.num_right / max(sums.num_full, 1)
        return {"validation_loss": round(loss, 5), "validation_accuracy": round(accuracy, 5)}, loss

    def _training_metrics(self) -> dict[str, Any]:
        sums, self._sums = _Sums.total(self._ranks.gathered(self._sums)), _Sums()
        return {
            "loss": round(sums.loss / max(sums.num_full, 1), 5),
            "accuracy": round(sums.num_right / max(sums.num_full, 1), 5),
            "pointer_loss": round(sums.pointer_loss / max(sums.num_pointers, 1), 4),
        }


def _first_batches(source: SequenceSource, recipe: BackboneRecipe, pad_id: int) -> tuple[Batch, ...]:
    stream = batches(source, recipe.batch, pad_id=pad_id, state=DataState())
    return tuple(batch for batch, _ in zip(stream, range(recipe.validation_batches), strict=False))
