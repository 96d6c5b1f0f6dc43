"""What a backbone wrote, read back: words, thoughts and calls.

Reads what models really write: several calls, tags missing on either side, calls in code fences or
bare, lists of calls, `parameters` for `arguments`, arguments as a JSON string, brackets that were
forgotten. Never raises: what cannot be read is reported as a problem. Whether arguments fit the tool's
schema is `Tool.validate`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..scaffold.canonical import CALL_CLOSE, CALL_OPEN
from .loose_json import UnreadableJson, read_loose_json

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"

ProblemKind = Literal["unknown_tool", "unreadable_call", "unreadable_arguments"]


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call as written: the tool is offered, its arguments are not yet checked."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReplyProblem:
    """Something that looks like a call and is none; `message` says why."""

    kind: ProblemKind
    message: str


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A reply, taken apart."""

    content: str
    reasoning: str = ""
    calls: tuple[ParsedCall, ...] = ()
    problems: tuple[ReplyProblem, ...] = ()


def parse_reply(text: str, tool_names: Collection[str]) -> ParsedReply:
    """Take a reply apart into words, thoughts, calls of offered tools, and what could not be read.

    Calls inside the thoughts are thoughts. A reply that only closes its thoughts began inside them.
    """
    return _Scan(text, frozenset(tool_names)).parsed()


def extract_tool_call(text: str, tool_names: Collection[str]) -> ParsedCall | None:
    """The first call of an offered tool, or None."""
    calls = parse_reply(text, tool_names).calls
    return calls[0] if calls else None


_TAGS = re.compile("|".join(map(re.escape, (THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE))))
_FENCE_OPEN = re.compile(r"\s*(?:```[\w-]*\s*)?")
# What may stand between or behind the values of a tagged call: brackets too many, a fence, commas.
_FILLER = re.compile(r"[\s,;}\]]*(?:```)?\s*")
_BARE_START = re.compile(r"""(?:```[\w-]*\s*)?(?P<value>\{\s*["'][^"'\n]{1,200}["']\s*:|\[\s*\{\s*["'])""")
_BARE_END = re.compile(r"\s*```")
_MOST_BARE_VALUES = 32  # a text full of brackets is not read from each of them to its end


@dataclass
class _Scan:
    text: str
    tool_names: frozenset[str]
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ParsedCall] = field(default_factory=list)
    problems: list[ReplyProblem] = field(default_factory=list)

    def parsed(self) -> ParsedReply:
        at = 0
        has_thought = False
        while tag := _TAGS.search(self.text, at):
            if tag[0] == THINK_CLOSE and not has_thought:
                self._forget_all_but_thoughts(self.text[: tag.start()])
                has_thought = True
                at = tag.end()
                continue
            self._read_words(self.text[at : tag.start()])
            at = tag.end()
            if tag[0] == THINK_OPEN:
                has_thought = True
                at = self._read_thoughts(at)
            elif tag[0] == CALL_OPEN:
                at = self._read_tagged(at)
        self._read_words(self.text[at:])
        return ParsedReply(
            content="".join(self.content).strip(),
            reasoning="\n".join(part for part in self.reasoning if part),
            calls=tuple(self.calls),
            problems=tuple(self.problems),
        )

    def _forget_all_but_thoughts(self, thoughts: str) -> None:
        self.content.clear()
        self.calls.clear()
        self.problems.clear()
        self.reasoning.append(thoughts.strip())

    def _read_thoughts(self, at: int) -> int:
        end = self.text.find(THINK_CLOSE, at)
        self.reasoning.append(self.text[at : None if end < 0 else end].strip())
        return len(self.text) if end < 0 else end + len(THINK_CLOSE)

    def _read_tagged(self, start: int) -> int:
        """Everything up to the closing tag is call; without one, as many values as can be read."""
        at = _skip(_FENCE_OPEN, self.text, start)
        found = False
        while self.text.startswith(("{", "["), at):
            try:
                read = read_loose_json(self.text, at)
            except UnreadableJson as problem:
                self._add_problem("unreadable_call", f"a call cannot be read, {problem}", at)
                return self._behind_broken_call(start)
            self._take(read.value, at)
            found = True
            at = _skip(_FILLER, self.text, read.end)
        if not found:
            self._add_problem("unreadable_call", "a call holds no JSON object", start)
            return self._behind_broken_call(start)
        return at + len(CALL_CLOSE) if self.text.startswith(CALL_CLOSE, at) else at

    def _behind_broken_call(self, start: int) -> int:
        following = self.text.find(CALL_OPEN, start)
        end = self.text.find(CALL_CLOSE, start, None if following < 0 else following)
        if end >= 0:
            return end + len(CALL_CLOSE)
        return len(self.text) if following < 0 else following

    def _read_words(self, words: str) -> None:
        """Keep words, but take calls that were written among them without tags."""
        at = kept_from = 0
        for _ in range(_MOST_BARE_VALUES):
            start = _BARE_START.search(words, at)
            if start is None:
                break
            end = self._take_bare(words, start.start("value"))
            if end is None:
                at = start.start("value") + 1
                continue
            self.content.append(words[kept_from : start.start()])
            at = kept_from = _skip(_BARE_END, words, end) if "`" in start[0] else end
        self.content.append(words[kept_from:])

    def _take_bare(self, words: str, at: int) -> int | None:
        """The end of the calls that begin here; None where it is ordinary JSON, or no JSON."""
        try:
            read = read_loose_json(words, at)
        except UnreadableJson:
            return None
        drafts = list(_drafts(read.value, self.tool_names))
        if not drafts or not all(draft.is_surely_a_call for draft in drafts):
            return None
        if not all(draft.name in self.tool_names for draft in drafts):
            self._take(read.value, at)  # reported, and left among the words
            return None
        self._take(read.value, at)
        return read.end

    def _take(self, value: Any, at: int) -> None:
        drafts = list(_drafts(value, self.tool_names))
        if not drafts:
            self._add_problem("unreadable_call", "a call names no tool", at)
        for draft in drafts:
            if draft.name not in self.tool_names:
                offered = ", ".join(sorted(self.tool_names)) or "none"
                self._add_problem("unknown_tool", f"the tool {draft.name!r} is not offered ({offered})", None)
            elif (arguments := _arguments(draft.arguments)) is None:
                self._add_problem("unreadable_arguments", f"arguments of {draft.name!r} are no object", at)
            else:
                self.calls.append(ParsedCall(draft.name, arguments))

    def _add_problem(self, kind: ProblemKind, message: str, at: int | None) -> None:
        shown = "" if at is None else f": {self.text[at : at + 80]!r}"
        self.problems.append(ReplyProblem(kind, message + shown))


@dataclass(frozen=True, slots=True)
class _Draft:
    name: str
    arguments: Any
    is_surely_a_call: bool


_NAME_KEYS = ("name", "function", "tool", "tool_name", "function_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "params", "input", "kwargs")
_WRAPPER_KEYS = ("function", "tool_call", "tool_calls", "function_call")


def _drafts(value: Any, tool_names: frozenset[str]) -> Iterator[_Draft]:
    """The calls a JSON value may mean, however it spells them."""
    waiting = deque([value])
    while waiting:
        item = waiting.popleft()
        if isinstance(item, list):
            waiting.extendleft(reversed(item))
        elif isinstance(item, Mapping):
            wrapped = next(
                (item[key] for key in _WRAPPER_KEYS if isinstance(item.get(key), Mapping | list)), None
            )
            if wrapped is not None and not isinstance(item.get("name"), str):
                waiting.appendleft(wrapped)
            elif (draft := _draft(item, tool_names)) is not None:
                yield draft


def _draft(item: Mapping[str, Any], tool_names: frozenset[str]) -> _Draft | None:
    name = next((item[key] for key in _NAME_KEYS if isinstance(item.get(key), str)), None)
    key = next((key for key in _ARGUMENT_KEYS if key in item), None)
    if name is None:
        [only] = item if len(item) == 1 else [""]  # {"get_weather": {"city": "Paris"}}
        return _Draft(only, item[only], True) if only in tool_names else None
    name = name.strip()
    if key is not None:
        return _Draft(name, item[key], isinstance(item[key], Mapping | str))
    others = [other for other in item if other not in (*_NAME_KEYS, "id", "type")]
    return _Draft(name, "" if others else None, name in tool_names and not others)


def _arguments(written: Any) -> dict[str, Any] | None:
    if written is None:
        return {}
    if isinstance(written, str):
        if not written.strip():
            return None
        try:
            written = read_loose_json(written).value
        except UnreadableJson:
            return None
    return dict(written) if isinstance(written, Mapping) else None


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
