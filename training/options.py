"""Options that commands with a recipe share: a preset, a file, single keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from .recipe import Preset, RecipePart

PRESETS: tuple[str, ...] = get_args(Preset)


def add_recipe_options(
    parser: argparse.ArgumentParser, recipe: type[RecipePart], *, example: str = "schedule.total_steps=500"
) -> None:
    """`--preset`, `--recipe` and `--set`, and the keys below the help."""
    parser.add_argument(
        "--preset", choices=PRESETS, default="cpu", help="named recipe to begin with (default: cpu)"
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="YAML file with keys to change")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change one key, for instance {example}",
    )
    parser.epilog = "keys: " + ", ".join(recipe_keys(recipe))


def add_decay_option(parser: argparse.ArgumentParser) -> None:
    """`--decay-now`."""
    parser.add_argument(
        "--decay-now",
        type=int,
        metavar="STEPS",
        help="end the run in so many steps, with the learning rate falling from here on",
    )


def recipe_keys(model: type, prefix: str = "") -> list[str]:
    """Dotted names of all keys of a recipe."""
    keys: list[str] = []
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        annotation = field.annotation
        if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
            keys += recipe_keys(annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
