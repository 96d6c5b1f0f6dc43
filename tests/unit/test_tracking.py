"""Metrics reach the trackers a recipe names; names that cannot be used are refused before training."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runtime.errors import ConfigError
from tests.unit.sequence_sources import sequences
from tests.unit.test_trainer import is_same, recipe, small_model, train
from training.checkpoint import load_checkpoint
from training.tracking import tracker
from training.trainer import Trainer

pytest.importorskip("accelerate", reason="trackers are accelerate's")


def test_tensorboard_gets_every_metric_and_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = recipe(tmp_path / "tracked", trackers=("tensorboard",))
    with tracker(made) as watchers:
        trainer = Trainer(
            small_model(), made, source=sequences, validation=sequences, pad_id=2, watchers=watchers
        )
        tracked = dict(load_checkpoint(trainer.run()).weights)

    events = EventAccumulator(str(made.folder))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 12]
    assert [event.step for event in events.Scalars("validation_loss")] == [6, 12]
    assert is_same(tracked, train(recipe(tmp_path / "alone")))
    (settings,) = made.folder.glob("*/hparams.yml")
    assert "batch.tokens: 96" in settings.read_text()


def test_recipe_without_trackers_has_no_watcher(tmp_path: Path) -> None:
    with tracker(recipe(tmp_path)) as watchers:
        assert watchers == ()


def test_unknown_tracker_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none called tensorbord; known are .*tensorboard"):
        with tracker(recipe(tmp_path, trackers=("tensorbord",))):
            pass


def test_tracker_that_is_not_installed_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])

    with pytest.raises(ConfigError, match=r"not installed: wandb, trackio \(pip install wandb trackio, "):
        with tracker(recipe(tmp_path, trackers=("wandb", "trackio"))):
            pass
