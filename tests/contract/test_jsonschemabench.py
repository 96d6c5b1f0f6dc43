"""Against JSONSchemaBench, schemas as they are found in public: a fixed part of it; the command does all."""

from __future__ import annotations

import pytest

from tests.shared_data import shared

from .schema_coverage import Tally, run_bench


@pytest.fixture(scope="module")
def results() -> dict[str, Tally]:
    shared("schemas/jsonschemabench")
    return run_bench(samples=1, every=60, offset=7)


def test_nothing_wrong_is_written(results: dict[str, Tally]) -> None:
    assert [line for tally in results.values() for line in tally.wrong] == []


def test_nine_in_ten_schemas_are_accepted(results: dict[str, Tally]) -> None:
    schemas = sum(tally.schemas for tally in results.values())
    accepted = sum(tally.accepted for tally in results.values())

    assert accepted / schemas >= 0.9, [line for tally in results.values() for line in tally.refusals]


def test_cached_schemas_cost_under_a_millisecond(results: dict[str, Tally]) -> None:
    cached = sorted(milliseconds for tally in results.values() for milliseconds in tally.cached_ms)

    assert cached[int(0.95 * len(cached))] < 1.0
