"""`smolcall bfcl`: ask a model the leaderboard's questions, and score what it answers.

    smolcall bfcl --data QUESTIONS --categories non_live live_simple --limit 100 --out runs/bfcl

Started again, it asks only what has no answer yet. This module is imported whenever `smolcall` starts, so
everything of weight is imported where it is used.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_runtime.cli.discovered import CommandContext

DONE = 0


class BfclCommand:
    """The command, as `agent_runtime.cli.discovered` asks for it."""

    purpose = "ask the questions of the Berkeley Function-Calling Leaderboard, and score the answers"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """What may be typed beyond what every command takes."""
        parser.add_argument(
            "--data",
            type=Path,
            required=True,
            metavar="DIR",
            help="folder of BFCL_v4_*.json and possible_answer/, such as bfcl_eval/data",
        )
        parser.add_argument(
            "--categories",
            nargs="+",
            default=["all"],
            metavar="NAME",
            help="categories, or live, non_live, ast, relevance, all (all that DIR holds)",
        )
        parser.add_argument(
            "--out", type=Path, default=Path("bfcl"), metavar="DIR", help="results go here (bfcl)"
        )
        parser.add_argument("--name", help="the model's name in the files; model and fill when left out")
        parser.add_argument("--limit", type=_positive, metavar="N", help="ask the first N of each category")
        parser.add_argument(
            "--concurrency", type=_positive, metavar="N", help="questions at the same time (max_batch)"
        )
        parser.add_argument("--fresh", action="store_true", help="ask again what was answered before")
        parser.add_argument(
            "--retry", action="store_true", help="ask again what could not be answered before"
        )
        parser.add_argument(
            "--score-only", action="store_true", help="ask nothing; score the answers there are"
        )

    def run(self, arguments: argparse.Namespace, context: CommandContext) -> int:
        """Ask, score, and show the table.

        Raises:
            AgentRuntimeError: the files or the model cannot be used.
        """
        from .run import run_bfcl

        try:
            scores = asyncio.run(run_bfcl(arguments, context))
        except KeyboardInterrupt:
            context.progress.print("smolcall bfcl: interrupted; the same command goes on where it stopped")
            raise
        from .table import score_table

        context.answers.print(score_table(scores))
        return DONE


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number


COMMAND: Any = BfclCommand()
