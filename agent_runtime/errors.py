"""Every error a caller can meet.

    AgentRuntimeError
    ├── ConfigError            a deployment or model folder that cannot be used
    ├── BundleError            heads missing, damaged, or made for another backbone or tokenizer
    ├── SchemaError            a tool schema that cannot be honoured: tool, JSON path, keyword
    ├── MessageError           a conversation that cannot be read: which message, what is wrong
    ├── ToolChoiceError        a tool_choice that the offered tools cannot satisfy
    ├── PromptTooLongError     carries prompt_tokens and max_tokens
    ├── OverloadedError        the queue is full; carries retry_after_s
    ├── DeadlineError          the request's deadline passed; carries deadline_s
    ├── ClosedError            the runtime was closed
    ├── ToolExecutionError
    │   ├── UnknownTool
    │   ├── ToolTimeout
    │   ├── ToolRejected       an approval hook said no
    │   └── ToolFailed         the tool raised; its exception is __cause__
    └── RunLimitError          max_turns, repeated call or total deadline; carries the run so far

A message says what was found, what was expected and what to do. Facts a caller may branch on are
attributes, never text to parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .messages import Run


class AgentRuntimeError(Exception):
    """Base of every error raised by this package."""


class ConfigError(AgentRuntimeError):
    """A deployment, model folder or command line that cannot be used."""


class BundleError(AgentRuntimeError):
    """Heads that are missing, damaged, or made for another backbone or tokenizer."""


class SchemaError(AgentRuntimeError):
    """A tool schema that cannot be honoured.

    Attributes:
        tool: name of the tool being bound.
        path: JSON path inside its parameter schema, `$` for the root.
        keyword: the JSON Schema keyword that is refused.
    """

    def __init__(self, reason: str, *, tool: str, path: str = "$", keyword: str = "") -> None:
        self.tool = tool
        self.path = path
        self.keyword = keyword
        self.reason = reason
        where = f"{path}.{keyword}" if keyword else path
        super().__init__(f"tool {tool!r}, schema {where}: {reason}")


class MessageError(AgentRuntimeError):
    """A conversation that cannot be read."""

    def __init__(self, reason: str, *, index: int | None = None) -> None:
        self.index = index
        super().__init__(reason if index is None else f"messages[{index}]: {reason}")


class ToolChoiceError(AgentRuntimeError):
    """A `tool_choice` that is unknown, or that the offered tools cannot satisfy."""


class PromptTooLongError(AgentRuntimeError):
    """The conversation does not fit, even after trimming what may be trimmed."""

    def __init__(self, *, prompt_tokens: int, max_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        super().__init__(
            f"the prompt needs {prompt_tokens} tokens but at most {max_tokens} fit: shorten the messages, "
            "offer fewer tools, or raise max_seq_len"
        )


class OverloadedError(AgentRuntimeError):
    """The queue is full."""

    def __init__(self, *, queued: int, retry_after_s: float) -> None:
        self.queued = queued
        self.retry_after_s = retry_after_s
        super().__init__(
            f"{queued} requests are already waiting: retry in about {retry_after_s:.1f} s, or raise max_queue"
        )


class DeadlineError(AgentRuntimeError):
    """A request ran past its deadline; its place in the engine is free again."""

    def __init__(self, *, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(f"no answer within the deadline of {deadline_s:g} s")


class ClosedError(AgentRuntimeError):
    """The runtime was used after `close()`."""


class ToolExecutionError(AgentRuntimeError):
    """A tool call that could not be run. The model sees it as a failed result."""

    def __init__(self, message: str, *, tool_name: str) -> None:
        self.tool_name = tool_name
        super().__init__(message)


class UnknownTool(ToolExecutionError):
    """The call names a tool that was not offered."""


class ToolTimeout(ToolExecutionError):
    """The tool did not finish in time."""

    def __init__(self, *, tool_name: str, after_s: float) -> None:
        self.after_s = after_s
        super().__init__(f"{tool_name} did not finish within {after_s:g} s", tool_name=tool_name)


class ToolRejected(ToolExecutionError):
    """An approval hook refused the call."""


class ToolFailed(ToolExecutionError):
    """The tool raised; its exception is `__cause__`."""


class RunLimitError(AgentRuntimeError):
    """A run hit a limit before it reached an answer.

    Attributes:
        limit: `max_turns`, `repeated_call` or `deadline`.
        run: everything up to then; `run.messages` can be resumed.
    """

    def __init__(self, message: str, *, limit: str, run: Run) -> None:
        self.limit = limit
        self.run = run
        super().__init__(message)
