"""Putting a benchmark's questions to a runtime: several at a time, each answer told as it comes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from agent_runtime import AgentRuntime
from agent_runtime.errors import AgentRuntimeError, BundleError, ClosedError, ConfigError, OverloadedError
from agent_runtime.evaluation.bfcl import Question, official_name
from agent_runtime.messages import Turn

Answer = dict[str, Any]
"""A line of a result file: `id`, `result`, token counts and latency, as the official program writes them."""

_FAILED = "Error during inference: "
"""What the result of a question begins with that the runtime could not answer, as in the official files."""

_ENDS_THE_RUN = (ConfigError, BundleError, ClosedError, OverloadedError)

logger = logging.getLogger(__name__)


async def ask_all(
    runtime: AgentRuntime,
    questions: Iterable[Question],
    *,
    concurrency: int,
    on_answer: Callable[[Answer], None],
) -> None:
    """Ask every question.

    Args:
        runtime: who is asked.
        questions: in this order, as far as several at a time have an order.
        concurrency: questions asked at the same time.
        on_answer: told of every answer as it comes.

    Raises:
        AgentRuntimeError: the runtime cannot go on. What goes wrong in a single question is its answer.
    """
    waiting = iter(questions)

    async def ask_on() -> None:
        for question in waiting:
            on_answer(await ask(runtime, question))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(ask_on())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def ask(runtime: AgentRuntime, question: Question) -> Answer:
    """Ask one question; that it cannot be answered, such as for its schema or length, is an answer too."""
    began = time.perf_counter()
    try:
        turn = await runtime.respond(question.messages, tools=question.tools)
    except _ENDS_THE_RUN:
        raise
    except Exception as error:  # one question must not cost the answers to all others
        if not isinstance(error, AgentRuntimeError):
            logger.warning("%s: the runtime failed", question.id, exc_info=True)
        return {
            "id": question.id,
            "result": f"{_FAILED}{type(error).__name__}: {error}",
            "latency": time.perf_counter() - began,
        }
    answer: Answer = {
        "id": question.id,
        "result": _result(turn),
        "input_token_count": turn.usage.prompt_tokens,
        "output_token_count": turn.usage.completion_tokens,
        "latency": time.perf_counter() - began,
    }
    if turn.reasoning:
        answer["reasoning_content"] = turn.reasoning
    return answer


def has_failed(result: Any) -> bool:
    """Whether a result says that the question could not be answered."""
    return isinstance(result, str) and result.startswith(_FAILED)


def _result(turn: Turn) -> str | list[dict[str, str]]:
    if not turn.tool_calls:
        return turn.content
    return [
        {official_name(call.name): json.dumps(call.arguments, ensure_ascii=False)} for call in turn.tool_calls
    ]
