"""Whether the services still answer in the form the hand-made fixtures have; only with `-m live`.

Every key and type of the stand-in's answer has to be in the real one; the real one may have more.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import pytest
from bots.identity import user_agent
from bots.stand_in import StandIn

pytestmark = pytest.mark.live

REQUESTS = [
    pytest.param("https://geocoding-api.open-meteo.com", "/v1/search?name=Oslo&count=1", id="geocoder"),
    pytest.param(
        "https://api.open-meteo.com",
        "/v1/forecast?latitude=59.9&longitude=10.7&forecast_days=2&timezone=auto"
        "&current=temperature_2m,weather_code,wind_speed_10m"
        "&daily=weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum",
        id="forecast",
    ),
    pytest.param("https://en.wikipedia.org", "/w/rest.php/v1/search/page?q=Oslo&limit=2", id="search"),
    pytest.param("https://en.wikipedia.org", "/api/rest_v1/page/summary/Oslo", id="summary"),
    pytest.param("https://api.frankfurter.dev", "/v2/rate/EUR/USD", id="rate"),
    pytest.param(
        "https://earthquake.usgs.gov", "/earthquakes/feed/v1.0/summary/4.5_week.geojson", id="earthquakes"
    ),
]


def shape(value: Any, path: str = "$") -> set[str]:
    """Every path of a JSON value with its type; items of lists are taken together, nulls say nothing."""
    if isinstance(value, dict):
        return {f"{path}: object"}.union(*(shape(item, f"{path}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {f"{path}: array"}.union(*(shape(item, f"{path}[]") for item in value))
    if value is None:
        return set()
    kinds = {str: "string", bool: "boolean", int: "number", float: "number"}
    return {f"{path}: {kinds[type(value)]}"}


async def ask(url: str) -> Any:
    headers = {"User-Agent": user_agent(os.environ.get("SMOLCALL_CONTACT", "https://example.org/live-tests"))}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json(content_type=None)


@pytest.mark.parametrize(("service", "request_path"), REQUESTS)
async def test_service_answers_in_the_form_of_the_fixtures(service: str, request_path: str) -> None:
    async with StandIn() as stand_in:
        ours = shape(await ask(stand_in.url + request_path))

    real = shape(await ask(service + request_path))

    assert ours - real == set()
