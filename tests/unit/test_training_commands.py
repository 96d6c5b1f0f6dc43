"""What training needs is asked for before work is done: packages of the extra, files, folders."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from training.__main__ import main
from training.recipe import METRICS_FILE, RECIPE_FILE, read_recipe
from training.recipes import backbone_preset

ROOT = Path(__file__).parents[2]

PACKAGES = ("matplotlib", "zstandard", "accelerate")
SMALL_RUN = ("--preset", "smoke", "--set", "schedule.total_steps=1")


@pytest.fixture
def _base_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra: its packages cannot be imported."""
    for name in list(sys.modules):
        if name.split(".")[0] in PACKAGES or name == "training.plots":
            monkeypatch.delitem(sys.modules, name)
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.usefixtures("_base_install")
def test_examples_are_shown_in_a_base_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "-n", "1"]) == 0
    assert "user:" in capsys.readouterr().out


@pytest.mark.usefixtures("_base_install")
def test_plain_rows_are_read_in_a_base_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    tool = {"name": "ping", "description": "Ping.", "parameters": {"type": "object", "properties": {}}}
    messages = [{"role": "user", "content": "ping it"}, {"role": "assistant", "content": "No."}]
    row = {"messages": messages, "tools": [{"type": "function", "function": tool}]}
    rows.write_text(json.dumps(row) + "\n")
    assert main(["data", "show", "--source", str(rows), "--format", "openai", "-n", "1"]) == 0
    assert "ping it" in capsys.readouterr().out


@pytest.mark.usefixtures("_base_install")
@pytest.mark.parametrize(
    ("command", "package"),
    [
        pytest.param(("data", "show", "--source", "{}/rows.jsonl.zst"), "zstandard", id="packed-rows"),
        pytest.param(("data", "show", "--pool", "{}/pool.jsonl.zst"), "zstandard", id="packed-pool"),
        pytest.param(("backbone", *SMALL_RUN), "matplotlib", id="backbone"),
        pytest.param(("evaluate", "--limit", "1", "--output", "{}/out"), "matplotlib", id="evaluate"),
        pytest.param(("report", "{}"), "matplotlib", id="report"),
        pytest.param(("embedded", "--output", "{}/out"), "matplotlib", id="embedded"),
    ],
)
def test_missing_package_is_one_line_that_names_the_extra(
    command: tuple[str, ...], package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rows", "pool"):
        (tmp_path / f"{name}.jsonl.zst").touch()

    code = main([word.format(tmp_path) for word in command])

    said = capsys.readouterr().err
    assert code == 2
    assert f"needs {package}: pip install 'smolcall[train]'" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["none.jsonl", "none.jsonl.zst"])
def test_missing_pool_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "--pool", str(tmp_path / name), "-n", "1"]) == 2
    assert f"no data file at {tmp_path / name}" in capsys.readouterr().err


def test_damaged_packed_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zstandard")
    (tmp_path / "rows.jsonl.zst").write_bytes(b"this is not packed at all")

    assert main(["data", "show", "--source", str(tmp_path / "rows.jsonl.zst"), "-n", "1"]) == 2
    assert f"{tmp_path / 'rows.jsonl.zst'} cannot be unpacked" in capsys.readouterr().err


def test_missing_model_is_no_wrong_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", str(tmp_path / "none"), "--limit", "1"]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_missing_tokenizer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    folders = [f"tokenizer={tmp_path / 'none'}", f"output={tmp_path}"]

    assert main(["backbone", *SMALL_RUN, *(part for folder in folders for part in ("--set", folder))]) == 2
    assert f"no tokenizer in {tmp_path / 'none'}" in capsys.readouterr().err


@pytest.mark.slow
def test_missing_rows_found_by_the_data_process_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    tokenizer = f"tokenizer={ROOT / 'agent_runtime/embedded/model'}"
    rows = [f"data.public={tmp_path / 'none'}", "data.public_share=1", "data.sibling_share=0"]
    changes = [tokenizer, f"output={tmp_path}", *rows]

    assert main(["backbone", *SMALL_RUN, *(part for change in changes for part in ("--set", change))]) == 2
    assert f"error: no *.jsonl.zst files of public rows in {tmp_path / 'none'}" in capsys.readouterr().err


def test_change_that_is_no_yaml_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbone", "--set", 'trackers=["tensorboard]']) == 2
    assert "is no YAML value" in capsys.readouterr().err


def test_recipe_of_the_embedded_model_can_be_read() -> None:
    made = read_recipe(backbone_preset("cpu"), file=ROOT / "training/recipes/embedded.yaml")

    assert (ROOT / made.tokenizer / "tokenizer.json").is_file()


def test_report_shows_pointers_where_attention_was_told(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / RECIPE_FILE).write_text(backbone_preset("smoke").model_dump_json())
    line = {"loss": 1.0, "accuracy": 0.5, "tokens_per_second": 1.0, "seconds": 1.0}
    steps = [{**line, "step": n, "num_real_tokens": n, "pointer_loss": n - 1} for n in (1, 2)]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(step) + "\n" for step in steps))

    assert main(["report", str(tmp_path)]) == 0

    text = (tmp_path / "report.md").read_text()
    assert "last loss of a pointer | 1.0000" in text
    shown = re.findall(r"\]\((\w+\.png)\)", text)
    assert shown == ["loss.png", "pointers.png", "speed.png"]
    assert all((tmp_path / name).is_file() for name in shown)


def test_folder_without_a_run_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")

    assert main(["report", str(tmp_path)]) == 2
    assert "give the folder of a training run" in capsys.readouterr().err
