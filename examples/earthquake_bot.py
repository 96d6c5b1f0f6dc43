"""Earthquakes of the last days, from the feeds of the U.S. Geological Survey.

python examples/earthquake_bot.py --offline "Find earthquakes of magnitude 5"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from bots.stand_in import MADE_UP
from bots.terminal import Bot, Context, card, plain, run_bot
from bots.usgs import CREDIT, Earthquakes, Usgs
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent_runtime import tool
from agent_runtime.tools import Hidden


@tool(timeout_s=60)  # not "idempotent": the client tries again by itself, and heeds what the service asks
async def find_earthquakes(
    min_magnitude: float = 4.5, days: int = 1, usgs: Annotated[Usgs | None, Hidden] = None
) -> Earthquakes:
    """Find recent earthquakes.

    Args:
        min_magnitude: Smallest magnitude.
        days: Number of days back.
        usgs: Whom to ask; the program says.
    """
    return await (usgs or Usgs()).earthquakes(min_magnitude, days)


def brief(earthquakes: Earthquakes) -> dict[str, object]:
    """What the model has to know to answer in a sentence."""
    if not earthquakes.strongest:
        return {"count": 0}
    strongest = earthquakes.strongest[0]
    return {"count": earthquakes.count, "strongest": strongest.magnitude, "place": strongest.place}


def earthquakes_card(earthquakes: Earthquakes) -> Panel:
    """The strongest ones; the longer and redder the bar, the stronger."""
    table = Table("", "", "where", "when (UTC)", "depth", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for one in earthquakes.strongest:
        style = "red" if one.magnitude >= 6 else "yellow" if one.magnitude >= 5 else "green"
        table.add_row(
            Text("█" * max(1, round((one.magnitude - 3) * 2)), style=style),
            Text(f"{one.magnitude:.1f}", style=f"bold {style}"),
            plain(one.place),
            Text(f"{one.time:%d %b %H:%M}", style="dim"),
            Text(f"{one.depth_km:.0f} km", style="dim"),
        )
    left = earthquakes.count - len(earthquakes.strongest)
    title = f"{earthquakes.count} earthquakes" + (f", the {left} weakest not shown" if left else "")
    return card(table if earthquakes.strongest else Text("none"), title=title, credit=earthquakes.credit)


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Context]:
    """The USGS feeds, or the stand-in at an address."""
    service = Usgs() if url is None else Usgs(base_url=url, credit=MADE_UP)
    async with service:
        yield {"usgs": service}


BOT = Bot(
    title="Earthquakes",
    about="I know where the ground has shaken on the last days.",
    credit=CREDIT,
    tries=(
        "Find earthquakes of magnitude 5",
        "Earthquakes above magnitude 6 in the last 7 days",
        "Show me earthquakes of magnitude 4.5 for 2 days",
    ),
    tools=(find_earthquakes,),
    cards={"find_earthquakes": earthquakes_card},
    briefs={"find_earthquakes": brief},
    connect=connect,
)

if __name__ == "__main__":
    raise SystemExit(run_bot(BOT))
