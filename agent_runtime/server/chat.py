"""`/v1/chat/completions`: a request becomes turns, and turns become an answer or a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from ..errors import AgentRuntimeError, DeadlineError
from ..events import TurnEvent, TurnFinished
from ..messages import Turn
from ..runtime import AgentRuntime
from ..structured_reply import SettledTurn
from .body import read_body
from .config import ServerConfig
from .deltas import Deltas
from .event_stream import EventStream
from .metrics import Metrics
from .places import Places
from .refusal import Refusal, refusal_of
from .reply import Heading
from .request import ChatOrder, read_order


class ChatCompletions:
    """Answers chat completion requests.

    Args:
        runtime: makes the turns.
        config: what may be asked for.
        places: bound the requests worked on at once.
        metrics: told about every turn.
    """

    def __init__(self, runtime: AgentRuntime, config: ServerConfig, places: Places, metrics: Metrics) -> None:
        self._runtime = runtime
        self._places = places
        self._config = config
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            Refusal: it cannot be answered.
            ClientGone: the client went away in the middle of a stream.
        """
        self._places.check()
        body = await read_body(request, timeout_s=self._config.body_timeout_s)
        with self._places.take():
            order = await self._read(body)
            del body  # up to a megabyte, which nobody needs while the turn is made
            if order.is_streamed:
                return await self._stream(request, order)
            return await self._answer(order)

    async def _read(self, body: dict[str, Any]) -> ChatOrder:
        """Check a request. Compiling large schemas takes a while, which counts as part of its time."""
        began, limit_s = time.monotonic(), self._config.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                order = await asyncio.to_thread(read_order, body, self._config, self._runtime.deployment)
        except TimeoutError as error:
            raise refusal_of(DeadlineError(deadline_s=limit_s)) from error
        left_s = order.deadline_s - (time.monotonic() - began)
        if left_s <= 0:
            raise refusal_of(DeadlineError(deadline_s=order.deadline_s))
        return replace(order, deadline_s=left_s)

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
        deltas = Deltas(may_drop_calls=self._abstain_below(order) > 0)
        async with aclosing(self._events(order, seed)) as events:
            async for event in events:
                if isinstance(event, SettledTurn):
                    put(heading.chunk(index, {}, finish=event, has_usage=order.has_usage))
                    put(event)
                elif (delta := deltas.of(event)) is not None:
                    put(heading.chunk(index, delta, has_usage=order.has_usage))

    def _abstain_below(self, order: ChatOrder) -> float:
        wanted = order.settings.get("abstain_below")
        return self._runtime.deployment.abstain_below if wanted is None else wanted

    async def _events(self, order: ChatOrder, seed: int) -> AsyncGenerator[TurnEvent | SettledTurn, None]:
        """The events of a turn, ending in the turn as the client sees it."""
        told = self._runtime.stream(order.messages, **_arguments(order, seed))
        if order.structure is not None:
            async with aclosing(
                order.structure.settle_events(told, is_alone=len(order.tools) == 1)
            ) as settled:
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
