"""Knowledge from Wikipedia: a search, and the first paragraph of what it found.

Wikimedia wants a User-Agent with a contact and blocks bots that have none. Texts are CC BY-SA 4.0.
Formats: https://www.mediawiki.org/wiki/API:REST_API/Reference and
https://www.mediawiki.org/wiki/Wikimedia_REST_API (page/summary).
"""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from .api import DEFAULT_LIMITS, ApiError, JsonApi, Limits, Service
from .identity import contact_or_error, user_agent

CREDIT = "From Wikipedia, CC BY-SA 4.0"
BASE_URL = "https://en.wikipedia.org"


class Article(BaseModel):
    """The beginning of an article."""

    title: str
    description: str
    summary: str
    url: str
    credit: str


class _Hit(BaseModel):
    key: str
    title: str
    description: str | None = None


class _Hits(BaseModel):
    pages: list[_Hit]


class _Link(BaseModel):
    page: str


class _Links(BaseModel):
    desktop: _Link


class _Summary(BaseModel):
    type: str
    title: str
    description: str | None = None
    extract: str
    content_urls: _Links


_HITS = TypeAdapter(_Hits)
_SUMMARY = TypeAdapter(_Summary)


class Wikipedia(Service):
    """One language's Wikipedia.

    Args:
        base_url: where it is.
        contact: how whoever runs the bot can be reached; from the environment when left out.
        credit: whose text it is, carried by every answer.
        limits: politeness and patience.

    Raises:
        ConfigError: there is no contact, and this is the real Wikipedia.
    """

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        contact: str | None = None,
        credit: str = CREDIT,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._credit = credit
        if contact is None and base_url.endswith("wikipedia.org"):
            contact = contact_or_error("Wikipedia")
        self._api = JsonApi("Wikipedia", base_url, user_agent=user_agent(contact), limits=limits)
        super().__init__(self._api)

    async def look_up(self, topic: str) -> Article:
        """The beginning of the article that fits a topic best.

        A page that only lists meanings of a word is passed over where the search found another.

        Raises:
            ApiError: nothing was found, or the service cannot be used.
        """
        found = await self._api.get("/w/rest.php/v1/search/page", _HITS, q=topic.strip(), limit=3)
        if not found.pages:
            raise ApiError(f"Wikipedia has no article about {topic!r}: try other words")
        summaries = [await self._summary(found.pages[0])]
        if summaries[0].type == "disambiguation" and len(found.pages) > 1:
            summaries.append(await self._summary(found.pages[1]))
        best = next((one for one in summaries if one.type == "standard"), summaries[0])
        return Article(
            title=best.title,
            description=best.description or "",
            summary=best.extract,
            url=best.content_urls.desktop.page,
            credit=self._credit,
        )

    async def _summary(self, hit: _Hit) -> _Summary:
        return await self._api.get(f"/api/rest_v1/page/summary/{quote(hit.key, safe='')}", _SUMMARY)
