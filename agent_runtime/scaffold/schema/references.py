"""Where every subschema lives, and what a `$ref` means: base URIs, anchors, JSON pointers.

Nothing is ever fetched: a reference that leaves the document is refused, except to the JSON Schema
meta-schemas, which are installed with `jsonschema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urljoin

from jsonschema_specifications import REGISTRY as META_SCHEMAS  # type: ignore[import-untyped]  # no stubs

from ...errors import SchemaError

Draft = int
"""3, 4, 6, 7, 2019 or 2020; 0 when the document does not say (read as 2020-12, but forgivingly)."""

_ONE = (
    "additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties", "extends",
)  # fmt: skip
_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems", "extends", "type", "disallow")
_MAPS = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")

MAX_DEPTH = 150
"""How deep schemas may nest: far beyond any real one, well within Python's own recursion limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a subschema stands: base URI, JSON path from the root, and its dialect."""

    base: str
    path: str
    draft: Draft


def draft_of(uri: Any, default: Draft) -> Draft:
    """The dialect a `$schema` names; `default` for one we do not know."""
    if not isinstance(uri, str):
        return default
    for mark, draft in (
        ("draft-03", 3), ("draft-04", 4), ("draft-06", 6), ("draft-07", 7),
        ("2019-09", 2019), ("2020-12", 2020),
    ):  # fmt: skip
        if mark in uri:
            return draft
    return default


def child_path(path: str, *steps: str | int) -> str:
    """`$.properties.city` style paths; list positions in brackets."""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path


def subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every direct subschema with the steps that lead to it."""
    for keyword in _ONE:
        if isinstance(schema.get(keyword), Mapping):
            yield (keyword,), schema[keyword]
    for keyword in _LISTS:
        if isinstance(schema.get(keyword), list):
            yield from (
                ((keyword, index), item)
                for index, item in enumerate(schema[keyword])
                if isinstance(item, Mapping)
            )
    for keyword in _MAPS:
        if isinstance(schema.get(keyword), Mapping):
            yield from (
                ((keyword, str(name)), item)
                for name, item in schema[keyword].items()
                if isinstance(item, Mapping)
            )


@dataclass(slots=True)
class References:
    """An index of one document."""

    root: Any
    tool: str
    draft: Draft = 0
    _locations: dict[int, Location] = field(default_factory=dict)
    _resources: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _anchors: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    _dynamic: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.root, Mapping):
            self.draft = draft_of(self.root.get("$schema"), 0)
            self._resources[""] = self.root
            self._index(self.root, Location(base="", path="$", draft=self.draft), depth=0)

    def location(self, schema: Any, otherwise: Location) -> Location:
        """Where `schema` stands; `otherwise` if no keyword we know leads to it."""
        return self._locations.get(id(schema), otherwise)

    def resolve(self, reference: Any, at: Location, *, keyword: str = "$ref") -> tuple[Any, Location]:
        """The subschema a reference names, and where that stands.

        Raises:
            SchemaError: it is remote, or names nothing in this document.
        """
        if not isinstance(reference, str):
            raise SchemaError(
                f"expected a string, found {reference!r}", tool=self.tool, path=at.path, keyword=keyword
            )
        url, _, fragment = _join(at.base, reference).partition("#")
        resource = self._resources.get(url)
        if resource is None:
            resource = self._load_meta_schema(url)
        if resource is None:
            raise SchemaError(
                f"{reference!r} lies outside this schema and is not fetched: put its target under $defs",
                tool=self.tool, path=at.path, keyword=keyword,
            )  # fmt: skip
        home = self._locations[id(resource)]
        fragment = unquote(fragment)
        if not fragment:
            return resource, home
        if not fragment.startswith("/"):
            target = self._anchors.get((url, fragment))
            if target is not None:
                return target, self._locations[id(target)]
        else:
            found = self._walk(resource, fragment, home)
            if found is not None:
                return found
        raise SchemaError(
            f"{reference!r} names nothing in this schema: check the spelling, or add it under $defs",
            tool=self.tool, path=at.path, keyword=keyword,
        )  # fmt: skip

    def resolve_dynamic(self, reference: Any, at: Location) -> tuple[Any, Location]:
        """`$dynamicRef`: a plain `$ref` unless several places could answer, which is refused."""
        target, location = self.resolve(reference, at, keyword="$dynamicRef")
        name = str(reference).rpartition("#")[2]
        is_dynamic = isinstance(target, Mapping) and target.get("$dynamicAnchor") == name
        if is_dynamic and len(self._dynamic.get(name, ())) > 1:
            raise SchemaError(
                f"several schemas declare $dynamicAnchor {name!r}: use a plain $ref",
                tool=self.tool, path=at.path, keyword="$dynamicRef",
            )  # fmt: skip
        return target, location

    def resolve_recursive(self, reference: Any, at: Location) -> tuple[Any, Location]:
        """`$recursiveRef`: a plain `$ref` unless a `$recursiveAnchor` re-routes it, which is refused."""
        target, location = self.resolve(reference, at, keyword="$recursiveRef")
        is_dynamic = isinstance(target, Mapping) and target.get("$recursiveAnchor") is True
        if is_dynamic and len(self._dynamic.get("$recursiveAnchor", ())) > 1:
            raise SchemaError(
                "several schemas declare $recursiveAnchor: use a plain $ref",
                tool=self.tool, path=at.path, keyword="$recursiveRef",
            )  # fmt: skip
        return target, location

    def _index(self, schema: Mapping[str, Any], at: Location, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise SchemaError(f"nested more than {MAX_DEPTH} deep", tool=self.tool, path=at.path[:200])
        if id(schema) in self._locations:
            return
        draft = draft_of(schema.get("$schema"), at.draft)
        base = at.base
        identifier = schema.get("id" if draft in (3, 4) else "$id")
        is_hidden = "$ref" in schema and 0 < draft <= 7  # siblings of $ref do not count there
        if isinstance(identifier, str) and not is_hidden:
            url, _, fragment = _join(base, identifier).partition("#")
            if fragment and url == base:
                self._anchors.setdefault((base, fragment), schema)
            else:
                base = url
                self._resources.setdefault(base, schema)
        location = Location(base=base, path=at.path, draft=draft)
        self._locations[id(schema)] = location
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(keyword), str):
                self._anchors.setdefault((base, schema[keyword]), schema)
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        if schema.get("$recursiveAnchor") is True:
            self._dynamic.setdefault("$recursiveAnchor", []).append(schema)
        for steps, child in subschemas(schema):
            self._index(child, Location(base=base, path=child_path(at.path, *steps), draft=draft), depth + 1)

    def _load_meta_schema(self, url: str) -> Mapping[str, Any] | None:
        """The dialects' own schemas ship with `jsonschema`; indexing one is a one-off cost."""
        resource = META_SCHEMAS.get(url) or META_SCHEMAS.get(url + "#")
        if resource is None or not isinstance(resource.contents, Mapping):
            return None
        contents: Mapping[str, Any] = resource.contents
        self._resources[url] = contents
        self._index(contents, Location(base=url, path=f"<{url}>", draft=draft_of(url, 2020)), depth=0)
        return contents

    def _walk(self, resource: Any, pointer: str, home: Location) -> tuple[Any, Location] | None:
        """Follow a JSON pointer, keeping the base URI of the nearest indexed schema."""
        here, at = resource, home
        for raw in pointer.lstrip("/").split("/") if pointer != "/" else [""]:
            step = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(here, Mapping) and step in here:
                here, name = here[step], step
                path = child_path(at.path, name)
            elif (
                isinstance(here, Sequence)
                and not isinstance(here, str)
                and step.isdigit()
                and int(step) < len(here)
            ):
                here = here[int(step)]
                path = child_path(at.path, int(step))
            else:
                return None
            at = self._locations.get(id(here), Location(base=at.base, path=path, draft=at.draft))
        if isinstance(here, Mapping) and id(here) not in self._locations:
            self._index(here, at, depth=0)
            at = self._locations[id(here)]
        return here, at


def _join(base: str, reference: str) -> str:
    """`urljoin`, which also knows that a bare fragment stays within any base (urn: ones too)."""
    if reference.startswith("#") or not reference:
        return base.partition("#")[0] + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
