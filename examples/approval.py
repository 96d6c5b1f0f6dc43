"""A person decides before anything is done: approve, edit, reject, or answer in the tool's place.

python examples/approval.py
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Literal

from agent_runtime import (
    AgentRuntime,
    Approve,
    Edit,
    Reject,
    RunLimitError,
    ToolCall,
    ToolHooks,
    ToolResult,
    tool,
)


@dataclass
class Bank:
    """Where the money is."""

    balance: float = 100.0
    transfers: list[str] = field(default_factory=list)

    def transfer(self, recipient: str, amount: float, currency: Literal["EUR", "USD"] = "EUR") -> str:
        """Transfer money to someone.

        Args:
            recipient: Who gets it.
            amount: How much.
            currency: In what.
        """
        self.balance -= amount
        self.transfers.append(f"{amount:g} {currency} to {recipient}")
        return f"transferred {self.transfers[-1]}, {self.balance:g} left"


def approve(call: ToolCall) -> Approve | Edit | Reject:
    """Small sums pass, middling ones are lowered, large ones are refused."""
    amount = call.arguments["amount"]
    if amount > 1000:
        return Reject("that is more than the limit of 1000")
    if amount > 50:
        return Edit({**call.arguments, "amount": 50})
    return Approve()


async def approve_by_hand(call: ToolCall) -> Approve | Reject:
    """Ask whoever sits in front of the terminal."""
    answer = await asyncio.to_thread(input, f"run {call.name} {call.arguments}? [y/N] ")
    return Approve() if answer.strip().lower() == "y" else Reject("the user said no")


def log(call: ToolCall, result: ToolResult) -> None:
    """Say what happened."""
    print(f"{call.name}({call.arguments}) -> {result.status}: {result.message}")


async def main() -> None:
    """Ask for a transfer; by hand in a terminal, by rule elsewhere."""
    bank = Bank()
    hooks = ToolHooks(approve=approve_by_hand if sys.stdin.isatty() else approve, after=log)
    async with AgentRuntime.load() as runtime:
        try:
            run = await runtime.run(
                "Transfer 80 euros to Anna.",
                tools=[tool(bank.transfer, timeout_s=5)],
                tool_choice="transfer",
                hooks=hooks,
                max_turns=3,
            )
            print(run.output)
        except RunLimitError as error:
            print(f"({error})")
    print(f"balance: {bank.balance:g}")


if __name__ == "__main__":
    asyncio.run(main())
