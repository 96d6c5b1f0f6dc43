"""The Jinja template of the compact format says what the runtime's own rendering says."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from agent_runtime.messages import read_messages
from agent_runtime.prompt import PromptFormat, compact_chat_template, render_prompt

from .prompt_fixtures import GET_WEATHER, ShownTool, byte_tokenizer

_NESTED = ShownTool(
    "place_order",
    "Places an order. " * 30,
    {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "sku": {"type": "string", "pattern": "^[A-Z]+$", "description": "Stock number."},
                        "qty": {"type": "integer", "exclusiveMinimum": 0, "default": 1},
                        "note": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]},
                    },
                    "required": ["sku"],
                },
            },
            "address": {
                "type": "object",
                "description": "Where to.",
                "properties": {
                    "lines": {"type": "array", "items": {"type": "string"}, "description": "Street."},
                    "at": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
                },
            },
            "odd name": {"type": ["number", "null"], "minimum": 0, "multipleOf": 0.5},
            "labels": {"type": "object", "additionalProperties": {"enum": ["a", 1, True]}},
            "when": {"type": "string", "format": "date", "description": "Ünïcode 日本\nsecond line"},
            "whatever": {},
        },
        "required": ["items"],
    },
)
_CALLS = [
    {
        "id": "b",
        "type": "function",
        "function": {
            "name": "place_order",
            "arguments": {"odd name": 1.5, "items": [{"qty": 2, "sku": 'É"'}, {}], "extra": [None, True]},
        },
    },
    {"id": "a", "type": "function", "function": {"name": "gone", "arguments": {}}},
]
_TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": [{"type": "text", "text": "Order "}, {"type": "text", "text": "two."}]},
    {"role": "assistant", "content": "Sure.", "reasoning_content": "\nhm\n", "tool_calls": _CALLS},
    {"role": "tool", "tool_call_id": "a", "content": "first"},
    {"role": "tool", "tool_call_id": "b", "content": "second"},
    {"role": "assistant", "content": "Done."},
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Thanks."},
]


def _by_template(talk: list[dict[str, Any]], tools: list[ShownTool], **options: Any) -> str:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer())
    offered = [
        {
            "type": "function",
            "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
        }
        for t in tools
    ]
    text = tokenizer.apply_chat_template(
        copy.deepcopy(talk),
        tools=offered or None,
        chat_template=compact_chat_template(),
        tokenize=False,
        **options,
    )
    return str(text)


def _by_runtime(talk: list[dict[str, Any]], tools: list[ShownTool], **options: Any) -> str:
    return render_prompt(
        read_messages(talk), tools, format=PromptFormat.compact(), tokenizer=byte_tokenizer(), **options
    ).text


@pytest.mark.parametrize("length", range(1, len(_TALK) + 1))
@pytest.mark.parametrize("think", [False, True])
def test_template_and_runtime_agree_at_every_point_of_a_conversation(length: int, think: bool) -> None:
    talk, tools = _TALK[:length], [GET_WEATHER, _NESTED]

    by_template = _by_template(
        talk, tools, date="2026-11-20", enable_thinking=think, add_generation_prompt=True
    )

    assert by_template == _by_runtime(talk, tools, date=datetime.date(2026, 11, 20), think=think)


def test_template_and_runtime_agree_on_a_bare_question() -> None:
    talk = [{"role": "user", "content": "Hi"}]

    assert _by_template(talk, [], add_generation_prompt=False) == _by_runtime(
        talk, [], add_generation_prompt=False
    )


def test_template_refuses_what_it_cannot_show() -> None:
    tool = ShownTool("t", "", {"type": "object", "properties": {"x": {"$ref": "#/$defs/y"}}})

    with pytest.raises(Exception, match="render_prompt"):
        _by_template([{"role": "user", "content": "Hi"}], [tool])


_limits = st.fixed_dictionaries(
    {},
    optional={
        "minimum": st.integers(-5, 5) | st.floats(-2, 2),
        "maximum": st.integers(-5, 9),
        "exclusiveMinimum": st.integers(-3, 3) | st.just(0.5),
        "exclusiveMaximum": st.integers(-3, 9),
        "multipleOf": st.sampled_from([2, 0.25]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 9),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 5),
        "format": st.sampled_from(["date", "email"]),
        "pattern": st.sampled_from(["a+", "x\ny"]),
        "default": st.none() | st.integers() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2),
        "description": st.text(max_size=12) | st.text(st.sampled_from("ab. "), min_size=150, max_size=260),
    },
)
_types = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
_leaves = st.builds(
    lambda kind, limits: {**kind, **limits},
    st.fixed_dictionaries({"type": _types | st.lists(_types, min_size=1, max_size=3)})
    | st.fixed_dictionaries({"enum": st.lists(st.text(max_size=4) | st.integers() | st.none(), min_size=1)})
    | st.fixed_dictionaries({"const": st.text(max_size=4) | st.booleans()})
    | st.just({}),
    _limits,
)
_names = st.text(st.sampled_from("abA_9-. é\n"), min_size=1, max_size=5)
_schemas = st.recursive(
    _leaves,
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_names, inner, max_size=3)},
            optional={
                "required": st.lists(_names, max_size=2),
                "description": st.text(max_size=8),
                "additionalProperties": inner | st.booleans(),
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2),
            },
        )
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"prefixItems": st.lists(inner, max_size=2)}, optional={"items": inner})
        | st.fixed_dictionaries(
            {"anyOf": st.lists(inner, min_size=1, max_size=3)}, optional={"description": st.text(max_size=8)}
        )
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(schema=_schemas, description=st.text(max_size=200))
def test_template_and_runtime_list_any_tool_alike(schema: dict[str, Any], description: str) -> None:
    tools = [ShownTool("t", description, {"type": "object", "properties": {"x": schema}, "required": ["x"]})]
    talk = [{"role": "user", "content": "Hi"}]

    assert _by_template(talk, tools) == _by_runtime(talk, tools, add_generation_prompt=False)
