"""The chat page in a real browser, against a server whose model follows a script."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_runtime import (
    AgentRuntime,
    EvidenceSpan,
    OverloadedError,
    SlotDetail,
    ToolCall,
    Turn,
)
from agent_runtime.testing import ScriptedEngine, calls

from ..served import HeldEngine, Served, served

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

QUESTION = "🌧 What's the weather in Oslo?"


def get_weather(city: str, days: int = 1) -> str:
    """Current weather for a city.

    Args:
        city: City name.
        days: Number of days.
    """
    return f"sunny in {city}"


def oslo(days: int) -> ToolCall:
    start = QUESTION.index("Oslo")
    evidence = EvidenceSpan(message_index=0, start=start, end=start + 4)
    return ToolCall(
        id="",
        name="get_weather",
        arguments={"city": "Oslo", "days": days},
        confidence=0.62,
        slots={
            "city": SlotDetail(value="Oslo", confidence=0.97, evidence=evidence),
            "days": SlotDetail(value=days, confidence=0.31),
        },
    )


def find_browser(playwright: Any) -> str | None:
    """Playwright's own Chromium, or one that is installed."""
    if Path(playwright.chromium.executable_path).is_file():
        return str(playwright.chromium.executable_path)
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


@asynccontextmanager
async def opened(server: Served) -> AsyncIterator[Any]:
    """The page in headless Chromium; an error in its script fails the test."""
    async with playwright_api.async_playwright() as playwright:
        browser_path = find_browser(playwright)
        if browser_path is None:
            pytest.skip("no Chromium was found: run `playwright install chromium`")
        browser = await playwright.chromium.launch(
            executable_path=browser_path,
            # A browser run by root, as in a container, has no sandbox.
            args=["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else [],
        )
        try:
            page = await browser.new_page()
            page.set_default_timeout(15_000)
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            await page.goto(server.url)
            yield page
            assert faults == []
        finally:
            await browser.close()


async def ask(page: Any, question: str) -> None:
    """Type a question and send it."""
    await page.get_by_label("Question").fill(question)
    await page.get_by_label("Question").press("Enter")


async def test_a_call_is_shown_with_confidence_and_its_evidence_is_marked() -> None:
    second = "Thanks. 你好 <b>bold</b>"
    async with served(calls(oslo(1)), "It is sunny in Oslo.", second, tools=[get_weather]) as server:
        async with opened(server) as page:
            assert await page.locator("#tools summary").text_content() == "1 tool"
            await ask(page, QUESTION)
            await page.get_by_text("It is sunny in Oslo.").wait_for()

            mark = page.locator(".user mark")
            assert await mark.all_text_contents() == ["Oslo"]
            card = page.locator(".call")
            assert await card.locator(".name").text_content() == "get_weather"
            assert await card.locator(".head .confidence").text_content() == "62%"
            city, days = card.locator("tr[data-path=city]"), card.locator("tr[data-path=days]")
            assert await city.locator(".value").text_content() == "Oslo"
            assert await city.locator(".confidence.sure").text_content() == "97%"
            assert await days.locator(".confidence.doubtful").text_content() == "31%"
            assert await card.locator(".result.ok").text_content() == "sunny in Oslo"

            await city.hover()
            assert "lit" in (await mark.get_attribute("class") or "")
            await days.hover()
            assert "lit" not in (await mark.get_attribute("class") or "")

            await ask(page, "And <i>now</i>?")
            await page.get_by_text(second).wait_for()
            row, whole = await days.bounding_box(), await card.bounding_box()
            assert whole["y"] < row["y"] < row["y"] + row["height"] < whole["y"] + whole["height"]
            assert await page.locator("main b, main i").count() == 0
            assert await page.locator(".user").count() == 2


async def test_evidence_in_a_result_is_marked_there() -> None:
    start = "sunny in Oslo".index("Oslo")
    again = ToolCall(
        id="",
        name="get_weather",
        arguments={"city": "Oslo"},
        slots={
            "city": SlotDetail(
                value="Oslo",
                confidence=0.9,
                evidence=EvidenceSpan(message_index=2, start=start, end=start + 4),
            )
        },
    )
    async with served(calls(oslo(1)), calls(again), "Done.", tools=[get_weather]) as server:
        async with opened(server) as page:
            await ask(page, QUESTION)
            await page.get_by_text("Done.").wait_for()
            assert await page.locator(".call").first.locator(".result mark").all_text_contents() == ["Oslo"]


async def test_the_conversation_goes_on_where_it_was() -> None:
    engine = ScriptedEngine(calls(oslo(1)), "It is sunny.", "You asked about Oslo.")
    async with served(runtime=AgentRuntime(engine), tools=[get_weather]) as server:
        async with opened(server) as page:
            await ask(page, QUESTION)
            await page.get_by_text("It is sunny.").wait_for()
            await ask(page, "What did I ask?")
            await page.get_by_text("You asked about Oslo.").wait_for()
            assert [message.role for message in engine.orders[-1].messages] == [
                "user",
                "assistant",
                "tool",
                "assistant",
                "user",
            ]
            await page.get_by_text("New conversation").click()
            await ask(page, "Hello")
            await page.get_by_text("You asked about Oslo.").wait_for()
            assert len(engine.orders[-1].messages) == 1


async def test_stopping_cancels_the_turn() -> None:
    engine = HeldEngine()
    async with served(runtime=AgentRuntime(engine)) as server, opened(server) as page:
        await ask(page, "Hello")
        await page.get_by_text("Well,").wait_for()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_text("Stopped.").wait_for()
        await engine.ended.acquire()
        assert engine.num_cancelled == 1


async def test_an_error_is_said_and_the_next_question_works() -> None:
    busy = OverloadedError(queued=9, retry_after_s=2)
    async with served(busy, Turn(content="Fine.")) as server, opened(server) as page:
        await ask(page, "Hello")
        await page.get_by_role("alert").wait_for()
        assert "already waiting" in await page.get_by_role("alert").text_content()
        await ask(page, "Hello")
        await page.get_by_text("Fine.").wait_for()


async def test_a_key_is_asked_for_when_one_is_needed() -> None:
    async with served("Fine.", api_key="secret", tools=[get_weather]) as server, opened(server) as page:
        await page.get_by_label("API key").fill("secret")
        await page.get_by_label("API key").press("Tab")
        await page.get_by_text("1 tool").wait_for()
        await ask(page, "Hello")
        await page.get_by_text("Fine.").wait_for()


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with served() as server:
        for path in ("/", "/page.css", "/page.js"):
            async with server.client.get(path) as answer:
                assert answer.status == 200
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                text = await answer.text()
                assert "http://" not in text
                assert "https://" not in text
