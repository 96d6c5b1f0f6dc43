"""The Berkeley Function-Calling Leaderboard's own match rules, written from its documentation.

An answer is right when it calls the expected functions with arguments that are each among the listed
values. In short: a listed `""` means that the argument may be left out; strings match whatever their case,
spaces and punctuation marks; an integer stands for a float, never the other way; booleans are no integers;
lists match item by item; in dictionaries each key has its own listed values; parallel calls match in any
order.

Reading question files is here too. They are for measuring only, never for training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime.errors import ConfigError

Arguments = Mapping[str, Any]

_IGNORED = re.compile(r"[ ,./\-_*^]")
_PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "bool": "boolean"}
OMITTED = ""
"""Listed among the values of an argument that may be left out."""


@dataclass(frozen=True, slots=True)
class Call:
    """A called function."""

    name: str
    arguments: Arguments


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


def read_questions(folder: Path, category: str) -> Iterator[Question]:
    """Questions of one category file with their answers.

    Raises:
        ConfigError: the file is missing.
    """
    file = folder / f"BFCL_v4_{category}.json"
    if not file.is_file():
        raise ConfigError(f"{folder} holds no {file.name}: give the folder of the benchmark's question files")
    answers_file = folder / "possible_answer" / file.name
    answers = (
        {row["id"]: row["ground_truth"] for row in _rows(answers_file)} if answers_file.is_file() else {}
    )
    for row in _rows(file):
        expected = answers.get(row["id"])
        yield Question(
            id=row["id"],
            category=category,
            messages=tuple(row["question"][0]),
            tools=tuple(as_tool(function) for function in row["function"]),
            functions=tuple(row["function"]),
            expected=tuple(expected) if expected is not None else None,
            is_call_expected="irrelevance" not in category,
        )


def categories(folder: Path) -> list[str]:
    """Categories whose question files stand in `folder`."""
    return sorted(file.stem.removeprefix("BFCL_v4_") for file in folder.glob("BFCL_v4_*.json"))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def as_tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function description with JSON Schema instead of the benchmark's own types."""
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "parameters": _as_schema(function.get("parameters") or {"type": "dict", "properties": {}}),
    }


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
    return kept


def is_match(calls: Sequence[Call], question: Question) -> bool:
    """Whether `calls` answer the question right, by the rules of its kind."""
    if question.expected is None:
        return bool(calls) == question.is_call_expected
    if len(calls) != len(question.expected):
        return False
    described = {function["name"]: function for function in question.functions}
    left = list(calls)
    for expected in question.expected:
        ((name, listed),) = expected.items()
        found = next((call for call in left if matches_call(call, name, listed, described[name])), None)
        if found is None:
            return False
        left.remove(found)
    return True


def matches_call(call: Call, name: str, listed: Mapping[str, list[Any]], function: Mapping[str, Any]) -> bool:
    """Whether one call is the expected one.

    Args:
        call: what was called.
        name: the expected function.
        listed: accepted values by argument.
        function: the benchmark's description of that function.
    """
    if call.name != name:
        return False
    parameters = function.get("parameters", {})
    properties = parameters.get("properties", {})
    given = call.arguments
    if any(required not in given for required in parameters.get("required", ())):
        return False
    if any(key not in listed or key not in properties for key in given):
        return False
    if any(OMITTED not in values for key, values in listed.items() if key not in given):
        return False
    return all(_matches_value(value, listed[key], properties[key]) for key, value in given.items())


def _matches_value(value: Any, listed: list[Any], described: Mapping[str, Any]) -> bool:
    expected: Any = _PYTHON_TYPES.get(described.get("type", "any"), str)
    if expected is float and type(value) is int:
        value = float(value)
    if type(value) is not expected:
        # A listed value of another type than the declared one is an expression: it must be given as listed.
        return any(type(value) is type(option) and option == value for option in listed if option != OMITTED)
    if expected is list:
        return _matches_list(value, listed, described.get("items", {}))
    if expected is dict:
        return any(_matches_dict(value, option) for option in listed if isinstance(option, dict))
    if expected is str:
        return folded(value) in [folded(option) for option in listed if isinstance(option, str)]
    return any(not isinstance(option, str) and option == value for option in listed)


def _matches_list(value: list[Any], listed: list[Any], items: Mapping[str, Any]) -> bool:
    options = [option for option in listed if isinstance(option, (list, tuple))]
    if items.get("type") == "dict":
        return any(
            len(option) == len(value)
            and all(
                isinstance(item, dict) and _matches_dict(item, each)
                for item, each in zip(value, option, strict=True)
            )
            for option in options
        )
    return any(_folded_deep(value) == _folded_deep(list(option)) for option in options)


def _matches_dict(value: Mapping[str, Any], option: Mapping[str, Any]) -> bool:
    """Every key is known and one of its values; every key left out may be."""
    if any(key not in option for key in value):
        return False
    if any(OMITTED not in values for key, values in option.items() if key not in value):
        return False
    return all(
        any(_folded_deep(item) == _folded_deep(each) for each in option[key]) for key, item in value.items()
    )


def _folded_deep(value: Any) -> Any:
    """Strings folded; booleans kept apart from numbers, which Python would call equal."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, (list, tuple)):
        return [_folded_deep(item) for item in value]
    return value


def folded(text: str) -> str:
    """A string without case, spaces and punctuation marks, with one kind of quote."""
    return _IGNORED.sub("", text).lower().replace("'", '"')
