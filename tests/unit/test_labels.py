"""Labels: what serving would read, and loss on exactly the replies."""

from __future__ import annotations

import datetime
from itertools import islice
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from agent_runtime.messages import read_messages
from agent_runtime.prompt import PromptFormat, render_prompt
from training.conversations import ExampleTool, conversation
from training.data import synthetic_examples
from training.labels import Labeller
from training.recipe import DataRecipe
from training.tokenizer import train_tokenizer

TOOL = ExampleTool(
    "get_weather",
    "Current weather for a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["city"],
    },
)
COMPACT = PromptFormat.compact()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["the weather in Paris"], vocab_size=300)


def labelled(
    tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, Any]], **changes: Any
) -> tuple[str, str]:
    """The text that carries loss, and the text of values."""
    recipe = DataRecipe(argument_weight=1.5, decision_weight=3, request_weight=0, **changes)
    sequence = Labeller(tokenizer, COMPACT, recipe).label(read_messages(messages), [TOOL])
    chosen = [token for token, weight in zip(sequence.ids, sequence.weights, strict=True) if weight]
    heavy = [token for token, weight in zip(sequence.ids, sequence.weights, strict=True) if weight == 1.5]
    return tokenizer.decode(chosen), tokenizer.decode(heavy)


def call(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "get_weather", "arguments": arguments}],
    }


USER = {"role": "user", "content": "Weather in Paris?"}


def test_loss_is_on_the_call_and_its_end_and_values_weigh_more(tokenizer: PreTrainedTokenizerFast) -> None:
    text, heavy = labelled(tokenizer, [USER, call({"city": "Paris", "days": 2})])
    assert text == (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n'
        "</tool_call><|im_end|>"
    )
    assert heavy == "Paris 2"


def test_decisions_weigh_most(tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = DataRecipe(argument_weight=1.5, decision_weight=3, request_weight=0)
    messages = [USER, {**call({"city": "Paris"}), "tool_calls": call({"city": "Paris"})["tool_calls"] * 2}]
    sequence = Labeller(tokenizer, COMPACT, recipe).label(read_messages(messages), [TOOL])
    decided = [token for token, weight in zip(sequence.ids, sequence.weights, strict=True) if weight == 3]
    assert tokenizer.decode(decided) == "<tool_call>get_weather\nget_weather<|im_end|>"


def test_every_reply_of_a_conversation_is_a_target_and_nothing_else(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    text, _ = labelled(
        tokenizer,
        [
            USER,
            call({"city": "Paris"}),
            {"role": "tool", "content": "sunny"},
            {"role": "assistant", "content": "It is sunny."},
        ],
    )
    assert text.count("<|im_end|>") == 2
    assert text.endswith("</tool_call><|im_end|>It is sunny.<|im_end|>")
    assert "Weather" not in text


def test_keys_stand_in_the_order_of_the_schema(tokenizer: PreTrainedTokenizerFast) -> None:
    text, _ = labelled(tokenizer, [USER, call({"days": 2, "city": "Paris"})])
    assert text.index("city") < text.index("days")


def test_empty_string_value_leaves_the_weights_of_the_others_in_place(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    _, heavy = labelled(tokenizer, [USER, call({"city": "Paris", "days": 2, "note": ""})])
    assert heavy == "Paris 2"


def test_reply_that_quotes_control_tokens_stays_text(tokenizer: PreTrainedTokenizerFast) -> None:
    sequence = Labeller(tokenizer, COMPACT, DataRecipe(request_weight=0)).label(
        read_messages([USER, {"role": "assistant", "content": "Say <tool_call> or <|im_end|>."}]), [TOOL]
    )
    weighed = [token for token, weight in zip(sequence.ids, sequence.weights, strict=True) if weight]
    assert weighed.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1
    assert tokenizer.convert_tokens_to_ids("<tool_call>") not in weighed


def test_requests_carry_their_own_weight_and_the_rest_of_the_prompt_none(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    messages = read_messages([USER, {"role": "assistant", "content": "Sunny."}])
    sequence = Labeller(tokenizer, COMPACT, DataRecipe(request_weight=0.1)).label(messages, [TOOL])
    light = [token for token, weight in zip(sequence.ids, sequence.weights, strict=True) if weight == 0.1]
    assert tokenizer.decode(light) == USER["content"]


def test_label_reads_what_serving_reads_then_the_reply(tokenizer: PreTrainedTokenizerFast) -> None:
    labeller = Labeller(tokenizer, COMPACT, DataRecipe(request_weight=0))
    for example in islice(synthetic_examples(5), 60):
        messages, tools, date = conversation(example)
        sequence = labeller.label(messages, tools, date=date)
        served = render_prompt(messages[:-1], tools, format=COMPACT, tokenizer=tokenizer, date=date)
        assert sequence.ids[: len(served.ids)] == served.ids
        assert all(sequence.weights[len(served.ids) : -1])  # the newline behind the end is read only


def test_date_of_an_example_is_told(tokenizer: PreTrainedTokenizerFast) -> None:
    sequence = Labeller(tokenizer, COMPACT, DataRecipe(request_weight=0)).label(
        read_messages([USER, {"role": "assistant", "content": "Sunny."}]),
        [TOOL],
        date=datetime.date(2026, 3, 4),
    )
    assert "Today is 2026-03-04." in tokenizer.decode(sequence.ids)
