"""Readers of the formats tool-calling data comes in: one file per format."""

from __future__ import annotations

from .registry import READERS, read_file

__all__ = ["READERS", "read_file"]
