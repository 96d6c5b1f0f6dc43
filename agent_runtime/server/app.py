"""The server's routes."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from .. import __version__
from ..runtime import AgentRuntime
from ..tools import Tool
from .chat import ChatCompletions
from .config import ServerConfig
from .gate import Gate, add_headers
from .metrics import Metrics
from .places import Places
from .refusal import Refusal
from .request import unknown_model
from .runs import Runs

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


class Readiness:
    """Whether the model is loaded."""

    def __init__(self) -> None:
        self.is_loaded = False


def build_app(
    runtime: AgentRuntime,
    config: ServerConfig,
    *,
    gate: Gate,
    metrics: Metrics,
    readiness: Readiness,
    tools: tuple[Tool, ...] = (),
) -> web.Application:
    """The application with all its routes."""
    app = web.Application(middlewares=[gate.middleware()], client_max_size=config.max_body_bytes)
    app.on_response_prepare.append(add_headers)
    models = _Models(config)
    places = Places(runtime.deployment.max_batch + runtime.deployment.max_queue)
    chat = ChatCompletions(runtime, config, places, metrics)
    runs = Runs(runtime, config, places, metrics, tools)
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat.handle, expect_handler=_ask_later),
            web.get("/v1/models", models.all),
            web.get("/v1/models/{model:.+}", models.one),
            web.post("/v1/runs", runs.handle, expect_handler=_ask_later),
            web.get("/v1/tools", runs.tools),
            web.get("/health", _health),
            web.get("/ready", _Ready(gate, readiness).handle),
            web.get("/metrics", _Numbers(metrics).handle),
            *(web.get(path, _PageFile(*file).handle) for path, file in _PAGE_FILES.items()),
        ]
    )
    return app


async def _ask_later(_: web.Request) -> None:
    """A body that waits to be asked for is asked for by `read_body`, once it is known to be wanted."""


async def _health(_: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response({"status": "ok", "version": __version__})


class _Ready:
    def __init__(self, gate: Gate, readiness: Readiness) -> None:
        self._gate = gate
        self._readiness = readiness

    async def handle(self, _: web.Request) -> web.Response:
        """Requests are answered without waiting for the model."""
        if not self._readiness.is_loaded:
            raise Refusal(
                503,
                "the model is being loaded: requests wait for it",
                kind="server_error",
                code="loading",
                headers={"Retry-After": "1"},
            )
        return web.json_response({"status": "ready"})


class _Numbers:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Models:
    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._created = int(time.time())

    async def all(self, _: web.Request) -> web.Response:
        """Every name the model goes by."""
        return web.json_response(
            {"object": "list", "data": [self._describe(name) for name in self._config.known_names]}
        )

    async def one(self, request: web.Request) -> web.Response:
        """One of them."""
        name = request.match_info["model"]
        if name not in self._config.known_names:
            raise unknown_model(name, self._config)
        return web.json_response(self._describe(name))

    def _describe(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "smolcall"}


class _PageFile:
    """A file of the chat page, read once."""

    def __init__(self, name: str, content_type: str) -> None:
        self._text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        self._content_type = content_type

    async def handle(self, _: web.Request) -> web.Response:
        return web.Response(
            text=self._text,
            content_type=self._content_type,
            headers={"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"},
        )
