"""Conversations with bare listings: more choices between tools for the same number of tokens.

Which tool a request is about is one decision among hundreds of tokens of listing. Taking from every tool what
the values at hand do not need (arguments, their descriptions) makes that decision several times as frequent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .data import Example

_KINDS = frozenset({"single", "several", "none_fits"})
MOST_TOOLS = 4


def slimmed(example: Example) -> Example | None:
    """The example with bare listings; None where the choice or its values need what would be taken away."""
    if example.kind not in _KINDS or len(example.tools) < 2 or None in example.evidence.values():
        return None
    used: dict[str, set[str]] = {}
    for message in example.messages:
        for call in message.get("tool_calls") or ():
            used.setdefault(call["name"], set()).update(call["arguments"])
    most = max((len(keys) for keys in used.values()), default=1) or 1
    spare = MOST_TOOLS - len(used)
    tools: list[dict[str, Any]] = []
    for tool in example.tools:
        if tool["name"] not in used:
            spare -= 1
            if spare < 0:
                continue
        tools.append(_bare(tool, used.get(tool["name"]), most))
    return replace(example, tools=tuple(tools)) if len(tools) > 1 else None


def _bare(tool: dict[str, Any], used: set[str] | None, most: int) -> dict[str, Any]:
    """A called tool keeps the arguments given, any other as many at most; no argument is described."""
    properties = tool["parameters"].get("properties", {})
    names = [name for name in properties if name in used] if used is not None else list(properties)[:most]
    kept = {name: {k: v for k, v in properties[name].items() if k != "description"} for name in names}
    required = [name for name in tool["parameters"].get("required", ()) if name in kept]
    return {**tool, "parameters": {**tool["parameters"], "properties": kept, "required": required}}
