"""Reading a JSON Schema loosely, as prompts need it: local references, and the declared order of keys.

What a schema allows exactly is scaffold/schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def ordered_arguments(arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments with keys in the order the schema declares them, at every depth.

    Undeclared keys keep their order and come last: a past call is shown whatever it holds.
    """
    return dict(_ordered(arguments, parameters, parameters))


def resolve_reference(reference: str, root: Mapping[str, Any]) -> Any:
    """What a local `$ref` (`#/$defs/Node`) points at inside `root`, or None."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].strip("/").split("/") if reference not in ("#", "#/") else ():
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def _ordered(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        declared = _properties(schema, root)
        ranks = {name: rank for rank, name in enumerate(declared)}
        keys = sorted(value, key=lambda key: ranks.get(str(key), len(ranks)))
        return {key: _ordered(value[key], declared.get(str(key), {}), root) for key in keys}
    if isinstance(value, list | tuple):
        return [_ordered(item, _item_schema(schema, index, root), root) for index, item in enumerate(value)]
    return value


def _properties(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Declared properties of an object schema, its own before those it combines."""
    declared: dict[str, Any] = {}
    for part in _parts(schema, root):
        properties = part.get("properties")
        if isinstance(properties, Mapping):
            for name, inner in properties.items():
                declared.setdefault(name, inner)
    return declared


def _item_schema(schema: Any, index: int, root: Mapping[str, Any]) -> Any:
    for part in _parts(schema, root):
        prefix = part.get("prefixItems")
        if isinstance(prefix, Sequence) and index < len(prefix):
            return prefix[index]
        if isinstance(part.get("items"), Mapping):
            return part["items"]
    return {}


def _parts(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema itself and every schema it refers to or combines, each once."""
    seen: set[int] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part.get("$ref"), str):
            waiting.append(resolve_reference(part["$ref"], root))
        for keyword in ("allOf", "anyOf", "oneOf"):
            if isinstance(part.get(keyword), Sequence):
                waiting.extend(part[keyword])
