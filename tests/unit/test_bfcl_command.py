"""`smolcall bfcl`: asking, going on, scoring, and the files it leaves. The questions are our own."""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.cli import main
from agent_runtime.cli.discovered import CommandContext
from agent_runtime.errors import BundleError, ConfigError, PromptTooLongError
from agent_runtime.testing import Reply, ScriptedEngine, calls
from agent_runtime.turn_engine import TurnOrder
from integrations.bfcl.command import COMMAND
from integrations.bfcl.scoring import decode
from tests.tiny_model import make_tiny_model

LAMP = {
    "name": "lamp.dim",
    "description": "Dim a lamp.",
    "parameters": {
        "type": "dict",
        "properties": {
            "room": {"type": "string", "description": "Which room."},
            "level": {"type": "float", "description": "0 to 1."},
        },
        "required": ["room"],
    },
}
BELL = {
    "name": "ring",
    "description": "Ring the bell.",
    "parameters": {"type": "dict", "properties": {"times": {"type": "integer"}}, "required": ["times"]},
}


def row(id: str, text: str, *functions: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "question": [[{"role": "user", "content": text}]], "function": list(functions)}


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five little files in the benchmark's format."""
    folder = tmp_path / "data"
    questions = {
        "simple_python": [row(f"simple_python_{n}", f"Dim the lamp in room {n}", LAMP) for n in range(3)],
        "parallel": [row("parallel_0", "Ring once, then twice", BELL)],
        "irrelevance": [row("irrelevance_0", "How are you?", BELL)],
        "live_relevance": [row("live_relevance_0-0-0", "Ring it", BELL)],
        "multi_turn_base": [{"id": "multi_turn_base_0", "question": []}],
    }
    answers = {
        "simple_python": [
            {
                "id": f"simple_python_{n}",
                "ground_truth": [{"lamp.dim": {"room": [str(n)], "level": [1.0, ""]}}],
            }
            for n in range(3)
        ],
        "parallel": [
            {"id": "parallel_0", "ground_truth": [{"ring": {"times": [1]}}, {"ring": {"times": [2]}}]}
        ],
    }
    for category, rows in questions.items():
        write_lines(folder / f"BFCL_v4_{category}.json", rows)
    for category, rows in answers.items():
        write_lines(folder / "possible_answer" / f"BFCL_v4_{category}.json", rows)
    return folder


def answer_rightly(order: TurnOrder) -> Reply:
    text = order.messages[-1].content
    if text.startswith("Dim"):
        return calls(**{"lamp.dim": {"room": text[-1], "level": 1}})
    if text == "Ring once, then twice":
        turn = calls(ring={"times": 2})
        return calls(*turn.tool_calls, ring={"times": 1})
    return calls(ring={"times": 1}) if text == "Ring it" else "Fine, thank you."


class Bench:
    """The command with a scripted model behind it."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data, self.out = data, out
        self.engine = ScriptedEngine("unused")
        self.num_loads = 0
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def run(
        self, *argv: str, reply: Callable[[TurnOrder], Reply] = answer_rightly, **settings: Any
    ) -> dict[str, Any]:
        deployment = DeploymentConfig(**settings)
        parser = argparse.ArgumentParser()
        for option in ("model", "revision", "adapter", "heads"):
            parser.add_argument(f"--{option}")
        COMMAND.add_options(parser)
        self.engine = ScriptedEngine(reply)

        def load() -> AgentRuntime:
            self.num_loads += 1
            return AgentRuntime(self.engine, deployment)

        context = CommandContext(
            deployment=deployment,
            load=load,
            answers=Console(file=self.stdout, width=120),
            progress=Console(file=self.stderr, width=120),
        )
        arguments = parser.parse_args(
            ["--data", str(self.data), "--out", str(self.out), "--name", "m", *argv]
        )
        assert COMMAND.run(arguments, context) == 0
        summary: dict[str, Any] = json.loads((self.out / "score/m/summary.json").read_text())["categories"]
        return summary


@pytest.fixture
def bench(data: Path, tmp_path: Path) -> Bench:
    return Bench(data, tmp_path / "out")


def test_right_answers_are_right_in_every_category(bench: Bench) -> None:
    summary = bench.run()

    assert {name: (each["right"], each["total"]) for name, each in summary.items()} == {
        "simple_python": (3, 3),
        "parallel": (1, 1),
        "irrelevance": (1, 1),
        "live_relevance": (1, 1),
    }
    assert "simple_python" in bench.stdout.getvalue()
    assert "simple_python: 3 of 3" in bench.stderr.getvalue()


def test_result_and_score_files_have_the_official_layout(bench: Bench) -> None:
    bench.run(reply=lambda order: calls(**{order.tools[0].name: {"room": "0", "times": 1}}))

    results = read_lines(bench.out / "result/m/non_live/BFCL_v4_simple_python_result.json")
    assert [each["id"] for each in results] == ["simple_python_0", "simple_python_1", "simple_python_2"]
    assert json.loads(results[0]["result"][0]["lamp_dim"])["room"] == "0"
    assert {"input_token_count", "output_token_count", "latency"} <= results[0].keys()
    header, *wrong = read_lines(bench.out / "score/m/non_live/BFCL_v4_parallel_score.json")
    assert header == {"accuracy": 0.0, "correct_count": 0, "total_count": 1}
    assert wrong[0]["error_type"] == "parallel_function_checker_no_order:wrong_count"
    assert wrong[0]["possible_answer"] == [{"ring": {"times": [1]}}, {"ring": {"times": [2]}}]
    assert (bench.out / "score/m/live/BFCL_v4_live_relevance_score.json").is_file()


def test_run_goes_on_where_it_stopped_and_asks_nothing_twice(bench: Bench) -> None:
    bench.run("--categories", "simple_python", "--limit", "1")
    first = bench.out / "result/m/non_live/BFCL_v4_simple_python_result.json"
    with first.open("a") as file:
        file.write('{"id": "simple_python_1", "resu')  # killed while it wrote

    bench.run("--categories", "simple_python")

    assert [order.messages[-1].content[-1] for order in bench.engine.orders] == ["1", "2"]
    assert len(read_lines(first)) == 3


def test_interrupted_run_keeps_its_answers_and_says_how_to_go_on(bench: Bench) -> None:
    def interrupted(order: TurnOrder) -> Reply:
        return KeyboardInterrupt() if order.messages[-1].content[-1] == "1" else answer_rightly(order)

    with pytest.raises(KeyboardInterrupt):
        bench.run("--categories", "simple_python", "--concurrency", "1", reply=interrupted)

    assert "the same command goes on" in bench.stderr.getvalue()
    summary = bench.run("--categories", "simple_python")
    assert [order.messages[-1].content[-1] for order in bench.engine.orders] == ["1", "2"]
    assert summary["simple_python"]["right"] == 3


def test_complete_run_loads_no_model(bench: Bench) -> None:
    bench.run()

    bench.run()

    assert bench.num_loads == 1


def test_answers_of_another_setting_are_not_mixed(bench: Bench) -> None:
    bench.run("--limit", "1")

    with pytest.raises(ConfigError, match=r"another setting temperature: choose another --name"):
        bench.run(temperature=0.5)

    summary = bench.run("--fresh", temperature=0.5)
    assert summary["simple_python"]["total"] == 3
    bench.run(max_batch=2, temperature=0.5)  # faster or slower, the same answers


def test_fresh_start_of_one_category_does_not_mix_it_with_the_others(bench: Bench) -> None:
    bench.run()

    with pytest.raises(ConfigError, match="another setting seed"):
        bench.run("--fresh", "--categories", "parallel", seed=1)


def test_question_that_cannot_be_answered_is_wrong_and_said(bench: Bench) -> None:
    summary = bench.run(reply=lambda order: PromptTooLongError(prompt_tokens=9, max_tokens=8))

    assert summary["simple_python"]["error_types"] == {"inference_error": 3}
    assert summary["irrelevance"] | {"right": 1, "failed": 1} == summary["irrelevance"]
    assert "could not be answered" in bench.stdout.getvalue()


def test_fault_of_the_runtime_in_one_question_costs_only_that_one_and_can_be_retried(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(order: TurnOrder) -> Reply:
        return ZeroDivisionError("oh") if order.messages[-1].content[-1] == "1" else answer_rightly(order)

    summary = bench.run("--categories", "simple_python", reply=stumble)

    assert (summary["simple_python"]["right"], summary["simple_python"]["failed"]) == (2, 1)
    assert "simple_python_1: the runtime failed" in caplog.text

    summary = bench.run("--categories", "simple_python", "--retry")

    assert len(bench.engine.orders) == 1
    assert summary["simple_python"]["right"] == 3


def test_failure_of_the_runtime_ends_the_run_and_keeps_the_answers(bench: Bench) -> None:
    def fail_at_last(order: TurnOrder) -> Reply:
        return BundleError("gone") if order.messages[-1].content[-1] == "2" else answer_rightly(order)

    with pytest.raises(BundleError, match="gone"):
        bench.run("--categories", "simple_python", "--concurrency", "1", reply=fail_at_last)

    summary = bench.run("--categories", "simple_python", "--score-only")
    assert (summary["simple_python"]["right"], summary["simple_python"]["total"]) == (2, 2)


def test_error_types_of_parallel_calls_are_those_of_the_call_that_fits_none(bench: Bench) -> None:
    def ring_wrongly(order: TurnOrder) -> Reply:
        return calls(*calls(ring={"times": 5}).tool_calls, ring={"times": 6})

    summary = bench.run("--categories", "parallel", reply=ring_wrongly)

    assert summary["parallel"]["error_types"] == {"value_error:others": 1}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--categories", "simple_ruby"], "unknown category 'simple_ruby'"),
        (["--categories", "multi_turn_base"], "run by the official program"),
        (["--categories", "live_simple"], "holds no BFCL_v4_live_simple.json"),
        (["--score-only"], "no answers to score"),
        (["--score-only", "--fresh"], "--fresh contradicts --score-only"),
        (["--name", "a_b"], "letters, digits"),
        (["--data", "/nowhere"], "/nowhere holds no BFCL_v4"),
    ],
)
def test_misuse_is_said(bench: Bench, argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        bench.run(*argv)


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "line 2: not JSON"), ('{"id": "x"}', "expected an object with"), ("3", "expected an object")],
)
def test_damaged_question_file_is_named_with_its_line(bench: Bench, line: str, words: str) -> None:
    with (bench.data / "BFCL_v4_irrelevance.json").open("a") as file:
        file.write(line)

    with pytest.raises(ConfigError, match=words):
        bench.run("--categories", "irrelevance")


def test_damaged_answer_file_is_named_with_its_line(bench: Bench) -> None:
    bench.run("--categories", "irrelevance")
    file = bench.out / "result/m/non_live/BFCL_v4_irrelevance_result.json"
    file.write_text('{"id": "irrelevance_0"}\n')

    with pytest.raises(ConfigError, match="line 1: not an answer"):
        bench.run("--categories", "irrelevance")


@pytest.mark.parametrize(
    ("result", "error_type"),
    [
        ("Hello", "ast_decoder:decoder_failed"),
        (None, "ast_decoder:decoder_failed"),
        ([{}], "ast_decoder:decoder_failed"),
        ([{"f": "{"}], "ast_decoder:decoder_failed"),
        ([{"f": "[1]"}], "ast_decoder:decoder_wrong_output_format"),
        ("", ""),
        ([], ""),
        ([{"f": '{"a": 1}'}], ""),
    ],
)
def test_answer_is_decoded_as_officially(result: Any, error_type: str) -> None:
    decoded = decode(result)

    assert decoded.error_type == error_type
    assert (decoded.calls is None) == bool(error_type)


def test_command_is_found_and_runs_with_a_model_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in list(os.environ):
        if name.startswith("SMOLCALL_"):
            monkeypatch.delenv(name)
    model = str(make_tiny_model(tmp_path / "tiny_model"))
    argv = ["bfcl", "--data", str(data), "--categories", "live", "--out", str(tmp_path / "out")]

    status = main([*argv, "--model", model, "--set", "max_tokens=8"])

    assert status == 0
    assert "live_relevance" in capfd.readouterr().out
    assert (tmp_path / "out/score/tiny-model-verified/live/BFCL_v4_live_relevance_score.json").is_file()
