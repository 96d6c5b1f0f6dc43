"""What is asked: a small set of our own with known answers, and questions whose arguments grow.

The set holds none of any public benchmark. `bounded` limits strings for weights that would never end one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

GrowthKind = Literal["copied", "made up"]

_WORDS = (
    "river lamp stone window garden paper coffee winter bridge letter music table market yellow silver "
    "morning ticket mountain kitchen doctor orange butter village teacher engine summer pocket candle"
).split()
_TOPICS = (
    "the garden in winter",
    "a walk by the river",
    "the new kitchen",
    "trains",
    "an old clock",
    "bread",
)
_FORMED = frozenset({"enum", "const", "format", "pattern"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A conversation, the tools it may use, and the call that is right, where that is known."""

    ask: str
    tools: tuple[Mapping[str, Any], ...]
    name: str | None = None
    arguments: Mapping[str, Any] | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation."""
        return [{"role": "user", "content": self.ask}]


@cache
def bundled_questions() -> tuple[Question, ...]:
    """The questions that ship with the command."""
    read = json.loads(Path(__file__).with_name("questions.json").read_text(encoding="utf-8"))
    return tuple(
        Question(
            ask=one["ask"],
            tools=tuple(read["tools"][name] for name in one["tools"]),
            name=one["call"]["name"],
            arguments=one["call"]["arguments"],
        )
        for one in read["questions"]
    )


def bounded(question: Question, max_length: int) -> Question:
    """The same question with strings and lists that end soon; what is right is no longer known."""
    tools = copy.deepcopy(question.tools)
    for tool in tools:
        _bound(tool["parameters"], max_length)
    return replace(question, tools=tools, name=None, arguments=None)


def _bound(schema: Any, max_length: int) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not _FORMED & schema.keys():
            schema["maxLength"] = min(max_length, schema.get("maxLength", max_length))
        for part in schema.values():
            _bound(part, max_length)


def growth_questions(
    encode: Callable[[str], Sequence[int]], num_tokens: int, *, kind: GrowthKind, number: int
) -> tuple[Question, ...]:
    """Questions whose call has two string arguments of about so many tokens each.

    The schema asks for exactly as many characters, so that every row that honours it writes as much.

    Args:
        encode: the backbone's tokenizer.
        num_tokens: tokens of each argument.
        kind: whether the values stand in the question, or are the model's to make up.
        number: how many questions.
    """
    made = []
    for index in range(number):
        heading = _text(encode, num_tokens, first=2 * index)
        text = _text(encode, num_tokens, first=2 * index + 11)
        tool = _note_tool(len(heading), len(text))
        if kind == "copied":
            ask = f'Save a note with the heading "{heading}" and the text "{text}".'
            made.append(
                Question(
                    ask=ask, tools=(tool,), name=tool["name"], arguments={"heading": heading, "text": text}
                )
            )
        else:
            made.append(Question(ask=f"Save a note about {_TOPICS[index % len(_TOPICS)]}.", tools=(tool,)))
    return tuple(made)


def _text(encode: Callable[[str], Sequence[int]], num_tokens: int, *, first: int) -> str:
    """Words that have about so many tokens, at least one."""
    words: list[str] = []
    for word in _words_from(first):
        if words and len(encode(" ".join((*words, word)))) > num_tokens:
            break
        words.append(word)
    return " ".join(words)


def _words_from(first: int) -> Iterator[str]:
    return islice(cycle(_WORDS), first % len(_WORDS), None)


def _note_tool(heading_length: int, text_length: int) -> dict[str, Any]:
    def string(length: int, description: str) -> dict[str, Any]:
        return {"type": "string", "minLength": length, "maxLength": length, "description": description}

    return {
        "name": "save_note",
        "description": "Save a note.",
        "parameters": {
            "type": "object",
            "properties": {
                "heading": string(heading_length, "Heading of the note."),
                "text": string(text_length, "Text of the note."),
            },
            "required": ["heading", "text"],
        },
    }
