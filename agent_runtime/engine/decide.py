"""Chat or tool, and whether another call follows: what a reply begins with.

The beginning of a call is read together with the prompt. By causality the logits behind the prompt are
those a backbone without it would have given, so the decision costs no forward, and where it falls on a call
the first token of the tool's name is there already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..scaffold.canonical import CALL_HEADER
from ..scaffold.frontier import CallFrontier
from .program import Program
from .tape import Rows, Tape
from .view import BackboneView


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the backbone thinks of calling.

    Attributes:
        call_probability: of a call against every other beginning, bias included.
        opening: the tokens of the call that are on the tape.
        reply_start: tokens on the tape before the reply; cut there to answer in words.
        reply_logits: for the first token of an answer in words.
        call_logits: for the next token of the call.
    """

    call_probability: float
    opening: tuple[int, ...]
    reply_start: int
    reply_logits: Rows
    call_logits: Rows


DraftAhead = Callable[[CallFrontier, Tape], Sequence[int]]
"""Tokens that may come behind what is on the tape, where the frontier stands too."""


def decide(
    view: BackboneView,
    tape: Tape,
    frontier: CallFrontier,
    *,
    call_bias: float = 0.0,
    draft_ahead: DraftAhead | None = None,
) -> Program[Decision]:
    """Read what is pending and the beginning of a call; the tape then stands where the frontier stands.

    Args:
        view: the backbone's tokens.
        tape: ends where the reply begins.
        frontier: the calls that may be made; taken as far as it is forced.
        call_bias: added to the log-odds of a call.
        draft_ahead: drafts the rest of the call, which is then read in the same forward.
    """
    reply_start = tape.length
    opening = (*call_opening(view), *frontier.take_forced())
    tape.write(opening)
    ahead = () if draft_ahead is None else draft_ahead(frontier, tape)
    rows = yield from tape.read(tape.length - reply_start + 1, ahead=ahead)
    return Decision(
        call_probability=_probability(rows[0], (view.call_open,), bias=call_bias),
        opening=opening,
        reply_start=reply_start,
        reply_logits=rows[0],
        call_logits=rows[-1],
    )


def decide_another(view: BackboneView, tape: Tape) -> Program[bool]:
    """Whether another call follows the one just written; ends that call on the tape."""
    tape.write((view.call_close,))
    rows = yield from tape.read(is_exact=True)
    logits = rows[-1]
    first = (*view.calls_joint, view.call_open)[0]
    return bool(logits[first] > logits[list(view.ends)].max())


def call_opening(view: BackboneView) -> tuple[int, ...]:
    """The tokens of a call before the tool's name."""
    return (view.call_open, *view.encode(CALL_HEADER))


def _probability(logits: Rows, token_ids: tuple[int, ...], *, bias: float) -> float:
    """Probability of some tokens against all others, with a bias on its log-odds."""
    chosen = _log_sum_exp(logits[list(token_ids)])
    others = _log_sum_exp(np.delete(logits, token_ids))
    odds = chosen - others + bias
    return 1.0 / (1.0 + math.exp(-odds)) if odds > -700 else 0.0


def _log_sum_exp(scores: Rows) -> float:
    top = float(scores.max())
    return top + math.log(float(np.exp(scores - top).sum(dtype=np.float64)))
