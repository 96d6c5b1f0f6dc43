"""Bare listings keep what the calls need, and give the right tool no look of its own."""

from __future__ import annotations

from itertools import islice

from jsonschema import Draft202012Validator

from training.data import Example, synthetic_examples
from training.slim import MOST_TOOLS, slimmed


def slim_examples() -> list[Example]:
    made = [slimmed(example) for example in islice(synthetic_examples(3), 400)]
    return [example for example in made if example is not None]


def test_calls_still_fit_the_tools_they_call() -> None:
    made = slim_examples()
    assert len(made) > 30
    for example in made:
        schemas = {tool["name"]: tool["parameters"] for tool in example.tools}
        for call in example.target.get("tool_calls") or ():
            assert Draft202012Validator(schemas[call["name"]]).is_valid(call["arguments"])
            assert set(schemas[call["name"]]["properties"]) == set(call["arguments"])


def test_there_is_a_choice_and_no_argument_is_described() -> None:
    for example in slim_examples():
        called = {call["name"] for call in example.target.get("tool_calls") or ()}
        assert 2 <= len(example.tools) <= max(MOST_TOOLS, len(called))
        assert called <= {tool["name"] for tool in example.tools}
        for tool in example.tools:
            assert all("description" not in schema for schema in tool["parameters"]["properties"].values())


def test_other_tools_keep_as_many_arguments_as_the_called_one() -> None:
    for example in slim_examples():
        calls = example.target.get("tool_calls") or ()
        most = max((len(call["arguments"]) for call in calls), default=1) or 1
        assert all(len(tool["parameters"]["properties"]) <= most for tool in example.tools)


def test_value_that_is_not_in_the_request_word_for_word_keeps_its_description() -> None:
    for example in islice(synthetic_examples(3), 400):
        if None in example.evidence.values():
            assert slimmed(example) is None
