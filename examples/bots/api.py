"""`JsonApi`: asking a public service politely and believing nothing it says.

A limit of requests, retries that heed `Retry-After`, a time limit, a limit of size, and answers checked
against a pydantic model. Whatever goes wrong is an `ApiError` with a sentence for a person and a model.
"""

from __future__ import annotations

import json
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import stamina
from aiolimiter import AsyncLimiter
from pydantic import TypeAdapter, ValidationError

MAX_BODY_BYTES = 20_000_000
"""More than any of these services answers to what we ask."""

MAX_RETRY_AFTER_S = 20.0
"""A service that asks us to wait longer is told of at once instead."""

Answer = TypeVar("Answer")


class ApiError(Exception):
    """A service that could not be asked, or an answer that could not be used.

    Attributes:
        status: the HTTP status, where there was one.
        retry_after_s: how long the service asked us to wait.
        may_pass: whether the same request may succeed a little later.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        may_pass: bool = False,
    ) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.may_pass = may_pass
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Politeness and patience.

    Attributes:
        requests_per_s: what we allow ourselves, in the service's interest.
        timeout_s: seconds for one attempt.
        attempts: how often a request that may pass is tried.
        first_wait_s: seconds before the second attempt; later waits double, with some jitter.
    """

    requests_per_s: int = 5
    timeout_s: float = 10.0
    attempts: int = 4
    first_wait_s: float = 0.5


DEFAULT_LIMITS = Limits()


class JsonApi:
    """One service.

    Within `async with` its requests share connections; outside of it each opens its own.

    Args:
        name: what the service is called in messages.
        base_url: where it is; a test or `--offline` puts a stand-in there.
        user_agent: who we are; some services block requests that do not say so.
        limits: politeness and patience.
    """

    def __init__(self, name: str, base_url: str, *, user_agent: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._limiter = AsyncLimiter(limits.requests_per_s, time_period=1.0)
        self._timeout = aiohttp.ClientTimeout(total=limits.timeout_s)
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open connections to share."""
        self._session = self._new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, shape: TypeAdapter[Answer], **params: str | int | float) -> Answer:
        """Ask for something, and check that the answer has the shape it should have.

        Raises:
            ApiError: it could not be had; says why.
        """
        answer: Any = None
        async for attempt in stamina.retry_context(
            on=_when_to_retry,
            attempts=self._limits.attempts,
            timeout=60.0,
            wait_initial=self._limits.first_wait_s,
            wait_jitter=self._limits.first_wait_s,
            wait_max=8.0,
        ):
            with attempt:
                async with self._limiter:
                    answer = await self._get_once(path, params)
        try:
            return shape.validate_python(answer)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"]) or "the answer"
            raise ApiError(
                f"{self.name} answered in a form this program does not know: {place}: {first['msg']}"
            ) from error

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)

    async def _get_once(self, path: str, params: dict[str, Any]) -> Any:
        if self._session is not None:
            return await self._read(self._session, path, params)
        async with self._new_session() as session:
            return await self._read(session, path, params)

    async def _read(self, session: aiohttp.ClientSession, path: str, params: dict[str, Any]) -> Any:
        try:
            async with session.get(self.base_url + path, params=params) as response:
                body = await self._body(response)
                if response.status >= 400:
                    raise self._refusal(response, body)
        except TimeoutError as error:
            raise ApiError(
                f"{self.name} did not answer within {self._timeout.total:g} s", may_pass=True
            ) from error
        except aiohttp.ClientError as error:
            raise ApiError(f"{self.name} cannot be reached: {_reason(error)}", may_pass=True) from error
        try:
            return json.loads(body)
        except ValueError as error:
            raise ApiError(
                f"{self.name} answered with something that is not JSON: {body[:60]!r}", may_pass=True
            ) from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise ApiError(f"{self.name} answered with more than {MAX_BODY_BYTES:,} bytes")
        return bytes(body)

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> ApiError:
        wait_s = _seconds(response.headers.get("Retry-After"))
        if response.status == 429:
            later = f": try again in {wait_s:.0f} s" if wait_s else ": try again later"
            message = f"{self.name} says we ask too often{later}"
        elif response.status >= 500:
            message = f"{self.name} has trouble of its own (status {response.status})"
        else:
            message = f"{self.name} refused (status {response.status}): {_said(body) or response.reason}"
        return ApiError(
            message,
            status=response.status,
            retry_after_s=wait_s,
            may_pass=response.status in (408, 425, 429) or response.status >= 500,
        )


class Service:
    """What a client of one or several APIs is made of: `async with` it to share connections."""

    def __init__(self, *apis: JsonApi) -> None:
        self._apis = apis
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open connections to share."""
        for api in self._apis:
            await self._open.enter_async_context(api)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them."""
        await self._open.aclose()


def _when_to_retry(error: Exception) -> bool | float:
    """What stamina asks after a failure: no, yes, or yes after so many seconds."""
    if not isinstance(error, ApiError) or not error.may_pass:
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s if error.retry_after_s <= MAX_RETRY_AFTER_S else False


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is left to the usual waits."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _said(body: bytes) -> str:
    """The reason a service gives with a refusal, whatever it calls it."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if isinstance(said, dict):
        for key in ("reason", "message", "detail", "title", "httpReason"):
            if isinstance(said.get(key), str):
                return str(said[key])
    return ""


def _reason(error: aiohttp.ClientError) -> str:
    return str(error) or type(error).__name__
