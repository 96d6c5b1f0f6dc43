"""Tools of MCP servers in our runs, against real server processes made with the official SDK."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agent_runtime import ConfigError, DeploymentConfig, SchemaError
from agent_runtime.testing import calls, scripted_runtime
from integrations.mcp import McpConnectionError, McpTools, ServerConfig, read_servers
from integrations.mcp.content import McpToolError, result_value

from .mcp_session_server import SessionServer

FIXTURE = [sys.executable, str(Path(__file__).with_name("mcp_fixture_server.py"))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fixture_server() -> AsyncIterator[McpTools]:
    """One process for the tests that leave it as it is."""
    async with McpTools({"fixture": FIXTURE}) as mcp:
        yield mcp


def server_with(tmp_path: Path, *listed: dict[str, Any], page_size: int = 100) -> list[str]:
    """The command line of a server that lists tools with these raw schemas, a page at a time."""
    script = tmp_path / f"server_{len(list(tmp_path.iterdir()))}.py"
    script.write_text(
        "import asyncio, json\n"
        "from mcp import stdio_server\n"
        "from mcp.server.lowlevel import Server\n"
        "from mcp_types import ListToolsResult, Tool\n"
        f"listed = json.loads({json.dumps(json.dumps(listed))})\n"
        "async def list_tools(ctx, params):\n"
        "    start = int(params.cursor) if params and params.cursor else 0\n"
        f"    end = start + {page_size}\n"
        "    tools = [Tool(**tool) for tool in listed[start:end]]\n"
        "    return ListToolsResult(tools=tools, next_cursor=str(end) if end < len(listed) else None)\n"
        "async def main():\n"
        "    server = Server('made', on_list_tools=list_tools)\n"
        "    async with stdio_server() as streams:\n"
        "        await server.run(*streams, server.create_initialization_options())\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    return [sys.executable, str(script)]


def listed(name: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "input_schema": schema or {"type": "object", "properties": {}}}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_calls_the_tools_of_a_server_process(fixture_server: McpTools) -> None:
    runtime = scripted_runtime(
        calls(
            forecast={"city": "Oslo", "days": 2}, add={"a": 2, "b": 3}, divide={"a": 1, "b": 0}, picture={}
        ),
        "Done.",
    )

    run = await runtime.run("Go", tools=fixture_server)

    by_name = {result.tool_name: result for result in run.tool_results}
    assert by_name["forecast"].value == {"city": "Oslo", "days": 2, "sky": "clear"}
    assert by_name["add"].value == 5
    assert by_name["divide"].status == "failed"
    assert "division" in by_name["divide"].message
    assert by_name["picture"].message == "a cat\n[image, image/png, 6 bytes, not shown]"


@pytest.mark.asyncio(loop_scope="module")
async def test_schema_of_a_server_is_enforced_before_the_call(fixture_server: McpTools) -> None:
    runtime = scripted_runtime(calls(forecast={"city": "Oslo", "days": "two"}), "Sorry.")

    run = await runtime.run("Go", tools=fixture_server.tools)

    assert run.tool_results[0].status == "failed"
    assert "days" in run.tool_results[0].message


@pytest.mark.asyncio(loop_scope="module")
async def test_server_that_dies_fails_the_call_and_is_started_again(fixture_server: McpTools) -> None:
    tools = {tool.name: tool for tool in fixture_server}
    before = await tools["process_id"]()
    with pytest.raises(McpConnectionError, match="may or may not have had its effect") as caught:
        await tools["die"]()
    after = await tools["process_id"]()

    assert caught.value.server == "fixture"
    assert "fixture server is up" in caught.value.stderr
    assert before != after


@pytest.mark.asyncio(loop_scope="module")
async def test_calls_that_fail_together_connect_again_once(fixture_server: McpTools) -> None:
    tools = {tool.name: tool for tool in fixture_server}
    outcomes = await asyncio.gather(tools["hang"](), tools["die"](), return_exceptions=True)
    processes = await asyncio.gather(*(tools["process_id"]() for _ in range(3)))

    assert all(isinstance(outcome, McpConnectionError) for outcome in outcomes)
    assert len(set(processes)) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_timed_out_call_leaves_the_connection_usable(fixture_server: McpTools) -> None:
    runtime = scripted_runtime(
        calls(hang={}), calls(add={"a": 1, "b": 1}), "Done.", deployment=DeploymentConfig(tool_timeout_s=0.3)
    )

    run = await runtime.run("Go", tools=fixture_server)

    assert [result.status for result in run.tool_results] == ["failed", "ok"]
    assert run.tool_results[1].value == 2


async def test_leaving_ends_the_server_process() -> None:
    async with McpTools({"fixture": FIXTURE}) as mcp:
        process = await {tool.name: tool for tool in mcp}["process_id"]()

    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def test_two_servers_with_one_name_are_refused_and_a_prefix_helps() -> None:
    with pytest.raises(SchemaError, match="'a' and 'b' both offer it.*prefix='b_'") as caught:
        async with McpTools({"a": FIXTURE, "b": FIXTURE}):
            pass
    async with McpTools(
        {
            "a": ServerConfig(command=FIXTURE[0], args=FIXTURE[1:], tools=("add",)),
            "b": ServerConfig(command=FIXTURE[0], args=FIXTURE[1:], tools=("add", "divide"), prefix="b_"),
        }
    ) as mcp:
        names = [tool.name for tool in mcp]
        total = await mcp.tools[1](a=1, b=2)

    assert caught.value.keyword == "name"
    assert names == ["add", "b_add", "b_divide"]
    assert total == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_clash_with_a_tool_of_ones_own_is_refused(fixture_server: McpTools) -> None:
    def add(a: int) -> int:
        return a

    with pytest.raises(SchemaError, match="two tools have this name"):
        await scripted_runtime("Hi").run("Go", tools=[*fixture_server, add])


async def test_schema_that_cannot_be_honoured_is_refused_with_its_place(tmp_path: Path) -> None:
    remote = {"type": "object", "properties": {"q": {"$ref": "https://example.org/q"}}, "required": ["q"]}
    command = server_with(tmp_path, listed("good"), listed("search", remote))

    with pytest.raises(SchemaError, match="offered by the MCP server 'made'.*on_unusable='skip'") as caught:
        async with McpTools({"made": command}):
            pass
    async with McpTools({"made": command}, on_unusable="skip") as mcp:
        kept, refused = mcp.tools, mcp.refused

    assert (caught.value.tool, caught.value.keyword) == ("search", "$ref")
    assert "q" in caught.value.path
    assert [tool.name for tool in kept] == ["good"]
    assert [(entry.server, entry.name) for entry in refused] == [("made", "search")]


async def test_every_page_of_a_list_is_read(tmp_path: Path) -> None:
    command = server_with(tmp_path, *(listed(f"tool_{n}") for n in range(5)), page_size=2)

    async with McpTools({"made": command}) as mcp:
        assert [tool.name for tool in mcp] == [f"tool_{n}" for n in range(5)]


async def test_tool_that_is_not_offered_is_named_with_a_suggestion() -> None:
    config = ServerConfig(command=FIXTURE[0], args=FIXTURE[1:], tools=("forecasts",))

    with pytest.raises(ConfigError, match="offers no tool 'forecasts': did you mean 'forecast'"):
        async with McpTools({"fixture": config}):
            pass


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param(["no-such-program-anywhere"], "there is no program", id="missing"),
        pytest.param([sys.executable, "-c", "raise SystemExit('no token')"], "no token", id="exits"),
    ],
)
async def test_server_that_does_not_start_says_why(command: list[str], says: str) -> None:
    with pytest.raises(McpConnectionError, match=says):
        async with McpTools({"broken": command}):
            pass


async def test_one_server_that_fails_leaves_none_of_the_others_behind() -> None:
    before = {child.pid for child in psutil.Process().children()}

    with pytest.raises(McpConnectionError, match="'bad'"):
        async with McpTools({"good": FIXTURE, "bad": ["no-such-program-anywhere"], "other": FIXTURE}):
            pass

    assert {child.pid for child in psutil.Process().children()} <= before


async def test_cancelled_connecting_leaves_no_process_behind() -> None:
    before = {child.pid for child in psutil.Process().children()}
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    opening = asyncio.ensure_future(McpTools({"silent": silent}).refresh())
    await asyncio.wait({opening}, timeout=0.3)

    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert {child.pid for child in psutil.Process().children()} <= before


async def test_silent_server_is_given_up() -> None:
    silent = ServerConfig(
        command=sys.executable, args=("-c", "import sys; sys.stdin.read()"), connect_timeout_s=0.5
    )

    with pytest.raises(McpConnectionError, match="did not introduce itself within 0.5 s"):
        async with McpTools({"silent": silent}):
            pass


async def test_hints_are_believed_only_where_trusted(tmp_path: Path) -> None:
    described = {**listed("read"), "annotations": {"read_only_hint": True}}
    command = server_with(tmp_path, described)
    trusted = ServerConfig(command=command[0], args=tuple(command[1:]), trusts_hints=True, prefix="t_")

    async with McpTools({"other": command, "own": trusted}) as mcp:
        assert [tool.is_idempotent for tool in mcp] == [False, True]


async def test_address_nobody_listens_at_is_an_error() -> None:
    with pytest.raises(McpConnectionError, match="could not be connected to"):
        async with McpTools({"gone": "http://127.0.0.1:9/mcp"}):
            pass


@pytest.mark.parametrize(
    ("server", "says"),
    [
        pytest.param({}, "either 'command'.*or 'url'", id="neither"),
        pytest.param({"command": "x", "url": "http://y"}, "either 'command'", id="both"),
        pytest.param({"comand": "x"}, "comand", id="misspelt"),
        pytest.param("localhost:8000", "begins with http", id="no scheme"),
        pytest.param({"command": "x", "headers": {"A": "b"}}, "'headers' go with 'url'", id="headers"),
        pytest.param({"url": "http://y", "type": "stdio"}, "does not fit", id="type"),
    ],
)
def test_config_that_cannot_be_is_refused_by_name(server: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)'mine'.*{says}"):
        McpTools({"mine": server})


def test_file_of_an_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "files": {"command": "npx", "args": ["-y", "files"], "env": {"ROOT": "/"}},
                    "docs": {"type": "http", "url": "https://example.org/mcp", "headers": {"A": "b"}},
                    "off": {"command": "x", "disabled": True},
                }
            }
        ),
        encoding="utf-8",
    )

    servers = read_servers(path)

    assert list(servers) == ["files", "docs"]
    assert servers["files"].args == ("-y", "files")


@pytest.mark.parametrize("text", ["", "[]", '{"mcpServers": []}', '{"mcpServers": {"a": 1}}'])
def test_file_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match="mcp.json"):
        read_servers(path)


@pytest.mark.asyncio(loop_scope="module")
async def test_failure_a_server_reports_is_an_error_of_the_tool(fixture_server: McpTools) -> None:
    divide = {tool.name: tool for tool in fixture_server}["divide"]
    with pytest.raises(McpToolError, match="division"):
        await divide(a=1, b=0)


async def test_server_of_another_make_and_an_older_protocol_is_understood() -> None:
    script = str(Path(__file__).with_name("mcp_raw_server.py"))
    runtime = scripted_runtime(calls(echo={"text": "blåbærsyltetøy 你好"}), "Done.")

    async with McpTools({"raw": [sys.executable, script]}) as mcp:
        run = await runtime.run("Go", tools=mcp)

    assert run.tool_results[0].message == "blåbærsyltetøy 你好"


@pytest.mark.asyncio(loop_scope="module")
async def test_many_calls_go_on_side_by_side(fixture_server: McpTools) -> None:
    add = {tool.name: tool for tool in fixture_server}["add"]

    sums = await asyncio.gather(*(add(a=number, b=number) for number in range(100)))

    assert sums == [2 * number for number in range(100)]


@pytest.mark.asyncio(loop_scope="module")
async def test_timed_out_call_is_cancelled_at_the_server(fixture_server: McpTools) -> None:
    runtime = scripted_runtime(
        calls(hang={}), calls(num_cancelled={}), "Done.", deployment=DeploymentConfig(tool_timeout_s=1.0)
    )

    run = await runtime.run("Go", tools=fixture_server)

    assert run.tool_results[0].status == "failed"
    assert run.tool_results[1].value >= 1


async def test_session_that_a_restarted_server_forgot_is_begun_again() -> None:
    server = SessionServer()

    async with TestServer(server.app()) as listening:
        async with McpTools({"sessions": str(listening.make_url("/mcp"))}) as mcp:
            before = await mcp.tools[0]()
            server.forget()
            after = [await mcp.tools[0](), await mcp.tools[0]()]

    assert before == "1"
    assert after == ["2", "3"]
    assert server.num_sessions == 1


RESULT_BLOCKS = [
    TextContent(text="words"),
    AudioContent(data="aGVsbG8=", mime_type="audio/wav"),
    ResourceLink(name="report", uri="file:///report.txt"),
    EmbeddedResource(resource=TextResourceContents(uri="file:///a.txt", text="inside")),
    EmbeddedResource(resource=BlobResourceContents(uri="file:///a.bin", blob="aGVsbG8=")),
]


def test_every_kind_of_content_has_a_text() -> None:
    text = result_value(CallToolResult(content=RESULT_BLOCKS), None)

    assert text == (
        "words\n[audio, audio/wav, 6 bytes, not shown]\n[report](file:///report.txt)\ninside\n"
        "[file:///a.bin, binary, 6 bytes, not shown]"
    )


@pytest.mark.parametrize(
    ("structured", "schema", "value"),
    [
        pytest.param({"result": [1, 2]}, {"properties": {"result": {}}}, [1, 2], id="wrapped"),
        pytest.param(
            {"result": 1}, {"properties": {"result": {}, "unit": {}}}, {"result": 1}, id="its own key"
        ),
        pytest.param({"result": 1}, None, {"result": 1}, id="no schema"),
        pytest.param({}, None, {}, id="empty object"),
    ],
)
def test_structured_content_is_the_value(structured: Any, schema: dict[str, Any] | None, value: Any) -> None:
    assert result_value(CallToolResult(content=[], structured_content=structured), schema) == value


def test_failure_without_a_reason_says_so() -> None:
    with pytest.raises(McpToolError, match="gave no reason"):
        result_value(CallToolResult(content=[], is_error=True), None)
