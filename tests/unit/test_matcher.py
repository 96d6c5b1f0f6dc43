from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_runtime.scaffold.automaton import compile_language
from agent_runtime.scaffold.grammar import MAX_DEPTH
from agent_runtime.scaffold.language import LanguageError, language_of
from agent_runtime.scaffold.matcher import SlotMatcher, matcher_for
from agent_runtime.scaffold.schema import compile_schema
from agent_runtime.scaffold.shape import (
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    Shape,
    StringShape,
)

from .shapes import scalar_shapes, schema_of
from .vocabularies import small_vocabulary

VOCABULARY = small_vocabulary()


def written(matcher: SlotMatcher, seed: int, end_probability: float = 0.1) -> list[int]:
    """Take random allowed tokens until the value ends."""
    randomness = random.Random(seed)
    taken: list[int] = []
    while True:
        allowed = np.flatnonzero(matcher.allowed())
        if matcher.can_end() and (not len(allowed) or randomness.random() < end_probability):
            return taken
        taken.append(int(randomness.choice(allowed)))
        matcher.advance(taken[-1])


def value_of(shape: Shape, text: str) -> object:
    return json.loads(f'"{text}"' if isinstance(shape, StringShape) else text)


@settings(max_examples=250, deadline=None)
@given(scalar_shapes, st.integers(0, 2**32), st.integers(0, 40), st.booleans())
def test_whatever_tokens_are_drawn_the_value_validates_within_its_budget(
    shape: Shape, seed: int, budget: int, leading_space: bool
) -> None:
    matcher = matcher_for(shape, VOCABULARY, leading_space=leading_space, budget=budget)
    fewest = compile_language(language_of(shape, leading_space=leading_space), VOCABULARY).min_tokens

    taken = written(matcher, seed)

    assert len(taken) <= max(budget, fewest)
    value = value_of(shape, matcher.text)
    validator = Draft202012Validator(schema_of(shape), format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(value)
    if isinstance(shape, StringShape):
        assert json.dumps(value, ensure_ascii=False)[1:-1] == matcher.text
    else:
        assert matcher.text.startswith(" ") == leading_space


def test_allowed_masks_are_shared_and_read_only() -> None:
    matcher = matcher_for(StringShape(), VOCABULARY, budget=8)

    mask = matcher.allowed()

    assert mask is matcher.copy().allowed()
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True


def test_control_tokens_are_never_allowed() -> None:
    for shape in (StringShape(), GrammarShape(schema={})):
        allowed = matcher_for(shape, VOCABULARY, budget=8).allowed()

        assert not allowed[-2:].any()


def test_refused_token_leaves_the_matcher_where_it_was() -> None:
    matcher = matcher_for(IntegerShape(minimum=1, maximum=9), VOCABULARY, budget=4)
    matcher.advance(ord("7"))

    with pytest.raises(ValueError, match="not allowed after '7'"):
        matcher.advance(ord("7"))

    assert matcher.text == "7"
    assert matcher.can_end()


def test_dashes_of_a_uuid_are_forced() -> None:
    tokens = VOCABULARY.tokens
    matcher = matcher_for(StringShape(format="uuid"), VOCABULARY, budget=40)
    for character in b"01234567":
        matcher.advance(tokens.index(bytes((character,))))

    allowed = matcher.allowed()

    assert {tokens[index][:1] for index in np.flatnonzero(allowed)} == {b"-"}
    assert matcher.forced() is None or tokens[matcher.forced() or 0] == b"-"


def test_copy_goes_its_own_way() -> None:
    matcher = matcher_for(StringShape(max_length=5), VOCABULARY, budget=6)
    matcher.advance(ord("a"))

    twin = matcher.copy()
    twin.advance(ord("b"))

    assert (matcher.text, twin.text) == ("a", "ab")


@pytest.mark.parametrize(
    ("shape", "earlier", "left"),
    [
        pytest.param(ConstantsShape(values=("red", "blue", 1)), ['"red"', "1"], {'"blue"'}, id="constants"),
        pytest.param(IntegerShape(minimum=1, maximum=3), ["1", " 3"], {"2"}, id="integers"),
        pytest.param(
            NumberShape(minimum=1, maximum=2, multiple_of=0.5),
            ["1", "1.50"],
            {"2", "2.0"},
            id="equal-numbers-spelt-otherwise",
        ),
    ],
)
def test_earlier_items_are_not_written_again(shape: Shape, earlier: list[str], left: set[str]) -> None:
    texts = set()
    for seed in range(20):
        matcher = matcher_for(shape, VOCABULARY, budget=8, earlier_items=earlier)
        written(matcher, seed)
        texts.add(matcher.text)

    assert texts == left


def test_taking_every_constant_is_refused() -> None:
    with pytest.raises(LanguageError, match="no value is left"):
        matcher_for(ConstantsShape(values=(True, False)), VOCABULARY, earlier_items=["true", " false"])


NODE = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 2}, "child": {"$ref": "#/$defs/node"}},
}
RECURSIVE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {**NODE, "required": ["name"], "additionalProperties": False}},
}


TREE = {"$ref": "#/$defs/tree"}
EXPRESSION = {"$ref": "#/$defs/expression"}
DEFINITIONS = {
    "tree": {
        "type": "object",
        "properties": {
            "kind": {"enum": ["leaf", "branch"]},
            "id": {"type": "string", "pattern": "^[a-z]{2}-[0-9]{4}$"},
            "children": {"type": "array", "items": TREE, "minItems": 2},
            "next": TREE,
        },
        "required": ["kind", "id"],
        "additionalProperties": {"type": "integer"},
    },
    "expression": {
        "anyOf": [
            {"type": "number", "minimum": 10},
            {
                "type": "object",
                "properties": {"op": {"enum": ["+", "-"]}, "left": EXPRESSION, "right": EXPRESSION},
                "required": ["op", "left", "right"],
            },
        ]
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(RECURSIVE, id="recursive"),
        pytest.param({}, id="anything"),
        pytest.param({"type": "object"}, id="open-object"),
        pytest.param(
            {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+@[a-z]+$"}},
            id="array-of-patterns",
        ),
        pytest.param({"type": ["number", "string"]}, id="union"),
    ],
)
@pytest.mark.parametrize("budget", [1, 12, 60])
def test_grammar_values_end_and_validate_whatever_is_drawn(schema: dict[str, object], budget: int) -> None:
    for seed in range(6):
        matcher = matcher_for(GrammarShape(schema=schema), VOCABULARY, leading_space=True, budget=budget)

        written(matcher, seed, end_probability=0.05)

        assert matcher.text.startswith(" ")
        Draft202012Validator(schema).validate(json.loads(matcher.text))


def test_a_grammar_value_past_its_budget_ends_soon() -> None:
    schema = {"type": "string", "pattern": "^[a-z]+@[a-z]+[.][a-z]{2}$"}
    matcher = matcher_for(GrammarShape(schema=schema), VOCABULARY, budget=1)

    taken = written(matcher, seed=0, end_probability=0.0)

    assert len(taken) < 60
    assert Draft202012Validator(schema).is_valid(json.loads(matcher.text))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([TREE, EXPRESSION, {}]), st.integers(0, 2**32), st.integers(1, 90))
def test_recursive_values_never_take_more_than_their_budget(schema: Any, seed: int, budget: int) -> None:
    schema = {"type": "object", "additionalProperties": schema, "minProperties": 1, "$defs": DEFINITIONS}
    shape = compile_schema(schema, tool_name="probe")
    fewest = len(written(matcher_for(shape, VOCABULARY, budget=1), seed))

    matcher = matcher_for(shape, VOCABULARY, budget=budget)
    taken = written(matcher, seed, end_probability=0.0)

    assert len(taken) <= max(budget, fewest)
    Draft202012Validator(schema).validate(json.loads(matcher.text))


def test_value_nested_too_deeply_is_ended() -> None:
    matcher = matcher_for(compile_schema({}, tool_name="probe"), VOCABULARY, budget=4000)

    while not matcher.can_end():
        opening = VOCABULARY.tokens.index(b"[")
        matcher.advance(opening if matcher.allowed()[opening] else int(matcher.allowed().argmax()))

    assert matcher.text == "[" * MAX_DEPTH + "]" * MAX_DEPTH


def test_grammar_refused_by_llguidance_says_why() -> None:
    with pytest.raises(LanguageError, match="llguidance refuses the schema"):
        matcher_for(GrammarShape(schema={"type": "string", "pattern": "(?=a)b\\b"}), VOCABULARY)
