"""B3b: the values of a call written token by token, but beside one another, and then verified as a draft.

Every slot is a branch behind the tool's name (`scaffold/branches.py`), and each forward adds a token to all
of them: as many forwards as the longest required value has tokens, not their sum. What came out is a draft,
which one more forward reads for all that is no value: which optional arguments are given, how many items
there are. The values are then taken as they are, or verified too, so that the call is that of B2. Nothing of
it is trained: heads must beat it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine.decide import call_opening, decide
from ..engine.draft import Drafter, Plan, best_of
from ..engine.draft_copies import CopySource
from ..engine.fill import fill_autoregressive
from ..engine.program import Program
from ..engine.sampling import Sampler, Sampling
from ..engine.tape import Rows, Tape
from ..engine.verify import VerifiedReader, most_ahead
from ..engine.view import BackboneView
from ..messages import read_messages
from ..prompt import render_prompt
from ..scaffold.branches import SlotBranch, branch_ids, branches_of
from ..scaffold.canonical import string_body
from ..scaffold.frontier import Allowed, CallFrontier
from ..scaffold.matcher import SlotMatcher, matcher_for
from ..scaffold.nodes import Slot
from ..scaffold.scaffold import Scaffold, build_scaffold
from ..scaffold.slot_tokens import end_ids
from ..scaffold.token_tree import TokenNode
from ..scaffold.walker import CallWalker
from ..tools import Tool, bind_tools
from .questions import Question
from .rows import Answer

if TYPE_CHECKING:
    from ..engine.backbone import Backbone

_CERTAIN = np.float32(1e4)
"""More than any score."""

_NO_IDS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def side_by_side_program(
    question: Question,
    view: BackboneView,
    backbone: Backbone,
    *,
    max_tokens: int,
    max_slot_tokens: int,
    is_verified: bool,
) -> Program[Answer]:
    """Write one call of one of the question's tools.

    Args:
        question: what is asked, and the tools.
        view: the backbone's tokens.
        backbone: reads.
        max_tokens: tokens the reply may have.
        max_slot_tokens: tokens one value may have.
        is_verified: whether values that the backbone would write otherwise, behind those before them, are
            corrected.
    """
    messages, tools = read_messages(question.messages), bind_tools(question.tools)
    prompt = render_prompt(messages, tools, format=backbone.prompt_format, tokenizer=backbone.tokenizer)
    max_length = min(len(prompt.ids) + max_tokens, backbone.max_positions)
    tape = Tape()
    tape.write(prompt.ids)
    texts = [string_body(message.content).encode() for message in messages]
    frontier = CallFrontier(
        [CallWalker(scaffold) for tool in tools for scaffold in _scaffolds(tool)],
        vocabulary=view.vocabulary,
        trees=view.trees,
        max_slot_tokens=max_slot_tokens,
        max_tokens=max_length - tape.length - len(call_opening(view)),
        is_quoted=lambda part: any(part in text for text in texts),
    )
    decision = yield from decide(view, tape, frontier)
    reader = _SideBySideReader(
        view,
        _SideBySideDrafter(view, CopySource.of(view.vocabulary, prompt.ids, messages)),
        {tool.name: _scaffolds(tool) for tool in tools},
        tokens_left=lambda: max_length - tape.length,
        max_ahead=most_ahead(backbone.batch_rule),
        max_slot_tokens=max_slot_tokens,
        is_verified=is_verified,
    )
    filled = yield from fill_autoregressive(
        frontier,
        tape,
        sampler=Sampler(Sampling()),
        max_length=max_length,
        logits=decision.call_logits,
        next_row=reader.next_row,
    )
    return Answer(
        calls=() if filled is None else ((filled.name, filled.arguments),),
        forwards=tape.num_forwards,
        tokens=tape.length - len(prompt.ids),
    )


def _scaffolds(tool: Tool) -> list[Scaffold]:
    return [build_scaffold(tool.name, shape) for shape in tool.call_shapes]


class _Value:
    """The value of one slot while it is written greedily, and the tokens that lead to it."""

    def __init__(self, branch: SlotBranch, view: BackboneView, max_tokens: int) -> None:
        self.branch = branch
        self.is_ended = False
        self.token_ids: list[int] = []
        self._before = branch_ids(branch, view.encode)
        self._end_ids = np.array(end_ids(branch.slot, view.vocabulary), np.int64)
        slot = branch.slot
        self._node: TokenNode | None = view.trees.tree(slot.constants) if slot.constants else None
        self._matcher: SlotMatcher | None = None
        if self._node is None:
            self._matcher = matcher_for(
                slot.shape,
                view.vocabulary,
                leading_space=slot.leading_space,
                budget=min(slot.budget.limit, max_tokens),
            )

    @property
    def sequence(self) -> list[int]:
        """What is read: the way to the slot and the value so far."""
        return [*self._before, *self.token_ids]

    def take_forced(self) -> None:
        """Take the tokens that need no row."""
        while not self.is_ended:
            allowed = self._allowed()
            if not len(allowed.ids):
                self.is_ended = True
            elif len(allowed.ids) == 1 and not len(allowed.ending):
                self._advance(int(allowed.ids[0]))
            else:
                return

    def take_best(self, row: Rows) -> None:
        """Take the most probable token, or end."""
        allowed = self._allowed()
        best = best_of(row, allowed)
        if best in allowed.ids:
            self._advance(best)
            self.take_forced()
        else:
            self.is_ended = True

    def _allowed(self) -> Allowed:
        if self._node is not None:
            ids, can_end = self._node.ids, bool(self._node.ends)
        else:
            assert self._matcher is not None
            ids, can_end = np.flatnonzero(self._matcher.allowed()), self._matcher.can_end()
        ending = np.setdiff1d(self._end_ids, ids) if can_end else _NO_IDS
        return Allowed(ids, ending, self.branch.path)

    def _advance(self, token_id: int) -> None:
        self.token_ids.append(token_id)
        if self._node is not None:
            self._node = self._node.children[token_id]
        else:
            assert self._matcher is not None
            self._matcher.advance(token_id)


class _SideBySideDrafter(Drafter):
    """Drafts the values that were written beside one another, and copies where there is none."""

    def __init__(self, view: BackboneView, source: CopySource) -> None:
        super().__init__(view, source)
        self.values: list[_Value] = []

    def value_of(self, slot: Slot, begun: tuple[int, ...]) -> _Value | None:
        """What was written for a slot, where it begins like this."""
        for value in self.values:
            if value.branch.path == slot.path and tuple(value.token_ids[: len(begun)]) == begun:
                return value
        return None

    def _planned(self, slot: Slot, begun: tuple[int, ...], plan: Plan) -> tuple[tuple[int, ...], bool]:
        value = self.value_of(slot, begun)
        return super()._planned(slot, begun, plan) if value is None else (tuple(value.token_ids), True)


class _SideBySideReader(VerifiedReader):
    """Verified reading whose first draft is written beside one another, once the tool is known."""

    def __init__(
        self,
        view: BackboneView,
        drafter: _SideBySideDrafter,
        scaffolds_of: dict[str, list[Scaffold]],
        *,
        tokens_left: Callable[[], int],
        max_ahead: int,
        max_slot_tokens: int,
        is_verified: bool,
    ) -> None:
        super().__init__(drafter, tokens_left=tokens_left, max_ahead=max_ahead)
        self._view = view
        self._own_drafter = drafter
        self._scaffolds_of = scaffolds_of
        self._max_slot_tokens = max_slot_tokens
        self._is_verified = is_verified
        self._is_written = False

    def next_row(self, frontier: CallFrontier, tape: Tape) -> Program[Rows]:
        """The row behind everything on the tape; the frontier stands there too."""
        if frontier.is_named and not self._is_written and not tape.is_foreseen:
            self._is_written = True
            row = yield from self._write(frontier, tape)
            if row is not None:
                return self._trusting(frontier, row)
        return self._trusting(frontier, (yield from super().next_row(frontier, tape)))

    def _trusting(self, frontier: CallFrontier, row: Rows) -> Rows:
        """The row, changed to say what was written, unless that is to be verified."""
        slot, begun = frontier.open_slot, frontier.open_tokens
        value = None if slot is None or self._is_verified else self._own_drafter.value_of(slot, begun)
        if value is None:
            return row
        row = row.copy()
        if len(begun) < len(value.token_ids):
            row[value.token_ids[len(begun)]] = _CERTAIN
        elif value.is_ended:
            row[frontier.allowed().ending] += _CERTAIN
        return row

    def _write(self, frontier: CallFrontier, tape: Tape) -> Program[Rows | None]:
        """Write the values; the row behind what was pending, if anything was."""
        assert frontier.tool_name is not None
        values = [
            _Value(branch, self._view, self._max_slot_tokens)
            for scaffold in self._scaffolds_of[frontier.tool_name]
            for branch in branches_of(scaffold)
        ]
        name_end = tape.length - frontier.num_behind_name
        row: Rows | None = None
        for value in values:
            value.take_forced()
        while open_values := self._unfinished(values):
            reading = yield from tape.read_branches(
                [value.sequence for value in open_values], behind=name_end, is_exact=True
            )
            if len(reading.logits):
                row = reading.logits[-1].numpy()
            for value, rows in zip(open_values, reading.branch_logits, strict=True):
                value.take_best(rows[-1].numpy())
        self._own_drafter.values = values
        return row

    def _unfinished(self, values: Sequence[_Value]) -> list[_Value]:
        """The values still to be written: none once all required ones are; who knows if the others count."""
        awaited = [value for value in values if not value.branch.is_optional] or values
        if all(value.is_ended for value in awaited):
            return []
        return [value for value in values if not value.is_ended]
