"""Weather by Open-Meteo: a place is found by its name, then asked about.

python examples/weather_bot.py --offline                           # a conversation, with made-up weather
python examples/weather_bot.py "What's the weather in Oslo for 5 days?"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from bots.open_meteo import CREDIT, OpenMeteo, Weather
from bots.stand_in import MADE_UP
from bots.terminal import Bot, Context, card, run_bot
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent_runtime import tool
from agent_runtime.tools import Hidden

ICONS = {"clear": "☀", "cloud": "⛅", "overcast": "☁", "fog": "🌫", "drizzle": "🌦", "rain": "🌧", "shower": "🌦"}


@tool(timeout_s=60)  # not "idempotent": the client tries again by itself, and heeds what the service asks
async def get_weather(
    city: str, days: int = 1, open_meteo: Annotated[OpenMeteo | None, Hidden] = None
) -> Weather:
    """Current weather and forecast for a city.

    Args:
        city: City name.
        days: Number of days.
        open_meteo: Whom to ask; the program says.
    """
    return await (open_meteo or OpenMeteo()).weather(city, days)


def brief(weather: Weather) -> dict[str, object]:
    """What the model has to know to answer in a sentence."""
    return {
        "city": weather.place,
        "temperature": round(weather.temperature),
        "condition": weather.condition,
    }


def weather_card(weather: Weather) -> Panel:
    """Now, and a line for each day."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for day in weather.days:
        table.add_row(
            day.date.strftime("%a %d %b"),
            f"{_icon(day.condition)} {day.condition}",
            Text(f"{day.low:.0f}", style="blue"),
            Text(f"{day.high:.0f} °C", style="red"),
            Text(f"{day.rain_mm:.1f} mm" if day.rain_mm else "dry", style="cyan" if day.rain_mm else "dim"),
        )
    now = Text(f"{_icon(weather.condition)} {weather.temperature:.0f} °C, {weather.condition}", style="bold")
    now.append(f", wind {weather.wind_kmh:.0f} km/h\n", style="dim")
    return card(Group(now, table), title=f"{weather.place}, {weather.country}", credit=weather.credit)


def _icon(condition: str) -> str:
    for word, icon in (("thunder", "⛈"), ("snow", "🌨"), ("freezing", "🌨"), *ICONS.items()):
        if word in condition:
            return icon
    return " "


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Context]:
    """Open-Meteo, or the stand-in at an address."""
    service = OpenMeteo() if url is None else OpenMeteo(forecast_url=url, geocoding_url=url, credit=MADE_UP)
    async with service:
        yield {"open_meteo": service}


BOT = Bot(
    title="Weather",
    about="I know the weather anywhere, now and for up to 16 days.",
    credit=CREDIT,
    tries=(
        "What's the weather in Oslo?",
        "Weather in Paris for 3 days",
        "What's the weather in New York for 5 days?",
    ),
    tools=(get_weather,),
    cards={"get_weather": weather_card},
    briefs={"get_weather": brief},
    connect=connect,
)

if __name__ == "__main__":
    raise SystemExit(run_bot(BOT))
