"""The official program, bfcl-eval, against our server: unmodified, in a virtual environment of its own.

    python -m integrations.bfcl.official --venv ~/bfcl-venv --out runs/bfcl-official --categories single_turn

Its pins contradict ours, so it is never installed beside us: `environment.py` makes the environment,
`launcher.py` runs inside it and gives the program our model's name, `serving.py` starts the server it asks,
and `compare.py` sets its verdicts beside those of our own rules, question by question.
"""

from __future__ import annotations

from .compare import CategoryComparison, compare_category

__all__ = ["CategoryComparison", "compare_category"]
