"""The named recipes: a preset is a function of its name that returns a whole recipe."""

from __future__ import annotations

from ..recipe import Preset
from .backbone import backbone_preset, decayed_from, train_backbone
from .tokenizer import tokenizer_preset, train_tokenizer_recipe

__all__ = [
    "Preset",
    "backbone_preset",
    "decayed_from",
    "tokenizer_preset",
    "train_backbone",
    "train_tokenizer_recipe",
]
