"""Words, thoughts and calls told apart while they arrive.

A `ReplySplitter` never hands out a part of a tag or of a stop sequence, and never a thought as words.
Reading a reply that is complete, with all the repairs, is parse.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..scaffold.canonical import CALL_CLOSE, CALL_OPEN
from .parse import THINK_CLOSE, THINK_OPEN

PartKind = Literal["text", "reasoning", "call"]
Part = tuple[PartKind, str]

_OPENED_BY: dict[str, PartKind] = {THINK_OPEN: "reasoning", CALL_OPEN: "call"}


class ReplySplitter:
    """Takes a reply piece by piece and says what each part is.

    Blank space around words and around thoughts is left out. A call is handed out whole, without its
    tags. `stop` holds the stop sequence that ended the words, once one has been seen: what follows it is
    ignored.
    """

    def __init__(self, stop_sequences: Sequence[str] = (), *, starts_thinking: bool = False) -> None:
        """Begin a reply; `starts_thinking` when its prompt has already opened the thoughts."""
        self.stop: str | None = None
        self._stop_sequences = tuple(sequence for sequence in stop_sequences if sequence)
        self._kind: PartKind = "reasoning" if starts_thinking else "text"
        self._waiting = ""
        self._has_begun = False  # whether something of the present kind was handed out
        self._parts: list[Part] = []

    def feed(self, text: str) -> list[Part]:
        """What has become certain with this text."""
        self._waiting += text
        while self.stop is None and self._pass_mark():
            pass
        if self.stop is not None:
            self._waiting = ""
        else:
            held = self._held_back()
            self._hand_out(self._waiting[: len(self._waiting) - held])
            self._waiting = self._waiting[len(self._waiting) - held :]
        return self._taken()

    def finish(self) -> list[Part]:
        """What was held back, now that nothing follows: a call or thoughts may have lost their end."""
        if self.stop is None:
            self._hand_out(self._waiting.rstrip())
        self._waiting = ""
        return self._taken()

    def _pass_mark(self) -> bool:
        """Go past the first complete mark, if there is one."""
        found = [(at, -len(mark), mark) for mark in self._marks() if (at := self._waiting.find(mark)) >= 0]
        if not found:
            return False
        at, _, mark = min(found)
        self._hand_out(self._waiting[:at].rstrip())
        self._waiting = self._waiting[at + len(mark) :]
        if mark in self._stop_sequences and self._kind == "text":
            self.stop = mark
        else:
            self._kind = _OPENED_BY.get(mark, "text")
            self._has_begun = False
        return True

    def _marks(self) -> tuple[str, ...]:
        if self._kind == "reasoning":
            return (THINK_CLOSE,)
        if self._kind == "call":
            return (CALL_CLOSE,)
        return (THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE, *self._stop_sequences)

    def _held_back(self) -> int:
        """How many characters at the end may belong to a mark, or to blank space before one."""
        if self._kind == "call":
            return len(self._waiting)
        most = max(len(mark) for mark in self._marks()) - 1
        for length in range(min(most, len(self._waiting)), 0, -1):
            if any(mark.startswith(self._waiting[-length:]) for mark in self._marks()):
                break
        else:
            length = 0
        before = self._waiting[: len(self._waiting) - length]
        return length + len(before) - len(before.rstrip())

    def _hand_out(self, text: str) -> None:
        if not self._has_begun:
            text = text.lstrip()
        if text:
            self._parts.append((self._kind, text))
            self._has_begun = True

    def _taken(self) -> list[Part]:
        parts, self._parts = self._parts, []
        return parts
