"""The conversation as the backbone reads it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from agent_runtime.errors import MessageError
from agent_runtime.messages import Message, ToolCall, read_messages
from agent_runtime.prompt import Prompt, PromptFormat, render_prompt

from .prompt_fixtures import GET_WEATHER, ShownTool, byte_tokenizer

_DAY = datetime.date(2026, 11, 20)
_TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "a", "name": "get_weather", "arguments": {"days": 2, "city": "Paris"}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": '{"temp": 21}'},
    {"role": "assistant", "content": "It is 21 degrees in Paris."},
]


def _render(
    talk: list[dict[str, Any]],
    tools: tuple[ShownTool, ...] = (GET_WEATHER,),
    *,
    format: PromptFormat | None = None,
    date: datetime.date | None = _DAY,
    think: bool = False,
    add_generation_prompt: bool = True,
) -> Prompt:
    return render_prompt(
        read_messages(talk),
        tools,
        format=format or PromptFormat.compact(),
        tokenizer=byte_tokenizer(),
        date=date,
        think=think,
        add_generation_prompt=add_generation_prompt,
    )


def test_compact_prompt_reads_as_documented() -> None:
    prompt = _render(_TALK, add_generation_prompt=False)

    assert prompt.text == (
        "<|begin_of_text|><|im_start|>system\n"
        "Today is 2026-11-20.\n"
        "Be brief.\n"
        "Tools:\n"
        "# Current weather for a city.\n"
        "get_weather\n"
        "- city: string. City name.\n"
        "- days?: integer 1..7 = 3. Number of days.\n"
        '- unit?: "celsius" | "fahrenheit".\n'
        "<|im_end|>\n"
        "<|im_start|>user\n"
        "Weather in Paris?<|im_end|>\n"
        "<|im_start|>assistant\n"
        "<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>tool\n"
        '{"temp": 21}<|im_end|>\n'
        "<|im_start|>assistant\n"
        "It is 21 degrees in Paris.<|im_end|>\n"
    )


def test_ids_spell_the_text() -> None:
    for format in (PromptFormat.compact(), PromptFormat.smollm3()):
        prompt = _render(_TALK, format=format)

        spelt = byte_tokenizer().decode(list(prompt.ids), skip_special_tokens=False)

        assert spelt == prompt.text


def test_smollm3_prompt_has_the_layout_the_backbone_was_trained_on() -> None:
    prompt = _render(_TALK, format=PromptFormat.smollm3())

    shown = (
        '{"type": "function", "function": '
        '{"name": "get_weather", "description": "Current weather for a city.", "parameters": '
        '{"type": "object", "properties": {"city": {"type": "string", "description": "City name."}, '
        '"days": {"type": "integer", "minimum": 1, "maximum": 7, "default": 3, '
        '"description": "Number of days."}, "unit": {"enum": ["celsius", "fahrenheit"]}}, '
        '"required": ["city"]}}}'
    )
    assert prompt.text == (
        "<|im_start|>system\n"
        "## Metadata\n\n"
        "Knowledge Cutoff Date: June 2025\n"
        "Today Date: 20 November 2026\n"
        "Reasoning Mode: /no_think\n\n"
        "## Custom Instructions\n\n"
        "Be brief.\n\n"
        "### Tools\n\n"
        "You may call one or more functions to assist with the user query.\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n\n"
        f"<tools>\n{shown}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n\n'
        "<|im_end|>\n"
        "<|im_start|>user\nWeather in Paris?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>'
        "<|im_end|>\n"
        '<|im_start|>user\n<tool_response>\n{"temp": 21}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n<think>\n\n</think>\nIt is 21 degrees in Paris.<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n"
    )


def test_without_a_date_the_prompt_is_the_same_every_day() -> None:
    for format in (PromptFormat.compact(), PromptFormat.smollm3()):
        assert "Today" not in _render(_TALK, format=format, date=None).text


def test_past_thoughts_are_shown_only_when_thinking() -> None:
    talk = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4", "reasoning": "Easy."},
        {"role": "user", "content": "3+3?"},
    ]

    thinking = _render(talk, (), format=PromptFormat.smollm3(), think=True)
    other = _render(talk, (), format=PromptFormat.smollm3(), think=False)

    assert "<|im_start|>assistant\n<think>\nEasy.\n</think>\n4<|im_end|>" in thinking.text
    assert thinking.text.endswith("<|im_start|>assistant\n")
    assert "Reasoning Mode: /think" in thinking.text
    assert "Easy." not in other.text
    assert other.text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n")


def test_flag_in_the_system_message_decides_about_thinking() -> None:
    talk = [{"role": "system", "content": "Be kind. /no_think"}, {"role": "user", "content": "Hi"}]

    prompt = _render(talk, format=PromptFormat.smollm3(), think=True)

    assert not prompt.is_thinking
    assert "Be kind.\n\n" in prompt.text
    assert prompt.text.count("/no_think") == 1  # in the header
    assert "/no_think" in _render(talk, think=True).text  # other formats have no such flag


def test_reply_so_far_is_a_prefix_of_the_next_prompt() -> None:
    """What the backbone has read and written need not be read again on the next turn."""
    for format in (PromptFormat.compact(), PromptFormat.smollm3()):
        before = _render(_TALK[:2], format=format)
        written = (
            '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>'
        )
        after = _render(_TALK[:3], format=format)

        assert after.text.startswith(before.text + written + "<|im_end|>")
        assert after.ids[: len(before.ids)] == before.ids


def test_prefix_depends_on_system_message_and_tools_alone() -> None:
    for format in (PromptFormat.compact(), PromptFormat.smollm3()):
        short = _render(_TALK[:2], format=format)
        long = _render([_TALK[0], {"role": "user", "content": "Something else?"}, *_TALK[2:]], format=format)

        assert short.prefix_tokens == long.prefix_tokens > 0
        assert short.ids[: short.prefix_tokens] == long.ids[: long.prefix_tokens]
        assert short.ids[short.prefix_tokens] == long.ids[long.prefix_tokens]


def test_system_block_that_says_nothing_is_left_out() -> None:
    prompt = _render([{"role": "user", "content": "Hi"}], (), date=None)

    assert prompt.text == "<|begin_of_text|><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_results_stand_in_the_order_of_their_calls() -> None:
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "Both?"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "a", "name": "get_weather", "arguments": {"city": "A"}},
                {"id": "b", "name": "gone", "arguments": {"z": 1, "y": []}},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "result of b"},
        {"role": "tool", "tool_call_id": "a", "content": "result of a"},
    ]

    compact = _render(talk, add_generation_prompt=False).text
    large = _render(talk, add_generation_prompt=False, format=PromptFormat.smollm3()).text

    assert compact.endswith(
        "Looking.\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "A"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "gone", "arguments": {"z": 1, "y": []}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nresult of a<|im_end|>\n<|im_start|>tool\nresult of b<|im_end|>\n"
    )
    assert large.endswith(
        "<|im_start|>user\n<tool_response>\nresult of a\n</tool_response>\n"
        "<tool_response>\nresult of b\n</tool_response><|im_end|>\n"
    )


def test_spans_lead_from_content_to_tokens_and_back() -> None:
    prompt = _render(_TALK)
    content = str(_TALK[1]["content"])
    start = content.index("Paris")

    tokens = prompt.token_span(1, start, start + 5)

    assert tokens is not None
    sources = [prompt.source(token) for token in range(*tokens)]
    assert all(source is not None and source.message_index == 1 for source in sources)
    assert min(source.start for source in sources if source) <= start
    assert max(source.end for source in sources if source) == start + 5
    assert byte_tokenizer().decode(list(prompt.ids[slice(*tokens)])).strip() == "Paris"


def test_every_message_has_its_span() -> None:
    prompt = _render(_TALK)

    for span in prompt.message_spans:
        content = str(_TALK[span.message_index].get("content", ""))
        assert prompt.text[slice(*span.chars)] == content
        assert byte_tokenizer().decode(list(prompt.ids[slice(*span.tokens)])) == content
    assert [span.message_index for span in prompt.message_spans] == [0, 1, 2, 3, 4]


def test_places_outside_the_messages_have_no_source() -> None:
    prompt = _render(_TALK)

    assert prompt.source(0) is None
    assert prompt.source(prompt.prefix_tokens) is None
    assert prompt.source(len(prompt.ids)) is None
    assert prompt.token_span(1, 0, 1_000) is None
    assert prompt.token_span(9, 0, 1) is None


def test_pieces_say_what_they_are() -> None:
    pieces = _render(_TALK).pieces

    assert [(piece.kind, piece.path, piece.text) for piece in pieces if piece.path] == [
        ("slot", "city", "Paris"),
        ("slot", "days", " 2"),
    ]
    assert [piece.text for piece in pieces if piece.kind == "name"] == ["get_weather"]
    assert {piece.kind for piece in pieces} == {
        "template",
        "content",
        "text",
        "control",
        "literal",
        "name",
        "slot",
    }


def test_arguments_that_are_no_json_are_refused_with_their_message() -> None:
    call = ToolCall(id="a", name="get_weather", arguments={"city": float("nan")})
    messages = [Message(role="user", content="x"), Message(role="assistant", tool_calls=(call,))]

    with pytest.raises(MessageError, match=r"messages\[1\].*get_weather"):
        render_prompt(messages, format=PromptFormat.compact(), tokenizer=byte_tokenizer())


def test_line_breaks_behind_a_result_belong_to_no_message() -> None:
    prompt = _render(_TALK, format=PromptFormat.smollm3())
    result = next(piece for piece in prompt.pieces if piece.message_index == 3)

    sources = [prompt.source(result.start + at) for at in range(len(result.encoded.ids))]

    assert result.text == '{"temp": 21}\n'
    assert max(source.end for source in sources if source) == len('{"temp": 21}')
    assert prompt.token_span(3, 0, len(result.text)) is None
