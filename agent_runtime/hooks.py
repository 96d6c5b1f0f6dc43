"""What a program may do around a tool call: look before and after, and decide whether it runs.

All hooks may be plain or async functions. A hook that raises never lets a call pass: the call fails, the
model is told, and the exception is logged with its traceback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .messages import ToolCall, ToolResult


@dataclass(frozen=True, slots=True)
class Approve:
    """Run the call as it is."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Run the call with these arguments instead; they are validated like the model's own."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not run the call; the model reads the reason."""

    reason: str = "the call was not approved"


@dataclass(frozen=True, slots=True)
class Answer:
    """Do not run the call; this value is its result."""

    value: Any


Decision = Approve | Edit | Reject | Answer
ApprovalHook = Callable[[ToolCall], Decision | Awaitable[Decision]]
BeforeHook = Callable[[ToolCall], Awaitable[None] | None]
AfterHook = Callable[[ToolCall, ToolResult], ToolResult | None | Awaitable[ToolResult | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHooks:
    """The hooks of one run.

    Attributes:
        approve: asked first, for every call that names an offered tool and has valid arguments; a person
            may take as long as they like.
        before: told of the call just before the tool starts, after approval and edits.
        after: told of the call and its result, failed ones too; a result it returns takes the place of
            the tool's (to redact, to shorten, to translate).
    """

    approve: ApprovalHook | None = None
    before: BeforeHook | None = None
    after: AfterHook | None = None
