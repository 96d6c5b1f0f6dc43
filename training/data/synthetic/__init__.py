"""Synthetic tool-calling examples: composed tools, composed requests, exact targets with evidence."""

from __future__ import annotations

from .stream import synthetic_example, synthetic_examples

__all__ = ["synthetic_example", "synthetic_examples"]
