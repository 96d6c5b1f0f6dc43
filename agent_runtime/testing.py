"""Stand-ins for tests of programs that use the runtime: no weights, no torch, the same every time.

runtime = scripted_runtime(calls(get_weather={"city": "Paris"}), "It is 21 degrees in Paris.")
run = await runtime.run("What's the weather in Paris?", tools=[get_weather])
assert run.output == "It is 21 degrees in Paris."
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .config import DeploymentConfig
from .errors import ClosedError, ConfigError
from .events import ArgumentsDelta, CallReady, CallStarted, TextDelta, TurnStarted
from .messages import Plan, SlotDetail, ToolCall, Turn
from .runtime import AgentRuntime
from .scaffold.canonical import json_text
from .turn_engine import OnEvent, TurnOrder

if TYPE_CHECKING:
    from .prompt import Prompt

Reply = str | Turn | BaseException | Callable[[TurnOrder], "Reply"]
"""What a scripted engine answers with: words, a whole turn, an error to raise, or a function of the order."""


def call(name: str, arguments: Mapping[str, Any] | None = None, *, confidence: float = 1.0) -> ToolCall:
    """A call as the model would make it; its id is given when the turn is made."""
    arguments = dict(arguments or {})
    slots = {path: SlotDetail(value=value, confidence=confidence) for path, value in arguments.items()}
    return ToolCall(id="", name=name, arguments=arguments, confidence=confidence, slots=slots)


def calls(*made: ToolCall, **arguments_by_name: Mapping[str, Any]) -> Turn:
    """A turn that makes calls: given ones, and one for each `tool_name={arguments}`."""
    named = (call(name, arguments) for name, arguments in arguments_by_name.items())
    return Turn(
        content="",
        tool_calls=(*made, *named),
        stop_reason="tool_calls",
        plan=Plan(kind="tool", call_probability=1.0),
    )


class ScriptedEngine:
    """A `TurnEngine` that gives the replies of a script, one a turn, the last one again and again.

    Attributes:
        orders: what it was asked, in order.
    """

    def __init__(self, *replies: Reply) -> None:
        if not replies:
            raise ValueError("a script needs at least one reply")
        self.orders: list[TurnOrder] = []
        self._replies = list(replies)
        self._ids = itertools.count(1)
        self._is_closed = False

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        """The next reply; words are streamed word by word."""
        if self._is_closed:
            raise ClosedError("the engine is closed: make a new one")
        self.orders.append(order)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        while not isinstance(reply, (str, Turn, BaseException)):
            reply = reply(order)
        if isinstance(reply, BaseException):
            raise reply
        turn = Turn(content=reply) if isinstance(reply, str) else reply
        made = tuple(
            dataclasses.replace(call, id=call.id or f"call_{next(self._ids)}") for call in turn.tool_calls
        )
        turn = dataclasses.replace(turn, tool_calls=made)
        await _tell(turn, on_event or (lambda event: None))
        return turn

    async def prompt(self, order: TurnOrder) -> Prompt:
        """Not to be had without a tokenizer.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("a scripted engine reads no prompts: load a model folder to test them")

    async def warm_up(self) -> None:
        """Nothing to do."""

    def statistics(self) -> dict[str, int]:
        """How many turns it made."""
        return {"turns": len(self.orders)}

    def close(self) -> None:
        """Refuse further turns."""
        self._is_closed = True


def scripted_runtime(*replies: Reply, deployment: DeploymentConfig | None = None) -> AgentRuntime:
    """A runtime whose model says what it is told to; everything else is the real thing."""
    return AgentRuntime(ScriptedEngine(*replies), deployment)


async def _tell(turn: Turn, on_event: OnEvent) -> None:
    on_event(TurnStarted())
    for number, word in enumerate(turn.content.split(" ")):
        await asyncio.sleep(0)
        if turn.content:
            on_event(TextDelta(text=word if number == 0 else f" {word}"))
    for made in turn.tool_calls:
        on_event(CallStarted(call_id=made.id, name=made.name))
        await asyncio.sleep(0)
        on_event(ArgumentsDelta(call_id=made.id, text=json_text(made.arguments)))
        on_event(CallReady(call=made))
