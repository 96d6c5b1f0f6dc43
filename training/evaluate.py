"""Evaluation with the deployed engine: a model folder answers held-out conversations, as it would for a user.

    python -m training evaluate --model FOLDER --data synthetic --data bfcl:/path/to/questions --limit 200

What is counted is scores.py; how the result is shown is report.py; BFCL's files and match rules are those of
agent_runtime/evaluation/bfcl.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.errors import AgentRuntimeError, ConfigError
from agent_runtime.evaluation import bfcl
from agent_runtime.evaluation.bfcl import Call
from agent_runtime.messages import Turn

from .data import Example, synthetic_examples
from .data.readers import read_file
from .scores import Outcome, is_same_calls

SYNTHETIC_SEED = 1_000_003
"""Held-out conversations: actions and seed that training never draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to the model, and how its answer is judged."""

    id: str
    group: str
    kind: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    date: str | None
    expected: tuple[Call, ...]
    is_call_expected: bool
    judge: Callable[[Sequence[Call]], bool]

    def outcome(
        self, given: tuple[Call, ...], text: str, *, began: float, is_readable: bool = True
    ) -> Outcome:
        """What came of it.

        Args:
            given: calls of the reply.
            text: its words.
            began: when it was asked, by `time.perf_counter`.
            is_readable: False when what was written is no call, though it wanted to be one.
        """
        return Outcome(
            id=self.id,
            group=self.group,
            kind=self.kind,
            expected=self.expected,
            given=given,
            text=text,
            is_exact=is_readable and self.judge(given),
            is_call_expected=self.is_call_expected,
            is_valid=is_readable and are_valid(given, self.tools),
            has_tried=bool(given) or not is_readable,
            latency_ms=(time.perf_counter() - began) * 1000,
        )


def read_cases(source: str, *, limit: int | None = None) -> Iterator[Case]:
    """Cases of one `--data` source.

    Args:
        source: `synthetic`; `bfcl:FOLDER`, or `bfcl:FOLDER:CATEGORY`; or `shared:FILE`, normalised rows of
            which the dev split is read.
        limit: cases at most, of each category.

    Raises:
        ConfigError: an unknown source, or files that are not there.
    """
    kind, _, rest = source.partition(":")
    match kind:
        case "synthetic":
            rows = synthetic_examples(SYNTHETIC_SEED, split="dev")
            yield from (_example_case(example, "synthetic") for example in islice(rows, limit or 500))
        case "bfcl":
            folder, _, chosen = rest.partition(":")
            for category in [chosen] if chosen else bfcl.categories(Path(folder)):
                yield from map(_bfcl_case, islice(bfcl.read_questions(Path(folder), category), limit))
        case "shared":
            yield from (
                _example_case(example, example.source)
                for example in islice(read_file(rest, split="dev", for_training=False), limit)
            )
        case _:
            raise ConfigError(f"--data {source!r}: write synthetic, bfcl:FOLDER or shared:FILE")


def _example_case(example: Example, group: str) -> Case:
    calls = tuple(Call(call["name"], call["arguments"]) for call in example.target.get("tool_calls") or ())
    return Case(
        id=example.id,
        group=group,
        kind=example.kind,
        messages=example.messages[:-1],
        tools=example.tools,
        date=example.date,
        expected=calls,
        is_call_expected=bool(calls),
        judge=lambda given: is_same_calls(given, calls),
    )


def _bfcl_case(question: bfcl.Question) -> Case:
    return Case(
        id=question.id,
        group=question.category,
        kind=question.category,
        messages=question.messages,
        tools=question.tools,
        date=None,
        expected=tuple(_reference(expected) for expected in question.expected or ()),
        is_call_expected=question.is_call_expected,
        judge=lambda given: bfcl.is_match(given, question),
    )


def _reference(expected: dict[str, dict[str, list[Any]]]) -> Call:
    """The first listed value of every argument; those that may be left out are."""
    ((name, listed),) = expected.items()
    return Call(
        name, {key: values[0] for key, values in listed.items() if bfcl.OMITTED not in values and values}
    )


async def evaluate(
    model: str | Path | None,
    cases: Sequence[Case],
    *,
    deployment: DeploymentConfig | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    concurrency: int = 4,
) -> list[Outcome]:
    """Ask the model every case.

    Args:
        model: a model folder or Hub id; None is the embedded model.
        cases: what to ask.
        deployment: how to run it; greedy decoding by default.
        on_outcome: told of every outcome as it comes.
        concurrency: cases asked at the same time.

    Raises:
        ConfigError: the model cannot be loaded.
    """
    gate = asyncio.Semaphore(concurrency)
    async with AgentRuntime.load(model, deployment=deployment or DeploymentConfig()) as runtime:
        await runtime.warm_up()  # a model that cannot be loaded is no wrong answer

        async def ask(case: Case) -> Outcome:
            async with gate:
                outcome = await _outcome(runtime, case)
            on_outcome(outcome)
            return outcome

        return list(await asyncio.gather(*(ask(case) for case in cases)))


async def _outcome(runtime: AgentRuntime, case: Case) -> Outcome:
    began = time.perf_counter()
    text = ""
    given: tuple[Call, ...] = ()
    try:
        turn: Turn = await runtime.respond(case.messages, tools=case.tools, date=case.date)
        text = turn.content
        given = tuple(Call(call.name, call.arguments) for call in turn.tool_calls)
    except AgentRuntimeError as error:  # a case the runtime refuses counts as answered wrong, with the reason
        text = f"{type(error).__name__}: {error}"
    return case.outcome(given, text, began=began)


def are_valid(calls: Sequence[Call], tools: Sequence[dict[str, Any]]) -> bool:
    """Whether every call names an offered tool and validates against its schema."""
    schemas = {tool["name"]: tool["parameters"] for tool in tools}
    return all(
        call.name in schemas
        and jsonschema.Draft202012Validator(schemas[call.name]).is_valid(dict(call.arguments))
        for call in calls
    )
