"""One call of the chat model, read and checked: what LangChain passes becomes what the runtime is asked.

How the turn is then made is turns.py.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import RootModel

from agent_runtime import ConfigError, StructuredReply, Tool, tool

from .messages import Conversation, read_conversation

SETTINGS = (
    "temperature",
    "top_p",
    "seed",
    "max_tokens",
    "think",
    "think_budget_tokens",
    "call_bias",
    "abstain_below",
    "max_parallel_calls",
    "date",
)
"""Settings of a turn, by their name in the runtime; fields of the chat model and keywords of its calls."""

_OTHERS = (
    "model",
    "tools",
    "tool_choice",
    "strict",
    "parallel_tool_calls",
    "response_format",
    "timeout",
    "logprobs",
    "top_logprobs",
    "stream",
)
_ALIASES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens", "functions": "tools"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call of the chat model.

    Attributes:
        conversation: what was said.
        tools: what may be called.
        tool_choice: in the runtime's words.
        is_parallel: whether several calls may be made.
        reply: the schema the answer must have, if any.
        stop: texts that end the answer.
        top_logprobs: None for no log-probabilities, else how many alternatives come with each token.
        deadline_s: seconds the turn may take.
        settings: what this turn wants different from the deployment.
    """

    conversation: Conversation
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    is_parallel: bool = True
    reply: StructuredReply | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    deadline_s: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def tool_named(self, name: str) -> Tool | None:
        """The tool a call is of; the reply's own included."""
        offered = self.tools if self.reply is None else (*self.tools, self.reply.tool)
        return next((tool for tool in offered if tool.name == name), None)


def read_ask(
    messages: Sequence[BaseMessage],
    *,
    stop: str | Sequence[str] | None,
    defaults: Mapping[str, Any],
    said: Any,
) -> Ask:
    """Read one call.

    Args:
        messages: the conversation.
        stop: texts that end the answer; the chat model's own when None.
        defaults: the chat model's fields.
        said: keywords of this call; they win over the fields. None leaves a field as it is.

    Raises:
        ConfigError: a keyword that does not exist, or a value that cannot be.
        MessageError: the conversation cannot be read.
        SchemaError: a tool or a response format that cannot be honoured.
    """
    _check_keywords(said)
    wanted = {**defaults, **{name: value for name, value in said.items() if value is not None}}
    tools = tuple(bound_tool(offered) for offered in wanted.get("tools") or ())
    has_logprobs = wanted.get("logprobs") or wanted.get("top_logprobs")
    return Ask(
        conversation=read_conversation(messages),
        tools=tools,
        tool_choice=read_tool_choice(wanted.get("tool_choice"), [tool.name for tool in tools]),
        is_parallel=_may_be_parallel(wanted),
        reply=_read_response_format(wanted.get("response_format"), tools),
        stop=_read_stop(defaults.get("stop") if stop is None else stop),
        top_logprobs=(wanted.get("top_logprobs") or 0) if has_logprobs else None,
        deadline_s=wanted.get("timeout"),
        settings={name: wanted[name] for name in SETTINGS if wanted.get(name) is not None},
    )


def _read_stop(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _may_be_parallel(wanted: Mapping[str, Any]) -> bool:
    choice = wanted.get("tool_choice")
    is_single = isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True  # Anthropic's
    return wanted.get("parallel_tool_calls") is not False and not is_single


def _check_keywords(said: Mapping[str, Any]) -> None:
    known = (*SETTINGS, *_OTHERS)
    for name in said:
        if name not in known:
            near = _ALIASES.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
            advice = f"did you mean {near!r}?" if near else f"a call takes {', '.join(known)}"
            raise ConfigError(f"unknown keyword {name!r} of a chat model's call: {advice}")


def bound_tool(offered: Any) -> Tool:
    """Anything that can be a tool; dicts that were seen before are not compiled again.

    Raises:
        SchemaError: it cannot be honoured.
    """
    if isinstance(offered, Tool):
        return offered
    if not isinstance(offered, Mapping):
        return tool(offered)
    try:
        text = json.dumps(offered, ensure_ascii=False)
    except (TypeError, ValueError):
        return tool(offered)
    return _bound_text(text)


@functools.lru_cache(maxsize=512)
def _bound_text(text: str) -> Tool:
    return tool(json.loads(text))


def tool_dict(offered: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """A tool as OpenAI writes it: plain JSON, so that bindings can be traced, cached and saved.

    Raises:
        SchemaError: it cannot be honoured.
    """
    bound = bound_tool(offered)
    body: dict[str, Any] = {
        "name": bound.name,
        "description": bound.description,
        "parameters": dict(bound.parameters),
    }
    return {"type": "function", "function": body if strict is None else {**body, "strict": strict}}


def read_tool_choice(choice: Any, names: Sequence[str]) -> str:
    """A choice in LangChain's words (`any`, True, a name, a dict) in those of the runtime.

    Raises:
        ConfigError: it is none of the forms, or names no offered tool.
    """
    if isinstance(choice, Mapping):
        choice = _choice_of_dict(choice)
    if choice is None or choice is False:
        return "auto"
    if choice is True or choice == "any":
        choice = "required"
    if choice == "required" and not names:
        raise ConfigError("tool_choice='any' without tools: offer at least one, or leave tool_choice out")
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required", *names):
            raise ConfigError(
                f"tool_choice={choice!r} is neither 'auto', 'any', 'required' or 'none' nor an offered tool: "
                f"offered are {', '.join(names) or 'no tools'}"
            )
        return choice
    raise ConfigError(
        f"tool_choice must be 'auto', 'any', 'required', 'none', a tool's name, a bool or a dict, found "
        f"{type(choice).__name__}"
    )


def _choice_of_dict(choice: Mapping[str, Any]) -> str:
    """OpenAI's dict, `{"type": "function", "function": {"name": ...}}`, and Anthropic's.

    Raises:
        ConfigError: it is neither.
    """
    kind = choice.get("type")
    if kind in ("auto", "any", "required", "none"):
        return str(kind)
    body = choice.get("function", choice)
    name = body.get("name") if isinstance(body, Mapping) else None
    if kind in ("function", "tool") and isinstance(name, str):
        return name
    raise ConfigError(
        f"tool_choice={dict(choice)!r} is not understood: write {{'type': 'function', 'function': "
        "{'name': '<tool>'}}, or just the name"
    )


def _read_response_format(wanted: Any, tools: Sequence[Tool]) -> StructuredReply | None:
    """OpenAI's `response_format`, or a schema in any form that can be a tool."""
    if wanted is None:
        return None
    taken = [tool.name for tool in tools]
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        schema = wanted.get("schema")
        if schema is None:
            return StructuredReply.of_any_object(taken=taken)
        return reply_of(schema, taken)
    if kind == "json_schema":
        described = wanted.get("json_schema")
        if not isinstance(described, Mapping) or not isinstance(described.get("schema"), Mapping):
            raise ConfigError(
                f"response_format={dict(wanted)!r} has no schema: write {{'type': 'json_schema', "
                "'json_schema': {'name': ..., 'schema': {...}}}"
            )
        return StructuredReply.of_schema(
            described["schema"],
            name=described.get("name") or described["schema"].get("title") or "reply",
            description=described.get("description") or described["schema"].get("description") or "",
            taken=taken,
        )
    return reply_of(wanted, taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySchema:
    """A schema with what the model reads as its name and description."""

    name: str
    description: str
    schema: Mapping[str, Any]


def reply_schema(schema: Any) -> ReplySchema:
    """The schema of a pydantic model, TypedDict, dataclass, tool dict, or a JSON Schema as it is.

    Raises:
        SchemaError: it cannot be honoured.
    """
    if isinstance(schema, type) and issubclass(schema, RootModel):  # any JSON value, which no tool can be
        schema = schema.model_json_schema()
    if isinstance(schema, Mapping) and not ({"name", "function"} & set(schema)):
        return ReplySchema(
            name=schema.get("title") or "reply", description=schema.get("description") or "", schema=schema
        )
    bound = bound_tool(schema)
    return ReplySchema(
        name=bound.name, description=bound.description, schema=_with_open_root(bound.parameters)
    )


def _with_open_root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema whose root refers to a definition of its own (a recursive model), with that in its place."""
    reference = schema.get("$ref")
    definitions = schema.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return schema
    return {**definitions.get(reference.removeprefix("#/$defs/"), {}), "$defs": definitions}


def reply_of(schema: Any, taken: Sequence[str] = ()) -> StructuredReply:
    """A reply of anything `reply_schema` reads.

    Raises:
        SchemaError: it cannot be honoured.
    """
    read = reply_schema(schema)
    return StructuredReply.of_schema(read.schema, name=read.name, description=read.description, taken=taken)
