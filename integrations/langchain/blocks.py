"""Turns as LangChain's messages and chunks, and their content as v1 blocks.

A message's `content` is the answer's text; the thought stands in
`additional_kwargs["reasoning_content"]`, the argument report beside it. The translators at the end make v1
content blocks of these, whole or chunk by chunk; LangChain finds them by
`response_metadata["model_provider"]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock
from langchain_core.messages.tool import tool_call_chunk

from agent_runtime import ReasoningDelta, TextDelta, TokenLogprob, ToolCall, Turn

from .asks import Ask
from .report import REPORT_KEY, report_of
from .turns import CallPiece, CallStream, Made, TurnPiece

PROVIDER = "smolcall"
REASONING_KEY = "reasoning_content"

_BY_PROVIDER = {"model_provider": PROVIDER}


def whole_message(made: Made, ask: Ask, model_name: str) -> AIMessage:
    """The turn as one message."""
    turn = made.turn
    said: dict[str, Any] = {REASONING_KEY: turn.reasoning} if turn.reasoning else {}
    reports = reports_of(made, ask)
    if reports:
        said[REPORT_KEY] = reports
    return AIMessage(
        content=turn.content,
        additional_kwargs=said,
        tool_calls=[
            {"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"}
            for call in turn.tool_calls
        ],
        usage_metadata=usage_of(turn),
        response_metadata=metadata_of(turn, model_name),
    )


class ChunkWriter:
    """The pieces of a turn as message chunks; added up they are the whole message."""

    def __init__(self, ask: Ask, model_name: str) -> None:
        self._ask = ask
        self._model_name = model_name
        self._calls = CallStream(may_abstain=may_abstain(ask))

    def write(self, piece: TurnPiece) -> Iterator[AIMessageChunk]:
        """The chunks of a piece: none while a call is held back."""
        if isinstance(piece, TextDelta):
            yield AIMessageChunk(content=piece.text, response_metadata=dict(_BY_PROVIDER))
        elif isinstance(piece, ReasoningDelta):
            yield _chunk(additional_kwargs={REASONING_KEY: piece.text})
        elif isinstance(piece, Made):
            yield from map(self._call_chunk, self._calls.end())
            yield self._last(piece)
        else:
            yield from map(self._call_chunk, self._calls.take(piece))

    def _call_chunk(self, piece: CallPiece) -> AIMessageChunk:
        is_named = piece.starts or piece.ready is not None
        chunk = tool_call_chunk(
            name=piece.name if piece.starts else None,
            args=piece.text,
            id=piece.call_id if is_named else None,
            index=piece.index,
        )
        said = {} if piece.ready is None else {REPORT_KEY: {piece.call_id: report(piece.ready, self._ask)}}
        return _chunk(tool_call_chunks=[chunk], additional_kwargs=said)

    def _last(self, made: Made) -> AIMessageChunk:
        said = {}
        if made.reply is not None:
            said[REPORT_KEY] = {made.reply.id: report(made.reply, self._ask)}
        return AIMessageChunk(
            content="",
            additional_kwargs=said,
            usage_metadata=usage_of(made.turn),
            response_metadata=metadata_of(made.turn, self._model_name),
            chunk_position="last",
        )


def _chunk(**parts: Any) -> AIMessageChunk:
    return AIMessageChunk(content="", response_metadata=dict(_BY_PROVIDER), **parts)


def may_abstain(ask: Ask) -> bool:
    """Whether a call may be dropped for doubt when it is complete."""
    return ask.tool_choice == "auto" and float(ask.settings.get("abstain_below") or 0.0) > 0.0


def report(call: ToolCall, ask: Ask) -> dict[str, Any]:
    """The argument report of a call, as plain JSON."""
    offered = ask.tool_named(call.name)
    return report_of(call, ask.conversation, {} if offered is None else offered.parameters)


def reports_of(made: Made, ask: Ask) -> dict[str, Any]:
    """The reports of a turn's calls, or of its structured reply, by call id."""
    calls = made.turn.tool_calls if made.reply is None else (made.reply,)
    return {call.id: report(call, ask) for call in calls}


def usage_of(turn: Turn) -> UsageMetadata:
    """Tokens, with what was read from the prefix cache and what was spent thinking."""
    usage = turn.usage
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details={"cache_read": usage.cached_tokens},
        output_token_details={"reasoning": usage.reasoning_tokens},
    )


def metadata_of(turn: Turn, model_name: str) -> dict[str, Any]:
    """What LangChain calls response metadata: plain JSON."""
    timings = turn.timings
    metadata: dict[str, Any] = {
        **_BY_PROVIDER,
        "model_name": model_name,
        "finish_reason": turn.stop_reason,
        "call_probability": turn.plan.call_probability,
        "forwards": turn.usage.forwards,
        "timings_ms": {
            name: getattr(timings, f"{name}_ms")
            for name in ("queue", "prompt", "prefill", "decide", "fill", "decode", "total")
        },
    }
    if turn.logprobs is not None:
        metadata["logprobs"] = {"content": [_logprob(token) for token in turn.logprobs]}
    return metadata


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    """One token in OpenAI's shape."""
    return {
        **_token(token.token, token.logprob),
        "top_logprobs": [_token(text, logprob) for text, logprob in token.top],
    }


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", errors="replace"))}


# v1 content blocks.


def extras_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """A call's report as the `extras` of its block; the name stands in the block itself."""
    return {"confidence": said["confidence"], "arguments": said["arguments"]}


def reply_extras(call_id: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A structured reply's report as the `extras` of its text block."""
    return {"call_id": call_id, "name": said["name"], **extras_of(said)}


def _blocks_of_message(message: AIMessage) -> list[ContentBlock]:
    blocks: list[Any] = []
    reasoning = message.additional_kwargs.get(REASONING_KEY)
    if reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    blocks += _given_blocks(message)
    reports = message.additional_kwargs.get(REPORT_KEY) or {}
    _report_reply(message, reports, blocks)
    told = {block.get("id") for block in blocks if block.get("type") == "tool_call"}
    for call in message.tool_calls:
        if call["id"] is not None and call["id"] in told:
            continue
        block: dict[str, Any] = {**call, "type": "tool_call"}
        if call["id"] in reports:
            block["extras"] = extras_of(reports[call["id"]])
        blocks.append(block)
    return cast("list[ContentBlock]", blocks)


def _report_reply(message: AIMessage, reports: Mapping[str, Any], blocks: list[Any]) -> None:
    """Put the report of a structured reply, which is no call of the message, on its text."""
    made = {call["id"] for call in message.tool_calls}
    replies = [(call_id, said) for call_id, said in reports.items() if call_id not in made]
    if len(replies) != 1:
        return
    texts = [block for block in blocks if block.get("type") == "text"]
    if not texts:  # the last chunk of a stream: joined to the text before it
        texts.append({"type": "text", "text": "", "index": "lc_text"})
        blocks += texts
    texts[0]["extras"] = reply_extras(*replies[0])


def _given_blocks(message: AIMessage) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if message.content else []
    return [
        {"type": "text", "text": part} if isinstance(part, str) else dict(part) for part in message.content
    ]


def _blocks_of_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """Blocks whose `index` says which of them belong together when chunks are added up."""
    if chunk.chunk_position == "last":  # all chunks together
        return _blocks_of_message(chunk)
    blocks: list[Any] = []
    reasoning = chunk.additional_kwargs.get(REASONING_KEY)
    if reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_reasoning"})
    blocks += [{**block, "index": "lc_text"} for block in _given_blocks(chunk)]
    reports = chunk.additional_kwargs.get(REPORT_KEY) or {}
    for part in chunk.tool_call_chunks:
        block = {**part, "type": "tool_call_chunk", "index": f"lc_call_{part.get('index')}"}
        if part.get("id") in reports:
            block["extras"] = extras_of(reports[part["id"]])
        blocks.append(block)
    return cast("list[ContentBlock]", blocks)


register_translator(PROVIDER, _blocks_of_message, _blocks_of_chunk)
