from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.need import needs_of
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import (
    ArrayShape,
    GrammarShape,
    IntegerShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
)
from agent_runtime.scaffold.walker import CallWalker
from tests.programs import tiny_view
from tests.shapes import objects

VIEW = tiny_view()
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def fewest(scaffold: Scaffold) -> int:
    """The tokens of the shortest call, from the tool's name on."""
    walker = CallWalker(scaffold)
    candidates = walker.following(scaffold.tool_name)
    needs = needs_of(VIEW.vocabulary, VIEW.trees)
    return len(VIEW.encode(scaffold.tool_name)) + min(map(needs.of, candidates))


def reluctant(scaffold: Scaffold, max_tokens: int, seed: int) -> tuple[CallFrontier, int]:
    """Write a call with random tokens, ending nothing that may go on."""
    frontier = CallFrontier(
        [CallWalker(scaffold)], vocabulary=VIEW.vocabulary, trees=VIEW.trees, max_tokens=max_tokens
    )
    chance, num_tokens = random.Random(seed), 0
    while frontier.completed is None and num_tokens <= 3 * max_tokens:
        allowed = frontier.allowed()
        frontier.advance(chance.choice((allowed.ids if len(allowed.ids) else allowed.ending).tolist()))
        num_tokens += 1
    return frontier, num_tokens


@given(objects(), st.integers(0, 10**6), st.sampled_from([0, 3, 10, 40]))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=NO_SHRINKING)
def test_a_call_for_which_there_is_room_is_finished(shape: ObjectShape, seed: int, more: int) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        assume(False)
    max_tokens = fewest(scaffold) + more

    frontier, num_tokens = reluctant(scaffold, max_tokens, seed)

    assert frontier.completed is not None
    has_unique_items = "is_unique=True" in repr(shape)  # what is left for them is not known beforehand
    assert num_tokens <= max_tokens or has_unique_items


def member(shape: Shape) -> ObjectShape:
    return ObjectShape(properties=(Property(name="x", shape=shape, is_required=True),))


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        pytest.param(StringShape(min_length=20), StringShape(), id="text"),
        pytest.param(
            ArrayShape(items=IntegerShape(), min_items=4), ArrayShape(items=IntegerShape()), id="items"
        ),
        pytest.param(
            GrammarShape(schema={"type": "string", "minLength": 30}),
            GrammarShape(schema={"type": "string"}),
            id="grammar",
        ),
    ],
)
def test_what_must_be_longer_needs_more_tokens(larger: Shape, smaller: Shape) -> None:
    needs = [fewest(build_scaffold("f", member(shape))) for shape in (larger, smaller)]

    assert needs[0] > needs[1] + 3


def test_without_a_limit_nothing_is_bounded() -> None:
    scaffold = build_scaffold("f", member(ArrayShape(items=IntegerShape(minimum=0, maximum=9))))
    frontier = CallFrontier([CallWalker(scaffold)], vocabulary=VIEW.vocabulary, trees=VIEW.trees)
    frontier.take_forced()

    for _ in range(200):
        allowed = frontier.allowed()
        another = [int(i) for i in allowed.ending if VIEW.vocabulary.tokens[i].startswith(b",")]
        frontier.advance(int(allowed.ids[0]) if len(allowed.ids) else another[0])

    assert frontier.completed is None and not frontier.is_cut_short
