"""From the answers of a category to its score: what was right, and which errors were made how often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runtime.evaluation import Share, wilson
from agent_runtime.evaluation.bfcl import Call, Question, Verdict, judge

from .asking import has_failed

INFERENCE_ERROR = "inference_error"
"""Counted where the runtime could not answer; not one of the official program's types."""

_NO_MATCH = "parallel_function_checker_no_order:cannot_find_match"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an answer calls, or why it cannot be read as calls."""

    calls: tuple[Call, ...] | None
    problem: str = ""
    error_type: str = ""


@dataclass(slots=True)
class CategoryScore:
    """The score of one category."""

    category: str
    right: Share = field(default_factory=Share)
    error_types: Counter[str] = field(default_factory=Counter)
    """How often each error was made; of parallel calls, the first call's that none matched."""
    num_failed: int = 0
    """Questions the runtime could not answer, such as for a schema it does not honour."""
    latencies_s: list[float] = field(default_factory=list)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    """One object a wrong answer, as in the official score files."""

    def rows(self) -> list[dict[str, Any]]:
        """The lines of the score file."""
        header = {
            "accuracy": self.right.num_right / self.right.total if self.right.total else 0.0,
            "correct_count": self.right.num_right,
            "total_count": self.right.total,
        }
        return [header, *self.wrong]


def score_category(
    category: str, questions: Iterable[Question], answers: Mapping[str, Mapping[str, Any]], *, name: str
) -> CategoryScore:
    """Judge the answers of a category; questions without an answer do not count.

    Args:
        category: its name.
        questions: its questions.
        answers: lines of a result file by question id, ours or the official program's.
        name: the model's name in the score file.
    """
    score = CategoryScore(category)
    for question in questions:
        if question.id not in answers:
            continue
        answer = answers[question.id]
        decoded = decode(answer["result"])
        verdict = judge_decoded(decoded, question)
        score.right.add(verdict.is_right)
        score.num_failed += has_failed(answer["result"])
        if isinstance(answer.get("latency"), (int, float)):
            score.latencies_s.append(answer["latency"])
        if not verdict.is_right:
            score.error_types[_counted_as(verdict, answer["result"])] += 1
            score.wrong.append(_wrong_row(question, answer["result"], decoded, verdict, name))
    return score


def decode(result: Any) -> Decoded:
    """The calls of an answer: a list of `{name: arguments as JSON}`, where words are no calls.

    An empty text is an empty list of calls, for that is what the official program reads it as.
    """
    if result == "":
        return Decoded(())
    try:
        pairs = [next(iter(item.items())) for item in result]
        read = [(name, json.loads(arguments)) for name, arguments in pairs]
    except (TypeError, AttributeError, ValueError, StopIteration) as error:
        return Decoded(None, f"Invalid syntax. Failed to decode AST. {error}", "ast_decoder:decoder_failed")
    if not all(isinstance(arguments, dict) for _, arguments in read):
        return Decoded(
            None, "Did not output in the specified format.", "ast_decoder:decoder_wrong_output_format"
        )
    return Decoded(tuple(Call(name, arguments) for name, arguments in read))


def judge_decoded(decoded: Decoded, question: Question) -> Verdict:
    """Judge an answer that may be words."""
    if decoded.calls is None and question.expected is not None:
        return Verdict(is_right=False, error_type=decoded.error_type, errors=(decoded.problem,))
    return judge(decoded.calls or (), question)


def _counted_as(verdict: Verdict, result: Any) -> str:
    if has_failed(result):
        return INFERENCE_ERROR
    if verdict.error_type == _NO_MATCH and len(verdict.errors) > 1:
        inner: str = next(iter(verdict.errors[1].values()))["sub_error_type"]
        return inner
    return verdict.error_type


def _wrong_row(
    question: Question, result: Any, decoded: Decoded, verdict: Verdict, name: str
) -> dict[str, Any]:
    calls = None if decoded.calls is None else [{c.name: dict(c.arguments)} for c in decoded.calls]
    row: dict[str, Any] = {
        "id": question.id,
        "model_name": name,
        "test_category": question.category,
        "valid": False,
        "error": list(verdict.errors),
        "error_type": verdict.error_type,
        "prompt": {
            "id": question.id,
            "question": [list(question.messages)],
            "function": list(question.functions),
        },
    }
    if question.expected is None:
        return {**row, "model_result": result, "decoded_result": calls}
    row["model_result_raw"] = result
    if calls is not None:
        row["model_result_decoded"] = calls
    return {**row, "possible_answer": list(question.expected)}


def summary(scores: Sequence[CategoryScore]) -> dict[str, Any]:
    """What the table shows, as JSON values."""
    categories = {}
    for score in scores:
        low, high = wilson(score.right.num_right, score.right.total)
        categories[score.category] = {
            "right": score.right.num_right,
            "total": score.right.total,
            "accuracy": score.right.value if score.right.total else None,
            "low": low,
            "high": high,
            "failed": score.num_failed,
            "median_latency_s": median(score.latencies_s),
            "error_types": dict(score.error_types.most_common()),
        }
    return {"interval": "Wilson, 95 %", "categories": categories}


def median(values: Sequence[float]) -> float | None:
    """The middle one; None of none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None
