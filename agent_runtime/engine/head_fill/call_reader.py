"""Where the rows of a call come from when heads help to write it.

Both readers give `fill_autoregressive` the row for its next decision. `HeadVerifiedReader` gives the
backbone's own, read from whole drafts. `DiffusionReader` settles a draft first, in a number of forwards that
does not depend on how long its values are, and then gives what is known of each place: the backbone's row
where it has read it, else what the heads say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from ...scaffold.frontier import Allowed, CallFrontier
from ...scaffold.scaffold import Scaffold
from ..draft import Draft, Plan, best_of
from ..program import Program
from ..tape import Rows, Tape
from ..verify import VerifiedReader
from ..view import BackboneView
from .call_reading import CallReading, Row, read_call
from .head_drafter import HeadDrafter, made_up_row
from .loaded import LoadedHeads
from .rewriting import Rewriting
from .settings import DenoiseSettings


class CallOpening:
    """Reads the branches of a call once its tool is known, and a first draft that no head has seen."""

    def __init__(
        self,
        view: BackboneView,
        heads: LoadedHeads,
        drafter: HeadDrafter,
        scaffolds_of: Callable[[str], Sequence[Scaffold]],
    ) -> None:
        """Begin a call.

        Args:
            view: the backbone's tokens.
            heads: on that backbone.
            drafter: a new one for each call.
            scaffolds_of: the scaffolds of a tool, by its name.
        """
        self._view = view
        self._heads = heads
        self._drafter = drafter
        self._scaffolds_of = scaffolds_of
        self._reading: CallReading | None = None

    def is_due(self, frontier: CallFrontier) -> bool:
        """Whether the tool is known and its branches are not read."""
        return frontier.is_named and self._reading is None

    def read(self, frontier: CallFrontier, tape: Tape, draft: Draft) -> Program[Row | None]:
        """Read the branches, what is pending, and a draft; the row behind what was pending."""
        assert frontier.tool_name is not None
        self._reading, row = yield from read_call(
            self._view,
            self._heads,
            tape,
            self._scaffolds_of(frontier.tool_name),
            name_end=tape.length - frontier.num_behind_name,
            ahead=draft.token_ids,
        )
        if row is not None:
            self._drafter.note(frontier.place, frontier.allowed(), row)
        learn_from(self._drafter, draft, tape, frontier)
        return row

    def ask_heads(self) -> None:
        """Let heads make of it what they can; before, nobody knows whether that is needed."""
        if self._reading is not None and not self._drafter.has_begun:
            self._drafter.begin(self._reading)


def learn_from(drafter: HeadDrafter, draft: Draft, tape: Tape, frontier: CallFrontier) -> None:
    """Take what the backbone said when it read a draft from where the frontier stands."""
    if not draft.token_ids:
        return
    row = drafter.rows.get(frontier.place)
    if row is None:  # the caller had it, and decided by it
        draft = Draft(draft.token_ids, [decision for decision in draft.decisions if decision.index])
        row = tape.ahead_rows[0]
    drafter.learn(draft, row, tape.ahead_rows)
    drafter.judge(draft, tape.ahead_states)


class HeadVerifiedReader(VerifiedReader):
    """Verified reading that asks heads for the rest of a call when copying has failed once."""

    def __init__(
        self,
        opening: CallOpening,
        drafter: HeadDrafter,
        *,
        tokens_left: Callable[[], int],
        max_ahead: int,
        num_steps: int,
    ) -> None:
        """Begin a call.

        Args:
            opening: of the call.
            drafter: the one that the opening tells.
            tokens_left: how many tokens the turn may still write.
            max_ahead: the most tokens to read ahead.
            num_steps: denoise steps for a draft.
        """
        super().__init__(drafter, tokens_left=tokens_left, max_ahead=max_ahead)
        self._opening = opening
        self._head_drafter = drafter
        self._num_steps = num_steps

    def next_row(self, frontier: CallFrontier, tape: Tape) -> Program[Rows]:
        """The row behind everything on the tape; the frontier stands there too."""
        if not tape.is_foreseen:
            if self._opening.is_due(frontier):
                draft = self._next_draft(frontier, tape)
                row = yield from self._opening.read(frontier, tape, draft)
                if row is not None:
                    return row
            self._opening.ask_heads()
            self._head_drafter.denoise(self._num_steps, frontier)
        return (yield from super().next_row(frontier, tape))


class DiffusionReader:
    """Gives the rows of one call out of a draft that was settled before."""

    def __init__(
        self,
        opening: CallOpening,
        drafter: HeadDrafter,
        settings: DenoiseSettings,
        *,
        tokens_left: Callable[[], int],
        vocab_size: int,
    ) -> None:
        """Begin a call.

        Args:
            opening: of the call.
            drafter: the one that the opening tells.
            settings: how to denoise.
            tokens_left: how many tokens the turn may still write.
            vocab_size: width of a row.
        """
        self._opening = opening
        self._drafter = drafter
        self._settings = settings
        self._tokens_left = tokens_left
        self._vocab_size = vocab_size
        self._plan = Plan()
        self._rewritten: dict[Hashable, tuple[int, float]] = {}

    def next_row(self, frontier: CallFrontier, tape: Tape) -> Program[Rows]:
        """A row for the frontier's next decision; what is pending may stay unread."""
        if not frontier.is_named:
            rows = yield from tape.read(is_exact=True)
            row: Rows = rows[-1]
            return row
        if self._opening.is_due(frontier):
            yield from self._settle(frontier, tape)
        slot = frontier.open_slot
        if slot is not None and slot.path in self._drafter.given_up and tape.num_pending:
            rows = yield from tape.read(is_exact=True)
            row = rows[-1]
            return row
        return self._known_row(frontier)

    def _settle(self, frontier: CallFrontier, tape: Tape) -> Program[None]:
        """Draft the whole call, read it as often as the settings say, and correct it."""
        *before, last = self._settings.rounds
        draft = self._drafter.draft(frontier, self._tokens_left()) if before else Draft()
        yield from self._opening.read(frontier, tape, draft)
        is_open = not draft.token_ids or not self._drafter.agrees(draft)
        if is_open:
            self._opening.ask_heads()
        for num_steps in before if is_open else ():
            self._drafter.denoise(num_steps, frontier)
            draft = self._drafter.draft(frontier, self._tokens_left())
            if not draft.token_ids:
                break
            yield from tape.read(ahead=draft.token_ids, is_exact=True, num_states=1)
            learn_from(self._drafter, draft, tape, frontier)
            if self._drafter.agrees(draft):
                is_open = False
                break
        if is_open:
            self._drafter.denoise(last, frontier)
        self._drafter.is_settled = True
        if before and self._drafter.can_weigh:
            yield from self._reconsider(frontier, tape)
        self._drafter.given_up = self._find_doubtful(frontier)

    def _reconsider(self, frontier: CallFrontier, tape: Tape) -> Program[None]:
        """Weigh what the slots of the settled draft may hold, and note where that is not what is drafted."""
        self._opening.ask_heads()
        drafted = self._walk(frontier).completed
        if drafted is None:
            return
        changes = yield from self._drafter.weigh(frontier, tape, drafted)
        if not changes:
            return
        rewriting = Rewriting(changes, drafted)
        rewritten: dict[Hashable, tuple[int, float]] = {}

        def rewrite(at: CallFrontier, row: Row, usual: int) -> int:
            is_read = at.place in self._drafter.rows
            found = rewriting.decide(at, usual, is_read=is_read)
            if found is None:
                return usual
            rewritten[at.place] = found
            return found[0]

        if rewriting.is_done_by(self._walk(frontier, rewrite).completed):
            self._rewritten = rewritten
            self._drafter.take(changes)

    def _walk(
        self, frontier: CallFrontier, decide: Callable[[CallFrontier, Row, int], int] | None = None
    ) -> CallFrontier:
        """Write the call from what is known, on a copy of the frontier.

        Args:
            frontier: behind what is written.
            decide: told the place, what is known there and the most probable token; says what is taken.
        """
        frontier = frontier.copy()
        left = self._tokens_left()
        while left > 0:
            left -= len(frontier.take_forced(left))
            if frontier.completed is not None:
                break
            row = self._known_row(frontier)
            token_id = best_of(row, frontier.allowed())
            frontier.advance(token_id if decide is None else decide(frontier, row, token_id))
            left -= 1
        return frontier

    def _known_row(self, frontier: CallFrontier) -> Row:
        place, allowed = frontier.place, frontier.allowed()
        if place in self._rewritten:
            return made_up_row(self._vocab_size, *self._rewritten[place])
        row = self._drafter.rows.get(place)
        if row is not None:
            return row
        token_id = self._drafter.guess(frontier, place, allowed, self._plan)
        if token_id is None:
            frontier.end_soon()
            token_id = _any_of(frontier.allowed())
        return made_up_row(self._vocab_size, token_id, self._drafter.probability_of(frontier, token_id))

    def _find_doubtful(self, frontier: CallFrontier) -> set[str]:
        """The values less probable than the deployment trusts."""
        if not self._settings.fallback_below:
            return set()
        sums: dict[str, float] = {}

        def add(at: CallFrontier, row: Row, token_id: int) -> int:
            if at.open_slot is not None:
                path = at.open_slot.path
                sums[path] = sums.get(path, 0.0) + _logprob(row, at.allowed(), token_id)
            return token_id

        self._walk(frontier, add)
        least = math.log(self._settings.fallback_below)
        return {path for path, logprob in sums.items() if logprob < least}


def _logprob(row: Row, allowed: Allowed, token_id: int) -> float:
    """Of a token among those allowed; of ending, whatever follows."""
    scores = np.concatenate((row[allowed.ids], row[allowed.ending])).astype(np.float64)
    total = float(np.logaddexp.reduce(scores))
    if len(allowed.ending) and token_id in allowed.ending:
        return float(np.logaddexp.reduce(row[allowed.ending].astype(np.float64))) - total
    return float(row[token_id]) - total


def _any_of(allowed: Allowed) -> int:
    return int(allowed.ending[0] if len(allowed.ending) else allowed.ids[0])
