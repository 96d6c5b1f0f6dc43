"""Our tools as an MCP server, met by the official SDK's client: in process, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pexpect
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import TextContent

from agent_runtime import ConfigError, DeploymentConfig, Reject, SchemaError, ToolHooks, tool
from agent_runtime.cli import main
from agent_runtime.tools import Hidden
from integrations.mcp import McpConnectionError, McpTools, ServerConfig, mcp_server, serve_http

from .mcp_fixture_tools import broken, weather

ROOT = Path(__file__).parents[2]
TOOLS = str(Path(__file__).with_name("mcp_fixture_tools.py"))
SERVE = ("-m", "integrations.mcp", "serve", "--tools", TOOLS)


def text_of(result: Any) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def test_tools_are_listed_with_their_schemas() -> None:
    async with Client(mcp_server([weather])) as client:
        entry = (await client.list_tools()).tools[0]

    assert (entry.name, entry.description) == ("weather", "Current weather for a city.")
    assert entry.input_schema["type"] == "object"
    assert entry.input_schema["required"] == ["city"]
    assert entry.input_schema["properties"]["unit"]["enum"] == ["celsius", "fahrenheit"]
    assert entry.annotations is not None
    assert entry.annotations.idempotent_hint


async def test_result_is_text_for_models_and_structure_for_programs() -> None:
    async with Client(mcp_server([weather])) as client:
        result = await client.call_tool("weather", {"city": "Oslo"})

    assert result.structured_content == {"city": "Oslo", "degrees": 21, "unit": "celsius"}
    assert text_of(result) == '{"city": "Oslo", "degrees": 21, "unit": "celsius"}'


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        pytest.param("broken", {"reason": "no luck"}, "RuntimeError: no luck", id="raises"),
        pytest.param("weather", {"city": 7}, "city", id="wrong type"),
        pytest.param("weather", {}, "city", id="missing"),
    ],
)
async def test_failures_are_results_the_client_can_read(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    async with Client(mcp_server([weather, broken])) as client:
        result = await client.call_tool(name, arguments)

    assert result.is_error
    assert says in text_of(result)


async def test_unknown_tool_is_an_error_of_the_protocol() -> None:
    async with Client(mcp_server([weather])) as client:
        with pytest.raises(MCPError, match="there is no tool 'wether': there are weather"):
            await client.call_tool("wether", {})


async def test_slow_tool_times_out() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async with Client(mcp_server([wait], deployment=DeploymentConfig(tool_timeout_s=0.05))) as client:
        result = await client.call_tool("wait", {})

    assert "did not finish within 0.05 s" in text_of(result)


async def test_cancelled_request_cancels_the_tool() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Client(mcp_server([wait])) as client:
        call = asyncio.ensure_future(client.call_tool("wait", {}))
        await started.wait()
        call.cancel()
        async with asyncio.timeout(10):
            await ended.wait()

    assert call.cancelled()


async def test_hooks_and_context_apply() -> None:
    def greet(name: str, user: Annotated[str, Hidden]) -> str:
        return f"{user} greets {name}"

    def approve(call: Any) -> Any:
        return Reject("not today") if call.arguments["name"] == "Bob" else None

    hooks = ToolHooks(after=lambda call, result: None)
    async with Client(mcp_server([greet], hooks=hooks, context={"user": "ada"})) as client:
        greeted = await client.call_tool("greet", {"name": "Eve"})
    async with Client(
        mcp_server([greet], hooks=ToolHooks(approve=approve), context={"user": "ada"})
    ) as client:
        rejected = await client.call_tool("greet", {"name": "Bob"})

    assert text_of(greeted) == "ada greets Eve"
    assert "not today" in text_of(rejected)


def test_tool_that_cannot_be_offered_is_refused() -> None:
    with pytest.raises(SchemaError, match="MCP clients refuse this name"):
        mcp_server([tool(lambda: None, name="say hello")])
    with pytest.raises(SchemaError, match="nothing would run"):
        mcp_server([{"name": "described", "parameters": {"type": "object", "properties": {}}}])
    with pytest.raises(SchemaError, match="two tools have this name"):
        mcp_server([weather, weather])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_server_process_speaks_over_stdio_whatever_its_tools_print(mode: str) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=list(SERVE), cwd=ROOT)

    async with Client(parameters, mode=mode) as client:
        names = [entry.name for entry in (await client.list_tools()).tools]
        result = await client.call_tool("weather", {"city": "Rome"})

    assert names == ["weather", "broken"]
    assert result.structured_content == {"city": "Rome", "degrees": 21, "unit": "celsius"}


async def test_both_ends_are_ours_over_http_with_a_key() -> None:
    async with http_server("--api-key", "secret") as url:
        config = ServerConfig(url=url, headers={"Authorization": "Bearer secret"})
        async with McpTools({"ours": config}) as mcp:
            value = await mcp.tools[0](city="Bern")
        with pytest.raises(McpConnectionError):
            async with McpTools({"ours": url}):
                pass

    assert value == {"city": "Bern", "degrees": 21, "unit": "celsius"}


async def test_http_server_that_went_away_and_came_back_is_used_again() -> None:
    async with http_server() as url:
        port = url.split(":")[2].partition("/")[0]
        mcp = McpTools({"ours": url})
        await mcp.refresh()
        before = await mcp.tools[0](city="Bern")
    try:
        with pytest.raises(McpConnectionError, match="ours"):
            await mcp.tools[0](city="Bern")
        async with http_server(port=port):
            after = await mcp.tools[0](city="Bern")
    finally:
        await mcp.close()

    assert before == after


async def test_network_is_not_served_without_a_key() -> None:
    with pytest.raises(ConfigError, match="give an api_key"):
        await serve_http([weather], host="0.0.0.0")


@asynccontextmanager
async def http_server(*arguments: str, port: str = "0") -> AsyncIterator[str]:
    """A server process, on a free port if none is given; its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *SERVE, "--http", port, *arguments), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async for line in process.stderr:
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", line)
            if found:
                yield f"http://127.0.0.1:{int(found[1])}/mcp"
                break
        else:
            raise AssertionError("the server ended before it listened")
    finally:
        process.terminate()
        await process.communicate()


def test_command_lists_what_a_server_offers(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["mcp", "list", sys.executable, *SERVE])

    shown = capsys.readouterr().out
    assert status == 0
    assert "weather" in shown
    assert "city, unit?" in shown


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        pytest.param([], "give a server", id="nothing"),
        pytest.param(["http://a/mcp", "http://b/mcp"], "one address at a time", id="two addresses"),
        pytest.param(["no-such-file.json"], "No such file", id="missing file"),
        pytest.param(["no-such-program"], "there is no program", id="missing program"),
    ],
)
def test_command_that_cannot_be_done_says_why(
    typed: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", "list", *typed]) != 0
    assert says in " ".join(capsys.readouterr().err.split())


def test_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else find_spec(name))

    assert main(["mcp", "list", "anything"]) == 2
    assert "pip install 'smolcall[mcp]'" in capsys.readouterr().err


def test_server_that_was_started_by_hand_says_what_it_waits_for_and_can_be_ended() -> None:
    child = pexpect.spawn(sys.executable, list(SERVE), cwd=str(ROOT), encoding="utf-8", timeout=30)

    child.expect_exact("waiting for an MCP client")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 130
