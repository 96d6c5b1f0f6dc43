"""The frozen backbone of a run that trains heads: its weights, its tokens, and what names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agent_runtime.engine.model_folder import find_model_folder, fingerprint_of, read_config, read_tokenizer
from agent_runtime.engine.quantize import load_model
from agent_runtime.errors import ConfigError
from agent_runtime.prompt.encode import text_encoder
from agent_runtime.runtime import embedded_model_folder
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from heads import BackboneEnds, BackboneFacts, HeadConfig, config_for

from .recipe import HeadsRecipe

MASK_TOKEN, NULL_TOKEN = "<|reserved_special_token_2|>", "<|reserved_special_token_11|>"
"""Reserved tokens of SmolLM3's tokenizer, and of ours, that stand for open and unused positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenBackbone:
    """A backbone that only reads."""

    folder: Path
    model: Any
    tokenizer: Any
    vocabulary: TokenVocabulary
    facts: BackboneFacts

    @classmethod
    def load(cls, recipe: HeadsRecipe) -> FrozenBackbone:
        """Load the recipe's backbone.

        Raises:
            ConfigError: there is no such model, or it cannot be loaded as the recipe wants it.
        """
        folder = find_model_folder(recipe.model or embedded_model_folder())
        config = read_config(folder)
        tokenizer = read_tokenizer(folder, config.vocab_size)
        device = torch.device(recipe.device)
        if device.type == "cuda":  # of this process: to what reads files, plain "cuda" may be the first
            device = torch.device("cuda", torch.cuda.current_device())
        model = load_model(
            folder,
            device=device,
            dtype=getattr(torch, recipe.dtype),
            quantization=recipe.quantization,
            adapter=None,
            trust_remote_code=False,
        )
        vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
        return cls(
            folder=folder,
            model=model,
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            facts=BackboneFacts(
                hidden_size=config.hidden_size,
                num_layers=config.num_hidden_layers,
                vocab_size=config.vocab_size,
                fingerprint=fingerprint_of(folder),
                tokenizer_fingerprint=vocabulary.fingerprint,
            ),
        )

    @property
    def ends(self) -> BackboneEnds:
        """Embeddings, last norm and vocabulary."""
        return BackboneEnds.of(self.model)

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of somebody's text, as serving writes it."""
        return text_encoder(self.tokenizer).encode_text(text).ids

    @property
    def pad_id(self) -> int:
        """What fills rows."""
        return int(self.tokenizer.pad_token_id or 0)

    def head_config(self, recipe: HeadsRecipe) -> HeadConfig:
        """The config of new heads; how sure to be of a value is learnt later, by `calibrate`.

        Raises:
            ConfigError: the tokenizer lacks the reserved tokens.
        """
        known = self.tokenizer.get_vocab()
        missing = [name for name in (MASK_TOKEN, NULL_TOKEN) if name not in known]
        if missing:
            raise ConfigError(
                f"model folder {self.folder}: its tokenizer lacks {', '.join(missing)}, which heads use for "
                "open and unused positions: use the tokenizer the model was trained with"
            )
        sizes = recipe.sizes
        made = config_for(
            self.facts,
            mask_token_id=known[MASK_TOKEN],
            null_token_id=known[NULL_TOKEN],
            max_width=sizes.max_width,
        )
        assert made.diffusion is not None and made.span is not None and made.probes is not None
        return made.model_copy(
            update={
                "diffusion": made.diffusion.model_copy(
                    update={"num_blocks": sizes.diffusion_blocks, "dropout": sizes.dropout}
                ),
                "span": made.span.model_copy(
                    update={"num_blocks": sizes.span_blocks, "dropout": sizes.dropout}
                ),
                "probes": made.probes.model_copy(update={"dropout": sizes.dropout}),
                "confidence": None,
                "slot_budget": made.slot_budget.model_copy(update={"maximum": recipe.noise.most_positions}),
            }
        )
