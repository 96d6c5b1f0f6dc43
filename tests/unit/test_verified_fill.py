"""The verified fill writes what the autoregressive one writes, whatever the backbone says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runtime.engine.batching import BatchRule
from agent_runtime.engine.draft import MAX_DRAFT_TOKENS, Drafter
from agent_runtime.engine.draft_copies import CopySource
from agent_runtime.engine.fill import FilledCall, fill_autoregressive
from agent_runtime.engine.sampling import Sampler, Sampling
from agent_runtime.engine.tape import Tape
from agent_runtime.engine.verify import VerifiedReader, most_ahead
from agent_runtime.errors import SchemaError
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import ObjectShape
from agent_runtime.scaffold.walker import CallWalker
from tests.programs import TableBackbone, random_rows, run_program, tiny_view
from tests.shapes import objects
from tests.unit.test_fill import BOOKING

VIEW = tiny_view()
VOCAB = len(VIEW.vocabulary)
PROMPT = 'Book "Hotel Sol" in New York for 12 people, 3.5 stars, celsius'


def filled(
    *scaffolds: Scaffold, seed: int, is_verified: bool, temperature: float = 0.0, max_length: int = 600
) -> tuple[FilledCall | None, int]:
    """The call, and how many forwards it took."""
    backbone = TableBackbone(random_rows(VOCAB, seed=seed))
    tape = Tape()
    tape.write(VIEW.encode(PROMPT + '\n{"name": "'))
    frontier = CallFrontier(
        [CallWalker(scaffold) for scaffold in scaffolds],
        vocabulary=VIEW.vocabulary,
        trees=VIEW.trees,
        max_slot_tokens=40,
        max_tokens=max_length - tape.length,
    )
    drafter = Drafter(VIEW, CopySource(PROMPT, question=PROMPT), closing=(VIEW.call_close,))
    reader = VerifiedReader(drafter, tokens_left=lambda: max_length - tape.length)
    program = fill_autoregressive(
        frontier,
        tape,
        sampler=Sampler(Sampling(temperature=temperature, seed=seed)),
        max_length=max_length,
        next_row=reader.next_row if is_verified else None,
    )
    return run_program(program, backbone), tape.num_forwards


@given(objects(), st.integers(0, 10**6), st.sampled_from([0.0, 1.0]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_verified_call_equals_the_autoregressive_one(
    shape: ObjectShape, seed: int, temperature: float
) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return

    verified, num_forwards = filled(scaffold, seed=seed, is_verified=True, temperature=temperature)
    expected, num_expected = filled(scaffold, seed=seed, is_verified=False, temperature=temperature)

    assert verified == expected
    assert num_forwards <= num_expected


@pytest.mark.parametrize("seed", range(5))
def test_whole_drafts_are_read_at_once(seed: int) -> None:
    scaffold = build_scaffold("book", BOOKING)

    verified, num_forwards = filled(scaffold, seed=seed, is_verified=True)
    expected, num_expected = filled(scaffold, seed=seed, is_verified=False)

    assert verified == expected is not None
    assert num_forwards < num_expected


def test_what_was_read_ahead_is_not_read_again() -> None:
    backbone, tape = TableBackbone(random_rows(VOCAB)), Tape()
    tape.write([1, 2])
    run_program(tape.read(ahead=[3, 4, 5]), backbone)

    tape.write([3, 4])
    assert tape.is_foreseen
    foreseen = run_program(tape.read(2), backbone)
    tape.write([9])
    assert not tape.is_foreseen
    refuted = run_program(tape.read(), backbone)

    assert (backbone.tokens, tape.length, tape.num_forwards) == ([1, 2, 3, 4, 9], 5, 2)
    rows = random_rows(VOCAB)
    assert (foreseen == [rows((1, 2, 3)), rows((1, 2, 3, 4))]).all()
    assert (refuted == [rows((1, 2, 3, 4, 9))]).all()


def test_what_is_partly_foreseen_is_read_from_there_on() -> None:
    backbone, tape = TableBackbone(random_rows(VOCAB)), Tape()
    tape.write([1])
    run_program(tape.read(ahead=[2, 3]), backbone)

    tape.write([2, 7, 8])
    read = run_program(tape.read(3), backbone)

    rows = random_rows(VOCAB)
    assert (read == [rows((1, 2)), rows((1, 2, 7)), rows((1, 2, 7, 8))]).all()
    assert list(backbone.forwards[-1].token_ids) == [7, 8]


def test_cutting_forgets_what_was_read_ahead() -> None:
    backbone, tape = TableBackbone(random_rows(VOCAB)), Tape()
    tape.write([1, 2])
    run_program(tape.read(ahead=[3]), backbone)

    tape.cut(1)
    tape.write([3])

    assert not tape.is_foreseen
    assert (run_program(tape.read(), backbone) == random_rows(VOCAB)((1, 3))).all()


def test_nothing_is_read_ahead_where_rows_cannot_stand_together() -> None:
    assert most_ahead(BatchRule(block_tokens=64, max_rows=64, padded_rows=0)) == 0
    assert most_ahead(BatchRule(block_tokens=64, max_rows=64, padded_rows=8)) == 7
    assert most_ahead(BatchRule(block_tokens=64, max_rows=256)) == MAX_DRAFT_TOKENS
