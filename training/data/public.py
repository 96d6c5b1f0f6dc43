"""A folder of public rows in the normalised format, as an endless random-access stream."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from pathlib import Path

from agent_runtime.errors import ConfigError

from .example import Example
from .files import opened
from .readers import normalised
from .renaming import renamed
from .report import ReadReport
from .rows import RowError, build_example
from .synthetic.draw import Draw

WEIGHTS: Mapping[str, float] = {
    "sgd": 0.14,
    "snips": 0.10,
    "nlu_eval": 0.11,
    "clinc150": 0.09,
    "metatool": 0.06,
    "tm4": 0.04,
    "restaurants8k": 0.06,
    "home_llm": 0.06,
    "sealtools": 0.14,
    "home_assistant_intents": 0.02,
    "chatterbot": 0.02,
    "apibank_dialogs": 0.02,
    "glaive_sample": 0.04,
    "self_instruct": 0.01,
    "apibank": 0.01,
    "rlla_sample": 0.04,
    "toolbench": 0.01,
    "nestful": 0.01,
    "toolalpaca": 0.01,
}
"""How often each file is drawn from. By size sgd would be two thirds of all tokens."""

OTHER_WEIGHT = 0.02
"""Of files without a weight."""


class PublicRows:
    """Rows of `*.jsonl.zst` files, packed in memory, drawn by weight; benchmarks are left out."""

    def __init__(self, folder: str, split: str = "train", weights: Mapping[str, float] = WEIGHTS) -> None:
        paths = sorted(
            path
            for path in Path(folder).glob("*.jsonl.zst")
            if not path.name.startswith(("tool_pool", *normalised.BENCHMARKS))
        )
        if not paths:
            raise ConfigError(
                f"no *.jsonl.zst files of public rows in {folder}: give the folder that holds them"
            )
        self.report = ReadReport()
        self._rows: list[list[bytes]] = []
        shares = []
        for path in paths:
            rows = _rows_of(path, split)
            if rows:
                self._rows.append(rows)
                shares.append(weights.get(path.name.removesuffix(".jsonl.zst"), OTHER_WEIGHT))
        self._bounds = list(accumulate(shares))

    def example(self, seed: int, index: int, *, rename_share: float = 0.7) -> Example:
        """Example `index`: a pure function of its arguments and the files."""
        draw = Draw(seed ^ 0x2545F491, index)
        while True:
            rows = self._rows[
                min(bisect(self._bounds, draw.random() * self._bounds[-1]), len(self._rows) - 1)
            ]
            raw = normalised.read_row(json.loads(draw.pick(rows)))
            try:
                example = build_example(
                    source=raw.source,
                    row_id=raw.id,
                    tools=raw.tools,
                    messages=raw.messages,
                    report=self.report,
                )
            except RowError as reason:
                self.report.dropped[str(reason)] += 1
                continue
            return renamed(example, draw) if draw.chance(rename_share) else example


@cache
def load_public(folder: str, split: str = "train") -> PublicRows:
    """The rows of a folder, read once a process."""
    return PublicRows(folder, split)


def _rows_of(path: Path, split: str) -> list[bytes]:
    with opened(path) as file:
        lines = file.read().splitlines()
    ending = f'"split":"{split}"}}'.encode()
    return list(
        dict.fromkeys(line for line in lines if line.endswith(ending) or json.loads(line)["split"] == split)
    )
