"""A conversation as token ids with a loss weight each: what serving would read, and what it should reply.

Layout and call text come from `agent_runtime`, piece by piece as the runtime tokenises them, so a label is
exactly what the runtime would have written. Which conversations there are is `data/`; how rows are put
together is batches.py.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer

from agent_runtime.messages import EvidenceSpan, Message, ToolCall
from agent_runtime.prompt import OfferedTool, Prompt, PromptFormat, PromptPiece, render_prompt
from agent_runtime.prompt.encode import HasBackend
from agent_runtime.prompt.schema_order import ordered_arguments
from agent_runtime.scaffold.canonical import CALL_CLOSE, CALL_OPEN, call_pieces

from .batches import COPY, NAME, VALUE, LabelledSequence, Pointer
from .data import ValuePath
from .recipe import DataRecipe

Conversation = tuple[Sequence[Message], Sequence[OfferedTool], datetime.date | None]
"""Messages, tools and stated date."""

Evidence = Mapping[ValuePath, EvidenceSpan | None]
"""Where in the conversation the values of its calls stand."""


class Labeller:
    """Makes labelled sequences for one tokenizer and prompt format."""

    def __init__(self, tokenizer: HasBackend | Tokenizer, format: PromptFormat, recipe: DataRecipe) -> None:
        self._tokenizer = tokenizer
        self._format = format
        self._recipe = recipe

    def label(
        self,
        messages: Sequence[Message],
        tools: Sequence[OfferedTool] = (),
        *,
        date: datetime.date | None = None,
        evidence: Evidence = MappingProxyType({}),
    ) -> LabelledSequence:
        """Label every reply of a conversation, and its requests at their own weight."""
        prompt = self._prompt(messages, tools, date)
        weights = self._reply_weights(prompt, messages, tools)
        pointers = tuple(_pointers(prompt, messages, tools, evidence))
        return LabelledSequence(prompt.ids, tuple(weights), pointers=pointers)

    def label_siblings(
        self, conversations: Iterable[tuple[Conversation, Evidence]], *, max_tokens: int, max_branches: int
    ) -> LabelledSequence:
        """Label conversations over one listing, side by side, for as long as they fit."""
        ids: list[int] = []
        weights: list[float] = []
        starts: list[int] = []
        pointers: list[Pointer] = []
        for (messages, tools, date), evidence in islice(conversations, max_branches):
            prompt = self._prompt(messages, tools, date)
            shared = prompt.prefix_tokens
            its_weights = self._reply_weights(prompt, messages, tools)
            if len(ids or prompt.ids[:shared]) + len(prompt.ids) - shared > max_tokens:
                break
            if not starts:
                ids += prompt.ids[:shared]
                weights += its_weights[:shared]
            starts.append(len(ids))
            moved = len(ids) - shared
            pointers += (
                Pointer(kind, reader + moved, read + (moved if read >= shared else 0))
                for kind, reader, read in _pointers(prompt, messages, tools, evidence)
            )
            ids += prompt.ids[shared:]
            weights += its_weights[shared:]
        return LabelledSequence(tuple(ids), tuple(weights), tuple(starts), tuple(pointers))

    def _prompt(
        self, messages: Sequence[Message], tools: Sequence[OfferedTool], date: datetime.date | None
    ) -> Prompt:
        return render_prompt(
            messages,
            tools,
            format=self._format,
            tokenizer=self._tokenizer,
            date=date,
            add_generation_prompt=False,
        )

    def _reply_weights(
        self, prompt: Prompt, messages: Sequence[Message], tools: Sequence[OfferedTool]
    ) -> list[float]:
        """1 for what a reply holds and its end, more for decisions and inside values, 0 elsewhere."""
        format, recipe = self._format, self._recipe
        opening = format.assistant_open + format.no_think_reply
        schemas = {tool.name: tool.parameters for tool in tools}
        calls = iter(
            [
                _piece_kinds(call, schemas.get(call.name, {}))
                for message in messages
                if message.role == "assistant"
                for call in message.tool_calls
            ]
        )
        by_kind = {"slot": recipe.argument_weight, "name": recipe.decision_weight}
        weights: list[float] = []
        is_reply = False
        is_decision = False
        call: list[str] = []  # kinds of the pieces still to come of the call being read
        for piece in prompt.pieces:
            num_tokens = len(piece.encoded.ids)
            if not is_reply:
                is_request = piece.message_index is not None and messages[piece.message_index].role == "user"
                weights.extend([recipe.request_weight if is_request else 0.0] * num_tokens)
                is_reply = is_decision = _is_template(piece, opening)
                continue
            if not num_tokens:
                continue
            first = recipe.decision_weight if is_decision else 1.0
            is_decision = False
            if not call and _is_template(piece, format.message_close):
                weights.extend([first] + [0.0] * (num_tokens - 1))  # the newline behind the end is read only
                is_reply = False
                continue
            if not call and _is_template(piece, CALL_OPEN):
                call = next(calls)
            weight = by_kind.get(call.pop(0), 1.0) if call else 1.0
            weights.extend([max(first, weight)] + [weight] * (num_tokens - 1))
            is_decision = _is_template(piece, CALL_CLOSE)
        return weights


def _pointers(
    prompt: Prompt, messages: Sequence[Message], tools: Sequence[OfferedTool], evidence: Evidence
) -> Iterator[Pointer]:
    """From the token before each called tool's name and each copied value to where it can be read."""
    listed = _name_tokens(prompt, tools)
    calls = (
        (index, number, call.name)
        for index, message in enumerate(messages)
        if message.role == "assistant"
        for number, call in enumerate(message.tool_calls)
    )
    index = number = -1
    for piece in prompt.pieces:
        if piece.kind == "name":
            index, number, name = next(calls)
            if name in listed:
                yield Pointer(NAME, piece.start - 1, listed[name])
        elif piece.kind == "slot":
            span = evidence.get((index, number, piece.path))
            found = span and prompt.token_span(span.message_index, span.start, span.end)
            if found:
                has_space = piece.text[0] == " " and piece.encoded.ends[0] == 1
                first = piece.start + has_space
                yield Pointer(VALUE, first - 1, found[0])
                yield from _copy_pointers(prompt.ids, first, piece.start + len(piece.encoded.ids), found[0])


def _copy_pointers(ids: Sequence[int], first: int, end: int, read: int) -> Iterator[Pointer]:
    """From each token of a value to what stands behind its like in the message, while both agree."""
    for reader in range(first, end):
        if ids[reader] != ids[read]:
            return
        read += 1
        yield Pointer(COPY, reader, read)


def _name_tokens(prompt: Prompt, tools: Sequence[OfferedTool]) -> dict[str, int]:
    """The first token of each tool's name in the listing."""
    if not tools:
        return {}
    texts = [piece for piece in prompt.pieces if piece.kind == "text" and piece.start < prompt.prefix_tokens]
    found = {}
    for tool, piece in zip(tools, texts[-len(tools) :], strict=True):
        at = piece.text.find(f"\n{tool.name}", 1)
        if at > 0:
            found[tool.name] = piece.start + bisect.bisect_right(piece.encoded.ends, at + 1)
    return found


def _piece_kinds(call: ToolCall, parameters: Mapping[str, Any]) -> list[str]:
    """The kind of each piece of a call. Empty strings leave no piece in a prompt."""
    pieces = call_pieces(call.name, ordered_arguments(call.arguments, parameters))
    return [piece.kind for piece in pieces if piece.text]


def _is_template(piece: PromptPiece, text: str) -> bool:
    return piece.message_index is None and piece.text == text
