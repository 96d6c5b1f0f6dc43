"""Reading a request's body: its type, its size and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import HttpVersion11, web

from .chat_body import read_json
from .refusal import Refusal, invalid

_CLOSE = {"Connection": "close"}


async def read_body(request: web.Request, *, timeout_s: float) -> dict[str, Any]:
    """The JSON object a request carries.

    Only JSON declared as such is read: a browser cannot be made to send that here from another site.

    Raises:
        Refusal: it is no JSON object, too large, or too slow.
    """
    if request.content_type != "application/json":
        raise Refusal(
            415,
            f"the body is declared as {request.content_type!r}: send JSON as application/json",
            code="unsupported_media_type",
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415, "compressed bodies are not read: send plain JSON", code="unsupported_media_type")
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout_s):
            await _ask_for_body(request)
            body = await request.read()
    except TimeoutError:
        raise Refusal(
            408,
            f"the body did not arrive within {timeout_s:g} s",
            kind="timeout_error",
            code="request_timeout",
            headers=_CLOSE,
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    except web.RequestPayloadError as error:
        raise invalid("the body cannot be read: it breaks off or is not framed as HTTP asks") from error
    return read_json(body)


async def _ask_for_body(request: web.Request) -> None:
    """Tell a client that waits for it to send its body (`Expect: 100-continue`)."""
    expected = request.headers.get("Expect", "").lower()
    if not expected or request.version != HttpVersion11:
        return
    if expected != "100-continue":
        raise Refusal(417, "only 'Expect: 100-continue' is understood", code="expectation_failed")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        f"the body is larger than {limit} bytes: shorten the conversation, or start the server with "
        "--max-body-bytes",
        code="request_too_large",
        headers=_CLOSE,
    )
