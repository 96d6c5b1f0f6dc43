"""Training data: examples, readers of public formats, the synthetic generator, mixtures."""

from __future__ import annotations

from .example import Example, leaves
from .synthetic import synthetic_example, synthetic_examples

__all__ = ["Example", "leaves", "synthetic_example", "synthetic_examples"]
