"""The project's own normalised rows: `{"source", "id", "tools", "messages", "split"}`."""

from __future__ import annotations

from typing import Any

from .raw import RawRow

BENCHMARKS = ("acebench", "bfcl")


def read_row(row: dict[str, Any]) -> RawRow:
    """Already in shape; only benchmarks are marked."""
    return RawRow(
        tools=row["tools"], messages=row["messages"], source=row["source"], id=row["id"], split=row["split"],
        is_benchmark=str(row["source"]).lower().startswith(BENCHMARKS),
    )  # fmt: skip
