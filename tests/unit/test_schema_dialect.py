"""Reading dialects: the same meaning, one spelling."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.schema import compile_call, compile_schema, normalise_schema
from agent_runtime.scaffold.shape import IntegerShape, StringShape, UnionShape

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def read(schema: Any) -> dict[str, Any]:
    return normalise_schema(schema, tool_name="probe")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"$schema": DRAFT_4, "minimum": 3, "exclusiveMinimum": True},
            {"exclusiveMinimum": 3},
            id="boolean exclusiveMinimum",
        ),
        pytest.param(
            {"$schema": DRAFT_4, "minimum": 3, "exclusiveMinimum": False}, {"minimum": 3}, id="false one"
        ),
        pytest.param(
            {"$schema": DRAFT_7, "items": [{"type": "null"}], "additionalItems": False},
            {"prefixItems": [{"type": "null"}], "items": False},
            id="items list",
        ),
        pytest.param(
            {"dependencies": {"a": ["b"], "c": {"minProperties": 2}}},
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"minProperties": 2}}},
            id="dependencies",
        ),
        pytest.param(
            {"type": "string", "nullable": True}, {"type": ["string", "null"]}, id="OpenAPI nullable"
        ),
        pytest.param(
            {"$schema": DRAFT_7, "type": "string", "nullable": True},
            {"type": "string"},
            id="nullable is no keyword of draft 7",
        ),
        pytest.param({"type": "dict"}, {"type": "object"}, id="BFCL dict"),
        pytest.param({"type": "float"}, {"type": "number"}, id="BFCL float"),
        pytest.param(
            {"type": "tuple", "items": {"type": "any"}}, {"type": "array", "items": {}}, id="BFCL tuple"
        ),
        pytest.param(
            {"type": "dict", "properties": {"a": {"type": "String", "required": True}}},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            id="required in the property",
        ),
        pytest.param({"$schema": DRAFT_4, "const": 1}, {}, id="const is no keyword of draft 4"),
        pytest.param(
            {"title": "T", "x-mark": 1, "type": "string", "deprecated": True},
            {"title": "T", "type": "string", "deprecated": True},
            id="annotations",
        ),
    ],
)
def test_dialects_are_read_into_one(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(given) == expected


def test_siblings_of_ref_do_not_count_in_draft_7() -> None:
    definitions = {"short": {"type": "string"}}

    assert read(
        {"$schema": DRAFT_7, "$ref": "#/definitions/short", "maxLength": 3, "definitions": definitions}
    ) == {
        "$ref": "#/$defs/short",
        "$defs": {"short": {"type": "string"}},
    }
    assert compile_schema(
        {"$schema": DRAFT_2019, "$ref": "#/$defs/short", "maxLength": 3, "$defs": definitions},
        tool_name="probe",
    ) == StringShape(max_length=3)


def test_references_by_id_anchor_and_escaped_pointer_are_found() -> None:
    schema = {
        "$id": "https://example.com/root",
        "properties": {
            "a": {"$ref": "numbers#small"},
            "b": {"$ref": "#/$defs/odd~1name%25"},
            "c": {"$ref": "https://example.com/root#/$defs/holder/properties/inner"},
        },
        "$defs": {
            "n": {"$id": "numbers", "$defs": {"s": {"$anchor": "small", "type": "integer", "maximum": 9}}},
            "odd/name%": {"type": "integer", "maximum": 8},
            "holder": {"properties": {"inner": {"type": "integer", "maximum": 7}}},
        },
    }

    shape = compile_schema({"type": "object", **schema}, tool_name="probe")

    maxima = [item.shape.maximum for item in shape.properties]  # type: ignore[union-attr]
    assert maxima == [9, 8, 7]


def test_only_definitions_that_are_used_are_kept() -> None:
    schema = {
        "$ref": "#/definitions/used",
        "definitions": {"used": {"type": "null"}, "unused": {"type": "null"}},
    }

    assert set(read(schema)["$defs"]) == {"used"}


def test_what_is_rewritten_is_said() -> None:
    compiled = compile_call({"type": "dict", "properties": {"a": {"type": "float"}}}, tool_name="probe")

    assert compiled.notes == (
        "$: read type 'dict' as 'object'",
        "$.properties.a: read type 'float' as 'number'",
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "boolean", "enum": ["True", "False", "any"]}, {"type": "boolean", "enum": [True, False]}),
        ({"type": "integer", "enum": ["1", "2", "more"]}, {"type": "integer", "enum": [1, 2]}),
        (
            {"type": "array", "items": {"type": "string"}, "enum": ["a", "b"]},
            {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        ),
        ({"type": "string", "enum": ["1"]}, {"type": "string", "enum": ["1"]}),
    ],
)
def test_bfcl_enums_that_contradict_their_type_are_read_as_meant(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert read({"type": "dict", "properties": {"a": given}})["properties"]["a"] == expected


def test_enums_that_contradict_their_type_elsewhere_are_refused() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "enum": ["1", "2"]}}}

    with pytest.raises(SchemaError) as caught:
        compile_schema(schema, tool_name="probe")

    assert (caught.value.path, caught.value.keyword) == ("$.properties.a", "enum")


def test_declared_dialects_are_not_read_loosely() -> None:
    with pytest.raises(SchemaError) as caught:
        read({"$schema": DRAFT_2020, "type": "dict"})

    assert caught.value.keyword == "type"


def test_dynamic_reference_with_one_answer_is_a_reference() -> None:
    schema = {
        "$schema": DRAFT_2020,
        "type": "object",
        "properties": {"n": {"$dynamicRef": "#node"}},
        "$defs": {"node": {"$dynamicAnchor": "node", "type": "integer"}},
    }

    shape = compile_schema(schema, tool_name="probe")

    assert shape.properties[0].shape == IntegerShape()  # type: ignore[union-attr]


def test_draft_3_unions_of_schemas_are_read() -> None:
    schema = {"$schema": "http://json-schema.org/draft-03/schema#", "type": ["string", {"type": "null"}]}

    assert isinstance(compile_schema(schema, tool_name="probe"), UnionShape)
