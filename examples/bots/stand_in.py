"""A local server that speaks the wire formats of all four services, for `--offline` and for tests.

Its data are the hand-made fixtures beside it, moved to today; nothing was recorded. It refuses what the
services refuse, and tests can tell it to misbehave (`fail_next`).
"""

from __future__ import annotations

import asyncio
import collections
import copy
import datetime
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

MADE_UP = "made-up data of the local stand-in"
"""What is shown as the source of everything it says."""

FIXTURES = Path(__file__).with_name("fixtures")

Fault = Literal["429", "500", "slow", "cut off", "broken json", "html", "empty", "other shape"]
"""How it can misbehave: refuse, fail, not answer, break off, or answer with something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    path: str
    query: dict[str, str]
    user_agent: str


class StandIn:
    """The server; `async with` it, then `url` is where all four services are.

    Attributes:
        asked: the requests so far.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._faults: collections.deque[tuple[Fault, str | None]] = collections.deque()
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The base address of every service."""
        return self._url

    def fail_next(self, *faults: Fault, retry_after: str | None = None) -> None:
        """Misbehave in these ways on the next requests, one each, then answer again.

        Args:
            *faults: how.
            retry_after: the header that goes with `429`.
        """
        self._faults.extend((fault, retry_after) for fault in faults)

    async def __aenter__(self) -> Self:
        """Listen on a free port of this machine."""
        app = web.Application(middlewares=[self._misbehave])
        app.router.add_get("/v1/search", _places)
        app.router.add_get("/v1/forecast", _forecast)
        app.router.add_get("/w/rest.php/v1/search/page", _search)
        app.router.add_get("/api/rest_v1/page/summary/{title}", _summary)
        app.router.add_get("/v2/rate/{base}/{quote}", _rate)
        app.router.add_get("/earthquakes/feed/v1.0/summary/{name}.geojson", _feed)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _misbehave(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        self.asked.append(Asked(path=request.path, query=dict(request.query), user_agent=agent))
        if self._faults:
            fault, retry_after = self._faults.popleft()
            return await _failed(request, fault, retry_after)
        return await handler(request)


async def _failed(request: web.Request, fault: Fault, retry_after: str | None) -> web.StreamResponse:
    match fault:
        case "429":
            headers = {"Retry-After": retry_after} if retry_after is not None else {}
            return _json({"error": True, "reason": "Minutely API request limit exceeded."}, 429, headers)
        case "500":
            return web.Response(status=500, text="Internal Server Error")
        case "slow":
            await asyncio.Event().wait()
        case "cut off":
            response = web.StreamResponse(
                headers={"Content-Length": "1000", "Content-Type": "application/json"}
            )
            await response.prepare(request)
            await response.write(b'{"results": [')
            assert request.transport is not None
            request.transport.abort()
            return response
        case "broken json":
            return web.Response(text='{"results": [{"name": "Os', content_type="application/json")
        case "html":
            return web.Response(text="<html><title>Please log in</title></html>", content_type="text/html")
        case "empty":
            return web.Response(body=b"")
    return _json({"hello": ["world"]})


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


@cache
def _fixture(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


# -- Open-Meteo


async def _places(request: web.Request) -> web.Response:
    """The geocoder: an empty answer has no `results` at all."""
    name = request.query.get("name", "").casefold()
    places = [place for place in _fixture("open_meteo_places.json") if place["name"].casefold() == name]
    if len(name) >= 3 and not places:
        places = [
            place for place in _fixture("open_meteo_places.json") if place["name"].casefold().startswith(name)
        ]
    answer: dict[str, Any] = {"generationtime_ms": 0.5}
    if places:
        answer = {"results": places[: int(request.query.get("count", "10"))], **answer}
    return _json(answer)


async def _forecast(request: web.Request) -> web.Response:
    try:
        latitude, longitude = float(request.query["latitude"]), float(request.query["longitude"])
        num_days = int(request.query.get("forecast_days", "7"))
    except (KeyError, ValueError):
        return _refused("Parameter 'latitude' and 'longitude' must be numbers")
    if not -90 <= latitude <= 90:
        return _refused(f"Latitude must be in range of -90 to 90°. Given: {latitude}.")
    if not 0 <= num_days <= 16:
        return _refused(f"Forecast days is invalid. Allowed range 0 to 16. Given {num_days}.")
    answer = copy.deepcopy(_fixture("open_meteo_forecast.json"))
    answer.update(latitude=round(latitude, 2), longitude=round(longitude, 2))
    warmer = round((45 - abs(latitude)) * 0.5, 1)
    today = datetime.datetime.now(tz=datetime.UTC)
    answer["current"]["time"] = today.strftime("%Y-%m-%dT%H:00")
    answer["current"]["temperature_2m"] = round(answer["current"]["temperature_2m"] + warmer, 1)
    daily = answer["daily"]
    daily["time"] = [(today.date() + datetime.timedelta(days=day)).isoformat() for day in range(16)]
    for name in ("temperature_2m_max", "temperature_2m_min"):
        daily[name] = [round(degrees + warmer, 1) for degrees in daily[name]]
    for block in ("current", "daily"):
        asked = {"time", "interval", *request.query.get(block, "").split(",")}
        if block not in request.query:
            del answer[block], answer[f"{block}_units"]
            continue
        for part in (block, f"{block}_units"):
            answer[part] = {name: value for name, value in answer[part].items() if name in asked}
    if "daily" in answer:
        answer["daily"] = {name: values[:num_days] for name, values in answer["daily"].items()}
    return _json(answer)


def _refused(reason: str) -> web.Response:
    return _json({"error": True, "reason": reason}, 400)


# -- Wikipedia


async def _search(request: web.Request) -> web.Response:
    if (blocked := _blocked(request)) is not None:
        return blocked
    words = request.query.get("q", "").casefold().split()
    found = [page for page in _fixture("wikipedia_pages.json") if _fits(page, words)]
    pages = [
        {
            "id": page["pageid"],
            "key": page["titles"]["canonical"],
            "title": page["title"],
            "excerpt": page["extract"].replace(
                page["title"], f'<span class="searchmatch">{page["title"]}</span>'
            ),
            "matched_title": None,
            "description": page["description"],
            "thumbnail": None,
        }
        for page in found[: int(request.query.get("limit", "50"))]
    ]
    return _json({"pages": pages})


def _fits(page: dict[str, Any], words: list[str]) -> bool:
    title = page["title"].casefold()
    return bool(words) and all(word in title for word in words)


async def _summary(request: web.Request) -> web.Response:
    if (blocked := _blocked(request)) is not None:
        return blocked
    title = request.match_info["title"].replace(" ", "_")
    for page in _fixture("wikipedia_pages.json"):
        if page["titles"]["canonical"] == title:
            return _json(page)
    return _json(
        {"type": "Internal error", "title": "Not found.", "httpCode": 404, "httpReason": "Not Found"}, 404
    )


def _blocked(request: web.Request) -> web.Response | None:
    """Wikimedia turns away programs that do not say how their owner can be reached."""
    agent = request.headers.get("User-Agent", "")
    if "@" in agent or "://" in agent:
        return None
    return web.Response(status=403, text="Please set a user-agent and respect our robot policy.")


# -- Frankfurter


async def _rate(request: web.Request) -> web.Response:
    fixture = _fixture("frankfurter_rates.json")
    rates = {fixture["base"]: 1.0, **fixture["rates"]}
    base, quote = request.match_info["base"].upper(), request.match_info["quote"].upper()
    for code in (base, quote):
        if code not in rates:
            return _json({"status": 422, "message": f"invalid currency: {code}"}, 422)
    rate = float(f"{rates[quote] / rates[base]:.5g}")
    return _json({"date": fixture["date"], "base": base, "quote": quote, "rate": rate})


# -- USGS


_PERIODS_H = {"hour": 1, "day": 24, "week": 7 * 24, "month": 30 * 24}
_SMALLEST = {"significant": 6.0, "4.5": 4.5, "2.5": 2.5, "1.0": 1.0, "all": -10.0}


async def _feed(request: web.Request) -> web.Response:
    size, _, period = request.match_info["name"].partition("_")
    if size not in _SMALLEST or period not in _PERIODS_H:
        return web.Response(status=404, text="404 Not Found")
    feed = copy.deepcopy(_fixture("usgs_feed.json"))
    now_ms = int(time.time() * 1000)
    shift_ms = now_ms - feed["metadata"]["generated"]
    kept = []
    for feature in feed["features"]:
        properties = feature["properties"]
        properties["time"] += shift_ms
        properties["updated"] += shift_ms
        is_recent = properties["time"] >= now_ms - _PERIODS_H[period] * 3_600_000
        if is_recent and properties["mag"] >= _SMALLEST[size]:
            kept.append(feature)
    feed["features"] = kept
    feed["metadata"].update(generated=now_ms, count=len(kept))
    return _json(feed)
