"""Commands of other packages, found through entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runtime.cli import main

PLUGIN = """
class Command:
    purpose = "greet somebody"

    def add_options(self, parser):
        parser.add_argument("who")

    def run(self, arguments, context):
        context.answers.print(f"hello {arguments.who}, {context.deployment.fill}")
        return 3

COMMAND = Command()
"""


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with three commands: one that works, one that does not, one that takes a built-in's name."""
    (tmp_path / "smolcall_greeter.py").write_text(PLUGIN)
    (tmp_path / "smolcall_ruin.py").write_text("import no_such_module_at_all\n")
    info = tmp_path / "greeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[smolcall.commands]\n"
        "greet = smolcall_greeter:COMMAND\nruin = smolcall_ruin:COMMAND\nask = smolcall_greeter:COMMAND\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("SMOLCALL_DEPLOYMENT", raising=False)


def test_discovered_command_runs_with_the_options_every_command_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["greet", "you", "--set", "seed=1"]) == 3

    assert capsys.readouterr().out == "hello you, verified\n"


def test_discovered_command_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "greet somebody" in capsys.readouterr().out


def test_command_that_cannot_be_imported_says_so_and_breaks_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ruin"]) == 2
    assert main(["greet", "you"]) == 3

    assert "no_such_module_at_all" in capsys.readouterr().err


def test_built_in_command_stays_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ask", "--help"])

    assert "--max-turns" in capsys.readouterr().out
