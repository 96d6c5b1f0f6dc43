"""Middleware for LangChain's agents: failures become results, repeats end, a person approves or is asked.

agent = create_agent(ChatSmolLM3(), tools=[...], middleware=agent_middleware(approve=["send_mail"]),
                     checkpointer=InMemorySaver())
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from langchain.agents import AgentState
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    InterruptOnConfig,
    ModelRequest,
    ModelResponse,
    ToolErrorMiddleware,
)
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent_runtime import ConfigError, ToolTimeout

from .ask_back import AskBack, AskBackAnswer, AskBackMiddleware, DoubtfulArgument
from .report import CallReport, argument_report

__all__ = [
    "AskBack",
    "AskBackAnswer",
    "AskBackMiddleware",
    "DoubtfulArgument",
    "RepeatedCallMiddleware",
    "ToolFailureMiddleware",
    "agent_middleware",
    "approve_calls",
]

MAX_ERROR_CHARS = 500

_ToolAnswer = ToolMessage | Command[Any]
_Respond = Callable[[ModelRequest[Any]], ModelResponse[Any]]
_ARespond = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


def agent_middleware(
    *,
    approve: Sequence[str] | Mapping[str, float] = (),
    ask_below: float | None = None,
    tool_timeout_s: float | None = None,
) -> list[AgentMiddleware[Any, Any, Any]]:
    """What an agent on a small model should have.

    Args:
        approve: tools whose calls a person approves; with a number, only calls less sure than that.
        ask_below: ask back about required arguments less sure than this, or without evidence; None never
            asks.
        tool_timeout_s: seconds a tool may take.
    """
    stack: list[AgentMiddleware[Any, Any, Any]] = [
        RepeatedCallMiddleware(),
        ToolFailureMiddleware(timeout_s=tool_timeout_s),
    ]
    if approve:
        stack.append(approve_calls(approve))
    if ask_below is not None:  # last, since what follows the model runs from the last to the first
        stack.append(AskBackMiddleware(ask_below))
    return stack


# Failures.


class ToolFailureMiddleware(ToolErrorMiddleware[Any, Any]):
    """A tool that raises or hangs gives a failed result that the model reads; the run goes on.

    Without it any exception of a tool ends LangChain's agents.

    Args:
        timeout_s: seconds a tool may take; None waits. A synchronous tool that takes longer keeps its thread.
        shows_message: whether the model reads the exception's message, or only its kind.
        tools: names of the tools it is about; all when left out.

    Raises:
        ConfigError: `timeout_s` is not above 0.
    """

    def __init__(
        self,
        *,
        timeout_s: float | None = None,
        shows_message: bool = True,
        tools: Collection[str] | None = None,
    ) -> None:
        super().__init__(self._explained, tools=None if tools is None else list(tools))
        if timeout_s is not None and not timeout_s > 0:
            raise ConfigError(f"timeout_s={timeout_s!r}: give a number of seconds above 0, or None")
        self.timeout_s = timeout_s
        self.shows_message = shows_message

    def _explained(self, error: Exception, request: ToolCallRequest) -> str:
        said = (
            f"{type(error).__name__}: {error}" if self.shows_message and str(error) else type(error).__name__
        )
        if len(said) > MAX_ERROR_CHARS:
            said = said[:MAX_ERROR_CHARS] + "…"
        return f"{request.tool_call['name']} failed: {said}"

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _ToolAnswer]
    ) -> _ToolAnswer:
        """Run the tool; see the class."""
        return super().wrap_tool_call(request, self._timed(handler) if self._has_limit(request) else handler)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_ToolAnswer]]
    ) -> _ToolAnswer:
        """Run the tool; see the class."""

        async def limited(request: ToolCallRequest) -> _ToolAnswer:
            try:
                async with asyncio.timeout(self.timeout_s) as deadline:
                    return await handler(request)
            except TimeoutError as error:
                if not deadline.expired():  # a tool may raise a TimeoutError of its own
                    raise
                raise self._timeout(request) from error

        return await super().awrap_tool_call(request, limited if self._has_limit(request) else handler)

    def _has_limit(self, request: ToolCallRequest) -> bool:
        return self.timeout_s is not None and self._should_handle_tool(request.tool_call["name"])

    def _timed(
        self, handler: Callable[[ToolCallRequest], _ToolAnswer]
    ) -> Callable[[ToolCallRequest], _ToolAnswer]:
        def limited(request: ToolCallRequest) -> _ToolAnswer:
            answer: Future[_ToolAnswer] = Future()
            context = contextvars.copy_context()

            def run() -> None:
                try:
                    answer.set_result(context.run(handler, request))
                except BaseException as error:  # a tool may raise anything; it is raised to the caller below
                    answer.set_exception(error)

            threading.Thread(target=run, name="smolcall-tool", daemon=True).start()
            try:
                return answer.result(self.timeout_s)
            except TimeoutError as error:
                if answer.done():
                    raise
                raise self._timeout(request) from error

        return limited

    def _timeout(self, request: ToolCallRequest) -> ToolTimeout:
        assert self.timeout_s is not None
        return ToolTimeout(tool_name=request.tool_call["name"], after_s=self.timeout_s)


# Repeats.


class RepeatedCallMiddleware(AgentMiddleware[Any, Any, Any]):
    """A call that was already answered is not made again: the model is asked once more, without that tool.

    Small models tend to repeat a call whose result they have; and an agent whose answer has a schema asks for
    a call on every step (`tool_choice="any"`), so that it would never end.

    Args:
        allowed: how often the same call, name and arguments, may be answered since the user last spoke.
        retries: how often it may be made once more after it failed.
    """

    def __init__(self, allowed: int = 1, *, retries: int = 1) -> None:
        super().__init__()
        if allowed < 1 or retries < 0:
            raise ConfigError(f"allowed={allowed!r}, retries={retries!r}: give at least 1, and at least 0")
        self.allowed = allowed
        self.retries = retries

    def wrap_model_call(self, request: ModelRequest[Any], handler: _Respond) -> ModelResponse[Any]:
        """Ask the model, and again without what it repeats."""
        response = handler(request)
        while (narrowed := self._without_repeats(request, response)) is not None:
            request = narrowed
            response = handler(request)
        return response

    async def awrap_model_call(self, request: ModelRequest[Any], handler: _ARespond) -> ModelResponse[Any]:
        """The same."""
        response = await handler(request)
        while (narrowed := self._without_repeats(request, response)) is not None:
            request = narrowed
            response = await handler(request)
        return response

    def _without_repeats(
        self, request: ModelRequest[Any], response: ModelResponse[Any]
    ) -> ModelRequest[Any] | None:
        """The request with the repeated tools left out; None if anything of the response is new."""
        calls = [call for message in response.result for call in getattr(message, "tool_calls", ())]
        if not calls or not all(self._is_repeated(call, request.messages) for call in calls):
            return None
        names = {call["name"] for call in calls}
        tools = [offered for offered in request.tools if _name_of(offered) not in names]
        if len(tools) == len(request.tools):  # the schema of the agent's own answer: it may be given
            return None
        choice = None if request.tool_choice in names or not tools else request.tool_choice
        return request.override(tools=tools, tool_choice=choice)

    def _is_repeated(self, call: ToolCall, messages: Sequence[BaseMessage]) -> bool:
        results = [result.status for made, result in _results(messages) if _same(made, call)]
        num_answered = sum(status != "error" for status in results)
        return num_answered >= self.allowed or len(results) >= self.allowed + self.retries


def _results(messages: Sequence[BaseMessage]) -> Iterator[tuple[ToolCall, ToolMessage]]:
    """The calls since the user last spoke, each with its result."""
    start = max((n for n, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    made: dict[str | None, ToolCall] = {}
    for message in messages[start + 1 :]:
        if isinstance(message, AIMessage):
            made.update((call["id"], call) for call in message.tool_calls)
        elif isinstance(message, ToolMessage) and message.tool_call_id in made:
            yield made[message.tool_call_id], message


def _same(a: ToolCall, b: ToolCall) -> bool:
    return a["name"] == b["name"] and a["args"] == b["args"]


def _name_of(offered: Any) -> str | None:
    if isinstance(offered, Mapping):
        name = offered.get("function", offered).get("name")
        return name if isinstance(name, str) else None
    return getattr(offered, "name", None)


# Approval.


def approve_calls(tools: Sequence[str] | Mapping[str, float]) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    """Pause before the calls of some tools, showing how sure each argument is and where it was read.

    It is LangChain's own `HumanInTheLoopMiddleware`: resume with `{"decisions": [{"type": "approve"}]}`, or
    `edit`, `reject`, `respond`.

    Args:
        tools: their names; with a number, only calls less sure than that are shown.
    """
    limits = tools if isinstance(tools, Mapping) else dict.fromkeys(tools)
    return HumanInTheLoopMiddleware(
        interrupt_on={
            name: InterruptOnConfig(
                allowed_decisions=["approve", "edit", "reject", "respond"],
                description=cast(Any, _described),  # its protocol is generic in what runtimes are
                when=_is_doubtful(below),
            )
            for name, below in limits.items()
        }
    )


def _is_doubtful(below: float | None) -> Callable[[ToolCallRequest], bool]:
    def when(request: ToolCallRequest) -> bool:
        if below is None:
            return True
        report = _report_of(request.tool_call, request.state["messages"])
        return report is None or report.confidence < below

    return when


def _report_of(call: ToolCall, messages: Sequence[BaseMessage]) -> CallReport | None:
    for message in reversed(messages):
        for report in argument_report(message):
            if report.call_id == call["id"]:
                return report
    return None


def _described(call: ToolCall, state: AgentState[Any], runtime: Runtime[Any]) -> str:
    report = _report_of(call, state["messages"])
    if report is None:
        return f"{call['name']}({', '.join(f'{key}={value!r}' for key, value in call['args'].items())})"
    lines = [f"{call['name']}, {report.confidence:.0%} sure"]
    for argument in report.arguments.values():
        found = "not in the conversation"
        if argument.evidence is not None:
            found = f"from {argument.evidence.text!r}"
        lines.append(f"  {argument.path} = {argument.value!r}, {argument.confidence:.0%} sure, {found}")
    return "\n".join(lines)
