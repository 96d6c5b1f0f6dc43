"""Importing the package is quick and does not import what is heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "jsonschema",
    "rich",
    "prompt_toolkit",
    "pydantic",
    "aiohttp",
    "prometheus_client",
)

SCRIPT = """
import json, sys, time
began = time.process_time()
import agent_runtime
seconds = time.process_time() - began
light = sorted(set(sys.modules) & set({heavy!r}))
agent_runtime.AgentRuntime, agent_runtime.tool, agent_runtime.DeploymentConfig
print(json.dumps({{"seconds": seconds, "light": light, "torch": "torch" in sys.modules}}))
"""


def run_python(
    script: str, *, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_import_is_quick_and_torch_stays_out_until_a_model_is_needed() -> None:
    ran = run_python(SCRIPT.format(heavy=HEAVY))

    found = json.loads(ran.stdout)
    assert found["seconds"] < 0.5
    assert found["light"] == []
    assert not found["torch"]


def test_commands_other_than_serve_need_no_server() -> None:
    ran = run_python(
        "import sys, agent_runtime.cli; print(sorted({'aiohttp', 'prometheus_client'} & set(sys.modules)))"
    )

    assert ran.stdout == "[]\n", ran.stderr


def test_every_public_name_can_be_fetched() -> None:
    import agent_runtime

    for name in agent_runtime.__all__:
        assert getattr(agent_runtime, name) is not None
        assert name in dir(agent_runtime)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = agent_runtime.Nonsense


def test_another_package_called_heads_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "heads"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")

    ran = run_python("import agent_runtime", cwd=tmp_path)

    assert ran.returncode != 0
    assert f"'heads' is {foreign}" in ran.stderr
    assert "rename yours" in ran.stderr
