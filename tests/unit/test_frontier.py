from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runtime.errors import SchemaError
from agent_runtime.prompt.encode import encode_call
from agent_runtime.scaffold.fitting import same_json
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import IntegerShape, ObjectShape, Property, StringShape
from agent_runtime.scaffold.token_tree import TokenTrees, token_tree
from agent_runtime.scaffold.walker import CallWalker
from tests.programs import tiny_view
from tests.shapes import objects, random_walk
from tests.tiny_model import make_tiny_tokenizer

VIEW = tiny_view()
TOKENIZER = make_tiny_tokenizer()
NUM_OPENING = 1 + len(VIEW.encode('\n{"name": "'))


def frontier_of(*scaffolds: Scaffold) -> CallFrontier:
    return CallFrontier(
        [CallWalker(scaffold) for scaffold in scaffolds], vocabulary=VIEW.vocabulary, trees=VIEW.trees
    )


def call_tokens(scaffold: Scaffold, arguments: dict[str, object]) -> list[int]:
    """The tokens of a call from its name to its end, tags left out."""
    return encode_call(scaffold.render(arguments), tokenizer=TOKENIZER)[NUM_OPENING:-1]


@given(objects(), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_valid_call_can_be_written_in_its_canonical_tokens(shape: ObjectShape, seed: int) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return
    walked = random_walk(CallWalker(scaffold), random.Random(seed)).arguments

    frontier = frontier_of(scaffold)
    for token_id in call_tokens(scaffold, walked):
        frontier.advance(token_id)

    assert frontier.completed is not None
    assert same_json(frontier.completed.arguments, walked)


@given(objects(), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_going_on_and_ending_are_told_apart(shape: ObjectShape, seed: int) -> None:
    try:
        frontier = frontier_of(build_scaffold("f", shape))
    except SchemaError:
        return
    chance = random.Random(seed)

    for _ in range(60):
        if frontier.completed is not None:
            break
        allowed = frontier.allowed()
        assert len(np.intersect1d(allowed.ids, allowed.ending)) == 0
        assert (np.diff(allowed.ids) > 0).all() and (np.diff(allowed.ending) > 0).all()
        frontier.advance(chance.choice([*allowed.ids.tolist(), *allowed.ending.tolist()]))


CITY = ObjectShape(properties=(Property(name="city", shape=StringShape(), is_required=True),))
DAYS = ObjectShape(properties=(Property(name="days", shape=IntegerShape(), is_required=True),))


def test_a_tool_is_known_when_no_other_is_left() -> None:
    first, second = build_scaffold("get_weather", CITY), build_scaffold("get_time", DAYS)
    frontier = frontier_of(first, second)
    tokens = call_tokens(second, {"days": 3})

    frontier.take_forced()
    assert frontier.tool_name is None and not frontier.is_named
    for token_id in tokens[len(VIEW.encode("get_")) :]:
        frontier.advance(token_id)
        assert frontier.tool_name == "get_time"

    assert frontier.completed is not None and frontier.completed.arguments == {"days": 3}


def test_forced_tokens_lead_up_to_the_first_choice() -> None:
    frontier = frontier_of(build_scaffold("get_weather", CITY))

    taken = frontier.take_forced()

    assert VIEW.bytes_of(taken) == b'get_weather", "arguments": {"city": "'
    assert frontier.slot_path(0) == "city"


def test_a_token_that_cannot_come_next_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot come next"):
        frontier_of(build_scaffold("f", CITY)).advance(VIEW.call_close)


def test_equal_sequences_end_at_the_same_place_of_a_tree() -> None:
    root = token_tree({0: (1, 2), 1: (1,), 2: (1, 2)})

    assert root.ids.tolist() == [1]
    assert root.children[1].ends == [1] and root.children[1].children[2].ends == [0, 2]


def test_trees_of_the_same_texts_are_made_once() -> None:
    trees = TokenTrees(VIEW.encode)

    assert trees.tree(("a", "b")) is trees.tree(("a", "b"))
