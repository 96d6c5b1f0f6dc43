"""`/v1/chat/completions`: a request becomes turns, and turns become an answer or a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from ..errors import AgentRuntimeError
from ..events import CallReady, ReasoningDelta, TextDelta, TurnEvent, TurnFinished
from ..messages import Turn
from ..runtime import AgentRuntime
from ..structured_reply import SettledTurn
from .body import read_body
from .config import ServerConfig
from .event_stream import EventStream
from .metrics import Metrics
from .refusal import Refusal, refusal_of
from .reply import Heading, call_as_dict
from .request import ChatOrder, read_order


class ChatCompletions:
    """Answers chat completion requests.

    Args:
        runtime: makes the turns.
        config: what may be asked for.
        metrics: told about every turn.
    """

    def __init__(self, runtime: AgentRuntime, config: ServerConfig, metrics: Metrics) -> None:
        self._runtime = runtime
        self._config = config
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            Refusal: it cannot be answered.
            ClientGone: the client went away in the middle of a stream.
        """
        body = await read_body(request, timeout_s=self._config.body_timeout_s)
        # Schemas are compiled here, which for a large one takes a while.
        order = await asyncio.to_thread(read_order, body, self._config, self._runtime.deployment)
        del body
        if order.is_streamed:
            return await self._stream(request, order)
        return await self._answer(order)

    async def _answer(self, order: ChatOrder) -> web.Response:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._turn(order, seed)) for seed in order.seeds]
        except ExceptionGroup as errors:
            raise _refusal(errors) from errors
        turns = [task.result() for task in tasks]
        for settled in turns:
            self._metrics.count_turn(settled.turn)
        return web.json_response(Heading(model=order.model).completion(turns))

    async def _turn(self, order: ChatOrder, seed: int) -> SettledTurn:
        turn = await self._runtime.respond(order.messages, **_arguments(order, seed))
        if order.structure is not None:
            return order.structure.settle(turn)
        return SettledTurn(turn=turn, reply=None)

    async def _stream(self, request: web.Request, order: ChatOrder) -> web.StreamResponse:
        stream = EventStream(request, write_timeout_s=self._config.write_timeout_s)
        heading = Heading(model=order.model)
        pieces: asyncio.Queue[dict[str, Any] | SettledTurn] = asyncio.Queue()
        turns: list[Turn] = []
        try:
            async with asyncio.TaskGroup() as group:
                for index, seed in enumerate(order.seeds):
                    group.create_task(self._pieces(order, heading, index, seed, pieces.put_nowait))
                while len(turns) < len(order.seeds):
                    piece = await pieces.get()
                    if isinstance(piece, SettledTurn):
                        turns.append(piece.turn)
                        self._metrics.count_turn(piece.turn)
                    else:
                        await stream.send(piece)
        except ExceptionGroup as errors:
            await stream.refuse(_refusal(errors))
            return stream.response
        if order.has_usage:
            await stream.send(heading.usage_chunk(turns))
        await stream.finish()
        return stream.response

    async def _pieces(self, order: ChatOrder, heading: Heading, index: int, seed: int, put: Any) -> None:
        """Make one reply and put it on the queue piece by piece, and the turn itself at the end."""
        num_calls = 0
        is_begun = False
        async with aclosing(self._events(order, seed)) as events:
            async for event in events:
                if isinstance(event, SettledTurn):
                    put(heading.chunk(index, {}, finish=event, has_usage=order.has_usage))
                    put(event)
                    continue
                delta = _delta(event, num_calls)
                if delta is None:
                    continue
                num_calls += isinstance(event, CallReady)
                if not is_begun:
                    delta, is_begun = {"role": "assistant", "content": "", **delta}, True
                put(heading.chunk(index, delta, has_usage=order.has_usage))

    async def _events(self, order: ChatOrder, seed: int) -> AsyncGenerator[TurnEvent | SettledTurn, None]:
        """The events of a turn, ending in the turn as the client sees it."""
        told = self._runtime.stream(order.messages, **_arguments(order, seed))
        if order.structure is not None:
            async with aclosing(order.structure.settle_events(told)) as settled:
                async for piece in settled:
                    yield piece
            return
        async with aclosing(told) as events:
            async for event in events:
                yield event
                if isinstance(event, TurnFinished):
                    yield SettledTurn(turn=event.turn, reply=None)


def _arguments(order: ChatOrder, seed: int) -> dict[str, Any]:
    return {
        "tools": order.tools,
        "tool_choice": order.tool_choice,
        "parallel_tool_calls": order.parallel_tool_calls,
        "stop": order.stop,
        "top_logprobs": order.top_logprobs,
        "deadline_s": order.deadline_s,
        **order.settings,
        "seed": seed,
    }


def _delta(event: TurnEvent, num_calls: int) -> dict[str, Any] | None:
    """What an event adds to the reply. A call that was only started may still be given up: it is not told."""
    match event:
        case TextDelta():
            return {"content": event.text}
        case ReasoningDelta():
            return {"reasoning_content": event.text}
        case CallReady():
            return {"tool_calls": [{"index": num_calls, **call_as_dict(event.call)}]}
        case _:
            return None


def _refusal(errors: ExceptionGroup[Exception]) -> Refusal:
    """What the client is told of the first thing that went wrong.

    Raises:
        Exception: it was no error of the runtime.
    """
    error: Exception = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, AgentRuntimeError):
        return refusal_of(error)
    raise error
