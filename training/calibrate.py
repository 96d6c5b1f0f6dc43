"""Calls to calibrate on: the deployed engine answers held-out conversations, and every value is judged.

A value is right when the call it stands in has the right tool and the reference call has the same value in
the same place. What is learned from these calls is confidence_fit.py; what is shown of them, reliability.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.engine.confidence import CallConfidence, CallContext, KnownCall, PlainConfidence
from agent_runtime.engine.fill import FilledCall
from agent_runtime.engine.head_fill.weighing import WeighedSlot
from agent_runtime.errors import AgentRuntimeError
from agent_runtime.messages import read_messages
from agent_runtime.model_engine import ModelEngine, ModelSource

from .data import Example, leaves
from .scores import is_same


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCall:
    """A call that was made, what is known of it, and what of it is right."""

    known: KnownCall
    plain: CallConfidence
    """As it is without a confidence head."""
    is_right: bool
    """It is a call of the reference, value by value."""
    are_slots_right: Mapping[str, bool] | None
    """By path; None where the reference has no call of this tool, so that no value is right or wrong."""
    expected: Mapping[str, Any] | None = None
    """The values of that reference, by path."""
    weighed: tuple[WeighedSlot, ...] = ()
    """The slots whose values were weighed against others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTurn:
    """A turn and its calls.

    Attributes:
        kind: what its conversation teaches.
        fill: how its calls were filled.
        calls: in the order they were made.
        is_exact_with: whether the turn were exactly right with the first so many of its calls, from none on.
    """

    kind: str
    fill: str
    calls: tuple[JudgedCall, ...]
    is_exact_with: tuple[bool, ...]


class _Recorder(PlainConfidence):
    """Keeps what every call was judged by, by conversation."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[FilledCall, CallContext]]] = {}

    def read(self, call: FilledCall, context: CallContext) -> CallConfidence:
        """See `ReadsConfidence`."""
        self.calls.setdefault(repr(context.messages), []).append((call, context))
        return super().read(call, context)


async def judged_turns(
    model: str | Path,
    examples: Iterable[Example],
    *,
    heads: str | Path | None = None,
    deployment: DeploymentConfig | None = None,
    concurrency: int = 8,
    max_seconds: float | None = None,
    on_turn: Callable[[JudgedTurn], None] = lambda turn: None,
) -> list[JudgedTurn]:
    """Let a model answer the last turn of conversations, and judge its calls.

    Args:
        model: a model folder or Hub id.
        examples: conversations with references. Of those that say the same, the first is asked.
        heads: the bundle that fills slots, where the deployment's fill needs one.
        deployment: how to run it; greedy decoding by default.
        concurrency: turns at the same time.
        max_seconds: no conversation is begun after so long.
        on_turn: told of every turn as it is judged.
    """
    deployment = deployment or DeploymentConfig(fill="verified")
    recorder, waiting = _Recorder(), iter(examples)
    seen: set[str] = set()
    judged: list[JudgedTurn] = []
    until = None if max_seconds is None else time.monotonic() + max_seconds
    engine = ModelEngine(ModelSource(model=model, heads=heads), deployment, confidence=recorder)
    async with AgentRuntime(engine, deployment) as runtime:

        async def answer() -> None:
            for example in waiting:
                key = repr(read_messages(example.messages[:-1]))
                if key in seen:
                    continue
                if until is not None and time.monotonic() > until:
                    return
                seen.add(key)
                try:
                    await runtime.respond(example.messages[:-1], tools=example.tools, date=example.date)
                except AgentRuntimeError:
                    continue  # a case the runtime refuses has no call to judge
                judged.append(judge(example, recorder.calls.pop(key, []), fill=deployment.fill))
                on_turn(judged[-1])

        await asyncio.gather(*(answer() for _ in range(concurrency)))
    return judged


def judge(example: Example, made: Sequence[tuple[FilledCall, CallContext]], *, fill: str) -> JudgedTurn:
    """Compare the calls of a turn with those of the reference, each with the one most like it."""
    left = [(call["name"], call["arguments"]) for call in example.target.get("tool_calls") or ()]
    num_expected = len(left)
    calls: list[JudgedCall] = []
    is_exact_with = [num_expected == 0]
    for call, context in made:
        same_tool = [arguments for name, arguments in left if name == call.name]
        reference = max(same_tool, key=lambda arguments: _likeness(call.arguments, arguments), default=None)
        if reference is not None:
            left.remove((call.name, reference))
        calls.append(
            JudgedCall(
                known=KnownCall(call, context),
                plain=PlainConfidence().read(call, context),
                is_right=reference is not None and is_same(call.arguments, reference),
                are_slots_right=None if reference is None else _right_slots(call, reference),
                expected=None if reference is None else dict(leaves(dict(reference))),
                weighed=context.weighed,
            )
        )
        is_exact_with.append(len(calls) == num_expected and all(judged.is_right for judged in calls))
    return JudgedTurn(kind=example.kind, fill=fill, calls=tuple(calls), is_exact_with=tuple(is_exact_with))


def _right_slots(call: FilledCall, reference: Mapping[str, Any]) -> dict[str, bool]:
    expected = dict(leaves(dict(reference)))
    return {
        path: path in expected and is_same(slot.value, expected[path]) for path, slot in call.slots.items()
    }


def _likeness(given: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Values two calls of a tool have in common, less those that only one has."""
    ours, theirs = dict(leaves(dict(given))), dict(leaves(dict(expected)))
    num_same = sum(path in theirs and is_same(value, theirs[path]) for path, value in ours.items())
    return num_same - 0.01 * (len(ours) + len(theirs) - 2 * num_same)
