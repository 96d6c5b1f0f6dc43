"""The Berkeley Function-Calling Leaderboard: its question files, and what counts as right.

`questions.py` reads the files, `match.py` holds the rules, `java.py` and `javascript.py` read the values that
those languages' questions want as source text. Asking a model is not here.

The rules are those of the official program, bfcl-eval 2026.3.23 (Apache-2.0), with its names of error
types. Questions are for measuring only, never for training.
"""

from __future__ import annotations

from .match import Verdict, folded, is_match, judge
from .questions import (
    LIVE,
    NON_LIVE,
    OMITTED,
    SINGLE_TURN,
    Call,
    Language,
    Question,
    as_tool,
    categories,
    language_of_category,
    official_name,
    read_questions,
)

__all__ = [
    "LIVE",
    "NON_LIVE",
    "OMITTED",
    "SINGLE_TURN",
    "Call",
    "Language",
    "Question",
    "Verdict",
    "as_tool",
    "categories",
    "folded",
    "is_match",
    "judge",
    "language_of_category",
    "official_name",
    "read_questions",
]
