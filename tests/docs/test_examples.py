"""Every example runs as it stands, offline, on the embedded model; the bots against their local stand-in."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
BOTS = [path for path in EXAMPLES if "run_bot(" in path.read_text(encoding="utf-8")]


def run(path: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run an example as a person would, with nobody at the keyboard but what is piped in."""
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        input=typed,
        check=False,
    )


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in EXAMPLES if path not in BOTS])
def test_example_runs(path: Path) -> None:
    result = run(path)

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in BOTS])
def test_bot_answers_the_questions_it_proposes(path: Path) -> None:
    result = run(path, "--offline", typed="1\n2\n3\n")

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.count("╭") >= 4, result.stdout  # the greeting, and a card for each question
    assert "✗" not in result.stdout
    assert result.stdout.endswith("bye\n")


def test_question_on_the_command_line_is_answered_without_a_conversation() -> None:
    bot = next(path for path in BOTS if path.stem == "weather_bot")

    result = run(bot, "--offline", "What's", "the", "weather", "in", "Oslo?")

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("> What's the weather in Oslo?\n")
    assert "Oslo, Norway" in result.stdout


def test_person_at_a_terminal_talks_with_a_bot_and_leaves() -> None:
    bot = next(path for path in BOTS if path.stem == "weather_bot")
    prompt = "\x1b[?2004h"  # the line editor takes over the terminal
    child = pexpect.spawn(
        sys.executable,
        [str(bot), "--offline"],
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 100),
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
    )

    child.expect_exact("an empty line leaves.")
    child.expect_exact(prompt)
    child.send("1\r")
    child.expect_exact("Oslo, Norway")
    child.expect_exact("1 call")
    child.expect_exact(prompt)
    child.send("\r")
    child.expect_exact("bye")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0


def test_bot_whose_reader_has_gone_ends_quietly() -> None:
    bot = next(path for path in BOTS if path.stem == "weather_bot")
    command = (
        f"{shlex.quote(sys.executable)} {shlex.quote(str(bot))} --offline Weather in Paris for 3 days | true"
    )

    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=110, check=False)

    assert result.stderr == ""


def test_every_bot_is_found() -> None:
    assert {path.stem for path in BOTS} == {
        "currency_bot",
        "earthquake_bot",
        "knowledge_bot",
        "trip_planner",
        "weather_bot",
    }
