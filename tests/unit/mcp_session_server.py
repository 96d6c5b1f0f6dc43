"""An MCP server over HTTP, by hand, of the older kind that keeps sessions; a test may have it forget them."""

from __future__ import annotations

import itertools
from typing import Any

from aiohttp import web


class SessionServer:
    """Answers at `/mcp`; `forget` is what a restart does."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._sessions: set[str] = set()
        self.num_calls = 0

    @property
    def num_sessions(self) -> int:
        """How many sessions were begun and not forgotten."""
        return len(self._sessions)

    def forget(self) -> None:
        """Know no session any more."""
        self._sessions.clear()

    def app(self) -> web.Application:
        """The server as an aiohttp application."""
        app = web.Application()
        app.router.add_post("/mcp", self._post)
        app.router.add_get("/mcp", self._refuse)
        app.router.add_delete("/mcp", self._refuse)
        return app

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=405)

    async def _post(self, request: web.Request) -> web.Response:
        message: dict[str, Any] = await request.json()
        method = message["method"]
        headers = {}
        if method == "initialize":
            session = f"session-{next(self._ids)}"
            self._sessions.add(session)
            headers["Mcp-Session-Id"] = session
        elif method == "server/discover":
            return web.json_response(self._error(message, -32601, "Method not found"), status=400)
        elif request.headers.get("Mcp-Session-Id") not in self._sessions:
            return web.json_response(self._error(message, -32001, "Session not found"), status=404)
        if "id" not in message:
            return web.Response(status=202)
        result = self._result(method)
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers=headers)

    def _result(self, method: str) -> dict[str, Any]:
        if method == "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "sessions", "version": "1"},
            }
        if method == "tools/list":
            return {"tools": [{"name": "count", "inputSchema": {"type": "object"}}]}
        self.num_calls += 1
        return {"content": [{"type": "text", "text": str(self.num_calls)}]}

    def _error(self, message: dict[str, Any], code: int, text: str) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": text}}
