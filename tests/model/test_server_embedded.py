"""The server with the embedded model: what OpenAI's client gets from a real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import jsonschema
import pytest
from openai import AsyncOpenAI

from agent_runtime import AgentRuntime, DeploymentConfig

from ..served import WEATHER_TOOL, Served, served

OSLO: Any = [{"role": "user", "content": "What's the weather in Oslo for 5 days?"}]
TOOLS: Any = [WEATHER_TOOL]


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    runtime = AgentRuntime.load(deployment=DeploymentConfig(max_tokens=96, max_batch=4))
    async with served(runtime=runtime, rate_per_minute=0) as server:
        yield server


@pytest.fixture
async def client(server: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_a_call_names_where_its_values_stand(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smolcall", messages=OSLO, tools=TOOLS, tool_choice="required", parallel_tool_calls=False
    )

    (call,) = cast("list[Any]", answer.choices[0].message.tool_calls)
    span = call.slots["city"]["evidence"]
    assert OSLO[0]["content"][span["start"] : span["end"]] == call.slots["city"]["value"] == "Oslo"
    assert 0 < call.confidence <= 1


async def test_a_streamed_reply_equals_the_whole_one(client: AsyncOpenAI) -> None:
    for settings in ({"tools": TOOLS, "tool_choice": "required"}, {"max_tokens": 24}):
        asked: Any = {"model": "smolcall", "messages": OSLO, **settings}
        whole = await client.chat.completions.create(**asked)
        async with client.chat.completions.stream(**asked) as stream:
            streamed = await stream.get_final_completion()
        assert (streamed.choices[0].message.content or "") == (whole.choices[0].message.content or "")
        assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason
        told, made = (
            [
                (call.id, call.function.arguments)
                for call in cast("list[Any]", one.choices[0].message.tool_calls or [])
            ]
            for one in (streamed, whole)
        )
        assert told == made


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        {"type": "array", "items": {"enum": ["Oslo", "Rome"]}, "minItems": 1, "maxItems": 2},
    ],
)
async def test_a_reply_under_a_schema_is_valid(client: AsyncOpenAI, schema: Any) -> None:
    answer = await client.chat.completions.create(
        model="smolcall",
        messages=OSLO,
        response_format={"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}},
    )

    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), schema)
    assert answer.choices[0].finish_reason == "stop"


async def test_a_json_object_is_one(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smolcall", messages=OSLO, response_format={"type": "json_object"}
    )

    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


async def test_log_probabilities_spell_the_reply(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smolcall", messages=OSLO, logprobs=True, top_logprobs=2, max_tokens=12
    )

    choice = answer.choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(token.token for token in tokens).startswith(choice.message.content or "")
    assert all(token.logprob <= 0 for token in tokens)
    assert all(len(token.top_logprobs) == 2 for token in tokens)


async def test_a_request_alone_or_among_others_gives_the_same_reply(client: AsyncOpenAI) -> None:
    def ask(city: str, seed: int) -> Any:
        return client.chat.completions.create(
            model="smolcall",
            messages=[{"role": "user", "content": f"Tell me about {city}."}],
            temperature=1.0,
            seed=seed,
            max_tokens=16,
            n=2,
        )

    asked = [(city, seed) for city in ("Oslo", "Rome", "Lima") for seed in (1, 2)]
    together = await asyncio.gather(*(ask(*one) for one in asked))
    alone = [await ask(*one) for one in asked]

    for first, second in zip(together, alone, strict=True):
        assert [one.message.content for one in first.choices] == [
            one.message.content for one in second.choices
        ]


async def test_a_stream_that_is_left_frees_its_place_in_the_engine(
    server: Served, client: AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(
        model="smolcall",
        messages=OSLO,
        stream=True,
        temperature=2.0,
        seed=3,
        n=4,
    )
    async for _ in stream:
        break
    await stream.close()

    await server.wait_metric('smolcall_engine_turns_total{outcome="cancelled"}')
    while await server.metric("smolcall_engine_active_turns"):
        continue
    assert await server.metric("smolcall_engine_queue_length") == 0


async def test_repeated_prompts_report_what_was_cached(client: AsyncOpenAI) -> None:
    text = "Oslo is a city. " * 40
    asked: Any = {"model": "smolcall", "messages": [{"role": "user", "content": text}], "max_tokens": 2}
    await client.chat.completions.create(**asked)
    again = await client.chat.completions.create(**asked)

    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert (again.usage.prompt_tokens_details.cached_tokens or 0) > 64


async def test_a_conversation_that_does_not_fit_is_refused(server: Served) -> None:
    status, body = await server.chat(messages=[{"role": "user", "content": "word " * 20_000}])

    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
