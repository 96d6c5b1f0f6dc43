"""Earthquakes by the U.S. Geological Survey, from its GeoJSON summary feeds.

No key; public domain. The feeds are what USGS asks programs to use instead of queries; they change once a
minute, so a feed is kept for that long. Format: https://earthquake.usgs.gov/earthquakes/feed/v1.0/geojson.php
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

from pydantic import BaseModel, Field, TypeAdapter

from .api import DEFAULT_LIMITS, JsonApi, Limits, Service
from .identity import user_agent

CREDIT = "Earthquakes by the U.S. Geological Survey"
BASE_URL = "https://earthquake.usgs.gov"
KEPT_FOR_S = 60.0
MAX_LISTED = 5
MAX_DAYS = 30


class Earthquake(BaseModel):
    """One earthquake."""

    magnitude: float
    place: str
    time: datetime.datetime
    depth_km: float


class Earthquakes(BaseModel):
    """How many there were, and the strongest of them."""

    count: int
    strongest: list[Earthquake]
    credit: str


class _Properties(BaseModel):
    mag: float | None
    place: str | None
    time: int  # milliseconds since 1970
    type: str = "earthquake"


class _Geometry(BaseModel):
    coordinates: list[float] = Field(min_length=3, max_length=3)  # longitude, latitude, depth in km


class _Feature(BaseModel):
    properties: _Properties
    geometry: _Geometry


class _Feed(BaseModel):
    features: list[_Feature]


_FEED = TypeAdapter(_Feed)


class Usgs(Service):
    """The USGS feeds.

    Args:
        base_url: where they are.
        credit: whose data it is, carried by every answer.
        clock: seconds since 1970; tests pass one they can move.
        limits: politeness and patience.
    """

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        clock: Callable[[], float] = time.time,
        credit: str = CREDIT,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._credit = credit
        self._api = JsonApi("USGS", base_url, user_agent=user_agent(), limits=limits)
        super().__init__(self._api)
        self._clock = clock
        self._kept: dict[str, tuple[float, _Feed]] = {}

    async def earthquakes(self, min_magnitude: float = 4.5, days: int = 1) -> Earthquakes:
        """Earthquakes of at least a magnitude on the last days, the strongest first.

        Raises:
            ApiError: the service cannot be used.
        """
        since = self._clock() - 86_400 * min(max(days, 1), MAX_DAYS)
        feed = await self._feed(_feed_name(min_magnitude, days))
        found = [
            Earthquake(
                magnitude=feature.properties.mag,
                place=feature.properties.place or "an unnamed place",
                time=datetime.datetime.fromtimestamp(feature.properties.time / 1000, tz=datetime.UTC),
                depth_km=feature.geometry.coordinates[2],
            )
            for feature in feed.features
            if feature.properties.type == "earthquake"
            and feature.properties.mag is not None
            and feature.properties.mag >= min_magnitude
            and feature.properties.time / 1000 >= since
        ]
        found.sort(key=lambda earthquake: earthquake.magnitude, reverse=True)
        return Earthquakes(count=len(found), strongest=found[:MAX_LISTED], credit=self._credit)

    async def _feed(self, name: str) -> _Feed:
        kept = self._kept.get(name)
        if kept is not None and self._clock() - kept[0] < KEPT_FOR_S:
            return kept[1]
        feed = await self._api.get(f"/earthquakes/feed/v1.0/summary/{name}.geojson", _FEED)
        self._kept[name] = (self._clock(), feed)
        return feed


def _feed_name(min_magnitude: float, days: int) -> str:
    """The smallest feed that holds what is asked for."""
    smallest = next((size for size in ("4.5", "2.5", "1.0") if float(size) <= min_magnitude), "all")
    period = "day" if days <= 1 else "week" if days <= 7 else "month"
    return f"{smallest}_{period}"
