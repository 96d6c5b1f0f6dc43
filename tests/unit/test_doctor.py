from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_runtime.config import Capabilities, DeploymentConfig
from agent_runtime.doctor import Finding, examine
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("doctor") / "model")


def findings(model: Path, deployment: DeploymentConfig | None = None, **options: object) -> list[Finding]:
    return list(
        examine(
            model, deployment=deployment, find_capabilities=lambda: Capabilities(num_threads=2), **options
        )  # type: ignore[arg-type]  # passed through
    )


def texts(found: list[Finding], kind: str) -> str:
    return "\n".join(finding.text for finding in found if finding.kind == kind)


def test_good_model_on_a_plain_machine_is_well(folder: Path) -> None:
    found = findings(folder)

    assert {finding.kind for finding in found} == {"ok"}
    assert "cpu with 2 threads" in texts(found, "ok")
    assert "runs on cpu in float32" in texts(found, "ok")
    assert "4 layers of 64" in texts(found, "ok")
    assert "one token takes" in texts(found, "ok")


def test_weights_are_left_alone_on_request(folder: Path) -> None:
    assert "one token takes" not in texts(findings(folder, load=False), "ok")


def test_what_the_machine_cannot_do_is_off_with_its_reason(folder: Path) -> None:
    found = findings(folder, DeploymentConfig(quantization="4bit", dtype="float16", max_seq_len=100_000))

    off = texts(found, "off")
    assert "quantization='4bit' is off: it needs CUDA" in off
    assert "dtype='float16' is off" in off
    assert "made for 4096 positions" in off
    assert texts(found, "problem") == ""


def test_device_that_is_not_there_is_a_problem(folder: Path) -> None:
    assert "'cuda' is not there" in texts(findings(folder, DeploymentConfig(device="cuda")), "problem")


def test_fill_without_heads_is_a_problem(folder: Path) -> None:
    assert "contradicts heads=None" in texts(findings(folder, DeploymentConfig(fill="diffusion")), "problem")
    assert "no heads to load" in texts(findings(folder, heads="bundle"), "problem")


def test_missing_folder_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert "does not exist" in texts(findings(tmp_path / "none"), "problem")


def test_model_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))

    assert "its architecture is llama" in texts(findings(tmp_path), "problem")


def test_damaged_weights_are_a_problem(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"nonsense")

    assert "weights cannot be used" in texts(findings(folder), "problem")


def test_machine_is_asked_when_nobody_says_what_it_can_do(folder: Path) -> None:
    assert "devices: cpu" in texts(list(examine(folder, load=False)), "ok")
