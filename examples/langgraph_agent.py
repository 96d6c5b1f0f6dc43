"""An agent of LangGraph that waits for a person, outlives a restart, and then goes on.

python examples/langgraph_agent.py            # answers its own question
python examples/langgraph_agent.py --ask      # you decide

Needs the extra: pip install 'smolcall[langchain]'
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command, Interrupt

from integrations.langchain import ChatSmolLM3, agent_middleware

QUESTION = "Transfer 20 euros to Anna."
THREAD: RunnableConfig = {"configurable": {"thread_id": "anna"}}


def transfer(recipient: str, amount: float) -> str:
    """Transfer money to someone.

    Args:
        recipient: Who gets it.
        amount: How much.
    """
    return f"transferred {amount:g} euros to {recipient}"


@contextmanager
def opened_agent(path: Path) -> Iterator[Any]:
    """The agent on a file of checkpoints: what it did so far is there again after a restart.

    Transfers are run only when a person approved them; where the model is not sure of a value, it asks.
    """
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield create_agent(
            ChatSmolLM3(),
            [transfer],
            middleware=agent_middleware(approve=["transfer"], ask_below=0.2),
            checkpointer=SqliteSaver(connection),
        )
    finally:
        connection.close()


def shown(interrupt: Interrupt) -> str:
    """What the agent waits for, for a person to read."""
    if interrupt.value.get("type") == "ask_back":
        return str(interrupt.value["question"])
    return "\n".join(request["description"] for request in interrupt.value["action_requests"])


def decided(interrupt: Interrupt, *, asks: bool) -> Any:
    """A person's decision, in the words the interrupt expects."""
    if interrupt.value.get("type") == "ask_back":
        return input("> ") if asks else {"type": "approve"}
    is_fine = not asks or input("approve? [y/N] ").strip().lower() == "y"
    decision = {"type": "approve"} if is_fine else {"type": "reject", "message": "the user said no"}
    return {"decisions": [decision for _ in interrupt.value["action_requests"]]}


def main() -> None:
    """Ask, wait, restart, go on."""
    parser = argparse.ArgumentParser(description="An agent that waits for a person and outlives a restart.")
    parser.add_argument("--ask", action="store_true", help="decide yourself instead of approving everything")
    asks = parser.parse_args().ask
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoints.sqlite"
        with opened_agent(path) as agent:
            print(f"you: {QUESTION}")
            state = agent.invoke({"messages": QUESTION}, THREAD)
        while interrupts := state.get("__interrupt__"):
            print(f"agent waits:\n{shown(interrupts[0])}")
            with opened_agent(path) as agent:  # as after a restart: nothing but the file is left
                state = agent.invoke(Command(resume=decided(interrupts[0], asks=asks)), THREAD)
        print(f"agent: {state['messages'][-1].text}")
        with opened_agent(path) as agent:
            kept = agent.get_state(THREAD).values["messages"]
        print("kept in the checkpoint:", ", ".join(message.type for message in kept))


if __name__ == "__main__":
    main()
