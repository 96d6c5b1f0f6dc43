"""A reply that must be JSON of a schema: a tool whose arguments are the reply.

The reply is offered as one more tool and a call is required, so every guarantee of a call (valid by
construction, confidence and evidence of every value) holds for the reply as well. `settle` turns the call
back into words. The server's `response_format` is made with it; nothing here knows HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

from .errors import SchemaError
from .events import ArgumentsDelta, CallReady, CallStarted, TextDelta, TurnEvent, TurnFinished
from .messages import Plan, SlotDetail, ToolCall, Turn
from .scaffold.canonical import json_text
from .tools import Tool, tool
from .turn_engine import ToolChoice

_WRAP = "value"
_DEFINITIONS = ("$defs", "definitions", "$schema")
_DESCRIPTION = "Reply to the user in JSON."


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What to give to `AgentRuntime.respond` or `stream` so that the reply can be asked for."""

    tools: tuple[Tool, ...]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledTurn:
    """A turn as its caller sees it.

    Attributes:
        turn: the reply is its `content`; calls of real tools are its `tool_calls`.
        reply: the call behind the reply, with confidence and evidence of every value; None when the turn
            called real tools, or ended before the reply was whole.
    """

    turn: Turn
    reply: ToolCall | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredReply:
    """A reply of a schema, as a tool. Make one with `of_schema` or `of_any_object`.

    Attributes:
        tool: what is offered to the model.
        is_wrapped: whether the reply is one argument of it instead of all of them.
    """

    tool: Tool
    is_wrapped: bool

    @classmethod
    def of_schema(
        cls,
        schema: Mapping[str, Any],
        *,
        name: str = "reply",
        description: str = "",
        taken: Iterable[str] = (),
    ) -> Self:
        """A reply that this JSON Schema allows.

        Args:
            schema: of any JSON value, not only of objects.
            name: what the model reads as the reply's name.
            description: what the model reads about it.
            taken: names of the tools that are offered beside it.

        Raises:
            SchemaError: the schema cannot be honoured.
        """
        if not isinstance(schema, Mapping):
            raise SchemaError(f"expected an object, found {type(schema).__name__}", tool=name)
        is_wrapped = not (schema.get("type") == "object" and schema.get("properties"))
        body = {
            "name": _free_name(name, frozenset(taken)),
            "description": description or _DESCRIPTION,
            "parameters": _wrapped(schema) if is_wrapped else dict(schema),
        }
        return cls(tool=tool(body), is_wrapped=is_wrapped)

    @classmethod
    def of_any_object(cls, *, taken: Iterable[str] = ()) -> Self:
        """A reply that is some JSON object."""
        return cls.of_schema({"type": "object"}, taken=taken)

    def offer(
        self,
        tools: Iterable[Tool] = (),
        choice: ToolChoice | None = None,
        *,
        parallel_tool_calls: bool = True,
    ) -> Offer:
        """What a turn is asked for, so that it ends in this reply or in calls of real tools.

        A choice that requires a real tool leaves no room for a reply.
        """
        real, choice = tuple(tools), choice or ToolChoice()
        if choice.mode == "required":
            return Offer(
                tools=real,
                tool_choice="required" if choice.name is None else name_choice(choice.name),
                parallel_tool_calls=parallel_tool_calls,
            )
        if choice.mode == "none" or not real:
            return Offer(
                tools=(self.tool,), tool_choice=name_choice(self.tool.name), parallel_tool_calls=False
            )
        return Offer(
            tools=(*real, self.tool), tool_choice="required", parallel_tool_calls=parallel_tool_calls
        )

    def settle(self, turn: Turn) -> SettledTurn:
        """The call of the reply turned into words. Real calls win: their results come before a reply."""
        replies = [call for call in turn.tool_calls if call.name == self.tool.name]
        if not replies:
            return SettledTurn(turn=turn, reply=None)
        real = tuple(call for call in turn.tool_calls if call.name != self.tool.name)
        if real:
            return SettledTurn(turn=dataclasses.replace(turn, tool_calls=real), reply=None)
        reply = self._unwrapped(replies[0])
        settled = dataclasses.replace(
            turn,
            content=json_text(_value_of(replies[0], self.is_wrapped)),
            tool_calls=(),
            stop_reason="stop",
            plan=Plan(kind="chat", call_probability=turn.plan.call_probability),
        )
        return SettledTurn(turn=settled, reply=reply)

    async def settle_events(
        self, events: AsyncGenerator[TurnEvent, None], *, is_alone: bool = False
    ) -> AsyncGenerator[TurnEvent | SettledTurn, None]:
        """The events of a turn as its caller sees them, ending in a `SettledTurn` behind `TurnFinished`.

        Args:
            events: of `AgentRuntime.stream`, given what `offer` says.
            is_alone: whether no tool was offered beside the reply. Then the reply is told value by value;
                otherwise at the end, since until then a real call may take its place.
        """
        reply_ids: set[str] = set()
        told = ""
        async with aclosing(events):
            async for event in events:
                match event:
                    case TurnFinished():
                        settled = self.settle(event.turn)
                        if settled.reply is not None and (rest := settled.turn.content[len(told) :]):
                            yield TextDelta(text=rest)
                        yield TurnFinished(turn=settled.turn)
                        yield settled
                    case CallStarted() if event.name == self.tool.name:
                        reply_ids.add(event.call_id)
                    case ArgumentsDelta() if event.call_id in reply_ids:
                        if is_alone and not self.is_wrapped:
                            told += event.text
                            yield TextDelta(text=event.text)
                    case CallReady() if event.call.id in reply_ids:
                        pass
                    case TextDelta():
                        pass  # words beside a reply that is JSON would break it
                    case _:
                        yield event

    def _unwrapped(self, call: ToolCall) -> ToolCall:
        """The call as a report about the reply: paths begin at the reply, not at the wrapping."""
        if not self.is_wrapped:
            return call
        slots: dict[str, SlotDetail] = {
            path.removeprefix(_WRAP).removeprefix("."): slot for path, slot in call.slots.items()
        }
        return dataclasses.replace(call, slots=slots)


def name_choice(name: str) -> dict[str, Any]:
    """A `tool_choice` that names a tool, whatever its name: one may be called `auto`."""
    return {"type": "function", "function": {"name": name}}


def _value_of(call: ToolCall, is_wrapped: bool) -> Any:
    return call.arguments[_WRAP] if is_wrapped else call.arguments


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as that of one argument; its definitions stay where references look for them."""
    outside = {key: schema[key] for key in _DEFINITIONS if key in schema}
    inside = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    return {"type": "object", "properties": {_WRAP: inside}, "required": [_WRAP], **outside}


def _free_name(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name += "_reply"
    return name
