"""How sure a turn says it is: plain products, or what a confidence head makes of how values were filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.confidence import (
    CallConfidence,
    CallContext,
    KnownCall,
    LearnedConfidence,
    PlainConfidence,
    confidence_of,
)
from agent_runtime.engine.fill import Decision, FilledCall, FilledSlot
from agent_runtime.engine.turn import turn_program
from agent_runtime.errors import BundleError
from agent_runtime.messages import EvidenceSpan, Message, SlotDetail, ToolCall, Turn
from agent_runtime.scaffold.nodes import Slot
from agent_runtime.scaffold.shape import ConstantsShape, IntegerShape, StringShape
from agent_runtime.scaffold.slot_budget import SlotBudget
from heads import ConfidenceConfig, HeadBundle, HeadConfig, SlotFeatures
from tests.programs import TableBackbone, random_rows, run_program
from tests.tiny_heads import shaken, tiny_config, tiny_ends
from tests.tiny_model import make_tiny_model
from tests.unit.test_turn import REQUIRED, VIEW, VOCAB, call_ids, request, scripted

TEXT = "Book 3 nights in New York or 2 in Oslo, not 4"


def shaken_bundle(config: HeadConfig | None = None) -> HeadBundle:
    bundle = HeadBundle.untrained(config or tiny_config(), tiny_ends()).eval()
    assert bundle.confidence is not None
    shaken(bundle.confidence)
    return bundle


def make_slot(value: Any, *, path: str = "x", constants: tuple[str, ...] = (), **more: Any) -> FilledSlot:
    shape = ConstantsShape(values=constants) if constants else _shape_of(value)
    return FilledSlot(
        value=value,
        decisions=(Decision(-0.25, 0.5, 2.0), Decision(-0.5, 1.5, -0.5)),
        slot=Slot(
            path=path,
            shape=shape,
            is_string=isinstance(value, str),
            leading_space=False,
            budget=SlotBudget(tokens=4, limit=8),
            constants=constants,
        ),
        **more,
    )


def _shape_of(value: Any) -> StringShape | IntegerShape:
    return StringShape() if isinstance(value, str) else IntegerShape()


def make_call(**slots: FilledSlot) -> FilledCall:
    return FilledCall(
        name="book",
        arguments={path: slot.value for path, slot in slots.items()},
        text="",
        slots=slots,
        name_decisions=(Decision(-0.125, 0.25, 1.0),),
        structure_decisions=(Decision(-0.0625),),
    )


def context(evidence: Mapping[str, EvidenceSpan | None], *messages: Message, **more: Any) -> CallContext:
    return CallContext(messages=messages or (Message(role="user", content=TEXT),), evidence=evidence, **more)


def span_of(words: str, text: str = TEXT, message_index: int = 0) -> EvidenceSpan:
    start = text.index(words)
    return EvidenceSpan(message_index=message_index, start=start, end=start + len(words))


def slot_known(slot: FilledSlot, span: EvidenceSpan | None = None, **more: Any) -> SlotFeatures:
    return KnownCall(make_call(x=slot), context({"x": span}, **more)).slot_features()[0]


def test_decisions_become_features() -> None:
    known = slot_known(make_slot(3, leading=(Decision(-1.0),)))

    assert (known.log_probability, known.lead_log_probability) == (-0.75, -1.0)
    assert (known.lowest_log_probability, known.lowest_margin) == (-0.5, -0.5)
    assert (known.mean_entropy, known.highest_entropy, known.num_decisions) == (1.0, 1.5, 2)
    assert (known.is_found, known.name_log_probability) == (False, -0.125)


def test_a_value_that_was_read_in_the_latest_message_is_told_from_one_of_an_earlier() -> None:
    messages = (Message(role="user", content="Oslo"), Message(role="user", content="Oslo, then"))
    early = KnownCall(
        make_call(x=make_slot("Oslo")), context({"x": span_of("Oslo", "Oslo")}, *messages)
    ).slot_features()[0]
    late = KnownCall(
        make_call(x=make_slot("Oslo")), context({"x": span_of("Oslo", "Oslo", 1)}, *messages)
    ).slot_features()[0]

    assert (early.is_found, early.is_latest, late.is_latest) == (True, False, True)


def test_numbers_and_constants_that_no_value_has_are_rivals() -> None:
    assert slot_known(make_slot(3), span_of("3")).num_rivals == 2  # 2 and 4
    assert slot_known(make_slot("york", constants=("york", "oslo", "rome"))).num_rivals == 1
    assert slot_known(make_slot("New York"), span_of("New York")).num_rivals == 0


def test_values_read_from_one_place_are_shared_and_those_of_an_earlier_call_repeated() -> None:
    span = span_of("3")
    earlier = ToolCall(
        id="1", name="book", arguments={"x": 3}, slots={"x": SlotDetail(value=3, confidence=1.0)}
    )
    call = make_call(x=make_slot(3), y=make_slot(3))

    x, y = KnownCall(call, context({"x": span, "y": span}, earlier=(earlier,))).slot_features()

    assert (x.is_shared, y.is_shared, x.is_repeated, y.is_repeated) == (True, True, True, False)


def test_twins_are_counted_within_their_list() -> None:
    call = make_call(**{"a.0": make_slot(1), "a.1": make_slot(1), "a.2": make_slot(2), "b": make_slot(1)})

    assert [known.num_twins for known in KnownCall(call, context({})).slot_features()] == [1, 1, 0, 0]


def test_values_of_a_call_that_was_cut_short_are_told() -> None:
    call = make_call(x=make_slot(1), y=make_slot(2, has_overflowed=True))

    assert all(known.is_cut_short for known in KnownCall(call, context({})).slot_features())


def test_items_of_lists_are_counted_from_one() -> None:
    call = make_call(**{"a.2.b": make_slot(1), "a.b": make_slot(1)})

    assert [known.item for known in KnownCall(call, context({})).slot_features()] == [3, 0]


def test_a_call_is_known_by_its_values_and_what_it_leaves_unread() -> None:
    call = make_call(x=make_slot(3), y=make_slot("Rome"))

    known = KnownCall(call, context({"x": span_of("3"), "y": None}, call_probability=0.5)).call_features(
        [0.5, 0.25]
    )

    assert known.log_probability == pytest.approx(-2.0794, abs=1e-3)
    assert known.lowest_log_probability == pytest.approx(-1.3863, abs=1e-3)
    assert (known.name_margin, known.name_entropy, known.call_log_odds) == (1.0, 0.25, 0.0)
    assert (known.structure_log_probability, known.num_unread, known.share_found) == (-0.0625, 2, 0.5)


def test_without_a_head_confidence_is_the_product_of_probabilities() -> None:
    call = make_call(x=make_slot(3))

    said = confidence_of(None).read(call, context({"x": None}))

    assert (said.call, said.slots) == (call.confidence, {"x": call.slots["x"].confidence})
    config = tiny_config(confidence=None)
    assert isinstance(confidence_of(HeadBundle.untrained(config, tiny_ends())), PlainConfidence)


def test_a_head_says_something_else_within_zero_and_one() -> None:
    call, bundle = make_call(x=make_slot(3), y=make_slot("Oslo")), shaken_bundle()

    said = confidence_of(bundle).read(call, context({"x": None, "y": None}))

    assert isinstance(confidence_of(bundle), LearnedConfidence)
    assert said.slots.keys() == call.slots.keys()
    assert all(0 < stated < 1 for stated in (said.call, *said.slots.values()))
    assert said.call != pytest.approx(call.confidence, abs=1e-3)


def test_temperatures_are_applied() -> None:
    call, bundle = make_call(x=make_slot(3)), shaken_bundle()
    usual = confidence_of(bundle).read(call, context({"x": None}))
    temperature = bundle.calibration.call.model_copy(update={"bias": 3.0})
    bundle.calibration = bundle.calibration.model_copy(
        update={"confidence": temperature, "call": temperature}
    )

    said = confidence_of(bundle).read(call, context({"x": None}))

    assert said.call > usual.call and said.slots["x"] > usual.slots["x"]


def test_what_was_cut_off_is_not_right() -> None:
    reader = confidence_of(shaken_bundle())

    said = reader.read(make_call(x=make_slot(3, has_overflowed=True), y=make_slot(2)), context({}))
    short = reader.read(replace(make_call(x=make_slot(3)), is_cut_short=True), context({}))

    assert (said.call, said.slots["x"], short.call) == (0.0, 0.0, 0.0)
    assert said.slots["y"] > 0


def test_a_call_without_arguments_has_a_confidence() -> None:
    said = confidence_of(shaken_bundle()).read(make_call(), context({}))

    assert 0 < said.call < 1 and not said.slots


def table_turn(seed: int, **changes: Any) -> Turn:
    backbone = TableBackbone(random_rows(VOCAB, seed=seed))
    return run_program(turn_program(request(tool_choice=REQUIRED, **changes), VIEW), backbone)


@pytest.mark.parametrize("seed", range(4))
def test_verified_calls_are_as_sure_as_autoregressive_ones(seed: int) -> None:
    reader = confidence_of(shaken_bundle())

    expected = table_turn(seed, confidence=reader)
    verified = table_turn(seed, confidence=reader, fill="verified", max_ahead=16)

    assert expected.tool_calls
    for call, same in zip(expected.tool_calls, verified.tool_calls, strict=True):
        assert same.confidence == pytest.approx(call.confidence, abs=1e-6)
        assert {p: s.confidence for p, s in same.slots.items()} == pytest.approx(
            {p: s.confidence for p, s in call.slots.items()}, abs=1e-6
        )


class _Unsure(PlainConfidence):
    def read(self, call: FilledCall, context: CallContext) -> CallConfidence:
        return CallConfidence(call=0.25, slots=dict.fromkeys(call.slots, 0.75))


def test_abstaining_goes_by_the_confidence_that_is_stated() -> None:
    def turn(abstain_below: float) -> Turn:
        asked = request(confidence=_Unsure(), abstain_below=abstain_below)
        return run_program(
            turn_program(asked, VIEW),
            scripted([VIEW.call_open, *call_ids("get_weather", city="Paris")[1:]]),
        )

    (call,) = turn(0.2).tool_calls
    assert (call.confidence, call.slots["city"].confidence) == (0.25, 0.75)
    assert (turn(0.3).tool_calls, turn(0.3).stop_reason) == ((), "abstained")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), vocab=512)


@pytest.mark.parametrize("fill", ["autoregressive", "verified"])
async def test_a_bundle_with_nothing_but_confidence_serves_every_fill(
    model: Path, tmp_path: Path, fill: str
) -> None:
    _confidence_alone(model).save_pretrained(tmp_path)
    deployment = DeploymentConfig(fill=fill, max_tokens=60)
    turns = []
    for heads in (None, tmp_path):
        async with AgentRuntime.load(model, heads=heads, deployment=deployment) as runtime:
            turns.append(await runtime.respond(TEXT, tools=[_stay], tool_choice="required"))

    plain, learned = (turn.tool_calls[0] for turn in turns)
    assert plain.arguments == learned.arguments
    assert plain.slots["is_late"].confidence != pytest.approx(learned.slots["is_late"].confidence, abs=1e-4)
    assert turns[0].usage == turns[1].usage


async def test_heads_that_propose_nothing_cannot_fill(model: Path, tmp_path: Path) -> None:
    _confidence_alone(model).save_pretrained(tmp_path)

    with pytest.raises(BundleError, match="fill='diffusion' needs heads that propose values"):
        async with AgentRuntime.load(
            model, heads=tmp_path, deployment=DeploymentConfig(fill="diffusion")
        ) as runtime:
            await runtime.warm_up()


def _confidence_alone(model: Path) -> HeadBundle:
    facts = Backbone.load(model).facts
    bundle = HeadBundle(
        HeadConfig(
            backbone=facts,
            taps=(facts.num_layers,),
            mask_token_id=0,
            null_token_id=1,
            confidence=ConfidenceConfig(width=8),
        )
    )
    assert bundle.confidence is not None
    shaken(bundle.confidence)
    return bundle


def _stay(is_late: bool) -> None:
    """Book a stay."""
