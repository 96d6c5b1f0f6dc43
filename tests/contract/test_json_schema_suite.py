"""Against the official JSON-Schema-Test-Suite: what is written is valid, the invalid is never writable."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.scaffold.schema import compile_schema
from tests.shared_data import shared

from .schema_coverage import DRAFTS, Tally, run_suite
from .shape_sampler import writes


@pytest.fixture(scope="module")
def results() -> dict[str, Tally]:
    shared("schemas/json-schema-test-suite")
    return run_suite(samples=1, every=4)


@pytest.mark.parametrize("draft", DRAFTS)
def test_nothing_wrong_is_written(results: dict[str, Tally], draft: str) -> None:
    assert results[draft].wrong == []


@pytest.mark.parametrize("draft", DRAFTS)
def test_most_of_the_suite_is_accepted(results: dict[str, Tally], draft: str) -> None:
    tally = results[draft]

    # What is left is unsatisfiable on purpose, lies on another server, or resolves references at run time.
    assert tally.accepted / tally.schemas > 0.8


# The same in small, so that it is checked everywhere: schema, a valid value that is written, an invalid one.
_SMALL: list[tuple[Any, Any, Any]] = [
    ({"type": "integer", "minimum": 2}, 2, 1),
    ({"type": "integer", "multipleOf": 3}, 6, 7),
    ({"type": "number", "exclusiveMaximum": 3}, 2.5, 3),
    ({"type": "string", "maxLength": 2}, "ab", "abc"),
    ({"type": "string", "pattern": "^[0-9]+$"}, "12", "1a"),
    ({"type": "string", "format": "ipv4"}, "127.0.0.1", "127.0.0.256"),
    ({"type": "string", "format": "date"}, "2024-02-29", "2023-02-29"),
    ({"enum": [1, "a", None]}, None, True),
    ({"const": {"a": [1, 2]}}, {"a": [1, 2]}, {"a": [2, 1]}),
    ({"type": ["null", "boolean"]}, False, 0),
    ({"type": "array", "items": {"type": "null"}, "maxItems": 2}, [None], [None] * 3),
    ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [1, 2], [2]),
    ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}, [2, 1], [1, 1]),
    ({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}}, [2, 1], [1]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1}, {}),
    ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, {"a": [1]}, {"b": 1}),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "1"}),
    (
        {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
        {"x1": None},
        {"y": None},
    ),
    (
        {"type": "object", "additionalProperties": {"const": 1}, "minProperties": 1, "maxProperties": 1},
        {"k": 1},
        {"k": 1, "l": 1},
    ),
    (
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
        {"a": 1, "b": 1},
        {"a": 1},
    ),
    (
        {"type": "object", "propertyNames": {"enum": ["up"]}, "additionalProperties": {"const": 1}},
        {"up": 1},
        {"down": 1},
    ),
    (
        {
            "type": "object",
            "properties": {"on": {"type": "string"}},
            "required": ["on"],
            "additionalProperties": {"type": "integer"},
        },
        {"on": "x", "only": 1},
        {"on": "x", "only": "1"},
    ),
    ({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}, 3, 2),
    ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, 1, 3),
    ({"allOf": [{"type": "integer"}, {"maximum": 3}]}, 3, 4),
    ({"not": {"type": ["object", "array", "null", "boolean", "string"]}}, 0.5, "2"),
    ({"type": "integer", "if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": {"maximum": 2}}, 10, 4),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 5, "5"),
    (
        {"type": "object", "properties": {"n": {"$ref": "#"}}, "additionalProperties": False},
        {"n": {}},
        {"n": 1},
    ),
    (
        {"type": "object", "allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
        {"a": 1},
        {"b": 1},
    ),
]


@pytest.mark.parametrize(("schema", "valid", "invalid"), _SMALL, ids=[str(row[0])[:60] for row in _SMALL])
def test_valid_is_writable_and_invalid_is_not(schema: Any, valid: Any, invalid: Any) -> None:
    shape = compile_schema(schema, tool_name="probe")

    assert writes(shape, valid)
    assert not writes(shape, invalid)
