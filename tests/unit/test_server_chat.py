"""Chat completions over HTTP: what is asked for reaches the runtime, and what is made reaches the client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_runtime import DeploymentConfig, EvidenceSpan, SlotDetail, TokenLogprob, ToolCall, Turn, Usage
from agent_runtime.errors import DeadlineError, OverloadedError, PromptTooLongError
from agent_runtime.runtime import AgentRuntime
from agent_runtime.testing import ScriptedEngine, call, calls

from ..served import WEATHER_TOOL, Served, served

OSLO = ToolCall(
    id="call_1",
    name="get_weather",
    arguments={"city": "Oslo"},
    confidence=0.75,
    slots={
        "city": SlotDetail(
            value="Oslo", confidence=0.75, evidence=EvidenceSpan(message_index=0, start=11, end=15)
        )
    },
)


async def chunks_of(server: Served, **body: Any) -> list[dict[str, Any]]:
    """The chunks of a stream that ends as it should."""
    body.setdefault("messages", [{"role": "user", "content": "Hello"}])
    async with server.client.post("/v1/chat/completions", json={**body, "stream": True}) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        lines = [line for line in (await answer.text()).split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


async def test_words_come_back_as_an_assistant_message() -> None:
    turn = Turn(content="Hi there.", usage=Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2))
    async with served(turn) as server:
        status, body = await server.chat(model="smolcall")

    assert status == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "smolcall"
    (choice,) = body["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Hi there."
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 10
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 2


async def test_a_call_carries_confidence_and_evidence() -> None:
    async with served(calls(OSLO)) as server:
        _, body = await server.chat(tools=[WEATHER_TOOL])

    (choice,) = body["choices"]
    (made,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert made["type"] == "function"
    assert json.loads(made["function"]["arguments"]) == {"city": "Oslo"}
    assert made["confidence"] == 0.75
    assert made["slots"]["city"]["evidence"] == {"message_index": 0, "start": 11, "end": 15}


async def test_what_is_asked_for_reaches_the_engine() -> None:
    engine = ScriptedEngine("Fine.")
    async with served(runtime=AgentRuntime(engine)) as server:
        status, _ = await server.chat(
            tools=[WEATHER_TOOL],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            parallel_tool_calls=False,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop=["END"],
            max_completion_tokens=64,
            logprobs=True,
            top_logprobs=3,
            timeout=5,
            abstain_below=0.25,
            reasoning_effort="low",
            user="somebody",
        )

    assert status == 200
    (order,) = engine.orders
    assert [tool.name for tool in order.tools] == ["get_weather"]
    assert (order.tool_choice.mode, order.tool_choice.name) == ("required", "get_weather")
    assert order.stop == ("END",)
    assert order.top_logprobs == 3
    wanted = order.deployment
    assert (wanted.temperature, wanted.top_p, wanted.seed, wanted.max_tokens) == (0.5, 0.9, 7, 64)
    assert (wanted.max_parallel_calls, wanted.abstain_below) == (1, 0.25)
    assert wanted.request_deadline_s is not None
    assert 4 < wanted.request_deadline_s <= 5
    assert wanted.think
    assert wanted.think_budget_tokens == 32


async def test_n_replies_have_seeds_of_their_own() -> None:
    engine = ScriptedEngine("One.", "Two.", "Three.")
    async with served(runtime=AgentRuntime(engine)) as server:
        _, body = await server.chat(n=3, seed=40)

    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"One.", "Two.", "Three."}
    assert sorted(order.deployment.seed for order in engine.orders) == [40, 41, 42]


async def test_log_probabilities_have_openai_shape() -> None:
    tokens = (TokenLogprob(token="Hi", logprob=-0.5, top=(("Hi", -0.5), ("Yo", float("-inf")))),)
    async with served(Turn(content="Hi", logprobs=tokens)) as server:
        _, body = await server.chat(logprobs=True, top_logprobs=2)

    (token,) = body["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("Hi", -0.5, [72, 105])
    assert [one["logprob"] for one in token["top_logprobs"]] == [-0.5, -9999.0]


async def test_a_stream_of_words_adds_up() -> None:
    async with served("It is sunny today.") as server:
        chunks = await chunks_of(server)

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "It is sunny today."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


async def test_a_stream_ends_in_usage_when_asked_for() -> None:
    turn = Turn(content="Hi", usage=Usage(prompt_tokens=7, completion_tokens=3))
    async with served(turn) as server:
        chunks = await chunks_of(server, stream_options={"include_usage": True})

    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 10


@pytest.mark.parametrize("abstain_below", [0.0, 0.5])
async def test_streamed_calls_add_up(abstain_below: float) -> None:
    async with served(calls(OSLO, call("get_weather", {"city": "Rome"}))) as server:
        chunks = await chunks_of(server, tools=[WEATHER_TOOL], abstain_below=abstain_below)

    pieces = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("tool_calls", ())]
    for index, city in enumerate(["Oslo", "Rome"]):
        made = [piece for piece in pieces if piece["index"] == index]
        assert len([piece for piece in made if "id" in piece]) == 1
        assert made[0]["function"]["name"] == "get_weather"
        text = "".join(piece.get("function", {}).get("arguments", "") for piece in made)
        assert json.loads(text) == {"city": city}
        assert len([piece for piece in made if "confidence" in piece]) == 1
        assert made[-1]["slots"]["city"]["value"] == city
    assert (len(pieces) == 2) == (abstain_below > 0)  # what may be dropped is told once it is sure
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_streamed_choices_are_told_apart() -> None:
    async with served("One.", "Two.") as server:
        chunks = await chunks_of(server, n=2, stream_options={"include_usage": True})

    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert sorted(texts.values()) == ["One.", "Two."]


async def test_a_reply_under_a_schema_is_its_json() -> None:
    engine = ScriptedEngine(calls(call("place", {"city": "Oslo"}, confidence=0.5)))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    async with served(runtime=AgentRuntime(engine)) as server:
        _, body = await server.chat(response_format=wanted)
        chunks = await chunks_of(server, response_format=wanted)

    (choice,) = body["choices"]
    assert json.loads(choice["message"]["content"]) == {"city": "Oslo"}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    assert choice["slots"]["city"]["confidence"] == 0.5
    assert engine.orders[0].tool_choice.mode == "required"
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert json.loads(streamed) == {"city": "Oslo"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"][0]["confidence"] == 0.5


async def test_a_tool_may_be_called_before_a_reply_under_a_schema() -> None:
    engine = ScriptedEngine(calls(OSLO))
    wanted = {"type": "json_object"}
    async with served(runtime=AgentRuntime(engine)) as server:
        _, body = await server.chat(response_format=wanted, tools=[WEATHER_TOOL])

    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert [one["function"]["name"] for one in choice["message"]["tool_calls"]] == ["get_weather"]
    assert [tool.name for tool in engine.orders[0].tools] == ["get_weather", "reply"]


async def test_a_call_that_was_too_doubtful_says_so() -> None:
    async with served(Turn(content="", stop_reason="abstained")) as server:
        _, body = await server.chat(tools=[WEATHER_TOOL])

    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["stop_reason"] == "abstained"


async def test_only_allowed_tools_are_offered() -> None:
    engine = ScriptedEngine("Fine.")
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "other"}}]},
    }
    async with served(runtime=AgentRuntime(engine)) as server:
        status, _ = await server.chat(tools=[WEATHER_TOOL, other], tool_choice=allowed)

    assert status == 200
    assert [tool.name for tool in engine.orders[0].tools] == ["other"]
    assert engine.orders[0].tool_choice.mode == "required"


async def test_a_reply_can_be_sent_back_with_the_conversation() -> None:
    async with served(calls(OSLO), "It is sunny.") as server:
        question = {"role": "user", "content": "Weather in Oslo?"}
        _, body = await server.chat(messages=[question], tools=[WEATHER_TOOL])
        reply = body["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": "sunny"}
        status, body = await server.chat(messages=[question, reply, result], tools=[WEATHER_TOOL])

    assert status == 200
    assert body["choices"][0]["message"]["content"] == "It is sunny."


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OverloadedError(queued=64, retry_after_s=2.5), 429, "rate_limit_exceeded"),
        (DeadlineError(deadline_s=3), 504, "deadline_exceeded"),
        (PromptTooLongError(prompt_tokens=9000, max_tokens=8192), 400, "context_length_exceeded"),
        (RuntimeError("a secret"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_failures_have_a_status_and_openai_shape(
    error: Exception, status: int, code: str, is_streamed: bool
) -> None:
    async with served(error) as server:
        found, body = await server.chat(stream=is_streamed)

    assert found == status
    assert body["error"]["code"] == code
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "a secret" not in body["error"]["message"]


async def test_a_full_queue_says_when_to_come_back() -> None:
    async with served(OverloadedError(queued=64, retry_after_s=2.5)) as server:
        async with server.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]}
        ) as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "3"


async def test_one_failed_choice_fails_the_request() -> None:
    async with served("One.", DeadlineError(deadline_s=3)) as server:
        status, _ = await server.chat(n=2)

    assert status == 504


async def test_settings_of_the_deployment_bound_the_request() -> None:
    async with served(
        deployment=DeploymentConfig(max_tokens=32), request_timeout_s=5, max_choices=2
    ) as server:
        status, body = await server.chat(max_tokens=33)
        assert (status, body["error"]["param"]) == (400, "max_tokens")
        status, body = await server.chat(timeout=6)
        assert (status, body["error"]["param"]) == (400, "timeout")
        status, body = await server.chat(n=3)
        assert (status, body["error"]["param"]) == (400, "n")
