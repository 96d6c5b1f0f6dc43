"""Shares of right answers, and the intervals around them."""

from __future__ import annotations

import math
from dataclasses import dataclass


def wilson(num_right: int, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share: where the true share lies, with 95 % confidence by default."""
    if total == 0:
        return 0.0, 1.0
    share = num_right / total
    scale = 1 + z * z / total
    middle = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


@dataclass(slots=True)
class Share:
    """A count of right ones among all."""

    num_right: int = 0
    total: int = 0

    def add(self, is_right: bool) -> None:
        """Count one more."""
        self.num_right += is_right
        self.total += 1

    @property
    def value(self) -> float:
        """The share; not a number where nothing was counted."""
        return self.num_right / self.total if self.total else math.nan

    def __str__(self) -> str:
        if not self.total:
            return "-"
        low, high = wilson(self.num_right, self.total)
        return f"{self.value:.1%} ({low:.0%} to {high:.0%}, n={self.total})"
