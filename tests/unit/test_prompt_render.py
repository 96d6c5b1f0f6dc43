"""The conversation as the backbone reads it."""

from __future__ import annotations

import datetime
from typing import Any

from agent_runtime.messages import read_messages
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
        "# get_weather: Current weather for a city.\n"
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
