"""A request that is not answered: status, reason and advice, in the shape OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..errors import (
    AgentRuntimeError,
    ClosedError,
    DeadlineError,
    MessageError,
    OverloadedError,
    PromptTooLongError,
    RunLimitError,
    SchemaError,
    ToolChoiceError,
)

HEADERS = {"Server": "smolcall", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""Every answer carries them."""

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's clients not to send the same request again by themselves."""


class Refusal(Exception):
    """Why a request is not answered.

    Attributes:
        status: HTTP status.
        kind: OpenAI's `type`.
        param: the part of the request that is wrong, if one is.
        code: OpenAI's `code`, for programs to branch on.
        headers: sent along.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def as_dict(self) -> dict[str, Any]:
        """The body OpenAI's clients read."""
        return {
            "error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code},
        }

    def response(self) -> web.Response:
        """The whole answer."""
        return web.json_response(self.as_dict(), status=self.status, headers=self.headers)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """A request that says something it cannot."""
    return Refusal(400, message, param=param, code=code)


def refusal_of(error: AgentRuntimeError) -> Refusal:
    """What a client is told of an error of the runtime."""
    text = " ".join(str(error).split())
    match error:
        case MessageError():
            return invalid(text, param="messages")
        case SchemaError():
            return invalid(text, param="tools", code="invalid_function_parameters")
        case ToolChoiceError():
            return invalid(text, param="tool_choice")
        case PromptTooLongError():
            return invalid(text, param="messages", code="context_length_exceeded")
        case OverloadedError():
            return overloaded(text, error.retry_after_s)
        case DeadlineError():
            return Refusal(504, text, kind="timeout_error", code="deadline_exceeded", headers=NO_RETRY)
        case RunLimitError():
            return Refusal(409, text, kind="run_limit_error", code=error.limit, headers=NO_RETRY)
        case ClosedError():
            return closing()
        case _:
            return Refusal(500, text, kind="server_error", code=type(error).__name__)


def overloaded(message: str, retry_after_s: float) -> Refusal:
    """Too much at once, or too often."""
    return Refusal(
        429,
        message,
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))},
    )


def closing() -> Refusal:
    """The server ends; another may take its place."""
    return Refusal(
        503,
        "the server is shutting down: try again in a moment",
        kind="server_error",
        code="shutting_down",
        headers={"Retry-After": "1", "Connection": "close"},
    )
