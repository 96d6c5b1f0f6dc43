"""Question files of the leaderboard as published: one object a line, answers in files beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError

Language = Literal["python", "java", "javascript"]

FILE_PREFIX = "BFCL_v4"

NON_LIVE = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
)
LIVE = (
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
SINGLE_TURN = NON_LIVE + LIVE
"""The categories of one question and one reply. Conversations and agents are left to the official program."""

OMITTED = ""
"""Listed among the values of an argument that may be left out."""

_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "bool": "boolean"}


@dataclass(frozen=True, slots=True)
class Call:
    """A called function."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with the functions on offer. `expected` is None where only call-or-not counts."""

    id: str
    category: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    """With JSON Schema parameters, as the runtime takes them."""
    functions: tuple[dict[str, Any], ...]
    """As the benchmark describes them; the match rules go by these types."""
    expected: tuple[dict[str, dict[str, list[Any]]], ...] | None
    is_call_expected: bool

    @property
    def language(self) -> Language:
        """Whose source text the values of arguments are."""
        return language_of_category(self.category)


def language_of_category(category: str) -> Language:
    """The language of a category's functions."""
    if "javascript" in category:
        return "javascript"
    return "java" if "java" in category else "python"


def official_name(name: str) -> str:
    """A function's name as the official files write it: OpenAI's names know no dots."""
    return name.replace(".", "_")


def read_questions(folder: Path, category: str) -> Iterator[Question]:
    """Questions of one category file with their answers.

    Raises:
        ConfigError: the file is missing, or a line of it is no question.
    """
    file = folder / f"{FILE_PREFIX}_{category}.json"
    if not file.is_file():
        raise ConfigError(f"{folder} holds no {file.name}: give the folder of the benchmark's question files")
    answers_file = folder / "possible_answer" / file.name
    answers = (
        {row["id"]: row["ground_truth"] for _, row in _rows(answers_file, ("id", "ground_truth"))}
        if answers_file.is_file()
        else {}
    )
    for number, row in _rows(file, ("id", "question", "function")):
        expected = answers.get(row["id"])
        if expected is None and "relevance" not in category:
            raise ConfigError(f"{file}, line {number}: {row['id']} has no answer in {answers_file}")
        try:
            yield _question(row, category, expected)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ConfigError(f"{file}, line {number}: not a question of the benchmark: {error!r}") from error


def _question(row: Mapping[str, Any], category: str, expected: list[Any] | None) -> Question:
    language = language_of_category(category)
    return Question(
        id=row["id"],
        category=category,
        messages=tuple(row["question"][0]),
        tools=tuple(as_tool(function, language) for function in row["function"]),
        functions=tuple(row["function"]),
        expected=tuple(expected) if expected is not None else None,
        is_call_expected="irrelevance" not in category,
    )


def categories(folder: Path) -> list[str]:
    """Categories of one question and one reply whose files stand in `folder`."""
    found = {file.stem.removeprefix(f"{FILE_PREFIX}_") for file in folder.glob(f"{FILE_PREFIX}_*.json")}
    return sorted(found & set(SINGLE_TURN))


def _rows(file: Path, keys: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{file}, line {number}: not JSON: {error}") from error
            missing = [key for key in keys if not isinstance(row, dict) or key not in row]
            if missing:
                raise ConfigError(f"{file}, line {number}: expected an object with {', '.join(missing)}")
            yield number, row


def as_tool(function: Mapping[str, Any], language: Language = "python") -> dict[str, Any]:
    """A function description with JSON Schema instead of the benchmark's own types.

    Java and JavaScript values are asked for as source text, as the official program does: every parameter
    becomes a string whose description tells the type.
    """
    described = function.get("parameters") or {"type": "dict", "properties": {}}
    if language != "python":
        described = _in_source_text(described, language)
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "parameters": _as_schema(described),
    }


_LANGUAGE_NAMES = {"java": "Java", "javascript": "JavaScript"}


def _in_source_text(described: Mapping[str, Any], language: Language) -> dict[str, Any]:
    properties = {
        name: {
            **({"default": inner["default"]} if isinstance(inner.get("default"), str) else {}),
            "type": "string",
            "description": _source_description(inner, _LANGUAGE_NAMES[language]),
        }
        for name, inner in described["properties"].items()
    }
    return {**described, "properties": properties}


def _source_description(described: Mapping[str, Any], language: str) -> str:
    kind = described["type"]
    text = str(described.get("description", ""))
    if kind == "any":
        return f"{text} This parameter can be of any type of {language} object in string representation."
    text += f" This is {language} {kind} type parameter in string representation."
    if kind in ("ArrayList", "Array", "array"):
        text += (
            f" The list elements are of type {described['items']['type']}; "
            "they are not in string representation."
        )
    if kind == "dict" and "properties" in described:
        text += (
            " The dictionary entries have the following schema; they are not in string representation. "
            + json.dumps(described["properties"])
        )
    return text


def _as_schema(described: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: described[key] for key in ("description", "enum", "required") if described.get(key)}
    if described.get("default") is not None and "default" in described:
        kept["default"] = described["default"]
    kind = described.get("type")
    if isinstance(kind, str) and kind != "any":
        kept["type"] = _JSON_TYPES.get(kind, kind)
    if isinstance(described.get("properties"), Mapping):
        kept["properties"] = {name: _as_schema(inner) for name, inner in described["properties"].items()}
    if isinstance(described.get("items"), Mapping):
        kept["items"] = _as_schema(described["items"])
    if isinstance(kept.get("enum"), list):
        _mend_enum(kept)
    return kept


_SPOKEN: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "number": float,
    "boolean": lambda text: {"true": True, "false": False}[text.strip().lower()],
}


def _mend_enum(schema: dict[str, Any]) -> None:
    """Some functions list numbers and booleans as text, and a list's items as its own values."""
    kind, values = schema.get("type"), schema["enum"]
    if kind == "array" and not any(isinstance(value, list) for value in values):
        schema["items"] = {**schema.get("items", {}), "enum": schema.pop("enum")}
    elif kind in _SPOKEN and all(isinstance(value, str) for value in values):
        read = [spoken for value in values if (spoken := _spoken(value, _SPOKEN[kind])) is not None]
        schema["enum"] = list(dict.fromkeys(read)) or values


def _spoken(text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except (ValueError, KeyError):
        return None
