"""LangChain, first class: a chat model with tools and structured output, and middleware for agents.

from integrations.langchain import ChatSmolLM3

model = ChatSmolLM3().bind_tools([get_weather])
message = await model.ainvoke("What's the weather in Oslo for 5 days?")

Needs the extra `langchain`. Names are fetched when they are first asked for (PEP 562), so that the chat model
does not pay for the middleware's imports.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from agent_runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from .blocks import PROVIDER
    from .chat_model import ChatSmolLM3
    from .errors import ChatPromptTooLongError
    from .middleware import (
        AskBack,
        AskBackAnswer,
        AskBackMiddleware,
        DoubtfulArgument,
        RepeatedCallMiddleware,
        ToolFailureMiddleware,
        agent_middleware,
        approve_calls,
    )
    from .report import ArgumentReport, CallReport, Evidence, argument_report
    from .runtimes import close_runtimes

_HOMES = {
    "blocks": ("PROVIDER",),
    "chat_model": ("ChatSmolLM3",),
    "errors": ("ChatPromptTooLongError",),
    "middleware": (
        "AskBack",
        "AskBackAnswer",
        "AskBackMiddleware",
        "DoubtfulArgument",
        "RepeatedCallMiddleware",
        "ToolFailureMiddleware",
        "agent_middleware",
        "approve_calls",
    ),
    "report": ("ArgumentReport", "CallReport", "Evidence", "argument_report"),
    "runtimes": ("close_runtimes",),
}

_NEEDED = ("langchain_core", "langchain", "langgraph")


def _check_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"integrations.langchain needs {', '.join(missing)}, not installed here: "
            "pip install 'smolcall[langchain]'"
        )


_check_installed()


__getattr__, __dir__ = lazy_names(__name__, _HOMES)

__all__ = [
    "PROVIDER",
    "ArgumentReport",
    "AskBack",
    "AskBackAnswer",
    "AskBackMiddleware",
    "CallReport",
    "ChatPromptTooLongError",
    "ChatSmolLM3",
    "DoubtfulArgument",
    "Evidence",
    "RepeatedCallMiddleware",
    "ToolFailureMiddleware",
    "agent_middleware",
    "approve_calls",
    "argument_report",
    "close_runtimes",
]
