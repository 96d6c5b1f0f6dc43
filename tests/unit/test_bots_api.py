"""The example bots' HTTP client, real, against the local stand-in and everything that can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import stamina.instrumentation
from bots import api
from bots.api import ApiError, JsonApi, Limits
from bots.stand_in import Fault, StandIn
from pydantic import BaseModel, TypeAdapter

QUICK = Limits(first_wait_s=0.001, timeout_s=5.0)


class Rate(BaseModel):
    rate: float


RATE = TypeAdapter(Rate)
PATH = "/v2/rate/EUR/USD"


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with StandIn() as server:
        yield server


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long stamina waits before each further attempt."""
    waited: list[float] = []

    def note(details: stamina.instrumentation.RetryDetails) -> None:
        waited.append(details.wait_for)

    stamina.instrumentation.set_on_retry_hooks([note])
    yield waited
    stamina.instrumentation.set_on_retry_hooks(None)


def client(server: StandIn, limits: Limits = QUICK) -> JsonApi:
    return JsonApi("The service", server.url, user_agent="test (test@example.org)", limits=limits)


@pytest.mark.parametrize("fault", ["429", "500", "cut off", "broken json", "html", "empty"])
async def test_request_is_tried_again_after_a_failure_that_may_pass(fault: Fault, stand_in: StandIn) -> None:
    stand_in.fail_next(fault, fault)

    answer = await client(stand_in).get(PATH, RATE)

    assert answer.rate == 1.1642
    assert len(stand_in.asked) == 3


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("429", "The service says we ask too often: try again later", id="429"),
        pytest.param("500", "trouble of its own .status 500", id="500"),
        pytest.param("cut off", "cannot be reached", id="cut off"),
        pytest.param("broken json", "not JSON", id="broken json"),
        pytest.param("html", "not JSON: b'<html>", id="html"),
        pytest.param("empty", "not JSON", id="empty"),
    ],
)
async def test_failure_that_does_not_pass_is_told_after_the_last_attempt(
    fault: Fault, says: str, stand_in: StandIn
) -> None:
    stand_in.fail_next(*[fault] * 4)

    with pytest.raises(ApiError, match=says) as caught:
        await client(stand_in).get(PATH, RATE)

    assert caught.value.may_pass
    assert len(stand_in.asked) == QUICK.attempts


async def test_slow_service_is_given_up(stand_in: StandIn) -> None:
    stand_in.fail_next("slow", "slow")

    with pytest.raises(ApiError, match="did not answer within 0.05 s"):
        await client(stand_in, Limits(first_wait_s=0.001, timeout_s=0.05, attempts=2)).get(PATH, RATE)


async def test_wait_that_a_service_asks_for_is_heeded(stand_in: StandIn, waits: list[float]) -> None:
    stand_in.fail_next("429", retry_after="0.02")

    await client(stand_in).get(PATH, RATE)

    assert waits == [0.02]


async def test_service_that_asks_for_a_long_wait_is_told_of_at_once(stand_in: StandIn) -> None:
    stand_in.fail_next("429", retry_after="3600")

    with pytest.raises(ApiError, match="try again in 3600 s") as caught:
        await client(stand_in).get(PATH, RATE)

    assert (caught.value.status, caught.value.retry_after_s) == (429, 3600.0)
    assert len(stand_in.asked) == 1


async def test_refusal_is_not_tried_again_and_gives_the_reason(stand_in: StandIn) -> None:
    with pytest.raises(ApiError, match="refused .status 422.: invalid currency: XYZ") as caught:
        await client(stand_in).get("/v2/rate/EUR/XYZ", RATE)

    assert not caught.value.may_pass
    assert len(stand_in.asked) == 1


async def test_answer_of_another_shape_names_what_is_missing(stand_in: StandIn) -> None:
    stand_in.fail_next("other shape")

    with pytest.raises(ApiError, match="form this program does not know: rate: Field required"):
        await client(stand_in).get(PATH, RATE)


async def test_endless_answer_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setattr(api, "MAX_BODY_BYTES", 10)

    with pytest.raises(ApiError, match="more than 10 bytes"):
        await client(stand_in).get(PATH, RATE)


async def test_service_that_is_not_there_is_an_error() -> None:
    nobody = JsonApi("Nobody", "http://127.0.0.1:9", user_agent="test", limits=QUICK)

    with pytest.raises(ApiError, match="Nobody cannot be reached"):
        await nobody.get("/", RATE)


async def test_more_requests_than_allowed_wait_their_turn(stand_in: StandIn) -> None:
    async with client(stand_in, Limits(requests_per_s=2)) as service:
        requests = [asyncio.ensure_future(service.get(PATH, RATE)) for _ in range(3)]
        await asyncio.wait(requests[:2])
        num_asked = len(stand_in.asked)
        requests[2].cancel()
        await asyncio.wait(requests)

    assert num_asked == 2


async def test_every_request_says_who_asks(stand_in: StandIn) -> None:
    async with client(stand_in) as service:
        await service.get(PATH, RATE)

    assert stand_in.asked[0].user_agent == "test (test@example.org)"
