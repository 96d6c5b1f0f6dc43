"""Asking instead of guessing: an agent pauses before a call whose arguments are doubtful.

The pause is a LangGraph interrupt, so the agent needs a checkpointer; it goes on with
`Command(resume={"type": "answer", "message": "..."})`, or one of the other answers below.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from langchain.agents import AgentState
from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import Discriminator
from typing_extensions import TypedDict

from agent_runtime import ConfigError

from .report import REPORT_KEY, ArgumentReport, CallReport, argument_report

Doubt = Literal["low_confidence", "no_evidence"]


class DoubtfulArgument(TypedDict):
    """An argument nobody should rely on yet. `evidence` quotes the conversation, or is None."""

    path: str
    value: Any
    confidence: float
    evidence: str | None
    doubt: Doubt


class DoubtfulCall(TypedDict):
    """A call with doubtful arguments; it has not been run."""

    tool_call_id: str
    name: str
    args: dict[str, Any]
    confidence: float
    arguments: list[DoubtfulArgument]


class AskBack(TypedDict):
    """The value of the interrupt: what is doubtful, and a question that could be put to the user.

    `problem` says what was wrong with the answer before, when it is asked once more.
    """

    type: Literal["ask_back"]
    question: str
    calls: list[DoubtfulCall]
    problem: str | None


class Approve(TypedDict):
    """Run the calls as they are."""

    type: Literal["approve"]


class EditArguments(TypedDict):
    """Run the calls with other values: by id of the call, then by dotted path."""

    type: Literal["edit"]
    values: dict[str, dict[str, Any]]


class Answer(TypedDict):
    """Do not run the calls: ask the model again with the user's words."""

    type: Literal["answer"]
    message: str


AskBackAnswer = Annotated[Approve | EditArguments | Answer, Discriminator("type")] | str
"""What an agent that asked back is resumed with; a string is the user's words.

LangGraph checks it before it is saved: one of another form is a `ValidationError`, and can be given anew.
"""


class AskBackMiddleware(AgentMiddleware[Any, Any, Any]):
    """Asks the user before a call is run whose required arguments are doubtful.

    Args:
        below: an argument less sure than this is doubtful.
        needs_evidence: whether a value that stands nowhere in the conversation is doubtful; not asked of
            values that are chosen from a list (enums, booleans).
        asks_optional: whether optional arguments are looked at as well.
        tools: names of the tools that are looked at; all when left out.
        question: words the question; gets the doubtful calls.

    Raises:
        ConfigError: `below` is not a probability.
    """

    def __init__(
        self,
        below: float = 0.5,
        *,
        needs_evidence: bool = True,
        asks_optional: bool = False,
        tools: Collection[str] | None = None,
        question: Callable[[Sequence[DoubtfulCall]], str] | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= below <= 1.0:
            raise ConfigError(f"below={below!r}: give a probability from 0 to 1")
        self.below = below
        self.needs_evidence = needs_evidence
        self.asks_optional = asks_optional
        self.watched = None if tools is None else frozenset(tools)
        self.question = question or worded_question

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Pause if a call of the last message is doubtful, and do as the answer says."""
        message = next((m for m in reversed(state["messages"]) if isinstance(m, AIMessage)), None)
        # The agent's own structured answer has its result already.
        done = {m.tool_call_id for m in state["messages"] if isinstance(m, ToolMessage)}
        found = [] if message is None else self.doubtful_calls(message)
        doubtful = [call for call in found if call["tool_call_id"] not in done]
        if message is None or not doubtful:
            return None
        asked = AskBack(type="ask_back", question=self.question(doubtful), calls=doubtful, problem=None)
        while True:
            answer = interrupt(asked, response_schema=cast(Any, AskBackAnswer))
            if isinstance(answer, str):
                answer = Answer(type="answer", message=answer)
            if answer["type"] == "approve":
                return None
            if answer["type"] == "answer":
                question = AIMessage(content=asked["question"], id=message.id)
                said = HumanMessage(content=answer["message"])
                return {"messages": [question, said], "jump_to": "model"}
            try:
                return {"messages": [edited_message(message, answer["values"])]}
            except ConfigError as error:  # the answer is saved already: only another one helps
                asked = AskBack(**{**asked, "problem": str(error)})

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """The same."""
        return self.after_model(state, runtime)

    def doubtful_calls(self, message: AIMessage) -> Iterator[DoubtfulCall]:
        """The calls of a message that should not be run unasked."""
        reports = {report.call_id: report for report in argument_report(message)}
        for call in message.tool_calls:
            report = reports.get(call["id"] or "")
            if report is None or (self.watched is not None and call["name"] not in self.watched):
                continue
            doubts = list(self._doubts(report))
            if doubts:
                yield DoubtfulCall(
                    tool_call_id=report.call_id,
                    name=call["name"],
                    args=call["args"],
                    confidence=report.confidence,
                    arguments=doubts,
                )

    def _doubts(self, report: CallReport) -> Iterator[DoubtfulArgument]:
        for argument in report.arguments.values():
            doubt = self._doubt(argument) if argument.is_required or self.asks_optional else None
            if doubt is not None:
                yield DoubtfulArgument(
                    path=argument.path,
                    value=argument.value,
                    confidence=argument.confidence,
                    evidence=None if argument.evidence is None else argument.evidence.text,
                    doubt=doubt,
                )

    def _doubt(self, argument: ArgumentReport) -> Doubt | None:
        if argument.confidence < self.below:
            return "low_confidence"
        if self.needs_evidence and argument.evidence is None and not argument.is_choice:
            return "no_evidence"
        return None


def worded_question(calls: Sequence[DoubtfulCall]) -> str:
    """A plain question about doubtful calls.

    It does not say the doubtful values: the model reads it, and would copy them.
    """
    paths = ", ".join(argument["path"] for call in calls for argument in call["arguments"])
    return f"Before I use {' and '.join(call['name'] for call in calls)}, please tell me: {paths}."


def edited_message(message: AIMessage, values: Mapping[str, Mapping[str, Any]]) -> AIMessage:
    """The message with other argument values; what a person gave is certain.

    Raises:
        ConfigError: a call or a path that is not there.
    """
    edited = message.model_copy(deep=True)
    calls = {call["id"]: call for call in edited.tool_calls}
    for call_id, changes in values.items():
        if call_id not in calls:
            raise ConfigError(f"no call has the id {call_id!r}: there are {', '.join(map(repr, calls))}")
        reports = (edited.additional_kwargs.get(REPORT_KEY) or {}).get(call_id, {}).get("arguments", {})
        for path, value in changes.items():
            _put(calls[call_id]["args"], path, value)
            said = {"value": value, "confidence": 1.0, "evidence": None}
            reports[path] = {"required": True, "choice": False, **reports.get(path, {}), **said}
    if isinstance(edited.content, list):
        for block in edited.content:
            if isinstance(block, dict) and block.get("type") == "tool_call" and block.get("id") in values:
                block["args"] = copy.deepcopy(calls[block["id"]]["args"])
                block.pop("extras", None)
    return edited


def _put(arguments: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path; only its last step may be new."""
    place: Any = arguments
    *steps, last = path.split(".")
    try:
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ConfigError(f"the call has no argument at {path!r}: {arguments!r}") from error
