"""What an evaluation counts: pure arithmetic on expected and given calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runtime.evaluation import Share
from agent_runtime.evaluation.bfcl import Call

from .data import leaves


def value_type(value: Any) -> str:
    """The JSON type of a value, as tables name it."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
        case list():
            return "empty array"
        case _:
            return "empty object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One case: what was expected and what came."""

    id: str
    group: str
    kind: str
    expected: tuple[Call, ...]
    """The calls of the reference; none where words are right."""
    given: tuple[Call, ...]
    text: str
    is_exact: bool
    """By the rules of the data: equal values, or BFCL's."""
    is_call_expected: bool
    is_valid: bool
    """Every given call names an offered tool and validates against its schema."""
    has_tried: bool
    """A call was made, or something that can only be meant as one."""
    latency_ms: float = 0.0


@dataclass(slots=True)
class Scores:
    """All figures of a group of cases."""

    exact: Share = field(default_factory=Share)
    called_rightly: Share = field(default_factory=Share)
    """Of the calls made, those where a call was right: precision."""
    call_found: Share = field(default_factory=Share)
    """Of the cases that need a call, those where one was made: recall."""
    names: Share = field(default_factory=Share)
    """Of the cases that need a call, those with the right tools, in number too."""
    valid: Share = field(default_factory=Share)
    """Of the calls tried, those that name an offered tool and validate against its schema."""
    values: dict[str, Share] = field(default_factory=dict)
    """By type: expected values that were given, in calls of the right tool."""
    latencies_ms: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one case."""
        has_called = bool(outcome.given)
        self.exact.add(outcome.is_exact)
        self.latencies_ms.append(outcome.latency_ms)
        if has_called:
            self.called_rightly.add(outcome.is_call_expected)
        if outcome.has_tried:
            self.valid.add(outcome.is_valid)
        if outcome.is_call_expected:
            self.call_found.add(has_called)
        if outcome.expected:
            self.names.add(sorted(c.name for c in outcome.expected) == sorted(c.name for c in outcome.given))
            self._add_values(outcome.expected, outcome.given)

    def _add_values(self, expected: Sequence[Call], given: Sequence[Call]) -> None:
        left = list(given)
        for call in expected:
            pair = next((other for other in left if other.name == call.name), None)
            if pair is None:
                continue
            left.remove(pair)
            found = dict(leaves(dict(pair.arguments)))
            for path, value in leaves(dict(call.arguments)):
                share = self.values.setdefault(value_type(value), Share())
                share.add(path in found and is_same(found[path], value))


def is_same(given: Any, expected: Any) -> bool:
    """Equal as JSON values: 2 and 2.0 are the same number, true and 1 are not the same."""
    if isinstance(given, bool) or isinstance(expected, bool):
        return given is expected
    if isinstance(given, dict) and isinstance(expected, dict):
        return given.keys() == expected.keys() and all(is_same(given[key], expected[key]) for key in given)
    if isinstance(given, list) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(is_same, given, expected))
    return bool(given == expected)


def is_same_calls(given: Sequence[Call], expected: Sequence[Call]) -> bool:
    """The same calls with the same arguments, in any order."""
    left = list(given)
    for call in expected:
        pair = next(
            (o for o in left if o.name == call.name and is_same(dict(o.arguments), dict(call.arguments))),
            None,
        )
        if pair is None:
            return False
        left.remove(pair)
    return not left


def grouped(outcomes: Iterable[Outcome]) -> dict[str, Scores]:
    """Scores by group, in order of first appearance."""
    groups: dict[str, Scores] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.group, Scores()).add(outcome)
    return groups
