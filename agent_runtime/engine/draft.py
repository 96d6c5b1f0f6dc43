"""Drafting the rest of a call without training: what is forced, what was seen, what can be copied.

A draft is a guess of the tokens to come. It follows a copy of the frontier, so it always is the beginning
of a valid call, tokenised as the call itself would be. What the backbone said at a place when it read an
earlier draft is the best guess for that place (`learn`), even where the draft was wrong elsewhere: the
values of other slots matter little for a value's beginning. Where it said nothing yet, spans of the prompt
are continued verbatim, and choices are taken that lead to the next slot soon.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from ..scaffold.canonical import string_body
from ..scaffold.frontier import Allowed, CallFrontier
from ..scaffold.nodes import Slot
from ..scaffold.token_tree import TokenNode
from ..scaffold.walker import ArrayFrame, Candidate
from .draft_copies import CopySource, values_in
from .tape import Rows
from .view import BackboneView

Row = NDArray[np.float32]

MAX_DRAFT_TOKENS = 56
"""Tokens of one draft. With what is certain, most drafts then fit one block of rows."""

_MOST_PERIOD = 12
"""Tokens of what a value repeats over and over, at most."""

_MOST_BLIND = 2
"""Drafts that may guess without any reason that one value ends."""


@dataclass(slots=True)
class Draft:
    """Tokens that may come next, and the decisions among them."""

    token_ids: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Decision:
    """The token at `index` was chosen among those allowed at a place.

    There `slot` was open and held `begun`; None between slots.
    """

    index: int
    place: Hashable
    allowed: Allowed
    slot: Slot | None
    begun: tuple[int, ...]

    @property
    def path(self) -> str | None:
        """Of the slot."""
        return None if self.slot is None else self.slot.path


class Drafter:
    """Drafts one call. It remembers what the backbone said at each place of it."""

    def __init__(
        self,
        view: BackboneView,
        source: CopySource,
        *,
        closing: Sequence[int] = (),
        is_whole: bool = False,
    ) -> None:
        """Know nothing yet.

        Args:
            view: the backbone's tokens.
            source: what values may be copied from.
            closing: what follows the completed call.
            is_whole: whether drafts are whole calls, however long and blind they are.
        """
        self._view = view
        self._source = source
        self._closing = tuple(closing)
        self._is_whole = is_whole
        self._likely: dict[Hashable, int] = {}
        self._ends: dict[str, int] = {}
        self._num_blind: Counter[str] = Counter()

    def draft(self, frontier: CallFrontier, max_tokens: int) -> Draft:
        """A guess of what follows, at most `max_tokens` tokens of it.

        Args:
            frontier: stands behind everything that is certain; left as it is.
            max_tokens: the most that may be read ahead.
        """
        frontier = frontier.copy()
        if not self._is_whole:
            max_tokens = min(max_tokens, MAX_DRAFT_TOKENS)
        draft = Draft()
        num_useful = 0
        plan = Plan()
        while True:
            draft.token_ids += frontier.take_forced(max_tokens - len(draft.token_ids))
            if frontier.completed is not None:
                draft.token_ids += self._closing
            if frontier.completed is not None or len(draft.token_ids) >= max_tokens:
                break
            place, allowed = frontier.place, frontier.allowed()
            if place not in self._likely:
                num_useful = len(draft.token_ids)
            token_id = self.guess(frontier, place, allowed, plan)
            if token_id is None:
                break
            draft.decisions.append(
                Decision(len(draft.token_ids), place, allowed, frontier.open_slot, frontier.open_tokens)
            )
            draft.token_ids.append(token_id)
            frontier.advance(token_id)
        if plan.blind_path is not None and not self._is_whole:
            # Behind a blind guess only rows of places that were never read are worth their cost, unless
            # the guess is that the value ends, and that was not wrong too often.
            self._num_blind[plan.blind_path] += 1
            if self._num_blind[plan.blind_path] > _MOST_BLIND:
                max_tokens = min(max_tokens, num_useful)
        del draft.token_ids[max(0, max_tokens) :]
        return draft

    def learn(self, draft: Draft, row: Row, behind: Rows) -> None:
        """Remember what the backbone said when it read a draft.

        Args:
            draft: what was read.
            row: the row before the draft.
            behind: the rows behind each of its tokens.
        """
        for decision in draft.decisions:
            if decision.index <= len(behind):
                self.note(
                    decision.place, decision.allowed, behind[decision.index - 1] if decision.index else row
                )

    def note(self, place: Hashable, allowed: Allowed, row: Row) -> None:
        """Remember the backbone's row at a place."""
        self._likely[place] = best_of(row, allowed)
        self._note_end(allowed, row, self._likely[place])

    def _note_end(self, allowed: Allowed, row: Row, best: int) -> None:
        """Remember what would follow a value if it ended here, for when another value stands there."""
        if allowed.path is None or not len(allowed.ending):
            return
        end = int(allowed.ending[row[allowed.ending].argmax()])
        for path in (allowed.path, _alike(allowed.path)):
            if end == best or path not in self._ends:
                self._ends[path] = end

    def guess(self, frontier: CallFrontier, place: Hashable, allowed: Allowed, plan: Plan) -> int | None:
        """The token to draft where the frontier stands; None ends the draft.

        The frontier may be told to end its value soon.
        """
        likely = self._likely.get(place)
        if likely is not None and is_allowed(likely, allowed):
            return likely
        slot = frontier.open_slot
        if slot is not None:
            begun = frontier.open_tokens
            if plan.path != slot.path or plan.token_ids[: len(begun)] != begun:
                plan.path = slot.path
                plan.written = values_in(frontier.settled_text)
                plan.token_ids, plan.is_known = self._planned(slot, begun, plan)
                if not plan.is_known:
                    plan.blind_path = plan.blind_path or slot.path
            if len(begun) < len(plan.token_ids) and is_allowed(plan.token_ids[len(begun)], allowed):
                return plan.token_ids[len(begun)]
            # Nothing is known of further items once there was no reason for this one.
            for path in self._alike_paths(slot.path) if plan.is_known else (slot.path,):
                if path in self._ends and _holds(allowed.ending, self._ends[path]):
                    return self._ends[path]
            if not len(allowed.ending):
                frontier.end_soon()
                allowed = frontier.allowed()
        return self._literal(frontier, allowed)

    def _alike_paths(self, path: str) -> tuple[str, ...]:
        """Slots whose end tells what follows this one."""
        return path, _alike(path)

    def _literal(self, frontier: CallFrontier, allowed: Allowed) -> int | None:
        """The token that leads out of a value, or on between values; None where there is no short way."""
        node = frontier.literals
        if node is not None and node.children and frontier.is_named:
            number = self._spoken_of(frontier)
            for token_id, child in node.children.items():
                if number is not None and leads_to(child, number) and is_allowed(token_id, allowed):
                    return token_id
        return towards_the_end(frontier, allowed)

    def _spoken_of(self, frontier: CallFrontier) -> int | None:
        """The first literal on offer that leads to something the question speaks of, else the last."""
        *optional, last = enumerate(frontier.candidates)
        for number, candidate in optional:
            if candidate.is_end or self._is_spoken_of(candidate, frontier):
                return number
        return last[0]

    def _is_spoken_of(self, candidate: Candidate, frontier: CallFrontier) -> bool:
        slot, frame = candidate.slot, candidate.frame
        if slot is None:
            return False
        if isinstance(frame, ArrayFrame) and frame.count > 1:
            written = values_in(frontier.settled_text)
            return bool(written) and self._source.is_listed(written[-1])
        return self._source.tells(slot.path) or any(
            self._source.says(text.strip()) for text in slot.constants
        )

    def _planned(self, slot: Slot, begun: tuple[int, ...], plan: Plan) -> tuple[tuple[int, ...], bool]:
        """The tokens a value may have that begins like this, and whether there was any reason for them."""
        period = _period(begun)
        if period:
            return (*begun, *islice(cycle(begun[-period:]), MAX_DRAFT_TOKENS)), True
        raw = self._view.bytes_of(begun)
        text = raw.decode(errors="ignore")
        value = self._value(slot, text, raw[len(text.encode()) :], plan)
        if value is None or not value.startswith(text):
            return begun, False
        planned = self.written(value, begun, text)
        return planned, planned != begun

    def written(self, value: str, begun: tuple[int, ...], text: str) -> tuple[int, ...]:
        """The tokens of a raw value that begins with these tokens, which write `text`."""
        whole = self._view.encode(value)
        if whole[: len(begun)] == begun:
            return whole
        return (*begun, *self._view.encode(value[len(text) :]))

    def _value(self, slot: Slot, begun: str, partial: bytes, plan: Plan) -> str | None:
        """A raw text the slot may hold that begins like this, and goes on with a part of a character."""
        source = self._source
        if slot.constants:
            fitting = [text for text in slot.constants if text.startswith(begun)]
            return next((text for text in fitting if source.says(text.strip())), next(iter(fitting), None))
        again = _again(plan.written) if slot.path.rpartition(".")[2].isdecimal() else None
        if again is not None:
            raw_again = (" " if slot.leading_space else "") + again
            if raw_again.startswith(begun) and not partial:
                return raw_again
        if not slot.is_string:
            number = begun.removeprefix(" ")
            copied = plan.unwritten(source.numbers_for(slot.path, number))
            if copied is None and number:
                copied = source.continued_number(number)
            return None if copied is None else (" " if slot.leading_space else "") + copied
        if not begun and not partial:
            copied = plan.unwritten(source.strings_for(slot.path))
        else:
            try:
                said = json.loads(f'"{begun}"')
            except ValueError:  # in the midst of an escape
                return None
            copied = None if partial else plan.unwritten(source.strings_for(slot.path, said))
            if copied is None:
                copied = source.continued(said, partial)
        return None if copied is None else string_body(copied)


@dataclass(slots=True)
class Plan:
    """What a draft wants to write into the slot it is in, and what the call holds before it."""

    path: str | None = None
    token_ids: tuple[int, ...] = ()
    is_known: bool = True
    blind_path: str | None = None
    written: Sequence[str] = ()

    def unwritten(self, values: Iterable[str]) -> str | None:
        """The first value that the call does not hold already."""
        return next((value for value in values if value not in self.written), None)


def _again(items: Sequence[str]) -> str | None:
    """The next item of a list that has begun to repeat itself: the last few are those before them."""
    for period in range(1, _MOST_PERIOD + 1):
        if len(items) >= 2 * period and items[-period:] == items[-2 * period : -period]:
            return items[-period]
    return None


def _period(token_ids: Sequence[int]) -> int:
    """How many tokens a value repeats, where it seems to do nothing else any more; 0 where it does not."""
    for period in range(1, _MOST_PERIOD + 1):
        length = max(4, 2 * period)
        if len(token_ids) >= length and all(
            token_ids[-place] == token_ids[-place - period] for place in range(1, length - period + 1)
        ):
            return period
    return 0


def _alike(path: str) -> str:
    """What the paths of an array's items have in common."""
    return ".".join("*" if step.isdecimal() else step for step in path.split("."))


def best_of(row: Row, allowed: Allowed) -> int:
    """The most probable token among those allowed."""
    ids, ending = allowed.ids, allowed.ending
    best = int(ids[row[ids].argmax()]) if len(ids) else -1
    last = int(ending[row[ending].argmax()]) if len(ending) else -1
    if best < 0 or last < 0:
        return max(best, last)
    return last if row[last] > row[best] else best


def is_allowed(token_id: int, allowed: Allowed) -> bool:
    """Whether a token is among those allowed."""
    return _holds(allowed.ids, token_id) or _holds(allowed.ending, token_id)


def _holds(ids: NDArray[np.int64], token_id: int) -> bool:
    at = int(np.searchsorted(ids, token_id))
    return at < len(ids) and int(ids[at]) == token_id


def towards_the_end(frontier: CallFrontier, allowed: Allowed) -> int | None:
    """The token that leads to the last of the literals on offer, which closes what can be closed.

    None where a short way out is asked for that does not exist.
    """
    node = frontier.literals
    if node is not None and node.children:
        last = max(node.children.items(), key=lambda child: _last_number(child[1]))[0]
        if is_allowed(last, allowed):
            return last
    left = allowed.ending if len(allowed.ending) else allowed.ids
    return int(left[0]) if len(left) else None


def leads_to(node: TokenNode, number: int) -> bool:
    """Whether a literal of this number goes on or ends here."""
    return number in node.ends or any(leads_to(child, number) for child in node.children.values())


def _last_number(node: TokenNode) -> int:
    return max([*node.ends, *map(_last_number, node.children.values())])
