"""Reading a chat completion request: from its parts to what the runtime is asked for.

Every part of a request is honoured or refused by name; nothing is ignored. Names and types of the parts stand
in chat_body.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import DeploymentConfig, revised
from ..errors import AgentRuntimeError, ConfigError, SchemaError
from ..messages import Message, read_messages
from ..runtime import MAX_STOPS, TurnSettings
from ..structured_reply import StructuredReply, name_choice
from ..tools import Tool, bind_tools
from ..turn_engine import ToolChoice, read_tool_choice
from .chat_body import ChatBody, quoted, read_chat_body
from .config import ServerConfig
from .refusal import Refusal, invalid, refusal_of

THINK_TOKENS: dict[str, int] = {"minimal": 64, "low": 128, "medium": 256, "high": 512, "xhigh": 1024}
"""Tokens a thought may take for each `reasoning_effort`; less where max_completion_tokens leaves less."""

_MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"}
)
# Parts of a reply that clients send back with the conversation; they say nothing the prompt could hold.
_ECHOED_KEYS = frozenset({"annotations", "refusal", "audio", "function_call"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOrder:
    """A chat completion as it was ordered, checked.

    Attributes:
        model: the name the client gave the model.
        messages: the conversation.
        tools: what may be called, a structured reply included.
        tool_choice: for the runtime.
        parallel_tool_calls: for the runtime.
        stop: texts that end the reply.
        top_logprobs: None for no log-probabilities.
        deadline_s: seconds the request may take.
        settings: what the turn wants differently from the deployment.
        seeds: one for each reply.
        is_streamed: whether the reply comes piece by piece.
        has_usage: whether a streamed reply ends in token counts.
        structure: what the reply must be, if it must be JSON.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    stop: tuple[str, ...]
    top_logprobs: int | None
    deadline_s: float
    settings: TurnSettings
    seeds: tuple[int, ...]
    is_streamed: bool
    has_usage: bool
    structure: StructuredReply | None


def read_order(given: Mapping[str, Any], config: ServerConfig, deployment: DeploymentConfig) -> ChatOrder:
    """What a request asks for. May compile schemas: call it away from the event loop.

    Raises:
        Refusal: a part is not understood, not offered, or contradicts another.
    """
    body = read_chat_body(given)
    model = _read_model(body.model, config)
    try:
        messages = read_messages([_read_message(message, at) for at, message in enumerate(body.messages)])
        tools, choice = _read_tools(body)
    except AgentRuntimeError as error:
        raise refusal_of(error) from error
    structure = _read_structure(body.response_format, tools)
    _check_logprobs(body, structure)
    parallel = body.parallel_tool_calls is not False
    if structure is not None:
        offer = structure.offer(tools, choice, parallel_tool_calls=parallel)
        tools, parallel, tool_choice = offer.tools, offer.parallel_tool_calls, offer.tool_choice
    else:
        tool_choice = choice.mode if choice.name is None else name_choice(choice.name)
    settings = _read_settings(body, deployment)
    return ChatOrder(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel,
        stop=_read_stop(body.stop),
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        deadline_s=_read_deadline(body.timeout, config),
        settings=settings,
        seeds=_read_seeds(body, config, deployment),
        is_streamed=bool(body.stream),
        has_usage=_read_usage(body),
        structure=structure,
    )


def _read_model(name: str | None, config: ServerConfig) -> str:
    if name is None or name in config.known_names:
        return name or config.model_name
    raise unknown_model(name, config)


def unknown_model(name: str, config: ServerConfig) -> Refusal:
    """A model that is not served."""
    served = " or ".join(map(repr, config.known_names))
    return Refusal(
        404,
        f"the model {quoted(name)} is not served here: ask for {served}, or start the server with --alias",
        param="model",
        code="model_not_found",
    )


def _read_message(message: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """A message whose every part has a meaning; parts that only echo a reply are let through when empty."""
    for key, value in message.items():
        if key in _MESSAGE_KEYS or value is None:
            continue
        if key in _ECHOED_KEYS and not (value and key in ("audio", "function_call")):
            continue
        raise invalid(
            f"messages[{index}].{quoted(key)} is not supported: this model reads role, content, name, "
            "tool_calls and tool_call_id",
            param="messages",
            code="unsupported_parameter",
        )
    if message.get("role") == "assistant" and message.get("content") is None:
        # A refusal stands in place of words; a reply of nothing is an empty one.
        return {**message, "content": message.get("refusal") or ""}
    return message


def _read_tools(body: ChatBody) -> tuple[tuple[Tool, ...], ToolChoice]:
    given = list(body.tools or ())
    for at, described in enumerate(given):
        kind = described.get("type", "function")
        if kind != "function":
            raise invalid(
                f"tools[{at}].type={quoted(kind)} is not supported: describe the tool as a function",
                param="tools",
                code="unsupported_parameter",
            )
    choice: Any = "auto" if body.tool_choice is None else body.tool_choice
    tools = bind_tools(given)
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _read_allowed(choice, tools)
    return tools, read_tool_choice(choice, [tool.name for tool in tools])


def _read_allowed(choice: Mapping[str, Any], tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], str]:
    """OpenAI's `allowed_tools`: only some of the offered tools, `auto` or `required`."""
    body = choice.get("allowed_tools")
    body = body if isinstance(body, dict) else {}
    mode, listed = body.get("mode"), body.get("tools")
    if mode not in ("auto", "required") or not isinstance(listed, list):
        raise invalid(
            "tool_choice.allowed_tools needs mode 'auto' or 'required' and a list of tools",
            param="tool_choice",
            code="invalid_value",
        )
    names = {read_tool_choice(one, [tool.name for tool in tools]).name for one in listed}
    return tuple(tool for tool in tools if tool.name in names), mode


def _read_structure(given: Mapping[str, Any] | None, tools: tuple[Tool, ...]) -> StructuredReply | None:
    if given is None or given.get("type") == "text":
        return None
    taken = [tool.name for tool in tools]
    if given.get("type") == "json_object":
        return StructuredReply.of_any_object(taken=taken)
    body = given.get("json_schema")
    if given.get("type") != "json_schema" or not isinstance(body, dict):
        raise invalid(
            "response_format must be {'type': 'text'}, {'type': 'json_object'} or {'type': 'json_schema', "
            "'json_schema': {'name': ..., 'schema': ...}}",
            param="response_format",
            code="invalid_value",
        )
    unknown = sorted(set(body) - {"name", "schema", "description", "strict"})
    if unknown:
        raise invalid(
            f"response_format.json_schema has no {quoted(unknown[0])}: it takes name, schema, description "
            "and strict",
            param="response_format",
            code="unknown_parameter",
        )
    name, description = body.get("name", "reply"), body.get("description") or ""
    if not isinstance(name, str) or not isinstance(description, str):
        raise invalid("response_format.json_schema: name and description are texts", param="response_format")
    try:
        return StructuredReply.of_schema(
            body.get("schema", {}), name=name, description=description, taken=taken
        )
    except SchemaError as error:
        raise invalid(
            f"response_format.json_schema: {error}", param="response_format", code="invalid_json_schema"
        ) from error


def _check_logprobs(body: ChatBody, structure: StructuredReply | None) -> None:
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("top_logprobs needs logprobs=true", param="top_logprobs", code="invalid_value")
    if body.logprobs and structure is not None:
        raise invalid(
            "logprobs contradicts response_format: a reply written under a schema has a confidence for each "
            "value instead (choices[].slots)",
            param="logprobs",
            code="unsupported_parameter",
        )


def _read_settings(body: ChatBody, deployment: DeploymentConfig) -> TurnSettings:
    settings: TurnSettings = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_tokens": _read_max_tokens(body, deployment),
        "abstain_below": body.abstain_below,
    }
    if body.reasoning_effort == "none":
        settings["think"] = False
    elif body.reasoning_effort is not None:
        room = (settings["max_tokens"] or deployment.max_tokens) // 2
        if room < 1:
            raise invalid(
                "reasoning_effort contradicts max_completion_tokens: there is no room to think",
                param="reasoning_effort",
            )
        settings["think"] = True
        settings["think_budget_tokens"] = min(THINK_TOKENS[body.reasoning_effort], room)
    try:
        revised(deployment, **{name: value for name, value in settings.items() if value is not None})
    except ConfigError as error:
        raise invalid(str(error), code="invalid_value") from error
    return settings


def _read_max_tokens(body: ChatBody, deployment: DeploymentConfig) -> int | None:
    given = {
        name: value
        for name in ("max_completion_tokens", "max_tokens")
        if (value := getattr(body, name)) is not None
    }
    if len(set(given.values())) > 1:
        raise invalid(
            "max_tokens contradicts max_completion_tokens: give one of them", param="max_completion_tokens"
        )
    for name, value in given.items():
        if value > deployment.max_tokens:
            raise invalid(
                f"{name}={value} is more than the {deployment.max_tokens} tokens this server writes: ask for "
                "less, or start it with --set max_tokens=...",
                param=name,
                code="invalid_value",
            )
        return int(value)
    return None


def _read_stop(stop: str | list[str] | None) -> tuple[str, ...]:
    texts = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if any(not text for text in texts) or len(texts) > MAX_STOPS:
        raise invalid(
            f"stop: give at most {MAX_STOPS} texts, none of them empty", param="stop", code="invalid_value"
        )
    return texts


def _read_deadline(timeout: float | None, config: ServerConfig) -> float:
    if timeout is None:
        return config.request_timeout_s
    if timeout > config.request_timeout_s:
        raise invalid(
            f"timeout={timeout:g} is more than the {config.request_timeout_s:g} s this server gives a "
            "request: ask for less, or start it with --request-timeout",
            param="timeout",
            code="invalid_value",
        )
    return timeout


def _read_seeds(body: ChatBody, config: ServerConfig, deployment: DeploymentConfig) -> tuple[int, ...]:
    """Seeds of the replies. The first is the one that was asked for, so n=1 gives the first of n=2."""
    number = body.n or 1
    if number > config.max_choices:
        raise invalid(
            f"n={number} is more than the {config.max_choices} replies this server gives at once",
            param="n",
            code="invalid_value",
        )
    first = deployment.seed if body.seed is None else body.seed % 2**63
    return tuple((first + at) % 2**63 for at in range(number))


def _read_usage(body: ChatBody) -> bool:
    options = body.stream_options
    if options is not None and not body.stream:
        raise invalid("stream_options needs stream=true", param="stream_options", code="invalid_value")
    return options is not None and bool(options.include_usage)
