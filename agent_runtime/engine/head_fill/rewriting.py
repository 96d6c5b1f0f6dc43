"""From a settled draft to the call that was chosen behind it: which decisions change, and to what."""

from __future__ import annotations

from collections.abc import Iterator

from ...scaffold.canonical import join_path
from ...scaffold.fitting import same_json
from ...scaffold.frontier import Allowed, CallFrontier
from ...scaffold.shape import JsonValue
from ...scaffold.token_tree import TokenNode
from ...scaffold.walker import CallWalker, Candidate, ObjectFrame
from ..draft import is_allowed
from .weighing import Changes


class Rewriting:
    """Decides one call anew where it differs from its draft. Asked at every decision, in order."""

    def __init__(self, changes: Changes, drafted: CallWalker) -> None:
        """Begin a call.

        Args:
            changes: options that are taken in place of what is drafted, and how probable they are, by path.
            drafted: behind the draft.
        """
        self._values = {
            path: option.token_ids for path, (option, _) in changes.items() if option.token_ids is not None
        }
        self._changed = changes.keys()
        self._untold = {path: probability for path, (_, probability) in changes.items()}
        self._wanted = {path: value for path, value in drafted.filled if path not in changes} | {
            path: option.value for path, (option, _) in changes.items() if option.token_ids is not None
        }
        self._empty = frozenset(_paths_of_empty(drafted.arguments, ""))

    def is_done_by(self, walker: CallWalker | None) -> bool:
        """Whether a call is what was chosen: its limits may have kept it from that."""
        return walker is not None and same_json(dict(walker.filled), self._wanted)

    def decide(self, frontier: CallFrontier, usual: int, *, is_read: bool) -> tuple[int, float] | None:
        """What is written instead of the usual token, and how probable it is; None for nothing else.

        Args:
            frontier: where it is written.
            usual: the token that would be written otherwise.
            is_read: whether the backbone has read a draft there.
        """
        slot, begun, allowed = frontier.open_slot, frontier.open_tokens, frontier.allowed()
        value = None if slot is None else self._values.get(slot.path)
        if slot is not None and value is not None:
            if begun != value[: len(begun)]:
                return None
            if len(begun) < len(value):
                token_id = value[len(begun)]
                return (token_id, self._told(slot.path)) if is_allowed(token_id, allowed) else None
        elif slot is not None and usual not in allowed.ending:
            return None
        redirected = self._redirected(frontier, allowed, usual, is_read=is_read)
        if redirected is None and value is not None and usual not in allowed.ending:
            return (int(allowed.ending[0]), 1.0) if len(allowed.ending) else None
        return redirected

    def _redirected(
        self, frontier: CallFrontier, allowed: Allowed, usual: int, *, is_read: bool
    ) -> tuple[int, float] | None:
        """The token that leads past what is left out, or to what is new."""
        node, candidates = frontier.literals, frontier.candidates
        if node is None:
            return None
        last = len(candidates) - 1  # what is left where nothing else is given: the end, or an empty object
        wanted = next((number for number, one in enumerate(candidates) if self._is_given(one)), last)
        leads = _numbers(node.children[usual]) if usual in node.children else frozenset()
        if wanted in leads:
            return None
        slots = [candidates[number].slot for number in (wanted, *sorted(leads))]
        changed = [slot.path for slot in slots if slot is not None and slot.path in self._changed]
        if is_read and not changed and usual in node.children:
            return None
        for token_id, child in node.children.items():
            if wanted in _numbers(child) and is_allowed(token_id, allowed):
                is_past = bool(changed) and changed[0] not in self._values
                return token_id, self._told(changed[0]) if is_past else 1.0
        return None

    def _is_given(self, candidate: Candidate) -> bool:
        if candidate.slot is not None:
            return candidate.slot.path in self._wanted
        return candidate.is_end or _path_of_empty(candidate) in self._empty

    def _told(self, path: str) -> float:
        """What is known of a change is said once, where it begins."""
        return self._untold.pop(path, 1.0)


def _numbers(node: TokenNode) -> frozenset[int]:
    """The literals that a node leads to."""
    return frozenset(node.ends).union(*map(_numbers, node.children.values()))


def _paths_of_empty(value: JsonValue, path: str) -> Iterator[str]:
    """The paths of empty arrays and objects."""
    if isinstance(value, (dict, list)):
        if not value:
            yield path
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths_of_empty(inner, join_path(path, key))


def _path_of_empty(candidate: Candidate) -> str:
    """The path of the empty array or object that a candidate without a slot writes."""
    frame = candidate.frame
    if isinstance(frame, ObjectFrame):
        return join_path(frame.path, frame.node.members[frame.next_index - 1].name)
    return "" if frame is None else join_path(frame.path, frame.count - 1)
