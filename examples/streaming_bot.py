"""Every event of a run as it happens: words, calls, results.

python examples/streaming_bot.py "What time is it in Tokyo?"
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

from agent_runtime import (
    AgentRuntime,
    CallReady,
    DeploymentConfig,
    ResultReady,
    RunFinished,
    RunLimitError,
    TextDelta,
)
from agent_runtime.builtin_tools import BUILTIN_TOOLS


async def main(question: str) -> None:
    """Show one run."""
    deployment = DeploymentConfig(max_tokens=200)
    async with AgentRuntime.load(deployment=deployment) as runtime:
        print(f"> {question}")
        async with aclosing(runtime.stream_run(question, tools=BUILTIN_TOOLS, max_turns=4)) as events:
            try:
                async for event in events:
                    match event:
                        case CallReady(call=call):
                            print(f"→ {call.name} {call.arguments}")
                        case ResultReady(result=result):
                            print(f"← {result.message}")
                        case TextDelta(text=text):
                            print(text, end="", flush=True)
                        case RunFinished(run=run):
                            print(f"\n({len(run.turns)} turns)")
            except RunLimitError as error:
                print(f"({error})")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What time is it in Tokyo?"))
