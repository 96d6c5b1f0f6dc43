"""Plans a trip in steps: the weather there, what the money is worth there, and what there is to know.

A small model reads one short question well and loses the thread of a long conversation. So the program
keeps the thread: the model reads the wish into typed values, and each later step is a question made of what
is known by then. The currency to convert to follows from the country that the weather service found, and
stands in the schema as a constant: what a program knows, no model can get wrong. `--free` leaves the choice
of steps to the model, which takes a larger one.

python examples/trip_planner.py --offline "Plan a 3 day trip to Tokyo with a budget of 900 EUR"
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import currency_bot
import knowledge_bot
import weather_bot
from bots.frankfurter import CURRENCY_OF, Conversion
from bots.open_meteo import MAX_DAYS, Weather
from bots.terminal import Bot, Context, Talk, card, run_bot
from bots.wikipedia import Article
from pydantic import BaseModel, Field
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent_runtime import Tool, tool

PARTS = (weather_bot.BOT, currency_bot.BOT, knowledge_bot.BOT)
Currency = Literal["EUR", "USD", "GBP", "CHF", "JPY", "NOK", "SEK", "DKK"]


class Trip(BaseModel):
    """What somebody wishes for."""

    city: str
    days: int
    amount: float
    currency: str


@tool
def plan_trip(
    city: str, days: Annotated[int, Field(ge=1, le=MAX_DAYS)], amount: float, currency: Currency
) -> Trip:
    """Plan a trip to a city.

    Args:
        city: City to travel to.
        days: Number of days.
        amount: Amount of money.
        currency: Currency code.
    """
    return Trip(city=city, days=days, amount=amount, currency=currency)


async def plan(talk: Talk, wish: str) -> None:
    """The steps, each made of what the earlier ones found."""
    trip: Trip | None = await talk.step(wish, plan_trip)
    if trip is None:
        return
    weather: Weather | None = await _ask(
        talk, f"Weather in {trip.city} for {trip.days} days", weather_bot.get_weather
    )
    if weather is None:  # there is no such place, and without it nothing to plan
        return
    local = CURRENCY_OF.get(weather.country_code)
    money: Conversion | None = None
    if local is not None and local != trip.currency:
        money = await _ask(
            talk,
            f"Convert {trip.amount:g} {trip.currency} to {local}",
            currency_bot.convert_money,
            from_currency=trip.currency,
            to_currency=local,
        )
    article: Article | None = await _ask(talk, f"Tell me about {weather.place}", knowledge_bot.look_up)
    talk.show(plan_card(trip, weather, money, article))


async def _ask(talk: Talk, question: str, tool: Tool, **known: Any) -> Any:
    talk.echo(question)
    return await talk.step(question, tool, **known)


def trip_card(trip: Trip) -> Text:
    """The wish as it was read."""
    return Text(f"  {trip.days} days in {trip.city} with {trip.amount:g} {trip.currency}", style="green")


def plan_card(trip: Trip, weather: Weather, money: Conversion | None, article: Article | None) -> Panel:
    """The plan on one card."""
    low, high = min(day.low for day in weather.days), max(day.high for day in weather.days)
    num_wet = sum(day.rain_mm >= 1 for day in weather.days)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_row("pack for", f"{low:.0f} to {high:.0f} °C, rain on {num_wet} of {len(weather.days)} days")
    if money is not None:
        table.add_row(
            "spend", f"{money.result / trip.days:,.0f} {money.to_currency} a day, {money.result:,.0f} in all"
        )
    else:
        table.add_row("spend", f"{trip.amount / trip.days:,.0f} {trip.currency} a day")
    if article is not None:
        table.add_row("know", article.summary.split(". ")[0].rstrip(".") + ".")
    title = f"{trip.days} days in {weather.place}, {weather.country}"
    credits = [part.credit for part in (weather, money, article) if part is not None]
    return card(table, title=title, credit="; ".join(dict.fromkeys(credits)))


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Context]:
    """The services of all three parts."""
    async with AsyncExitStack() as stack:
        context: dict[str, object] = {}
        for part in PARTS:
            context.update(await stack.enter_async_context(part.connect(url)))
        yield context


BOT = Bot(
    title="Trip planner",
    about="Tell me where, for how long and with how much money.",
    credit="Open-Meteo, Frankfurter, Wikipedia",
    tries=(
        "Plan a 3 day trip to Tokyo with a budget of 900 EUR",
        "Plan a trip to Oslo for 4 days. The amount is 500 EUR.",
        "Plan a 5 day trip to London with a budget of 800 EUR",
    ),
    tools=tuple(tool for part in PARTS for tool in part.tools),
    cards={name: show for part in PARTS for name, show in part.cards.items()} | {"plan_trip": trip_card},
    briefs={name: brief for part in PARTS for name, brief in part.briefs.items()},
    connect=connect,
    script=plan,
)

if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--free"]
    is_free = len(arguments) < len(sys.argv) - 1
    raise SystemExit(run_bot(replace(BOT, script=None, max_turns=6) if is_free else BOT, arguments))
