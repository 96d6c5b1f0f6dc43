"""Training: the fast forward is SmolLM3's, runs resume exactly, and steps survive a lack of memory."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.errors import ConfigError
from tests.unit.sequence_sources import VOCABULARY, broken, sequences
from training.batches import BatchStream, DataState, LabelledSequence, batches
from training.checkpoint import find_checkpoint, load_checkpoint
from training.forward import LossSums, TrainingForward
from training.optimizer import rate_share
from training.recipe import (
    METRICS_FILE,
    ArchitectureRecipe,
    BackboneRecipe,
    BatchRecipe,
    DataRecipe,
    ScheduleRecipe,
    read_recipe,
)
from training.recipes.backbone import begin_with
from training.trainer import Trainer, new_model

SMALL = ArchitectureRecipe(hidden_size=16, num_layers=4, num_heads=2, num_kv_heads=1, intermediate_size=32)
BATCHES = BatchRecipe(tokens=96, lengths=(8, 12, 16, 24))


def recipe(folder: Path, **changes: Any) -> BackboneRecipe:
    values: dict[str, Any] = {
        "name": "run",
        "output": str(folder),
        "architecture": SMALL,
        "batch": BATCHES,
        "schedule": ScheduleRecipe(total_steps=12, warmup_steps=2),
        "dtype": "float32",
        "validate_every": 6,
        "validation_batches": 1,
    }
    return BackboneRecipe(**{**values, **changes})


def small_model() -> Any:
    return new_model(SMALL, vocab_size=VOCABULARY, bos_id=0, eos_id=1, pad_id=2, seed=0)


def train(made: BackboneRecipe, watcher: Any = None) -> dict[str, torch.Tensor]:
    watchers = (watcher,) if watcher else ()
    trainer = Trainer(
        small_model(), made, source=sequences, validation=sequences, pad_id=2, watchers=watchers
    )
    return dict(load_checkpoint(trainer.run()).weights)


def is_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_forward_and_gradient_are_those_of_transformers() -> None:
    model = small_model()
    tokens = torch.randint(3, VOCABULARY, (3, 11))  # transformers keeps padding's embedding as it is
    weights = (torch.rand(3, 11) < 0.5).float()
    sums = TrainingForward(model, dtype=torch.float32, is_compiled=False).loss(tokens, weights)
    sums.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    logits = model(tokens).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    expected = (losses * weights[:, 1:].flatten()).sum()
    expected.backward()
    torch.testing.assert_close(sums.loss, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_padding_behind_a_sequence_changes_nothing() -> None:
    forward = TrainingForward(small_model(), dtype=torch.float32, is_compiled=False)
    tokens = torch.randint(0, VOCABULARY, (1, 9))
    weights = torch.ones(1, 9)
    padded = forward.loss(
        torch.nn.functional.pad(tokens, (0, 7), value=2), torch.nn.functional.pad(weights, (0, 7))
    )
    torch.testing.assert_close(forward.loss(tokens, weights).loss, padded.loss)


def test_run_learns_and_leaves_its_recipe_metrics_and_checkpoint(tmp_path: Path) -> None:
    made = recipe(tmp_path, schedule=ScheduleRecipe(total_steps=60, warmup_steps=5), validate_every=30)
    train(made)
    lines = [json.loads(line) for line in (made.folder / METRICS_FILE).read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] * 0.5
    assert {"validation_loss", "tokens_per_second", "gradient_norm", "learning_rate_share"} <= set().union(
        *lines
    )
    assert BackboneRecipe.model_validate_json((made.folder / "run_config.json").read_text()) == made
    assert find_checkpoint(made.folder) == made.folder / "checkpoint-60"
    assert find_checkpoint(made.folder, "best") is not None


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.test_trainer import recipe, train
from training.recipe import ScheduleRecipe
if __name__ == "__main__":
    train(recipe(Path({folder!r}), schedule=ScheduleRecipe(total_steps=100000, warmup_steps=2, decay_share=0),
                 checkpoint_every=4, keep_checkpoints=1000, validate_every=50000))
"""


def start_child(folder: Path) -> subprocess.Popen[bytes]:
    script = folder / "child.py"
    script.write_text(_CHILD.format(root=str(Path(__file__).resolve().parents[2]), folder=str(folder)))
    return subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )


def wait_for_step(folder: Path, child: subprocess.Popen[bytes], step: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and child.poll() is None:
        target = find_checkpoint(folder / "run")
        if target is not None and int(target.name.split("-")[1]) >= step:
            return
        time.sleep(0.05)  # waits for another process, which nothing here can wake
    pytest.fail(f"the child reached no step {step}; exit {child.poll()}")


@pytest.mark.slow
def test_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    child = start_child(tmp_path / "killed" if (tmp_path / "killed").mkdir() is None else tmp_path)
    try:
        wait_for_step(tmp_path / "killed", child, 8)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    at = find_checkpoint(tmp_path / "killed" / "run")
    assert at is not None
    total = int(at.name.split("-")[1]) + 6
    schedule = ScheduleRecipe(total_steps=total, warmup_steps=2, decay_share=0)
    resumed = train(recipe(tmp_path / "killed", schedule=schedule))
    straight = train(recipe(tmp_path / "straight", schedule=schedule))
    assert is_same(resumed, straight)


def test_several_data_processes_share_the_data_and_resume_too(tmp_path: Path) -> None:
    data = DataRecipe(processes=2)
    first = ScheduleRecipe(total_steps=5, warmup_steps=2, decay_share=0)
    whole = ScheduleRecipe(total_steps=9, warmup_steps=2, decay_share=0)
    train(recipe(tmp_path / "twice", data=data, schedule=first))
    resumed = train(recipe(tmp_path / "twice", data=data, schedule=whole))
    assert is_same(resumed, train(recipe(tmp_path / "once", data=data, schedule=whole)))
    with pytest.raises(ConfigError, match="data.processes=2"):
        train(recipe(tmp_path / "once", schedule=whole))


@pytest.mark.slow
def test_stopped_run_saves_the_step_it_was_at(tmp_path: Path) -> None:
    child = start_child(tmp_path)
    try:
        wait_for_step(tmp_path, child, 4)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) == 0
    finally:
        child.kill()
    last = find_checkpoint(tmp_path / "run")
    assert last is not None
    saved = load_checkpoint(last).counters
    assert saved["step"] == int(last.name.split("-")[1])
    # Padding included, every step reads one batch; a checkpoint between two log lines counts them all.
    assert saved["num_padded_tokens"] == saved["step"] * BATCHES.tokens


class Notes:
    """Remembers what a run said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        """Numbers are not of interest."""

    def on_message(self, text: str) -> None:
        self.messages.append(text)


def test_out_of_memory_goes_on_with_fewer_tokens_and_the_same_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(recipe(tmp_path / "enough"))
    real = TrainingForward.loss

    def scarce(self: TrainingForward, tokens: torch.Tensor, *others: torch.Tensor) -> LossSums:
        if torch.is_grad_enabled() and tokens.numel() > 60:
            raise torch.OutOfMemoryError("no memory")
        return real(self, tokens, *others)

    monkeypatch.setattr(TrainingForward, "loss", scarce)
    notes = Notes()
    found = train(recipe(tmp_path / "scarce"), notes)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-2, atol=1e-3)
    assert any("out of memory" in message for message in notes.messages)


def test_out_of_memory_with_a_single_row_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: TrainingForward, *read: torch.Tensor) -> LossSums:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(TrainingForward, "loss", never)
    with pytest.raises(torch.OutOfMemoryError):
        train(recipe(tmp_path))


@given(st.integers(0, 400), st.integers(1, 12))
@settings(deadline=None)
def test_batches_go_on_where_any_of_them_ended(start: int, cut: int) -> None:
    def first(state: DataState, count: int) -> list[Any]:
        stream = batches(sequences, BATCHES, pad_id=2, state=state)
        return [batch for batch, _ in zip(stream, range(count), strict=False)]

    whole = first(DataState(num_taken=start), cut + 3)
    rest = first(DataState.from_json(json.loads(json.dumps(whole[cut - 1].state)), LabelledSequence), 3)
    for one, other in zip(whole[cut:], rest, strict=True):
        assert (one.tokens == other.tokens).all()
        assert (one.weights == other.weights).all()


def test_batches_have_one_token_count_and_leave_out_what_is_too_long() -> None:
    stream = batches(sequences, BATCHES, pad_id=2, state=DataState())
    made = [batch for batch, _ in zip(stream, range(30), strict=False)]
    assert {batch.tokens.size for batch in made} == {BATCHES.tokens}
    assert made[-1].state["num_too_long"] > 0


def test_error_of_the_data_process_reaches_the_run() -> None:
    with BatchStream(broken, BATCHES, pad_id=2, states=[DataState(num_taken=3).as_json()]) as stream:
        with pytest.raises(RuntimeError, match="no row 3"):
            next(stream)


@given(st.integers(1, 500), st.integers(0, 50), st.floats(0, 1))
def test_rate_rises_stays_and_falls_within_bounds(total: int, warmup: int, decay: float) -> None:
    schedule = ScheduleRecipe(total_steps=total, warmup_steps=warmup, decay_share=decay)
    rates = [rate_share(step, schedule) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    num_decay = int(total * decay)
    after_warmup = rates[warmup : total - num_decay]
    assert all(rate == 1 for rate in after_warmup)
    assert (
        rates[total - num_decay :] == sorted(rates[total - num_decay :], reverse=True)
        or warmup > total - num_decay
    )


def test_misspelt_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"schedule\.total_stepz"):
        read_recipe(BackboneRecipe(), changes=("schedule.total_stepz=3",))


def test_changes_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("seed: 5\nschedule:\n  total_steps: 7\n")
    read = read_recipe(
        BackboneRecipe(), file=file, changes=("schedule.total_steps=9", "data.public_share=0.5")
    )
    assert (read.seed, read.schedule.total_steps, read.data.public_share) == (5, 9, 0.5)


def test_lengths_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="100"):
        read_recipe(BackboneRecipe(), changes=("batch.lengths=[64, 100]",))


def test_a_run_can_begin_with_the_weights_of_a_model_folder(tmp_path: Path) -> None:
    given = new_model(SMALL, vocab_size=VOCABULARY, bos_id=0, eos_id=1, pad_id=2, seed=5)
    given.save_pretrained(tmp_path / "given")
    model = small_model()

    begin_with(model, tmp_path / "given")

    assert is_same(dict(model.named_parameters()), dict(given.named_parameters()))


def test_weights_of_another_size_are_refused_by_name(tmp_path: Path) -> None:
    wider = SMALL.model_copy(update={"intermediate_size": 64})
    new_model(wider, vocab_size=VOCABULARY, bos_id=0, eos_id=1, pad_id=2, seed=5).save_pretrained(
        tmp_path / "wide"
    )

    with pytest.raises(ConfigError, match="mlp.gate_proj.weight .* shape"):
        begin_with(small_model(), tmp_path / "wide")

    with pytest.raises(ConfigError, match="no model folder"):
        begin_with(small_model(), tmp_path / "nothing")
