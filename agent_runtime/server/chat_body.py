"""The parts of a chat completion request: their names, their types, and which of OpenAI's are not offered."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..runtime import MAX_TOP_LOGPROBS
from .refusal import Refusal, invalid

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "audio": ((), "this model writes text only"),
    "frequency_penalty": ((0,), "sampling has no penalties"),
    "function_call": ((), "use tool_choice"),
    "functions": ((), "use tools"),
    "logit_bias": (({},), "tokens cannot be biased; describe the values you want in the tool's schema"),
    "metadata": (({},), "nothing is stored, so there is nothing to attach it to"),
    "modalities": ((["text"],), "this model reads and writes text only"),
    "moderation": ((), "there is no moderation model"),
    "prediction": ((), "predicted outputs are not read"),
    "presence_penalty": ((0,), "sampling has no penalties"),
    "prompt_cache_options": (({},), "the prefix cache is set by the deployment (prefix_cache_tokens)"),
    "prompt_cache_retention": (("in_memory",), "the prefix cache lives in memory only"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "store": ((False,), "nothing is stored"),
    "verbosity": (("medium",), "ask for short or long answers in the system message"),
    "web_search_options": ((), "there is no web search; offer a tool"),
}
"""Parts of OpenAI's API that are not offered: the values that ask for nothing, and advice for the others."""


class _StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class ChatBody(BaseModel):
    """The parts of a request that are honoured, and their types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    n: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    stop: str | list[str] | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0, allow_inf_nan=False)
    reasoning_effort: Effort | None = None
    timeout: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    abstain_below: float | None = Field(default=None, ge=0.0, le=1.0, allow_inf_nan=False)
    # Names for whoever asks; they change no reply, so nothing needs to be done to honour them.
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object a request's body holds.

    Raises:
        Refusal: it holds something else.
    """
    try:
        read = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise invalid("the body is nested too deeply to be read", code="invalid_json") from None
    except UnicodeDecodeError:
        raise invalid("the body is not UTF-8", code="invalid_json") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(read, dict):
        raise invalid(f"the body must be a JSON object, found {_kind(read)}", code="invalid_json")
    return read


def read_chat_body(given: Mapping[str, Any]) -> ChatBody:
    """The honoured parts of a request.

    Raises:
        Refusal: a part has a wrong type, is not offered, or is not known.
    """
    offered = {}
    for name, value in given.items():
        if name not in UNSUPPORTED:
            offered[name] = value
            continue
        neutral, advice = UNSUPPORTED[name]
        if value is not None and (value is True or value not in neutral):
            raise invalid(f"{name} is not supported: {advice}", param=name, code="unsupported_parameter")
    try:
        return ChatBody(**offered)
    except ValidationError as error:
        raise _refusal_of_body(error) from None


def _refusal_of_body(error: ValidationError) -> Refusal:
    """The first thing that is wrong, in words. What was sent is quoted briefly at most."""
    errors = error.errors(include_url=False)
    first = errors[0]["loc"][0]
    name = str(first)[:80]
    # Of a part that may be several things, the deepest finding is about what it was meant to be.
    found = max((one for one in errors if one["loc"][0] == first), key=lambda one: len(one["loc"]))
    if found["type"] == "extra_forbidden" and len(found["loc"]) == 1:
        near = difflib.get_close_matches(name, [*ChatBody.model_fields, *UNSUPPORTED], n=1, cutoff=0.6)
        advice = f"did you mean {near[0]!r}?" if near else "leave it out"
        return invalid(
            f"unrecognized request argument: {quoted(name)}: {advice}", param=name, code="unknown_parameter"
        )
    if found["type"] == "missing":
        return invalid(f"{name} is missing", param=name, code="missing_required_parameter")
    path = _path(found["loc"])
    wanted = found["msg"][0].lower() + found["msg"][1:]
    wanted = wanted.replace("input should be", "it must be").replace("dictionary", "object")
    value = "" if isinstance(found["input"], (list, dict)) else f"found {quoted(found['input'])}; "
    return invalid(f"{path}: {value}{wanted}", param=name, code="invalid_value")


def _path(steps: tuple[int | str, ...]) -> str:
    """`messages[0].role`; pydantic's names of a union's branches are left out."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(("list[", "dict[")) and step not in ("str", "int", "float", "bool"):
            path += f".{step}" if path else step
    return path


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def quoted(value: Any) -> str:
    """What was sent, briefly."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
