"""The guides in docs/, run as written: the blocks of a file one after the other, as a reader pastes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = ["tutorial.md", "mcp.md", "langchain.md", "confidence.md"]


@pytest.mark.parametrize("name", GUIDES)
def test_python_blocks_of_a_guide_run(name: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    script = tmp_path / "guide.py"
    script.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), encoding="utf-8")

    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples")},
        check=False,
    )

    assert result.returncode == 0, result.stderr
    shown = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    # Lines with a percentage belong to the shipped weights, and so do sentences of the model.
    facts = [
        line for block in shown for line in block.splitlines() if re.match(r"\{|ok: |failed: |get_", line)
    ]
    assert [line for line in facts if line not in result.stdout.splitlines()] == []


@pytest.mark.parametrize("path", [*(f"docs/{name}" for name in GUIDES), "examples/README.md"])
def test_links_of_a_guide_exist(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    files = re.findall(r"`(examples/[\w./]+)`|python (examples/[\w./]+)", text)

    assert [link for link in links if not (ROOT / path).parent.joinpath(link).exists()] == []
    assert [one or other for one, other in files if not (ROOT / (one or other)).exists()] == []
