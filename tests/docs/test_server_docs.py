"""What README and docs/server.md show of the server, run against the server they tell to start."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.server.chat_body import UNSUPPORTED, ChatBody

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/server.md")}
ADDRESS = "127.0.0.1:8000"
BLOCKS = [
    pytest.param(language, code, id=f"{name}-{number}")
    for name, text in PAGES.items()
    for number, (language, code) in enumerate(re.findall(r"```(python|sh)\n(.*?)```", text, flags=re.DOTALL))
    if ADDRESS in code or name == "docs/server.md"
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server started with the command the pages show, at a port that is free."""
    commands = {line for text in PAGES.values() for line in re.findall(r"^\$ (smolcall serve.*)", text, re.M)}
    assert commands == {"smolcall serve --port 8000"}
    arguments = shlex.split(commands.pop().replace("8000", "0"))[1:]
    command = [sys.executable, "-m", "agent_runtime", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://([\d.:]+)/v1", line)
            assert found, line
            yield found[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_what_is_shown_runs(language: str, code: str, address: str, tmp_path: Path) -> None:
    code = code.replace(ADDRESS, address)
    command = [sys.executable, "-c", code] if language == "python" else ["sh", "-c", code]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False)

    assert ran.returncode == 0, ran.stderr
    if language == "sh":
        assert json.loads(ran.stdout)["object"] == "chat.completion"
    elif "get_weather" in code:
        assert "'start': 22, 'end': 26" in ran.stdout


def test_every_part_of_a_request_is_documented() -> None:
    text = PAGES["docs/server.md"]

    assert [name for name in (*ChatBody.model_fields, *UNSUPPORTED) if f"`{name}" not in text] == []
