"""Knowledge from Wikipedia: the beginning of the article that fits best.

python examples/knowledge_bot.py --offline
SMOLCALL_CONTACT=you@example.org python examples/knowledge_bot.py "Tell me about Norway"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from bots.stand_in import MADE_UP
from bots.terminal import Bot, Context, card, plain, run_bot
from bots.wikipedia import CREDIT, Article, Wikipedia
from rich.panel import Panel
from rich.text import Text

from agent_runtime import tool
from agent_runtime.tools import Hidden


@tool(timeout_s=60)  # not "idempotent": the client tries again by itself, and heeds what the service asks
async def look_up(topic: str, wikipedia: Annotated[Wikipedia | None, Hidden] = None) -> Article:
    """Look up a topic in the encyclopedia.

    Args:
        topic: Topic to look up.
        wikipedia: Whom to ask; the program says.
    """
    return await (wikipedia or Wikipedia()).look_up(topic)


def brief(article: Article) -> dict[str, object]:
    """What the model has to know to answer in a sentence."""
    return {"title": article.title, "description": article.description}


def article_card(article: Article) -> Panel:
    """The first paragraph, and where the rest is."""
    body = Text(plain(article.description), style="italic")
    body.append(f"\n\n{plain(article.summary)}\n\n", style="not italic")
    body.append(article.url, style=f"not italic blue link {article.url}")
    return card(body, title=article.title, credit=article.credit)


@asynccontextmanager
async def connect(url: str | None) -> AsyncIterator[Context]:
    """Wikipedia, or the stand-in at an address."""
    service = (
        Wikipedia() if url is None else Wikipedia(base_url=url, contact="offline@example.org", credit=MADE_UP)
    )
    async with service:
        yield {"wikipedia": service}


BOT = Bot(
    title="Knowledge",
    about="I look things up in Wikipedia.",
    credit=CREDIT,
    tries=("Tell me about Norway", "Search Wikipedia for Albert Einstein", "Search for Mount Everest"),
    tools=(look_up,),
    cards={"look_up": article_card},
    briefs={"look_up": brief},
    connect=connect,
)

if __name__ == "__main__":
    raise SystemExit(run_bot(BOT))
