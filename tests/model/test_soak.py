"""A short soak; `python -m benchmarks.soak --runs 500` is the long one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent_runtime import AgentRuntime
from benchmarks.soak import DEPLOYMENT, soak
from tests.tiny_model import make_tiny_model


async def test_mixed_faulty_cancelled_runs_end_well_and_leave_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    model = make_tiny_model(tmp_path / "model")

    async with AgentRuntime.load(model, deployment=DEPLOYMENT) as runtime:
        report = await soak(runtime, num_runs=120)

    assert report.surprises == ()
    assert report.leaks == ()
    assert sum(report.outcomes.values()) - report.outcomes.get("OverloadedError", 0) == 120
    assert {"answered", "cancelled"} <= set(report.outcomes)
