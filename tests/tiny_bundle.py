"""Head bundles for tiny random models: as they begin, or random through and through."""

from __future__ import annotations

from pathlib import Path

import torch

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.head_fill.loaded import bind, load_bundle
from agent_runtime.engine.view import BackboneView
from agent_runtime.prompt.format import PromptFormat
from heads import HeadBundle, config_for, revised


def make_tiny_bundle(
    model: Path, folder: Path, *, spread: float = 0.0, seed: int = 0, copies: bool = True
) -> Path:
    """Write heads for a model folder and return theirs.

    Args:
        model: what they are made for.
        folder: made if missing.
        spread: of the noise on every weight; without any they say what the backbone says.
        seed: other seeds give other noise.
        copies: whether there is a span head; without one, every value is denoised.
    """
    backbone = Backbone.load(model)
    id_of = backbone.tokenizer.convert_tokens_to_ids
    config = config_for(
        backbone.facts,
        mask_token_id=id_of("<|reserved_special_token_2|>"),
        null_token_id=id_of("<|reserved_special_token_11|>"),
    )
    if not copies:
        config = revised(config, span=None)
    bundle = HeadBundle.untrained(config, backbone.ends)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for weight in bundle.parameters():
            weight.add_(spread * torch.randn_like(weight))
    return bundle.save_pretrained(folder)


def backbone_with_heads(
    model: Path, heads: Path, *, dtype: str = "float32", format: PromptFormat | None = None
) -> tuple[Backbone, BackboneView]:
    """A backbone that was loaded with heads, and its view."""
    bundle = load_bundle(heads)
    backbone = Backbone.load(model, dtype=dtype, taps=bundle.config.taps)
    view = BackboneView.from_tokenizer(
        backbone.tokenizer,
        format or PromptFormat.compact(),
        vocab_size=backbone.vocab_size,
        heads=bind(bundle, backbone, source=heads),
    )
    return backbone, view
