from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from agent_runtime.config import Capabilities, DeploymentConfig
from agent_runtime.doctor import Finding, examine
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("doctor") / "model")


def findings(model: Path, deployment: DeploymentConfig | None = None, **options: Any) -> list[Finding]:
    return list(
        examine(
            model, deployment=deployment, find_capabilities=lambda: Capabilities(num_threads=2), **options
        )
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
    assert "does not exist" in texts(findings(folder, heads="bundle"), "problem")


def test_missing_folder_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert "does not exist" in texts(findings(tmp_path / "none"), "problem")


def test_model_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))

    assert "its architecture is llama" in texts(findings(tmp_path), "problem")


def test_damaged_weights_are_a_problem(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"nonsense")

    assert "weights cannot be used" in texts(findings(folder), "problem")


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"
)  # between peft and transformers
def test_adapter_is_looked_at_and_put_on_the_model(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = peft.LoraConfig(r=3, target_modules=["q_proj"], task_type="CAUSAL_LM")
    peft.get_peft_model(model, config).save_pretrained(tmp_path)

    found = findings(folder, adapter=tmp_path)

    assert {finding.kind for finding in found} == {"ok"}
    assert f"{tmp_path}: LORA of rank 3" in texts(found, "ok")
    assert "weights and adapter read" in texts(found, "ok")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({}, "no readable adapter_config.json", id="empty"),
        pytest.param({"adapter_config.json": "[]"}, "no readable adapter_config.json", id="no-object"),
        pytest.param({"adapter_config.json": "{"}, "no readable adapter_config.json", id="no-json"),
    ],
)
def test_folder_that_is_no_adapter_is_a_problem(
    folder: Path, tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    found = findings(folder, adapter=tmp_path)

    assert reason in texts(found, "problem")
    assert "one token takes" not in texts(found, "ok")


def test_missing_adapter_is_a_problem(folder: Path, tmp_path: Path) -> None:
    assert "adapter folder" in texts(findings(folder, adapter=tmp_path / "none"), "problem")


def test_revision_is_looked_for_in_the_cache_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(model: str, *, revision: str | None, **_: object) -> str:
        asked.append((model, revision))
        return "/none"

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    list(examine("someone/some-model", revision="v2", find_capabilities=Capabilities))

    assert asked == [("someone/some-model", "v2")]


def test_machine_is_asked_when_nobody_says_what_it_can_do(folder: Path) -> None:
    assert "devices: cpu" in texts(list(examine(folder, load=False)), "ok")
