"""Training data: examples, readers of public formats, the synthetic generator, mixtures."""

from __future__ import annotations

from .cli import add_data_command
from .example import Example, ValuePath, leaves
from .mixture import MixtureRecipe, mixture, mixture_example
from .readers import READERS, read_file
from .report import ReadReport
from .synthetic import synthetic_example, synthetic_examples

__all__ = [
    "READERS",
    "Example",
    "MixtureRecipe",
    "ReadReport",
    "ValuePath",
    "add_data_command",
    "leaves",
    "mixture",
    "mixture_example",
    "read_file",
    "synthetic_example",
    "synthetic_examples",
]
