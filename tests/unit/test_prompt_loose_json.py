"""JSON read strictly for validation, and leniently where there is one way to read it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.prompt import validate_json
from agent_runtime.prompt.loose_json import UnreadableJson, read_loose_json

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text", ['{"a": [1, "x}", {}]}', "[]", ' "x" ', "-0.5e3", "null", "9" * 5000, '{"a": 1, "a": 2}']
)
def test_json_is_valid(text: str) -> None:
    assert validate_json(text)


@pytest.mark.parametrize(
    "text", ["", "{", "{]", "[1,]", "NaN", "01", "'x'", '"\n"', "{} {}", '{"a" 1}', "tru", "\ufeff1", "1e"]
)
def test_other_text_is_not(text: str) -> None:
    assert not validate_json(text)


@pytest.mark.parametrize("depth", [10, 5_000, 200_000])
def test_depth_of_nesting_does_not_matter(depth: int) -> None:
    assert validate_json("[" * depth + "]" * depth)
    assert validate_json('{"a": [' * depth + "1, true" + "]}" * depth)
    assert not validate_json("[" * depth + "]" * (depth - 1))
    assert not validate_json("[" * depth + "]" * (depth + 1))
    assert not validate_json("[" * depth + ",]" + "]" * (depth - 1))


@settings(deadline=None)
@given(value=_values, depth=st.just(3_000), damage=st.integers(0, 30), put=st.sampled_from('{}[],:"1 \\'))
def test_deep_text_is_judged_as_shallow_text_is(value: object, depth: int, damage: int, put: str) -> None:
    text = json.dumps(value)
    at = min(damage, len(text))
    damaged = text[:at] + put + text[at:]

    assert validate_json("[" * depth + damaged + "]" * depth) == validate_json("[" + damaged + "]")


@settings(deadline=None)
@given(value=_values, behind=st.sampled_from(["", " and more", "}", "</tool_call>"]))
def test_json_is_read_up_to_its_end(value: object, behind: str) -> None:
    text = json.dumps([value])

    read = read_loose_json(text + behind)

    assert (read.value, read.end) == ([value], len(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(
            "{'a': 'it\\'s', 'b': True, 'c': None}", {"a": "it's", "b": True, "c": None}, id="python"
        ),
        pytest.param('{"a": "one\ntwo"}', {"a": "one\ntwo"}, id="raw-line-break"),
        pytest.param('{"path": "C:\\dir"}', {"path": "C:\\dir"}, id="bad-escape"),
        pytest.param("[1, 2,]", [1, 2], id="trailing-comma"),
        pytest.param('{"a": {"b": [1, 2]', {"a": {"b": [1, 2]}}, id="missing-at-the-end"),
        pytest.param('{"a": [{"b": 1], "c": 2}', {"a": [{"b": 1}], "c": 2}, id="missing-inside"),
    ],
)
def test_what_has_one_reading_is_repaired(text: str, value: object) -> None:
    assert read_loose_json(text).value == value


@pytest.mark.parametrize(
    "text", ["", "{", '{"a"', '{"a":', '{"a": 1', '["x', "[1e999]", "{1: 2}", "[1 2]", "[007]"]
)
def test_what_has_several_readings_is_refused(text: str) -> None:
    with pytest.raises(UnreadableJson):
        read_loose_json(text)


def test_values_too_deep_for_other_code_are_refused() -> None:
    with pytest.raises(UnreadableJson, match="nested more than"):
        read_loose_json("[" * 100_000)
