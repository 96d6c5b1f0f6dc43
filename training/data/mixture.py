"""What a model is shown, in which shares: composed and public examples as one deterministic stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .example import Example
from .public import load_public
from .synthetic import synthetic_example
from .synthetic.draw import Draw


class MixtureRecipe(BaseModel):
    """Sources and shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    public: str | None = None
    """Folder of public rows in the normalised format (`*.jsonl.zst`); none: composed examples alone."""

    public_share: float = Field(default=0.2, ge=0, le=1)
    """Share of public examples, where there are any."""

    rename_share: float = Field(default=0.7, ge=0, le=1)
    """Share of public examples whose tools and parameters get other names."""

    pool: str | None = None
    """File of tool definitions the generator makes requests for besides its own; none: its own alone."""

    split: Literal["train", "dev"] = "train"
    """Training and held-out examples call different tools."""


def mixture_example(recipe: MixtureRecipe, seed: int, index: int) -> Example:
    """Example `index` of the mixture: a pure function of its arguments and the files the recipe names."""
    if recipe.public is not None and Draw(seed ^ 0x41C64E6D, index).chance(recipe.public_share):
        rows = load_public(recipe.public, recipe.split)
        return rows.example(seed, index, rename_share=recipe.rename_share)
    return synthetic_example(seed, index, split=recipe.split, pool=recipe.pool)


def mixture(recipe: MixtureRecipe, seed: int, start: int = 0) -> Iterator[Example]:
    """The endless stream from `start` on: resumed at `n` it goes on as an uninterrupted one does."""
    index = start
    while True:
        yield mixture_example(recipe, seed, index)
        index += 1
