"""How much of the schema collections is accepted, is anything written wrong, how long does compiling take?

    python -m tests.contract.schema_coverage                  all of JSONSchemaBench and the test suite
    python -m tests.contract.schema_coverage --only Kubernetes --refusals 30

Every accepted schema is sampled; every sample must be valid for the schema as it was given, judged by
`jsonschema` in the schema's own dialect with formats checked. The collections' own instances are used
too: one that is invalid must never be writable.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import referencing
import zstandard
from jsonschema.validators import extend, validator_for
from referencing.jsonschema import DRAFT202012

from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.schema import compile_schema

from .shape_sampler import NoSample, sample, writes

SHARED = Path(__file__).resolve().parents[3] / "shared" / "schemas"
DRAFTS = {
    "draft2020-12": jsonschema.Draft202012Validator,
    "draft2019-09": jsonschema.Draft201909Validator,
    "draft7": jsonschema.Draft7Validator,
}


@dataclass
class Tally:
    """What happened to one group of schemas."""

    schemas: int = 0
    accepted: int = 0
    samples: int = 0
    unsampled: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    valid_seen: int = 0
    valid_writable: int = 0
    cold_ms: list[float] = field(default_factory=list)
    cached_ms: list[float] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)


def read_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8"):
            yield json.loads(line)


def judge_for(schema: Any, base: Any = None, **options: Any) -> Any:
    """A validator of the schema's own dialect, formats on, decimals exact."""
    base = base or validator_for(schema, default=jsonschema.Draft202012Validator)
    exact = extend(base, {"multipleOf": _multiple_of} if "multipleOf" in base.VALIDATORS else {})
    return exact(schema, format_checker=base.FORMAT_CHECKER, **options)


def _multiple_of(_: Any, step: Any, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and Fraction(repr(value)) % Fraction(repr(step)) != 0:
        yield jsonschema.ValidationError(f"{value} is not a multiple of {step}")


def examine(
    schema: Any,
    tally: Tally,
    *,
    label: str,
    judge: Any,
    samples: int,
    instances: list[tuple[Any, bool | None]],
    seed: int = 0,
) -> None:
    """Compile one schema, sample it, and judge what comes out.

    Instances come with whether they are valid; None leaves that to the judge.
    """
    tally.schemas += 1
    started = time.thread_time()  # CPU time: the machine may be busy with something else
    try:
        shape = compile_schema(schema, tool_name=label)
    except SchemaError as refusal:
        tally.cold_ms.append((time.thread_time() - started) * 1e3)
        tally.refused[f"{refusal.keyword or '-'}: {refusal.reason[:60]}"] += 1
        tally.refusals.append(f"{label} {refusal}")
        assert refusal.path.startswith(("$", "<"))
        return
    tally.cold_ms.append((time.thread_time() - started) * 1e3)
    if tally.cold_ms[-1] > 100:
        tally.slow.append((tally.cold_ms[-1], label))
    started = time.thread_time()  # CPU time: the machine may be busy with something else
    compile_schema(schema, tool_name=label)
    tally.cached_ms.append((time.thread_time() - started) * 1e3)
    tally.accepted += 1
    chance = random.Random(f"{seed}:{label}")
    for _ in range(samples):
        try:
            value = sample(shape, chance)
        except NoSample:
            tally.unsampled += 1
            continue
        except (ValueError, RecursionError) as error:
            tally.wrong.append(f"{label}: cannot be written: {str(error)[:300]}")
            return
        try:
            problem = _problem(judge, value)
        except _Unjudged:
            tally.unsampled += 1
            continue
        tally.samples += 1
        if problem is not None:
            tally.wrong.append(f"{label}: {json.dumps(value)[:300]}: {problem[:300]}")
            return
    for value, is_valid in instances:
        try:
            problem = (
                _problem(judge, value) if is_valid is None else None if is_valid else "the suite says so"
            )
        except _Unjudged:
            continue
        if problem is None:
            tally.valid_seen += 1
            tally.valid_writable += writes(shape, value)
        elif writes(shape, value):
            tally.wrong.append(f"{label}: would write {json.dumps(value)[:300]}: {problem[:300]}")


class _Unjudged(Exception):
    """The validator itself failed on the schema (a pattern Python cannot read, say)."""


def _problem(judge: Any, value: Any) -> str | None:
    try:
        error = next(judge.iter_errors(value), None)
    except Exception as failure:  # validators raise whatever a malformed schema makes them stumble over
        raise _Unjudged from failure
    return None if error is None else f"{'/'.join(map(str, error.path))} {error.message}"


def bench_files(only: str = "") -> list[Path]:
    return [path for path in sorted((SHARED / "jsonschemabench").glob("*.zst")) if only in path.name]


def run_bench(*, only: str = "", samples: int = 3, every: int = 1, offset: int = 0) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for path in bench_files(only):
        tally = tallies[path.name.partition(".")[0]] = Tally()
        started = time.perf_counter()
        for number, row in enumerate(read_lines(path)):
            if number % every != offset % every:
                continue
            examine(
                row["schema"],
                tally,
                label=row["id"],
                judge=judge_for(row["schema"]),
                samples=samples,
                instances=[(test["data"], None) for test in row["tests"]],
            )
        sys.stderr.write(f"{path.name}: {tally.schemas} schemas in {time.perf_counter() - started:.0f} s\n")
    return tallies


def run_suite(*, only: str = "", samples: int = 5, every: int = 1) -> dict[str, Tally]:
    remotes = list(read_lines(SHARED / "json-schema-test-suite" / "remotes.jsonl.zst"))
    registry = referencing.Registry().with_resources(
        (
            f"http://localhost:1234/{row['path']}",
            referencing.Resource.from_contents(row["schema"], default_specification=DRAFT202012),
        )
        for row in remotes
    )
    tallies: dict[str, Tally] = {}
    for name, draft in DRAFTS.items():
        if only not in name:
            continue
        tally = tallies[name] = Tally()
        for number, row in enumerate(read_lines(SHARED / "json-schema-test-suite" / f"{name}.jsonl.zst")):
            # Checking the media type of a text is optional; here it is a description, as in 2020-12.
            if number % every or row["file"].endswith("optional/content.json"):
                continue
            schema = row["schema"]
            if isinstance(schema, dict) and "$schema" not in schema:
                schema = {"$schema": draft.META_SCHEMA["$id"], **schema}
            examine(
                schema,
                tally,
                label=f"{name}/{row['file']}/{row['description']}",
                judge=judge_for(schema, _suite_judge(schema, draft), registry=registry),
                samples=samples,
                instances=[(test["data"], test["valid"]) for test in row["tests"]],
            )
    return tallies


def _suite_judge(schema: Any, draft: Any) -> Any:
    """In 2019-09 jsonschema 4.26 does not count typed additionalProperties as evaluated."""
    is_affected = draft is jsonschema.Draft201909Validator and isinstance(schema, dict)
    if (
        is_affected
        and "unevaluatedProperties" in schema
        and isinstance(schema.get("additionalProperties"), dict)
    ):
        return jsonschema.Draft202012Validator
    return draft


def table(tallies: dict[str, Tally]) -> str:
    total = Tally()
    for tally in tallies.values():
        for name in ("schemas", "accepted", "samples", "unsampled", "valid_seen", "valid_writable"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.wrong += tally.wrong
        total.cold_ms += tally.cold_ms
        total.cached_ms += tally.cached_ms
    lines = [
        "| subset | schemas | accepted | | samples | not judged | wrong "
        "| valid instances writable "
        "| cold ms p50 | p95 | max | cached p95 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, tally in {**tallies, "all": total}.items():
        cold, cached = sorted(tally.cold_ms), sorted(tally.cached_ms) or [0.0]
        lines.append(
            f"| {name} | {tally.schemas} | {tally.accepted} | {tally.accepted / max(tally.schemas, 1):.1%} "
            f"| {tally.samples} | {tally.unsampled} "
            f"| {len(tally.wrong)} | {tally.valid_writable / max(tally.valid_seen, 1):.1%} "
            f"| {statistics.median(cold):.1f} | {cold[int(0.95 * (len(cold) - 1))]:.1f} | {cold[-1]:.0f} "
            f"| {cached[int(0.95 * (len(cached) - 1))]:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="part of a subset's name")
    parser.add_argument("--samples", type=int, default=3, help="values drawn from every accepted schema")
    parser.add_argument("--every", type=int, default=1, help="take one schema in so many")
    parser.add_argument("--bench", action="store_true", help="JSONSchemaBench alone")
    parser.add_argument("--suite", action="store_true", help="the test suite alone")
    parser.add_argument("--refusals", type=int, default=0, help="show so many refusals")
    options = parser.parse_args()
    results = (
        {} if options.suite else run_bench(only=options.only, samples=options.samples, every=options.every)
    )
    results |= {} if options.bench else run_suite(only=options.only)
    refused: Counter[str] = Counter()
    for tally in results.values():
        refused.update(tally.refused)
    out = sys.stdout.write
    out(table(results) + "\n\nRefused because of:\n")
    for reason, count in refused.most_common(40):
        out(f"{count:6} {reason}\n")
    for tally in results.values():
        for line in tally.wrong:
            out(f"WRONG {line}\n")
    slow = sorted((pair for tally in results.values() for pair in tally.slow), reverse=True)
    for milliseconds, label in slow[:10]:
        out(f"slow {milliseconds:.0f} ms {label}\n")
    for tally in results.values():
        for line in tally.refusals[: options.refusals]:
            out(f"refused {line[:400]}\n")


if __name__ == "__main__":
    main()
