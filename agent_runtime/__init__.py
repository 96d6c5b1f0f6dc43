"""The local tool-calling runtime: `AgentRuntime`, tools, deployments, and what they return or raise.

Importing this package is quick and imports neither torch nor transformers; both are imported when a
model is first used. Names are fetched when they are first asked for (PEP 562).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from .lazy_names import lazy_names

if TYPE_CHECKING:
    from .config import DeploymentConfig
    from .errors import (
        AgentRuntimeError,
        BundleError,
        ClosedError,
        ConfigError,
        DeadlineError,
        MessageError,
        OverloadedError,
        PromptTooLongError,
        RunLimitError,
        SchemaError,
        ToolChoiceError,
        ToolExecutionError,
        ToolFailed,
        ToolRejected,
        ToolTimeout,
        UnknownTool,
    )
    from .events import (
        ArgumentsDelta,
        CallReady,
        CallStarted,
        DenoiseStep,
        ReasoningDelta,
        ResultReady,
        RunEvent,
        RunFinished,
        SlotTrace,
        TextDelta,
        TurnEvent,
        TurnFinished,
        TurnStarted,
    )
    from .executor import Answer, Approve, Edit, Reject, ToolExecutor, ToolHooks
    from .messages import (
        EvidenceSpan,
        Message,
        Plan,
        Run,
        SlotDetail,
        Timings,
        TokenLogprob,
        ToolCall,
        ToolResult,
        Turn,
        Usage,
    )
    from .runtime import AgentRuntime, embedded_heads_folder, embedded_model_folder
    from .structured_reply import StructuredReply
    from .tools import Tool, tool

__version__ = "0.1.0"

_HOMES = {
    "config": ("DeploymentConfig",),
    "errors": (
        "AgentRuntimeError",
        "BundleError",
        "ClosedError",
        "ConfigError",
        "DeadlineError",
        "MessageError",
        "OverloadedError",
        "PromptTooLongError",
        "RunLimitError",
        "SchemaError",
        "ToolChoiceError",
        "ToolExecutionError",
        "ToolFailed",
        "ToolRejected",
        "ToolTimeout",
        "UnknownTool",
    ),
    "events": (
        "ArgumentsDelta",
        "CallReady",
        "CallStarted",
        "DenoiseStep",
        "ReasoningDelta",
        "ResultReady",
        "RunEvent",
        "RunFinished",
        "SlotTrace",
        "TextDelta",
        "TurnEvent",
        "TurnFinished",
        "TurnStarted",
    ),
    "executor": ("Answer", "Approve", "Edit", "Reject", "ToolExecutor", "ToolHooks"),
    "messages": (
        "EvidenceSpan",
        "Message",
        "Plan",
        "Run",
        "SlotDetail",
        "Timings",
        "TokenLogprob",
        "ToolCall",
        "ToolResult",
        "Turn",
        "Usage",
    ),
    "runtime": ("AgentRuntime", "embedded_heads_folder", "embedded_model_folder"),
    "structured_reply": ("StructuredReply",),
    "tools": ("Tool", "tool"),
}


def _check_heads_is_our_sibling() -> None:
    """`heads` is a common name: say clearly when another package answers to it.

    Without this a user's own `heads/` in the working folder ends in `No module named 'heads.bundle'`.
    """
    ours = Path(__file__).resolve().parent.parent / "heads"
    spec = importlib.util.find_spec("heads")
    places = [] if spec is None else [*(spec.submodule_search_locations or [spec.origin or "built in"])]
    if ours not in (Path(place).resolve() for place in places):
        found = f"'heads' is {places[0]}" if places else "no package 'heads' was found"
        raise ImportError(
            f"agent_runtime needs its own package 'heads' at {ours}, but {found}: "
            "rename yours or take its folder off the import path, or reinstall smolcall"
        )


_check_heads_is_our_sibling()


__getattr__, __dir__ = lazy_names(__name__, _HOMES)

__all__ = [
    "AgentRuntime",
    "AgentRuntimeError",
    "Answer",
    "Approve",
    "ArgumentsDelta",
    "BundleError",
    "CallReady",
    "CallStarted",
    "DenoiseStep",
    "ClosedError",
    "ConfigError",
    "DeadlineError",
    "DeploymentConfig",
    "Edit",
    "EvidenceSpan",
    "Message",
    "MessageError",
    "OverloadedError",
    "Plan",
    "PromptTooLongError",
    "ReasoningDelta",
    "Reject",
    "ResultReady",
    "Run",
    "RunEvent",
    "RunFinished",
    "RunLimitError",
    "SchemaError",
    "SlotDetail",
    "SlotTrace",
    "StructuredReply",
    "TextDelta",
    "Timings",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolChoiceError",
    "ToolExecutionError",
    "ToolExecutor",
    "ToolFailed",
    "ToolHooks",
    "ToolRejected",
    "ToolResult",
    "ToolTimeout",
    "Turn",
    "TurnEvent",
    "TurnFinished",
    "TurnStarted",
    "UnknownTool",
    "Usage",
    "embedded_heads_folder",
    "embedded_model_folder",
    "tool",
]
