from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.endings import Endings
from agent_runtime.scaffold.schema import compile_schema
from agent_runtime.scaffold.shape import ArrayShape, GrammarShape, ObjectShape, Shape, UnionShape
from tests.contract.schema_coverage import judge_for
from tests.contract.shape_sampler import NoSample, matcher_of, walk

from .test_schema_soundness import schemas

TREE = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["leaf", "branch"]},
        "label": {"type": "string", "minLength": 3},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "minItems": 1},
        "next": {"$ref": "#/$defs/tree"},
    },
    "required": ["kind"],
}
LIST = {"anyOf": [{"type": "integer", "minimum": 10}, {"type": "array", "items": {"$ref": "#/$defs/list"}}]}


def grammars_in(shape: Shape) -> list[GrammarShape]:
    match shape:
        case GrammarShape():
            return [shape]
        case ObjectShape():
            return [found for item in shape.properties for found in grammars_in(item.shape)]
        case ArrayShape():
            inner = [*shape.prefix, *([] if shape.items is None else [shape.items])]
            return [found for item in inner for found in grammars_in(item)]
        case UnionShape():
            return [found for option in shape.options for found in grammars_in(option)]
    return []


def grammar_of(schema: Any) -> GrammarShape:
    """What a schema's recursive part becomes."""
    return grammars_in(compile_schema(schema, tool_name="probe"))[0]


TREES = grammar_of({"$ref": "#/$defs/tree", "$defs": {"tree": TREE}})
LISTS = grammar_of({"type": "object", "properties": {"x": {"$ref": "#/$defs/list"}}, "$defs": {"list": LIST}})


@pytest.mark.parametrize(
    ("begun", "tail"),
    [
        pytest.param("", '[{"kind": "leaf"}]', id="nothing-yet"),
        pytest.param("[", '{"kind": "leaf"}]', id="items-that-must-be"),
        pytest.param('[{"kind": "b', 'ranch"}]', id="constant"),
        pytest.param('[{"kind": "leaf"', "}]", id="what-must-be-is-there"),
        pytest.param('[{"kind": "leaf"},', ' {"kind": "leaf"}]', id="another-item-was-begun"),
        pytest.param('[{"kind": "leaf", "nex', 't": {"kind": "leaf"}}]', id="key"),
        pytest.param('[{"kind": "leaf", "next": {"kind": "leaf"', "}}]", id="deeper"),
    ],
)
def test_shortest_end_of_a_tree(begun: str, tail: str) -> None:
    assert Endings(TREES.schema).after(begun.encode()) == tail.encode()


@pytest.mark.parametrize(
    "begun",
    ['[{"kind": "leaf", "label": "', '[{"kind": "leaf", "label": "a\\', '[{"kind": "leaf", "label": "\xe9'],
)
def test_a_string_is_made_long_enough(begun: str) -> None:
    tail = Endings(TREES.schema).after(begun.encode()[:-1] if begun.endswith("\xe9") else begun.encode())

    assert tail is not None and 4 <= len(tail) <= 12
    assert tail.endswith(b'"}]')


def test_a_number_ends_where_it_may() -> None:
    endings = Endings(LISTS.schema)

    assert endings.after(b"[[12") == b"]]"
    assert len(endings.after(b"[[1") or b"") == len("2]]")
    assert endings.after(b"[[]]") == b""


@pytest.mark.parametrize(
    "begun", [b"", b"{", b'{"', b'{"x nig', b'{"nightly', b'{"nightly": 1, "be', b'{"nightly": 1,']
)
def test_a_key_is_made_to_match_its_pattern(begun: bytes) -> None:
    channels = {
        "type": "object",
        "patternProperties": {"nightly|beta": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 1,
    }
    grammar = grammar_of(channels)

    tail = Endings(grammar.schema).after(begun)

    assert tail is not None and len(tail) < 20
    judge_for(channels).validate(json.loads(begun + tail))


@pytest.mark.parametrize("begun", [b"", b"a.", b"a.f", b"a\\", "日".encode()[:2], "😀".encode()[:1], b"\xe0"])
def test_a_text_that_breaks_off_in_a_character_is_made_to_match_its_pattern(begun: bytes) -> None:
    files = {"type": "object", "additionalProperties": {"type": "string", "pattern": "^.*\\.fmu$"}}
    text = b'{"x": "' + begun

    tail = Endings(grammar_of(files).schema).after(text)

    assert tail is not None and len(tail) < 12
    judge_for(files).validate(json.loads(text + tail))


def test_text_that_no_value_begins_with_has_no_end() -> None:
    assert Endings(LISTS.schema).after(b'{"a') is None


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"type": ["string", "null"]}, {"$ref": "#", "type": "array"}]
)
def test_schemas_of_other_dialects_say_nothing(schema: Any) -> None:
    assert Endings(schema).after(b"") is None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.integers(0, 2**32))
def test_whatever_was_begun_can_be_completed(schema: Any, seed: int) -> None:
    try:
        shape = compile_schema(schema, tool_name="probe")
    except SchemaError:
        assume(False)
    found = grammars_in(shape)
    assume(found)
    chance = random.Random(seed)

    for grammar in found[:3]:
        try:
            text = json.dumps(walk(grammar.schema, chance), ensure_ascii=False).encode()
        except NoSample:
            continue
        begun = text[: chance.randint(0, len(text))]
        matcher = matcher_of(grammar.schema)
        if matcher.try_consume_tokens(list(begun)) != len(begun):
            continue  # python spells some numbers otherwise

        tail = Endings(grammar.schema).after(begun)

        assert tail is not None
        assert matcher.try_consume_tokens(list(tail)) == len(tail) and matcher.is_accepting()
        if grammar is shape:
            judge_for(schema).validate(json.loads(begun + tail))
