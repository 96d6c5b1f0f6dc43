"""`/v1/runs`: whole runs with the server's own tools, for the chat page. Not part of OpenAI's API.

A request holds `messages`; the answer is a stream of events, one object each, `type` first.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import AgentRuntimeError
from ..events import (
    CallReady,
    CallStarted,
    ReasoningDelta,
    ResultReady,
    RunEvent,
    RunFinished,
    TextDelta,
    TurnFinished,
    TurnStarted,
)
from ..runtime import AgentRuntime
from ..tools import Tool
from .body import read_body
from .config import ServerConfig
from .event_stream import EventStream
from .metrics import Metrics
from .places import Places
from .refusal import invalid, refusal_of
from .reply import call_as_dict


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    messages: list[dict[str, Any]] = Field(min_length=1)


class Runs:
    """Answers questions with the tools the server was started with.

    Args:
        runtime: makes the turns and runs the tools.
        config: how long a run may take.
        places: bound the requests worked on at once.
        metrics: told about every turn.
        tools: what the model may call.
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        config: ServerConfig,
        places: Places,
        metrics: Metrics,
        tools: tuple[Tool, ...],
    ) -> None:
        self._runtime = runtime
        self._metrics = metrics
        self._places = places
        self._config = config
        self._tools = tuple(tool for tool in tools if tool.function is not None)

    async def tools(self, _: web.Request) -> web.Response:
        """What the model may call."""
        return web.json_response(
            {
                "object": "list",
                "data": [
                    {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
                    for tool in self._tools
                ],
            }
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one question.

        Raises:
            Refusal: it cannot be answered.
            ClientGone: the client went away; turn and tools are cancelled.
        """
        self._places.check()
        body = _read(await read_body(request, timeout_s=self._config.body_timeout_s))
        with self._places.take():
            return await self._run(request, body)

    async def _run(self, request: web.Request, body: _Body) -> web.StreamResponse:
        stream = EventStream(request, write_timeout_s=self._config.write_timeout_s)
        try:
            run = self._runtime.stream_run(
                body.messages,
                tools=self._tools,
                max_turns=self._config.max_turns,
                deadline_s=self._config.request_timeout_s,
                answer_at_limit=True,
            )
            async with aclosing(run) as events:
                async for event in events:
                    if isinstance(event, TurnFinished):
                        self._metrics.count_turn(event.turn)
                    told = _told(event)
                    if told is not None:
                        await stream.send(told)
        except AgentRuntimeError as error:
            await stream.refuse(refusal_of(error))
            return stream.response
        await stream.finish()
        return stream.response


def _read(given: dict[str, Any]) -> _Body:
    try:
        return _Body(**given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        name = str(found["loc"][0])
        raise invalid(f"{name}: {found['msg']}", param=name, code="invalid_value") from None


def _told(event: RunEvent) -> dict[str, Any] | None:
    match event:
        case TurnStarted():
            return {"type": "turn_started", "turn": event.turn_index}
        case TextDelta():
            return {"type": "text", "text": event.text}
        case ReasoningDelta():
            return {"type": "reasoning", "text": event.text}
        case CallStarted():
            return {"type": "call_started", "id": event.call_id, "name": event.name}
        case CallReady():
            return {"type": "call", "call": call_as_dict(event.call)}
        case ResultReady():
            return {
                "type": "result",
                "call_id": event.result.call_id,
                "name": event.result.tool_name,
                "status": event.result.status,
                "message": event.result.message,
                "duration_ms": event.result.duration_ms,
            }
        case TurnFinished():
            return {
                "type": "turn",
                "stop_reason": event.turn.stop_reason,
                "plan": asdict(event.turn.plan),
                "usage": asdict(event.turn.usage),
                "timings": asdict(event.turn.timings),
            }
        case RunFinished():
            return {"type": "run", "output": event.run.output, "messages": event.run.messages}
        case _:
            return None
