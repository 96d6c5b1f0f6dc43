"""Reading a schema in any dialect into one: JSON Schema 2020-12, self-contained.

Drafts 3 to 2019-09, OpenAPI 3.0 and BFCL's loose spelling (`dict`, `float`, `tuple`, `any`) differ in
how they write the same things. Whatever is rewritten is noted. What a keyword allows is decided in
`options.py`, not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import SchemaError
from .references import MAX_DEPTH, Location, References, child_path

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

_LOOSE_TYPES = {
    "dict": "object", "hashmap": "object", "map": "object", "hashtable": "object", "struct": "object",
    "float": "number", "double": "number", "decimal": "number",
    "int": "integer", "long": "integer", "short": "integer", "byte": "integer", "bigint": "integer",
    "bool": "boolean", "str": "string", "char": "string", "text": "string",
    "tuple": "array", "list": "array", "arraylist": "array", "set": "array", "queue": "array",
    "stack": "array", "none": "null", "any": "any",
}  # fmt: skip

# The draft that introduced a keyword. A document that declares an older dialect does not mean it.
_SINCE = {
    "const": 6, "contains": 6, "propertyNames": 6, "if": 7, "then": 7, "else": 7, "minContains": 2019,
    "maxContains": 2019, "dependentRequired": 2019, "dependentSchemas": 2019, "unevaluatedItems": 2019,
    "unevaluatedProperties": 2019, "prefixItems": 2020, "$dynamicRef": 2020, "$recursiveRef": 2019,
    "allOf": 4, "anyOf": 4, "oneOf": 4, "not": 4, "multipleOf": 4, "minProperties": 4, "maxProperties": 4,
}  # fmt: skip

ANNOTATIONS = (
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
    "contentEncoding", "contentMediaType",
)  # fmt: skip
_COUNTS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "minContains", "maxContains",
)  # fmt: skip


@dataclass(slots=True)
class Document:
    """A schema after reading: 2020-12, every reference `#` or `#/$defs/NAME`."""

    root: dict[str, Any] | bool
    definitions: dict[str, dict[str, Any] | bool] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tool: str = ""
    nullable: frozenset[int] = frozenset()
    """Ids of the subschemas that OpenAPI's `nullable` opened to null."""

    def target(self, reference: str) -> tuple[dict[str, Any] | bool, str]:
        """What a reference means here, and its path in the schema as it was given."""
        if reference == "#":
            return self.root, "$"
        name = reference.removeprefix("#/$defs/")
        return self.definitions[name], self.origins[name]

    def as_schema(self) -> dict[str, Any]:
        """One plain dict, `$defs` included."""
        if isinstance(self.root, bool):
            return {} if self.root else {"not": {}}
        if not self.definitions:
            return self.root
        return {**self.root, "$defs": self.definitions}


def read_document(schema: Any, *, tool: str) -> Document:
    """Read `schema` in its own dialect.

    Raises:
        SchemaError: it is not a schema, a keyword's value has the wrong type, or a reference leads nowhere.
    """
    reader = _Reader(schema, tool)
    document = Document(root=True, tool=tool)
    document.root = reader.read(schema, Location(base="", path="$", draft=reader.references.draft), 0)
    while reader.pending:
        name, target, location = reader.pending.pop()
        document.definitions[name] = reader.read(target, location, 0)
        document.origins[name] = location.path
    document.notes = list(dict.fromkeys(reader.notes))
    document.nullable = frozenset(reader.nullable)
    return document


class _Reader:
    def __init__(self, root: Any, tool: str) -> None:
        self.root = root
        self.tool = tool
        self.references = References(root, tool)
        self.pending: list[tuple[str, Any, Location]] = []
        self.notes: list[str] = []
        self._names: dict[int, str] = {}
        self.nullable: list[int] = []
        self.is_loose = False
        self._item_enums: dict[int, list[Any]] = {}
        self._kept: list[Any] = []  # ids are only unique while their objects live

    def read(self, schema: Any, at: Location, depth: int) -> dict[str, Any] | bool:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise self._error(f"a schema is an object or a boolean, found {_brief(schema)}", at)
        if depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep", at)
        at = self.references.location(schema, at)
        if "$ref" in schema and isinstance(schema["$ref"], str) and 3 <= at.draft <= 7:
            # Before 2019-09 everything beside $ref is ignored.
            return {**_annotations(schema), "$ref": self._refer(schema["$ref"], at)}
        result: dict[str, Any] = _annotations(schema)
        self._read_type(schema, result, at, depth)
        self._read_values(schema, result, at)
        self._read_numbers(schema, result, at)
        self._read_text(schema, result, at)
        self._read_arrays(schema, result, at, depth)
        self._read_objects(schema, result, at, depth)
        self._read_combinations(schema, result, at, depth)
        self._read_references(schema, result, at)
        return result

    def _error(self, reason: str, at: Location, keyword: str = "") -> SchemaError:
        return SchemaError(reason, tool=self.tool, path=at.path, keyword=keyword)

    def _note(self, text: str, at: Location) -> None:
        self.notes.append(f"{at.path}: {text}")

    def _knows(self, keyword: str, schema: Mapping[str, Any], at: Location) -> bool:
        """Whether `keyword` is there and the declared dialect gives it a meaning."""
        if keyword not in schema:
            return False
        if at.draft and _SINCE.get(keyword, 0) > at.draft:
            self._note(f"{keyword!r} means nothing in draft {at.draft}, which $schema declares: ignored", at)
            return False
        return True

    def _child(self, schema: Any, at: Location, depth: int, *steps: str | int) -> dict[str, Any] | bool:
        here = Location(base=at.base, path=child_path(at.path, *steps), draft=at.draft)
        return self.read(schema, here, depth + 1)

    # -- one family of keywords each

    def _read_type(self, schema: Mapping[str, Any], result: dict[str, Any], at: Location, depth: int) -> None:
        if "type" not in schema:
            return
        declared = schema["type"]
        names = declared if isinstance(declared, list) else [declared]
        if not names:
            raise self._error("an empty list of types allows nothing", at, "type")
        types: list[str] = []
        schemas: list[Any] = []
        for index, name in enumerate(names):
            if isinstance(name, Mapping) and at.draft in (0, 3):
                schemas.append(self._child(name, at, depth, "type", index))
            elif isinstance(name, str):
                types.append(self._type_name(name, at))
            else:
                raise self._error(f"a type is a name, found {_brief(name)}", at, "type")
        if "any" in types:
            return
        if schemas:  # draft 3 allowed schemas among the types
            self._also(result, {"anyOf": [*({"type": name} for name in types), *schemas]})
            return
        if schema.get("nullable") is True and not at.draft and "null" not in types:
            types.append("null")
            self.nullable.append(id(result))
            self._note("read OpenAPI's 'nullable' as type null", at)
        if "integer" in types and "number" in types:
            types.remove("integer")
        types = list(dict.fromkeys(types))
        result["type"] = types[0] if len(types) == 1 else types

    def _type_name(self, name: str, at: Location) -> str:
        if name in TYPES:
            return name
        if name == "any" and at.draft == 3:
            return "any"
        loose = name.strip().lower()
        known = _LOOSE_TYPES.get(loose, loose if loose in TYPES else None)
        if known is None or at.draft:
            raise self._error(f"unknown type {name!r}: use one of {', '.join(TYPES)}", at, "type")
        self._note(f"read type {name!r} as {known!r}", at)
        self.is_loose = True
        return known

    def _read_values(self, schema: Mapping[str, Any], result: dict[str, Any], at: Location) -> None:
        if "enum" in schema:
            if not isinstance(schema["enum"], list | tuple):
                raise self._error(f"expected a list of values, found {_brief(schema['enum'])}", at, "enum")
            result["enum"] = list(schema["enum"])
            if self.is_loose:
                self._repair_enum(result, at)
        if self._knows("const", schema, at):
            result["const"] = schema["const"]

    def _repair_enum(self, result: dict[str, Any], at: Location) -> None:
        """BFCL's documents list numbers and booleans as text, and an array's items as its own values."""
        kind, values = result.get("type"), result["enum"]
        if kind == "array" and not any(isinstance(value, list) for value in values):
            del result["enum"]
            self._item_enums[id(result)] = values
            self._note("read an array's enum as that of its items", at)
        elif kind in ("integer", "number", "boolean") and all(isinstance(value, str) for value in values):
            spoken = [_spoken(value, kind) for value in values]
            result["enum"] = list(dict.fromkeys(value for value in spoken if value is not None)) or values
            if result["enum"] is not values:
                self._note(f"read the enum's texts as {kind} values", at)

    def _read_numbers(self, schema: Mapping[str, Any], result: dict[str, Any], at: Location) -> None:
        for side, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            bound = self._number(schema, side, at)
            if at.draft in (0, 3, 4) and isinstance(schema.get(exclusive), bool):
                if bound is not None:
                    result[exclusive if schema[exclusive] else side] = bound
                continue
            if bound is not None:
                result[side] = bound
            if at.draft not in (3, 4) and (strict := self._number(schema, exclusive, at)) is not None:
                result[exclusive] = strict
        keyword = "divisibleBy" if at.draft == 3 else "multipleOf"
        step = self._number(schema, keyword, at)
        if step is not None:
            if step <= 0:
                raise self._error(f"must be above 0, found {step}", at, keyword)
            result["multipleOf"] = step

    def _read_text(self, schema: Mapping[str, Any], result: dict[str, Any], at: Location) -> None:
        for keyword in _COUNTS:
            if keyword not in schema or not self._knows(keyword, schema, at):
                continue
            count = self._number(schema, keyword, at)
            if count is None:
                continue
            if count < 0 or count != int(count):
                raise self._error(f"expected a whole number from 0, found {count}", at, keyword)
            result[keyword] = int(count)
        for keyword in ("pattern", "format"):
            value = schema.get(keyword)
            if value is None:
                continue
            if not isinstance(value, str):
                raise self._error(f"expected a string, found {_brief(value)}", at, keyword)
            result[keyword] = value

    def _read_arrays(
        self, schema: Mapping[str, Any], result: dict[str, Any], at: Location, depth: int
    ) -> None:
        items = schema.get("items")
        if isinstance(items, list | tuple) and at.draft != 2020:
            result["prefixItems"] = [
                self._child(item, at, depth, "items", index) for index, item in enumerate(items)
            ]
            if "additionalItems" in schema:
                result["items"] = self._child(schema["additionalItems"], at, depth, "additionalItems")
        elif items is not None:
            if isinstance(items, str) and not at.draft:  # BFCL: {"items": "string"}
                self._note(f"read items {items!r} as a type", at)
                items = {"type": items}
            result["items"] = self._child(items, at, depth, "items")
        item_enum = self._item_enums.pop(id(result), None)
        if item_enum is not None and isinstance(result.get("items", {}), dict):
            result["items"] = {**result.get("items", {}), "enum": item_enum}
        if self._knows("prefixItems", schema, at):
            if not isinstance(schema["prefixItems"], list | tuple):
                raise self._error("expected a list of schemas", at, "prefixItems")
            result["prefixItems"] = [
                self._child(item, at, depth, "prefixItems", index)
                for index, item in enumerate(schema["prefixItems"])
            ]
        for keyword in ("contains", "unevaluatedItems"):
            if self._knows(keyword, schema, at):
                result[keyword] = self._child(schema[keyword], at, depth, keyword)
        unique = schema.get("uniqueItems")
        if unique is not None and not isinstance(unique, bool):
            raise self._error(f"expected true or false, found {_brief(unique)}", at, "uniqueItems")
        if unique:
            result["uniqueItems"] = True

    def _read_objects(
        self, schema: Mapping[str, Any], result: dict[str, Any], at: Location, depth: int
    ) -> None:
        required: list[str] = []
        for keyword in ("properties", "patternProperties", "dependentSchemas"):
            if schema.get(keyword) is None or not self._knows(keyword, schema, at):
                continue
            if not isinstance(schema[keyword], Mapping):
                raise self._error(
                    f"expected an object of schemas, found {_brief(schema[keyword])}", at, keyword
                )
            result[keyword] = {
                str(name): self._child(child, at, depth, keyword, str(name))
                for name, child in schema[keyword].items()
            }
            if keyword == "properties" and at.draft in (0, 3):
                required = [
                    str(name)
                    for name, child in schema[keyword].items()
                    if isinstance(child, Mapping) and child.get("required") is True
                ]
        if required and at.draft == 0:
            self._note(f"read 'required: true' of {', '.join(required)} as the object's required list", at)
        self._read_required(schema, result, required, at)
        for keyword in ("additionalProperties", "propertyNames", "unevaluatedProperties"):
            if self._knows(keyword, schema, at):
                result[keyword] = self._child(schema[keyword], at, depth, keyword)
        if self._knows("dependentRequired", schema, at):
            result["dependentRequired"] = {
                str(name): self._names_list(needed, at, "dependentRequired")
                for name, needed in self._mapping(schema, "dependentRequired", at).items()
            }
        if isinstance(schema.get("dependencies"), Mapping) or ("dependencies" in schema and at.draft < 2019):
            # Later drafts split this keyword in two, yet documents go on using it; demanding more is safe.
            self._read_dependencies(schema, result, at, depth)

    def _read_required(
        self, schema: Mapping[str, Any], result: dict[str, Any], from_children: list[str], at: Location
    ) -> None:
        declared = schema.get("required")
        if declared is None or (isinstance(declared, bool) and at.draft in (0, 3)):
            names: list[str] = []
        else:
            names = self._names_list(declared, at, "required")
        names = list(dict.fromkeys([*names, *from_children]))
        if names:
            result["required"] = names

    def _read_dependencies(
        self, schema: Mapping[str, Any], result: dict[str, Any], at: Location, depth: int
    ) -> None:
        for name, needed in self._mapping(schema, "dependencies", at).items():
            if isinstance(needed, list | tuple):
                names = self._names_list(needed, at, "dependencies")
                result.setdefault("dependentRequired", {})[str(name)] = names
            elif isinstance(needed, str) and at.draft in (0, 3):
                result.setdefault("dependentRequired", {})[str(name)] = [needed]
            else:
                child = self._child(needed, at, depth, "dependencies", str(name))
                result.setdefault("dependentSchemas", {})[str(name)] = child

    def _read_combinations(
        self, schema: Mapping[str, Any], result: dict[str, Any], at: Location, depth: int
    ) -> None:
        for keyword in ("allOf", "anyOf", "oneOf"):
            if not self._knows(keyword, schema, at):
                continue
            parts = schema[keyword]
            if not isinstance(parts, list | tuple) or not parts:
                raise self._error("expected a list with at least one schema", at, keyword)
            read = [self._child(part, at, depth, keyword, index) for index, part in enumerate(parts)]
            result[keyword] = [*result.get(keyword, ()), *read]
        for keyword in ("not", "if"):
            if self._knows(keyword, schema, at):
                result[keyword] = self._child(schema[keyword], at, depth, keyword)
        if "if" in result:
            for keyword in ("then", "else"):
                if keyword in schema:
                    result[keyword] = self._child(schema[keyword], at, depth, keyword)
        if at.draft == 3 and "extends" in schema:
            parts = schema["extends"] if isinstance(schema["extends"], list) else [schema["extends"]]
            for index, part in enumerate(parts):
                self._also(result, self._child(part, at, depth, "extends", index))
        if at.draft == 3 and "disallow" in schema:
            names = schema["disallow"] if isinstance(schema["disallow"], list) else [schema["disallow"]]
            self._also(result, {"not": self._child({"type": names}, at, depth, "disallow")})

    def _read_references(self, schema: Mapping[str, Any], result: dict[str, Any], at: Location) -> None:
        if schema.get("$ref") is not None:
            result["$ref"] = self._refer(schema["$ref"], at)
        for keyword, resolve in (
            ("$dynamicRef", self.references.resolve_dynamic),
            ("$recursiveRef", self.references.resolve_recursive),
        ):
            if self._knows(keyword, schema, at):
                reference = {"$ref": self._name(*resolve(schema[keyword], at))}
                self._also(result, reference)

    # -- small readers

    def _refer(self, reference: Any, at: Location) -> str:
        return self._name(*self.references.resolve(reference, at))

    def _name(self, target: Any, location: Location) -> str:
        if target is self.root:
            return "#"
        name = self._names.get(id(target)) if not isinstance(target, bool) else None
        if name is None:
            last = re.split(r"[./\[\]#:]", location.path.rstrip("]"))[-1]
            stem = re.sub(r"[^A-Za-z0-9_-]", "_", last) or "schema"
            taken = set(self._names.values())
            name, number = stem, 2
            while name in taken:
                name, number = f"{stem}_{number}", number + 1
            self._names[id(target) if not isinstance(target, bool) else -len(taken) - 1] = name
            self._kept.append(target)
            self.pending.append((name, target, location))
        return f"#/$defs/{name}"

    def _also(self, result: dict[str, Any], part: dict[str, Any] | bool) -> None:
        result["allOf"] = [*result.get("allOf", ()), part]

    def _mapping(self, schema: Mapping[str, Any], keyword: str, at: Location) -> Mapping[str, Any]:
        value = schema[keyword]
        if not isinstance(value, Mapping):
            raise self._error(f"expected an object, found {_brief(value)}", at, keyword)
        return value

    def _names_list(self, value: Any, at: Location, keyword: str) -> list[str]:
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise self._error(f"expected a list of property names, found {_brief(value)}", at, keyword)
        return list(value)

    def _number(self, schema: Mapping[str, Any], keyword: str, at: Location) -> int | float | None:
        value = schema.get(keyword)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"expected a number, found {_brief(value)}", at, keyword)
        if value != value or value in (float("inf"), float("-inf")):
            raise self._error(f"expected a finite number, found {value}", at, keyword)
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _spoken(value: str, kind: str) -> Any:
    """The value a text stands for, or None."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(value.strip().lower())
    try:
        return int(value) if kind == "integer" else float(value)
    except ValueError:
        return None


def _annotations(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {keyword: schema[keyword] for keyword in ANNOTATIONS if keyword in schema}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
