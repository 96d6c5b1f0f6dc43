"""Signature lines: how a small backbone is told what a tool takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.prompt import signature_lines

from .prompt_fixtures import ShownTool


def _argument(schema: Any, *, required: bool = True, definitions: Any = None) -> str:
    """The line or lines of a single argument called `x`."""
    parameters = {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"] if required else [],
        "$defs": definitions or {},
    }
    heading, name, lines = signature_lines(ShownTool("t", "", parameters)).split("\n", 2)
    assert (heading, name) == ("# t", "t")
    return lines.removesuffix("\n")


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        pytest.param({"type": "string"}, "string", id="string"),
        pytest.param({"type": "string", "format": "date"}, "string(date)", id="format"),
        pytest.param({"type": "string", "pattern": "^a+$"}, "string /^a+$/", id="pattern"),
        pytest.param(
            {"type": "string", "minLength": 2, "maxLength": 5}, "string 2..5 characters", id="length"
        ),
        pytest.param({"type": "string", "minLength": 2}, "string >=2 characters", id="min-length"),
        pytest.param({"type": "string", "maxLength": 5}, "string <=5 characters", id="max-length"),
        pytest.param({"type": "integer", "minimum": 1, "maximum": 7}, "integer 1..7", id="range"),
        pytest.param({"type": "integer", "exclusiveMinimum": 0}, "integer >=1", id="integer-above"),
        pytest.param({"type": "number", "minimum": 0}, "number >=0", id="at-least"),
        pytest.param(
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "number >0 <1", id="between"
        ),
        pytest.param({"type": "integer", "multipleOf": 5}, "integer step 5", id="multiple"),
        pytest.param({"type": "boolean"}, "boolean", id="boolean"),
        pytest.param({"type": "null"}, "null", id="null"),
        pytest.param({"enum": ["a", 1, None, True]}, '"a" | 1 | null | true', id="enum"),
        pytest.param({"const": "a"}, '"a"', id="const"),
        pytest.param({"type": "array", "items": {"type": "string"}}, "string[]", id="array"),
        pytest.param(
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            "string[1..3]",
            id="array-size",
        ),
        pytest.param({"type": "array", "minItems": 1}, "any[>=1]", id="array-not-empty"),
        pytest.param({"type": "array", "minItems": 2, "maxItems": 2}, "any[2]", id="array-of-two"),
        pytest.param({"type": "array", "items": {"enum": ["a", "b"]}}, '("a" | "b")[]', id="array-of-enum"),
        pytest.param(
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "items": False},
            "[number, string]",
            id="tuple",
        ),
        pytest.param(
            {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "qty": {"type": "integer", "default": 1}},
                "required": ["sku"],
            },
            "{sku: string, qty?: integer = 1}",
            id="object",
        ),
        pytest.param({"type": "object", "additionalProperties": {"type": "number"}}, "{*: number}", id="map"),
        pytest.param({"type": "object"}, "object", id="open-object"),
        pytest.param({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null", id="union"),
        pytest.param({"type": ["integer", "null"], "minimum": 1}, "integer >=1 | null", id="type-list"),
        pytest.param(
            {"type": "string", "anyOf": [{"format": "date"}, {"format": "time"}]},
            "string(date) | string(time)",
            id="union-with-a-common-part",
        ),
        pytest.param({"allOf": [{"type": "integer"}, {"minimum": 3}]}, "integer >=3", id="all-of"),
        pytest.param({}, "any", id="any"),
        pytest.param(True, "any", id="true"),
        pytest.param(False, "never", id="false"),
    ],
)
def test_type_is_spelt_briefly(schema: Any, shown: str) -> None:
    assert _argument(schema) == f"- x: {shown}."


def test_optional_argument_has_a_question_mark_and_its_default() -> None:
    line = _argument({"type": "integer", "default": 3, "description": "How many."}, required=False)

    assert line == "- x?: integer = 3. How many."


def test_null_default_is_not_shown() -> None:
    assert _argument({"type": "string", "default": None}, required=False) == "- x?: string."


def test_descriptions_inside_an_object_follow_under_their_path() -> None:
    address = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where."}},
        "required": ["city"],
    }
    order = {
        "type": "object",
        "properties": {"to": {**address, "description": "Receiver."}},
        "required": ["to"],
        "description": "The order.",
    }

    lines = _argument(order).splitlines()

    assert lines == ["- x: {to: {city: string}}. The order.", "  - to: Receiver.", "  - to.city: Where."]


def test_small_definition_is_written_where_it_is_used() -> None:
    lines = _argument(
        {"$ref": "#/$defs/Day"}, definitions={"Day": {"enum": ["mon", "tue"], "description": "A day."}}
    )

    assert lines == '- x: "mon" | "tue". A day.'


def test_recursive_definition_is_named_and_written_once() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer", "description": "What it holds."},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        },
        "required": ["value"],
    }

    lines = _argument({"$ref": "#/$defs/Node"}, definitions={"Node": node}).splitlines()

    assert lines == [
        "- x: Node.",
        "where Node = {value: integer, children?: Node[]}.",
        "  - value: What it holds.",
    ]


def test_definitions_that_double_at_every_step_do_not_explode() -> None:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for step in range(1, 40):
        inner = {"$ref": f"#/$defs/d{step - 1}"}
        definitions[f"d{step}"] = {"type": "object", "properties": {"a": inner, "b": inner}}

    lines = _argument({"$ref": "#/$defs/d39"}, definitions=definitions)

    assert len(lines) < 4_000


def test_odd_names_are_quoted_and_every_argument_keeps_to_its_line() -> None:
    parameters = {
        "type": "object",
        "properties": {"a b\n- c": {"type": "string", "pattern": "a\nb", "description": "one\ntwo"}},
    }

    lines = signature_lines(ShownTool("odd\nname", "first\nsecond", parameters)).splitlines()

    assert lines == ["# first second", "odd name", '- "a b\\n- c"?: string /a\\nb/. one two']


def test_long_description_keeps_whole_sentences() -> None:
    description = "First sentence, which is short. " + "Then a very long one " * 20

    line = _argument({"type": "string", "description": description})

    assert line == "- x: string. First sentence, which is short."


def test_long_sentence_is_cut_between_words() -> None:
    line = _argument({"type": "string", "description": "several words " * 40})

    described = line.removeprefix("- x: string. ")
    assert len(described) <= 160
    assert described.endswith((" words...", " several..."))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_keywords = st.sampled_from(
    [
        *("type", "enum", "const", "properties", "required", "items", "prefixItems", "anyOf", "oneOf"),
        *("allOf", "$ref", "$defs", "description", "default", "format", "pattern", "minimum", "maximum"),
        *("minItems", "maxLength", "additionalProperties", "patternProperties", "exclusiveMinimum"),
    ]
)
_schemas = st.recursive(
    st.booleans()
    | st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "object", "array"])})
    | st.fixed_dictionaries(
        {"$ref": st.sampled_from(["#", "#/$defs/a", "#/properties/x", "#/nowhere", "x"])}
    ),
    lambda inner: st.dictionaries(
        _keywords,
        inner
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abx"), inner, max_size=2)
        | _json,
        max_size=4,
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(parameters=st.dictionaries(st.sampled_from(["properties", "$defs", "allOf", "type"]), _schemas))
def test_anything_that_looks_like_a_schema_has_a_listing(parameters: dict[str, Any]) -> None:
    lines = signature_lines(ShownTool("t", "", parameters))

    assert lines.startswith("# t\nt\n")
    assert lines.endswith("\n")


@settings(max_examples=300, deadline=None)
@given(schema=_schemas)
def test_any_argument_has_a_listing(schema: Any) -> None:
    parameters = {"type": "object", "properties": {"x": schema}, "$defs": {"a": schema}}

    assert signature_lines(ShownTool("t", "", parameters)).startswith("# t\nt\n- x?: ")
