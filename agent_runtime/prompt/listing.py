"""How a tool is shown to the backbone: signature lines for small backbones, one line of JSON for large ones.

    # get_weather: Current weather for a city.
    - city: string. City name.
    - days?: integer 1..7 = 3. Number of days.
    - unit?: "celsius" | "fahrenheit".

Reading is forgiving (any schema has a listing); what a schema allows exactly is scaffold/schema.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from .schema_order import resolve_reference

Schema = Mapping[str, Any]

_MARKS = "_-.$@/"
_ANY = "any"


class OfferedTool(Protocol):
    """What the prompt needs to know of a tool."""

    @property
    def name(self) -> str:
        """What the backbone calls it."""

    @property
    def description(self) -> str:
        """What it does."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON Schema of its arguments."""


def json_line(tool: OfferedTool) -> str:
    """The tool as one line of JSON: name, description, parameters."""
    shown = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json.dumps(shown, ensure_ascii=False, default=str) + "\n"


def signature_lines(tool: OfferedTool, *, description_limit: int = 160) -> str:
    """The tool as a heading and one line for each argument, every line ended.

    Descriptions inside nested objects follow their argument, indented, under their path in it. Schemas
    that refer to themselves are named and written once, at the end.
    """
    writer = _SignatureWriter(tool.parameters, description_limit)
    return writer.heading(tool) + "".join(writer.argument_lines()) + "".join(writer.named_lines())


class _SignatureWriter:
    def __init__(self, root: Schema, description_limit: int) -> None:
        self._root = root
        self._limit = description_limit
        self._recursive = frozenset(_recursive_references(root))
        self._named: dict[str, str] = {}  # reference -> name, in order of first use

    def heading(self, tool: OfferedTool) -> str:
        described = shortened(tool.description or "", self._limit)
        name = " ".join(tool.name.split())
        return f"# {name}: {described}\n" if described else f"# {name}\n"

    def argument_lines(self) -> Iterator[str]:
        for name, schema, is_required in _properties(_merged(self._root, self._root)):
            shown = f"- {_shown_name(name, is_required)}: {self._type_and_default(schema)}."
            yield f"{shown}{self._described(schema)}\n"
            yield from self._nested_lines(schema, "", ())

    def named_lines(self) -> Iterator[str]:
        """Named schemas; writing one may name another, so the list grows while it is read."""
        written = 0
        while written < len(self._named):
            reference, name = list(self._named.items())[written]
            shown = self._type(resolve_reference(reference, self._root), is_definition=True)
            yield f"where {name} = {shown}.\n"
            written += 1

    def _described(self, schema: Any) -> str:
        described = shortened(_description(schema, self._root), self._limit)
        return f" {described}" if described else ""

    def _nested_lines(self, schema: Any, path: str, seen: tuple[str, ...]) -> Iterator[str]:
        """Descriptions of properties below an argument."""
        for part in _object_parts(schema, self._root, self._recursive):
            for name, inner, _ in _properties(part):
                inner_path = f"{path}.{name}" if path else name
                described = self._described(inner)
                if described:
                    yield f"  - {' '.join(inner_path.split())}:{described}\n"
                yield from self._nested_lines(inner, inner_path, seen)

    def _type_and_default(self, schema: Any) -> str:
        shown = self._type(schema)
        default = schema.get("default") if isinstance(schema, Mapping) else None
        if default is None:  # absent, or null, which says nothing
            return shown
        written = _json(default)
        return f"{shown} = {written}" if len(written) <= self._limit else shown

    def _type(self, schema: Any, *, is_definition: bool = False) -> str:
        if not isinstance(schema, Mapping):
            return "never" if schema is False else _ANY
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference in self._recursive and not is_definition:
            return self._named.setdefault(reference, self._fresh_name(reference))
        schema = _merged(schema, self._root)
        if "const" in schema:
            return _json(schema["const"])
        if isinstance(schema.get("enum"), Sequence):
            return " | ".join(_json(value) for value in schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), Sequence) and schema[keyword]:
                return self._union(schema, keyword)
        return self._declared_type(schema)

    def _fresh_name(self, reference: str) -> str:
        name = reference.rstrip("/").rsplit("/", 1)[-1]
        name = name if name and name != "#" else "Arguments"
        return name if name not in self._named.values() else f"{name}{len(self._named) + 1}"

    def _union(self, schema: Schema, keyword: str) -> str:
        beside = {
            key: value for key, value in schema.items() if key not in (keyword, "default", "description")
        }
        options = [
            self._type(
                {**beside, **option} if isinstance(option, Mapping) and "$ref" not in option else option
            )
            for option in schema[keyword]
        ]
        return " | ".join(dict.fromkeys(options))

    def _declared_type(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            return " | ".join(dict.fromkeys(self._single_type(schema, str(each)) for each in kind)) or _ANY
        if isinstance(kind, str):
            return self._single_type(schema, kind)
        return self._single_type(schema, _implied_type(schema))

    def _single_type(self, schema: Schema, kind: str) -> str:
        match kind:
            case "string":
                return _string_type(schema)
            case "integer" | "number":
                return kind + _bounds(schema, is_integer=kind == "integer")
            case "array":
                return self._array_type(schema)
            case "object":
                return self._object_type(schema)
            case "":
                return _ANY
            case _:
                return kind

    def _array_type(self, schema: Schema) -> str:
        items = schema.get("items", True)
        prefix = schema.get("prefixItems")
        size = _range(schema.get("minItems"), schema.get("maxItems"))
        if isinstance(prefix, Sequence) and prefix:
            shown = [self._type(item) for item in prefix]
            if items is not False and "items" in schema:
                shown.append(f"...{self._type(items)}")
            return f"[{', '.join(shown)}]"
        item = self._type(items)
        return f"({item})[{size}]" if " | " in item or " & " in item else f"{item}[{size}]"

    def _object_type(self, schema: Schema) -> str:
        members = [
            f"{_shown_name(name, is_required)}: {self._type_and_default(inner)}"
            for name, inner, is_required in _properties(schema)
        ]
        patterns = schema.get("patternProperties")
        if isinstance(patterns, Mapping):
            members += [f"/{pattern}/: {self._type(inner)}" for pattern, inner in patterns.items()]
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping) and others:
            members.append(f"*: {self._type(others)}")
        return "{" + ", ".join(members) + "}" if members else "object"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def shortened(text: str, limit: int) -> str:
    """The text on one line: as many whole sentences as fit the limit, or the words that do, and `...`."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    kept = text[: limit + 1]
    sentence = kept.rfind(". ")
    if sentence > 0:
        return kept[: sentence + 1]
    word = kept[: limit - 2].rfind(" ")
    return text[: word if word > 0 else limit - 3] + "..."


def _shown_name(name: str, is_required: bool) -> str:
    is_plain = bool(name) and all(character.isalnum() or character in _MARKS for character in name)
    return (name if is_plain else _json(name)) + ("" if is_required else "?")


def _properties(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    properties = schema.get("properties")
    required = schema.get("required")
    required = required if isinstance(required, Sequence) else ()
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            yield str(name), inner, name in required


def _string_type(schema: Schema) -> str:
    shown = f"string({schema['format']})" if isinstance(schema.get("format"), str) else "string"
    if isinstance(schema.get("pattern"), str):
        shown += f" /{schema['pattern']}/"
    size = _range(schema.get("minLength"), schema.get("maxLength"))
    return f"{shown} {size} characters" if size else shown


def _bounds(schema: Schema, *, is_integer: bool) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if is_integer and isinstance(above, int):
        low, above = max([above + 1, *filter(_is_number, [low])]), None
    if is_integer and isinstance(below, int):
        high, below = min([below - 1, *filter(_is_number, [high])]), None
    shown = ""
    if _is_number(low) and _is_number(high):
        shown = f" {_json(low)}..{_json(high)}"
    elif _is_number(low):
        shown = f" >={_json(low)}"
    elif _is_number(high):
        shown = f" <={_json(high)}"
    shown += f" >{_json(above)}" if _is_number(above) else ""
    shown += f" <{_json(below)}" if _is_number(below) else ""
    step = schema.get("multipleOf")
    return shown + (f" step {_json(step)}" if _is_number(step) else "")


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range(low: Any, high: Any) -> str:
    """`2..5`, `2..`, `..5`, `3`, or nothing."""
    low = low if _is_number(low) and low > 0 else None
    high = high if _is_number(high) else None
    if low is None and high is None:
        return ""
    if low == high:
        return f"{low}"
    return f"{'' if low is None else low}..{'' if high is None else high}"


def _implied_type(schema: Schema) -> str:
    """The type a schema without `type` is about, read from its keywords."""
    if "properties" in schema or "patternProperties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "pattern" in schema or "format" in schema:
        return "string"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return ""


def _description(schema: Any, root: Schema) -> str:
    """A schema's own description, or that of the schema it refers to."""
    seen: set[str] = set()
    while isinstance(schema, Mapping):
        if isinstance(schema.get("description"), str) and schema["description"]:
            return str(schema["description"])
        reference = schema.get("$ref")
        if not isinstance(reference, str) or reference in seen:
            return ""
        seen.add(reference)
        schema = resolve_reference(reference, root)
    return ""


def _merged(schema: Schema, root: Schema, seen: tuple[str, ...] = ()) -> Schema:
    """The schema with its `$ref` and `allOf` folded in: enough to show it, not to check values."""
    reference = schema.get("$ref")
    parts = list(schema["allOf"]) if isinstance(schema.get("allOf"), Sequence) else []
    if isinstance(reference, str) and reference not in seen:
        seen = (*seen, reference)
        parts.insert(0, resolve_reference(reference, root))
    if not parts:
        return schema
    merged: dict[str, Any] = {}
    for part in (*parts, {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}):
        if isinstance(part, Mapping):
            _fold_in(merged, _merged(part, root, seen))
    return merged


def _fold_in(merged: dict[str, Any], part: Schema) -> None:
    for key, value in part.items():
        if key == "properties" and isinstance(merged.get(key), Mapping) and isinstance(value, Mapping):
            merged[key] = {**merged[key], **value}
        elif key == "required" and isinstance(merged.get(key), Sequence) and isinstance(value, Sequence):
            merged[key] = [*merged[key], *value]
        else:
            merged[key] = value


def _object_parts(schema: Any, root: Schema, recursive: frozenset[str]) -> Iterator[Schema]:
    """The object schemas an argument is made of, through arrays and unions, not through recursion."""
    if not isinstance(schema, Mapping) or schema.get("$ref") in recursive:
        return
    schema = _merged(schema, root)
    if isinstance(schema.get("properties"), Mapping):
        yield schema
    for keyword in ("items", "additionalProperties"):
        yield from _object_parts(schema.get(keyword), root, recursive)
    for keyword in ("prefixItems", "anyOf", "oneOf"):
        if isinstance(schema.get(keyword), Sequence):
            for option in schema[keyword]:
                yield from _object_parts(option, root, recursive)


def _recursive_references(root: Schema) -> Iterator[str]:
    """References that lead back to themselves."""
    found = {reference for reference in _references(root)}
    for reference in sorted(found):
        reached: set[str] = set()
        waiting = [*_references(resolve_reference(reference, root))]
        while waiting:
            step = waiting.pop()
            if step in reached:
                continue
            reached.add(step)
            waiting.extend(_references(resolve_reference(step, root)))
        if reference in reached:
            yield reference


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _references(value)
