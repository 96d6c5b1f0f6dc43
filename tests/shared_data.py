"""Finding the shared evaluation data, which stands beside the repository and is not part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared"


def shared(path: str) -> Path:
    """A file or folder of the shared data; skips the calling test where there is none."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"needs the shared data: {found} does not exist")
    return found
