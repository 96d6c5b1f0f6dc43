"""A run with the tools of an MCP server, started as a process and spoken to over stdio.

python examples/mcp_tools.py "What time is it in Tokyo?"
python examples/mcp_tools.py "What time is it?" uvx mcp-server-time      # anybody else's server
"""

from __future__ import annotations

import asyncio
import sys

from agent_runtime import AgentRuntime
from integrations.mcp import McpTools

OURS = [
    sys.executable,
    "-m",
    "integrations.mcp",
    "serve",
    "--tools",
    "agent_runtime.builtin_tools:current_time",
]


async def main(question: str, server: list[str]) -> None:
    """Ask one question with the tools of one server."""
    async with McpTools({"server": server}) as mcp, AgentRuntime.load() as runtime:
        print("tools   ", ", ".join(tool.name for tool in mcp.tools))
        run = await runtime.run(question, tools=mcp.tools, max_turns=4, answer_at_limit=True)
    for result in run.tool_results:
        print("result  ", result.tool_name, result.message)
    print("answer  ", run.output)


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["What time is it in Tokyo?"]
    asyncio.run(main(arguments[0], arguments[1:] or OURS))
