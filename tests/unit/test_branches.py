"""Branches read beside one another, and the states of a backbone loaded with taps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SmolLM3ForCausalLM

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.batching import BatchRule
from agent_runtime.engine.job import Job
from agent_runtime.engine.program import Forward, Program, Reading
from agent_runtime.engine.scheduler import Scheduler, SchedulerLimits, run_alone
from agent_runtime.errors import ConfigError, PromptTooLongError
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from heads import BackboneEnds, read_taps
from tests.tiny_model import make_tiny_model

TAPS = (0, 2, 4)
PROMPT = [(7 * number) % 500 for number in range(150)]
# More than a block (64 tokens) in all, one of them more than a block by itself.
BRANCHES = [[5, 6, 7], [8], list(range(20, 50)), list(range(100, 190)), [9, 10, 11, 12], list(range(60, 99))]
SHAPES = [
    pytest.param({}, id="two queries share a key"),
    pytest.param({"heads": 6, "kv_heads": 2, "hidden": 96, "layers": 9}, id="three do, nine layers"),
    pytest.param({"heads": 4, "kv_heads": 4}, id="none do"),
]  # every fourth layer has no rotary positions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), spread=0.2)


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone.load(folder, max_seq_len=1024, taps=TAPS)


def asked(*forwards: Forward) -> Program[list[Reading]]:
    readings = []
    for forward in forwards:
        reading = yield forward
        readings.append(reading)
    return readings


def read(backbone: Backbone, *forwards: Forward) -> list[Reading]:
    return run_alone(backbone, asked(*forwards))


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=2e-4 * float(theirs.abs().max()), rtol=1e-4)


def given(folder: Path, taps: Sequence[int], token_ids: list[int]) -> tuple[Tensor, Tensor]:
    """What transformers gives: logits and states of every position."""
    model = SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([token_ids])
    with torch.inference_mode():
        return model(ids).logits[0], read_taps(model, taps, input_ids=ids)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_branches_read_like_transformers_reads_each_alone(tmp_path: Path, shape: dict[str, Any]) -> None:
    folder = make_tiny_model(tmp_path, spread=0.2, **shape)
    taps = (0, 3, shape.get("layers", 4))
    backbone = Backbone.load(folder, taps=taps)

    (reading,) = read(backbone, Forward(PROMPT, 0, branches=BRANCHES, num_branch_logits=3, num_states=150))

    assert reading.states is not None
    logits, states = given(folder, taps, PROMPT)
    assert_near(reading.logits, logits[-1:])
    assert_near(reading.states, states)
    for branch, ours, our_states in zip(BRANCHES, reading.branch_logits, reading.branch_states, strict=True):
        logits, states = given(folder, taps, [*PROMPT, *branch])
        theirs = logits[len(PROMPT) :][-3:]
        assert_near(ours, theirs)
        assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
        assert_near(our_states, states[len(PROMPT) :])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("taps", [(), (1, 2), TAPS], ids=["no taps", "not the last layer", "the last layer"])
def test_branches_read_as_if_each_alone_came_next(folder: Path, dtype: str, taps: tuple[int, ...]) -> None:
    backbone = Backbone.load(folder, dtype=dtype, taps=taps)

    (_, together) = read(
        backbone, Forward(PROMPT[:140], 0), Forward(PROMPT[140:], 140, branches=BRANCHES, num_branch_logits=9)
    )

    tolerance = {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    assert len(together.branch_states) == (len(BRANCHES) if taps else 0)
    for number, branch in enumerate(BRANCHES):
        alone = read(backbone, Forward(PROMPT, 0), Forward(branch, 150, min(9, len(branch))))[1].logits
        assert (together.branch_logits[number] - alone).abs().max() < tolerance * alone.abs().max()


def test_single_branch_has_the_bits_of_reading_on(backbone: Backbone) -> None:
    for branch in (BRANCHES[0], BRANCHES[3]):
        _, beside = read(backbone, Forward(PROMPT, 0), Forward([], 150, 0, branches=[branch]))
        _, behind = read(backbone, Forward(PROMPT, 0), Forward(branch, 150, 1, num_states=len(branch)))

        assert behind.states is not None
        assert torch.equal(beside.branch_logits[0], behind.logits)
        assert torch.equal(beside.branch_states[0], behind.states)


def test_reading_goes_on_as_if_there_had_been_no_branches(backbone: Backbone) -> None:
    more = Forward([3, 2, 1], 150, 3, num_states=153)

    _, with_branches = read(backbone, Forward(PROMPT, 0, branches=BRANCHES), more)
    _, without = read(backbone, Forward(PROMPT, 0), more)

    assert with_branches.states is not None and without.states is not None
    assert torch.equal(with_branches.logits, without.logits)
    assert torch.equal(with_branches.states, without.states)


def test_rows_and_states_belong_to_whoever_asked_for_them(backbone: Backbone) -> None:
    def program() -> Program[tuple[Tensor, Tensor]]:
        first = yield Forward(PROMPT, 0, branches=[[1], [2]], num_states=1)
        for tensor in (first.states, *first.branch_states, *first.branch_logits):
            assert tensor is not None
            tensor.zero_()
        again = yield Forward([], 150, 0, num_states=1)
        assert first.states is not None and again.states is not None
        return first.states, again.states

    zeroed, kept = run_alone(backbone, program())

    assert not zeroed.any() and kept.any()


def test_states_alone_take_no_forward(backbone: Backbone) -> None:
    scheduler = Scheduler(lambda: backbone, SchedulerLimits())
    readings: list[list[Reading]] = []
    program = asked(Forward(PROMPT, 0, num_states=150), Forward([], 150, 0, num_states=20))
    scheduler.submit(Job(lambda _: program, lambda outcome, _: readings.append(outcome)))
    while scheduler.step():
        pass

    (together, later) = readings[0]
    assert scheduler.statistics().forwards == 1
    assert together.states is not None and later.states is not None
    assert torch.equal(together.states[-20:], later.states)
    assert len(later.logits) == 0


def branching(seed: int, shared: Sequence[int]) -> Program[list[Tensor]]:
    """Prompts, branches, steps back and states at random; everything it was given."""
    draw = random.Random(seed)

    def some(most: int) -> list[int]:
        return draw.choices(range(500), k=draw.randint(1, most))

    seen: list[Tensor] = []
    length = 0
    for number in range(4):
        at = length if draw.random() < 0.7 else draw.randint(max(0, length - 20), length)
        tokens = [*shared, *some(90)] if not number else some(12)
        if number and draw.random() < 0.3:
            tokens, at = [], length
        length = at + len(tokens)
        reading = yield Forward(
            tokens,
            at,
            min(1, len(tokens)),
            is_exact=draw.random() < 0.3,
            branches=[some(draw.choice([3, 9, 90])) for _ in range(draw.randint(1, 12))],
            num_branch_logits=draw.randint(0, 3),
            num_states=draw.randint(1, length),
        )
        assert reading.states is not None
        seen += [reading.logits, reading.states, *reading.branch_logits, *reading.branch_states]
    return seen


@pytest.mark.parametrize(
    ("dtype", "padded_rows", "cache_tokens"),
    [
        ("float32", None, 0),
        ("float32", None, 4096),
        ("bfloat16", None, 4096),
        ("float32", 8, 4096),
        ("float32", 0, 4096),
    ],
)
def test_branches_and_states_are_the_same_alone_and_in_a_crowd(
    folder: Path, dtype: str, padded_rows: int | None, cache_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if padded_rows is not None:  # a machine without packed kernels: the batch rule has to make up for it
        monkeypatch.setattr("agent_runtime.engine.linear.can_pack", lambda _: False)
    backbone = Backbone.load(folder, dtype=dtype, max_seq_len=1024, taps=TAPS)
    if padded_rows is not None:
        backbone.batch_rule = BatchRule(block_tokens=64, max_rows=64, padded_rows=padded_rows)
    shared = random.Random(5).choices(range(500), k=140)
    limits = SchedulerLimits(max_batch=4, max_queue=99, prefix_cache_tokens=cache_tokens)
    scheduler = Scheduler(lambda: backbone, limits)
    crowd: dict[int, Any] = {}

    def note(number: int) -> Callable[[Any, BaseException | None], None]:
        return lambda outcome, error: crowd.update({number: outcome if error is None else error})

    def program(number: int) -> Program[list[Tensor]]:
        return branching(number % 4, shared if number % 2 else ())

    for number in range(8):
        scheduler.submit(Job(lambda _, number=number: program(number), note(number)))  # type: ignore[misc]
    while scheduler.step():
        pass

    assert (scheduler.statistics().cached_tokens > 0) == (cache_tokens > 0)
    assert (max(scheduler.statistics().batch_sizes) > 1) == (padded_rows != 0)
    for number in range(8):
        alone = run_alone(backbone, program(number))
        assert len(alone) == len(crowd[number])
        assert all(map(torch.equal, alone, crowd[number]))


def test_cache_never_holds_what_a_branch_read(backbone: Backbone) -> None:
    scheduler = Scheduler(lambda: backbone, SchedulerLimits(prefix_cache_tokens=4096))
    first, second = PROMPT[:128], list(range(200, 264))
    answers: list[list[Reading]] = []

    def answer(*forwards: Forward) -> Reading:
        scheduler.submit(Job(lambda _: asked(*forwards), lambda outcome, _: answers.append(outcome)))
        while scheduler.step():
            pass
        return answers[-1][-1]

    answer(Forward(first, 0, 0, branches=[second, second]))
    again = answer(Forward([*first, *second, 1], 0, num_states=193))

    assert scheduler.statistics().cache_held_tokens == 192
    assert again.cached_tokens == 128
    (alone,) = read(backbone, Forward([*first, *second, 1], 0, num_states=193))
    assert again.states is not None and alone.states is not None
    assert torch.equal(again.logits, alone.logits)
    assert torch.equal(again.states, alone.states)


def test_prompt_that_is_wholly_cached_still_has_branches(backbone: Backbone) -> None:
    scheduler = Scheduler(lambda: backbone, SchedulerLimits(prefix_cache_tokens=4096))
    answers: list[list[Reading]] = []
    for _ in range(2):
        program = asked(Forward(PROMPT[:128], 0, 0, branches=BRANCHES, num_states=100))
        scheduler.submit(Job(lambda _, p=program: p, lambda outcome, _: answers.append(outcome)))  # type: ignore[misc]
        while scheduler.step():
            pass

    (first,), (second,) = answers
    assert (first.cached_tokens, second.cached_tokens) == (0, 128)
    assert first.states is not None and second.states is not None
    assert torch.equal(first.states, second.states)
    assert all(map(torch.equal, first.branch_logits, second.branch_logits))
    assert all(map(torch.equal, first.branch_states, second.branch_states))


def test_branches_of_a_turn_share_one_forward_with_its_tokens(backbone: Backbone) -> None:
    scheduler = Scheduler(lambda: backbone, SchedulerLimits())
    program = asked(Forward(PROMPT[:60], 0, branches=[[number, 1, 2] for number in range(20)]))
    scheduler.submit(Job(lambda _: program, lambda *_: None))
    while scheduler.step():
        pass

    assert scheduler.statistics().forwards == 1


@pytest.mark.parametrize(
    ("forward", "error"),
    [
        pytest.param(Forward([], 0, 0, branches=[[1]]), "forward of 0 tokens", id="branches of nothing"),
        pytest.param(Forward([1], 0, branches=[[2], []]), "a branch has no tokens", id="empty branch"),
        pytest.param(Forward([1], 0, branches=[[2], [512]]), "token id outside", id="no such token"),
        pytest.param(Forward([1], 0, branches=[[2]], num_branch_logits=-1), "fewer than no", id="fewer"),
        pytest.param(Forward([1, 2], 0, num_states=3), "cannot give 3 states: 2 positions", id="states"),
    ],
)
def test_impossible_branches_and_states_are_refused(backbone: Backbone, forward: Forward, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(backbone, forward)


def test_branch_beyond_the_last_position_is_refused(backbone: Backbone) -> None:
    with pytest.raises(PromptTooLongError) as caught:
        read(backbone, Forward([1] * 1020, 0, branches=[[1], [1] * 9]))

    assert caught.value.prompt_tokens == 1029
    (reading,) = read(backbone, Forward([1] * 1020, 0, branches=[[1] * 4] * 5))
    assert len(reading.branch_states) == 5


def test_states_without_taps_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"loaded with taps=\(\)"):
        read(Backbone.load(folder), Forward([1], 0, num_states=1))


@pytest.mark.parametrize("taps", [(2, 1), (1, 1), (-1,), (5,)])
def test_taps_that_are_no_rising_layers_are_a_config_error(folder: Path, taps: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="expected rising layer numbers from 0 .* to 4"):
        Backbone.load(folder, taps=taps)


def test_ends_are_those_of_the_transformers_model(folder: Path, backbone: Backbone) -> None:
    theirs = BackboneEnds.of(SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32))
    ours = backbone.ends
    states = torch.randn((2, 3, 64), generator=torch.Generator().manual_seed(0))

    assert torch.equal(ours.embedding, theirs.embedding)
    assert torch.equal(ours.norm_weight, theirs.norm_weight)
    assert ours.epsilon == theirs.epsilon
    torch.testing.assert_close(ours.project(states), theirs.project(states))


def test_facts_name_the_backbone_and_its_tokenizer(backbone: Backbone) -> None:
    facts = backbone.facts

    assert (facts.hidden_size, facts.num_layers, facts.vocab_size) == (64, 4, 512)
    assert facts.fingerprint == backbone.fingerprint
    assert facts.tokenizer_fingerprint == TokenVocabulary.from_tokenizer(backbone.tokenizer).fingerprint
