"""The Berkeley Function-Calling Leaderboard: `smolcall bfcl`, and the official program against our server.

`command.py` is the command, `run.py` one run of it; `asking.py` puts the questions to a runtime, `files.py`
keeps answers and scores in the official layout, `scoring.py` judges them, `table.py` shows what came out.
`official/` runs the official program. Question files and match rules are `agent_runtime.evaluation.bfcl`.
"""

from __future__ import annotations

from .asking import ask_all
from .files import BfclFolder
from .scoring import CategoryScore, score_category

__all__ = ["BfclFolder", "CategoryScore", "ask_all", "score_category"]
