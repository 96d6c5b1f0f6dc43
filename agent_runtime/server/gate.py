"""What every request passes: who asks, how often, and what is noted about it.

Notes and log lines name routes, numbers and times, never what was said.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .config import LOOPBACK_NAMES, ServerConfig
from .event_stream import STREAM, ClientGone, EventStream
from .metrics import Metrics
from .rate_limit import RateLimit
from .refusal import HEADERS, Refusal, closing, overloaded

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENT_GONE = 499
"""Noted for a request whose client went away; nobody is left to be told a status."""


REQUEST_ID = web.RequestKey("REQUEST_ID", str)
"""Names a request in the log and in its answer."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries; for `app.on_response_prepare`."""
    response.headers.update(HEADERS)
    if request_id := request.get(REQUEST_ID):
        response.headers["X-Request-Id"] = request_id


class Gate:
    """Stands in front of every handler.

    Args:
        config: who may ask, and how often.
        metrics: told about every request.

    Attributes:
        is_closing: whether new requests are turned away.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._rate_limit = RateLimit(config.rate_per_minute)
        self._num_running = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.is_closing = False

    async def wait_idle(self) -> None:
        """Wait until no request is being answered."""
        await self._is_idle.wait()

    def middleware(self) -> Any:
        """For `web.Application(middlewares=[...])`."""

        @web.middleware
        async def pass_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        return pass_gate

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request_id = request[REQUEST_ID] = uuid.uuid4().hex[:16]
        route = _route_of(request)
        status = CLIENT_GONE
        self._begin()
        try:
            response = await self._answer(request, handler, request_id)
            await self._send(request, response)
            status = response.status
            return response
        except ClientGone as gone:
            raise ConnectionResetError(str(gone)) from gone
        finally:
            seconds = time.perf_counter() - began
            self._metrics.count_request(method=request.method, route=route, status=status, seconds=seconds)
            level = logging.DEBUG if route in ("/health", "/ready", "/metrics") else logging.INFO
            logger.log(
                level,
                "%s %s %d %.0f ms id=%s",
                request.method[:16],
                route,
                status,
                1000 * seconds,
                request_id,
            )
            self._end()

    async def _answer(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        try:
            self._check(request)
            return await handler(request)
        except Refusal as refusal:
            return self._refused(refusal)
        except web.HTTPException as error:
            return self._refused(_refusal_of_http(error, request))
        except (ClientGone, ConnectionError):
            raise
        except Exception as error:  # whatever went wrong is ours; the client gets an answer all the same
            _log_fault(error, request_id)
            fault = Refusal(
                500,
                f"the server failed on this request (id {request_id}); its log says where",
                kind="server_error",
                code="internal_error",
            )
            stream: EventStream | None = request.get(STREAM)
            if stream is None or not stream.response.prepared:
                return self._refused(fault)
            await stream.refuse(fault)
            return stream.response

    async def _send(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send the answer within its time; aiohttp itself would wait for a client that reads nothing."""
        if not response.prepared and (self.is_closing or response.status in (408, 413)):
            response.force_close()
        try:
            async with asyncio.timeout(self._config.write_timeout_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()
            raise ClientGone("the client does not read its answer") from error

    def _check(self, request: web.Request) -> None:
        if self.is_closing:
            raise closing()
        self._check_host(request)
        if not _is_api(request):
            return
        wait_s = self._rate_limit.wait_s(request.remote or "")
        if wait_s > 0:
            raise overloaded(
                f"more than {self._config.rate_per_minute} requests a minute: retry in about {wait_s:.1f} s, "
                "or start the server with --rate-limit",
                wait_s,
            )
        self._check_key(request)

    def _check_host(self, request: web.Request) -> None:
        """Without a key only names of this machine are answered.

        Otherwise any page a person has open could reach it by a name that points here (DNS rebinding).
        """
        name = request.headers.get("Host")
        if self._config.api_key is not None or name is None:  # a browser always sends one
            return
        host = name.rsplit(":", 1)[0] if not name.endswith("]") else name
        if not _is_loopback(host.strip("[]")):
            raise Refusal(
                421,
                "this server answers to localhost only: to serve other names, start it with --api-key",
                code="unknown_host",
            )

    def _check_key(self, request: web.Request) -> None:
        if self._config.api_key is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        wanted = self._config.api_key.get_secret_value()
        is_right = hmac.compare_digest(
            given.strip().encode("utf-8", "surrogateescape"), wanted.strip().encode()
        )
        if scheme.lower() != "bearer" or not is_right:
            found = "a wrong API key" if given else "no API key"
            raise Refusal(
                401,
                f"{found} was sent: send the server's key as 'Authorization: Bearer <key>'",
                kind="authentication_error",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _refused(self, refusal: Refusal) -> web.Response:
        self._metrics.count_refusal(refusal.code or str(refusal.status))
        return refusal.response()

    def _begin(self) -> None:
        self._num_running += 1
        self._metrics.in_flight.inc()
        self._is_idle.clear()

    def _end(self) -> None:
        self._num_running -= 1
        self._metrics.in_flight.dec()
        if not self._num_running:
            self._is_idle.set()


def _is_api(request: web.Request) -> bool:
    """Whether it is under /v1, by its path or by what answers it."""
    return any(path == "/v1" or path.startswith("/v1/") for path in (request.path, _route_of(request)))


def _route_of(request: web.Request) -> str:
    """The route, not the path: what a client writes into a path is not noted."""
    resource = request.match_info.route.resource
    return "other" if resource is None else resource.canonical


def _is_loopback(host: str) -> bool:
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal_of_http(error: web.HTTPException, request: web.Request) -> Refusal:
    """What aiohttp answers by itself, in OpenAI's shape."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Refusal(
                405,
                f"{request.method[:16]} is not possible here: use {allowed}",
                code="method_not_allowed",
                headers={"Allow": allowed},
            )
        case web.HTTPNotFound():
            return Refusal(
                404,
                "nothing is here: ask for /v1/chat/completions, /v1/models, /health, /ready or /metrics",
                code="unknown_url",
            )
        case _:
            return Refusal(error.status, error.reason, code=None)


def _log_fault(error: Exception, request_id: str) -> None:
    """Where it failed. The error's own words may hold what somebody said, so they are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    logger.error("request %s failed: %s at %s", request_id, type(error).__name__, where)
