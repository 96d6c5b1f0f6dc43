"""Weather by Open-Meteo: a place name becomes coordinates, coordinates become a forecast.

No key; free for non-commercial use, 600 requests a minute; data are CC BY 4.0 and want to be credited.
Formats: https://open-meteo.com/en/docs and /geocoding-api.
"""

from __future__ import annotations

import datetime

from pydantic import BaseModel, TypeAdapter

from .api import DEFAULT_LIMITS, ApiError, JsonApi, Limits, Service
from .identity import user_agent

CREDIT = "Weather data by Open-Meteo.com, CC BY 4.0"
FORECAST_URL = "https://api.open-meteo.com"
GEOCODING_URL = "https://geocoding-api.open-meteo.com"
MAX_DAYS = 16

# WMO code table 4677 as Open-Meteo uses it.
CONDITIONS = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "freezing fog",
    51: "light drizzle",
    53: "drizzle",
    55: "heavy drizzle",
    56: "freezing drizzle",
    57: "freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "freezing rain",
    67: "freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light showers",
    81: "showers",
    82: "heavy showers",
    85: "snow showers",
    86: "heavy snow showers",
    95: "thunderstorm",
    96: "thunderstorm with hail",
    99: "thunderstorm with hail",
}


class Day(BaseModel):
    """The weather of one day; degrees Celsius, millimetres."""

    date: datetime.date
    condition: str
    low: float
    high: float
    rain_mm: float


class Weather(BaseModel):
    """The weather of a place now and on the days asked for."""

    place: str
    country: str
    country_code: str
    condition: str
    temperature: float
    wind_kmh: float
    days: list[Day]
    credit: str


class _Place(BaseModel):
    name: str
    latitude: float
    longitude: float
    country: str = ""
    country_code: str = ""
    timezone: str = "auto"


class _Places(BaseModel):
    results: list[_Place] = []  # left out where nothing was found


class _Current(BaseModel):
    temperature_2m: float
    weather_code: int
    wind_speed_10m: float


class _Daily(BaseModel):
    time: list[datetime.date]
    weather_code: list[int | None]
    temperature_2m_max: list[float | None]
    temperature_2m_min: list[float | None]
    precipitation_sum: list[float | None]


class _Forecast(BaseModel):
    current: _Current
    daily: _Daily


_PLACES = TypeAdapter(_Places)
_FORECAST = TypeAdapter(_Forecast)


class OpenMeteo(Service):
    """Open-Meteo's forecast and geocoder.

    Args:
        forecast_url: where forecasts are.
        geocoding_url: where places are.
        credit: whose data it is, carried by every answer.
        limits: politeness and patience.
    """

    def __init__(
        self,
        *,
        forecast_url: str = FORECAST_URL,
        geocoding_url: str = GEOCODING_URL,
        credit: str = CREDIT,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._credit = credit
        agent = user_agent()
        self._forecast = JsonApi("Open-Meteo", forecast_url, user_agent=agent, limits=limits)
        self._places = JsonApi("Open-Meteo's geocoder", geocoding_url, user_agent=agent, limits=limits)
        super().__init__(self._forecast, self._places)

    async def weather(self, city: str, days: int = 1) -> Weather:
        """The weather of a city now and on the next days, today included.

        Raises:
            ApiError: there is no such place, or the service cannot be used.
        """
        place = await self._place(city)
        forecast = await self._forecast.get(
            "/v1/forecast",
            _FORECAST,
            latitude=place.latitude,
            longitude=place.longitude,
            current="temperature_2m,weather_code,wind_speed_10m",
            daily="weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum",
            timezone="auto",
            forecast_days=min(max(days, 1), MAX_DAYS),
        )
        return Weather(
            place=place.name,
            country=place.country,
            country_code=place.country_code,
            condition=_condition(forecast.current.weather_code),
            temperature=forecast.current.temperature_2m,
            wind_kmh=forecast.current.wind_speed_10m,
            days=_days(forecast.daily),
            credit=self._credit,
        )

    async def _place(self, city: str) -> _Place:
        found = await self._places.get(
            "/v1/search", _PLACES, name=city.strip(), count=1, language="en", format="json"
        )
        if not found.results:
            raise ApiError(
                f"there is no place called {city!r}: check the spelling, or name the next larger town"
            )
        return found.results[0]


def _days(daily: _Daily) -> list[Day]:
    """Open-Meteo gives one list per variable; a day whose values are missing is left out."""
    rows = zip(
        daily.time,
        daily.weather_code,
        daily.temperature_2m_min,
        daily.temperature_2m_max,
        daily.precipitation_sum,
        strict=True,
    )
    return [
        Day(date=date, condition=_condition(code), low=low, high=high, rain_mm=rain or 0.0)
        for date, code, low, high, rain in rows
        if code is not None and low is not None and high is not None
    ]


def _condition(code: int) -> str:
    return CONDITIONS.get(code, f"weather code {code}")
