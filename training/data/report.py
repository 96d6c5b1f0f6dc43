"""What a reader kept, repaired and dropped, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ReadReport:
    """Counts of one reading. Nothing is dropped or changed without standing here."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Changes made to rows that were kept, by kind."""

    def lines(self) -> list[str]:
        """The report as text."""
        return [
            f"read {self.read}, kept {self.kept}",
            *(f"  dropped {count}: {reason}" for reason, count in self.dropped.most_common()),
            *(f"  repaired {count}: {kind}" for kind, count in self.repaired.most_common()),
        ]
