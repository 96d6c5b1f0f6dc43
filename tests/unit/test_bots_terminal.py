"""What a person sees of the example bots; the model is scripted, the services are the local stand-in."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import currency_bot
import earthquake_bot
import knowledge_bot
import pytest
import trip_planner
import weather_bot
from bots.stand_in import StandIn
from bots.terminal import Bot, Talk, plain, with_known
from hypothesis import example, given, strategies
from rich.console import Console

from agent_runtime import AgentRuntime, EvidenceSpan, SlotDetail, ToolCall, Turn
from agent_runtime.testing import Reply, call, calls, scripted_runtime
from agent_runtime.turn_engine import TurnOrder

BOTS = [weather_bot.BOT, knowledge_bot.BOT, currency_bot.BOT, earthquake_bot.BOT, trip_planner.BOT]


@asynccontextmanager
async def talking(
    bot: Bot, *replies: Reply, says: Callable[[str], str] | None = None
) -> AsyncIterator[tuple[Talk, Console, StandIn]]:
    """A conversation with a scripted model; `says` is the person who answers questions."""

    async def ask(question: str) -> str:
        assert says is not None
        return says(question)

    console = Console(file=io.StringIO(), width=90, highlight=False)
    runtime: AgentRuntime = scripted_runtime(*replies)
    async with StandIn() as stand_in, bot.connect(stand_in.url) as context, runtime:
        talk = Talk(bot, runtime, console, context=context, ask=ask if says else None)
        yield talk, console, stand_in


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("bot", "arguments", "says"),
    [
        pytest.param(
            weather_bot.BOT,
            {"city": "Oslo", "days": 2},
            ("Oslo, Norway", "light rain", "made-up data"),
            id="weather",
        ),
        pytest.param(knowledge_bot.BOT, {"topic": "Norway"}, ("deep fjords", "made-up data"), id="knowledge"),
        pytest.param(
            currency_bot.BOT,
            {"from_currency": "EUR", "to_currency": "JPY", "amount": 20},
            ("20.00 EUR = 3,567.00 JPY", "19 November 2026"),
            id="currency",
        ),
        pytest.param(
            earthquake_bot.BOT,
            {"min_magnitude": 5},
            ("3 earthquakes", "6.4", "Papua New Guinea"),
            id="earthquake",
        ),
    ],
)
async def test_result_is_shown_as_a_card_and_the_answer_below_it(
    bot: Bot, arguments: dict[str, object], says: tuple[str, ...]
) -> None:
    name = bot.tools[0].name
    async with talking(bot, calls(call(name, arguments)), "There you are.") as (talk, console, _):
        assert await talk.answer("Go")

    text = shown(console)
    for part in (f"→ {name}", *says, "There you are.", "1 call"):
        assert part in text
    assert text.index(says[0]) < text.index("There you are.")


async def test_model_reads_the_brief_and_not_the_whole_result() -> None:
    read: list[str] = []

    def answer(order: TurnOrder) -> str:
        read.append(order.messages[-1].content)
        return "Done."

    async with talking(weather_bot.BOT, calls(get_weather={"city": "Oslo", "days": 5}), answer) as (
        talk,
        _,
        _,
    ):
        await talk.answer("Go")

    assert read == ['{"city": "Oslo", "temperature": 1, "condition": "overcast"}']


async def test_failure_is_shown_in_one_plain_sentence() -> None:
    replies = (calls(get_weather={"city": "Atlantis"}), "Sorry.")
    async with talking(weather_bot.BOT, *replies) as (talk, console, _):
        is_answered = await talk.answer("Go")

    assert not is_answered
    assert "✗ there is no place called 'Atlantis'" in shown(console)
    assert "ApiError" not in shown(console)


async def test_error_of_the_runtime_does_not_end_the_conversation() -> None:
    from agent_runtime import OverloadedError

    busy = OverloadedError(queued=9, retry_after_s=1.0)
    async with talking(weather_bot.BOT, busy, "Hello again.") as (talk, console, _):
        first, second = await talk.answer("Go"), await talk.answer("Go")

    assert (first, second) == (False, True)
    assert "9 requests are already waiting" in shown(console)


def doubtful(city: str) -> Turn:
    slots = {"city": SlotDetail(value=city, confidence=0.2), "days": SlotDetail(value=2, confidence=0.3)}
    made = ToolCall(
        id="", name="get_weather", arguments={"city": city, "days": 2}, confidence=0.1, slots=slots
    )
    return calls(made)


@pytest.mark.parametrize(
    ("answers", "place", "num_days"),
    [
        pytest.param(["", ""], "Rome, Italy", 2, id="kept"),
        pytest.param(["Oslo", ""], "Oslo, Norway", 2, id="another city"),
        pytest.param(["", "3"], "Rome, Italy", 3, id="another number"),
    ],
)
async def test_doubtful_value_is_asked_about_before_the_call(
    answers: list[str], place: str, num_days: int
) -> None:
    asked: list[str] = []
    given = iter(answers)

    def person(question: str) -> str:
        asked.append(question)
        return next(given)

    async with talking(weather_bot.BOT, doubtful("Rome"), "Done.", says=person) as (talk, console, stand_in):
        await talk.answer("Go")

    assert "city = Rome?" in asked[0]
    assert "days = 2?" in asked[1]
    assert place in shown(console)
    assert stand_in.asked[-1].query["forecast_days"] == str(num_days)


async def test_person_may_refuse_a_doubtful_call() -> None:
    async with talking(weather_bot.BOT, doubtful("Rome"), "All right.", says=lambda _: "no") as (
        talk,
        console,
        stand_in,
    ):
        await talk.answer("Go")

    assert "you said no" in shown(console)
    assert stand_in.asked == []


async def test_correction_that_fits_no_schema_is_refused_readably() -> None:
    given = iter(["", "many"])
    async with talking(weather_bot.BOT, doubtful("Rome"), "Sorry.", says=lambda _: next(given)) as (
        talk,
        console,
        stand_in,
    ):
        await talk.answer("Go")

    assert "not valid" in shown(console)
    assert stand_in.asked == []


async def test_sure_value_is_not_asked_about() -> None:
    replies = (calls(get_weather={"city": "Oslo"}), "Done.")
    async with talking(weather_bot.BOT, *replies, says=lambda question: "no") as (talk, console, _):
        await talk.answer("Go")

    assert "Oslo, Norway" in shown(console)


def trip(**arguments: object) -> Turn:
    return calls(plan_trip={"city": "Tokyo", "days": 3, "amount": 900, "currency": "EUR", **arguments})


async def test_trip_is_planned_with_three_services_in_turn() -> None:
    orders: list[TurnOrder] = []

    def noted(turn: Turn) -> Callable[[TurnOrder], Turn]:
        def reply(order: TurnOrder) -> Turn:
            orders.append(order)
            return turn

        return reply

    money = {"from_currency": "EUR", "to_currency": "JPY", "amount": 900}
    replies = (
        noted(trip()),
        noted(calls(get_weather={"city": "Tokyo", "days": 3})),
        noted(calls(convert_money=money)),
        noted(calls(look_up={"topic": "Tokyo"})),
    )
    async with talking(trip_planner.BOT, *replies) as (talk, console, _):
        assert await talk.answer("Plan a 3 day trip to Tokyo with a budget of 900 EUR")

    asked = [order.messages[-1].content for order in orders]
    assert asked[1:] == ["Weather in Tokyo for 3 days", "Convert 900 EUR to JPY", "Tell me about Tokyo"]
    text = shown(console)
    for part in ("3 days in Tokyo, Japan", "53,505 JPY a day", "rain on 2 of 3 days", "4 calls"):
        assert part in text


async def test_what_the_planner_knows_the_model_cannot_write_differently() -> None:
    wrong = {"from_currency": "JPY", "to_currency": "JPY", "amount": 900}
    replies = (
        trip(),
        calls(get_weather={"city": "Tokyo", "days": 3}),
        calls(convert_money=wrong),
        calls(look_up={"topic": "Tokyo"}),
    )
    async with talking(trip_planner.BOT, *replies) as (talk, console, stand_in):
        await talk.answer("Go")

    assert "not valid" in shown(console)
    assert not any("/v2/rate" in asked.path for asked in stand_in.asked)


async def test_trip_to_nowhere_ends_after_the_weather() -> None:
    replies = (trip(city="Atlantis"), calls(get_weather={"city": "Atlantis", "days": 3}))
    async with talking(trip_planner.BOT, *replies) as (talk, console, _):
        assert await talk.answer("Go")

    assert "no place called 'Atlantis'" in shown(console)
    assert "Conversion" not in shown(console)


async def test_trip_within_a_currency_converts_nothing() -> None:
    replies = (
        trip(city="Rome"),
        calls(get_weather={"city": "Rome", "days": 3}),
        calls(look_up={"topic": "Rome"}),
    )
    async with talking(trip_planner.BOT, *replies) as (talk, console, _):
        await talk.answer("Go")

    assert "300 EUR a day" in shown(console)


async def test_plan_goes_on_without_what_is_missing() -> None:
    money = {"from_currency": "EUR", "to_currency": "JPY", "amount": 900}
    replies = (
        trip(),
        calls(get_weather={"city": "Tokyo", "days": 3}),
        calls(convert_money=money),
        calls(look_up={"topic": "xyzzy"}),
    )
    async with talking(trip_planner.BOT, *replies) as (talk, console, _):
        await talk.answer("Go")

    assert "no article about 'xyzzy'" in shown(console)
    assert "53,505 JPY a day" in shown(console)


def test_known_arguments_become_constants() -> None:
    narrowed = with_known(currency_bot.convert_money, {"to_currency": "JPY"})

    assert narrowed.validate({"from_currency": "EUR", "to_currency": "JPY", "amount": 1}) == ()
    assert narrowed.validate({"from_currency": "EUR", "to_currency": "EUR", "amount": 1}) != ()


@pytest.mark.parametrize("bot", [pytest.param(bot, id=bot.title) for bot in BOTS])
def test_greeting_says_what_to_try_and_whose_data_it_is(bot: Bot) -> None:
    console = Console(file=io.StringIO(), width=100)

    Talk(bot, scripted_runtime("Hi"), console, context={}).greet()

    assert all(question in shown(console) for question in (bot.about, bot.credit, *bot.tries))


async def test_value_from_the_conversation_looks_different_from_a_guess() -> None:
    slots = {
        "city": SlotDetail(
            value="Oslo", confidence=0.9, evidence=EvidenceSpan(message_index=0, start=0, end=4)
        ),
        "days": SlotDetail(value=7, confidence=0.8),
    }
    made = ToolCall(id="", name="get_weather", arguments={"city": "Oslo", "days": 7}, slots=slots)
    async with talking(weather_bot.BOT, calls(made), "Done.") as (talk, _, _):
        colourful = Console(file=io.StringIO(), width=90, force_terminal=True, color_system="standard")
        talk._console = colourful
        await talk.answer("Oslo")

    assert "\x1b[4;32mOslo" in shown(colourful)
    assert "\x1b[33m7" in shown(colourful)


@given(strategies.text())
@example("a\x1b[2Jb\u202ec\nd")
def test_text_of_others_cannot_steer_the_terminal(text: str) -> None:
    shown = plain(text)

    assert all(letter == "\n" or unicodedata.category(letter)[0] != "C" for letter in shown)
    assert len(shown) == len(text)
