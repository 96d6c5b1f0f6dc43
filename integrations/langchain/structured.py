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
from langchain_core.utils.pydantic import is_basemodel_subclass

from .asks import reply_of, tool_dict

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
    if isinstance(schema, Mapping) and not ({"name", "function", "title"} & set(schema)):
        return {"name": "reply", "parameters": schema}
    return schema


def _by_answer(
    model: BaseChatModel, schema: Any, method: Method, strict: bool | None, keywords: Mapping[str, Any]
) -> tuple[Runnable[Any, Any], BaseOutputParser[Any]]:
    reply = reply_of(schema)
    parameters = dict(reply.tool.parameters)
    if reply.is_wrapped:
        parameters = dict(schema)
    if method == "json_mode":
        about = {"title": reply.tool.name, "description": reply.tool.description}
        wanted: dict[str, Any] = {"type": "json_object", "schema": {**about, **parameters}}
    else:
        described = {
            "name": reply.tool.name,
            "description": reply.tool.description,
            "schema": parameters,
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
    return {"kwargs": {"method": method, "strict": strict}, "schema": schema}
