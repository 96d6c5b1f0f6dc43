from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_runtime.engine.fill import FilledCall, fill_autoregressive
from agent_runtime.engine.sampling import Sampler, Sampling
from agent_runtime.engine.tape import Tape
from agent_runtime.errors import SchemaError
from agent_runtime.prompt.encode import encode_call
from agent_runtime.scaffold.frontier import CallFrontier
from agent_runtime.scaffold.scaffold import Scaffold, build_scaffold
from agent_runtime.scaffold.shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from agent_runtime.scaffold.walker import CallWalker
from tests.programs import TableBackbone, random_rows, run_program, scripted_rows, tiny_view
from tests.shapes import objects, random_walk, schema_of
from tests.tiny_model import make_tiny_tokenizer

VIEW = tiny_view()
VOCAB = len(VIEW.vocabulary)
TOKENIZER = make_tiny_tokenizer()
SHORT_STRING = StringShape(max_length=12)


def members(optional: str = "", **shapes: Shape) -> ObjectShape:
    return ObjectShape(
        properties=tuple(
            Property(name=name, shape=shape, is_required=name not in optional.split())
            for name, shape in shapes.items()
        )
    )


def frontier_of(*scaffolds: Scaffold, max_slot_tokens: int = 40) -> CallFrontier:
    return CallFrontier(
        [CallWalker(scaffold) for scaffold in scaffolds],
        vocabulary=VIEW.vocabulary,
        trees=VIEW.trees,
        max_slot_tokens=max_slot_tokens,
    )


def filled(
    *scaffolds: Scaffold,
    backbone: TableBackbone | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    max_length: int = 5000,
    max_slot_tokens: int = 40,
) -> FilledCall | None:
    backbone = backbone or TableBackbone(random_rows(VOCAB, seed=seed))
    tape = Tape()
    tape.write(VIEW.encode('\n{"name": "'))
    program = fill_autoregressive(
        frontier_of(*scaffolds, max_slot_tokens=max_slot_tokens),
        tape,
        sampler=Sampler(sampling or Sampling()),
        max_length=max_length,
    )
    return run_program(program, backbone)


def done(call: FilledCall | None) -> FilledCall:
    assert call is not None
    return call


BOOKING = members(
    "stops note price",
    city=SHORT_STRING,
    days=IntegerShape(minimum=1, maximum=30),
    unit=ConstantsShape(values=("celsius", "fahrenheit", "cel")),
    stops=ArrayShape(
        items=members(
            "qty",
            sku=SHORT_STRING,
            qty=UnionShape(options=(IntegerShape(minimum=0, maximum=99), ConstantsShape(values=(None,)))),
        ),
        max_items=3,
    ),
    note=UnionShape(
        options=(SHORT_STRING, ArrayShape(items=SHORT_STRING, max_items=2), ConstantsShape(values=(True, 1)))
    ),
    price=NumberShape(minimum=0),
    is_open=ConstantsShape(values=(True, False)),
)


@given(objects(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_filled_call_is_valid_whatever_the_backbone_says(shape: ObjectShape, seed: int) -> None:
    try:
        scaffold = build_scaffold("f", shape)
    except SchemaError:
        return

    call = filled(scaffold, seed=seed, sampling=Sampling(temperature=1.0, seed=seed), max_length=3000)

    if call is not None:
        Draft202012Validator(schema_of(shape)).validate(call.arguments)
        assert json.loads(call.text) == {"name": "f", "arguments": call.arguments}
        assert 0.0 <= call.confidence <= 1.0
        assert {path: slot.value for path, slot in call.slots.items()} == leaves(call)


def leaves(call: FilledCall) -> dict[str, Any]:
    """The slots' own values: what stands where they say it stands."""
    return {path: value_at(call.arguments, path) for path in call.slots}


def value_at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


@pytest.mark.parametrize("seed", range(25))
def test_a_call_of_several_tools_is_one_of_them(seed: int) -> None:
    tools = {
        "book": BOOKING,
        "book_table": members(people=IntegerShape(minimum=1, maximum=9)),
        "get_weather": members("days", city=SHORT_STRING, days=IntegerShape(minimum=0, maximum=7)),
    }

    call = done(filled(*(build_scaffold(name, shape) for name, shape in tools.items()), seed=seed))

    Draft202012Validator(schema_of(tools[call.name])).validate(call.arguments)


@pytest.mark.parametrize("seed", range(10))
def test_any_valid_call_can_be_written(seed: int) -> None:
    scaffold = build_scaffold("book", BOOKING)
    wanted = random_walk(CallWalker(scaffold), random.Random(seed)).arguments
    opening = VIEW.encode('\n{"name": "')
    ids = encode_call(scaffold.render(wanted), tokenizer=TOKENIZER)[1:-1]
    backbone = TableBackbone(scripted_rows(VOCAB, opening, ids[len(opening) :], strength=60.0))

    call = done(filled(scaffold, backbone=backbone))

    assert call.arguments == wanted
    assert tuple(backbone.tokens) == tuple(ids[: len(backbone.tokens)])
    assert call.confidence > 0.99


@pytest.mark.parametrize("seed", range(10))
def test_greedy_filling_equals_token_by_token_decoding(seed: int) -> None:
    scaffold = build_scaffold("book", BOOKING)
    row_after = random_rows(VOCAB, seed=seed)

    call = done(filled(scaffold, backbone=TableBackbone(row_after)))

    assert call.text.encode() == slow_call(scaffold, row_after)


def slow_call(scaffold: Scaffold, row_after: Any) -> bytes:
    """One forward a token, and every allowed token weighed by a plain loop."""
    frontier = frontier_of(scaffold)
    tokens = list(VIEW.encode('\n{"name": "'))
    while frontier.completed is None:
        row = row_after(tuple(tokens))
        allowed = [*frontier.allowed().ids.tolist(), *frontier.allowed().ending.tolist()]
        best = max(allowed, key=lambda token: (row[token], -token))
        frontier.advance(best)
        tokens.append(best)
    return VIEW.bytes_of(tokens).strip(b"\n")


def test_forced_text_costs_no_forward() -> None:
    scaffold = build_scaffold(
        "a_tool_with_a_long_name",
        members(
            first_argument=ConstantsShape(values=(True, False)), second=IntegerShape(minimum=0, maximum=9)
        ),
    )
    backbone = TableBackbone(random_rows(VOCAB))

    call = done(filled(scaffold, backbone=backbone))

    num_tokens = len(encode_call(scaffold.render(call.arguments), tokenizer=TOKENIZER))
    assert len(backbone.forwards) == 2
    assert num_tokens > 20


def test_a_call_without_choices_needs_no_forward() -> None:
    backbone = TableBackbone(random_rows(VOCAB))

    call = done(filled(build_scaffold("ping", ObjectShape()), backbone=backbone))

    assert (call.arguments, call.confidence, backbone.forwards) == ({}, 1.0, [])


def test_confidence_is_the_probability_of_the_value_among_what_is_allowed() -> None:
    scaffold = build_scaffold("f", members(x=ConstantsShape(values=(True, False))))
    true, false = (VIEW.encode(text)[0] for text in (" true", " false"))

    def row_after(tokens: tuple[int, ...]) -> Any:
        row = np.zeros(VOCAB, np.float32)
        row[true], row[false] = math.log(3.0), math.log(1.0)
        return row

    call = done(filled(scaffold, backbone=TableBackbone(row_after)))

    assert call.arguments == {"x": True}
    assert call.slots["x"].confidence == pytest.approx(0.75, rel=1e-5)


def test_presence_counts_for_the_value_it_introduces() -> None:
    scaffold = build_scaffold("f", members("a b", a=IntegerShape(), b=IntegerShape()))
    backbone = TableBackbone(random_rows(VOCAB, seed=1))

    call = done(filled(scaffold, backbone=backbone))

    booked = [*call.name_logprobs, *call.structure_logprobs]
    booked += [logprob for slot in call.slots.values() for logprob in slot.logprobs]
    assert call.confidence == pytest.approx(math.exp(sum(booked)))
    assert all(slot.logprobs for slot in call.slots.values())


def test_the_same_seed_gives_the_same_call() -> None:
    scaffold = build_scaffold("book", BOOKING)

    calls = [filled(scaffold, sampling=Sampling(temperature=1.0, top_p=0.9, seed=seed)) for seed in (3, 3, 4)]

    assert calls[0] == calls[1] != calls[2]


def test_a_call_that_does_not_fit_is_given_up() -> None:
    scaffold = build_scaffold("f", members(text=StringShape(min_length=30)))

    assert filled(scaffold, max_length=20) is None


def test_a_value_ends_at_the_slot_limit() -> None:
    scaffold = build_scaffold("f", members(text=StringShape()))
    quote = VIEW.encode('"')[0]

    def endless(tokens: tuple[int, ...]) -> Any:
        row = np.zeros(VOCAB, np.float32)
        row[VIEW.encode("a")[0]] = 9.0
        row[quote] = -9.0
        return row

    call = done(filled(scaffold, backbone=TableBackbone(endless)))

    assert call.arguments == {"text": "a" * 40}
    assert (call.slots["text"].has_overflowed, call.confidence) == (True, 0.0)


def test_a_value_as_long_as_it_must_be_is_not_cut_off() -> None:
    scaffold = build_scaffold("f", members(id=StringShape(format="uuid")))

    call = done(filled(scaffold, max_slot_tokens=5))

    assert len(call.arguments["id"]) == 36
    assert not call.slots["id"].has_overflowed


def test_a_grammar_value_is_decoded_under_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"k": {"type": "integer"}},
        "required": ["k"],
        "additionalProperties": False,
    }
    scaffold = build_scaffold("f", members(x=GrammarShape(schema=schema), y=SHORT_STRING))

    for seed in range(5):
        call = done(filled(scaffold, seed=seed))
        Draft202012Validator(schema).validate(call.arguments["x"])


@pytest.mark.parametrize("seed", range(5))
def test_items_of_a_unique_array_differ(seed: int) -> None:
    scaffold = build_scaffold(
        "f",
        members(
            units=ArrayShape(items=ConstantsShape(values=("a", "b", 1)), min_items=3, is_unique=True),
            days=ArrayShape(items=IntegerShape(minimum=1, maximum=3), min_items=3, is_unique=True),
            codes=ArrayShape(items=StringShape(patterns=("^[AB]$",)), min_items=2, is_unique=True),
        ),
    )

    arguments = done(filled(scaffold, seed=seed)).arguments

    assert sorted(map(str, arguments["units"])) == ["1", "a", "b"]
    assert sorted(arguments["days"]) == [1, 2, 3]
    assert sorted(arguments["codes"]) == ["A", "B"]


def test_options_that_begin_alike_are_kept_apart_by_what_follows() -> None:
    circle = members(kind=ConstantsShape(values=("circle",)), radius=IntegerShape())
    square = members(kind=ConstantsShape(values=("square",)), side=IntegerShape())
    scaffold = build_scaffold("draw", members(figure=UnionShape(options=(circle, square))))

    kinds = {done(filled(scaffold, seed=seed)).arguments["figure"]["kind"] for seed in range(20)}

    assert kinds == {"circle", "square"}


def test_a_cancelled_fill_stops_at_its_next_forward() -> None:
    program = fill_autoregressive(
        frontier_of(build_scaffold("book", BOOKING)), Tape(), sampler=Sampler(Sampling()), max_length=100
    )

    next(program)
    program.close()

    with pytest.raises(StopIteration):
        next(program)
