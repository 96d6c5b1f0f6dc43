from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.batching import BatchRule
from agent_runtime.engine.job import Job
from agent_runtime.engine.program import Forward, Program
from agent_runtime.engine.scheduler import Scheduler, SchedulerLimits, run_alone
from agent_runtime.errors import ClosedError, ConfigError, DeadlineError, OverloadedError, PromptTooLongError
from tests.forward_programs import greedy, wander
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone.load(folder, max_seq_len=1024)


class HandClock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A scheduler, and what became of the programs handed in."""

    def __init__(self, backbone: Backbone, **limits: int) -> None:
        self.clock = HandClock()
        self.scheduler = Scheduler(lambda: backbone, SchedulerLimits(**limits), clock=self.clock)
        self.outcomes: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}

    def submit(self, name: str, program: Program[Any], *, deadline_s: float | None = None) -> Job:
        def note(outcome: Any, error: BaseException | None) -> None:
            assert name not in self.outcomes and name not in self.errors
            if error is None:
                self.outcomes[name] = outcome
            else:
                self.errors[name] = error

        deadline_at = None if deadline_s is None else self.clock.now + deadline_s
        job = Job(lambda _: program, note, deadline_at=deadline_at, deadline_s=deadline_s)
        self.scheduler.submit(job)
        return job

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        while not until() and self.scheduler.step():
            pass


def watched(seen: list[int], num_tokens: int) -> Program[str]:
    """Notes every token it decodes."""
    yield Forward([1, 2, 3], at=0)
    for number in range(num_tokens):
        yield Forward([4], at=3 + number)
        seen.append(number)
    return "done"


def failing(after: int) -> Program[None]:
    for number in range(after):
        yield Forward([1], at=number)
    raise KeyError("a fault of its own")


def test_program_gets_the_logits_it_asks_for(backbone: Backbone) -> None:
    def ask() -> Program[list[tuple[int, ...]]]:
        shapes = []
        for at, count, num_logits in [(0, 200, 1), (200, 3, 3), (203, 1, 0), (100, 90, 70), (190, 1, 1)]:
            reading = yield Forward(range(1, count + 1), at=at, num_logits=num_logits)
            assert reading.logits.dtype == torch.float32
            shapes.append(tuple(reading.logits.shape))
        return shapes

    assert run_alone(backbone, ask()) == [(1, 512), (3, 512), (0, 512), (70, 512), (1, 512)]


def test_program_may_change_the_logits_it_got(backbone: Backbone) -> None:
    def ban() -> Program[int]:
        reading = yield Forward([1, 2, 3], at=0)
        best = int(reading.logits[0].argmax())
        reading.logits[0, best] = -torch.inf
        return int(reading.logits[0].argmax()) - best

    assert run_alone(backbone, ban()) != 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cache_tokens", [0, 256, 100_000])
def test_every_answer_is_the_same_alone_and_in_a_crowd(folder: Path, dtype: str, cache_tokens: int) -> None:
    backbone = Backbone.load(folder, dtype=dtype, max_seq_len=1024)
    shared = random.Random(0).choices(range(512), k=150)

    def program(seed: int) -> Program[Any]:
        return wander(seed % 14, 512, shared_prompt=shared if seed % 3 else ())

    desk = Desk(backbone, max_batch=5, max_queue=100, prefix_cache_tokens=cache_tokens)
    for seed in range(28):  # every program twice: the second finds the first one's blocks in the cache
        desk.submit(str(seed), program(seed))
    desk.run()

    assert not desk.errors
    for seed in range(28):
        assert desk.outcomes[str(seed)] == run_alone(backbone, program(seed)), f"seed {seed}"
    statistics = desk.scheduler.statistics()
    assert (statistics.cached_tokens > 0) == (cache_tokens > 0)
    assert max(statistics.batch_sizes) > 1


@pytest.mark.parametrize("padded_rows", [0, 8])
def test_answers_stay_the_same_where_kernels_look_at_the_number_of_rows(
    folder: Path, padded_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without packed kernels, the batch rule has to make up for it."""
    monkeypatch.setattr("agent_runtime.engine.linear.can_pack", lambda _: False)
    backbone = Backbone.load(folder, max_seq_len=1024)
    backbone.batch_rule = BatchRule(block_tokens=64, max_rows=64, padded_rows=padded_rows)
    desk = Desk(backbone, max_batch=5, max_queue=100, prefix_cache_tokens=4096)

    for seed in range(16):
        desk.submit(str(seed), wander(seed % 8, 512))
    desk.run()

    for seed in range(16):
        assert desk.outcomes[str(seed)] == run_alone(backbone, wander(seed % 8, 512))


def test_decoding_turns_share_forwards(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=4)
    for number in range(4):
        desk.submit(str(number), watched([], 20))

    desk.run()

    statistics = desk.scheduler.statistics()
    assert statistics.batch_sizes[4] >= 20
    assert statistics.turns == 4
    assert statistics.decode_tokens == 80
    assert statistics.active == statistics.queue_length == statistics.active_held_tokens == 0


def test_long_prompt_does_not_starve_a_decoding_turn(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=4)
    seen: list[int] = []
    desk.submit("decode", watched(seen, 100))
    desk.run(until=lambda: len(seen) >= 2)

    desk.submit("prompt", greedy(range(1, 500), 1))
    before, num_forwards = len(seen), desk.scheduler.statistics().forwards
    desk.run(until=lambda: "prompt" in desk.outcomes)

    assert len(seen) - before >= desk.scheduler.statistics().forwards - num_forwards - 1 > 1


def test_waiting_turns_get_places_in_order(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=10)
    for name in "abc":
        desk.submit(name, watched([], 2))

    desk.run()

    assert list(desk.outcomes) == ["a", "b", "c"]


def test_full_queue_refuses_a_new_turn_and_says_when_to_retry(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=2)
    for name in "abc":
        desk.submit(name, watched([], 2))

    with pytest.raises(OverloadedError) as caught:
        desk.submit("d", watched([], 2))

    assert caught.value.queued == 2
    assert caught.value.retry_after_s > 0
    assert desk.scheduler.statistics().refused == 1
    desk.run()
    desk.submit("d", watched([], 2))
    desk.run()
    assert set(desk.outcomes) == set("abcd")


def test_retry_estimate_follows_recent_turns(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=1)
    for number in range(5):
        desk.submit(f"early {number}", watched([], 1))
        desk.run()
        desk.clock.now += 4.0
    for name in "ab":
        desk.submit(name, watched([], 1))

    with pytest.raises(OverloadedError) as caught:
        desk.submit("c", watched([], 1))

    assert caught.value.retry_after_s == pytest.approx(4.0)


def test_late_turn_ends_with_a_deadline_error_wherever_it_is(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=5)
    seen: list[int] = []
    desk.submit("active", watched(seen, 100), deadline_s=5.0)
    desk.submit("queued", watched([], 1), deadline_s=4.0)
    desk.submit("patient", watched([], 1), deadline_s=60.0)
    desk.run(until=lambda: len(seen) >= 3)

    desk.clock.now = 6.0
    desk.run()

    assert list(desk.outcomes) == ["patient"]
    assert isinstance(desk.errors["active"], DeadlineError)
    assert isinstance(desk.errors["queued"], DeadlineError)
    assert desk.errors["active"].deadline_s == 5.0
    assert len(seen) == 3
    assert desk.scheduler.statistics().expired == 2


def test_cancelled_turn_stops_before_its_next_forward_and_frees_its_memory(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=2)
    seen: list[int] = []
    job = desk.submit("gone", watched(seen, 100))
    desk.run(until=lambda: len(seen) >= 3)
    assert desk.scheduler.statistics().active_held_tokens > 0

    desk.scheduler.cancel(job)
    assert desk.scheduler.statistics().active == 0
    desk.run()

    statistics = desk.scheduler.statistics()
    assert len(seen) == 3
    assert statistics.active_held_tokens == 0
    assert statistics.cancelled == 1
    assert not desk.outcomes and not desk.errors


def test_cancelling_closes_the_program(backbone: Backbone) -> None:
    closed: list[bool] = []

    def program() -> Program[None]:
        try:
            while True:
                yield Forward([1], at=0)
        finally:
            closed.append(True)

    desk = Desk(backbone, max_batch=1)
    job = desk.submit("gone", program())
    desk.scheduler.step()

    desk.scheduler.cancel(job)
    desk.scheduler.step()

    assert closed == [True]


def test_cancelled_turn_in_the_queue_gives_its_place_back_at_once(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=1)
    desk.submit("first", watched([], 2))
    job = desk.submit("second", watched([], 2))

    desk.scheduler.cancel(job)
    desk.submit("third", watched([], 2))
    desk.run()

    assert list(desk.outcomes) == ["first", "third"]


def test_error_in_a_program_reaches_only_its_caller(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=8)
    for number in range(3):
        desk.submit(f"good {number}", watched([], 10))
        desk.submit(f"bad {number}", failing(number * 3))

    desk.run()

    assert set(desk.outcomes) == {"good 0", "good 1", "good 2"}
    assert all(isinstance(error, KeyError) for error in desk.errors.values())
    assert len(desk.errors) == 3


def test_failed_forward_ends_only_the_turn_at_fault(backbone: Backbone, folder: Path) -> None:
    class Fragile(Backbone):
        def read(self, chunks: Any) -> Any:
            if any(13 in chunk.token_ids for chunk in chunks):
                raise RuntimeError("out of memory")
            return super().read(chunks)

    desk = Desk(Fragile.load(folder), max_batch=4)
    desk.submit("unlucky", greedy([1, 13], 3))
    desk.submit("lucky", greedy([1, 2], 3))

    desk.run()

    assert desk.outcomes["lucky"] == run_alone(backbone, greedy([1, 2], 3))
    assert isinstance(desk.errors["unlucky"], RuntimeError)


@pytest.mark.parametrize(
    ("forward", "error"),
    [
        pytest.param(Forward([1] * 2000, at=0), PromptTooLongError, id="too long"),
        pytest.param(Forward([1], at=7), ValueError, id="behind a gap"),
        pytest.param(Forward([1], at=-1), ValueError, id="before the beginning"),
        pytest.param(Forward([], at=0, num_logits=0), ValueError, id="nothing to read"),
        pytest.param(Forward([1], at=0, num_logits=2), ValueError, id="more rows than tokens"),
        pytest.param(Forward([512], at=0), ValueError, id="no such token"),
        pytest.param(Forward([-1], at=0), ValueError, id="negative token"),
    ],
)
def test_impossible_forward_is_an_error_inside_the_program(
    backbone: Backbone, forward: Forward, error: type[Exception]
) -> None:
    def careful() -> Program[str]:
        try:
            yield forward
        except error:
            reading = yield Forward([1], at=0)
            return f"recovered with {len(reading.logits)} row"
        return "not refused"

    def careless() -> Program[str]:
        yield forward
        return "not refused"

    assert run_alone(backbone, careful()) == "recovered with 1 row"
    with pytest.raises(error):
        run_alone(backbone, careless())


def test_second_turn_does_not_read_the_shared_prefix_again(backbone: Backbone) -> None:
    def counted(prompt: list[int]) -> Program[int]:
        reading = yield Forward(prompt, at=0)
        return reading.cached_tokens

    prefix = random.Random(1).choices(range(512), k=200)
    desk = Desk(backbone, max_batch=1, prefix_cache_tokens=10_000)
    desk.submit("first", counted([*prefix, 5]))
    desk.submit("same", counted([*prefix, 5]))
    desk.submit("follow-up", counted([*prefix, 5, *range(100)]))
    desk.submit("exactly three blocks", counted(prefix[:192]))
    desk.submit("other", counted([9, *prefix]))

    desk.run()

    assert desk.outcomes == {
        "first": 0,
        "same": 192,
        "follow-up": 192,
        "exactly three blocks": 128,  # the block of the last token is always computed: its logits are wanted
        "other": 0,
    }
    assert desk.scheduler.statistics().cached_tokens == 512


def test_turns_that_start_together_read_their_prefix_once(backbone: Backbone) -> None:
    prefix = random.Random(2).choices(range(512), k=640)
    desk = Desk(backbone, max_batch=4, prefix_cache_tokens=10_000)
    for number in range(4):
        desk.submit(str(number), greedy([*prefix, number], 1))

    desk.run()

    statistics = desk.scheduler.statistics()
    assert statistics.cached_tokens == 3 * 640
    assert statistics.prefill_tokens + statistics.decode_tokens == 640 + 4 * (1 + 1)


def test_cache_without_tokens_is_off(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, prefix_cache_tokens=0)
    for name in "ab":
        desk.submit(name, greedy(range(1, 300), 1))

    desk.run()

    statistics = desk.scheduler.statistics()
    assert statistics.cached_tokens == statistics.cache_held_tokens == 0


def test_cache_never_holds_more_than_it_may(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=3, max_queue=100, prefix_cache_tokens=500)
    for seed in range(12):
        desk.submit(str(seed), greedy(random.Random(seed).choices(range(512), k=300), 2))

    while desk.scheduler.step():
        assert desk.scheduler.statistics().cache_held_tokens <= 500

    assert len(desk.outcomes) == 12


def test_backbone_that_cannot_be_loaded_ends_waiting_turns_and_is_tried_again(backbone: Backbone) -> None:
    attempts: list[int] = []

    def load() -> Backbone:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConfigError("no such folder")
        return backbone

    scheduler = Scheduler(load, SchedulerLimits())
    errors: list[BaseException | None] = []
    for _ in range(2):
        scheduler.submit(Job(lambda _: watched([], 1), lambda _, error: errors.append(error)))
        while scheduler.step():
            pass

    assert isinstance(errors[0], ConfigError)
    assert errors[1] is None
    assert len(attempts) == 2


def test_closing_ends_every_turn_and_refuses_new_ones(backbone: Backbone) -> None:
    desk = Desk(backbone, max_batch=1, max_queue=5)
    desk.submit("active", watched([], 100))
    desk.submit("queued", watched([], 1))
    desk.scheduler.step()

    desk.scheduler.close(ClosedError("closed"))

    assert isinstance(desk.errors["active"], ClosedError)
    assert isinstance(desk.errors["queued"], ClosedError)
    assert desk.scheduler.statistics().active_held_tokens == 0
    with pytest.raises(ClosedError):
        desk.submit("late", watched([], 1))
