"""Runs of heads: they learn, leave a bundle that can be deployed, and resume to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.errors import ConfigError
from heads import BundleMismatch, HeadBundle
from tests.tiny_model import make_tiny_model
from tests.unit.head_batches import tiny_backbone
from training.__main__ import main
from training.checkpoint import find_checkpoint, load_checkpoint
from training.heads.recipe import HeadsRecipe
from training.recipe import METRICS_FILE, BatchRecipe, ScheduleRecipe, read_recipe
from training.recipes.heads import heads_preset, train_heads


def recipe(folder: Path, model: Path, **changes: Any) -> HeadsRecipe:
    made = heads_preset("smoke").model_copy(
        update={
            "name": "run",
            "output": str(folder),
            "model": str(model),
            "batch": BatchRecipe(tokens=768, lengths=(384, 768)),
            "schedule": ScheduleRecipe(total_steps=6, warmup_steps=1, decay_share=0),
            "validate_every": 6,
            **changes,
        }
    )
    return made.model_copy(update={"data": made.data.model_copy(update={"sibling_tokens": 768})})


def weights(run: Path) -> dict[str, torch.Tensor]:
    target = find_checkpoint(run)
    assert target is not None
    return dict(load_checkpoint(target).weights)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("heads") / "model", hidden=32, vocab=600, spread=0.3)


def test_run_leaves_metrics_a_checkpoint_and_a_bundle_for_its_backbone_alone(
    tmp_path: Path, model: Path
) -> None:
    made = recipe(tmp_path, model, fill_calls=2)
    run = train_heads(made)
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]
    named = set().union(*lines)
    assert {"loss", "token_loss", "span_loss", "presence_loss", "length_loss", "gradient_norm"} <= named
    assert {
        "fill_exact",
        "slot_exact",
        "token_accuracy",
        "span_top1",
        "span_top3",
        "length_coverage",
    } <= named
    assert HeadsRecipe.model_validate_json((run / "run_config.json").read_text()) == made
    bundle = HeadBundle.from_pretrained(run / "bundle")
    assert bundle.config.taps[-1] == 4
    with pytest.raises(BundleMismatch):
        HeadBundle.from_pretrained(run / "bundle", backbone=tiny_backbone().facts)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, model: Path) -> None:
    whole = ScheduleRecipe(total_steps=5, warmup_steps=1, decay_share=0)
    made = recipe(tmp_path, model, schedule=whole, checkpoint_every=2, keep_checkpoints=9)
    expected = weights(train_heads(made))
    (made.folder / "latest").write_text("checkpoint-2\n")
    resumed = weights(train_heads(made))
    assert all(torch.equal(resumed[name], weight) for name, weight in expected.items())


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.test_training_heads_run import recipe, train_heads
from training.recipe import ScheduleRecipe
if __name__ == "__main__":
    train_heads(recipe(Path({folder!r}), Path({model!r}), checkpoint_every=1, keep_checkpoints=99,
                       schedule=ScheduleRecipe(total_steps=5, warmup_steps=1, decay_share=0)))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(tmp_path: Path, model: Path) -> None:
    script = tmp_path / "child.py"
    root = str(Path(__file__).resolve().parents[2])
    script.write_text(_CHILD.format(root=root, folder=str(tmp_path / "killed"), model=str(model)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while find_checkpoint(tmp_path / "killed" / "run") is None:
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.05)  # waits for another process, which nothing here can wake
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    schedule = ScheduleRecipe(total_steps=5, warmup_steps=1, decay_share=0)
    changes: dict[str, Any] = {"schedule": schedule, "checkpoint_every": 1, "keep_checkpoints": 99}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the child's
    try:
        resumed = weights(train_heads(recipe(tmp_path / "killed", model, **changes)))
        straight = weights(train_heads(recipe(tmp_path / "straight", model, **changes)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(resumed[name], weight) for name, weight in straight.items())


@pytest.mark.slow
def test_smoke_preset_leaves_a_report_and_a_bundle_of_the_embedded_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["heads", "--preset", "smoke", "--set", f"output={tmp_path}"]) == 0
    run = tmp_path / "heads-smoke"
    assert "values right, drafted in one step" in (run / "report.md").read_text()
    assert (run / "heads.png").stat().st_size > 5000
    assert (run / "bundle" / "config.json").is_file()
    assert main(["report", str(run)]) == 0
    assert main(["export", str(run), str(tmp_path / "exported"), "--checkpoint", "latest"]) == 0
    assert HeadBundle.from_pretrained(tmp_path / "exported").config.confidence is None
    assert "report saved" in capsys.readouterr().out


def test_a_tokenizer_without_reserved_tokens_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.heads.backbone.MASK_TOKEN", "<|nothing|>")
    with pytest.raises(ConfigError, match=r"<\|nothing\|>"):
        tiny_backbone().head_config(HeadsRecipe())


def test_misspelt_keys_are_named() -> None:
    with pytest.raises(ConfigError, match=r"noise\.blank_shar"):
        read_recipe(HeadsRecipe(), changes=("noise.blank_shar=0.5",))
