"""`with_structured_output`: a chat model bound to a schema, and the parser behind it."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from .asks import reply_of, reply_schema, tool_dict

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel, LanguageModelInput
    from pydantic import BaseModel

Method = Literal["json_schema", "function_calling", "json_mode"]


def structured_runnable(
    model: BaseChatModel,
    schema: dict[str, Any] | type,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    keywords: Mapping[str, Any],
) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
    """The model and a parser in one; see `ChatSmolLM3.with_structured_output`."""
    if method not in get_args(Method):
        raise ValueError(f"method={method!r}: use one of {', '.join(map(repr, get_args(Method)))}")
    if method == "function_calling":
        bound, parser = _by_call(model, schema, strict, keywords)
    else:
        bound, parser = _by_answer(model, schema, method, strict, keywords)
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _is_model_class(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _by_call(
    model: BaseChatModel, schema: Any, strict: bool | None, keywords: Mapping[str, Any]
) -> tuple[Runnable[Any, Any], BaseOutputParser[Any]]:
    described = tool_dict(_as_tool(schema), strict=strict)
    name = described["function"]["name"]
    bound = model.bind_tools(
        [described],
        tool_choice=name,
        parallel_tool_calls=False,
        ls_structured_output_format=_traced(schema, "function_calling", strict),
        **keywords,
    )
    if _is_model_class(schema):
        return bound, PydanticToolsParser(tools=[_named(schema, name)], first_tool_only=True)
    return bound, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _named(schema: Any, name: str) -> Any:
    assert schema.__name__ == name, "a model's class is a tool of its own name"
    return schema


def _as_tool(schema: Any) -> Any:
    """A schema without a name as a tool that has one."""
    if isinstance(schema, Mapping) and not ({"name", "function"} & set(schema)):
        described = {"description": schema["description"]} if "description" in schema else {}
        return {"name": schema.get("title") or "reply", "parameters": schema, **described}
    return schema


def _by_answer(
    model: BaseChatModel, schema: Any, method: Method, strict: bool | None, keywords: Mapping[str, Any]
) -> tuple[Runnable[Any, Any], BaseOutputParser[Any]]:
    read = reply_schema(schema)
    reply_of(schema)  # what cannot be honoured is refused now
    if method == "json_mode":
        about = {"title": read.name, "description": read.description}
        wanted: dict[str, Any] = {"type": "json_object", "schema": {**read.schema, **about}}
    else:
        described = {
            "name": read.name,
            "description": read.description,
            "schema": dict(read.schema),
            "strict": strict is not False,
        }
        wanted = {"type": "json_schema", "json_schema": described}
    bound = model.bind(
        response_format=wanted, ls_structured_output_format=_traced(schema, method, strict), **keywords
    )
    if _is_model_class(schema):
        return bound, PydanticOutputParser(pydantic_object=schema)
    return bound, JsonOutputParser()


def _traced(schema: Any, method: Method, strict: bool | None) -> dict[str, Any]:
    """What LangChain tells its callbacks about the schema; some it cannot convert by itself."""
    try:
        convert_to_json_schema(schema)
    except (TypeError, ValueError):
        read = reply_schema(schema)
        schema = {**read.schema, "title": read.name, "description": read.description}
    return {"kwargs": {"method": method, "strict": strict}, "schema": schema}
