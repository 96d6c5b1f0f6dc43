"""Answers made from the reference answers, with random faults: they show whether two sets of rules agree.

No model is asked. About half of the answers stay right; the faults are of every kind the rules tell apart:
another type, spelling, order, number, name, a missing or an unknown argument, words instead of a call, broken
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from agent_runtime.evaluation.bfcl import OMITTED, Call, Language, Question, official_name

Result = str | list[dict[str, str]]

_STRAYS: tuple[Any, ...] = (
    0, 1, -3, 2.0, 2.5, True, False, None, "", "x", "New York", [], {}, [1], [1.0], ["a"], [True], [[1]],
    [{}], {"a": 1}, "5", "true", "3f", "5L", "7n", '"quoted"', "[1, 2]", "{'a': 1}", "new int[]{1, 2}",
)  # fmt: skip
_NO_CALLS: tuple[Result, ...] = ("", "I can help with that.", "[]", [], [{}])
_VALUE_FAULT, _OMISSION, _CALL_FAULT = 0.2, 0.4, 0.03


def faulty_answer(question: Question, random: Random) -> Result:
    """One answer, as a result file holds it."""
    if random.random() < _CALL_FAULT:
        return random.choice(_NO_CALLS)
    if question.expected is None:
        names = [function["name"] for function in question.functions] or ["unknown"]
        name = official_name(random.choice(names))
        return random.choice([*_NO_CALLS, [{name: "{}"}], [{name: '{"a": 1}'}, {name: "{}"}], [{name: "{"}]])
    calls = [_call(question, expected, random) for expected in question.expected]
    if random.random() < _CALL_FAULT:
        calls.append(calls[0])
    if random.random() < _CALL_FAULT:
        calls.pop()
    if random.random() < 0.3:
        random.shuffle(calls)
    written = [{official_name(call.name): json.dumps(dict(call.arguments))} for call in calls]
    if written and random.random() < _CALL_FAULT:
        written[0] = {official_name(calls[0].name): random.choice(["{", "[]", '"text"', "null"])}
    return written


def _call(question: Question, expected: Mapping[str, Mapping[str, list[Any]]], random: Random) -> Call:
    ((name, listed),) = expected.items()
    function = next((each for each in question.functions if each["name"] == name), question.functions[0])
    described = function["parameters"]["properties"]
    arguments = {
        key: _argument(values, described.get(key, {}), question.language, random)
        for key, values in listed.items()
        if not (OMITTED in values and random.random() < _OMISSION)
    }
    if arguments and random.random() < _CALL_FAULT:
        del arguments[random.choice(list(arguments))]
    if random.random() < _CALL_FAULT:
        arguments[random.choice([*described, "unknown"])] = random.choice(_STRAYS)
    if random.random() < _CALL_FAULT:
        name = random.choice(question.functions)["name"]
    return Call(name, arguments)


def _argument(values: list[Any], described: Mapping[str, Any], language: Language, random: Random) -> Any:
    value = _plain(random.choice(values or [OMITTED]), random)
    if random.random() < _VALUE_FAULT:
        value = _mutated(value, random)
    if language == "python" or random.random() < _CALL_FAULT:
        return value
    items = described.get("items")
    inner = items.get("type") if isinstance(items, Mapping) else None
    return _source(value, described.get("type", "any"), inner, language, random)


def _plain(option: Any, random: Random) -> Any:
    """A listed value; in dictionaries each key lists its own."""
    if isinstance(option, dict):
        return {
            key: _plain(random.choice(values), random) if isinstance(values, list) and values else values
            for key, values in option.items()
            if not (isinstance(values, list) and OMITTED in values and random.random() < _OMISSION)
        }
    return [_plain(item, random) for item in option] if isinstance(option, list) else option


def _mutated(value: Any, random: Random) -> Any:
    if random.random() < 0.25:
        return random.choice(_STRAYS)
    match value:
        case bool():
            return random.choice([not value, int(value)])
        case int() | float():
            return random.choice([value + 1, float(value), int(value), str(value)])
        case str():
            spellings = (
                value.upper(),
                value.replace(" ", ""),
                f"{value}.",
                f"{value}x",
                value[:-1],
                f" {value}",
            )
            return random.choice(spellings)
        case [*items]:
            return _mutated_list(items, random)
        case dict():
            return _mutated_dictionary(value, random)
    return value


def _mutated_list(items: list[Any], random: Random) -> list[Any]:
    if not items:
        return [random.choice(_STRAYS)]
    at = random.randrange(len(items))
    changed = [*items[:at], _mutated(items[at], random), *items[at + 1 :]]
    return random.choice([changed, changed, items[:at] + items[at + 1 :], items[::-1]])


def _mutated_dictionary(entries: dict[str, Any], random: Random) -> dict[str, Any]:
    if not entries or random.random() < 0.3:
        return {**entries, "unknown": 1}
    key = random.choice(list(entries))
    fewer = {name: value for name, value in entries.items() if name != key}
    return random.choice([fewer, {**entries, key: _mutated(entries[key], random)}])


def _source(value: Any, kind: str, inner: str | None, language: Language, random: Random) -> str:
    """A value as source text."""
    if isinstance(value, str):
        return random.choice([value, value, value, json.dumps(value)])
    if language == "javascript":
        return json.dumps(value)
    match value:
        case [*items]:
            written = ", ".join(_java_literal(item, inner) for item in items)
            if kind != "ArrayList":
                return f"new Object[]{{{written}}}"
            adds = " ".join(f"add({_java_literal(item, inner)});" for item in items)
            return random.choice(
                [f"new ArrayList<>(Arrays.asList({written}))", f"new ArrayList<String>() {{{{ {adds} }}}}"]
            )
        case {**entries}:
            puts = " ".join(f'put("{key}", {_java_literal(item, None)});' for key, item in entries.items())
            return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    return _java_literal(value, kind)


def _java_literal(value: Any, kind: str | None) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    suffix = {"long": "L", "float": "f"}.get(kind or "", "") if type(value) in (int, float) else ""
    return json.dumps(value) + suffix
