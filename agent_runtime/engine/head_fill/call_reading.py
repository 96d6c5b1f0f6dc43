"""One forward behind a tool's name: every slot as a branch of its own, and the prompt.

This is what heads stand on. Nothing of it depends on what any other slot holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...scaffold.branches import SlotBranch, branch_ids, branches_of
from ...scaffold.scaffold import Scaffold
from ...scaffold.slot_tokens import end_ids, lead_ids
from ..program import Program
from ..tape import Tape
from ..view import BackboneView
from .loaded import LoadedHeads

Row = NDArray[np.float32]

MOST_BRANCH_TOKENS = 1024
"""Tokens of all branches of one call. Slots beyond them are drafted without heads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotRead:
    """What the backbone says of one slot before any other is filled.

    Attributes:
        branch: which slot.
        literal: tokens that lead to it from behind the tool's name.
        literal_states: states behind each of them, (tokens, taps, hidden).
        lead: the tokens every value begins with; they were read too.
        lead_states: states behind them, (tokens, taps, hidden).
        row: next-token scores behind the lead.
        kind: the slot's kind, as the bundle numbers it.
        end_ids: tokens that may follow its value.
    """

    branch: SlotBranch
    literal: tuple[int, ...]
    literal_states: Tensor
    lead: tuple[int, ...]
    lead_states: Tensor
    row: Row
    kind: int
    end_ids: tuple[int, ...]
    anchor: Tensor
    """States after the last token before the slot, (taps, hidden): of an array's later items elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CallReading:
    """A call before it is filled.

    Attributes:
        prompt_ids: all tokens up to the tool's name.
        prompt_states: states behind each of them, (tokens, taps, hidden).
        written_states: states behind what was already written of the call, behind the name.
        slots: one for each branch.
    """

    prompt_ids: tuple[int, ...]
    prompt_states: Tensor
    written_states: Tensor
    slots: tuple[SlotRead, ...]


def read_call(
    view: BackboneView,
    heads: LoadedHeads,
    tape: Tape,
    scaffolds: Sequence[Scaffold],
    *,
    name_end: int,
    ahead: Sequence[int] = (),
) -> Program[tuple[CallReading, Row | None]]:
    """Read the branches of a call in one forward, and what is pending with them.

    Args:
        view: the backbone's tokens.
        heads: what they are read for.
        tape: holds the tool's name, and perhaps more of the call behind it, which branches do not see.
        scaffolds: of the tool that is called; several where its arguments may be objects of several kinds.
        name_end: tokens on the tape up to the name's end.
        ahead: tokens that may come next on the tape, read in the same forward.

    Returns:
        The reading, and the row behind what was pending.
    """
    sequences: dict[tuple[int, ...], int] = {}
    places: list[tuple[SlotBranch, int, tuple[int, ...], tuple[int, ...]]] = []
    num_tokens = 0
    for branch in _distinct(scaffolds):
        lead = lead_ids(branch.slot, view.encode)
        ids = (*branch_ids(branch, view.encode), *lead)
        if ids not in sequences:
            if num_tokens + len(ids) > MOST_BRANCH_TOKENS:
                continue
            num_tokens += len(ids)
        places.append((branch, sequences.setdefault(ids, len(sequences)), ids, lead))
    prompt_ids = tuple(tape.token_ids[:name_end])
    if not sequences:
        empty = CallReading(
            prompt_ids=prompt_ids, prompt_states=torch.empty(0), written_states=torch.empty(0), slots=()
        )
        if not tape.num_pending:
            return empty, None
        rows = yield from tape.read(ahead=ahead, is_exact=True)
        return empty, rows[-1]
    reading = yield from tape.read_branches(
        list(sequences), behind=name_end, num_states=tape.length, is_exact=True, ahead=ahead
    )
    assert reading.states is not None
    call = CallReading(
        prompt_ids=prompt_ids,
        prompt_states=reading.states[:name_end],
        written_states=reading.states[name_end:],
        slots=tuple(
            _slot_read(view, heads, branch, ids, lead, reading.branch_logits[at], reading.branch_states[at])
            for branch, at, ids, lead in places
        ),
    )
    return call, reading.logits[-1].numpy() if len(reading.logits) else None


def _slot_read(
    view: BackboneView,
    heads: LoadedHeads,
    branch: SlotBranch,
    ids: tuple[int, ...],
    lead: tuple[int, ...],
    rows: Tensor,
    states: Tensor,
) -> SlotRead:
    before = len(states) - len(lead)
    return SlotRead(
        branch=branch,
        literal=ids[:before],
        literal_states=states[:before],
        anchor=states[before - 1],
        lead=lead,
        lead_states=states[before:],
        row=rows[-1].numpy(),
        kind=heads.bundle.config.kind_of(branch.kind),
        end_ids=end_ids(branch.slot, view.vocabulary),
    )


def _distinct(scaffolds: Sequence[Scaffold]) -> list[SlotBranch]:
    """The branches of all scaffolds; a slot that several of them have is read once."""
    found: dict[tuple[str, str, str], SlotBranch] = {}
    for scaffold in scaffolds:
        for branch in branches_of(scaffold):
            found.setdefault((branch.path, branch.text, branch.kind), branch)
    return list(found.values())


def log_softmax(row: Row) -> Row:
    """Log-probabilities of a row of scores."""
    return torch.from_numpy(row).log_softmax(-1).numpy()
