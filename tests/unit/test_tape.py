"""The tape of a turn: what is written, what is read, and what was read ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.program import Forward, Program, Reading
from agent_runtime.engine.scheduler import run_alone
from agent_runtime.engine.tape import Tape
from tests.tiny_model import make_tiny_model

Outcome = TypeVar("Outcome")

PROMPT = list(range(100, 130))
DRAFT = [7, 8, 9, 10]
BRANCHES = [[5, 6, 7], [8]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(make_tiny_model(tmp_path_factory.mktemp("model"), spread=0.2), taps=(2, 4))


def on_tape(backbone: Backbone, program: Callable[[Tape], Program[Outcome]]) -> tuple[Outcome, Tape]:
    tape = Tape()
    return run_alone(backbone, program(tape)), tape


def plain(backbone: Backbone, token_ids: list[int], num: int) -> Reading:
    """The last rows and states of these tokens, read at once."""

    def program() -> Program[Reading]:
        return (yield Forward(token_ids, 0, num, is_exact=True, num_states=num))

    return run_alone(backbone, program())


def same_rows(ours: np.ndarray, theirs: torch.Tensor) -> bool:
    return bool(np.allclose(ours, theirs.numpy(), atol=1e-4))


def test_states_of_the_last_tokens_written_come_with_their_rows(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[None]:
        tape.write(PROMPT)
        yield from tape.read(num_states=4)

    _, tape = on_tape(backbone, program)

    expected = plain(backbone, PROMPT, 4).states
    assert expected is not None and tape.states is not None and tape.ahead_states is not None
    torch.testing.assert_close(tape.states, expected, atol=1e-3, rtol=1e-3)
    assert len(tape.ahead_states) == 0


def test_reading_without_states_keeps_none(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[None]:
        tape.write(PROMPT)
        yield from tape.read(num_states=4)
        tape.write([1])
        yield from tape.read()

    _, tape = on_tape(backbone, program)

    assert tape.states is None and tape.ahead_states is None


def test_states_of_tokens_read_ahead_stay_while_they_are_foreseen(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[list[torch.Tensor]]:
        tape.write(PROMPT)
        yield from tape.read(ahead=DRAFT, is_exact=True, num_states=1)
        assert tape.states is not None and tape.ahead_states is not None
        kept = [torch.cat((tape.states, tape.ahead_states))]
        tape.write(DRAFT[:1])
        yield from tape.read(is_exact=True)
        assert tape.states is None and tape.ahead_states is not None
        kept.append(tape.ahead_states)
        tape.write(DRAFT[1:2])
        yield from tape.read(is_exact=True, num_states=3)
        assert tape.states is not None and tape.ahead_states is not None
        kept.append(torch.cat((tape.states, tape.ahead_states)))
        assert len(tape.states) == 3
        return kept

    (all_five, behind_first, again), tape = on_tape(backbone, program)

    expected = plain(backbone, PROMPT + DRAFT, 5).states
    assert expected is not None
    torch.testing.assert_close(all_five, expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(behind_first, all_five[2:])
    assert torch.equal(again, all_five)
    assert tape.num_forwards == 1
    assert len(tape.ahead_rows) == 2


def test_states_of_what_was_read_take_no_forward(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[int]:
        tape.write(PROMPT)
        yield from tape.read()
        return len((yield from tape.read(num_states=30)))

    num_rows, tape = on_tape(backbone, program)

    assert (num_rows, tape.num_forwards) == (0, 1)
    assert tape.states is not None and len(tape.states) == 30


def test_branches_are_read_with_what_is_pending(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[tuple[Reading, np.ndarray]]:
        tape.write(PROMPT)
        reading = yield from tape.read_branches(BRANCHES, num_logits=2, num_states=30)
        tape.write([1])
        return reading, (yield from tape.read())

    (reading, behind), tape = on_tape(backbone, program)

    assert tape.num_forwards == 2 and tape.length == 31
    assert reading.states is not None and tape.states is None
    assert len(reading.states) == 30
    assert same_rows(reading.logits.numpy(), plain(backbone, PROMPT, 1).logits)
    assert [len(states) for states in reading.branch_states] == [3, 1]
    for branch, rows in zip(BRANCHES, reading.branch_logits, strict=True):
        assert same_rows(rows.numpy(), plain(backbone, PROMPT + branch, min(2, len(branch))).logits)
    assert same_rows(behind, plain(backbone, [*PROMPT, 1], 1).logits)


def test_branches_behind_what_was_read_ahead_still_give_the_last_row(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[tuple[np.ndarray, Reading]]:
        tape.write(PROMPT)
        yield from tape.read(ahead=DRAFT, is_exact=True)
        expected = tape.ahead_rows[1].copy()
        tape.write(DRAFT[:2])
        reading = yield from tape.read_branches(BRANCHES, is_exact=True)
        assert len(tape.ahead_rows) == 0
        return expected, reading

    (expected, reading), tape = on_tape(backbone, program)

    assert np.array_equal(reading.logits.numpy(), expected[None])
    for branch, rows in zip(BRANCHES, reading.branch_logits, strict=True):
        assert same_rows(rows.numpy(), plain(backbone, PROMPT + DRAFT[:2] + branch, 1).logits)
    assert tape.length == 32


def test_branches_with_nothing_pending_give_no_row_of_their_own(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[Reading]:
        tape.write(PROMPT)
        yield from tape.read()
        return (yield from tape.read_branches(BRANCHES))

    reading, tape = on_tape(backbone, program)

    assert len(reading.logits) == 0
    assert tape.num_forwards == 2 and tape.length == 30


def test_exact_rows_behind_branches_are_those_without_them(backbone: Backbone) -> None:
    def program(tape: Tape, has_branches: bool) -> Program[list[np.ndarray]]:
        tape.write(PROMPT)
        rows = [(yield from tape.read())]
        tape.write(DRAFT)
        if has_branches:
            rows.append((yield from tape.read_branches(BRANCHES, is_exact=True)).logits.numpy())
        else:
            rows.append((yield from tape.read(is_exact=True)))
        tape.write([3])
        rows.append((yield from tape.read(is_exact=True)))
        return rows

    with_branches, _ = on_tape(backbone, lambda tape: program(tape, True))
    without, _ = on_tape(backbone, lambda tape: program(tape, False))

    assert all(map(np.array_equal, with_branches, without))


def test_cutting_forgets_what_was_read_ahead(backbone: Backbone) -> None:
    def program(tape: Tape) -> Program[np.ndarray]:
        tape.write(PROMPT)
        yield from tape.read(ahead=DRAFT, num_states=1)
        tape.cut(20)
        assert tape.ahead_states is None and len(tape.ahead_rows) == 0
        tape.write(DRAFT)
        return (yield from tape.read())

    rows, tape = on_tape(backbone, program)

    assert same_rows(rows, plain(backbone, PROMPT[:20] + DRAFT, 1).logits)
    with pytest.raises(ValueError, match="cannot cut at 25: only 24"):
        tape.cut(25)
