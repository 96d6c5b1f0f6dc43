"""How to test a program that uses the runtime: the model is scripted, everything else is real.

python examples/testing_your_agent.py
"""

from __future__ import annotations

import asyncio

from agent_runtime import AgentRuntime
from agent_runtime.testing import call, calls, scripted_runtime


def order_pizza(size: int, toppings: list[str]) -> str:
    """Order a pizza.

    Args:
        size: Diameter in centimetres.
        toppings: What goes on it.
    """
    if size > 50:
        raise ValueError("the oven is 50 cm wide")
    return f"a {size} cm pizza with {' and '.join(toppings)}"


async def take_order(runtime: AgentRuntime, wish: str) -> str:
    """The program under test."""
    run = await runtime.run(wish, tools=[order_pizza], max_turns=4)
    return run.output


async def test_order_is_placed() -> None:
    """The model calls the tool and reports its result."""
    runtime = scripted_runtime(
        calls(order_pizza={"size": 30, "toppings": ["olives"]}), "Your pizza is on its way."
    )

    assert await take_order(runtime, "A pizza with olives, please") == "Your pizza is on its way."


async def test_failure_is_told_to_the_model() -> None:
    """A tool that raises does not end the run: the model reads why, and can try again."""
    runtime = scripted_runtime(
        calls(call("order_pizza", {"size": 80, "toppings": []})),
        lambda order: f"It did not work: {order.messages[-1].content}",
    )

    assert "the oven is 50 cm wide" in await take_order(runtime, "A giant pizza")


if __name__ == "__main__":
    asyncio.run(test_order_is_placed())
    asyncio.run(test_failure_is_told_to_the_model())
    print("both tests passed")
