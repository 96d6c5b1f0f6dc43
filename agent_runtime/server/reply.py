"""Turns in OpenAI's words: completions, chunks of a stream, usage, log-probabilities.

Beyond OpenAI's fields a call carries `confidence` and `slots` (value, confidence and evidence of every
argument), a choice carries `plan` and `stop_reason`, and `slots` when it was written under a schema.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import __version__
from ..messages import SlotDetail, TokenLogprob, ToolCall, Turn, Usage, tool_call_as_dict
from ..structured_reply import SettledTurn

FINGERPRINT = f"smolcall-{__version__}"

_FINISH = {"stop": "stop", "tool_calls": "tool_calls", "length": "length", "abstained": "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every part of one completion begins with."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, turns: Sequence[SettledTurn]) -> dict[str, Any]:
        """The whole answer."""
        return {
            **self._as_dict("chat.completion"),
            "choices": [_choice(index, settled) for index, settled in enumerate(turns)],
            "usage": usage_as_dict([settled.turn.usage for settled in turns]),
            "timings": asdict(turns[0].turn.timings),
        }

    def chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        *,
        finish: SettledTurn | None = None,
        has_usage: bool = False,
    ) -> dict[str, Any]:
        """One piece of a stream; with `finish` the last of its choice."""
        choice: dict[str, Any] = {"index": index, "delta": dict(delta), "logprobs": None}
        choice["finish_reason"] = None
        if finish is not None:
            choice["logprobs"] = _logprobs(finish.turn.logprobs)
            choice["finish_reason"] = _FINISH[finish.turn.stop_reason]
            choice.update(_extras(finish))
        made = {**self._as_dict("chat.completion.chunk"), "choices": [choice]}
        return {**made, "usage": None} if has_usage else made

    def usage_chunk(self, turns: Sequence[Turn]) -> dict[str, Any]:
        """The last piece of a stream that was asked for token counts."""
        return {
            **self._as_dict("chat.completion.chunk"),
            "choices": [],
            "usage": usage_as_dict([turn.usage for turn in turns]),
        }

    def _as_dict(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def call_as_dict(call: ToolCall) -> dict[str, Any]:
    """A call with what is known about every argument."""
    return {
        **tool_call_as_dict(call),
        "confidence": call.confidence,
        "slots": slots_as_dict(call.slots),
    }


def slots_as_dict(slots: Mapping[str, SlotDetail]) -> dict[str, Any]:
    """Dotted path to value, confidence and evidence."""
    return {path: asdict(slot) for path, slot in slots.items()}


def usage_as_dict(usages: Sequence[Usage]) -> dict[str, Any]:
    """Token counts of all choices together. The prompt is the same for all, and counted once."""
    prompt = usages[0].prompt_tokens
    completion = sum(usage.completion_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(usages[0].cached_tokens, prompt), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(usage.reasoning_tokens for usage in usages),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(index: int, settled: SettledTurn) -> dict[str, Any]:
    turn = settled.turn
    message: dict[str, Any] = {
        "role": "assistant",
        "content": turn.content or (None if turn.tool_calls else ""),
        "refusal": None,
        "annotations": [],
    }
    if turn.reasoning:
        message["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        message["tool_calls"] = [call_as_dict(call) for call in turn.tool_calls]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(turn.logprobs),
        "finish_reason": _FINISH[turn.stop_reason],
        **_extras(settled),
    }


def _extras(settled: SettledTurn) -> dict[str, Any]:
    extras: dict[str, Any] = {
        "stop_reason": settled.turn.stop_reason,
        "plan": asdict(settled.turn.plan),
    }
    if settled.reply is not None:
        extras["confidence"] = settled.reply.confidence
        extras["slots"] = slots_as_dict(settled.reply.slots)
    return extras


def _logprobs(tokens: Sequence[TokenLogprob] | None) -> dict[str, Any] | None:
    if tokens is None:
        return None
    return {
        "content": [
            {
                **_token(token.token, token.logprob),
                "top_logprobs": [_token(text, logprob) for text, logprob in token.top],
            }
            for token in tokens
        ],
        "refusal": None,
    }


def _token(text: str, logprob: float) -> dict[str, Any]:
    # A token may be a part of a character; then its text stands for it and its bytes are not known.
    is_whole = "\N{REPLACEMENT CHARACTER}" not in text
    return {
        "token": text,
        "logprob": max(logprob, -9999.0),  # as OpenAI writes what is next to impossible; JSON has no infinity
        "bytes": list(text.encode("utf-8", "replace")) if is_whole else None,
    }
