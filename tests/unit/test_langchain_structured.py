"""Structured output: every method, every kind of schema, and what it is asked for."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

import jsonschema
import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from agent_runtime import AgentRuntime, ConfigError, SchemaError
from agent_runtime.testing import Reply, ScriptedEngine, call, calls
from integrations.langchain import ChatSmolLM3, argument_report


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0, le=150)


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


SCHEMA = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "maximum": 150}},
    "required": ["name", "age"],
}
METHODS = ["json_schema", "function_calling", "json_mode"]
ANNA = {"name": "Anna", "age": 30}


def get_weather(city: str) -> str:
    """Current weather for a city."""
    return city


def scripted(*replies: Reply) -> tuple[ChatSmolLM3, ScriptedEngine]:
    engine = ScriptedEngine(*replies)
    return ChatSmolLM3(runtime=AgentRuntime(engine)), engine


def offered_call(arguments: dict[str, Any]) -> Callable[[Any], Reply]:
    """A reply that calls the only tool on offer."""
    return lambda order: calls(call(order.tools[0].name, arguments))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strict", [None, True, False])
def test_a_models_class_gives_its_instances(method: Any, strict: bool | None) -> None:
    model, engine = scripted(offered_call(ANNA))

    person = model.with_structured_output(Person, method=method, strict=strict).invoke("Anna is 30.")

    assert person == Person(name="Anna", age=30)
    (order,) = engine.orders
    assert order.tool_choice.mode == "required"
    assert order.tools[0].parameters["properties"]["age"]["maximum"] == 150


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(PersonDict, id="typeddict"),
        pytest.param(SCHEMA, id="schema"),
        pytest.param(
            {key: value for key, value in SCHEMA.items() if key != "title"}, id="schema without title"
        ),
        pytest.param({"name": "Person", "parameters": SCHEMA}, id="tool"),
        pytest.param({"type": "function", "function": {"name": "P", "parameters": SCHEMA}}, id="openai tool"),
    ],
)
async def test_other_schemas_give_dicts(method: Any, schema: Any) -> None:
    model, _ = scripted(offered_call(ANNA))
    structured: Runnable[Any, Any] = model.with_structured_output(schema, method=method)

    assert await structured.ainvoke("Anna is 30.") == ANNA
    assert [part async for part in structured.astream("Anna is 30.")][-1] == ANNA


@pytest.mark.parametrize("method", METHODS)
def test_the_raw_message_comes_with_its_report(method: Any) -> None:
    model, _ = scripted(offered_call(ANNA))

    found: Any = model.with_structured_output(Person, method=method, include_raw=True).invoke("Anna is 30.")

    assert (found["parsed"], found["parsing_error"]) == (Person(**ANNA), None)
    (report,) = argument_report(found["raw"])
    assert {path: argument.value for path, argument in report.arguments.items()} == ANNA


@pytest.mark.parametrize("way", ["invoke", "stream", "v3"])
@pytest.mark.filterwarnings("ignore:The method `BaseChatModel")
def test_the_report_of_an_answer_is_on_its_text_block_too(way: str) -> None:
    model, _ = scripted(offered_call(ANNA))
    model = model.model_copy(update={"output_version": "v1"})
    wanted = {"response_format": Person}

    message: Any
    if way == "invoke":
        message = model.invoke("Anna is 30.", **wanted)
    elif way == "v3":
        message = model.stream_events("Anna is 30.", version="v3", **wanted).output
    else:
        message = functools.reduce(operator.add, model.stream("Anna is 30.", **wanted))

    (block,) = message.content
    assert json.loads(block["text"]) == ANNA
    assert block["extras"]["arguments"]["age"]["value"] == 30
    assert argument_report(AIMessage(message.content)) == argument_report(message)


def test_an_error_of_the_class_is_returned_with_the_raw_message() -> None:
    model, _ = scripted(offered_call({"name": "Anna", "age": 300}))

    found: Any = model.with_structured_output(Person, include_raw=True).invoke("Anna is 300.")

    assert found["parsed"] is None
    assert "150" in str(found["parsing_error"])
    assert json.loads(found["raw"].content) == {"name": "Anna", "age": 300}


def test_an_unknown_method_and_an_impossible_schema_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="json_schema"):
        ChatSmolLM3().with_structured_output(Person, method="magic")
    with pytest.raises(SchemaError, match="ref"):
        ChatSmolLM3().with_structured_output(
            {"title": "x", "type": "object", "properties": {"a": {"$ref": "http://x"}}}
        )


# response_format.


def json_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "Person", "schema": schema}}


def test_a_tool_may_be_called_before_the_answer() -> None:
    model, engine = scripted(calls(get_weather={"city": "Oslo"}))

    message = model.bind_tools([get_weather], response_format=json_format(SCHEMA)).invoke("Weather in Oslo?")

    assert [made["name"] for made in message.tool_calls] == ["get_weather"]
    assert [tool.name for tool in engine.orders[0].tools] == ["get_weather"]


def test_the_answer_has_the_schema_when_no_tool_is_called() -> None:
    model, engine = scripted("Let me see", offered_call(ANNA))
    bound = model.bind_tools([get_weather], response_format=json_format(SCHEMA))

    message = bound.invoke("Anna is 30.")

    assert json.loads(message.text) == ANNA
    assert message.tool_calls == []
    assert message.response_metadata["finish_reason"] == "stop"
    assert [order.tool_choice.name for order in engine.orders] == [None, "Person"]


def test_a_required_tool_leaves_no_room_for_the_answer() -> None:
    model, engine = scripted(calls(get_weather={"city": "Oslo"}))

    model.bind_tools([get_weather], tool_choice="any", response_format=json_format(SCHEMA)).invoke("Hello")

    assert len(engine.orders) == 1


def test_an_answer_in_json_streams_as_words() -> None:
    model, _ = scripted(offered_call(ANNA))

    texts = [chunk.text for chunk in model.stream("Anna is 30.", response_format=json_format(SCHEMA))]

    assert json.loads("".join(texts)) == ANNA


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"type": "json_object"}, id="json mode"),
        pytest.param(json_format({"type": "array", "items": {"type": "integer"}, "maxItems": 3}), id="array"),
        pytest.param(json_format(SCHEMA), id="schema"),
        pytest.param(Person, id="class"),
    ],
)
def test_the_real_model_answers_in_valid_json(wanted: Any) -> None:
    model = ChatSmolLM3(max_tokens=96)

    message = model.invoke("Anna is 30 years old.", response_format=wanted)
    streamed = "".join(chunk.text for chunk in model.stream("Anna is 30 years old.", response_format=wanted))

    assert isinstance(message, AIMessage)
    value = json.loads(message.text)
    assert json.loads(streamed) == value
    if isinstance(wanted, dict) and "json_schema" in wanted:
        jsonschema.validate(value, wanted["json_schema"]["schema"])
    elif wanted is Person:
        Person.model_validate(value)
    else:
        assert isinstance(value, dict)


@pytest.mark.parametrize("method", METHODS)
def test_the_real_model_gives_valid_objects(method: Any) -> None:
    structured: Runnable[Any, Any] = ChatSmolLM3().with_structured_output(Person, method=method)

    assert isinstance(structured.invoke("Anna is 30 years old."), Person)


class Node(BaseModel):
    """A tree."""

    value: int
    children: list[Node] = Field(default=[], max_length=1)


class Numbers(RootModel[Annotated[list[int], Field(max_length=3)]]):
    """Some numbers."""


class Thing(TypedDict):
    """A thing."""

    name: Annotated[str, Field(max_length=8)]
    number: NotRequired[int]


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


EITHER = {
    "title": "either",
    "anyOf": [
        {"type": "object", "properties": {"a": {"type": "integer", "maximum": 99}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "string", "maxLength": 5}}, "required": ["b"]},
    ],
}


@pytest.mark.parametrize(
    ("schema", "methods", "kind"),
    [
        pytest.param(Node, METHODS, Node, id="recursive"),
        pytest.param(Numbers, ["json_schema", "json_mode"], Numbers, id="root model"),
        pytest.param(Thing, METHODS, dict, id="typeddict that may lack a key"),
        pytest.param(Point, METHODS, dict, id="dataclass"),
        pytest.param(EITHER, METHODS, dict, id="alternatives"),
        pytest.param(
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            ["json_schema", "json_mode"],
            list,
            id="array",
        ),
    ],
)
def test_schemas_of_every_form_give_valid_objects(schema: Any, methods: list[Any], kind: type) -> None:
    model = ChatSmolLM3(max_tokens=300)

    for method in methods:
        structured: Any = model.with_structured_output(schema, method=method)
        assert isinstance(structured.invoke("2 and 3, please."), kind)


def test_a_root_that_is_no_object_cannot_be_a_call() -> None:
    with pytest.raises(SchemaError, match="arguments of a tool are an object"):
        ChatSmolLM3().with_structured_output(Numbers, method="function_calling")


def test_a_format_without_a_schema_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no schema"):
        ChatSmolLM3().invoke("Hello", response_format={"type": "json_schema"})
