"""Processes that train together: the steps of one process with all their rows, one voice, exact resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from agent_runtime.errors import ConfigError
from tests.tiny_model import make_tiny_model
from tests.unit.sequence_sources import full_sequences, sequences
from tests.unit.test_trainer import BATCHES, is_same, recipe, small_model
from training.__main__ import main
from training.batches import BatchStream, DataState, batches
from training.checkpoint import find_checkpoint, load_checkpoint
from training.heads.recipe import HeadsRecipe
from training.ranks import ALONE, Ranks, joined_ranks
from training.recipe import METRICS_FILE, BackboneRecipe, BatchRecipe, ScheduleRecipe
from training.recipes.heads import train_heads
from training.run import Watcher
from training.trainer import Trainer

pytest.importorskip("accelerate", reason="processes are joined through accelerate")

HALF, WHOLE = BatchRecipe(tokens=96, lengths=(16,)), BatchRecipe(tokens=192, lengths=(16,))
STEPS = ScheduleRecipe(total_steps=6, warmup_steps=2, decay_share=0)

_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
if __name__ == "__main__":  # the data processes read this file too
    from tests.unit.test_training_processes import train_together
    train_together(Path({folder!r}), Path({model!r}))
"""


class Notes:
    """Remembers what a run said."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        self.told.append(f"step {metrics['step']}")

    def on_message(self, text: str) -> None:
        self.told.append(text)


def train(made: BackboneRecipe, ranks: Ranks = ALONE, watcher: Watcher | None = None) -> None:
    Trainer(
        small_model(),
        made,
        source=full_sequences,
        validation=full_sequences,
        pad_id=2,
        watchers=(watcher,) if watcher else (),
        ranks=ranks,
    ).run()


def weights(run: Path) -> dict[str, torch.Tensor]:
    target = find_checkpoint(run)
    assert target is not None
    return dict(load_checkpoint(target).weights)


@contextmanager
def first_gradients() -> Iterator[list[torch.Tensor]]:
    """What the optimizers see in the first step, clipped."""
    seen: dict[int, torch.Tensor] = {}

    def see(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in seen and parameter.grad is not None:
                    seen[id(parameter)] = parameter.grad.clone()

    found: list[torch.Tensor] = []
    hook = register_optimizer_step_pre_hook(see)
    try:
        yield found
    finally:
        hook.remove()
        found += seen.values()


@contextmanager
def stopped_in_step(number: int) -> Iterator[None]:
    """Send this process SIGTERM in the middle of its `number`th step."""
    stepped: list[int] = []

    def stop(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if isinstance(optimizer, torch.optim.AdamW):
            stepped.append(1)
            if len(stepped) == number:
                signal.raise_signal(signal.SIGTERM)

    hook = register_optimizer_step_pre_hook(stop)
    try:
        yield
    finally:
        hook.remove()


def heads_arguments(folder: Path, model: Path) -> list[str]:
    changes = (
        f"output={folder}",
        "schedule.total_steps=2",
        "validate_every=2",
        "data.sibling_tokens=768",
        "batch.tokens=768",
        "batch.lengths=[384,768]",
    )
    options = [part for change in changes for part in ("--set", change)]
    return ["heads", "--preset", "smoke", "--model", str(model), *options]


def train_together(folder: Path, model: Path) -> None:
    """What each of the two processes does: runs of backbones, one of which is stopped, and one of heads."""
    with joined_ranks("cpu") as ranks:
        notes = Notes()
        with first_gradients() as gradients:
            train(recipe(folder / "straight", batch=HALF, schedule=STEPS), ranks, notes)
        with stopped_in_step(3 if ranks.number == 1 else -1):
            train(recipe(folder / "stopped", batch=HALF, schedule=STEPS), ranks)
        if ranks.is_first:
            target = find_checkpoint(folder / "stopped" / "run")
            (folder / "stopped_at").write_text(str(target and target.name))
        ranks.wait()
        train(recipe(folder / "stopped", batch=HALF, schedule=STEPS), ranks)
        torch.save(gradients, folder / f"gradients-{ranks.number}.pt")
        (folder / f"told-{ranks.number}.json").write_text(json.dumps(notes.told))
        assert main(heads_arguments(folder, model)) == 0  # which leaves the other process, so it comes last


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The launched processes have one each, and sums depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("backbone") / "model", hidden=32, vocab=600, spread=0.3)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """The folder in which two processes have trained; their output is in `output.txt`."""
    folder = tmp_path_factory.mktemp("together")
    root = str(Path(__file__).resolve().parents[2])
    script = folder / "child.py"
    script.write_text(_SCRIPT.format(root=root, folder=str(folder), model=str(model)))
    with (folder / "output.txt").open("w") as output:
        launcher = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc_per_node=2",
                str(script),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = launcher.wait()
        finally:
            launcher.terminate()  # it ends its processes; killed, it would leave them behind
            launcher.wait()
    assert code == 0, (folder / "output.txt").read_text()
    return folder


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_twice_the_rows(together: Path, tmp_path: Path) -> None:
    with first_gradients() as expected:
        train(recipe(tmp_path / "whole", batch=WHOLE, schedule=STEPS))
    alone = weights(tmp_path / "whole" / "run")

    for number in range(2):
        found = torch.load(together / f"gradients-{number}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    for name, weight in weights(together / "straight" / "run").items():
        torch.testing.assert_close(weight, alone[name], rtol=1e-2, atol=1e-3)


def test_accumulated_batches_give_the_gradients_of_one_large_batch(tmp_path: Path) -> None:
    one_step = STEPS.model_copy(update={"total_steps": 1})
    with first_gradients() as large:
        train(recipe(tmp_path / "large", batch=WHOLE, schedule=one_step))
    twice = HALF.model_copy(update={"accumulate": 2})
    with first_gradients() as accumulated:
        train(recipe(tmp_path / "accumulated", batch=twice, schedule=one_step))

    torch.testing.assert_close(accumulated, large, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_the_first_process_alone_tells_and_counts_for_all(together: Path) -> None:
    told = [json.loads((together / f"told-{number}.json").read_text()) for number in range(2)]
    run = together / "straight" / "run"
    lines = [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]

    assert told[0] == ["step 6", "step 6", f"saved {run / 'checkpoint-6'}"]
    assert told[1] == []
    assert [line["step"] for line in lines if "loss" in line] == [6]
    last = find_checkpoint(run)
    assert last is not None
    assert load_checkpoint(last).counters["num_padded_tokens"] == 6 * 2 * HALF.tokens


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_they_go_on_to_the_same_weights(together: Path) -> None:
    assert (together / "stopped_at").read_text() == "checkpoint-3"
    assert is_same(weights(together / "stopped" / "run"), weights(together / "straight" / "run"))


@pytest.mark.slow
def test_another_number_of_processes_is_refused(together: Path) -> None:
    with pytest.raises(ConfigError, match=r"trained on 2 device\(s\), .*: start it with --num_processes 2"):
        train(recipe(together / "straight", batch=HALF, schedule=STEPS))


@pytest.mark.slow
def test_heads_of_two_processes_are_those_of_one_that_reads_two_batches_a_step(
    together: Path, model: Path, tmp_path: Path
) -> None:
    run = together / "heads-smoke"
    made = HeadsRecipe.model_validate_json((run / "run_config.json").read_text())
    made = made.model_copy(
        update={
            "output": str(tmp_path),
            "batch": made.batch.model_copy(update={"accumulate": 2}),
            "data": made.data.model_copy(update={"processes": 2}),
        }
    )
    expected = weights(train_heads(made))

    for name, weight in weights(run).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-5)
    assert (run / "bundle" / "config.json").is_file()
    assert (together / "output.txt").read_text().count("bundle saved") == 1


def test_streams_of_two_devices_hold_in_turn_what_one_stream_holds() -> None:
    start = [DataState[Any]().as_json() for _ in range(2)]
    shards = [
        batches(sequences, BATCHES, pad_id=2, state=DataState(), shard=n, num_shards=4) for n in range(4)
    ]
    with (
        BatchStream(sequences, BATCHES, pad_id=2, states=start, rank=0, num_ranks=2) as first,
        BatchStream(sequences, BATCHES, pad_id=2, states=start, rank=1, num_ranks=2) as second,
    ):
        read = [batch for both in islice(zip(first, second, strict=False), 4) for batch in both]

    for number, batch in enumerate(read):
        assert (batch.tokens == next(shards[number % 4]).tokens).all()


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with pytest.raises(ConfigError, match=r"torch finds 2 GPUs, .*: start at most 2 processes"):
        with joined_ranks("cuda"):
            pass


def test_quantised_backbone_without_cuda_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["heads", "--model", str(model), "--set", "quantization=4bit"]) == 2
    assert "quantization='4bit' needs a CUDA device, and this runs on 'cpu'" in capsys.readouterr().err
