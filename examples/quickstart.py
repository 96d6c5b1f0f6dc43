"""A question, a tool, an answer: the shortest useful program.

python examples/quickstart.py
"""

from __future__ import annotations

import asyncio

from agent_runtime import AgentRuntime, RunLimitError


def get_weather(city: str, days: int = 1) -> dict[str, object]:
    """Current weather for a city.

    Args:
        city: City name.
        days: Number of days.
    """
    return {"city": city, "condition": "sunny", "temperature": 21, "days": days}


async def main() -> None:
    """Ask once, and show what happened on the way."""
    async with AgentRuntime.load() as runtime:
        try:
            run = await runtime.run("What's the weather in Oslo for 5 days?", tools=[get_weather])
        except RunLimitError as error:  # a small model may go round in circles
            run = error.run
    for turn in run.turns:
        for call in turn.tool_calls:
            print(f"call    {call.name}({call.arguments}), {call.confidence:.0%} sure")
    for result in run.tool_results:
        print(f"result  {result.message}")
    print(f"answer  {run.output}")


if __name__ == "__main__":
    asyncio.run(main())
