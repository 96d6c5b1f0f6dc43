"""What the README shows, run: its Python blocks, its commands, its links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Blocks that ask a running server, and the command that starts it, are run in test_server_docs.py.
# A text block that follows "prints" is what the one before it prints.
PYTHON_BLOCKS = [
    (block, shown)
    for block, shown in re.findall(
        r"```python\n(.*?)```(?:\n\nprints\n\n```text\n(.*?)```)?", README, flags=re.DOTALL
    )
    if "127.0.0.1:8000" not in block
]
SMOLCALL_COMMANDS = [
    line.removeprefix("$ ").strip()
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ smolcall ") and not line.startswith("$ smolcall serve")
]


@pytest.mark.parametrize(
    ("code", "shown"),
    [pytest.param(code, shown, id=f"block-{n}") for n, (code, shown) in enumerate(PYTHON_BLOCKS)],
)
def test_python_block_runs_and_prints_what_is_shown(code: str, shown: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(code, encoding="utf-8")

    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False
    )

    assert result.returncode == 0, result.stderr
    if shown:
        assert result.stdout == shown


@pytest.mark.parametrize("command", [pytest.param(command, id=command[:60]) for command in SMOLCALL_COMMANDS])
def test_smolcall_command_succeeds(command: str) -> None:
    arguments = [sys.executable, "-m", "agent_runtime", *shlex.split(command)[1:]]

    result = subprocess.run(arguments, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False)

    assert result.returncode == 0, result.stderr
    if arguments[3] == "call":
        assert json.loads(result.stdout)["tool_calls"]


def test_links_into_the_repository_exist() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)

    missing = [target for target in targets if not (ROOT / target).exists()]

    assert not missing


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))

    assert named <= known
