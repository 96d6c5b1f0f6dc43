"""Whole agents of LangGraph on the chat model: checkpoints, restarts, streams, what tools are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from agent_runtime import AgentRuntime
from agent_runtime.testing import Reply, ScriptedEngine, call, calls
from integrations.langchain import ChatSmolLM3, agent_middleware, argument_report

CONFIG: RunnableConfig = {"configurable": {"thread_id": "1"}}
ASKED: dict[str, Any] = {"messages": [HumanMessage("Transfer 20 euros to Anna.")]}
TRANSFER = calls(call("transfer", {"recipient": "Anna", "amount": 20.0}, confidence=0.75))


def transfer(recipient: str, amount: float) -> str:
    """Transfer money to someone."""
    return f"transferred {amount:g} euros to {recipient}"


def agent_of(*replies: Reply, checkpointer: Any, tools: Any = (transfer,)) -> tuple[Any, ScriptedEngine]:
    engine = ScriptedEngine(*replies)
    model = ChatSmolLM3(runtime=AgentRuntime(engine))
    middleware = agent_middleware(approve=["transfer"])
    return create_agent(model, list(tools), middleware=middleware, checkpointer=checkpointer), engine


def test_an_agent_waits_for_approval_over_a_restart_and_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoints.sqlite")
    with SqliteSaver.from_conn_string(path) as saver:
        agent, _ = agent_of(TRANSFER, checkpointer=saver)
        waiting = agent.invoke(ASKED, CONFIG)
    with SqliteSaver.from_conn_string(path) as saver:
        again, engine = agent_of("Done.", checkpointer=saver)
        done = again.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)

    assert "75% sure" in waiting["__interrupt__"][0].value["action_requests"][0]["description"]
    assert [type(message).__name__ for message in done["messages"]] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
    ]
    assert engine.orders[0].messages[-1].content == "transferred 20 euros to Anna"
    (report,) = argument_report(done["messages"][1])  # it is kept with the message
    assert report.arguments["recipient"].confidence == 0.75


async def test_an_async_agent_is_resumed_with_another_value(tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoints.sqlite")
    edit = {
        "type": "edit",
        "edited_action": {"name": "transfer", "args": {"recipient": "Anna", "amount": 5.0}},
    }
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        agent, _ = agent_of(TRANSFER, checkpointer=saver)
        await agent.ainvoke(ASKED, CONFIG)
        again, engine = agent_of("Done.", checkpointer=saver)
        done = await again.ainvoke(Command(resume={"decisions": [edit]}), CONFIG)

    assert "transferred 5 euros to Anna" in engine.orders[0].messages[-1].content
    assert done["messages"][-1].content == "Done."


async def test_an_agent_streams_the_words_of_its_model() -> None:
    agent, _ = agent_of("one two three", checkpointer=None)

    told = [message async for message, _ in agent.astream(ASKED, CONFIG, stream_mode="messages")]

    texts = [message.text for message in told if isinstance(message, AIMessageChunk) and message.text]
    assert texts == ["one", " two", " three"]


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental")
def test_an_agents_v3_stream_carries_reports_on_its_blocks() -> None:
    agent, _ = agent_of(
        calls(call("transfer", {"recipient": "Anna", "amount": 1.0})), "Done.", checkpointer=None
    )

    events = [
        event["params"]["data"][0]
        for event in agent.stream_events(ASKED, version="v3")
        if event["method"] == "messages"
    ]

    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert finished[0]["extras"]["arguments"]["recipient"]["value"] == "Anna"


def test_what_a_tool_gets_from_the_agent_is_not_shown_to_the_model() -> None:
    @tool
    def remember(what: str, runtime: ToolRuntime) -> str:
        """Remember something."""
        return f"{what} after {len(runtime.state['messages'])} messages"

    agent, engine = agent_of(calls(remember={"what": "tea"}), "Done.", checkpointer=None, tools=[remember])

    done = agent.invoke(ASKED, CONFIG)

    (offered,) = engine.orders[0].tools
    assert list(offered.parameters["properties"]) == ["what"]
    results = [message.content for message in done["messages"] if isinstance(message, ToolMessage)]
    assert results == ["tea after 2 messages"]


@pytest.mark.filterwarnings("ignore:The method `BaseChatModel")
async def test_an_agent_on_the_real_model_ends_with_a_message(tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.sqlite")) as saver:
        model = ChatSmolLM3(max_tokens=128)
        agent = create_agent(model, [transfer], middleware=agent_middleware(), checkpointer=saver)
        done = await agent.ainvoke(ASKED, CONFIG)

    for message in done["messages"]:
        for report in argument_report(message):
            assert 0.0 <= report.confidence <= 1.0
    assert done["messages"][-1].type == "ai"
    assert not done["messages"][-1].tool_calls
