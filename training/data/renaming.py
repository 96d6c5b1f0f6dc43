"""Other names for the tools and parameters of public rows, so that names carry no memory.

A small model shown the same names with the same requests again and again recites them instead of reading
the listing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from .example import Example, ValuePath
from .synthetic.draw import Draw
from .synthetic.naming import STYLES, arbitrary_name, content_words, join_name, parameter_name


def renamed(example: Example, draw: Draw) -> Example:
    """The same example with other names, in tools and calls alike.

    A parameter without a description keeps the words of its name: nothing else says what it means.
    """
    style = draw.pick(STYLES)
    tool_names: dict[str, str] = {}
    parameter_names: dict[str, dict[str, str]] = {}
    tools = []
    for tool in example.tools:
        name = _fresh(tool_names.values(), partial(_tool_name, draw, style, tool))
        tool_names[tool["name"]] = name
        names = _parameter_names(draw, style, tool["parameters"].get("properties", {}))
        parameter_names[tool["name"]] = names
        tools.append({**tool, "name": name, "parameters": _renamed_schema(tool["parameters"], names)})
    messages = [_renamed_message(message, tool_names, parameter_names) for message in example.messages]
    evidence = {
        _renamed_path(path, example, parameter_names): span for path, span in example.evidence.items()
    }
    return replace(
        example, id=f"{example.id}:renamed", tools=tuple(tools), messages=tuple(messages), evidence=evidence
    )


def _fresh(taken: Collection[str], make: Callable[[], str]) -> str:
    for _ in range(20):
        name = make()
        if name not in taken:
            return name
    return f"{name}_{len(taken)}"


def _split(name: str) -> tuple[str, ...]:
    return content_words(re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ")) or ("tool",)


def _tool_name(draw: Draw, style: str, tool: Mapping[str, Any]) -> str:
    if tool.get("description") and draw.chance(0.45):
        return arbitrary_name(draw, style, draw.between(2, 3))
    return join_name(style, _split(tool["name"])[:6])


def _parameter_names(draw: Draw, style: str, properties: Mapping[str, Any]) -> dict[str, str]:
    is_arbitrary = draw.chance(0.25)
    names: dict[str, str] = {}
    for name, schema in properties.items():
        if is_arbitrary and isinstance(schema, Mapping) and schema.get("description"):
            names[name] = _fresh(names.values(), partial(arbitrary_name, draw, "snake", 2))
        else:
            names[name] = _fresh(names.values(), partial(parameter_name, style, "_".join(_split(name))))
    return names


def _renamed_schema(schema: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        **schema,
        "properties": {names[name]: inner for name, inner in schema.get("properties", {}).items()},
        "required": [names[name] for name in schema.get("required", ()) if name in names],
    }


def _renamed_message(
    message: Mapping[str, Any], tools: Mapping[str, str], parameters: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    renamed_calls = [
        {
            "name": tools[call["name"]],
            "arguments": {parameters[call["name"]][key]: value for key, value in call["arguments"].items()},
        }
        for call in calls
    ]
    return {**message, "tool_calls": renamed_calls}


def _renamed_path(
    path: ValuePath, example: Example, parameters: Mapping[str, Mapping[str, str]]
) -> ValuePath:
    message, number, dotted = path
    head, dot, rest = dotted.partition(".")
    called = example.messages[message]["tool_calls"][number]["name"]
    return message, number, parameters[called].get(head, head) + dot + rest
