"""Measuring what the runtime does: benchmark files, their match rules, and shares with intervals. No torch.

Questions of a benchmark are for measuring only, never for training.
"""

from __future__ import annotations

from .shares import Share, wilson

__all__ = ["Share", "wilson"]
