"""A conversation and its tools as the backbone reads them.

    prompt = render_prompt(messages, tools, format=format, tokenizer=tokenizer, date=None, think=False)
    prompt.ids, prompt.text, prompt.prefix_tokens

System message and tools come first, so that their tokens are the same turn after turn. What a format
looks like is format.py; fitting a long conversation is history.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from itertools import groupby

from tokenizers import Tokenizer

from ..errors import MessageError
from ..messages import Message, ToolCall
from ..scaffold.canonical import Piece, call_pieces
from .encode import HasBackend, text_encoder
from .format import PromptFormat
from .listing import OfferedTool, json_line, signature_lines
from .page import Page, Prompt
from .schema_order import ordered_arguments


def render_prompt(
    messages: Sequence[Message],
    tools: Sequence[OfferedTool] = (),
    *,
    format: PromptFormat,
    tokenizer: HasBackend | Tokenizer,
    date: datetime.date | None = None,
    think: bool = False,
    add_generation_prompt: bool = True,
    message_indices: Sequence[int] | None = None,
) -> Prompt:
    """Lay out a conversation for the backbone.

    Args:
        messages: the conversation, as `read_messages` gives it.
        tools: what may be called, in the order shown.
        format: the layout of the backbone.
        tokenizer: its tokenizer; fast, with the format's control tokens.
        date: today, or None for no date line.
        think: whether the backbone shall think first. A format's flag in the system message wins.
        add_generation_prompt: whether the prompt ends where the reply begins.
        message_indices: what each message is called in spans and sources, where some were left out of a
            longer conversation; counted from 0 otherwise.

    Raises:
        ConfigError: the tokenizer lacks a control token.
        MessageError: arguments of a past call are not JSON.
    """
    page = Page(format, text_encoder(tokenizer), message_indices or range(len(messages)))
    is_thinking = _is_thinking(messages, format, think)
    rest = _write_system(page, messages, tools, date=date, is_thinking=is_thinking)
    prefix_tokens = page.num_tokens
    parameters = {tool.name: tool.parameters for tool in tools}
    _write_messages(page, messages, rest, parameters, is_thinking=is_thinking)
    if add_generation_prompt:
        page.template(format.assistant_open + ("" if is_thinking else format.no_think_reply))
    return page.prompt(prefix_tokens, is_thinking)


def _is_thinking(messages: Sequence[Message], format: PromptFormat, think: bool) -> bool:
    system = messages[0].content if messages and messages[0].role == "system" else ""
    if format.no_think_flag and format.no_think_flag in system:
        return False
    if format.think_flag and format.think_flag in system:
        return True
    return think


def _write_system(
    page: Page,
    messages: Sequence[Message],
    tools: Sequence[OfferedTool],
    *,
    date: datetime.date | None,
    is_thinking: bool,
) -> int:
    """Write the system block; returns the index of the first message it does not contain."""
    format = page.format
    has_message = bool(messages) and messages[0].role == "system"
    page.template(format.begin)
    header = format.date_text(date) + (format.think_line if is_thinking else format.no_think_line)
    words = _system_words(messages[0].content, format) if has_message else ""
    if format.is_system_optional and not (header or words or tools):
        return int(has_message)
    page.template(format.system_open + header)
    if words:
        _write_system_words(page, words, messages[0].content)
    else:
        default = format.default_system_think if is_thinking else format.default_system_no_think
        page.template(default + format.system_message_close if default else "")
    if tools:
        page.template(format.tools_open)
        for tool in tools:
            page.text(_listed(tool, format))
        page.template(format.tools_close + format.system_close_after_tools)
    else:
        page.template(format.system_close)
    return int(has_message)


def _system_words(content: str, format: PromptFormat) -> str:
    for flag in (format.no_think_flag, format.think_flag):
        content = content.replace(flag, "") if flag else content
    return content.rstrip()


def _write_system_words(page: Page, words: str, content: str) -> None:
    if content.startswith(words):
        page.content(words, 0, page.format.system_message_close)
    else:  # a flag was cut out of the middle: its characters can no longer be counted
        page.text(words)
        page.template(page.format.system_message_close)


def _listed(tool: OfferedTool, format: PromptFormat) -> str:
    if format.tool_listing == "json":
        lines = json_line(tool)
    else:
        lines = signature_lines(tool, description_limit=format.description_limit)
    return format.tool_open + lines.removesuffix("\n") + format.tool_close


def _write_messages(
    page: Page,
    messages: Sequence[Message],
    start: int,
    parameters: Mapping[str, Mapping[str, object]],
    *,
    is_thinking: bool,
) -> None:
    format = page.format
    for is_result, group in groupby(
        range(start, len(messages)), lambda index: messages[index].role == "tool"
    ):
        if is_result:
            _write_results(page, messages, list(group))
            continue
        for index in group:
            message = messages[index]
            if message.role == "assistant":
                _write_reply(page, message, index, parameters, is_thinking=is_thinking)
            else:
                page.template(format.user_open if message.role == "user" else format.later_system_open)
                page.content(message.content, index, format.message_close)


def _write_results(page: Page, messages: Sequence[Message], results: list[int]) -> None:
    """Results carry no ids: they stand in the order of their calls, which alone tells what they answer."""
    format = page.format
    calls = messages[results[0] - 1].tool_calls if results[0] else ()
    ranks: dict[str | None, int] = {call.id: rank for rank, call in enumerate(calls)}
    if all(messages[index].tool_call_id in ranks for index in results):
        results.sort(key=lambda index: ranks[messages[index].tool_call_id])
    page.template(format.result_open)
    for index in results[:-1]:
        page.content(messages[index].content, index, format.result_joint)
    page.content(messages[results[-1]].content, results[-1], format.result_close)


def _write_reply(
    page: Page,
    message: Message,
    index: int,
    parameters: Mapping[str, Mapping[str, object]],
    *,
    is_thinking: bool,
) -> None:
    """A past reply reads as it was written: the empty thoughts of a reply without thinking are part of it."""
    format = page.format
    if is_thinking and message.reasoning:
        page.template(format.assistant_open + format.reasoning_open)
        page.text(message.reasoning.strip("\n"))
        page.template(format.reasoning_close)
    else:
        page.template(format.assistant_open + ("" if is_thinking else format.no_think_reply))
    page.content(message.content, index)
    for number, call in enumerate(message.tool_calls):
        if number or message.content:
            page.template(format.calls_joint)
        page.call(_pieces(call, index, parameters.get(call.name, {})))
    page.template(format.message_close)


def _pieces(call: ToolCall, index: int, parameters: Mapping[str, object]) -> tuple[Piece, ...]:
    try:
        return call_pieces(call.name, ordered_arguments(call.arguments, parameters))
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"the arguments of {call.name!r} are not JSON: {error}", index=index) from error
