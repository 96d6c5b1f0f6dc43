from __future__ import annotations

import math

import numpy as np
import pytest

from agent_runtime.engine.decide import Decision, decide, decide_another
from agent_runtime.engine.tape import Tape
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.scaffold import build_scaffold
from agent_runtime.scaffold.shape import ObjectShape
from agent_runtime.scaffold.walker import CallWalker
from tests.programs import Row, TableBackbone, random_rows, run_program, tiny_view

VIEW = tiny_view()
VOCAB = len(VIEW.vocabulary)
PROMPT = VIEW.encode("Hello there")


def frontier(*names: str) -> CallFrontier:
    return CallFrontier(
        [CallWalker(build_scaffold(name, ObjectShape())) for name in names],
        vocabulary=VIEW.vocabulary,
        trees=VIEW.trees,
        max_slot_tokens=9,
    )


def decided(backbone: TableBackbone, *names: str, call_bias: float = 0.0) -> tuple[Decision, Tape]:
    tape = Tape()
    tape.write(PROMPT)
    program = decide(VIEW, tape, frontier(*(names or ("book", "cook"))), call_bias=call_bias)
    return run_program(program, backbone), tape


def test_the_decision_reads_the_logits_behind_the_prompt() -> None:
    row_after = random_rows(VOCAB)
    backbone = TableBackbone(row_after)

    decision, tape = decided(backbone)

    assert len(backbone.forwards) == 1
    assert np.array_equal(decision.reply_logits, row_after(PROMPT))
    assert np.array_equal(decision.call_logits, row_after(tuple(backbone.tokens)))
    assert decision.reply_start == len(PROMPT) and tape.length == len(backbone.tokens)


def test_what_all_tools_share_is_read_with_the_prompt() -> None:
    one, several = TableBackbone(random_rows(VOCAB)), TableBackbone(random_rows(VOCAB))

    decided(one, "get_the_weather_forecast")
    decided(several, "book", "cook")

    assert len(one.tokens) > len(several.tokens)
    assert VIEW.bytes_of(one.tokens).endswith(b'{"name": "get_the_weather_forecast", "arguments": {}}\n')


def test_a_draft_is_read_with_the_prompt_and_exactly() -> None:
    row_after = random_rows(VOCAB)
    backbone = TableBackbone(row_after)
    tape = Tape()
    tape.write(PROMPT)
    program = decide(VIEW, tape, frontier("book"), draft_ahead=lambda frontier, tape: [3, 4])

    decision = run_program(program, backbone)

    assert [forward.num_exact for forward in backbone.forwards] == [2]
    assert np.array_equal(decision.call_logits, row_after(tuple(tape.token_ids)))
    assert np.array_equal(tape.ahead_rows[1], row_after((*tape.token_ids, 3, 4)))


@pytest.mark.parametrize(
    ("bias", "expected"), [(0.0, 0.75), (-math.log(3.0), 0.5), (100.0, 1.0), (-800.0, 0.0)]
)
def test_probability_is_that_of_a_call_against_everything_else(bias: float, expected: float) -> None:
    def row_after(tokens: tuple[int, ...]) -> Row:
        row = np.full(VOCAB, -np.inf, np.float32)
        row[VIEW.call_open], row[VIEW.encode("a")[0]], row[VIEW.ends[0]] = math.log(6), 0.0, 0.0
        return row

    decision, _ = decided(TableBackbone(row_after), call_bias=bias)

    assert decision.call_probability == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("wants_another", [True, False])
def test_another_call_follows_where_it_is_likelier_than_the_end(wants_another: bool) -> None:
    first = (*VIEW.calls_joint, VIEW.call_open)[0]

    def row_after(tokens: tuple[int, ...]) -> Row:
        row = np.full(VOCAB, 5.0, np.float32)
        row[list(VIEW.ends)] = 1.0
        row[first] = 2.0 if wants_another else 0.0
        return row

    tape = Tape()
    tape.write(PROMPT)

    assert run_program(decide_another(VIEW, tape), TableBackbone(row_after)) is wants_another
    assert tape.length == len(PROMPT) + 1
