"""Making facts writable: demands that no shape can say are met on purpose.

`contains` becomes items by position, "some key outside this set" becomes a required key. What cannot be
met on purpose raises `Unwritable`; another alternative may still be writable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from . import text
from .facts import ArrayFacts, NumberFacts, ObjectFacts, StringFacts, both, is_nothing
from .options import OptionReader

_MAX_ALTERNATIVES = 4


class Unwritable(Exception):
    """Facts that can be checked but not written on purpose. `keyword` is what stands in the way."""

    def __init__(self, reason: str, keyword: str) -> None:
        """Say why, and which keyword is to blame."""
        self.reason = reason
        self.keyword = keyword
        super().__init__(reason)


def settled_array(facts: ArrayFacts, reader: OptionReader) -> ArrayFacts:
    """The facts without `contains`: the first items that may satisfy it must."""
    if facts.has_duplicates:
        raise Unwritable("an array whose items are not unique cannot be asked for", "not")
    if len(facts.contains) > 1 and any(item.maximum is not None for item in facts.contains):
        raise Unwritable(
            "maxContains together with another contains cannot be kept while writing", "maxContains"
        )
    prefix, rest, start = list(facts.prefix), facts.rest, 0
    for contains in facts.contains:
        while len(prefix) > start and reader.is_empty(both(prefix[start], contains.item)):
            start += 1
        end = start + contains.minimum
        while len(prefix) < end:
            prefix.append(rest)
        if contains.maximum is not None:
            outside = [*range(start), *range(end, len(prefix))]
            for index in outside:
                prefix[index] = both(prefix[index], contains.negation)
            rest = both(rest, contains.negation)
        for index in range(start, end):
            prefix[index] = both(prefix[index], contains.item)
        start = end
    result = replace(
        facts,
        prefix=tuple(prefix),
        rest=rest,
        contains=(),
        min_items=max(facts.min_items, start if facts.contains else 0),
    )
    if result.max_items is not None and result.min_items > result.max_items:
        raise Unwritable("contains asks for more items than maxItems allows", "contains")
    return result


def settled_objects(facts: ObjectFacts, reader: OptionReader) -> Iterable[ObjectFacts]:
    """The facts without `extras`: some declared key outside each set is required."""
    pending = [facts]
    while pending:
        current = pending.pop(0)
        open_set = next((known for known in current.extras if set(current.required) <= known), None)
        if open_set is None:
            yield replace(current, extras=())
            continue
        free = [
            name
            for name in current.declared()
            if name not in open_set and not reader.is_empty(reader.property_node(current, name))
        ]
        pending += [replace(current, required=(*current.required, name)) for name in free[:_MAX_ALTERNATIVES]]


def settled_string(facts: StringFacts) -> StringFacts:
    """The facts with patterns alone: no excluded words, no negations."""
    patterns, formats = list(facts.patterns), []
    for name in facts.formats:
        exact, others = text.written_format(name)
        patterns += others
        if exact is not None and exact not in formats:
            formats.append(exact)
    if len(formats) > 1:
        raise Unwritable(f"the formats {' and '.join(formats)} at once are not supported", "format")
    if facts.excluded:
        patterns.append(text.all_but(facts.excluded))
    if facts.not_formats:
        raise Unwritable(f"text that is no {facts.not_formats[0]} cannot be asked for", "not")
    for pattern in facts.not_patterns:
        if text.is_apart(facts, pattern):
            continue
        opposite = text.negated(pattern)
        if opposite is None:
            raise Unwritable(f"text without {pattern!r} cannot be asked for", "not")
        patterns.append(opposite)
    settled = StringFacts(
        min_length=facts.min_length,
        max_length=facts.max_length,
        patterns=tuple(patterns),
        formats=tuple(formats),
    )
    if text.is_unwritable(settled):
        raise Unwritable(
            "no text of this format or pattern has an allowed length", "format" if formats else "pattern"
        )
    return settled


def settled_number(facts: NumberFacts) -> NumberFacts:
    """The facts, if they ask for nothing but bounds, a step, or an integer."""
    if facts.has_fraction:
        raise Unwritable("a number that is no integer cannot be asked for", "not")
    if facts.not_multiples:
        raise Unwritable("a number that is no multiple cannot be asked for", "not")
    return facts


def is_open(facts: ObjectFacts) -> bool:
    """Whether keys that nothing declares are allowed."""
    return not any(is_nothing(scope.additional) and not scope.patterns for scope in facts.scopes)


def wants_more_keys(facts: ObjectFacts) -> bool:
    """Whether undeclared keys are the point: a map, or an object that says of what type further keys are."""
    if not is_open(facts):
        return False
    typed = (
        scope.additional for scope in facts.scopes if scope.additional and not is_nothing(scope.additional)
    )
    return not facts.declared() or any(
        not isinstance(item.schema, bool) and any(key in item.schema for key in _CONSTRAINTS)
        for additional in typed
        for item in additional
        if not item.is_negated
    )


_CONSTRAINTS = (
    "type", "enum", "const", "$ref", "properties", "items", "anyOf", "oneOf", "allOf", "pattern", "format",
    "minimum", "maximum", "required", "patternProperties", "additionalProperties",
)  # fmt: skip
