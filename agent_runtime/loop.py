"""A run: ask for a turn, run its calls, put the results into the conversation, and again until the answer.

How a turn is made is the engine's, how a call is run the executor's. The loop only decides what comes
next and when to stop.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from .errors import MessageError, RunLimitError
from .events import ResultReady, RunEvent, RunFinished, TurnEvent, TurnFinished, TurnStarted
from .executor import ToolSession, canonical_arguments
from .messages import Message, Run, ToolCall, ToolResult, Turn, tool_call_as_dict

Item = TypeVar("Item")

Place = Literal["first", "middle", "last"]
"""Where in a run a turn stands; in a last turn the model must answer in words."""

AskForTurn = Callable[[list[dict[str, Any]], Place], AsyncGenerator[TurnEvent, None]]
"""Given the conversation and the place of the next turn, its events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What ends a run that does not end by itself.

    Attributes:
        max_turns: turns the model may take.
        max_repeats: turns in which the same call (name and arguments) may be made.
        deadline_s: seconds for the whole run, tools included; None sets no limit.
        is_answered: whether the model is asked for a last answer in words, instead of an error, when it has
            used up its turns or repeats itself. Calls that it still wanted are dropped.
    """

    max_turns: int = 8
    max_repeats: int = 2
    deadline_s: float | None = None
    is_answered: bool = False


async def run_events(
    messages: Sequence[Message], *, ask: AskForTurn, session: ToolSession, limits: RunLimits
) -> AsyncGenerator[RunEvent, None]:
    """The events of a run, ending in `RunFinished`.

    Calls at the end of the conversation that have no result yet are run first, so a run that was stopped
    goes on from its messages. The calls of the last turn allowed are left for then.

    Raises:
        RunLimitError: a limit was hit; carries the run so far.
    """
    run = _Unfinished(messages)
    deadline = _Deadline(limits.deadline_s)
    repeated: str | None = None
    try:
        for turn_index in range(limits.max_turns):
            async with aclosing(_results(run, session, deadline)) as results:
                async for result in results:
                    yield result
            place: Place = "first" if turn_index == 0 else "middle"
            async with aclosing(_turn(run, ask, place, deadline)) as events:
                async for event in events:
                    yield event
            if not run.waiting:
                yield RunFinished(run=run.so_far(output=run.turns[-1].content))
                return
            repeated = run.find_repeated_call(limits.max_repeats)
            if repeated is not None:
                break
        if limits.is_answered:
            run.drop_waiting()
            async with aclosing(_turn(run, ask, "last", deadline)) as events:
                async for event in events:
                    yield event
            yield RunFinished(run=run.so_far(output=run.turns[-1].content))
            return
    except _DeadlinePassed:
        raise RunLimitError(
            f"no answer within the run's deadline of {limits.deadline_s:g} s",
            limit="deadline",
            run=run.so_far(),
        ) from None
    if repeated is not None:
        raise RunLimitError(
            f"the model called {repeated} with the same arguments in more than {limits.max_repeats} turns: "
            "its result may not say what the model needs; improve it, or raise max_repeats",
            limit="repeated_call",
            run=run.so_far(),
        )
    raise RunLimitError(
        f"no answer after {limits.max_turns} turns: raise max_turns, or go on from error.run.messages",
        limit="max_turns",
        run=run.so_far(),
    )


async def _turn(
    run: _Unfinished, ask: AskForTurn, place: Place, deadline: _Deadline
) -> AsyncGenerator[TurnEvent, None]:
    """One turn of the model, which enters the conversation."""
    turn_index = len(run.turns)
    async with aclosing(ask(list(run.messages), place)) as events:
        while (event := await deadline.next(events)) is not None:
            if isinstance(event, TurnStarted):
                event = dataclasses.replace(event, turn_index=turn_index)
            if isinstance(event, TurnFinished):
                run.add_turn(event.turn)
            yield event


async def _results(
    run: _Unfinished, session: ToolSession, deadline: _Deadline
) -> AsyncGenerator[ResultReady, None]:
    """Run the calls that wait for a result; results enter the conversation in the order of the calls."""
    calls = run.waiting
    if not calls:
        return
    results: dict[str, ToolResult] = {}
    try:
        async with aclosing(session.run_all(calls)) as finished:
            while (result := await deadline.next(finished)) is not None:
                results[result.call_id] = result
                yield ResultReady(result=result)
    finally:
        # Also when the run ends here: what did come back is part of the run so far.
        run.add_results([results[call.id] for call in calls if call.id in results])


class _Unfinished:
    """The conversation of a run, what happened in it so far, and the calls that wait for a result."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = [message_as_dict(message, index) for index, message in enumerate(messages)]
        self.waiting = _unanswered_calls(messages)
        self.turns: list[Turn] = []
        self._results: list[ToolResult] = []
        self._num_turns_with: collections.Counter[tuple[str, str]] = collections.Counter()

    def add_turn(self, turn: Turn) -> None:
        self.turns.append(turn)
        self.messages.append(turn.as_message())
        self.waiting = list(turn.tool_calls)
        self._num_turns_with.update(
            {(call.name, canonical_arguments(call.arguments)) for call in self.waiting}
        )

    def add_results(self, results: Sequence[ToolResult]) -> None:
        self._results.extend(results)
        self.messages.extend(
            {
                "role": "tool",
                "tool_call_id": result.call_id,
                "name": result.tool_name,
                "content": result.message,
            }
            for result in results
        )
        answered = {result.call_id for result in results}
        self.waiting = [call for call in self.waiting if call.id not in answered]

    def drop_waiting(self) -> None:
        """Forget the last turn as far as the conversation goes: it made calls that will have no result."""
        self.waiting = []
        self.messages.pop()

    def find_repeated_call(self, max_repeats: int) -> str | None:
        """The name of a waiting call that was made in too many turns."""
        for call in self.waiting:
            if self._num_turns_with[call.name, canonical_arguments(call.arguments)] > max_repeats:
                return call.name
        return None

    def so_far(self, output: str = "") -> Run:
        return Run(
            output=output,
            messages=list(self.messages),
            turns=tuple(self.turns),
            tool_results=tuple(self._results),
        )


class _DeadlinePassed(Exception):
    pass


class _Deadline:
    """A moment on the event loop's clock that waiting must not pass.

    It is watched around each single wait, not with one `asyncio.timeout` around the run: between two events
    the consumer runs, perhaps in another task, and must not be cancelled.
    """

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def next(self, items: AsyncIterator[Item]) -> Item | None:
        """The next item, or None when there is none.

        Raises:
            _DeadlinePassed: it did not come in time.
        """
        try:
            async with asyncio.timeout_at(self._at) as timeout:
                return await anext(items, None)
        except TimeoutError as error:
            if not timeout.expired():  # an item may raise a TimeoutError of its own
                raise
            raise _DeadlinePassed from error


def message_as_dict(message: Message, index: int) -> dict[str, Any]:
    """A message in OpenAI's shape, safe to dump as JSON."""
    as_dict: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        as_dict["reasoning"] = message.reasoning
    if message.tool_calls:
        try:
            as_dict["tool_calls"] = [tool_call_as_dict(call) for call in message.tool_calls]
        except (TypeError, ValueError) as error:
            raise MessageError(f"arguments of a tool call are not JSON: {error}", index=index) from error
    if message.tool_call_id is not None:
        as_dict["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        as_dict["name"] = message.name
    return as_dict


def _unanswered_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls of the last assistant message that no result after it answers, if nothing else follows."""
    num_results = 0
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role != "tool":
            break
        num_results += 1
        if message.tool_call_id is not None:
            answered.add(message.tool_call_id)
    if num_results == len(messages):
        return []
    calls = messages[-1 - num_results].tool_calls
    if len(answered) < num_results:  # results without an id answer the calls in order
        return list(calls[num_results:])
    return [call for call in calls if call.id not in answered]
