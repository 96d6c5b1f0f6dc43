"""`smolcall bench`: what may be typed; everything of weight is imported where it is used.

This module is imported whenever `smolcall` starts.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .rows import KINDS
from .shapes import SHAPES

if TYPE_CHECKING:
    from ..cli.discovered import CommandContext

DONE, FAILED = 0, 1

_PLOTS = (".png", ".svg", ".pdf")


class BenchCommand:
    """The command, as `agent_runtime.cli.discovered` asks for it."""

    purpose = "measure every way to write a call side by side: transformers, grammars, and every fill"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """What may be typed beyond what every command takes."""
        rows = [kind.key for kind in KINDS]
        parser.add_argument(
            "--rows", nargs="+", choices=rows, metavar="ROW", help=f"of {', '.join(rows)} (all)"
        )
        parser.add_argument(
            "--random-weights",
            choices=SHAPES,
            metavar="SHAPE",
            help=f"measure random weights of a shape: {', '.join(SHAPES)}",
        )
        parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="where to run")
        parser.add_argument(
            "--repeats", type=_positive, metavar="N", help="times each question is answered by each row (3)"
        )
        parser.add_argument(
            "--questions", type=_positive, metavar="N", help="ask the first N of the set (all)"
        )
        parser.add_argument(
            "--lengths",
            nargs="*",
            type=_positive,
            metavar="N",
            help="tokens of growing arguments (4 8 16 32 64); none leaves that part out",
        )
        parser.add_argument(
            "--batches",
            nargs="*",
            type=_positive,
            metavar="N",
            help="turns at once (1 4 8); none leaves that part out",
        )
        parser.add_argument(
            "--max-tokens",
            type=_positive,
            default=160,
            metavar="N",
            help="tokens a reply to the question set may have (160); the longest right one has about 60",
        )
        parser.add_argument("--quick", action="store_true", help="less of everything, in under a minute")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
        parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there (.png, .svg or .pdf)")

    def run(self, arguments: argparse.Namespace, context: CommandContext) -> int:
        """Measure, print, write.

        Raises:
            AgentRuntimeError: what was asked for contradicts itself, or the model cannot be used.
        """
        if arguments.fill is not None:
            raise ConfigError("--fill: every fill is a row here; choose rows with --rows")
        for file in (arguments.json, arguments.plot):
            if file is not None and not file.absolute().parent.is_dir():
                raise ConfigError(
                    f"{file}: the folder {file.absolute().parent} does not exist: make it first"
                )
        if arguments.plot is not None and arguments.plot.suffix not in _PLOTS:
            raise ConfigError(f"--plot {arguments.plot}: give a file that ends in {', '.join(_PLOTS)}")
        if arguments.plot is not None and importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("--plot needs matplotlib: pip install 'smolcall[bench]', or leave it out")
        from .run import run_bench
        from .table import show

        report = asyncio.run(run_bench(arguments, context))
        if arguments.json is not None:
            arguments.json.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if arguments.plot is not None:
            from .plot import draw

            draw(report, arguments.plot)
        show(report, context.answers)  # last: whoever reads it may leave early
        return DONE if report.is_consistent else FAILED


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number


COMMAND: Any = BenchCommand()
