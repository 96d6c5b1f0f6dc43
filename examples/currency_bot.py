"""Money in another currency, at central banks' daily reference rates by Frankfurter.

python examples/currency_bot.py --offline "Convert 250 EUR to USD"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from bots.frankfurter import CREDIT, Conversion, Frankfurter
from bots.stand_in import MADE_UP
from bots.terminal import Bot, Context, card, run_bot
from rich.panel import Panel
from rich.text import Text

from agent_runtime import tool
from agent_runtime.tools import Hidden


@tool(timeout_s=60)  # not "idempotent": the client tries again by itself, and heeds what the service asks
async def convert_money(
    from_currency: str,
    to_currency: str,
    amount: float,
    frankfurter: Annotated[Frankfurter | None, Hidden] = None,
) -> Conversion:
    """Convert money from one currency to another.

    Args:
        from_currency: Currency to convert from.
        to_currency: Currency to convert to.
        amount: Amount of money.
        frankfurter: Whom to ask; the program says.
    """
    return await (frankfurter or Frankfurter()).convert(from_currency, to_currency, amount)


def brief(conversion: Conversion) -> dict[str, object]:
    """What the model has to know to answer in a sentence."""
    return {"amount": conversion.result, "currency": conversion.to_currency}


def conversion_card(conversion: Conversion) -> Panel:
    """The sum, and the rate it rests on."""
    body = Text(f"{conversion.amount:,.2f} {conversion.from_currency} = ")
    body.append(f"{conversion.result:,.2f} {conversion.to_currency}", style="bold green")
    rate = f"1 {conversion.from_currency} = {conversion.rate:g} {conversion.to_currency}"
    body.append(f"\n{rate}, {conversion.date:%d %B %Y}", style="dim")
    return card(body, title="Conversion", credit=conversion.credit)


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Context]:
    """Frankfurter, or the stand-in at an address."""
    service = Frankfurter() if url is None else Frankfurter(base_url=url, credit=MADE_UP)
    async with service:
        yield {"frankfurter": service}


BOT = Bot(
    title="Currency",
    about="I convert money, at today's reference rates.",
    credit=CREDIT,
    tries=("Convert 50 GBP to JPY", "Convert 250 EUR to USD", "Convert 80 CHF to EUR"),
    tools=(convert_money,),
    cards={"convert_money": conversion_card},
    briefs={"convert_money": brief},
    connect=connect,
)

if __name__ == "__main__":
    raise SystemExit(run_bot(BOT))
