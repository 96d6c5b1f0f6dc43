"""OpenAI's own client against the server: sync and async, streamed or not, helpers and errors included."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from agent_runtime import (
    AgentRuntime,
    DeadlineError,
    EvidenceSpan,
    OverloadedError,
    SlotDetail,
    TokenLogprob,
    ToolCall,
    Turn,
    Usage,
)
from agent_runtime.testing import call, calls

from ..served import WEATHER_TOOL, HeldEngine, Served, served

OSLO = ToolCall(
    id="call_1",
    name="get_weather",
    arguments={"city": "Oslo"},
    confidence=0.75,
    slots={
        "city": SlotDetail(
            value="Oslo", confidence=0.75, evidence=EvidenceSpan(message_index=0, start=0, end=4)
        )
    },
)
HELLO: Any = [{"role": "user", "content": "Oslo?"}]
TOOLS: Any = [WEATHER_TOOL]


def client_of(server: Served, **options: Any) -> AsyncOpenAI:
    """OpenAI's asynchronous client for this server; it does not try again by itself."""
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0, **options)


class Place(BaseModel):
    city: str
    country: str | None = None


async def test_words_calls_and_usage_are_read() -> None:
    said = Turn(content="Hi.", usage=Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=4))
    async with served(said, calls(OSLO), api_key="secret") as server, client_of(server) as client:
        words = await client.chat.completions.create(model="smolcall", messages=HELLO)
        called = await client.chat.completions.create(model="smolcall", messages=HELLO, tools=TOOLS)

    assert words.choices[0].message.content == "Hi."
    assert words.usage is not None
    assert words.usage.prompt_tokens_details is not None
    assert (words.usage.total_tokens, words.usage.prompt_tokens_details.cached_tokens) == (10, 4)
    made = cast("list[Any]", called.choices[0].message.tool_calls)
    assert called.choices[0].finish_reason == "tool_calls"
    assert json.loads(made[0].function.arguments) == {"city": "Oslo"}
    assert made[0].confidence == 0.75
    assert made[0].slots["city"]["evidence"] == {"message_index": 0, "start": 0, "end": 4}


def test_the_synchronous_client_works_too() -> None:
    async def main() -> tuple[str | None, str, list[str]]:
        async with served("It is sunny today.", api_key="secret") as server:
            return await asyncio.to_thread(ask, server.url)

    def ask(url: str) -> tuple[str | None, str, list[str]]:
        with OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0) as client:
            whole = client.chat.completions.create(model="smolcall", messages=HELLO)
            with client.chat.completions.create(model="smolcall", messages=HELLO, stream=True) as stream:
                streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return whole.choices[0].message.content, streamed, [model.id for model in client.models.list()]

    assert asyncio.run(main()) == ("It is sunny today.", "It is sunny today.", ["smolcall"])


async def test_a_stream_accumulates_to_the_same_completion() -> None:
    tokens = (TokenLogprob(token="Hi", logprob=-0.5, top=(("Hi", -0.5),)),)
    said = Turn(content="Hi", logprobs=tokens, usage=Usage(prompt_tokens=7, completion_tokens=1))
    async with served(said, calls(OSLO, call("get_weather", {"city": "Rome"})), api_key="secret") as server:
        async with client_of(server) as client:
            async with client.chat.completions.stream(
                model="smolcall",
                messages=HELLO,
                logprobs=True,
                top_logprobs=1,
                stream_options={"include_usage": True},
            ) as stream:
                words = await stream.get_final_completion()
            async with client.chat.completions.stream(
                model="smolcall", messages=HELLO, tools=TOOLS
            ) as stream:
                called = await stream.get_final_completion()

    assert words.choices[0].message.content == "Hi"
    assert words.usage is not None
    assert words.usage.total_tokens == 8
    assert words.choices[0].logprobs is not None
    assert words.choices[0].logprobs.content is not None
    assert words.choices[0].logprobs.content[0].top_logprobs[0].token == "Hi"
    made = cast("list[Any]", called.choices[0].message.tool_calls)
    assert [json.loads(one.function.arguments)["city"] for one in made] == ["Oslo", "Rome"]
    assert called.choices[0].finish_reason == "tool_calls"


async def test_a_pydantic_model_is_filled() -> None:
    answer = calls(call("Place", {"city": "Oslo", "country": None}))
    async with served(answer, api_key="secret") as server, client_of(server) as client:
        parsed = await client.chat.completions.parse(model="smolcall", messages=HELLO, response_format=Place)
        async with client.chat.completions.stream(
            model="smolcall", messages=HELLO, response_format=Place
        ) as stream:
            streamed = await stream.get_final_completion()

    assert parsed.choices[0].message.parsed == Place(city="Oslo")
    assert streamed.choices[0].message.parsed == Place(city="Oslo")


async def test_replies_go_back_into_the_conversation_as_they_came() -> None:
    async with served(calls(OSLO), "It is sunny.", api_key="secret") as server, client_of(server) as client:
        first = await client.chat.completions.create(model="smolcall", messages=HELLO, tools=TOOLS)
        made = cast("list[Any]", first.choices[0].message.tool_calls)
        result = {"role": "tool", "tool_call_id": made[0].id, "content": "sunny"}
        conversation: Any = [*HELLO, first.choices[0].message, result]
        second = await client.chat.completions.create(model="smolcall", messages=conversation, tools=TOOLS)

    assert second.choices[0].message.content == "It is sunny."


async def test_errors_are_the_clients_own_classes() -> None:
    busy, late = OverloadedError(queued=9, retry_after_s=2), DeadlineError(deadline_s=1)
    async with served(busy, late, "Fine.", api_key="secret") as server, client_of(server) as client:
        create = client.chat.completions.create
        with pytest.raises(openai.RateLimitError) as limited:
            await create(model="smolcall", messages=HELLO)
        with pytest.raises(openai.InternalServerError) as timed_out:
            await create(model="smolcall", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="not served here"):
            await create(model="gpt-4", messages=HELLO)
        with pytest.raises(openai.BadRequestError) as refused:
            await create(model="smolcall", messages=HELLO, presence_penalty=1.5)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="wrong").chat.completions.create(
                model="smolcall", messages=HELLO
            )

    assert limited.value.response.headers["retry-after"] == "2"
    assert timed_out.value.status_code == 504
    assert refused.value.param == "presence_penalty"
    assert refused.value.code == "unsupported_parameter"


async def test_a_passed_deadline_is_not_tried_again() -> None:
    async with served(DeadlineError(deadline_s=1), "Fine.", api_key="secret") as server:
        async with client_of(server).with_options(max_retries=3) as client:
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="smolcall", messages=HELLO)


async def test_a_busy_server_is_asked_again() -> None:
    async with served(OverloadedError(queued=9, retry_after_s=0.01), "Fine.", api_key="secret") as server:
        async with client_of(server).with_options(max_retries=2) as client:
            answer = await client.chat.completions.create(model="smolcall", messages=HELLO)

    assert answer.choices[0].message.content == "Fine."


async def test_a_stream_that_is_left_cancels_its_turn() -> None:
    engine = HeldEngine()
    async with served(runtime=AgentRuntime(engine), api_key="secret") as server, client_of(server) as client:
        stream = await client.chat.completions.create(model="smolcall", messages=HELLO, stream=True)
        async for _ in stream:
            break
        await stream.close()
        await engine.ended.acquire()

    assert engine.num_cancelled == 1


async def test_a_failure_in_the_middle_of_a_stream_is_raised() -> None:
    engine = HeldEngine()
    async with served(runtime=AgentRuntime(engine), api_key="secret") as server, client_of(server) as client:
        stream = await client.chat.completions.create(
            model="smolcall", messages=HELLO, stream=True, extra_body={"timeout": 20}
        )
        reader = aiter(stream)
        await anext(reader)
        engine.close()  # the runtime ends under the turn
        engine.released.set()
        with pytest.raises(openai.APIError, match="shutting down"):
            async for _ in reader:
                pass
