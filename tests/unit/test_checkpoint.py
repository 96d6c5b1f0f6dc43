"""Checkpoints are whole or absent, hold everything, and old ones go."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agent_runtime.errors import ConfigError
from training.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        weights={"w": torch.full((2, 2), float(step))},
        optimizer={
            "adamw": {
                "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}},
                "groups": [{"lr": 0.1}],
            }
        },
        data={"num_taken": step * 7, "waiting": {"64": [[[1, 2], [0.0, 1.0]]]}},
        counters={"step": step, "best_loss": float("inf")},
        random_state=torch.get_rng_state(),
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = checkpoint(5)
    loaded = load_checkpoint(save_checkpoint(tmp_path, saved, keep=2))
    assert loaded.step == 5
    assert torch.equal(loaded.weights["w"], saved.weights["w"])
    assert loaded.optimizer["adamw"]["groups"] == [{"lr": 0.1}]
    assert torch.equal(loaded.optimizer["adamw"]["state"][0]["exp_avg"], torch.ones(2))
    assert loaded.data == saved.data
    assert loaded.counters == saved.counters
    assert torch.equal(loaded.random_state, saved.random_state)


def test_latest_and_best_name_checkpoints_and_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, checkpoint(step), keep=1, is_best=step == 2)
    assert find_checkpoint(tmp_path, "latest") == tmp_path / "checkpoint-4"
    assert find_checkpoint(tmp_path, "best") == tmp_path / "checkpoint-2"
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]


def test_checkpoint_that_was_not_finished_is_never_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=2)

    def interrupt(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, checkpoint(2), keep=2)
    monkeypatch.undo()
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
    assert save_checkpoint(tmp_path, checkpoint(2), keep=2).name == "checkpoint-2"


def test_no_checkpoint_before_the_first(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None


def test_damaged_checkpoint_is_told_with_what_to_do(tmp_path: Path) -> None:
    target = save_checkpoint(tmp_path, checkpoint(1), keep=1)
    (target / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="remove it to go on"):
        load_checkpoint(target)
