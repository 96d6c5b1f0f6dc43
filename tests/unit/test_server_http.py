"""The server beside the model: keys, limits, bad and vanishing clients, numbers, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import Any

import aiohttp
import pytest

from agent_runtime import AgentRuntime, ConfigError, DeploymentConfig, TextDelta, Turn, Usage
from agent_runtime.server import ServerConfig, Service
from agent_runtime.testing import ScriptedEngine, scripted_runtime

from ..served import HeldEngine, Served, served

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


async def connect(server: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection."""
    host, port = server.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def raw(server: Served, sent: bytes) -> bytes:
    """All that comes back for some bytes, until the server hangs up."""
    reader, writer = await connect(server)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    return answer


def chat_head(length: int, *extra: str) -> bytes:
    """The head of a chat request."""
    lines = [
        f"POST {CHAT} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


# Who may ask.


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/smolcall", "/v1/nothing", CHAT, "/v1", "/v1/tools"]
)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Basic secret", "secret", "Bearer", "Bearer sécret"]
)
async def test_everything_under_v1_needs_the_key(path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with served(api_key="secret") as server:
        async with server.client.get(path, headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "invalid_api_key"
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_key_opens_v1_and_health_needs_none() -> None:
    async with served(api_key="secret") as server:
        status, _ = await server.chat(headers={"Authorization": "Bearer secret"})
        assert status == 200
        for path in ("/health", "/ready", "/metrics"):
            async with server.client.get(path) as answer:
                assert answer.status == 200


async def test_without_a_key_only_names_of_this_machine_are_answered() -> None:
    async with served() as server:
        for host, status in (("evil.example", 421), ("localhost:1", 200), ("[::1]:80", 200), ("", 421)):
            async with server.client.get("/v1/models", headers={"Host": host}) as answer:
                assert answer.status == status
        assert (await raw(server, b"GET /health HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    "settings", [{"host": "0.0.0.0"}, {"api_key": ""}, {"api_key": " "}, {"port": 70000}, {"colour": 1}]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ServerConfig(**settings)


def test_another_address_is_served_with_a_key() -> None:
    assert ServerConfig(host="0.0.0.0", api_key="secret").api_key is not None


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(ServerConfig(api_key="secret"))


# What is asked wrongly.


async def test_unknown_routes_and_methods_have_openai_shape() -> None:
    async with served() as server:
        async with server.client.get("/nothing") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "unknown_url"
        async with server.client.delete(CHAT) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
            assert (await answer.json())["error"]["code"] == "method_not_allowed"
        async with server.client.get("/v1/models/gpt-4") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "model_not_found"


async def test_models_are_listed_under_every_name() -> None:
    async with served(model_name="org/model", model_aliases=("gpt-4",)) as server:
        async with server.client.get("/v1/models") as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == ["org/model", "gpt-4"]
        async with server.client.get("/v1/models/org/model") as answer:
            assert (await answer.json())["id"] == "org/model"
        status, body = await server.chat(model="gpt-4")
        assert (status, body["model"]) == (200, "gpt-4")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"messages": NaN}', "application/json", 400),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b"", "application/json", 400),
        (json.dumps(QUESTION).encode(), "text/plain", 415),
        (json.dumps(QUESTION).encode(), "application/x-www-form-urlencoded", 415),
    ],
)
async def test_bodies_that_are_no_json_are_refused(body: bytes, content_type: str, status: int) -> None:
    async with served() as server:
        async with server.client.post(CHAT, data=body, headers={"Content-Type": content_type}) as answer:
            assert answer.status == status
            assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}


async def test_what_is_not_http_gets_an_answer_and_is_hung_up_on() -> None:
    async with served() as server:
        answer = await raw(server, b"GARBAGE\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "bad_http"


async def test_a_large_body_is_refused_before_it_is_read() -> None:
    async with served(max_body_bytes=2048) as server:
        answer = await raw(server, chat_head(10_000_000))
        assert answer.startswith(b"HTTP/1.1 413")
        asked_first = await raw(server, chat_head(10_000_000, "Expect: 100-continue"))
        assert asked_first.startswith(b"HTTP/1.1 413")
        chunked = (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        ).encode()
        piece = b"400\r\n" + b" " * 1024 + b"\r\n"
        assert (await raw(server, chunked + 5 * piece)).startswith(b"HTTP/1.1 413")


async def test_a_body_that_waits_to_be_asked_for_is_asked_for() -> None:
    body = json.dumps(QUESTION).encode()
    async with served() as server:
        reader, writer = await connect(server)
        writer.write(chat_head(len(body), "Expect: 100-continue", "Connection: close"))
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        await reader.readline()
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


# Clients that are slow, many, or gone.


async def test_a_body_that_does_not_arrive_is_refused() -> None:
    async with served(body_timeout_s=0.05) as server:
        answer = await raw(server, chat_head(100) + b"{")

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc"])
async def test_a_connection_without_a_whole_head_is_hung_up_on(sent: bytes) -> None:
    async with served(header_timeout_s=0.05) as server:
        assert await raw(server, sent) == b""


async def test_a_connection_too_many_is_refused() -> None:
    async with served(max_connections=2) as server:
        held = [await connect(server) for _ in range(2)]
        async with server.client.get("/health") as answer:
            assert answer.status == 503
            assert (await answer.json())["error"]["code"] == "too_many_connections"
        for _, writer in held:
            writer.close()


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    async with served(rate_per_minute=2) as server:
        statuses = [(await server.chat())[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        async with server.client.get("/v1/models") as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 30
        async with server.client.get("/health") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_client_that_goes_away_cancels_its_turn(is_streamed: bool) -> None:
    engine = HeldEngine()
    async with served(runtime=AgentRuntime(engine)) as server:
        body = json.dumps({**QUESTION, "stream": is_streamed}).encode()
        _, writer = await connect(server)
        writer.write(chat_head(len(body)) + body)
        await engine.started.acquire()
        writer.close()
        await engine.ended.acquire()
        assert engine.num_cancelled == 1
        line = f'smolcall_http_requests_total{{method="POST",route="{CHAT}",status="499"}}'
        await server.wait_metric(line)


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    lines = "\n".join("x" * 1000 for _ in range(30_000))  # more than any socket buffer takes
    async with served(lines, write_timeout_s=0.2) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
            body = json.dumps({**QUESTION, "stream": True}).encode()
            await asyncio.get_running_loop().sock_sendall(client, chat_head(len(body)) + body)
            line = f'smolcall_http_requests_total{{method="POST",route="{CHAT}",status="499"}}'
            await server.wait_metric(line)


async def test_more_requests_than_places_are_refused() -> None:
    engine = HeldEngine()
    deployment = DeploymentConfig(max_batch=1, max_queue=1)
    async with served(runtime=AgentRuntime(engine, deployment)) as server:
        running = [asyncio.ensure_future(server.chat()) for _ in range(2)]
        for _ in running:
            await engine.started.acquire()
        status, body = await server.chat()
        assert (status, body["error"]["type"]) == (429, "rate_limit_error")
        engine.released.set()
        assert [status for status, _ in await asyncio.gather(*running)] == [200, 200]
        assert (await server.chat())[0] == 200


# What is told about it.


@pytest.mark.parametrize("body", [QUESTION, {**QUESTION, "stream": True}, {}])
async def test_every_answer_names_its_request(body: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served() as server, server.client.post(CHAT, json=body) as answer:
        name = answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "smolcall"
        await answer.read()

    assert f"id={name}" in caplog.text


async def test_readiness_follows_the_model() -> None:
    async with served(is_warm=False) as server:
        async with server.client.get("/ready") as answer:
            assert answer.status == 503
        async with server.client.get("/health") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "ok")
        await server.service.warm_up()
        async with server.client.get("/ready") as answer:
            assert answer.status == 200


async def test_metrics_count_requests_turns_and_tokens() -> None:
    turn = Turn(content="Hi", usage=Usage(prompt_tokens=7, completion_tokens=3))
    async with served(turn) as server:
        await server.chat()
        await server.chat(temperature="hot")
        assert await server.metric('smolcall_tokens_total{kind="prompt"}') == 7
        assert await server.metric('smolcall_turns_total{stop_reason="stop"}') == 1
        assert await server.metric('smolcall_http_refusals_total{code="invalid_value"}') == 1
        assert await server.metric("smolcall_http_requests_in_flight") == 1  # the one that asks
        async with server.client.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")


async def test_logs_and_metrics_hold_nothing_of_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    secret = "xyzzy-4711"
    caplog.set_level(logging.DEBUG)
    replies = ("Fine " + secret, RuntimeError(secret), ValueError(secret))
    async with served(*replies, api_key="key-" + secret) as server:
        headers = {"Authorization": "Bearer key-" + secret}
        body = {"messages": [{"role": "user", "content": secret}]}
        for _ in replies:
            await server.chat(headers=headers, **body)
        await server.chat(headers=headers, **body, stream=True)
        await server.chat(headers=headers, messages=[{"role": secret, "content": secret}])
        await server.chat(headers={"Authorization": "Bearer " + secret}, **body)
        await raw(server, secret.encode() + b"\r\n\r\n")
        async with server.client.get(f"/{secret}") as answer:
            assert answer.status == 404
        async with server.client.get("/metrics") as answer:
            metrics = await answer.text()

    assert "POST /v1/chat/completions 200" in caplog.text
    assert "RuntimeError at" in caplog.text
    assert secret not in caplog.text
    assert secret not in metrics


# Its end.


async def test_what_runs_is_finished_and_what_is_new_is_refused() -> None:
    engine = HeldEngine("Done.")
    async with served(runtime=AgentRuntime(engine)) as server:
        kept = await connect(server)
        running = asyncio.ensure_future(server.chat())
        await engine.started.acquire()
        ending = asyncio.ensure_future(server.service.stop())
        await asyncio.sleep(0)
        kept[1].write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused = await kept[0].read()
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"Connection: close" in refused
        with pytest.raises(OSError):
            await connect(server)
        assert not running.done()
        engine.released.set()
        status, body = await running
        await ending
        kept[1].close()

    assert (status, body["choices"][0]["message"]["content"]) == (200, "Done.")


async def test_what_runs_too_long_is_cancelled_at_the_end() -> None:
    engine = HeldEngine()
    async with served(runtime=AgentRuntime(engine)) as server:
        running = asyncio.ensure_future(server.chat())
        await engine.started.acquire()
        await server.service.stop(grace_s=0)
        assert engine.num_cancelled == 1
        with pytest.raises(aiohttp.ClientError):
            await running


async def test_a_port_that_is_taken_is_named() -> None:
    async with served() as server:
        port = int(server.url.rsplit(":", 1)[1])
        other = Service(scripted_runtime("x"), ServerConfig(port=port))
        with pytest.raises(ConfigError, match=f"port {port}"):
            await other.start()
        await other.stop()


async def test_an_error_in_the_middle_of_a_stream_is_said_in_the_stream() -> None:
    engine = BreakingEngine()
    async with served(runtime=AgentRuntime(engine)) as server:
        async with server.client.post(CHAT, json={**QUESTION, "stream": True}) as answer:
            assert answer.status == 200
            events = [line for line in (await answer.text()).split("\n\n") if line]

    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "[DONE]" not in events[-1]


class BreakingEngine(ScriptedEngine):
    """Fails after the first word."""

    def __init__(self) -> None:
        super().__init__("unused")

    async def turn(self, order: Any, on_event: Any = None) -> Turn:
        """Begin and fail."""
        if on_event is not None:
            on_event(TextDelta(text="Well"))
        await asyncio.sleep(0)
        raise RuntimeError("broken")
