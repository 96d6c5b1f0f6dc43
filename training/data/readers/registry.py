"""Which reader reads what, and reading a whole file: checked, de-duplicated, split by tool, counted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from agent_runtime.errors import ConfigError

from ..example import Example
from ..files import opened
from ..report import ReadReport
from ..rows import RowError, build_example, fingerprint, split_of
from . import apigen, bfcl, glaive, hermes, nestful, normalised, openai_messages, toolace, when2call, xlam
from .raw import RawRow

READERS: dict[str, Callable[[dict[str, Any]], RawRow]] = {
    "normalised": normalised.read_row,
    "hermes": hermes.read_row,
    "glaive": glaive.read_row,
    "xlam": xlam.read_row,
    "apigen": apigen.read_row,
    "toolace": toolace.read_row,
    "when2call": when2call.read_row,
    "nestful": nestful.read_row,
    "openai": openai_messages.read_row,
    "bfcl": bfcl.read_row,
}
"""By format name: a row as loaded from JSON, to raw tools and messages."""

EVALUATION_ONLY = frozenset({"bfcl"})
"""Formats of benchmarks: refused for training."""


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of JSON lines or of a JSON array (plain or .zst), with their line or item number."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf8")
        first = text.readline()
        if first.startswith("["):
            yield from enumerate(json.loads(first + text.read()))
        else:
            yield from enumerate(chain([first], text))


def read_file(
    path: str | Path,
    format: str = "normalised",
    *,
    split: Literal["train", "dev", "all"] = "train",
    for_training: bool = True,
    report: ReadReport | None = None,
) -> Iterator[Example]:
    """Read a file of public rows.

    Args:
        path: JSON lines or a JSON array, plain or in zstandard.
        format: a name in `READERS`.
        split: rows whose called tools are held out belong to `dev`; normalised rows state their own.
        for_training: refuse formats and sources of benchmarks.
        report: filled while reading.

    Raises:
        ConfigError: unknown format, no such file, or a benchmark asked for as training data.
    """
    if format not in READERS:
        raise ConfigError(f"unknown data format {format!r}: use one of {', '.join(READERS)}")
    if for_training and format in EVALUATION_ONLY:
        raise ConfigError(
            f"{format} is a benchmark: it can be read for evaluation, not for training (for_training=False)"
        )
    path = Path(path)
    if not path.is_file():  # said at once, not when the first row is asked for
        raise ConfigError(f"no data file at {path}")
    return _read(path, format, split, for_training, report if report is not None else ReadReport())


def _read(path: Path, format: str, split: str, for_training: bool, report: ReadReport) -> Iterator[Example]:
    read_row = READERS[format]
    seen: set[bytes] = set()
    for number, line in _lines(path):
        if isinstance(line, str) and not line.strip():
            continue
        report.read += 1
        try:
            row = json.loads(line) if isinstance(line, str) else line
            raw = read_row(row)
            if for_training and raw.is_benchmark:
                raise RowError("a row of a benchmark")
            example = build_example(
                source=raw.source or path.name.split(".")[0],
                row_id=raw.id or str(number),
                tools=raw.tools,
                messages=raw.messages,
                report=report,
            )
            if split != "all":
                own = raw.split or split_of(example)
                if own != split:
                    raise RowError(
                        f"belongs to split {own}" if own != "both" else "calls tools of both splits"
                    )
        except json.JSONDecodeError:
            report.dropped["the line is not JSON"] += 1
            continue
        except RowError as reason:
            report.dropped[str(reason)] += 1
            continue
        except (
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
            ValueError,
        ) as error:  # a row of another shape than its format
            report.dropped[f"not a row of format {format} ({type(error).__name__})"] += 1
            continue
        print_of_row = fingerprint(example)
        if print_of_row in seen:
            report.dropped["duplicate"] += 1
            continue
        seen.add(print_of_row)
        report.kept += 1
        yield example
