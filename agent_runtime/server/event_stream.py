"""Server-sent events to one client: prepared late, written with a time limit, ended cleanly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from .refusal import Refusal


class ClientGone(Exception):
    """The client went away, or stopped reading; nothing can be told to it any more."""


class EventStream:
    """The event stream that answers one request.

    Nothing is sent before the first event: until then the request can still be refused with a status.

    Args:
        request: what is answered.
        write_timeout_s: how long the client may leave sent data unread.
    """

    def __init__(self, request: web.Request, *, write_timeout_s: float) -> None:
        self._request = request
        self._write_timeout_s = write_timeout_s
        request[STREAM] = self
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )

    async def send(self, event: Any) -> None:
        """Send one event.

        Raises:
            ClientGone: it cannot be sent any more.
        """
        await self._write(f"data: {json.dumps(event)}\n\n")

    async def refuse(self, refusal: Refusal) -> None:
        """Say what went wrong in the middle of a stream; nothing may follow.

        Raises:
            Refusal: nothing was sent yet, so a status can still say it.
            ClientGone: it cannot be sent any more.
        """
        if not self.response.prepared:
            raise refusal
        await self.send(refusal.as_dict())

    async def finish(self) -> None:
        """Say that this was all.

        Raises:
            ClientGone: it cannot be sent any more.
        """
        await self._write("data: [DONE]\n\n")

    async def _write(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._write_timeout_s):
                if not self.response.prepared:
                    await self.response.prepare(self._request)
                await self.response.write(text.encode())
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ClientGone("the client does not read what it is sent") from error
        except ConnectionError as error:
            raise ClientGone("the client is gone") from error


STREAM = web.RequestKey("STREAM", EventStream)
"""Where a request keeps the stream that answers it, once there is one."""
