"""How a tool is shown to the backbone: signature lines for small backbones, one line of JSON for large ones.

    # Current weather for a city.
    get_weather
    - city: string. City name.
    - days?: integer 1..7 = 3. Number of days.
    - unit?: "celsius" | "fahrenheit".

What a tool does stands before its name: a causal backbone that reads the name then knows already what it is
the name of, which is what it needs to choose among several.
Reading is forgiving (any schema has a listing); what a schema allows exactly is scaffold/schema.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from .schema_order import resolve_reference
from .type_text import ANY, implied_type, json_text, number_type, size_text, string_type

Schema = Mapping[str, Any]

_NAME_MARKS = "_-.$@/"
_INLINE_CHARACTERS = 200
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})


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
    """The tool as one line of JSON, in OpenAI's shape: so SmolLM3's training rows list theirs."""
    shown = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json_text({"type": "function", "function": shown}) + "\n"


def signature_lines(tool: OfferedTool, *, description_limit: int = 160) -> str:
    """The tool as a heading and one line for each argument, every line ended.

    Descriptions inside nested objects follow their argument, indented, under their path in it. Schemas
    that refer to themselves, and larger ones used more than once, are named and written at the end.
    """
    return _SignatureWriter(tool.parameters, description_limit).lines(tool)


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


class _SignatureWriter:
    def __init__(self, root: Schema, description_limit: int) -> None:
        self._root = root
        self._limit = description_limit
        self._named_references = _worth_a_name(root)
        self._names: dict[str, str] = {}  # reference -> name, in order of first use

    def lines(self, tool: OfferedTool) -> str:
        described = shortened(tool.description or "", self._limit)
        name = " ".join(tool.name.split())
        heading = f"# {described or name}\n{name}\n"
        arguments = "".join(self._argument_lines())
        return heading + arguments + "".join(self._named_lines())

    def _argument_lines(self) -> Iterator[str]:
        arguments = _merged(self._root, self._root)
        if not arguments.get("properties") and (shown := self._type(arguments)) not in ("object", ANY):
            yield f"arguments: {shown}.\n"
        for name, schema, is_required in _properties(arguments):
            yield f"- {_shown_name(name, is_required)}: {self._type_and_default(schema)}."
            yield self._described(schema) + "\n"
            yield from self._nested_lines(schema, "")

    def _named_lines(self) -> Iterator[str]:
        """Named schemas; writing one may name another, so the list grows while it is read."""
        number = 0
        while number < len(self._names):
            reference, name = list(self._names.items())[number]
            schema = _merged({"$ref": reference}, self._root, self._named_references - {reference})
            yield f"where {name} = {self._type(schema)}."
            yield self._described(schema) + "\n"
            yield from self._nested_lines(schema, "")
            number += 1

    def _described(self, schema: Any) -> str:
        described = shortened(_description(schema, self._root), self._limit)
        return f" {described}" if described else ""

    def _nested_lines(self, schema: Any, path: str) -> Iterator[str]:
        """Descriptions of the properties inside an argument."""
        for part in self._object_parts(schema):
            for name, inner, _ in _properties(part):
                inner_path = f"{path}.{name}" if path else name
                described = self._described(inner)
                if described:
                    yield f"  - {' '.join(inner_path.split())}:{described}\n"
                yield from self._nested_lines(inner, inner_path)

    def _object_parts(self, schema: Any) -> Iterator[Schema]:
        """The object schemas a value is made of, through arrays and unions, up to named ones."""
        if not isinstance(schema, Mapping) or _reference(schema) in self._named_references:
            return
        schema = _merged(schema, self._root, self._named_references)
        if isinstance(schema.get("properties"), Mapping):
            yield schema
        for keyword in ("items", "additionalProperties"):
            yield from self._object_parts(schema.get(keyword))
        for keyword in ("prefixItems", "anyOf", "oneOf"):
            for option in _listed(schema, keyword):
                yield from self._object_parts(option)

    def _type_and_default(self, schema: Any) -> str:
        shown = self._type(schema)
        default = schema.get("default") if isinstance(schema, Mapping) else None
        if default is None:  # absent, or null, which says nothing
            return shown
        written = json_text(default)
        return f"{shown} = {written}" if len(written) <= self._limit else shown

    def _type(self, schema: Any) -> str:
        if not isinstance(schema, Mapping):
            return "never" if schema is False else ANY
        names = [self._name(reference) for reference in self._direct_references(schema)]
        rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS} if names else schema
        shown = self._unnamed_type(_merged(rest, self._root, self._named_references))
        return " & ".join([*names, *([shown] if shown != ANY else [])]) if names else shown

    def _direct_references(self, schema: Schema) -> Iterator[str]:
        """References to named schemas that this one includes as a whole."""
        for part in (schema, *_listed(schema, "allOf")):
            reference = _reference(part)
            if reference is not None and reference in self._named_references:
                yield reference

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            name = reference.rstrip("/").rsplit("/", 1)[-1].removeprefix("#")
            name = _shown_name(name, is_required=True) if name else "Arguments"
            taken = self._names.values()
            self._names[reference] = name if name not in taken else f"{name}{len(taken) + 1}"
        return self._names[reference]

    def _unnamed_type(self, schema: Schema) -> str:
        if "const" in schema:
            return json_text(schema["const"])
        if values := _listed(schema, "enum"):
            return " | ".join(json_text(value) for value in values)
        for keyword in ("anyOf", "oneOf"):
            if options := _listed(schema, keyword):
                return self._union(schema, keyword, options)
        kind = schema.get("type")
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            return " | ".join(dict.fromkeys(self._single_type(schema, str(each)) for each in kind)) or ANY
        return self._single_type(schema, kind if isinstance(kind, str) else implied_type(schema))

    def _union(self, schema: Schema, keyword: str, options: Sequence[Any]) -> str:
        """What stands beside the options holds for each: `{"type": "string", "anyOf": [...]}`."""
        beside = {k: v for k, v in schema.items() if k != keyword and k not in _ANNOTATIONS}
        shown = [
            self._type(
                {**beside, **option} if isinstance(option, Mapping) and "$ref" not in option else option
            )
            for option in options
        ]
        return " | ".join(dict.fromkeys(shown))

    def _single_type(self, schema: Schema, kind: str) -> str:
        match kind:
            case "string":
                return string_type(schema)
            case "integer" | "number":
                return number_type(schema, kind)
            case "array":
                return self._array_type(schema)
            case "object":
                return self._object_type(schema)
            case _:
                return kind or ANY

    def _array_type(self, schema: Schema) -> str:
        items = schema.get("items", True)
        if prefix := _listed(schema, "prefixItems"):
            shown = [self._type(item) for item in prefix]
            if items is not False and "items" in schema:
                shown.append(f"...{self._type(items)}")
            return f"[{', '.join(shown)}]"
        size = size_text(schema.get("minItems"), schema.get("maxItems"))
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


def _shown_name(name: str, is_required: bool) -> str:
    is_plain = bool(name) and all(character.isalnum() or character in _NAME_MARKS for character in name)
    return (name if is_plain else json_text(name)) + ("" if is_required else "?")


def _properties(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    properties = schema.get("properties")
    required = _listed(schema, "required")
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            yield str(name), inner, name in required


def _reference(schema: Any) -> str | None:
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    return reference if isinstance(reference, str) else None


def _listed(schema: Schema, keyword: str) -> Sequence[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list | tuple) else ()


def _description(schema: Any, root: Schema) -> str:
    """A schema's own description, or that of the schema it refers to."""
    seen: set[str] = set()
    while isinstance(schema, Mapping):
        if isinstance(schema.get("description"), str) and schema["description"]:
            return str(schema["description"])
        combined = _listed(schema, "allOf")
        schema = combined[0] if len(combined) == 1 and "$ref" not in schema else schema
        reference = _reference(schema)
        if reference is None or reference in seen:
            return ""
        seen.add(reference)
        schema = resolve_reference(reference, root)
    return ""


def _merged(schema: Schema, root: Schema, left_alone: frozenset[str] = frozenset()) -> Schema:
    """The schema with its `$ref` and `allOf` folded in: enough to show it, not to check values.

    References in `left_alone` are dropped: they are shown by name.
    """
    reference = _reference(schema)
    if reference is None and not _listed(schema, "allOf"):
        return schema
    merged: dict[str, Any] = {}
    if reference is not None and reference not in left_alone:
        target = resolve_reference(reference, root)
        if isinstance(target, Mapping):
            _fold_in(merged, _merged(target, root, left_alone | {reference}))
    for part in _listed(schema, "allOf"):
        if isinstance(part, Mapping):
            _fold_in(merged, _merged(part, root, left_alone))
    _fold_in(merged, {key: value for key, value in schema.items() if key not in ("$ref", "allOf")})
    return merged


def _fold_in(merged: dict[str, Any], part: Schema) -> None:
    for key, value in part.items():
        if key == "properties" and isinstance(merged.get(key), Mapping) and isinstance(value, Mapping):
            merged[key] = {**merged[key], **value}
        elif key == "required" and _listed(merged, key) and isinstance(value, Sequence):
            merged[key] = [*merged[key], *value]
        else:
            merged[key] = value


def _worth_a_name(root: Schema) -> frozenset[str]:
    """References that lead back to themselves, and large ones used in several places."""
    uses = Counter(_references(root))
    targets = {reference: resolve_reference(reference, root) for reference in uses}
    inner = {reference: frozenset(_references(target)) for reference, target in targets.items()}
    return frozenset(
        reference
        for reference, count in uses.items()
        if _leads_back(reference, inner)
        or (count > 1 and (inner[reference] or len(json_text(targets[reference])) > _INLINE_CHARACTERS))
    )


def _leads_back(reference: str, inner: Mapping[str, frozenset[str]]) -> bool:
    reached: set[str] = set()
    waiting = [reference]
    while waiting:
        fresh = inner.get(waiting.pop(), frozenset()) - reached
        reached |= fresh
        waiting.extend(fresh)
    return reference in reached


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = _reference(schema)
        if reference is not None:
            yield reference
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _references(value)
