"""Whatever schema is given: what is written is valid for it, or the schema is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.schema import compile_schema, normalise_schema
from tests.contract.schema_coverage import judge_for
from tests.contract.shape_sampler import NoSample, sample, writes

names = st.sampled_from(["a", "b", "c", "x_1"])
small = st.integers(0, 4)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.sampled_from(["a", "b", "abc", "", "é"])
)
patterns = st.sampled_from(["^a", "b$", "^[a-c]+$", "\\d", "^x_", "^(a|b)c?$", "^\\w{1,3}$"])


def _some(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=3)
    maps = st.dictionaries(names, inner, max_size=3)
    return st.one_of(
        _some(
            {
                "type": st.sampled_from(["object", ["object", "null"]]),
                "properties": maps,
                "required": st.lists(names, max_size=2, unique=True),
                "additionalProperties": inner,
                "patternProperties": st.dictionaries(patterns, inner, max_size=2),
                "propertyNames": _some(
                    {"pattern": patterns, "maxLength": small, "enum": st.lists(names, min_size=1)}
                ),
                "minProperties": small,
                "maxProperties": small,
                "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2), max_size=2),
                "dependentSchemas": st.dictionaries(names, inner, max_size=1),
                "unevaluatedProperties": inner,
            }
        ),
        _some(
            {
                "type": st.just("array"),
                "items": inner,
                "prefixItems": lists,
                "minItems": small,
                "maxItems": small,
                "uniqueItems": st.booleans(),
                "contains": inner,
                "minContains": small,
                "maxContains": small,
                "unevaluatedItems": inner,
            }
        ),
        _some(
            {
                "anyOf": lists,
                "oneOf": lists,
                "allOf": lists,
                "not": inner,
                "type": st.sampled_from(["object", "string"]),
            }
        ),
        _some({"if": inner, "then": inner, "else": inner, "properties": maps}),
    )


_leaves = st.one_of(
    st.booleans(),
    _some({"const": scalars}),
    _some({"enum": st.lists(scalars, min_size=1, max_size=4)}),
    _some(
        {
            "type": st.sampled_from(["integer", "number", ["number", "string"]]),
            "minimum": st.integers(-5, 5),
            "maximum": st.integers(-1, 9),
            "exclusiveMinimum": st.sampled_from([-1.5, 0, 2]),
            "exclusiveMaximum": st.sampled_from([1.5, 4, 8]),
            "multipleOf": st.sampled_from([1, 2, 3, 0.5]),
        }
    ),
    _some({"type": st.just("string"), "minLength": small, "maxLength": small, "pattern": patterns}),
    _some({"type": st.just("string"), "format": st.sampled_from(["date", "ipv4", "uuid", "color-name"])}),
)
schemas = st.recursive(_leaves, _schemas, max_leaves=8)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.integers(0, 2**32))
@example({"type": "object", "properties": {"a": {"minimum": 0, "multipleOf": 1}}, "required": ["a"]}, 0)
def test_everything_written_is_valid(schema: Any, seed: int) -> None:
    try:
        shape = compile_schema(schema, tool_name="probe")
    except SchemaError as refusal:
        assert refusal.path.startswith("$")
        return

    chance, judge = random.Random(seed), judge_for(schema)
    for _ in range(4):
        try:
            value = sample(shape, chance, depth=1)
        except NoSample:
            continue
        judge.validate(value)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.lists(values, min_size=3, max_size=6))
def test_no_invalid_value_is_writable(schema: Any, candidates: list[Any]) -> None:
    try:
        shape = compile_schema(schema, tool_name="probe")
    except SchemaError:
        return

    judge = judge_for(schema)
    for value in candidates:
        if not judge.is_valid(value):
            assert not writes(shape, value)


@settings(max_examples=150, deadline=None)
@given(schemas, st.lists(values, min_size=3, max_size=6))
def test_normalising_keeps_the_meaning(schema: Any, candidates: list[Any]) -> None:
    try:
        normalised = normalise_schema(schema, tool_name="probe")
    except SchemaError:
        return

    json.dumps(normalised)
    before, after = judge_for(schema), judge_for(normalised)
    for value in candidates:
        assert before.is_valid(value) == after.is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "minProperties": 1,
            "maxProperties": 3,
        },
        {"type": "object", "patternProperties": {"^x-": {"type": "null"}}, "additionalProperties": False},
        {
            "type": "object",
            "propertyNames": {"enum": ["up", "down"]},
            "additionalProperties": {"type": "boolean"},
        },
        {
            "type": "array",
            "contains": {"const": 7},
            "maxContains": 1,
            "items": {"enum": [1, 7]},
            "minItems": 3,
        },
        {
            "$ref": "#/$defs/t",
            "$defs": {"t": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/t"}}]}},
        },
        {"type": "string", "not": {"enum": ["a", "ab", ""]}, "maxLength": 2},
        {"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}], "maxLength": 4},
        {"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z])[0-9a-z]{4,8}$"},
        {
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"a": {}, "b": {}},
            "type": "object",
        },
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "unevaluatedProperties": False,
            "allOf": [{"properties": {"b": {"const": 1}}}],
        },
    ],
    ids=str,
)
def test_values_shapes_struggle_with_are_valid_too(schema: Any) -> None:
    shape = compile_schema(schema, tool_name="probe")

    judge, chance = judge_for(schema), random.Random(5)
    for _ in range(25):
        judge.validate(sample(shape, chance))


def test_judge_is_not_fooled() -> None:
    with pytest.raises(jsonschema.ValidationError):
        judge_for({"type": "string", "format": "date"}).validate("2026-02-30")
