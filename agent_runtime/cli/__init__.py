"""The command line `smolcall`: ask, chat, call, doctor, serve, demo.

`arguments.py` says what may be typed, `tools_argument.py` what `--tools` means, `screen.py` what is shown;
`discovered.py` finds the commands that other packages add.
Answers go to stdout, what happens on the way to stderr.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
