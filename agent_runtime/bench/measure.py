"""Putting the same questions to every row, in turn, and counting what comes back.

Every repeat of every question goes through all rows before the next begins, each time from another row on, so
that a noisy machine hurts all of them alike. What a row does once for a schema is not timed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from ..scaffold.fitting import same_json
from .memory import PeakMemory
from .questions import GrowthKind, Question
from .report import Agreement, BatchFigures, GrowthFigures, QuestionFigures, Spread
from .rows import KIND_OF, Answer, Row

Tell = Callable[[str], None]
"""Told what is being measured, before it is."""

_B1 = ("b1-xgrammar", "b1-llguidance")
_B2 = "b2"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthQuestions:
    """Questions of one kind and length.

    Attributes:
        kind: where the values come from.
        argument_tokens: tokens of each value.
        max_tokens: tokens a reply may have.
        questions: what is asked.
        encode: the backbone's tokenizer.
        left_out: rows that would not write values of that length.
    """

    kind: GrowthKind
    argument_tokens: int
    max_tokens: int
    questions: tuple[Question, ...]
    encode: Callable[[str], Sequence[int]]
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        questions: the question set.
        growth: questions whose arguments grow.
        batches: turns at once.
        repeats: times every row answers every question.
        max_tokens: tokens a reply may have.
    """

    questions: tuple[Question, ...]
    growth: tuple[GrowthQuestions, ...]
    batches: tuple[int, ...]
    repeats: int
    max_tokens: int


@dataclass(slots=True)
class Samples:
    """Answers of one row to some questions, and the medians of how long each took."""

    answers: list[Answer] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that was counted, by row."""

    questions: Mapping[str, QuestionFigures]
    growth: Mapping[str, tuple[GrowthFigures, ...]]
    batches: Mapping[str, tuple[BatchFigures, ...]]
    answering_mb: Mapping[str, float | None]
    agreements: tuple[Agreement, ...]


class Measurement:
    """One run of a plan over rows that are warm."""

    def __init__(
        self,
        rows: Mapping[str, Row],
        plan: Plan,
        *,
        device: str,
        tell: Tell,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Know what to do.

        Args:
            rows: by key, in the order of the table.
            plan: what to ask.
            device: whose memory is watched.
            tell: told how far it is.
            clock: seconds.
        """
        self._rows = rows
        self._plan = plan
        self._tell = tell
        self._clock = clock
        self._memory = PeakMemory(device)
        self._answering_mb: dict[str, float] = {}
        self._same: dict[str, list[bool]] = {}

    async def run(self) -> Measured:
        """Ask everything."""
        plan = self._plan
        asked = await self._asked(plan.questions, list(self._rows), plan.max_tokens, "questions")
        growth: dict[str, list[GrowthFigures]] = {key: [] for key in self._rows}
        for part in plan.growth:
            keys = [key for key in self._rows if key not in part.left_out]
            what = f"arguments of {part.argument_tokens} tokens, {part.kind}"
            for key, samples in (await self._asked(part.questions, keys, part.max_tokens, what)).items():
                growth[key].append(_growth_figures(part, samples))
        batches: dict[str, list[BatchFigures]] = {key: [] for key in self._rows}
        for turns in plan.batches:
            for key, speed in (await self._batched(turns)).items():
                batches[key].append(BatchFigures(turns=turns, calls_per_second=speed))
        return Measured(
            questions=_question_figures(asked, plan.questions),
            growth={key: tuple(figures) for key, figures in growth.items()},
            batches={key: tuple(figures) for key, figures in batches.items()},
            answering_mb={key: self._answering_mb.get(key) for key in self._rows},
            agreements=tuple(
                Agreement(row=key, num_same=sum(same), num_compared=len(same))
                for key, same in self._same.items()
            ),
        )

    async def _asked(
        self, questions: Sequence[Question], keys: Sequence[str], max_tokens: int, what: str
    ) -> dict[str, Samples]:
        """One question at a time."""
        samples = {key: Samples() for key in keys}
        for number, question in enumerate(questions):
            self._tell(f"{what}: {number + 1} of {len(questions)}")
            seconds: dict[str, list[float]] = {key: [] for key in keys}
            # Once untimed: schemas are then compiled, caches as large as they get.
            last = {key: (await self._timed(key, [question], max_tokens))[2][0] for key in keys}
            processor: dict[str, list[float]] = {key: [] for key in keys}
            for repeat in range(self._plan.repeats):
                for key in _turned(keys, number + repeat):
                    took, computed, _ = await self._timed(key, [question], max_tokens)
                    seconds[key].append(took)
                    processor[key].append(computed)
            for key in keys:
                samples[key].ms.append(1000 * statistics.median(seconds[key]))
                samples[key].processor_ms.append(1000 * statistics.median(processor[key]))
                samples[key].answers.append(last[key])
            self._compare(last)
        return samples

    async def _timed(
        self, key: str, questions: Sequence[Question], max_tokens: int
    ) -> tuple[float, float, list[Answer]]:
        """Seconds by the clock and of the processor, and the answers."""
        self._memory.start()
        started, computed = self._clock(), time.process_time()
        answers = await self._rows[key].answer(questions, max_tokens)
        took, computed = self._clock() - started, time.process_time() - computed
        megabytes = self._memory.stop()
        if megabytes is not None and len(questions) == 1:
            self._answering_mb[key] = max(megabytes, self._answering_mb.get(key, 0.0))
        return took, computed, answers

    def _compare(self, answers: Mapping[str, Answer]) -> None:
        """Rows that must write the calls of B2 are held to it."""
        if _B2 not in answers:
            return
        for key, answer in answers.items():
            if KIND_OF[key].is_b2:
                self._same.setdefault(key, []).append(_is_same(answer, answers[_B2]))

    async def _batched(self, turns: int) -> dict[str, float]:
        """Calls a second with so many turns at once."""
        plan = self._plan
        groups = _groups(plan.questions, turns)
        speeds: dict[str, list[float]] = {key: [] for key in self._rows}
        self._tell(f"{turns} at once")
        for row in self._rows.values():
            await row.answer(groups[0], plan.max_tokens)  # once untimed, as above
        for repeat in range(plan.repeats):
            self._tell(f"{turns} at once: {repeat + 1} of {plan.repeats}")
            seconds = dict.fromkeys(self._rows, 0.0)
            for number, group in enumerate(groups):
                for key in _turned(list(self._rows), number + repeat):
                    took, _, _ = await self._timed(key, group, plan.max_tokens)
                    seconds[key] += took
            for key in self._rows:
                speeds[key].append(turns * len(groups) / seconds[key])
        return {key: statistics.median(speed) for key, speed in speeds.items()}


def _turned(keys: Sequence[str], by: int) -> Iterator[str]:
    """The keys, beginning elsewhere each time."""
    by %= max(1, len(keys))
    yield from keys[by:]
    yield from keys[:by]


def _groups(questions: Sequence[Question], size: int) -> list[list[Question]]:
    """The questions in groups of one size, the last one filled up from the beginning."""
    number = -(-len(questions) // size)
    return [
        [questions[(start * size + index) % len(questions)] for index in range(size)]
        for start in range(number)
    ]


def _is_same(one: Answer, other: Answer) -> bool:
    return len(one.calls) == len(other.calls) and all(
        name == other_name and same_json(arguments, other_arguments)
        for (name, arguments), (other_name, other_arguments) in zip(one.calls, other.calls, strict=True)
    )


def _question_figures(
    asked: Mapping[str, Samples], questions: Sequence[Question]
) -> dict[str, QuestionFigures]:
    medians = {key: statistics.median(samples.ms) for key, samples in asked.items()}
    b1 = min((medians[key] for key in _B1 if key in medians), default=None)
    b2 = medians.get(_B2)
    return {
        key: _figures_of(
            samples,
            questions,
            is_drafting=KIND_OF[key].is_drafting,
            over_b1=None if b1 is None else b1 / medians[key],
            over_b2=None if b2 is None else b2 / medians[key],
        )
        for key, samples in asked.items()
    }


def _figures_of(
    samples: Samples,
    questions: Sequence[Question],
    *,
    is_drafting: bool,
    over_b1: float | None,
    over_b2: float | None,
) -> QuestionFigures:
    answers = samples.answers
    forwards = [answer.forwards for answer in answers]
    tokens = [answer.tokens for answer in answers]
    pairs = list(zip(answers, questions, strict=True))
    right = [_is_right(answer, question) for answer, question in pairs if question.name is not None]
    behind_prompt = sum(forwards) - len(forwards)
    return QuestionFigures(
        ms=_spread(samples.ms),
        processor_ms=statistics.median(samples.processor_ms),
        forwards=_spread(forwards),
        tokens=_spread(tokens),
        tokens_a_forward=sum(tokens) / max(1, sum(forwards)),
        acceptance=sum(tokens) / behind_prompt if is_drafting and behind_prompt else None,
        valid=statistics.mean(_is_valid(answer, question) for answer, question in pairs),
        exact=statistics.mean(right) if right else None,
        speedup_over_b1=over_b1,
        speedup_over_b2=over_b2,
    )


def _growth_figures(part: GrowthQuestions, samples: Samples) -> GrowthFigures:
    written = [
        statistics.mean(len(part.encode(str(value))) for value in arguments.values())
        for answer in samples.answers
        for _, arguments in answer.calls
        if isinstance(arguments, dict) and arguments
    ]
    return GrowthFigures(
        kind=part.kind,
        argument_tokens=part.argument_tokens,
        written_tokens=statistics.median(written) if written else None,
        ms=statistics.median(samples.ms),
        forwards=statistics.median(answer.forwards for answer in samples.answers),
        tokens=statistics.median(answer.tokens for answer in samples.answers),
    )


def _spread(numbers: Sequence[float]) -> Spread:
    p95 = statistics.quantiles(numbers, n=20, method="inclusive")[-1] if len(numbers) > 1 else numbers[0]
    return Spread(median=statistics.median(numbers), mean=statistics.mean(numbers), p95=p95)


def _is_right(answer: Answer, question: Question) -> bool:
    if len(answer.calls) != 1:
        return False
    name, arguments = answer.calls[0]
    return name == question.name and same_json(arguments, question.arguments)


def _is_valid(answer: Answer, question: Question) -> bool:
    """Whether there is a call, and the arguments of every call fit its tool's schema."""
    schemas = {tool["name"]: tool["parameters"] for tool in question.tools}
    return bool(answer.calls) and all(
        name in schemas and _fits(json.loads(json.dumps(arguments)), schemas[name])
        for name, arguments in answer.calls
    )


def _fits(arguments: Any, schema: Any) -> bool:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return bool(jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(arguments))
