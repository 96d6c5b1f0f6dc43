"""Connections: how many at once, and what is said where aiohttp would answer in its own words."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .config import ServerConfig
from .refusal import Refusal

logger = logging.getLogger(__name__)


class Connections:
    """Makes the protocol of each connection; `loop.create_server` takes it as its factory.

    Args:
        server: aiohttp's server, which counts open connections.
        config: how many may be open, and for how long idle.
    """

    def __init__(self, server: web.Server, config: ServerConfig) -> None:
        self._server = server
        self._config = config
        self._options: dict[str, Any] = connection_options(config)

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if len(self._server.connections) >= self._config.max_connections:
            return _FullHouse()
        return _Connection(self._server, loop=asyncio.get_running_loop(), **self._options)


def connection_options(config: ServerConfig) -> dict[str, Any]:
    """How aiohttp is to treat a connection."""
    return {
        # Counts from the start of a connection too, so it bounds the time a request's head may take.
        "keepalive_timeout": config.header_timeout_s,
        "access_log": None,
        "logger": logger,
        "lingering_time": 1.0,
        "auto_decompress": False,
    }


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and let go of a client that went away. Nothing it sent is logged."""
        if isinstance(exc, ConnectionError):
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer was begun and cannot be taken back")
        logger.info("a connection was refused: %s", type(exc).__name__)
        if isinstance(exc, HttpProcessingError):
            status = exc.code
        response = Refusal(
            status, f"this is not an HTTP request that can be read: {_reason(status)}", code="bad_http"
        ).response()
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Without the exception's words, which may hold what a client sent."""
        logger.error("a connection failed: %s", type(kw.get("exc_info")).__name__)


class _FullHouse(asyncio.Protocol):
    """Refuses a connection in one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say why, and hang up."""
        assert isinstance(transport, asyncio.WriteTransport)
        refusal = Refusal(
            503,
            "too many connections are open: retry in a moment, or start the server with --max-connections",
            kind="server_error",
            code="too_many_connections",
        )
        body = json.dumps(refusal.as_dict()).encode()
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase.lower()
