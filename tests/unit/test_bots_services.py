"""The example bots' four services, through their real clients against the local stand-in."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator

import pytest
from bots.api import ApiError, Limits
from bots.frankfurter import Frankfurter, currency_code
from bots.open_meteo import OpenMeteo
from bots.stand_in import StandIn
from bots.usgs import KEPT_FOR_S, Usgs
from bots.wikipedia import BASE_URL, Wikipedia
from hypothesis import given, strategies

from agent_runtime import ConfigError

QUICK = Limits(first_wait_s=0.001, requests_per_s=100)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with StandIn() as server:
        yield server


async def test_weather_of_a_place_is_found_by_its_name(stand_in: StandIn) -> None:
    async with OpenMeteo(forecast_url=stand_in.url, geocoding_url=stand_in.url, limits=QUICK) as service:
        weather = await service.weather(" oslo ", days=3)

    assert (weather.place, weather.country, weather.country_code) == ("Oslo", "Norway", "NO")
    assert weather.credit == "Weather data by Open-Meteo.com, CC BY 4.0"
    assert weather.condition == "overcast"
    assert [day.condition for day in weather.days] == ["overcast", "light rain", "light showers"]
    assert weather.days[0].date == datetime.datetime.now(tz=datetime.UTC).date()
    assert all(day.low <= day.high for day in weather.days)
    assert stand_in.asked[1].query["latitude"] == "59.91273"


@pytest.mark.parametrize("days", [-3, 0, 1, 16, 99])
async def test_any_number_of_days_is_brought_into_range(days: int, stand_in: StandIn) -> None:
    service = OpenMeteo(forecast_url=stand_in.url, geocoding_url=stand_in.url, limits=QUICK)

    weather = await service.weather("Rome", days)

    assert len(weather.days) == min(max(days, 1), 16)


async def test_place_that_does_not_exist_is_named(stand_in: StandIn) -> None:
    service = OpenMeteo(forecast_url=stand_in.url, geocoding_url=stand_in.url, limits=QUICK)

    with pytest.raises(ApiError, match="no place called 'Atlantis'"):
        await service.weather("Atlantis")


async def test_broken_geocoder_is_told_apart_from_a_broken_forecast(stand_in: StandIn) -> None:
    service = OpenMeteo(forecast_url=stand_in.url, geocoding_url=stand_in.url, limits=QUICK)
    stand_in.fail_next(*["500"] * 4)

    with pytest.raises(ApiError, match="Open-Meteo's geocoder has trouble"):
        await service.weather("Oslo")
    stand_in.fail_next()
    assert (await service.weather("Oslo")).place == "Oslo"


async def test_article_is_found_through_a_search(stand_in: StandIn) -> None:
    async with Wikipedia(base_url=stand_in.url, contact="me@example.org", limits=QUICK) as service:
        article = await service.look_up("mount everest")

    assert article.title == "Mount Everest"
    assert "8,849 metres" in article.summary
    assert article.url == "https://en.wikipedia.org/wiki/Mount_Everest"
    assert all("me@example.org" in asked.user_agent for asked in stand_in.asked)


async def test_page_that_only_lists_meanings_is_passed_over(stand_in: StandIn) -> None:
    service = Wikipedia(base_url=stand_in.url, contact="me@example.org", limits=QUICK)

    assert (await service.look_up("Mercury")).title == "Mercury (planet)"


async def test_title_with_awkward_letters_is_quoted(stand_in: StandIn) -> None:
    service = Wikipedia(base_url=stand_in.url, contact="me@example.org", limits=QUICK)

    assert (await service.look_up("Reykjavík")).description == "Capital of Iceland"


async def test_topic_without_an_article_is_named(stand_in: StandIn) -> None:
    service = Wikipedia(base_url=stand_in.url, contact="me@example.org", limits=QUICK)

    with pytest.raises(ApiError, match="no article about 'xyzzy'"):
        await service.look_up("xyzzy")


async def test_wikipedia_is_not_asked_without_a_contact(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.delenv("SMOLCALL_CONTACT", raising=False)

    with pytest.raises(ConfigError, match="set SMOLCALL_CONTACT"):
        Wikipedia(base_url=BASE_URL)
    with pytest.raises(ApiError, match="status 403"):
        await Wikipedia(base_url=stand_in.url, limits=QUICK).look_up("Oslo")


async def test_money_is_converted(stand_in: StandIn) -> None:
    async with Frankfurter(base_url=stand_in.url, limits=QUICK) as service:
        conversion = await service.convert("euros", "usd", 250)

    assert (conversion.from_currency, conversion.to_currency) == ("EUR", "USD")
    assert conversion.result == 291.05
    assert conversion.rate == 1.1642


@pytest.mark.parametrize(
    ("text", "code"), [("eur", "EUR"), (" USD ", "USD"), ("Dollars", "USD"), ("£", "GBP"), ("yen", "JPY")]
)
def test_currency_is_understood_as_people_say_it(text: str, code: str) -> None:
    assert currency_code(text) == code


@given(strategies.text(max_size=12))
def test_any_text_is_a_code_of_three_letters_or_refused(text: str) -> None:
    try:
        code = currency_code(text)
    except ApiError as error:
        assert "is no currency" in str(error)
    else:
        assert len(code) == 3 and code.isascii() and code.isupper()


@pytest.mark.parametrize("text", ["Oslo", "", "EURO!", "12.", "€€€€"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="is no currency"):
        currency_code(text)


async def test_conversion_that_cannot_be_is_refused_readably(stand_in: StandIn) -> None:
    service = Frankfurter(base_url=stand_in.url, limits=QUICK)

    with pytest.raises(ApiError, match="EUR to EUR is no conversion"):
        await service.convert("EUR", "euros", 1)
    with pytest.raises(ApiError, match="invalid currency: XYZ"):
        await service.convert("EUR", "XYZ", 1)


async def test_strong_earthquakes_come_first_and_blasts_are_none(stand_in: StandIn) -> None:
    async with Usgs(base_url=stand_in.url, limits=QUICK) as service:
        strong = await service.earthquakes(5, days=1)
        many = await service.earthquakes(2.5, days=30)

    assert [one.magnitude for one in strong.strongest] == [6.4, 5.9, 5.3]
    assert strong.strongest[0].place == "57 km SSE of Kokopo, Papua New Guinea"
    assert many.count == 13
    assert len(many.strongest) == 5
    assert all("quarry" not in one.place for one in many.strongest)


@pytest.mark.parametrize(
    ("magnitude", "days", "feed"),
    [(6, 1, "4.5_day"), (3, 2, "2.5_week"), (1, 8, "1.0_month"), (0, 1, "all_day"), (5, 400, "4.5_month")],
)
async def test_smallest_feed_that_will_do_is_asked(
    magnitude: float, days: int, feed: str, stand_in: StandIn
) -> None:
    await Usgs(base_url=stand_in.url, limits=QUICK).earthquakes(magnitude, days)

    assert stand_in.asked[0].path.endswith(f"/{feed}.geojson")


async def test_feed_is_asked_again_only_after_a_minute(stand_in: StandIn) -> None:
    now = [datetime.datetime.now().timestamp()]
    service = Usgs(base_url=stand_in.url, clock=lambda: now[0], limits=QUICK)

    await service.earthquakes(5)
    await service.earthquakes(6)
    assert len(stand_in.asked) == 1
    now[0] += KEPT_FOR_S
    await service.earthquakes(5)

    assert len(stand_in.asked) == 2
