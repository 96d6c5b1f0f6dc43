"""Filling a call token by token under exact constraints, jumping over everything that is forced.

This is `fill="autoregressive"`: the reference for quality, and the baseline the other fills must beat. What
may come next is scaffold/frontier.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..scaffold.frontier import Allowed, CallFrontier
from ..scaffold.nodes import Slot
from .program import Program
from .sampling import Choice, Sampler
from .tape import Rows, Tape
from .token_log import TokenLog


class Decision(NamedTuple):
    """One decision among what the schema allows, at temperature 1, before any calibration."""

    logprob: float
    """Of what was decided."""
    entropy: float = 0.0
    """Of the distribution it was drawn from, in nats."""
    margin: float = 0.0
    """`logprob` minus that of the best other outcome; 0 where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledSlot:
    """A value and every decision that made it, the slot's end last."""

    value: Any
    leading: tuple[Decision, ...] = ()
    """Decisions that led to the slot: an optional argument is given, an array has another item."""
    decisions: tuple[Decision, ...] = ()
    has_overflowed: bool = False
    """Whether the value was ended by its limit, before the backbone wanted to."""
    slot: Slot | None = field(default=None, compare=False)
    """What the value was written into; None for one that was not decided at all."""

    @property
    def logprobs(self) -> tuple[float, ...]:
        """The log-probability of every decision, presence first."""
        return tuple(decision.logprob for decision in (*self.leading, *self.decisions))

    @property
    def confidence(self) -> float:
        """Probability of the value: the product over its decisions; 0 for one that was cut off."""
        return 0.0 if self.has_overflowed else math.exp(math.fsum(self.logprobs))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledCall:
    """A complete, valid call."""

    name: str
    arguments: dict[str, Any]
    text: str
    slots: dict[str, FilledSlot]
    name_decisions: tuple[Decision, ...] = ()
    is_cut_short: bool = False
    """Whether an array could not grow, or a constant could not be had, for lack of tokens."""

    structure_decisions: tuple[Decision, ...] = ()
    """Those that belong to no value: to leave out what comes last, to end, empty arrays and objects."""

    @property
    def name_logprobs(self) -> tuple[float, ...]:
        """The log-probability of every decision that made the name."""
        return tuple(decision.logprob for decision in self.name_decisions)

    @property
    def structure_logprobs(self) -> tuple[float, ...]:
        """The log-probability of every decision that belongs to no value."""
        return tuple(decision.logprob for decision in self.structure_decisions)

    @property
    def confidence(self) -> float:
        """Probability of the whole call, given that there is one."""
        if self.is_cut_short or any(slot.has_overflowed for slot in self.slots.values()):
            return 0.0
        per_slot = (math.fsum(slot.logprobs) for slot in self.slots.values())
        return math.exp(math.fsum((*self.name_logprobs, *self.structure_logprobs, *per_slot)))


NextRow = Callable[[CallFrontier, Tape], Program[Rows]]
"""Reads what is on the tape and gives the row behind it. verify.py has one that reads ahead."""


def fill_autoregressive(
    frontier: CallFrontier,
    tape: Tape,
    *,
    sampler: Sampler,
    max_length: int,
    logits: Rows | None = None,
    next_row: NextRow | None = None,
    on_name: Callable[[str], None] | None = None,
    on_text: Callable[[str], None] | None = None,
    token_log: TokenLog | None = None,
) -> Program[FilledCall | None]:
    """Write one call; its last tokens, which are forced, are on the tape but not read.

    Args:
        frontier: what may come next.
        tape: stands where the frontier stands.
        sampler: chooses among the allowed tokens.
        max_length: tokens on the tape at which to give up: the result is None.
        logits: the row for the next token, where the caller has read everything on the tape.
        next_row: reads what is on the tape and gives the row behind it; plain reading when left out.
        on_name: told the tool's name as soon as it is decided.
        on_text: told the call's text so far, after that, whenever a token was chosen.
        token_log: told every token.
    """
    ledger = _Ledger()
    while True:
        forced = frontier.take_forced(max_length - tape.length)
        tape.write(forced)
        if token_log is not None:
            token_log.note_forced(forced)
        if on_name is not None and frontier.tool_name is not None:
            on_name(frontier.tool_name)
            on_name = None
        if on_text is not None and frontier.tool_name is not None:
            on_text(frontier.settled_text)
        ledger.note_slots(frontier)
        if tape.length > max_length:
            return None
        if frontier.completed is not None:
            return ledger.filled_call(frontier)
        if tape.length == max_length:
            return None
        if logits is None or tape.num_pending:
            logits = yield from (_row_of_pending if next_row is None else next_row)(frontier, tape)
        allowed = frontier.allowed()
        choice = sampler.choose(logits, allowed.ids, allowed.ending)
        if token_log is not None:
            token_log.note_choice(logits, allowed.ids, allowed.ending, choice)
        logits = None
        ledger.note_choice(allowed, choice, frontier)
        frontier.advance(choice.token_id)
        tape.write((choice.token_id,))
        ledger.note_slots(frontier)


def _row_of_pending(_: CallFrontier, tape: Tape) -> Program[Rows]:
    rows: Rows = (yield from tape.read(is_exact=True))[-1]
    return rows


@dataclass(slots=True)
class _Ledger:
    """Books every decision to the value it made.

    A token that ends a slot also chooses what comes next; its probability is split between the two. What
    leads to a slot is booked to that slot.
    """

    by_path: dict[str, list[Decision]] = field(default_factory=dict)
    leading_to: dict[str, list[Decision]] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    name: list[Decision] = field(default_factory=list)
    leading: list[Decision] = field(default_factory=list)
    num_slots: int = 0

    def note_choice(self, allowed: Allowed, choice: Choice, frontier: CallFrontier) -> None:
        """Book a choice; the frontier stands before it."""
        if allowed.path is None:
            self.leading.append(_decision(choice, choice.logprob))
            return
        slot, is_named = frontier.open_slot, frontier.is_named
        if is_named and slot is not None:
            self.slots[allowed.path] = slot
        made = self.by_path.setdefault(allowed.path, []) if is_named else self.name
        if choice.token_id in allowed.ending:
            made.append(_decision(choice, choice.ending_logprob))
            self.leading.append(Decision(choice.logprob - choice.ending_logprob))
        else:
            made.append(_decision(choice, choice.logprob))

    def note_slots(self, frontier: CallFrontier) -> None:
        num_slots = frontier.num_slots
        if num_slots > self.num_slots:
            self.leading_to.setdefault(frontier.slot_path(self.num_slots), []).extend(self.leading)
            self.leading.clear()
            self.num_slots = num_slots

    def filled_call(self, frontier: CallFrontier) -> FilledCall:
        walker = frontier.completed
        assert walker is not None
        return FilledCall(
            name=walker.tool_name,
            arguments=walker.arguments,
            text=walker.text,
            slots={
                path: FilledSlot(
                    value=value,
                    leading=tuple(self.leading_to.get(path, ())),
                    decisions=tuple(self.by_path.get(path, ())),
                    has_overflowed=path in frontier.overflowed,
                    slot=self.slots.get(path),
                )
                for path, value in walker.filled
            },
            name_decisions=tuple(self.name),
            structure_decisions=tuple(self.leading),
            is_cut_short=frontier.is_cut_short,
        )


def _decision(choice: Choice, logprob: float) -> Decision:
    """What was chosen, told with the probability that is booked for it."""
    has_rival = math.isfinite(choice.rival_logprob)
    return Decision(logprob, choice.entropy, logprob - choice.rival_logprob if has_rival else 0.0)
