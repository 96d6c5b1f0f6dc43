"""A chat bot with made-up weather: typed arguments, hidden context, retries, and a conversation that goes on.

python examples/weather_bot.py            # talk with it; an empty line leaves
echo "Weather in Rome?" | python examples/weather_bot.py
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from agent_runtime import AgentRuntime, AgentRuntimeError, tool
from agent_runtime.tools import Hidden


class Weather(BaseModel):
    """What the weather is like."""

    city: str
    degrees: float
    unit: str


@tool(is_idempotent=True, timeout_s=2)
async def get_weather(
    city: Annotated[str, Field(description="City name.")],
    unit: Literal["celsius", "fahrenheit"] = "celsius",
    user: Annotated[str, Hidden] = "nobody",
) -> Weather:
    """Current weather for a city."""
    if random.Random(f"{city} {user}").random() < 0.1:
        raise ConnectionError("the weather station did not answer")  # tried again: it is safe to repeat
    degrees = 10 + len(city)
    return Weather(city=city, degrees=degrees if unit == "celsius" else degrees * 1.8 + 32, unit=unit)


async def main() -> None:
    """Talk until an empty line or the end of the input."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a helpful weather assistant."}]
    async with AgentRuntime.load() as runtime:
        while True:
            print("> ", end="", flush=True)
            question = (await asyncio.to_thread(sys.stdin.readline)).strip()
            if not question:
                break
            try:
                run = await runtime.run(
                    [*messages, {"role": "user", "content": question}],
                    tools=[get_weather],
                    context={"user": "ada"},
                )
            except AgentRuntimeError as error:
                print(f"({error})")
                continue
            messages = run.messages
            print(run.output)
    print("bye")


if __name__ == "__main__":
    asyncio.run(main())
