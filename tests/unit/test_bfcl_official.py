"""Driving the official program, and its verdicts beside ours. A stand-in takes the program's place."""

from __future__ import annotations

import http.client
import json
import os
import stat
import sys
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent_runtime.errors import ConfigError
from agent_runtime.evaluation.bfcl import judge, read_questions
from integrations.bfcl.files import BfclFolder
from integrations.bfcl.official import compare_category
from integrations.bfcl.official.__main__ import main
from integrations.bfcl.official.environment import OfficialProgram
from integrations.bfcl.official.faults import faulty_answer
from integrations.bfcl.official.serving import serving
from integrations.bfcl.scoring import decode
from tests.shared_data import shared
from tests.tiny_model import make_tiny_model

STAND_IN = """
import json, os, pathlib, sys
arguments = sys.argv[sys.argv.index("-P") + 2:]  # behind the launcher: names, then the program's own
root = pathlib.Path(os.environ["BFCL_PROJECT_ROOT"])
with (root / "asked.jsonl").open("a") as file:
    file.write(json.dumps({"argv": arguments, "url": os.environ.get("OPENAI_BASE_URL")}) + "\\n")
if arguments[1] == "generate":
    ids = json.loads((root / "test_case_ids_to_generate.json").read_text())["simple_python"]
    file = root / "result/smolcall/non_live/BFCL_v4_simple_python_result.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": id, "result": [{"wave": '{"hand": "left"}'}]} for id in ids]
    file.write_text("".join(json.dumps(row) + "\\n" for row in rows))
if arguments[1] == "evaluate":
    name = arguments[3]
    (result,) = root.glob(f"result/{name}/non_live/*_result.json")
    rows = [json.loads(line) for line in result.read_text().splitlines()]
    file = root / f"score/{name}/non_live/BFCL_v4_simple_python_score.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    header = {"accuracy": 0.0, "correct_count": 0, "total_count": len(rows)}
    wrong = [{"id": row["id"], "error_type": "value_error:string"} for row in rows]
    file.write_text("".join(json.dumps(row) + "\\n" for row in [header, *wrong]))
"""

FUNCTION = {
    "name": "wave",
    "description": "Wave.",
    "parameters": {"type": "dict", "properties": {"hand": {"type": "string"}}, "required": ["hand"]},
}


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """What looks like the program's environment: a python of its own, and its question files."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "stand_in.py").write_text(STAND_IN)
    python = folder / "bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/stand_in.py" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    data = folder / f"lib/python3.{sys.version_info.minor}/site-packages/bfcl_eval/data"
    texts = ["Wave left", "Wave right", "Wave either"]
    rows = [
        {
            "id": f"simple_python_{n}",
            "question": [[{"role": "user", "content": text}]],
            "function": [FUNCTION],
        }
        for n, text in enumerate(texts)
    ]
    hands = [["left"], ["right"], ["left", "right"]]
    answers = [
        {"id": f"simple_python_{n}", "ground_truth": [{"wave": {"hand": listed}}]}
        for n, listed in enumerate(hands)
    ]
    write_lines(data / "BFCL_v4_simple_python.json", rows)
    write_lines(data / "possible_answer/BFCL_v4_simple_python.json", answers)
    return folder


needs_sh = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")


@needs_sh
def test_program_is_asked_to_generate_and_evaluate_and_differences_are_listed(
    environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["--venv", str(environment), "--out", str(out), "--categories", "simple_python", "--limit", "2"]

    status = main([*argv, "--base-url", "http://127.0.0.1:9/v1"])

    generate, evaluate = [json.loads(line) for line in (out / "asked.jsonl").read_text().splitlines()]
    assert generate["url"] == "http://127.0.0.1:9/v1"
    assert generate["argv"][:2] == ["smolcall", "generate"] and "--run-ids" in generate["argv"]
    assert evaluate["argv"][:2] == ["smolcall", "evaluate"] and "--partial-eval" in evaluate["argv"]
    assert status == 1  # the stand-in calls everything wrong, and one of the two is right
    shown = capsys.readouterr().out
    assert "simple_python_0: official value_error:string, ours right" in shown
    assert "simple_python_1: " not in shown


@needs_sh
def test_faulty_answers_are_judged_without_asking(environment: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = ["--venv", str(environment), "--out", str(out), "--categories", "simple_python"]

    main([*argv, "--with-faults", "7"])

    (asked,) = [json.loads(line) for line in (out / "asked.jsonl").read_text().splitlines()]
    assert asked["argv"][1] == "evaluate"
    assert len(BfclFolder(out, "faults-7").read_answers("simple_python")) == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--categories", "web_search"], "unknown category 'web_search'"),
        (["--categories", "memory_kv", "--limit", "3"], "build on one another"),
        (["--with-faults", "1", "--categories", "multi_turn"], "one turn only"),
        (["--evaluate-only"], "there are no answers"),
        (["--ids-of", "/nowhere"], "holds no BFCL_v4_"),
        (["--name", "a_b"], "letters, digits"),
    ],
)
def test_misuse_is_said(
    environment: Path, tmp_path: Path, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [
        "--venv",
        str(environment),
        "--out",
        str(tmp_path / "out"),
        "--base-url",
        "http://127.0.0.1:9/v1",
    ]
    (tmp_path / "out/result").mkdir(parents=True)

    assert main([*common, *argv]) == 2

    assert words in capsys.readouterr().out


def test_environment_is_never_ours_and_never_somebody_elses_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(ConfigError, match="no virtual environment"):
        OfficialProgram(tmp_path).install()
    with pytest.raises(ConfigError, match="the environment this runs in"):
        OfficialProgram(Path(sys.prefix)).install()


def test_score_file_that_contradicts_itself_is_refused(environment: Path, tmp_path: Path) -> None:
    folder = BfclFolder(tmp_path, "m")
    write_lines(folder.score_file("simple_python"), [{"correct_count": 1, "total_count": 3}])

    with pytest.raises(ConfigError, match="its first line says otherwise"):
        compare_category(OfficialProgram(environment).data, folder, "simple_python")


def test_answers_with_faults_are_right_and_wrong_in_many_ways() -> None:
    folder = shared("bfcl")
    random = Random(0)
    kinds = set()
    for category in ("simple_python", "parallel", "irrelevance"):
        for question in read_questions(folder, category):
            decoded = decode(json.loads(json.dumps(faulty_answer(question, random))))
            kinds.add(judge(decoded.calls or (), question).error_type)

    assert "" in kinds
    assert len(kinds) >= 10


def test_server_runs_while_it_is_needed(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")

    with serving(["--model", str(model), "--model-name", "smolcall"], tmp_path / "log") as address:
        place = urlsplit(address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        connection.request("GET", "/v1/models")
        models = json.loads(connection.getresponse().read())
        connection.close()

    assert models["data"][0]["id"] == "smolcall"
    with pytest.raises(OSError):
        http.client.HTTPConnection(place.hostname or "", place.port, timeout=10).connect()


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"did not start: .*did you mean 'temperature'"),
        serving(["--set", "temprature=1"], tmp_path / "log"),
    ):
        pass
