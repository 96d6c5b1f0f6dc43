"""Decoding words token by token: an answer, or a thought.

Control tokens cannot be chosen, but for those that end what is being written. What is handed out while it
is written never holds a part of a stop sequence, of a character, or of the blank space around the words.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..messages import TokenLogprob
from ..scaffold.repetition import RepetitionWatch
from .program import Program
from .sampling import Sampler
from .tape import Rows, Tape
from .token_log import TokenLog
from .view import BackboneView

MOST_REPEATED = 256
"""Tokens that may be nothing but copies of the same few. Rows of a table or zeros in code are fewer; a small
model that fell into a loop never leaves it."""

Ending = Literal["end", "stop", "length", "call", "thought_closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Words, and why they ended."""

    text: str
    ending: Ending
    logprobs: tuple[TokenLogprob, ...] = ()


def decode_text(
    view: BackboneView,
    tape: Tape,
    *,
    stops: NDArray[np.int64],
    sampler: Sampler,
    max_length: int,
    words: WordStream,
    logits: Rows | None = None,
    first_stops: NDArray[np.int64] | None = None,
    call_bias: float = 0.0,
    top_logprobs: int | None = None,
) -> Program[Decoded]:
    """Write words until one of the tokens in `stops`, a stop sequence, the length limit, or a loop.

    The stopping token itself is not written to the tape.

    Args:
        view: the backbone's tokens.
        tape: ends where the words begin.
        stops: the tokens that may be chosen beside those that write text.
        sampler: chooses the tokens.
        max_length: tokens on the tape at which to stop.
        words: takes the text and hands it out.
        logits: the row for the first token, where the caller has read everything on the tape.
        first_stops: the same for the first token, where they are others.
        call_bias: added to the logit of beginning a call in the midst of the words.
        top_logprobs: None for no log-probabilities, else how many alternatives come with each token.
    """
    log = None if top_logprobs is None else TokenLog(view, top_logprobs)
    ending: Ending = "length"
    watch = RepetitionWatch()
    while tape.length < max_length:
        if logits is None or tape.num_pending:
            logits = (yield from tape.read())[-1]
        if call_bias:
            logits = logits.copy()
            logits[view.call_open] += call_bias
        allowed = stops if first_stops is None else first_stops
        first_stops = None
        choice = sampler.choose(logits, view.text_ids, allowed)
        found = _ending_of(view, choice.token_id)
        if found is not None:
            ending = found
            break
        if log is not None:
            log.note_choice(logits, view.text_ids, allowed, choice)
        tape.write((choice.token_id,))
        logits = None
        if words.feed(view.bytes_of((choice.token_id,))):
            ending = "stop"
            break
        if watch.add(choice.token_id) >= MOST_REPEATED:
            break  # told as `length`: more would have come
    words.finish()
    return Decoded(text=words.text, ending=ending, logprobs=() if log is None else log.tokens)


def _ending_of(view: BackboneView, token_id: int) -> Ending | None:
    if token_id in view.ends:
        return "end"
    if token_id == view.call_open:
        return "call"
    return "thought_closed" if token_id == view.think_close else None


class WordStream:
    """Turns bytes into text that is safe to hand out.

    `text` is what was handed out: without the stop sequence, and without blank space around it.
    """

    def __init__(
        self,
        hand_out: Callable[[str], None],
        *,
        stop: Sequence[str] = (),
        held_starts: Sequence[str] = (),
    ) -> None:
        """Begin empty.

        Args:
            hand_out: takes every piece of text that is certain.
            stop: sequences that end the text where they appear.
            held_starts: a text that begins with one of these is handed out only as a whole.
        """
        self._hand_out = hand_out
        self._stop = tuple(sequence for sequence in stop if sequence)
        self._held_starts = tuple(held_starts)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._waiting = ""
        self._handed: list[str] = []
        self._is_held = False

    @property
    def text(self) -> str:
        """Everything handed out so far, and what is held whole."""
        return "".join(self._handed) + (self._waiting.strip() if self._is_held else "")

    def feed(self, written: bytes) -> bool:
        """Take bytes; True when a stop sequence appeared: the rest is ignored."""
        self._waiting += self._decoder.decode(written)
        at = self._stop_at()
        if at is not None:
            self._waiting = self._waiting[:at]
            return True
        if not self._handed:
            self._waiting = self._waiting.lstrip()
            self._is_held = self._waiting.startswith(self._held_starts) if self._held_starts else False
        if not self._is_held:
            self._hand(len(self._waiting) - self._num_uncertain())
        return False

    def finish(self) -> None:
        """Nothing follows: hand out what was waiting, unless the whole is held."""
        self._waiting += self._decoder.decode(b"", final=True)
        if not self._is_held:
            self._hand(len(self._waiting.rstrip()))

    def release(self) -> None:
        """Hand out a text that was held whole."""
        self._is_held = False
        self._hand(len(self._waiting.rstrip()))

    @property
    def is_held(self) -> bool:
        """Whether the text began like one that is held whole."""
        return self._is_held

    def _hand(self, length: int) -> None:
        certain, self._waiting = self._waiting[:length], self._waiting[length:]
        if not self._handed:
            certain = certain.lstrip()
        if certain:
            self._handed.append(certain)
            self._hand_out(certain)

    def _stop_at(self) -> int | None:
        found = [at for sequence in self._stop if (at := self._waiting.find(sequence)) >= 0]
        return min(found) if found else None

    def _num_uncertain(self) -> int:
        """Characters at the end that may begin a stop sequence, and blank space before them."""
        longest = max((len(sequence) for sequence in self._stop), default=1) - 1
        held = 0
        for length in range(min(longest, len(self._waiting)), 0, -1):
            if any(sequence.startswith(self._waiting[-length:]) for sequence in self._stop):
                held = length
                break
        before = self._waiting[: len(self._waiting) - held]
        return held + len(before) - len(before.rstrip())
