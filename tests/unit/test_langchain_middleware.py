"""Middleware for LangChain's agents: asking back, approval, failures, repeats, structured answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel, ValidationError

from agent_runtime import AgentRuntime, ConfigError, EvidenceSpan, SlotDetail, ToolCall, Turn
from agent_runtime.testing import Reply, ScriptedEngine, calls
from integrations.langchain import (
    AskBackMiddleware,
    ChatSmolLM3,
    RepeatedCallMiddleware,
    ToolFailureMiddleware,
    agent_middleware,
    approve_calls,
    argument_report,
)

CONFIG: RunnableConfig = {"configurable": {"thread_id": "1"}, "recursion_limit": 40}


class Tools:
    """Tools that remember how they were called."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def get_weather(self, city: str, unit: str = "C") -> str:
        """Current weather for a city."""
        self.made.append((city, unit))
        return f"sunny in {city}"


@pytest.fixture
def tools() -> Tools:
    return Tools()


def oslo(confidence: float = 0.9, *, evidence: bool = True, unit: float | None = None) -> Turn:
    slots = {
        "city": SlotDetail(
            value="Oslo",
            confidence=confidence,
            evidence=EvidenceSpan(message_index=0, start=11, end=15) if evidence else None,
        )
    }
    arguments = {"city": "Oslo"}
    if unit is not None:
        slots["unit"] = SlotDetail(value="C", confidence=unit)
        arguments["unit"] = "C"
    made = ToolCall(id="", name="get_weather", arguments=arguments, confidence=confidence, slots=slots)
    return calls(made)


def agent_of(
    *replies: Reply, tools: list[Any], middleware: Any = (), **options: Any
) -> tuple[Any, ScriptedEngine]:
    engine = ScriptedEngine(*replies)
    model = ChatSmolLM3(runtime=AgentRuntime(engine))
    agent = create_agent(model, tools, middleware=list(middleware), checkpointer=InMemorySaver(), **options)
    return agent, engine


def ask(agent: Any, what: Any = None) -> Any:
    return agent.invoke({"messages": [HumanMessage("Weather in Oslo?")]} if what is None else what, CONFIG)


# Asking back.


def test_a_sure_call_with_evidence_is_run_unasked(tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.9), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])

    assert ask(agent)["messages"][-1].content == "Sunny."
    assert tools.made == [("Oslo", "C")]


@pytest.mark.parametrize(
    ("turn", "doubt"),
    [
        pytest.param(oslo(0.4), "low_confidence", id="unsure"),
        pytest.param(oslo(0.9, evidence=False), "no_evidence", id="nowhere said"),
    ],
)
def test_a_doubtful_call_asks_before_it_is_run(turn: Turn, doubt: str, tools: Tools) -> None:
    agent, _ = agent_of(turn, "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])

    (interrupt,) = ask(agent)["__interrupt__"]

    assert tools.made == []
    assert interrupt.value["type"] == "ask_back"
    (asked,) = interrupt.value["calls"]
    (argument,) = asked["arguments"]
    assert (asked["name"], argument["path"], argument["value"], argument["doubt"]) == (
        "get_weather",
        "city",
        "Oslo",
        doubt,
    )
    assert "city" in interrupt.value["question"] and "Oslo" not in interrupt.value["question"]


def test_an_approved_call_is_run_as_it_is(tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.4), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])
    ask(agent)

    done = ask(agent, Command(resume={"type": "approve"}))

    assert tools.made == [("Oslo", "C")]
    assert done["messages"][-1].content == "Sunny."


def test_an_edited_call_is_run_with_the_values_given(tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.4), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])
    (interrupt,) = ask(agent)["__interrupt__"]
    call_id = interrupt.value["calls"][0]["tool_call_id"]

    done = ask(agent, Command(resume={"type": "edit", "values": {call_id: {"city": "Bergen", "unit": "F"}}}))

    assert tools.made == [("Bergen", "F")]
    (report,) = argument_report(done["messages"][1])
    assert report.arguments["city"].value == "Bergen"
    assert report.arguments["city"].confidence == 1.0


def test_an_answer_is_put_to_the_model_and_the_call_is_not_run(tools: Tools) -> None:
    agent, engine = agent_of(
        oslo(0.4), oslo(0.9), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)]
    )
    ask(agent)

    done = ask(agent, Command(resume="In Oslo, Norway."))

    said = [(type(message).__name__, message.content) for message in done["messages"]]
    assert said[0] == ("HumanMessage", "Weather in Oslo?")
    assert said[1] == ("AIMessage", "Before I use get_weather, please tell me: city.")
    assert said[2] == ("HumanMessage", "In Oslo, Norway.")
    assert said[-1] == ("AIMessage", "Sunny.")
    assert [message.content for message in engine.orders[1].messages][-1] == "In Oslo, Norway."
    assert len(tools.made) == 1


def test_optional_arguments_are_doubted_only_if_asked_for(tools: Tools) -> None:
    turn = oslo(0.9, unit=0.1)
    lax, _ = agent_of(turn, "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])
    strict, _ = agent_of(
        turn, "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5, asks_optional=True)]
    )

    assert "__interrupt__" not in ask(lax)
    assert "__interrupt__" in ask(strict)


def test_only_watched_tools_are_asked_about(tools: Tools) -> None:
    agent, _ = agent_of(
        oslo(0.1),
        "Sunny.",
        tools=[tools.get_weather],
        middleware=[AskBackMiddleware(0.5, tools=["send_mail"])],
    )

    assert "__interrupt__" not in ask(agent)


@pytest.mark.parametrize("answer", [{"type": "maybe"}, 3, {"type": "answer"}])
def test_an_answer_of_no_known_form_is_refused_and_can_be_given_anew(answer: Any, tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.1), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])
    ask(agent)

    with pytest.raises(ValidationError):
        ask(agent, Command(resume=answer))
    assert ask(agent, Command(resume={"type": "approve"}))["messages"][-1].content == "Sunny."


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        pytest.param({"nobody": {"city": "Bergen"}}, "no call has the id 'nobody'", id="call"),
        pytest.param({"ID": {"stops.0.name": "Bergen"}}, "no argument at 'stops.0.name'", id="path"),
    ],
)
def test_an_edit_of_what_is_not_there_is_asked_again(values: Any, problem: str, tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.1), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])
    call_id = ask(agent)["__interrupt__"][0].value["calls"][0]["tool_call_id"]
    edit = {"type": "edit", "values": {key.replace("ID", call_id): change for key, change in values.items()}}

    (again,) = ask(agent, Command(resume=edit))["__interrupt__"]
    done = ask(agent, Command(resume={"type": "edit", "values": {call_id: {"city": "Bergen"}}}))

    assert problem in again.value["problem"]
    assert tools.made == [("Bergen", "C")]
    assert done["messages"][-1].content == "Sunny."


async def test_asking_back_works_in_async_agents(tools: Tools) -> None:
    agent, _ = agent_of(oslo(0.4), "Sunny.", tools=[tools.get_weather], middleware=[AskBackMiddleware(0.5)])

    asked = await agent.ainvoke({"messages": [HumanMessage("Weather in Oslo?")]}, CONFIG)
    done = await agent.ainvoke(Command(resume={"type": "approve"}), CONFIG)

    assert "__interrupt__" in asked
    assert done["messages"][-1].content == "Sunny."


def test_a_threshold_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match="below=2"):
        AskBackMiddleware(2)


# Approval.


def test_approval_shows_confidence_and_evidence_and_waits(tools: Tools) -> None:
    agent, _ = agent_of(
        oslo(0.9), "Sunny.", tools=[tools.get_weather], middleware=[approve_calls(["get_weather"])]
    )

    (interrupt,) = ask(agent)["__interrupt__"]
    (request,) = interrupt.value["action_requests"]
    done = ask(agent, Command(resume={"decisions": [{"type": "reject", "message": "no"}]}))

    assert request["description"] == "get_weather, 90% sure\n  city = 'Oslo', 90% sure, from 'Oslo'"
    assert tools.made == []
    assert any(isinstance(message, ToolMessage) and "no" in message.content for message in done["messages"])


def test_approval_with_a_limit_waits_only_for_doubtful_calls(tools: Tools) -> None:
    sure, _ = agent_of(
        oslo(0.9), "Sunny.", tools=[tools.get_weather], middleware=[approve_calls({"get_weather": 0.8})]
    )
    unsure, _ = agent_of(
        oslo(0.7), "Sunny.", tools=[tools.get_weather], middleware=[approve_calls({"get_weather": 0.8})]
    )

    assert "__interrupt__" not in ask(sure)
    assert "__interrupt__" in ask(unsure)


def test_a_call_is_asked_about_before_it_is_approved(tools: Tools) -> None:
    agent, _ = agent_of(
        oslo(0.4),
        "Sunny.",
        tools=[tools.get_weather],
        middleware=agent_middleware(approve=["get_weather"], ask_below=0.5),
    )

    (first,) = ask(agent)["__interrupt__"]
    (second,) = ask(agent, Command(resume={"type": "approve"}))["__interrupt__"]
    done = ask(agent, Command(resume={"decisions": [{"type": "approve"}]}))

    assert first.value["type"] == "ask_back"
    assert second.value["action_requests"][0]["name"] == "get_weather"
    assert done["messages"][-1].content == "Sunny."


# Failures.


def fail(city: str) -> str:
    """Current weather for a city."""
    raise ZeroDivisionError("by zero " * 200)


class Hanging:
    def __init__(self) -> None:
        self.release = threading.Event()

    def get_weather(self, city: str) -> str:
        """Current weather for a city."""
        self.release.wait(20)
        return city


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_failing_tool_is_a_result_that_the_model_reads(is_async: bool) -> None:
    agent, engine = agent_of(
        calls(fail={"city": "Oslo"}), "Sorry.", tools=[fail], middleware=[ToolFailureMiddleware()]
    )

    messages = {"messages": [HumanMessage("Weather in Oslo?")]}
    done = await agent.ainvoke(messages, CONFIG) if is_async else agent.invoke(messages, CONFIG)

    assert done["messages"][-1].content == "Sorry."
    result = engine.orders[1].messages[-1]
    assert result.role == "tool"
    assert result.content.startswith("fail failed: ZeroDivisionError: by zero")
    assert len(result.content) < 600


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_hanging_tool_is_given_up_after_its_time(is_async: bool) -> None:
    hanging = Hanging()
    agent, engine = agent_of(
        calls(get_weather={"city": "Oslo"}),
        "Sorry.",
        tools=[hanging.get_weather],
        middleware=[ToolFailureMiddleware(timeout_s=0.05)],
    )

    messages = {"messages": [HumanMessage("Weather in Oslo?")]}
    try:
        await agent.ainvoke(messages, CONFIG) if is_async else agent.invoke(messages, CONFIG)
    finally:
        hanging.release.set()

    assert "did not finish within 0.05 s" in engine.orders[1].messages[-1].content


def test_messages_of_failures_can_be_kept_from_the_model() -> None:
    agent, engine = agent_of(
        calls(fail={"city": "Oslo"}),
        "Sorry.",
        tools=[fail],
        middleware=[ToolFailureMiddleware(shows_message=False)],
    )

    ask(agent)

    assert engine.orders[1].messages[-1].content == "fail failed: ZeroDivisionError"


def test_failures_of_other_tools_are_left_alone() -> None:
    agent, _ = agent_of(
        calls(fail={"city": "Oslo"}),
        "Sorry.",
        tools=[fail],
        middleware=[ToolFailureMiddleware(tools=["other"])],
    )

    with pytest.raises(ZeroDivisionError):
        ask(agent)


# Repeats and structured answers.


class Report(BaseModel):
    """A weather report."""

    city: str


def always_first(order: Any) -> Reply:
    """A model that always calls the first tool it is offered."""
    return calls(**{order.tools[0].name: {"city": "Oslo"}}) if order.tools else "Sunny."


def test_a_model_that_always_calls_comes_to_an_end(tools: Tools) -> None:
    agent, _ = agent_of(always_first, tools=[tools.get_weather], middleware=[RepeatedCallMiddleware()])

    assert ask(agent)["messages"][-1].content == "Sunny."
    assert len(tools.made) == 1


async def test_a_required_call_on_every_step_comes_to_an_end(tools: Tools) -> None:
    agent, engine = agent_of(
        always_first,
        tools=[tools.get_weather],
        middleware=agent_middleware(),
        response_format=ToolStrategy(Report),
    )

    done = await agent.ainvoke({"messages": [HumanMessage("Weather in Oslo?")]}, CONFIG)

    assert {order.tool_choice.mode for order in engine.orders} == {"required"}
    assert done["structured_response"] == Report(city="Oslo")
    assert len(tools.made) == 1


def test_a_failed_call_may_be_made_once_more() -> None:
    agent, engine = agent_of(always_first, tools=[fail], middleware=agent_middleware())

    done = ask(agent)

    assert sum(isinstance(message, ToolMessage) for message in done["messages"]) == 2
    assert done["messages"][-1].content == "Sunny."


def test_the_user_may_ask_the_same_again(tools: Tools) -> None:
    agent, _ = agent_of(always_first, tools=[tools.get_weather], middleware=[RepeatedCallMiddleware()])

    ask(agent)
    ask(agent)

    assert len(tools.made) == 2


@pytest.mark.parametrize("response_format", [Report, ProviderStrategy(Report)])
def test_the_answers_schema_is_kept_without_a_tool_for_it(response_format: Any, tools: Tools) -> None:
    agent, engine = agent_of(
        calls(get_weather={"city": "Oslo"}),
        "It is sunny.",
        calls(Report={"city": "Oslo"}),
        tools=[tools.get_weather],
        response_format=response_format,
    )

    done = ask(agent)

    assert done["structured_response"] == Report(city="Oslo")
    assert [order.tool_choice.name for order in engine.orders] == [None, None, "Report"]
    assert isinstance(done["messages"][-1], AIMessage) and done["messages"][-1].tool_calls == []
