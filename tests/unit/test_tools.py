"""Binding: what can be a tool, what its schema becomes, what reaches the function."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import functools
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool
from langchain_core.tools import tool as langchain_tool
from pydantic import BaseModel, Field

from agent_runtime.errors import SchemaError, ToolFailed
from agent_runtime.scaffold.shape import ConstantsShape, IntegerShape, ObjectShape, StringShape
from agent_runtime.tools import Hidden, Tool, bind_tools, tool


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclass
class Point:
    """A place.

    Attributes:
        x: Eastward.
    """

    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Stop(TypedDict, total=False):
    city: str
    nights: int


class Order(BaseModel):
    """Order something."""

    sku: str = Field(description="Article number.", pattern="^[A-Z]{2}[0-9]+$")
    quantity: int = Field(default=1, ge=1, le=99)


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def get_weather(city: str, days: int = 3, unit: Literal["c", "f"] = "c") -> str:
    """Current weather for a city.

    Looks it up online.

    Args:
        city: City name.
        days: Number of days.
    """
    return f"{city} {days} {unit}"


def names_of(bound: Tool) -> list[str]:
    return [item.name for item in bound.call_shape.properties]


def test_function_gives_name_description_and_types() -> None:
    bound = tool(get_weather)

    assert (bound.name, bound.description) == (
        "get_weather",
        "Current weather for a city.\n\nLooks it up online.",
    )
    assert bound.parameters["properties"]["days"] == {
        "description": "Number of days.",
        "default": 3,
        "type": "integer",
    }
    assert bound.parameters["required"] == ["city"]
    assert [item.is_required for item in bound.call_shape.properties] == [True, False, False]
    assert bound.call_shape.properties[2].shape == ConstantsShape(values=("c", "f"))


@pytest.mark.parametrize(
    "docstring",
    [
        pytest.param("Add.\n\nArgs:\n    a: First.\n    b: Second.", id="google"),
        pytest.param("Add.\n\nParameters\n----------\na : int\n    First.\nb : int\n    Second.", id="numpy"),
        pytest.param("Add.\n\n:param a: First.\n:param b: Second.", id="rest"),
    ],
)
def test_docstrings_describe_parameters(docstring: str) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    add.__doc__ = docstring

    bound = tool(add)

    assert bound.description == "Add."
    assert [item.description for item in bound.call_shape.properties] == ["First.", "Second."]


def test_typed_parameters_reach_the_function_as_objects() -> None:
    def plan(
        when: datetime.date,
        unit: Unit,
        key: uuid.UUID,
        start: Point,
        stops: list[Stop],
        price: decimal.Decimal,
        order: Optional[Order] = None,  # noqa: UP045  # how many still write it
    ) -> None: ...

    values = tool(plan).prepare(
        {
            "when": "2026-02-03",
            "unit": "f",
            "key": "12345678-1234-5678-1234-567812345678",
            "start": {"x": 1},
            "stops": [{"city": "Oslo"}],
            "price": 1.5,
            "order": {"sku": "AB1"},
        }
    )

    assert values == {
        "when": datetime.date(2026, 2, 3),
        "unit": Unit.FAHRENHEIT,
        "key": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "start": Point(1),
        "stops": [{"city": "Oslo"}],
        "price": decimal.Decimal("1.5"),
        "order": Order(sku="AB1"),
    }


def test_absent_arguments_stay_absent() -> None:
    assert tool(get_weather).prepare({"city": "Oslo"}) == {"city": "Oslo"}


def test_parameter_names_that_pydantic_uses_itself_are_fine() -> None:
    def store(json: str, copy: bool, model_name: str, _private: int = 0) -> None: ...

    bound = tool(store)

    assert names_of(bound) == ["json", "copy", "model_name", "_private"]
    assert bound.prepare({"json": "{}", "copy": True, "model_name": "m", "_private": 2})["_private"] == 2


def test_annotated_fields_constrain_and_describe() -> None:
    def book(
        nights: Annotated[int, Field(ge=1, le=30, description="How long.")],
        note: Annotated[str, "Anything else."] = "",
    ) -> None: ...

    properties = tool(book).call_shape.properties

    assert properties[0].shape == IntegerShape(minimum=1, maximum=30)
    assert [item.description for item in properties] == ["How long.", "Anything else."]


def test_hidden_parameters_never_reach_the_schema() -> None:
    def save(text: str, session: Annotated[object, Hidden], user: str, trace: str = "off") -> None: ...

    bound = tool(save, hidden=("user", "trace"))

    assert names_of(bound) == ["text"]
    assert "user" not in str(bound.parameters)
    assert bound.prepare({"text": "x"}, context={"session": 1, "user": "u"}) == {
        "text": "x",
        "session": 1,
        "user": "u",
    }
    with pytest.raises(ToolFailed, match="session"):
        bound.prepare({"text": "x"})


def test_hidden_properties_of_a_dict_never_reach_the_schema() -> None:
    schema = {
        **WEATHER,
        "properties": {**WEATHER["properties"], "key": {"type": "string"}},
        "required": ["city", "key"],
    }  # type: ignore[dict-item]

    bound = tool({"name": "weather", "parameters": schema}, hidden=["key"])

    assert names_of(bound) == ["city"]
    assert bound.parameters["required"] == ["city"]


def test_decorated_function_is_still_a_function() -> None:
    @tool
    def double(x: int) -> int:
        return 2 * x

    @tool(name="thrice", timeout_s=2.0, is_idempotent=True)
    async def triple(x: int) -> int:
        """Three times."""
        return 3 * x

    assert double(4) == 8
    assert asyncio.run(triple(4)) == 12
    assert (triple.name, triple.timeout_s, triple.is_idempotent) == ("thrice", 2.0, True)


def test_methods_partials_and_callable_objects_are_bound() -> None:
    class Shop:
        def find(self, sku: str) -> str:
            return sku

        def __call__(self, sku: str) -> str:
            return sku

    assert names_of(tool(Shop().find)) == ["sku"]
    assert names_of(tool(Shop(), name="shop")) == ["sku"]
    assert tool(functools.partial(get_weather, days=1)).name == "get_weather"


@pytest.mark.parametrize("source", [Point, Order, Stop])
def test_classes_become_tools_that_are_only_described(source: Any) -> None:
    bound = tool(source)

    assert bound.name == source.__name__
    assert bound.function is None
    with pytest.raises(TypeError, match="only described"):
        bound()


def test_class_docstrings_describe() -> None:
    assert tool(Order).description == "Order something."
    assert tool(Order).parameters["properties"]["sku"]["description"] == "Article number."
    assert tool(Point).description == "A place."
    assert tool(Point).parameters["properties"]["x"]["description"] == "Eastward."


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            {"type": "function", "function": {"name": "weather", "description": "W.", "parameters": WEATHER}},
            id="openai chat",
        ),
        pytest.param(
            {
                "type": "function",
                "name": "weather",
                "description": "W.",
                "parameters": WEATHER,
                "strict": True,
            },
            id="openai responses",
        ),
        pytest.param({"name": "weather", "description": "W.", "input_schema": WEATHER}, id="anthropic"),
        pytest.param({"name": "weather", "description": "W.", "inputSchema": WEATHER}, id="mcp"),
        pytest.param({"name": "weather", "description": "W.", "parameters": WEATHER}, id="plain"),
        pytest.param({"title": "weather", "description": "W.", **WEATHER}, id="titled schema"),
    ],
)
def test_tool_dicts_of_every_house_are_bound(source: dict[str, Any]) -> None:
    bound = tool(source)

    assert (bound.name, bound.description) == ("weather", "W.")
    assert bound.call_shape == ObjectShape(
        properties=tool({"name": "x", "parameters": WEATHER}).call_shape.properties
    )


def test_mcp_tool_objects_are_bound() -> None:
    class McpTool:
        name = "weather"
        description = "W."
        inputSchema = WEATHER  # their spelling

    assert names_of(tool(McpTool())) == ["city"]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_tools_without_arguments_are_fine(parameters: Any) -> None:
    bound = tool({"name": "ping", "parameters": parameters})

    assert bound.call_shape == ObjectShape()
    assert bound.prepare({}) == {}


def test_alternatives_at_the_root_are_all_kept() -> None:
    options = [{"required": [name], "properties": {name: {"type": "null"}}} for name in "abc"]
    flags = {"type": "object", "properties": {"x": {"type": "boolean"}}}
    unwritable = {"type": "array", "items": flags, "minItems": 2, "uniqueItems": True}
    impossible = {"required": ["d"], "properties": {"d": unwritable}}

    bound = tool({"name": "f", "parameters": {"type": "object", "anyOf": [*options, impossible]}})

    assert [[item.name for item in shape.properties] for shape in bound.call_shapes] == [["a"], ["b"], ["c"]]


def test_more_alternatives_at_the_root_than_are_written_are_said() -> None:
    options = [{"required": [name], "properties": {name: {"type": "null"}}} for name in "abcdefghijklmnopqrs"]

    bound = tool({"name": "f", "parameters": {"type": "object", "anyOf": options}})

    assert len(bound.call_shapes) == 16
    assert bound.notes == ("$: of 19 ways to satisfy the schema 16 are written",)


def test_bfcl_spelling_is_normalised_and_said() -> None:
    bound = tool(
        {
            "name": "math.hypot",
            "description": "h",
            "parameters": {"type": "dict", "properties": {"x": {"type": "float"}}, "required": ["x"]},
        }
    )

    assert bound.parameters["properties"]["x"]["type"] == "number"
    assert any("'dict'" in note for note in bound.notes)


def test_langchain_tools_are_bound_and_run() -> None:
    @langchain_tool
    def greet(name: str, session: Annotated[str, InjectedToolArg]) -> str:
        """Greet somebody."""
        return f"{session}: hello {name}"

    bound = tool(greet)

    assert (bound.name, names_of(bound), bound.hidden) == ("greet", ["name"], ("session",))
    values = bound.prepare({"name": "Ada"}, context={"session": "s1"})
    assert bound.function is not None
    assert asyncio.run(bound.function(**values)) == "s1: hello Ada"


def test_langchain_tools_with_a_dict_schema_are_bound() -> None:
    async def run(**arguments: Any) -> str:
        return str(arguments)

    source = StructuredTool(name="remote", description="R.", args_schema=WEATHER, coroutine=run)

    assert names_of(tool(source)) == ["city"]


def test_validate_says_what_is_wrong_and_where() -> None:
    problems = tool(get_weather).validate({"days": "three", "colour": 1})

    assert len(problems) == 3
    assert any(problem.startswith("days: 'three' is not") for problem in problems)
    assert tool(get_weather).validate({"city": "Oslo", "unit": "f"}) == ()


def test_decimal_steps_are_judged_as_written() -> None:
    price = tool(
        {"name": "pay", "parameters": {"properties": {"price": {"type": "number", "multipleOf": 0.01}}}}
    )

    assert price.validate({"price": 19.99}) == ()
    assert price.validate({"price": 19.999}) != ()


def test_invalid_arguments_are_refused_readably() -> None:
    with pytest.raises(ToolFailed, match="days"):
        tool(get_weather).prepare({"city": "Oslo", "days": "many"})
    with pytest.raises(ToolFailed, match="city"):
        tool({"name": "weather", "parameters": WEATHER}).prepare({})


def test_a_tool_is_bound_to_itself_or_changed() -> None:
    bound = tool(get_weather)

    assert tool(bound) is bound
    assert tool(bound, name="forecast").name == "forecast"
    assert tool(bound, name="forecast")("Oslo") == "Oslo 3 c"
    assert tool(bound, timeout_s=1).prepare({"city": "Oslo"}) == {"city": "Oslo"}


def test_several_tools_are_bound_at_once() -> None:
    assert [item.name for item in bind_tools([get_weather, Order])] == ["get_weather", "Order"]
    assert [item.name for item in bind_tools({"a": get_weather, "b": Order})] == ["a", "b"]
    assert [item.name for item in bind_tools(item for item in (get_weather,))] == ["get_weather"]
    assert [item.name for item in bind_tools(get_weather)] == ["get_weather"]
    assert [item.name for item in bind_tools({"name": "weather", "parameters": WEATHER})] == ["weather"]
    assert bind_tools(None) == bind_tools([]) == ()


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(SchemaError) as caught:
        bind_tools([get_weather, get_weather])

    assert caught.value.tool == "get_weather"


def _positional(x: int, /) -> None: ...


def _unresolvable(x: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def _untypable(x: asyncio.Lock) -> None: ...


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param(lambda x: x, "$", id="lambda"),
        pytest.param(_positional, "$.properties.x", id="positional only"),
        pytest.param(_unresolvable, "$", id="unresolvable hint"),
        pytest.param(_untypable, "$.properties.x", id="type without schema"),
        pytest.param(5, "$", id="number"),
        pytest.param({"description": "nameless", "parameters": {}}, "$", id="nameless"),
        pytest.param({"name": "x\ny", "parameters": {}}, "$", id="control character"),
        pytest.param({"name": " "}, "$", id="blank name"),
        pytest.param({"name": "x", "parameters": {"type": "string"}}, "$", id="not an object"),
        pytest.param({"name": "x", "parameters": []}, "$", id="not a schema"),
        pytest.param({"type": "web_search", "name": "x"}, "$", id="hosted tool"),
        pytest.param(
            {"name": "x", "parameters": {"properties": {"a": {"items": {"type": "nope"}}}}},
            "$.properties.a.items",
            id="unknown type",
        ),
        pytest.param(int, "$", id="plain class"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_its_place(source: Any, path: str) -> None:
    with pytest.raises(SchemaError) as caught:
        tool(source)

    assert caught.value.path == path


def test_unknown_hidden_parameter_is_refused() -> None:
    with pytest.raises(SchemaError, match="sesion"):
        tool(get_weather, hidden=("sesion",))


def test_variadic_parameters_are_left_out_and_said() -> None:
    def log(message: str, *parts: str, **fields: str) -> None: ...

    bound = tool(log)

    assert names_of(bound) == ["message"]
    assert len(bound.notes) == 2


def test_untyped_parameters_accept_anything_and_say_so() -> None:
    def show(value, size: int = 1):  # type: ignore[no-untyped-def]
        return value

    bound = tool(show)

    assert bound.prepare({"value": [1, {"a": 2}]}) == {"value": [1, {"a": 2}]}
    assert any("value" in note for note in bound.notes)


def test_root_that_offers_several_objects_is_narrowed_to_one() -> None:
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
        "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
    }

    bound = tool({"name": "find", "parameters": schema})

    assert bound.call_shape.properties[0].shape == StringShape()
    assert bound.validate({"name": "x"}) == ()
