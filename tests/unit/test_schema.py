"""What each keyword comes to, and what is refused, where."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.schema import compile_schema
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from tests.contract.shape_sampler import sample, writes


def shape_of(schema: Any) -> Shape:
    return compile_schema(schema, tool_name="probe")


def refusal_of(schema: Any) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        shape_of(schema)
    assert type(caught.value) is SchemaError  # its name is shown to people
    assert caught.value.tool == "probe"
    return caught.value


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "string"}, StringShape()),
        ({"type": "string", "minLength": 2, "maxLength": 5}, StringShape(min_length=2, max_length=5)),
        ({"type": "string", "pattern": "^a+$"}, StringShape(patterns=("^a+$",))),
        ({"type": "string", "format": "date-time"}, StringShape(format="date-time")),
        ({"type": "string", "format": "uri-reference"}, StringShape(format="uri")),
        ({"type": "string", "format": "license-plate"}, StringShape()),
        ({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 7}, IntegerShape(minimum=1, maximum=6)),
        ({"type": "integer", "multipleOf": 2.5}, IntegerShape(multiple_of=5)),
        ({"type": "number", "multipleOf": 3}, IntegerShape(multiple_of=3)),
        (
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            NumberShape(minimum=0, maximum=1, is_minimum_exclusive=True),
        ),
        ({"type": "boolean"}, ConstantsShape(values=(True, False))),
        ({"type": "null"}, ConstantsShape(values=(None,))),
        ({"enum": ["b", 1, None]}, ConstantsShape(values=("b", 1, None))),
        ({"type": "string", "enum": ["b", 1, None]}, ConstantsShape(values=("b",))),
        ({"const": {"a": [1]}}, ConstantsShape(values=({"a": [1]},))),
        (
            {"type": ["string", "null"]},
            UnionShape(options=(ConstantsShape(values=(None,)), StringShape())),
        ),
        ({"type": ["integer", "number"]}, NumberShape()),
        ({"type": "array", "items": {"type": "string"}}, ArrayShape(items=StringShape())),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
            ArrayShape(prefix=(IntegerShape(),), max_items=1),
        ),
        (
            {
                "type": "array",
                "items": {"type": "integer"},
                "uniqueItems": True,
                "minItems": 1,
                "maxItems": 3,
            },
            ArrayShape(items=IntegerShape(), is_unique=True, min_items=1, max_items=3),
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}},
            ArrayShape(prefix=(IntegerShape(minimum=5),), items=IntegerShape(), min_items=1),
        ),
        (
            {
                "allOf": [
                    {"type": "integer", "minimum": 1},
                    {"maximum": 9},
                    {"multipleOf": 2},
                    {"multipleOf": 3},
                ]
            },
            IntegerShape(minimum=1, maximum=9, multiple_of=6),
        ),
        (
            {"not": {"type": ["object", "array", "string", "number", "null"]}},
            ConstantsShape(values=(True, False)),
        ),
        ({"type": "integer", "not": {"minimum": 5}}, IntegerShape(maximum=4)),
        ({"enum": [1, 2, 3], "not": {"const": 2}}, ConstantsShape(values=(1, 3))),
    ],
)
def test_keywords_come_to_shapes(schema: Any, shape: Shape) -> None:
    assert shape_of(schema) == shape


def test_object_keeps_order_descriptions_and_which_properties_are_required() -> None:
    schema = {
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "Receiver."},
            "copies": {"$ref": "#/$defs/count", "description": "How many."},
        },
        "required": ["to"],
        "$defs": {"count": {"type": "integer", "minimum": 1}},
    }

    assert shape_of(schema) == ObjectShape(
        properties=(
            Property(name="to", shape=StringShape(), is_required=True, description="Receiver."),
            Property(
                name="copies", shape=IntegerShape(minimum=1), is_required=False, description="How many."
            ),
        )
    )


def test_required_property_without_schema_is_of_additional_properties_type() -> None:
    shape = shape_of(
        {"type": "object", "properties": {}, "required": ["n"], "additionalProperties": {"type": "integer"}}
    )

    assert isinstance(shape, GrammarShape)  # further integers may follow
    assert "n" in str(shape.schema)


def test_forbidden_optional_property_is_never_written() -> None:
    shape = shape_of({"type": "object", "properties": {"a": False, "b": {"type": "null"}}})

    assert isinstance(shape, ObjectShape)
    assert [item.name for item in shape.properties] == ["b"]


def test_pattern_properties_bind_declared_names() -> None:
    shape = shape_of(
        {
            "type": "object",
            "properties": {"x_count": {"type": "integer"}},
            "patternProperties": {"^x_": {"minimum": 3}},
        }
    )

    assert isinstance(shape, ObjectShape)
    assert shape.properties[0].shape == IntegerShape(minimum=3)


def test_discriminated_union_stays_a_union_of_objects() -> None:
    def option(kind: str, **properties: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": kind}, **properties}, "required": ["kind"]}

    shape = shape_of({"oneOf": [option("card", number={"type": "string"}), option("cash")]})

    assert isinstance(shape, UnionShape)
    assert all(isinstance(option, ObjectShape) for option in shape.options)


def test_one_of_leaves_out_what_two_options_allow() -> None:
    shape = shape_of({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 10}]})

    assert isinstance(shape, GrammarShape)
    bounds = sorted(
        (option["minimum"], option["maximum"]) for option in shape.schema["$defs"]["part0"]["anyOf"]
    )
    assert bounds[0][1] == -1
    assert bounds[1][0] == 11


def test_recursion_begins_a_grammar_at_the_property_that_leads_back() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name"],
    }

    shape = shape_of(schema)

    assert isinstance(shape, ObjectShape)
    parts = shape.properties[1].shape
    assert isinstance(parts, GrammarShape) or (
        isinstance(parts, ArrayShape) and isinstance(parts.items, GrammarShape)
    )


NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
    "required": ["value"],
}
EXPRESSION = {
    "anyOf": [
        {"type": "number"},
        {
            "type": "object",
            "properties": {
                "op": {"enum": ["+", "-"]},
                "left": {"$ref": "#/$defs/expression"},
                "right": {"$ref": "#/$defs/expression"},
            },
            "required": ["op", "left", "right"],
        },
    ]
}


def nested(depth: int, wrap: Callable[[Any], Any], value: Any) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 10, 30])
def test_recursive_values_may_be_of_any_depth(depth: int) -> None:
    chain = shape_of({"$ref": "#/$defs/node", "$defs": {"node": NODE}})
    sum_ = shape_of({"$ref": "#/$defs/expression", "$defs": {"expression": EXPRESSION}})

    assert writes(chain, nested(depth, lambda inner: {"value": 1, "next": inner}, {"value": 0}))
    assert writes(sum_, nested(depth, lambda inner: {"op": "+", "left": inner, "right": 1}, 2))
    assert writes(shape_of({}), nested(depth, lambda inner: {"a": [inner]}, None))
    assert not writes(chain, nested(depth, lambda inner: {"value": 1, "next": inner}, {"value": "0"}))


def test_definitions_that_lead_to_each_other_are_read_to_the_end() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {
            "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}, "required": ["b"]},
            "b": {"type": "object", "properties": {"c": {"$ref": "#/$defs/c"}}, "required": ["c"]},
            "c": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]},
        },
    }

    value = nested(6, lambda inner: {"b": {"c": inner}}, None)

    assert writes(shape_of(schema), {"a": value})


def test_option_that_never_ends_is_left_out() -> None:
    endless = {"type": "object", "properties": {"x": {"$ref": "#/$defs/endless"}}, "required": ["x"]}
    schema = {"anyOf": [{"$ref": "#/$defs/endless"}, {"type": "array", "items": {"$ref": "#"}}]}

    shape = shape_of({**schema, "$defs": {"endless": endless}})

    assert writes(shape, [[], [[]]]) and not writes(shape, [{}])


def test_keys_that_are_all_declared_are_never_sought() -> None:
    schema = {
        "type": "object",
        "unevaluatedProperties": {"const": None},
        "dependentSchemas": {"x_1": {}},
        "propertyNames": {"enum": ["x_1"]},
    }

    shape, chance = shape_of(schema), random.Random(0)

    assert all(sample(shape, chance) in ({}, {"x_1": None}) for _ in range(20))


@pytest.mark.parametrize("schema", [{}, True, {"type": "object"}, {"type": "array"}])
def test_free_form_values_are_written_by_grammar(schema: Any) -> None:
    assert "GrammarShape" in repr(shape_of(schema))


@pytest.mark.parametrize(
    ("schema", "path", "keyword"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 4}, "$", "minimum"),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "$.properties.a", "enum"),
        ({"properties": {"a": {"type": "strnig"}}}, "$.properties.a", "type"),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "$.properties.a", "$ref"),
        ({"items": {"$ref": "https://example.com/other.json"}}, "$.items", "$ref"),
        ({"properties": {"a": {"pattern": "(a)\\1"}}}, "$.properties.a", "pattern"),
        ({"properties": {"a": {"pattern": "("}}}, "$.properties.a", "pattern"),
        ({"anyOf": []}, "$", "anyOf"),
        ({"anyOf": [{"type": "string"}, {"minimum": "5"}]}, "$.anyOf[1]", "minimum"),
        ({"required": "name"}, "$", "required"),
        ({"type": "string", "minLength": 3, "maxLength": 1}, "$", "minLength"),
        ({"type": "string", "pattern": "^a$", "minLength": 3}, "$", "pattern"),
        ({"multipleOf": 0}, "$", "multipleOf"),
        ({"properties": {"a": 5}}, "$.properties.a", ""),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "$", "allOf"),
        ({"not": {}}, "$", "not"),
        ({"$ref": "#"}, "$", "$ref"),
    ],
)
def test_refusal_names_path_and_keyword(schema: Any, path: str, keyword: str) -> None:
    refusal = refusal_of(schema)

    assert (refusal.path, refusal.keyword) == (path, keyword)


def test_recursion_that_never_ends_is_refused() -> None:
    refusal = refusal_of(
        {
            "type": "object",
            "properties": {"next": {"$ref": "#"}},
            "required": ["next"],
            "additionalProperties": False,
        }
    )

    assert refusal.path.startswith("$")


def test_optional_property_that_contradicts_itself_is_refused() -> None:
    refusal = refusal_of(
        {"type": "object", "properties": {"a": {"allOf": [{"type": "null"}, {"type": "string"}]}}}
    )

    assert (refusal.path, refusal.keyword) == ("$.properties.a", "allOf")


def test_optional_property_that_another_part_rules_out_is_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
        "allOf": [{"properties": {"a": {"type": "string"}}}],
    }

    shape = shape_of(schema)

    assert isinstance(shape, ObjectShape)
    assert [item.name for item in shape.properties] == ["b"]


def test_optional_nullable_property_is_left_out_rather_than_null() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string", "nullable": True}},
        "required": ["b"],
    }

    shape = shape_of(schema)

    assert isinstance(shape, ObjectShape)
    assert shape.properties[0].shape == StringShape()
    assert isinstance(shape.properties[1].shape, UnionShape)


def test_deep_nesting_is_refused_not_crashed_on() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}

    assert "nested" in refusal_of(schema).reason


def test_many_alternatives_do_not_multiply_without_limit() -> None:
    pair = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}, {"required": ["c"]}]}
    names = {name: {"type": "integer"} for name in "abc"}

    assert shape_of({"type": "object", "properties": names, "allOf": [pair] * 12}) is not None
