"""Weighing the values that the slots of a settled draft may have, and choosing them together.

The backbone finds a token probable where it stands; it hardly sees that two arguments hold the same span, or
that a value it copied goes on. Behind a settled draft every slot therefore has options: what is drafted, what
the span head would copy, constants where there are few, and leaving it out. One forward reads them all as
branches; what speaks for each, and against two in one call, is weighed as `Calibration.values` says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads import ClashFeatures, ValueFeatures, ValueWeights

from ...errors import AgentRuntimeError
from ...scaffold.byte_automaton import LanguageError
from ...scaffold.fitting import same_json
from ...scaffold.matcher import matcher_for
from ...scaffold.nodes import Slot
from ...scaffold.shape import JsonValue
from ...scaffold.walker import slot_value
from ..program import Program
from ..tape import Tape
from ..view import BackboneView
from .call_reading import MOST_BRANCH_TOKENS, SlotRead
from .copies import Copy

_MOST_CONSTANTS = 12
_LEAST_SHARE = 0.01
"""Spans less probable are no options: most are parts of others."""

_LEAST_LOG = -15.0
_LEAST_LOG_SPAN = -7.0
_MOST_LOG_ODDS = 9.0
_MOST_MOVES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A value that a slot may have; without tokens it is left out.

    Attributes:
        token_ids: as the slot writes it, a number's space included.
        value: what they stand for.
        features: what speaks for it.
        span: prompt tokens it would be copied from.
        num_places: where it stands in the conversation.
        is_constant: whether it is one of the slot's constants.
    """

    token_ids: tuple[int, ...] | None
    value: JsonValue = None
    features: ValueFeatures
    span: tuple[int, int] | None = None
    num_places: int = 0
    is_constant: bool = False

    def clash(self, other: Option) -> ClashFeatures:
        """What speaks against this value where another slot has the other."""
        is_told = not (self.is_constant or other.is_constant or isinstance(self.value, bool))
        if self.token_ids is None or other.token_ids is None or not is_told:
            return ClashFeatures()
        if same_json(self.value, other.value):
            is_there_twice = self.num_places > 1
            return ClashFeatures(
                is_repeated=float(not is_there_twice), is_repeated_there=float(is_there_twice)
            )
        one, two = self.span, other.span
        is_overlapping = one is not None and two is not None and one[0] < two[1] and two[0] < one[1]
        return ClashFeatures(is_overlapping=float(is_overlapping))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedSlot:
    """A slot and its options.

    Attributes:
        path: of the slot.
        kind: of the slot.
        options: at least one.
        drafted: number of the one that the settled draft holds.
    """

    path: str
    kind: str
    options: tuple[Option, ...]
    drafted: int


def read_options(
    view: BackboneView,
    tape: Tape,
    reads: Sequence[SlotRead],
    drafted: Mapping[str, JsonValue],
    *,
    copies: Mapping[str, Sequence[Copy]],
    presence: Mapping[str, float],
    text: str,
    name_end: int,
    begun: Mapping[str, tuple[int, ...]],
    max_slot_tokens: int,
) -> Program[tuple[WeighedSlot, ...]]:
    """The options of a call's slots, read beside one another in one forward.

    Args:
        view: the backbone's tokens.
        tape: holds the tool's name.
        reads: slots, no two of the same path.
        drafted: the values of the settled draft, by path.
        copies: what the span head proposes, by path.
        presence: how probable it is that optional slots are given, by path.
        text: what values may be copied from.
        name_end: tokens on the tape up to the name's end.
        begun: tokens that are written of a value, by path; its options go on from them.
        max_slot_tokens: tokens one value may take.

    Returns:
        The slots that have more than one option.
    """
    found: list[tuple[SlotRead, list[_Written]]] = []
    left = MOST_BRANCH_TOKENS
    for read in reads:
        branch = read.branch
        may_be_absent = branch.optional_path == branch.path
        if branch.path not in drafted and not may_be_absent:
            continue  # what stands around it is left out
        start = begun.get(branch.path, ())
        may_be_absent = may_be_absent and branch.path not in begun
        written = [
            one
            for one in _written(view, read, drafted, copies.get(branch.path, ()), max_slot_tokens)
            if one.is_drafted or one.token_ids[: len(start)] == start
        ]
        num_tokens = sum(len(read.literal) + len(one.token_ids) for one in written)
        is_choice = len(written) + may_be_absent > 1
        if is_choice and num_tokens <= left:
            left -= num_tokens
            found.append((read, written))
    branches = [(*read.literal, *one.token_ids) for read, written in found for one in written]
    if not branches:
        return ()
    longest = max(len(one.token_ids) for _, written in found for one in written)
    reading = yield from tape.read_branches(branches, behind=name_end, num_logits=longest + 1, is_exact=True)
    rows = iter(reading.branch_logits)
    slots: list[WeighedSlot] = []
    for read, written in found:
        path = read.branch.path
        options: list[Option] = []
        for one in written:
            scores = next(rows)[-len(one.token_ids) - 1 :].log_softmax(-1)
            said = sum(float(scores[at, token_id]) for at, token_id in enumerate(one.token_ids))
            said += float(scores[-1, list(read.end_ids)].logsumexp(-1))
            options.append(one.option(said, _num_places(one.text, text)))
        if read.branch.optional_path == path and path not in begun:
            share = min(max(presence.get(path, 0.5), 1e-6), 1 - 1e-6)
            log_odds = float(np.clip(np.log(1 - share) - np.log(share), -_MOST_LOG_ODDS, _MOST_LOG_ODDS))
            absent = ValueFeatures(
                is_drafted=float(path not in drafted), is_absent=1.0, absence_log_odds=log_odds
            )
            options.append(Option(token_ids=None, features=absent))
        at = next(number for number, option in enumerate(options) if option.features.is_drafted)
        slots.append(WeighedSlot(path=path, kind=read.branch.kind, options=tuple(options), drafted=at))
    return tuple(slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """An option that is not read yet."""

    text: str
    token_ids: tuple[int, ...]
    value: JsonValue
    is_drafted: bool
    is_constant: bool
    copy: Copy | None

    def option(self, log_probability: float, num_places: int) -> Option:
        log_span = 0.0
        if not self.is_constant:
            log_span = (
                _LEAST_LOG_SPAN if self.copy is None else float(np.log(max(self.copy.probability, 1e-9)))
            )
        return Option(
            token_ids=self.token_ids,
            value=self.value,
            features=ValueFeatures(
                is_drafted=float(self.is_drafted),
                log_probability=max(log_probability, _LEAST_LOG),
                log_span=max(log_span, _LEAST_LOG_SPAN),
                is_unproposed=float(self.copy is None and not self.is_constant),
                is_constant=float(self.is_constant),
            ),
            span=None if self.copy is None else (self.copy.start, self.copy.end),
            num_places=num_places,
            is_constant=self.is_constant,
        )


def _written(
    view: BackboneView,
    read: SlotRead,
    drafted: Mapping[str, JsonValue],
    copies: Sequence[Copy],
    max_slot_tokens: int,
) -> Iterator[_Written]:
    """What a slot may hold, the draft first, each once."""
    slot = read.branch.slot
    space = " " if slot.leading_space else ""
    by_text = {copy.text: copy for copy in copies if copy.probability >= _LEAST_SHARE}
    texts = list(by_text)
    if slot.constants:
        texts = [text.removeprefix(space) for text in slot.constants]
        texts = texts if len(texts) <= _MOST_CONSTANTS else []
    if read.branch.path in drafted:
        texts.insert(0, slot.raw_text(drafted[read.branch.path]))
    for number, text in enumerate(dict.fromkeys(texts)):
        token_ids = view.encode(space + text)
        is_drafted = number == 0 and read.branch.path in drafted
        if is_drafted or slot.constants or _is_value(slot, token_ids, view, max_slot_tokens):
            yield _Written(
                text=text,
                token_ids=token_ids,
                value=slot_value(slot, space + text),
                is_drafted=is_drafted,
                is_constant=bool(slot.constants),
                copy=by_text.get(text),
            )


def _is_value(slot: Slot, token_ids: Sequence[int], view: BackboneView, max_slot_tokens: int) -> bool:
    """Whether a slot can hold these tokens, as a whole."""
    budget = min(slot.budget.limit, max_slot_tokens)
    try:
        matcher = matcher_for(slot.shape, view.vocabulary, leading_space=slot.leading_space, budget=budget)
    except (LanguageError, AgentRuntimeError):
        return False
    for token_id in token_ids:
        mask = matcher.allowed()
        if token_id >= len(mask) or not mask[token_id]:
            return False
        matcher.advance(token_id)
    return matcher.can_end()


def _num_places(text: str, said: str) -> int:
    """How often a value stands somewhere as words of its own."""
    return len(re.findall(rf"(?<!\w){re.escape(text)}(?!\w)", said)) if text else 0


Changes = Mapping[str, tuple[Option, float]]
"""Options that are taken in place of what is drafted, and how probable they are given the others, by path."""


class Choice:
    """One option for each slot: the best together that single and pairwise changes of the draft lead to."""

    def __init__(self, slots: Sequence[WeighedSlot], weights: ValueWeights) -> None:
        """Choose."""
        self._slots = slots
        self._own = [np.array([weights.score(option.features) for option in slot.options]) for slot in slots]
        self._clashes = self._find_clashes(weights)
        self.chosen = [slot.drafted for slot in slots]
        """Number of the option of each slot."""
        for _ in range(_MOST_MOVES):
            if not self._improve():
                break

    def changes(self) -> Changes:
        """What is chosen against the draft."""
        return {
            slot.path: (slot.options[self.chosen[number]], self._probability(number))
            for number, slot in enumerate(self._slots)
            if self.chosen[number] != slot.drafted
        }

    def _probability(self, number: int) -> float:
        scores = self._scores(number)
        weights = np.exp(scores - scores.max())
        return float(weights[self.chosen[number]] / weights.sum())

    def _find_clashes(self, weights: ValueWeights) -> dict[tuple[int, int], NDArray[np.float64]]:
        """What is added for two options of two slots, where that is anything; both ways."""
        found: dict[tuple[int, int], NDArray[np.float64]] = {}
        for one, two in itertools.combinations(range(len(self._slots)), 2):
            scores = np.array(
                [
                    [weights.clash_score(option.clash(other)) for other in self._slots[two].options]
                    for option in self._slots[one].options
                ]
            )
            if scores.any():
                found[one, two], found[two, one] = scores, scores.T
        return found

    def _scores(self, number: int, *, without: int | None = None) -> NDArray[np.float64]:
        """Of a slot's options, given what is chosen for the others."""
        scores = self._own[number].copy()
        for (one, other), clashes in self._clashes.items():
            if one == number and other != without:
                scores += clashes[:, self.chosen[other]]
        return scores

    def _improve(self) -> bool:
        """Make the best change of one slot, or of two that clash; whether there was any."""
        best, change = 1e-9, {}
        for number in range(len(self._slots)):
            scores = self._scores(number)
            gains = scores - scores[self.chosen[number]]
            at = int(gains.argmax())
            if gains[at] > best:
                best, change = float(gains[at]), {number: at}
        for (one, two), clashes in self._clashes.items():
            if one > two:
                continue
            joint = self._scores(one, without=two)[:, None] + self._scores(two, without=one) + clashes
            gains = joint - joint[self.chosen[one], self.chosen[two]]
            at = int(gains.argmax())
            if gains.flat[at] > best:
                best = float(gains.flat[at])
                change = dict(zip((one, two), divmod(at, gains.shape[1]), strict=True))
        for number, at in change.items():
            self.chosen[number] = at
        return bool(change)
