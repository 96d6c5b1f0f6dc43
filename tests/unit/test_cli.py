from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.console import Console

from agent_runtime.cli import main
from agent_runtime.cli.arguments import deployment_of, read_arguments
from agent_runtime.cli.chat import chat
from agent_runtime.cli.screen import Screen, call_line, result_line, step_lines, visible
from agent_runtime.cli.tools_argument import read_tools
from agent_runtime.config import DeploymentConfig
from agent_runtime.errors import ConfigError, OverloadedError, SchemaError
from agent_runtime.events import (
    CallStarted,
    DenoiseStep,
    ReasoningDelta,
    ResultReady,
    SlotTrace,
    TextDelta,
    TurnFinished,
)
from agent_runtime.messages import ToolResult, Turn
from agent_runtime.testing import ScriptedEngine, call, calls, scripted_runtime
from agent_runtime.tools import bind_tools
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("cli") / "model"))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SMOLCALL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "200")


SHORT = ("--set", "max_tokens=8")


# What is typed, and the exit status.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["ask", "Hi", "--model", "/no/such/folder"], "does not exist", id="no model"),
        pytest.param(
            ["ask", "Hi", "--set", "temprature=1"], "did you mean 'temperature'", id="misspelt setting"
        ),
        pytest.param(["ask", "Hi", "--set", "seed"], "name=value", id="setting without a value"),
        pytest.param(["ask", "Hi", "--deployment", "/no/file"], "cannot read deployment file", id="no file"),
        pytest.param(["ask", "Hi", "--tools", "/no/tools.py"], "no such file", id="no tools"),
        pytest.param(["ask", "Hi", "--tools", "nonsense"], "give a .py file", id="tools that are nothing"),
        pytest.param(["ask", "Hi", "--tools", "no.module:x"], "ModuleNotFoundError", id="no module"),
        pytest.param(["ask", "Hi", "--no-tools", "--tools", "x.py"], "contradicts", id="contradiction"),
        pytest.param(["ask", "  "], "the question is empty", id="no question"),
        pytest.param(
            ["ask", "Hi", "--fill", "diffusion", "--model", "x"], "heads=None", id="fill without heads"
        ),
        pytest.param(
            ["call", "Hi", "--tool-choice", "calc", "--model", "x"], "tool_choice='calc'", id="choice"
        ),
        pytest.param([], "ask, chat, call, doctor, serve or demo", id="nothing"),
    ],
)
def test_wrong_use_is_one_readable_line_and_status_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(argv)

    shown = capsys.readouterr()
    assert status == 2
    assert words in shown.err
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert "Traceback" not in shown.err


def test_unknown_command_is_status_2() -> None:
    with pytest.raises(SystemExit) as raised:
        main(["sing"])
    assert raised.value.code == 2


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("smolcall 0.")


def test_later_settings_lie_over_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("seed: 1\ntemperature: 0.5\ntop_p: 0.9\n")
    monkeypatch.setenv("SMOLCALL_TEMPERATURE", "0.6")
    monkeypatch.setenv("SMOLCALL_TOP_P", "0.8")
    arguments = read_arguments(["ask", "Hi", "--deployment", str(file), "--set", "top_p=0.7"])

    assert deployment_of(arguments) == DeploymentConfig(seed=1, temperature=0.6, top_p=0.7)


# Running on a model.


def test_ask_prints_the_answer_alone_on_stdout(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Hi", "--model", folder, "--no-tools", *SHORT]) == 0

    shown = capsys.readouterr()
    assert shown.out.strip()
    assert "1 turn" in shown.err and "1 turn" not in shown.out


def test_ask_reads_the_question_from_stdin(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi there\n"))

    assert main(["ask", "-", "--model", folder, "--no-tools", "--json", "--system", "Be brief.", *SHORT]) == 0

    run = json.loads(capsys.readouterr().out)
    assert [message["content"] for message in run["messages"][:2]] == ["Be brief.", "Hi there\n"]
    assert run["output"] == run["messages"][2]["content"]


def test_call_prints_one_turn_as_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    tools = Path(folder).parent / "pick.json"
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    tools.write_text(json.dumps([{"name": "pick", "parameters": schema}]))

    status = main(["call", "Pick", "--model", folder, "--tools", str(tools), "--tool-choice", "pick"])

    turn = json.loads(capsys.readouterr().out)
    assert status == 0
    assert turn["tool_calls"][0]["name"] == "pick"
    assert turn["tool_calls"][0]["arguments"]["n"] in (1, 2)


def test_failure_on_the_way_is_status_1(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Hi", "--model", folder, "--set", "request_deadline_s=0.000001"]) == 1
    assert "no answer within the deadline" in capsys.readouterr().err


def test_demo_shows_question_and_answer(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", folder, *SHORT]) == 0
    assert "tools: calculate, convert_units, current_time" in capsys.readouterr().out


def test_doctor_reports_and_says_so_in_its_status(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", folder, "--no-load"]) == 0
    assert "ready" in capsys.readouterr().out

    assert main(["doctor", "--model", folder, "--no-load", "--json", "--fill", "diffusion"]) == 1
    assert json.loads(capsys.readouterr().out)["is_well"] is False


# Tools.


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_python_file_gives_its_public_functions(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")
    file = write(
        tmp_path / "mine.py",
        "from json import dumps\nfrom beside import ANSWER\n"
        "def answer() -> int:\n    'Answer.'\n    return ANSWER\n"
        "def _hidden(): ...\n",
    )

    tools = read_tools([file])

    assert [tool.name for tool in tools] == ["answer"]
    assert tools[0]() == 42


def test_python_file_with_bound_tools_gives_only_those(tmp_path: Path) -> None:
    file = write(
        tmp_path / "bound.py",
        "from agent_runtime import tool\n"
        "@tool\ndef a() -> int:\n    'A.'\n    return 1\n"
        "def b() -> int:\n    'B.'\n    return 2\n",
    )

    assert [tool.name for tool in read_tools([file])] == ["a"]
    assert [tool.name for tool in read_tools([f"{file}:b"])] == ["b"]


def test_module_and_name_are_imported_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_tools.py").write_text(
        "def buy(n: int) -> int:\n    'Buy.'\n    return n\nALL = [buy]\n"
    )
    monkeypatch.chdir(tmp_path)

    assert [tool.name for tool in read_tools(["shop_tools:ALL"])] == ["buy"]
    with pytest.raises(ConfigError, match="there is no 'sell'"):
        read_tools(["shop_tools:sell"])


def test_json_file_gives_described_tools(tmp_path: Path) -> None:
    described = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    one = write(tmp_path / "one.json", json.dumps(described))
    several = write(tmp_path / "several.json", json.dumps({"tools": [described]}))

    assert [tool.name for tool in read_tools([one])] == ["find"]
    assert [tool.name for tool in read_tools([several])] == ["find"]
    with pytest.raises(SchemaError, match="two tools have this name"):
        read_tools([one, several])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.py", "x = 1\n", "no tools in it"),
        ("broken.py", "x = 1\nraise ValueError('no luck')\n", r"ValueError: no luck \(line 2\)"),
        ("syntax.py", "def\n", "SyntaxError"),
        ("broken.json", "{", "not JSON"),
        ("empty.json", "[]", "expected a list of tools"),
        ("number.json", "3", "expected a list of tools"),
    ],
)
def test_unusable_tools_file_says_why(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_tools([write(tmp_path / name, text)])


# The screen.


def test_control_characters_are_spelt_out() -> None:
    assert visible("a\x1b[2Jb\nc\td\x07") == "a\\x1b[2Jb\nc\td\\x07"


def test_call_and_result_are_one_line_each() -> None:
    made = call("book", {"when": "today\nnow", "n": 2}, confidence=0.93)
    result = ToolResult(
        call_id="1", tool_name="book", status="failed", message="x\n" * 900, duration_ms=12.4, attempts=3
    )

    assert call_line(made).plain == '→ book(when="today\\nnow", n=2)  93% sure'
    shown = result_line(result).plain
    assert shown.startswith("✗ x x") and shown.endswith("book, 12 ms, 3 attempts")
    assert "\n" not in shown and len(shown) < 500


def test_reasoning_and_cut_answers_are_marked() -> None:
    answers, progress = Console(file=io.StringIO()), Console(file=io.StringIO())
    screen = Screen(answers, progress, clock=lambda: 0.0)

    for event in (
        ReasoningDelta(text="hm"),
        TextDelta(text="Yes, [b]but"),
        TurnFinished(turn=Turn(content="Yes, [b]but", stop_reason="length")),
        CallStarted(call_id="1", name="x"),
        ResultReady(result=ToolResult(call_id="1", tool_name="x", status="ok", message="[bold]1")),
    ):
        screen.show(event)

    assert answers.file.getvalue() == "Yes, [b]but\n"  # type: ignore[attr-defined]  # a StringIO
    assert "hm\n(cut: max_tokens, or it only repeated itself)\n← [bold]1" in progress.file.getvalue()  # type: ignore[attr-defined]


# Chat.


class ScriptedLines:
    """Lines as they would be typed; an exception is raised, a function is called first."""

    def __init__(self, *lines: str | BaseException) -> None:
        self._lines = list(lines)

    async def next(self) -> str:
        if not self._lines:
            raise EOFError
        line = self._lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line


async def chat_about(engine: ScriptedEngine, *lines: str | BaseException, **options: Any) -> str:
    from agent_runtime.runtime import AgentRuntime

    screen = io.StringIO()
    tools = bind_tools([double])
    await chat(
        AgentRuntime(engine),
        tools,
        console=Console(file=screen, width=200),
        lines=ScriptedLines(*lines),
        **options,
    )
    return screen.getvalue()


def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


async def test_chat_shows_calls_results_and_answers_and_remembers_them() -> None:
    engine = ScriptedEngine(calls(double={"n": 4}), "It is 8.", "You are welcome.")

    shown = await chat_about(engine, "Twice four?", "Thanks", system="Be kind.")

    assert "→ double(n=4)  100% sure" in shown
    assert "← 8" in shown
    assert "It is 8.\n" in shown
    roles = [message.role for message in engine.orders[-1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_chat_commands_do_what_help_says() -> None:
    engine = ScriptedEngine("Hello.")

    shown = await chat_about(
        engine, "/help", "/tools", "/nonsense", "Hi", "/reset", "", "Hi", "/quit", "never"
    )

    assert "/reset" in shown and "double: Twice a number." in shown
    assert "there is no /nonsense" in shown
    assert [len(order.messages) for order in engine.orders] == [1, 1]


async def test_chat_survives_errors_and_forgets_the_question() -> None:
    engine = ScriptedEngine(OverloadedError(queued=3, retry_after_s=1.0), "Hello.")

    shown = await chat_about(engine, "First", KeyboardInterrupt(), "Second")

    assert "3 requests are already waiting" in shown
    assert "(Ctrl-D leaves)" in shown
    assert [message.content for message in engine.orders[1].messages] == ["Second"]


async def test_interrupt_cancels_the_answer_and_not_the_chat() -> None:
    class Hanging(ScriptedEngine):
        async def turn(self, order: Any, on_event: Any = None) -> Turn:
            if not self.orders:
                self.orders.append(order)
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            return await super().turn(order, on_event)

    shown = await chat_about(Hanging("Hello again."), "First", "Second")

    assert "(cancelled; the question is forgotten)" in shown
    assert "Hello again." in shown


def test_chat_in_a_real_terminal(folder: str) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "agent_runtime", "chat", "--model", folder, "--set", "max_tokens=3000", "--no-tools"],
        env={**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 120),
    )
    child.expect("/help for help")
    child.expect(r"\?2004h")  # the prompt is there
    child.sendline("Tell me a long story")
    child.expect(r"[a-z]{40}")  # it is being written
    child.sendintr()
    child.expect("cancelled; the question is forgotten")
    child.expect(r"\?2004h")  # the prompt is there
    child.sendintr()
    child.expect("Ctrl-D leaves")
    child.sendline("/help")
    child.expect("forget the conversation")
    child.expect(r"\?2004h")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupted_ask_is_status_130(tmp_path: Path) -> None:
    # A model deep enough to be interrupted: that of the other tests is through with its answer within 0.3 s.
    slow = make_tiny_model(tmp_path / "model", layers=64)
    child = pexpect.spawn(
        sys.executable,
        ["-m", "agent_runtime", "ask", "Hi", "--model", str(slow), "--no-tools", "--set", "max_tokens=3000"],
        env={**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=60,
        # A suite started in the background ignores Ctrl-C, and hands that on.
        preexec_fn=_hear_interrupts,
    )
    child.expect(r"[a-z]{3}")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 130
    assert "Traceback" not in (child.before or "")


def test_scripted_runtime_is_what_the_documentation_shows() -> None:
    runtime = scripted_runtime(calls(double={"n": 4}), "It is 8.")

    assert asyncio.run(runtime.run("Twice four?", tools=[double])).output == "It is 8."


def test_a_trace_shows_each_step_of_a_draft() -> None:
    step = DenoiseStep(
        call_id="c",
        step=2,
        kind="denoise",
        slots=(
            SlotTrace(path="city", text="Os_\x1b", confidence=0.5, filled_by="denoise", num_open=1),
            SlotTrace(path="days", text="5", confidence=0.9, filled_by="copy"),
        ),
    )

    assert step_lines(step).plain.splitlines() == [
        "2. denoised",
        "   city  Os_\\x1b  1 open",
        "   days  5  90% copy",
    ]
