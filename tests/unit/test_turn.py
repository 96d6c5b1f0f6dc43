from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agent_runtime.engine.sampling import Sampling
from agent_runtime.engine.turn import TurnRequest, turn_program
from agent_runtime.errors import AgentRuntimeError, ToolChoiceError
from agent_runtime.events import (
    ArgumentsDelta,
    CallReady,
    CallStarted,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
    TurnStarted,
)
from agent_runtime.messages import Message, Turn
from agent_runtime.prompt.encode import encode_call
from agent_runtime.scaffold.canonical import call_pieces
from agent_runtime.scaffold.repetition import MIN_COPIES, MIN_TOKENS
from agent_runtime.tools import Tool, tool
from agent_runtime.turn_engine import ToolChoice
from tests.programs import Row, TableBackbone, random_rows, run_program, scripted_rows, tiny_view
from tests.tiny_model import make_tiny_tokenizer

VIEW = tiny_view()
TOKENIZER = make_tiny_tokenizer()
VOCAB = len(VIEW.vocabulary)
PROMPT = VIEW.encode("What is the weather in Paris for 3 days?")
END = VIEW.ends[0]

AUTO = ToolChoice(mode="auto")
NONE = ToolChoice(mode="none")
REQUIRED = ToolChoice(mode="required")
NAMED = ToolChoice(mode="required", name="get_time")

WEATHER = tool(
    {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    }
)
TIME = tool(
    {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}}}
)
MESSAGES = (Message(role="user", content="What is the weather in Paris for 3 days?"),)


def request(**changes: Any) -> TurnRequest:
    fields: dict[str, Any] = {"prompt_ids": PROMPT, "messages": MESSAGES, "tools": (WEATHER, TIME)}
    return TurnRequest(**(fields | changes))


def call_ids(name: str, **arguments: Any) -> list[int]:
    return encode_call(call_pieces(name, arguments), tokenizer=TOKENIZER)


def scripted(*reply: Sequence[int] | int | str) -> TableBackbone:
    """A backbone that wants to reply with these tokens, calls and words, and then to end."""
    ids: list[int] = []
    for part in reply:
        ids += VIEW.encode(part) if isinstance(part, str) else [part] if isinstance(part, int) else part
    return TableBackbone(scripted_rows(VOCAB, PROMPT, [*ids, END], strength=60.0))


def told(backbone: TableBackbone, asked: TurnRequest) -> tuple[Turn, list[TurnEvent]]:
    events: list[TurnEvent] = []
    return run_program(turn_program(asked, VIEW, events.append), backbone), events


PARIS = call_ids("get_weather", city="Paris", days=3)


def test_a_likely_call_is_made_and_filled() -> None:
    turn, events = told(scripted(PARIS), request())

    assert [(call.name, call.arguments) for call in turn.tool_calls] == [
        ("get_weather", {"city": "Paris", "days": 3})
    ]
    assert (turn.stop_reason, turn.plan.kind, turn.content) == ("tool_calls", "tool", "")
    assert turn.plan.call_probability > 0.99
    told_types = [type(event) for event in events if not isinstance(event, ArgumentsDelta)]
    assert told_types == [TurnStarted, CallStarted, CallReady]


def test_arguments_are_told_value_by_value() -> None:
    turn, events = told(scripted(PARIS), request())

    pieces = [event for event in events if isinstance(event, ArgumentsDelta)]
    assert "".join(piece.text for piece in pieces) == '{"city": "Paris", "days": 3}'
    assert len(pieces) > 2
    assert {piece.call_id for piece in pieces} == {turn.tool_calls[0].id}
    assert events.index(pieces[-1]) == len(events) - 2


PLACES = tool(
    {
        "name": "find_place",
        "parameters": {
            "anyOf": [
                {"properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]},
                {
                    "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                    "required": ["lat", "lon"],
                },
                {"$ref": "#/$defs/near"},
            ],
            "type": "object",
            "$defs": {"near": {"properties": {"city": {"const": "here"}, "km": {}}, "required": ["km"]}},
        },
    }
)


@pytest.mark.parametrize(
    "arguments",
    [{"city": "Paris"}, {"lat": 48.8, "lon": 2.3}, {"city": "here", "km": 5}, {"km": [1]}],
    ids=str,
)
def test_the_backbone_chooses_among_alternatives_at_the_root(arguments: dict[str, Any]) -> None:
    wanted = call_ids("find_place", **arguments)

    turn, _ = told(scripted(wanted), request(tools=(PLACES, TIME), max_tokens=100))

    assert [call.arguments for call in turn.tool_calls] == [arguments]
    assert set(turn.tool_calls[0].slots) == set(arguments)


def test_values_carry_their_evidence() -> None:
    turn, _ = told(scripted(PARIS), request())

    slots = turn.tool_calls[0].slots
    spans = {path: slot.evidence for path, slot in slots.items()}
    assert {path: span and MESSAGES[0].content[span.start : span.end] for path, span in spans.items()} == {
        "city": "Paris",
        "days": "3",
    }
    assert all(0.99 < slot.confidence <= 1.0 for slot in slots.values())


def test_a_call_takes_far_fewer_forwards_than_tokens() -> None:
    backbone = scripted(PARIS)

    turn, _ = told(backbone, request())

    assert turn.usage.forwards == len(backbone.forwards) <= 12
    assert turn.usage.completion_tokens == len(PARIS)
    assert turn.usage.completion_tokens > 2 * turn.usage.forwards


def test_an_unlikely_call_becomes_words() -> None:
    turn, events = told(scripted("It is sunny."), request())

    assert (turn.content, turn.tool_calls, turn.stop_reason) == ("It is sunny.", (), "stop")
    assert turn.plan.kind == "chat" and turn.plan.call_probability < 0.01
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is sunny."


def test_words_cost_no_more_forwards_because_tools_are_offered() -> None:
    with_tools, without = scripted("It is sunny."), scripted("It is sunny.")

    told(with_tools, request())
    told(without, request(tools=()))

    assert len(with_tools.forwards) == len(without.forwards)


def test_tools_that_must_not_be_called_are_not() -> None:
    turn, _ = told(scripted(PARIS), request(tool_choice=NONE, max_tokens=5))

    assert turn.tool_calls == () and turn.plan.kind == "chat"


@pytest.mark.parametrize(("choice", "name"), [(REQUIRED, "get_weather"), (NAMED, "get_time")])
def test_a_required_call_is_made_whatever_the_backbone_wants(choice: ToolChoice, name: str) -> None:
    def row_after(tokens: tuple[int, ...]) -> Row:
        row = random_rows(VOCAB)(tokens)
        row[VIEW.call_open] = -50.0
        row[VIEW.encode("get")[0]] += 5.0
        return row

    offered = (WEATHER,) if choice == REQUIRED else (WEATHER, TIME)
    turn, _ = told(TableBackbone(row_after), request(tools=offered, tool_choice=choice, is_parallel=False))

    assert [call.name for call in turn.tool_calls] == [name]
    assert turn.plan.call_probability < 0.01


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"tool_choice": REQUIRED, "tools": ()}, "no tools", id="required"),
        pytest.param(
            {"tool_choice": ToolChoice(mode="required", name="get_rich")}, "not offered", id="unknown"
        ),
    ],
)
def test_a_choice_that_cannot_be_kept_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolChoiceError, match=words):
        turn_program(request(**changes), VIEW)


def test_several_calls_come_in_one_turn() -> None:
    utc = call_ids("get_time", zone="UTC")
    backbone = scripted(PARIS, *VIEW.calls_joint, utc)

    turn, events = told(backbone, request())

    assert [call.name for call in turn.tool_calls] == ["get_weather", "get_time"]
    assert len({call.id for call in turn.tool_calls}) == 2
    assert [event.name for event in events if isinstance(event, CallStarted)] == ["get_weather", "get_time"]


def test_one_call_is_made_where_only_one_may_be() -> None:
    backbone = scripted(PARIS, *VIEW.calls_joint, call_ids("get_time"))

    turn, _ = told(backbone, request(is_parallel=False))

    assert len(turn.tool_calls) == 1


def test_no_more_calls_are_made_than_allowed() -> None:
    calls: list[Any] = [
        part for zone in ("UTC", "CET") for part in (*VIEW.calls_joint, call_ids("get_time", zone=zone))
    ]

    turn, _ = told(scripted(PARIS, *calls), request(max_calls=2))

    assert len(turn.tool_calls) == 2


def test_a_repeated_call_ends_the_turn() -> None:
    turn, _ = told(scripted(PARIS, *VIEW.calls_joint, PARIS, *VIEW.calls_joint, PARIS), request())

    assert len(turn.tool_calls) == 1 and turn.stop_reason == "tool_calls"


def test_words_before_a_call_are_kept() -> None:
    turn, events = told(scripted("Let me see.\n", PARIS), request())

    assert (turn.content, len(turn.tool_calls), turn.stop_reason) == ("Let me see.", 1, "tool_calls")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me see."


def test_a_call_written_without_its_tags_is_still_made() -> None:
    words = json.dumps({"name": "get_weather", "arguments": {"city": "Paris"}})

    turn, events = told(scripted(words), request())

    assert [call.name for call in turn.tool_calls] == ["get_weather"]
    assert not [event for event in events if isinstance(event, TextDelta)]


def test_words_that_only_look_like_a_call_are_words() -> None:
    turn, events = told(scripted('{"a": 1}'), request())

    assert (turn.content, turn.tool_calls) == ('{"a": 1}', ())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == '{"a": 1}'


def test_a_bias_makes_calls_likelier_or_rarer() -> None:
    eager, _ = told(scripted("It is sunny."), request(call_bias=100.0))
    shy, _ = told(scripted(PARIS), request(call_bias=-100.0, max_tokens=5))

    assert eager.tool_calls and not shy.tool_calls


def test_a_doubtful_call_is_not_made() -> None:
    def row_after(tokens: tuple[int, ...]) -> Row:
        row = random_rows(VOCAB, scale=0.1)(tokens)
        row[VIEW.call_open] = 50.0
        return row

    doubtful, _ = told(TableBackbone(row_after), request(abstain_below=0.9))
    asked_for, _ = told(
        TableBackbone(row_after), request(abstain_below=0.9, tool_choice=REQUIRED, is_parallel=False)
    )

    assert (doubtful.stop_reason, doubtful.tool_calls) == ("abstained", ())
    assert asked_for.stop_reason == "tool_calls"


def test_who_gets_no_doubtful_call_gets_words() -> None:
    words = tuple(VIEW.encode("Sorry."))

    def row_after(tokens: tuple[int, ...]) -> Row:
        row = random_rows(VOCAB, scale=0.1)(tokens)
        said = tokens[-len(words) :]
        following = next((n for n in range(len(words), 0, -1) if said[-n:] == words[:n]), 0)
        if VIEW.call_open in tokens:
            return row
        row[VIEW.call_open] = 50.0 if not following else 0.0
        row[words[following] if following < len(words) else VIEW.ends[0]] = 49.0
        return row

    turn, events = told(TableBackbone(row_after), request(abstain_below=0.9))

    assert (turn.stop_reason, turn.content, turn.tool_calls) == ("abstained", "Sorry.", ())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Sorry."


def test_a_call_that_does_not_fit_is_not_made() -> None:
    turn, _ = told(scripted(PARIS), request(max_tokens=15))

    assert (turn.stop_reason, turn.tool_calls) == ("length", ())


def test_a_call_that_is_asked_for_is_completed_by_a_backbone_that_ends_no_value() -> None:
    parameters = {"properties": {"text": {"type": "string"}}, "required": ["text"]}
    note = tool({"name": "note", "parameters": parameters})
    row = np.zeros(VOCAB, np.float32)
    row[VIEW.vocabulary.tokens.index(b"a")] = 9.0
    asked = request(tools=(note,), tool_choice=REQUIRED, is_parallel=False, max_tokens=150)

    turn, _ = told(TableBackbone(lambda tokens: row), asked)

    assert [call.name for call in turn.tool_calls] == ["note"]
    assert turn.usage.completion_tokens <= 150


ORDER = tool(
    {
        "name": "order",
        "parameters": {
            "type": "object",
            "properties": {
                "rows": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                            "note": {"type": "string"},
                            "sizes": {"type": "array", "items": {"type": "integer"}},
                            "extra": {},
                        },
                        "required": ["sku"],
                    },
                },
                "to": {"type": "string", "minLength": 10},
                "is_gift": {"type": "boolean"},
            },
            "required": ["rows", "to", "is_gift"],
        },
    }
)


@pytest.mark.parametrize("max_tokens", [84, 90, 120, 200, 300])
@pytest.mark.parametrize("seed", range(3))
def test_a_call_is_finished_within_the_tokens_of_the_turn(max_tokens: int, seed: int) -> None:
    closing = [i for i, text in enumerate(VIEW.vocabulary.tokens) if b"]" in text or b"}" in text]

    def row_after(tokens: tuple[int, ...]) -> Row:
        row = random_rows(VOCAB, seed=seed)(tokens)
        row[closing] -= 50.0  # never ends anything by itself
        return row

    asked = request(tools=(ORDER,), tool_choice=REQUIRED, is_parallel=False, max_tokens=max_tokens)

    turn, _ = told(TableBackbone(row_after), asked)

    assert [ORDER.validate(call.arguments) for call in turn.tool_calls] == [()]
    assert turn.usage.completion_tokens <= max_tokens
    assert turn.tool_calls[0].confidence == 0.0


def looping(text: str) -> TableBackbone:
    """A backbone that writes a note which repeats a text for ever."""
    start, copy = VIEW.encode('\n{"name": "note", "arguments": {"text": "'), VIEW.encode(text)
    ids = [*start, *(copy * 400)]

    def row_after(tokens: tuple[int, ...]) -> Row:
        row = np.zeros(VOCAB, np.float32)
        row[VIEW.call_open if len(tokens) == len(PROMPT) else ids[len(tokens) - len(PROMPT) - 1]] = 60.0
        return row

    return TableBackbone(row_after)


NOTE = tool(
    {"name": "note", "parameters": {"properties": {"text": {"type": "string"}}, "required": ["text"]}}
)


@pytest.mark.parametrize("text", [" and Rome", "GT", "a", "the same sentence again. "])
def test_a_text_that_only_repeats_itself_is_ended(text: str) -> None:
    turn, _ = told(looping(text), request(tools=(NOTE,), is_parallel=False, max_tokens=1000))

    (call,) = turn.tool_calls
    assert len(VIEW.encode(call.arguments["text"])) <= max(MIN_TOKENS, MIN_COPIES * len(VIEW.encode(text)))
    assert call.arguments["text"].startswith(3 * text)
    assert call.confidence == 0.0


def test_a_repetition_that_was_said_may_be_quoted() -> None:
    said = "GT" * 100
    messages = (Message(role="user", content=f"Note down {said} please."),)

    turn, _ = told(
        looping("GT"), request(messages=messages, tools=(NOTE,), is_parallel=False, max_tokens=1000)
    )

    assert len(said) <= len(turn.tool_calls[0].arguments["text"]) <= len(said) + 2


def test_short_repetitions_are_left_alone() -> None:
    line = "=" * 40

    turn, _ = told(scripted(call_ids("note", text=line)), request(tools=(NOTE,), max_tokens=300))

    assert turn.tool_calls[0].arguments == {"text": line}


def test_thoughts_are_kept_apart_from_words_and_calls() -> None:
    opening = list(VIEW.reasoning_open)
    close = list(VIEW.reasoning_close)
    backbone = scripted(opening, "They ask for weather.", close, PARIS)

    turn, events = told(backbone, request(is_thinking=True))

    assert turn.reasoning == "They ask for weather."
    assert turn.content == "" and turn.tool_calls[0].arguments == {"city": "Paris", "days": 3}
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == turn.reasoning
    assert turn.usage.reasoning_tokens > 0


def test_a_thought_ends_at_its_budget() -> None:
    def row_after(tokens: tuple[int, ...]) -> Row:
        row = random_rows(VOCAB)(tokens)
        if VIEW.think_close not in tokens:
            row[VIEW.encode("a")[0]] = 50.0
        else:
            row[END] = 50.0
        return row

    turn, _ = told(TableBackbone(row_after), request(is_thinking=True, think_budget_tokens=7, tools=()))

    assert turn.reasoning == "a" * 7
    assert (turn.content, turn.usage.reasoning_tokens) == ("", 7)


def test_the_same_seed_gives_the_same_turn() -> None:
    def made(seed: int) -> Turn:
        asked = request(tool_choice=REQUIRED, sampling=Sampling(temperature=1.5, top_p=0.95, seed=seed))
        return run_program(turn_program(asked, VIEW, clock=lambda: 0.0), TableBackbone(random_rows(VOCAB)))

    assert made(1) == made(1)
    assert made(1).tool_calls != made(2).tool_calls


def test_time_is_booked_to_its_phase() -> None:
    ticks = itertools.count()

    turn = run_program(
        turn_program(request(prompt_ms=2.0, queue_ms=3.0), VIEW, clock=lambda: float(next(ticks))),
        scripted(PARIS),
    )

    assert (turn.timings.prefill_ms, turn.timings.fill_ms, turn.timings.decide_ms) == (1000, 1000, 1000)
    assert turn.timings.total_ms == 7005.0


def test_log_probabilities_come_on_request() -> None:
    turn, _ = told(scripted("It is sunny."), request(top_logprobs=2))

    assert turn.logprobs is not None
    assert "".join(token.token for token in turn.logprobs) == "It is sunny."
    assert all(token.logprob > -0.01 and len(token.top) == 2 for token in turn.logprobs)
    best, logprob = turn.logprobs[0].top[0]
    assert best == turn.logprobs[0].token and logprob == pytest.approx(turn.logprobs[0].logprob)


@pytest.mark.parametrize("words", ["", "Let me look. "])
def test_log_probabilities_of_a_call_come_with_it(words: str) -> None:
    turn, _ = told(scripted(words, PARIS), request(top_logprobs=2))

    (call,) = turn.tool_calls
    assert call.logprobs is not None and turn.logprobs is not None
    text = "".join(token.token for token in call.logprobs)
    assert json.loads(text) == {"name": "get_weather", "arguments": call.arguments}
    assert "".join(token.token for token in turn.logprobs).strip() == words.strip()
    assert all(token.logprob == 0.0 for token in call.logprobs if len(token.top) == 1)
    decided = [token for token in call.logprobs if len(token.top) == 2]
    assert decided and all(token.top[0] == (token.token, pytest.approx(token.logprob)) for token in decided)
    # A token may be split between a value's end and what comes behind it; the product is the same.
    assert math.exp(sum(token.logprob for token in call.logprobs)) == pytest.approx(call.confidence)


def test_log_probabilities_of_calls_are_not_told_unasked() -> None:
    turn, _ = told(scripted(PARIS), request())

    assert (turn.logprobs, turn.tool_calls[0].logprobs) == (None, None)


def test_closing_a_program_ends_the_turn() -> None:
    program = turn_program(request(), VIEW)
    next(program)

    program.close()

    with pytest.raises(StopIteration):
        next(program)


class Distrustful:
    """A tool that accepts nothing."""

    name = "get_time"
    call_shapes = TIME.call_shapes

    def validate(self, arguments: Any) -> tuple[str, ...]:
        return ("no",)


def test_a_call_its_tool_does_not_accept_never_leaves_the_engine() -> None:
    with pytest.raises(AgentRuntimeError, match="report it"):
        told(scripted(call_ids("get_time")), request(tools=(Distrustful(),)))


HOSTILE: dict[str, Callable[[tuple[int, ...]], Row]] = {
    "all the same": lambda tokens: np.zeros(VOCAB, np.float32),
    "control tokens only": lambda tokens: np.array(
        [9.0 if not VIEW.vocabulary.tokens[i] else -9.0 for i in range(VOCAB)], np.float32
    ),
    "not a number": lambda tokens: np.full(VOCAB, np.nan, np.float32),
    "infinite": lambda tokens: np.full(VOCAB, np.inf, np.float32),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("choice", [AUTO, REQUIRED], ids=lambda choice: choice.mode)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_broken_backbone_yields_valid_calls_or_words(name: str, choice: ToolChoice) -> None:
    turn, _ = told(TableBackbone(HOSTILE[name]), request(tool_choice=choice, max_tokens=300))

    tools: dict[str, Tool] = {WEATHER.name: WEATHER, TIME.name: TIME}
    assert all(tools[call.name].validate(call.arguments) == () for call in turn.tool_calls)
    assert choice == AUTO or turn.tool_calls or turn.stop_reason == "length"
    assert "<|" not in turn.content and "<tool_call>" not in turn.content
