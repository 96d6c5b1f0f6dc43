"""The leaderboard's match rules: what counts as the expected call, and the error's name where it does not.

In short: the expected functions, each argument among its listed values. A listed `""` means that the argument
may be left out; strings match whatever their case, spaces and punctuation marks; an integer stands for a
float, never the other way; lists match item by item; in dictionaries each key has its own listed values; a
listed value of another type than the declared one is an expression, to be given as listed; parallel calls
match in any order.

The rules are the official program's to the letter, its oddities included, since figures can only be compared
when every item is judged alike: inside lists and dictionaries `true` equals 1 as in Python, an empty list
matches a listed `""`, and only the outermost strings of a list are compared loosely. Where the official
program would stop with an exception, the call is wrong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .java import JAVA_TYPES, java_value
from .javascript import JAVASCRIPT_TYPES, javascript_value
from .questions import OMITTED, Call, Language, Question, official_name

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
_TYPES: dict[Language, Mapping[str, type]] = {
    "python": _PYTHON_TYPES,
    "java": JAVA_TYPES,
    "javascript": JAVASCRIPT_TYPES,
}
_LISTS: dict[Language, tuple[str, ...]] = {
    "python": ("array", "tuple"),
    "java": ("Array", "ArrayList"),
    "javascript": ("array",),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right, and if not, why."""

    is_right: bool
    error_type: str = ""
    """As the official score files name it; empty when right."""
    errors: tuple[Any, ...] = ()
    """What was found and what was expected: texts, and for parallel calls one object a call."""


RIGHT = Verdict(is_right=True)


def _wrong(error_type: str, *errors: Any) -> Verdict:
    return Verdict(is_right=False, error_type=error_type, errors=errors)


def is_match(calls: Sequence[Call], question: Question) -> bool:
    """Whether `calls` answer the question right, by the rules of its kind."""
    return judge(calls, question).is_right


def judge(calls: Sequence[Call], question: Question) -> Verdict:
    """Whether `calls` answer the question right, and what is wrong where they do not."""
    if question.expected is None:
        return _call_or_not(bool(calls), question.is_call_expected)
    if len(calls) != len(question.expected):
        return _wrong(f"{_checker(question.category)}:wrong_count", "Wrong number of functions.")
    if "parallel" in question.category:
        return _any_order(calls, question)
    expected = question.expected[0]
    # A question with one function is judged by that function, whatever its answer calls it.
    name = next(iter(expected)) if "multiple" in question.category else question.functions[0]["name"]
    return judge_call(calls[0], expected, _function(question, name), question.language)


def _call_or_not(has_called: bool, is_call_expected: bool) -> Verdict:
    if has_called == is_call_expected:
        return RIGHT
    if has_called:
        return _wrong("irrelevance_error:decoder_success", "A function was called where none fits.")
    return _wrong("relevance_error:decoder_failed", "No function was called where one fits.")


def _checker(category: str) -> str:
    if "parallel" in category:
        return "parallel_function_checker_no_order"
    return "multiple_function_checker" if "multiple" in category else "simple_function_checker"


def _function(question: Question, name: str) -> Mapping[str, Any]:
    return next((function for function in question.functions if function["name"] == name), {"name": name})


def _any_order(calls: Sequence[Call], question: Question) -> Verdict:
    left = list(range(len(calls)))
    for number, expected in enumerate(question.expected or ()):
        function = _function(question, next(iter(expected)))
        problems: list[Any] = []
        for index in left:
            verdict = judge_call(calls[index], expected, function, question.language)
            if verdict.is_right:
                left.remove(index)
                break
            problems.append({f"Model Result Index {index}": _sub_error(verdict, calls[index], expected)})
        else:
            text = f"No call matches answer {number}; calls {left} were left to compare with it."
            return _wrong("parallel_function_checker_no_order:cannot_find_match", text, *problems)
    return RIGHT


def _sub_error(verdict: Verdict, call: Call, expected: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sub_error": list(verdict.errors),
        "sub_error_type": verdict.error_type,
        "model_output_item": {official_name(call.name): dict(call.arguments)},
        "possible_answer_item": dict(expected),
    }


def judge_call(
    call: Call,
    expected: Mapping[str, Mapping[str, list[Any]]],
    function: Mapping[str, Any],
    language: Language,
) -> Verdict:
    """Whether one call is the expected one.

    Args:
        call: what was called; a dot in its name may be written as an underscore.
        expected: accepted values by argument, under the function's name.
        function: the benchmark's description of that function.
        language: whose source text the values are.
    """
    name = official_name(function["name"])
    if official_name(call.name) != name:
        return _wrong("simple_function_checker:wrong_func_name", f"Expected {name!r}, found {call.name!r}.")
    (listed,) = expected.values()
    parameters = function.get("parameters", {})
    described = parameters.get("properties", {})
    for required in parameters.get("required", ()):
        if required not in call.arguments:
            return _wrong("simple_function_checker:missing_required", f"Missing required {required!r}.")
    for parameter, value in call.arguments.items():
        if parameter not in described or parameter not in listed:
            return _wrong("simple_function_checker:unexpected_param", f"Unexpected parameter {parameter!r}.")
        verdict = _judge_value(parameter, value, listed[parameter], described[parameter], language)
        if not verdict.is_right:
            return verdict
    for parameter, values in listed.items():
        if parameter not in call.arguments and OMITTED not in values:
            return _wrong("simple_function_checker:missing_optional", f"{parameter!r} is not given.")
    return RIGHT


def _judge_value(
    parameter: str, value: Any, listed: list[Any], described: Mapping[str, Any], language: Language
) -> Verdict:
    types = _TYPES[language]
    kind = described.get("type", "any")
    expected = types.get(kind, str)
    inner_kind = _inner_kind(described) if kind in _LISTS[language] else None
    inner = types.get(inner_kind, str) if inner_kind is not None else None
    if language != "python":
        if not isinstance(value, str):
            short = {"java": "java", "javascript": "js"}[language]
            return _wrong(f"type_error:{short}", f"{parameter!r}: expected source text, found {value!r}.")
        read = java_value if language == "java" else javascript_value
        value = read(value, kind, inner_kind)
    elif kind == "float" and type(value) is int:
        value = float(value)
    verdict = _judge_type(parameter, value, listed, expected, inner)
    if not verdict.is_right:
        return verdict
    if not _is_expression(listed, expected):
        if expected is dict:
            return _judge_dictionary(value, listed)
        if expected is list and inner is dict:
            return _judge_dictionaries(value, listed)
        if expected is str and isinstance(value, str):
            return _judge_string(parameter, value, listed)
        if expected is list and isinstance(value, list):
            return _judge_list(parameter, value, listed)
    if value in listed:
        return RIGHT
    return _wrong("value_error:others", f"{parameter!r}: found {value!r}, expected one of {listed}.")


def _inner_kind(described: Mapping[str, Any]) -> str | None:
    items = described.get("items")
    kind = items.get("type") if isinstance(items, Mapping) else None
    return kind if isinstance(kind, str) else None


def _listed_type(listed: Sequence[Any]) -> type | None:
    """The type of the first listed value that does not stand for leaving the argument out."""
    return next((type(option) for option in listed if option != OMITTED), None)


def _is_expression(listed: Sequence[Any], expected: type) -> bool:
    """Whether the listed values have another type than the declared one, such as a variable's name."""
    return _listed_type(listed) not in (None, expected)


def _judge_type(parameter: str, value: Any, listed: list[Any], expected: type, inner: type | None) -> Verdict:
    is_as_declared = type(value) is expected
    if is_as_declared and (inner is None or _has_inner_type(value, listed, inner)):
        return RIGHT
    if is_as_declared:
        text = f"{parameter!r}: expected items of type {inner and inner.__name__}, found {value!r}."
        return _wrong("type_error:nested", text)
    if type(value) is _listed_type(listed):
        return RIGHT
    return _wrong("type_error:simple", f"{parameter!r}: expected {expected.__name__}, found {value!r}.")


def _has_inner_type(items: Sequence[Any], listed: list[Any], inner: type) -> bool:
    """Whether the items have the declared type, or that of the items of some listed value.

    A listed value that is no list, which `""` is too, lets any items pass.
    """
    return any(
        not isinstance(option, list)
        or all(type(item) is inner or type(item) is _listed_type(option) for item in items)
        for option in listed
    )


def _judge_string(parameter: str, value: str, listed: list[Any]) -> Verdict:
    if folded(value) in [folded(option) for option in listed if isinstance(option, str)]:
        return RIGHT
    return _wrong("value_error:string", f"{parameter!r}: found {value!r}, expected one of {listed}.")


def _judge_list(parameter: str, value: list[Any], listed: list[Any]) -> Verdict:
    # A listed "" has no items, and so equals an empty list.
    options = [_folded_items(option) for option in listed if isinstance(option, (list, str))]
    if _folded_items(value) in options:
        return RIGHT
    return _wrong("value_error:list/tuple", f"{parameter!r}: found {value!r}, expected one of {listed}.")


def _folded_items(items: Sequence[Any]) -> list[Any]:
    return [folded(item) if isinstance(item, str) else item for item in items]


def _judge_dictionaries(value: list[Any], listed: list[Any]) -> Verdict:
    verdict = _wrong("list_dict_checker:unclear")
    for option in listed:
        if not isinstance(option, (list, str)):
            continue
        if len(option) != len(value):
            verdict = _wrong("value_error:list_dict_count", "Wrong number of dictionaries in the list.")
            continue
        each = (_judge_dictionary(item, [inner]) for item, inner in zip(value, option, strict=True))
        verdict = next((found for found in each if not found.is_right), RIGHT)
        if verdict.is_right:
            break
    return verdict


def _judge_dictionary(value: Any, listed: Sequence[Any]) -> Verdict:
    """Every key is known and has one of its values; every key left out may be."""
    verdict = _wrong("dict_checker:unclear")
    if not isinstance(value, Mapping):
        return verdict
    for option in listed:
        if not isinstance(option, Mapping):
            continue
        verdict = _compare_keys(value, option)
        if verdict.is_right:
            break
    return verdict


def _compare_keys(value: Mapping[str, Any], option: Mapping[str, Any]) -> Verdict:
    # Left-out keys are looked for last, and what they say is what counts.
    for key, values in option.items():
        if key not in value and OMITTED not in values:
            return _wrong("value_error:dict_key", f"Missing dict key {key!r}.")
    for key, given in value.items():
        if key not in option:
            return _wrong("value_error:dict_key", f"Unexpected dict key {key!r}.")
        if _folded_items([given])[0] not in _folded_items(option[key]):
            text = f"{key!r}: found {given!r}, expected one of {option[key]}."
            return _wrong("value_error:dict_value", text)
    return RIGHT


def folded(text: str) -> str:
    """A string without case, spaces and punctuation marks, with one kind of quote."""
    return _IGNORED.sub("", text).lower().replace("'", '"')
