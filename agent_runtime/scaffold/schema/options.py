"""Taking a schema apart: which facts, any one of them enough, does it demand?

`Options.branches` never allows what the schema forbids. `Options.is_exact` says whether it also leaves
nothing out; where negation, `oneOf` or sheer number make that too hard, a branch is narrowed until it is
surely right. Narrowing is sound because values are only ever written, never recognised, from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from jsonschema import Draft202012Validator

from ...errors import SchemaError
from . import text
from .dialect import ANNOTATIONS, Document
from .facts import (
    ANYTHING,
    EVERYTHING,
    ArrayFacts,
    ConstantFacts,
    Contains,
    Facts,
    Literal,
    Node,
    NumberFacts,
    ObjectFacts,
    Scope,
    StringFacts,
    as_fraction,
    both,
    common_multiple,
    integer_bounds,
    is_nothing,
    is_same,
    join_arrays,
    join_numbers,
    join_objects,
    join_strings,
    literal,
    node,
    nothing,
    type_names,
)
from .references import child_path

MAX_BRANCHES = 64
"""How many alternatives one place may have; further ones are left out."""

MAX_JOINS = 60_000
"""How often facts may be joined while one document is read (large objects count more): a bound on time."""

_MAX_PER_EXCLUSION = 12
_MAX_PROOF_DEPTH = 4
_MAX_HOPS = 32
_MAX_PAIRED = 4


@dataclass(frozen=True, slots=True)
class Options:
    """Alternatives, any one of which satisfies a node."""

    branches: tuple[Facts, ...]
    is_exact: bool = True


class OptionReader:
    """Reads the options of nodes of one document, each once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._known: dict[tuple[int, bool], Options] = {}
        self._known_nodes: dict[Node, Options] = {}
        self._open: set[tuple[int, bool]] = set()
        self._canonical: dict[Node, Node] = {}
        self._empty: dict[Node, tuple[bool, int]] = {}
        self._scope_nodes: dict[tuple[int, str], Node] = {}
        self._scopes: list[Scope] = []
        self._num_joins = 0
        self._proving: set[Node] = set()

    def root(self) -> Node:
        """The whole document as a node."""
        return node(literal(self.document.root, "$"))

    def options(self, of: Node) -> Options:
        """The alternatives of a node."""
        of = self.canonical(of)
        known = self._known_nodes.get(of)
        if known is not None:
            return known
        result = Options(EVERYTHING)
        for index, item in enumerate(of):
            if index and _are_constants(result):
                result = self._only(result, of)
                break
            part = self._literal_options(item)
            result = part if index == 0 else self.join(result, part)
        self._known_nodes[of] = result
        return result

    def canonical(self, of: Node) -> Node:
        """The same node with plain references replaced by what they name, so that equal nodes are equal."""
        known = self._canonical.get(of)
        if known is None:
            known = self._canonical[of] = node(*map(self._dereferenced, of))
        return known

    def _dereferenced(self, item: Literal) -> Literal:
        for _ in range(_MAX_HOPS):
            if isinstance(item.schema, bool) or "$ref" not in item.schema:
                break
            if not all(key == "$ref" or key in ANNOTATIONS for key in item.schema):
                break
            target, path = self.document.target(item.schema["$ref"])
            item = literal(target, path, is_negated=item.is_negated)
        if not isinstance(item.schema, bool) and all(key in ANNOTATIONS for key in item.schema):
            return literal(True, item.path, is_negated=item.is_negated)
        return item

    def _literal_options(self, item: Literal) -> Options:
        if isinstance(item.schema, bool):
            return Options(EVERYTHING if item.schema else ())
        key = (item.key, item.is_negated)
        known = self._known.get(key)
        if known is not None:
            return known
        if key in self._open:
            raise SchemaError(
                "the reference leads back to itself without any value in between",
                tool=self.document.tool, path=item.path, keyword="$ref",
            )  # fmt: skip
        self._open.add(key)
        try:
            if item.is_negated:
                broken = self._negative(item.schema, item.path)
                result = Options(tuple(map(_unlooked_at, broken)), is_exact=False)
            else:
                result = self._positive(item.schema, item.path)
        finally:
            self._open.discard(key)
        self._known[key] = result
        return result

    # -- joining

    def join(self, first: Options, second: Options) -> Options:
        """What both allow."""
        if first.branches == EVERYTHING:  # keeps the order in which the schema names alternatives
            return second
        branches: list[Facts] = []
        is_exact = first.is_exact and second.is_exact
        for left, right in itertools.product(first.branches, second.branches):
            joined = self._join_facts(left, right)
            if joined is None or joined in branches:
                continue
            if len(branches) == MAX_BRANCHES:
                is_exact = False
                break
            branches.append(joined)
        return Options(tuple(branches), is_exact)

    def _join_facts(self, left: Facts, right: Facts) -> Facts | None:
        self._num_joins += 1 + (len(left.scopes) // 2 if isinstance(left, ObjectFacts) else 0)
        if self._num_joins > MAX_JOINS:
            raise SchemaError(
                "its alternatives are too many to tell apart: use fewer or simpler anyOf and oneOf",
                tool=self.document.tool,
            )
        joined: Facts
        match left, right:
            case ConstantFacts(), _:
                values = tuple(value for value in left.values if self.admits(right, value))
                return ConstantFacts(values=values) if values else None
            case _, ConstantFacts():
                return self._join_facts(right, left)
            case NumberFacts(), NumberFacts():
                joined = join_numbers(left, right)
            case StringFacts(), StringFacts():
                joined = join_strings(left, right)
            case ArrayFacts(), ArrayFacts():
                joined = join_arrays(left, right)
            case ObjectFacts(), ObjectFacts():
                joined = join_objects(left, right)
            case _:
                return None
        return None if self._is_plainly_impossible(joined) else joined

    # -- recognising single values

    def admits(self, facts: Facts, value: Any) -> bool:
        """Whether one given value satisfies facts."""
        match facts, value:
            case ConstantFacts(), _:
                return any(is_same(value, other) for other in facts.values)
            case _, None | bool():
                return False
            case NumberFacts(), int() | float():
                return _admits_number(facts, value)
            case StringFacts(), str():
                return _admits_string(facts, value)
            case ArrayFacts(), list() | tuple():
                return self._admits_array(facts, value)
            case ObjectFacts(), Mapping():
                return self._admits_object(facts, value)
        return False

    def satisfies(self, of: Node, value: Any) -> bool:
        """Whether one given value satisfies a node, judged by `jsonschema`."""
        for item in of:
            if isinstance(item.schema, bool):
                if not item.schema:
                    return False
            elif bool(self._validator.evolve(schema=item.schema).is_valid(value)) == item.is_negated:
                return False
        return True

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.document.as_schema(), format_checker=_FORMATS)

    def _admits_array(self, facts: ArrayFacts, value: Sequence[Any]) -> bool:
        repeats = any(is_same(*pair) for pair in itertools.combinations(value, 2))
        if len(value) < facts.min_items or (facts.max_items is not None and len(value) > facts.max_items):
            return False
        if (facts.is_unique and repeats) or (facts.has_duplicates and not repeats):
            return False
        if not all(self.satisfies(facts.item(index), item) for index, item in enumerate(value)):
            return False
        for contains in facts.contains:
            count = sum(self.satisfies(contains.item, item) for item in value)
            if count < contains.minimum or (contains.maximum is not None and count > contains.maximum):
                return False
        return True

    def _admits_object(self, facts: ObjectFacts, value: Mapping[str, Any]) -> bool:
        if len(value) < facts.min_properties:
            return False
        if facts.max_properties is not None and len(value) > facts.max_properties:
            return False
        if not all(name in value for name in facts.required):
            return False
        if any(value.keys() <= known for known in facts.extras):
            return False
        return all(self.satisfies(self.property_node(facts, name), item) for name, item in value.items())

    def property_node(self, facts: ObjectFacts, name: str) -> Node:
        """Everything the facts demand of the value under one name."""
        result = ANYTHING
        for scope in facts.scopes:
            result = both(result, self._scope_node(scope, name))
        if facts.names and not self.satisfies(facts.names, name):
            return nothing("$")
        return result

    def written_property(self, facts: ObjectFacts, name: str) -> Node:
        """What is written under a name: an optional nullable one is left out rather than null."""
        of = self.property_node(facts, name)
        is_nullable = any(id(item.schema) in self.document.nullable for item in self.canonical(of))
        return both(of, _NOT_NULL) if is_nullable and name not in facts.required else of

    def _scope_node(self, scope: Scope, name: str) -> Node:
        key = (id(scope), name)
        known = self._scope_nodes.get(key)
        if known is None:
            matching = [
                child for pattern, child in scope.patterns if text.found_in(pattern, name, is_wide=True)
            ]
            is_sure = any(text.found_in(pattern, name) for pattern, _ in scope.patterns)
            if name in scope.properties:
                matching.append(scope.properties[name])
                is_sure = True
            known = ANYTHING
            for child in matching if is_sure else [*matching, scope.additional]:
                known = both(known, child)
            self._scope_nodes[key] = known
            self._scopes.append(scope)  # ids are only unique while their objects live
        return known

    # -- proving that nothing is left

    def is_empty(self, of: Node) -> bool:
        """Whether provably no value satisfies a node."""
        if not of:
            return False
        if is_nothing(of):
            return True
        known = self._empty.get(of)
        depth = len(self._proving)
        if known is not None and (known[0] or known[1] <= depth):
            return known[0]
        if of in self._proving or depth > _MAX_PROOF_DEPTH:
            return False  # not proven
        self._proving.add(of)
        try:
            options = self.options(of)
            result = options.is_exact and all(map(self.is_impossible, options.branches))
        except SchemaError:
            return False  # whoever needs its options will meet the error
        finally:
            self._proving.discard(of)
        self._empty[of] = (result, depth)
        return result

    def is_hopeless(self, of: Node) -> bool:
        """Whether nothing that satisfies a node is known, proven or not."""
        return is_nothing(of) or all(map(self.is_impossible, self.options(of).branches))

    def is_impossible(self, facts: Facts) -> bool:
        """Whether provably no value satisfies facts."""
        if self._is_plainly_impossible(facts):
            return True
        match facts:
            case StringFacts():
                return text.is_empty_language(facts)
            case ArrayFacts():
                return any(self.is_empty(facts.item(index)) for index in range(min(facts.min_items, 8)))
            case ObjectFacts():
                return any(self.is_empty(self.property_node(facts, name)) for name in facts.required)
        return False

    def _is_plainly_impossible(self, facts: Facts) -> bool:
        match facts:
            case ConstantFacts():
                return not facts.values
            case NumberFacts():
                return _has_no_number(facts)
            case StringFacts():
                return (
                    (facts.max_length is not None and facts.min_length > facts.max_length)
                    or not set(facts.patterns).isdisjoint(facts.not_patterns)
                    or not set(facts.formats).isdisjoint(facts.not_formats)
                )
            case ArrayFacts():
                most = facts.max_items
                return (
                    (most is not None and facts.min_items > most)
                    or any(
                        is_nothing(facts.item(index))
                        for index in range(min(facts.min_items, len(facts.prefix) + 1))
                    )
                    or any(
                        item.maximum is not None and item.minimum > item.maximum for item in facts.contains
                    )
                )
            case ObjectFacts():
                most = facts.max_properties
                return (
                    most is not None and (facts.min_properties > most or len(facts.required) > most)
                ) or any(is_nothing(self.property_node(facts, name)) for name in facts.required)
        return False

    # -- reading what a schema demands

    def _node(self, schema: Any, path: str, *steps: str | int) -> Node:
        return node(literal(schema, child_path(path, *steps)))

    def _not(self, schema: Any, path: str, *steps: str | int) -> Node:
        return node(literal(schema, child_path(path, *steps), is_negated=True))

    def _reference(self, schema: Mapping[str, Any], *, is_negated: bool = False) -> Node:
        target, path = self.document.target(schema["$ref"])
        return node(literal(target, path, is_negated=is_negated))

    def _positive(self, schema: Mapping[str, Any], path: str) -> Options:
        result = Options(self._own_facts(schema, path))
        for demand in self._demands(schema, path):
            if _are_constants(result):  # finitely many values: try them instead of reasoning about them
                return self._only(result, node(literal(schema, path)))
            result = demand(result)
        return self._unevaluated(result, schema, path)

    def _only(self, constants: Options, of: Node) -> Options:
        """Those of the constants that satisfy a node."""
        branches: list[Facts] = []
        for facts in constants.branches:
            assert isinstance(facts, ConstantFacts)
            kept = tuple(value for value in facts.values if self.satisfies(of, value))
            if kept:
                branches.append(ConstantFacts(values=kept))
        return Options(tuple(branches), constants.is_exact)

    def _demands(self, schema: Mapping[str, Any], path: str) -> Iterable[Callable[[Options], Options]]:
        """What the schema's combining keywords demand, each as a step that narrows the options so far."""

        def joined(with_these: Callable[[], Options]) -> Callable[[Options], Options]:
            return lambda so_far: self.join(so_far, with_these())

        if "$ref" in schema:
            yield joined(partial(self.options, self._reference(schema)))
        for index, part in enumerate(schema.get("allOf", ())):
            yield joined(partial(self.options, self._node(part, path, "allOf", index)))
        if "if" in schema:
            yield joined(partial(self._condition, schema, path))
        for name, needed in schema.get("dependentRequired", {}).items():
            demanded = ObjectFacts(required=(name, *needed))
            yield joined(partial(Options, (*_not_an_object(), demanded, _without(name, path))))
        for name, part in schema.get("dependentSchemas", {}).items():
            yield joined(
                partial(self._dependent, name, self._node(part, path, "dependentSchemas", name), path)
            )
        if "anyOf" in schema:
            parts = [self._node(part, path, "anyOf", index) for index, part in enumerate(schema["anyOf"])]
            yield joined(partial(self._any_of, parts))
        if "oneOf" in schema:
            yield lambda so_far: self._one_of(so_far, schema["oneOf"], path)
        if "not" in schema:
            excluded, negation = self._node(schema["not"], path, "not"), self._not(schema["not"], path, "not")
            yield lambda so_far: self._exclude(so_far, excluded, negation)

    def _any_of(self, parts: Sequence[Node]) -> Options:
        read = [self.options(part) for part in parts]
        branches = tuple(itertools.chain.from_iterable(part.branches for part in read))
        return Options(branches, all(part.is_exact for part in read))

    def _dependent(self, name: str, of: Node, path: str) -> Options:
        present = self.join(Options((ObjectFacts(required=(name,)),)), self.options(of))
        return Options((*present.branches, *_not_an_object(), _without(name, path)), present.is_exact)

    def _own_facts(self, schema: Mapping[str, Any], path: str) -> tuple[Facts, ...]:
        declared = schema.get("type")
        types = {declared} if isinstance(declared, str) else set(declared or ())
        facts = tuple(self._facts_of_types(types, schema, path))
        for keyword in ("const", "enum"):
            if keyword not in schema:
                continue
            values = schema["enum"] if keyword == "enum" else [schema["const"]]
            kept = tuple(value for value in values if any(self.admits(item, value) for item in facts))
            facts = (ConstantFacts(values=kept),) if kept else ()
        return tuple(item for item in facts if not self._is_plainly_impossible(item))

    def _facts_of_types(self, types: set[str], schema: Mapping[str, Any], path: str) -> Iterable[Facts]:
        if not types or "null" in types:
            yield ConstantFacts(values=(None,))
        if not types or "boolean" in types:
            yield ConstantFacts(values=(True, False))
        if not types or types & {"integer", "number"}:
            yield _number_facts(schema, is_integer=bool(types) and "number" not in types)
        if not types or "string" in types:
            yield self._string_facts(schema, path)
        if not types or "array" in types:
            yield self._array_facts(schema, path)
        if not types or "object" in types:
            yield self._object_facts(schema, path)

    def _string_facts(self, schema: Mapping[str, Any], path: str) -> StringFacts:
        patterns: tuple[str, ...] = ()
        if "pattern" in schema:
            patterns = text.read_pattern(schema["pattern"], tool=self.document.tool, path=path)
        known = schema.get("format")
        return StringFacts(
            min_length=schema.get("minLength", 0),
            max_length=schema.get("maxLength"),
            patterns=patterns,
            formats=text.read_format(known) if known else (),
        )

    def _array_facts(self, schema: Mapping[str, Any], path: str) -> ArrayFacts:
        prefix = schema.get("prefixItems", ())
        contains: tuple[Contains, ...] = ()
        if "contains" in schema:
            least, most = schema.get("minContains", 1), schema.get("maxContains")
            if least > 0 or most is not None:
                contains = (
                    Contains(
                        item=self._node(schema["contains"], path, "contains"),
                        negation=self._not(schema["contains"], path, "contains"),
                        minimum=least,
                        maximum=most,
                    ),
                )
        return ArrayFacts(
            prefix=tuple(self._node(item, path, "prefixItems", index) for index, item in enumerate(prefix)),
            rest=self._node(schema.get("items", True), path, "items"),
            min_items=schema.get("minItems", 0),
            max_items=schema.get("maxItems"),
            is_unique=schema.get("uniqueItems", False),
            contains=contains,
            evaluated=None if "items" in schema else len(prefix),
        )

    def _object_facts(self, schema: Mapping[str, Any], path: str) -> ObjectFacts:
        properties = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        scopes: tuple[Scope, ...] = ()
        if properties or patterns or "additionalProperties" in schema:
            scopes = (
                Scope(
                    properties={
                        name: self._node(part, path, "properties", name) for name, part in properties.items()
                    },
                    patterns=tuple(
                        (
                            self._key_pattern(pattern, path),
                            self._node(part, path, "patternProperties", pattern),
                        )
                        for pattern, part in patterns.items()
                    ),
                    additional=self._node(
                        schema.get("additionalProperties", True), path, "additionalProperties"
                    ),
                ),
            )
        return ObjectFacts(
            scopes=scopes,
            required=tuple(schema.get("required", ())),
            min_properties=schema.get("minProperties", 0),
            max_properties=schema.get("maxProperties"),
            names=self._node(schema.get("propertyNames", True), path, "propertyNames"),
            evaluated=frozenset(properties),
            evaluated_patterns=tuple(patterns),
            is_all_evaluated="additionalProperties" in schema,
        )

    def _key_pattern(self, pattern: str, path: str) -> str:
        text.read_pattern(pattern, tool=self.document.tool, path=path, keyword="patternProperties")
        return pattern

    def _condition(self, schema: Mapping[str, Any], path: str) -> Options:
        """`if` and `then`, or not `if` and `else`."""
        test = self._node(schema["if"], path, "if")
        yes = self.join(self.options(test), self.options(self._node(schema.get("then", True), path, "then")))
        otherwise = self._not(schema["if"], path, "if")
        no = self.join(
            self.options(otherwise), self.options(self._node(schema.get("else", True), path, "else"))
        )
        return Options((*yes.branches, *no.branches), is_exact=False)

    def _one_of(self, base: Options, parts: Sequence[Any], path: str) -> Options:
        branches: list[Facts] = []
        is_exact = base.is_exact
        nodes = [self._node(part, path, "oneOf", index) for index, part in enumerate(parts)]
        most = max(1, _MAX_PER_EXCLUSION // len(parts))
        for index, own in enumerate(nodes):
            current = self.join(base, self.options(own))
            for other_index, other in enumerate(parts):
                if other_index != index:
                    negation = self._not(other, path, "oneOf", other_index)
                    current = self._exclude(current, nodes[other_index], negation, most=most)
            is_exact = is_exact and current.is_exact
            branches += (item for item in current.branches if item not in branches)
        return Options(tuple(branches[:MAX_BRANCHES]), is_exact and len(branches) <= MAX_BRANCHES)

    def _exclude(
        self, current: Options, excluded: Node, negation: Node, *, most: int = _MAX_PER_EXCLUSION
    ) -> Options:
        """`current` without what `excluded` allows; at most `most` ways to set a branch apart are kept."""
        others = self.options(excluded)
        kept: list[Facts] = []
        is_exact = current.is_exact
        for branch in current.branches:
            if others.is_exact and all(self._are_apart(branch, other) for other in others.branches):
                kept.append(branch)
                continue
            is_exact = False
            narrowed = self.join(Options((branch,)), self.options(negation)).branches
            if branch in narrowed:
                kept.append(branch)
            else:
                possible = (item for item in narrowed if not self.is_impossible(item))
                kept += itertools.islice(possible, most)
        return Options(tuple(kept[:MAX_BRANCHES]), is_exact and len(kept) <= MAX_BRANCHES)

    def _are_apart(self, first: Facts, second: Facts) -> bool:
        joined = self._join_facts(first, second)
        return joined is None or self.is_impossible(joined)

    def _unevaluated(self, result: Options, schema: Mapping[str, Any], path: str) -> Options:
        """Close what the schema and the parts applied in place left unlooked at."""
        if "unevaluatedProperties" not in schema and "unevaluatedItems" not in schema:
            return result
        properties = self._node(schema.get("unevaluatedProperties", True), path, "unevaluatedProperties")
        items = self._node(schema.get("unevaluatedItems", True), path, "unevaluatedItems")
        branches: list[Facts] = []
        for facts in result.branches:
            if isinstance(facts, ObjectFacts) and not facts.is_all_evaluated:
                scope = Scope(
                    properties={name: ANYTHING for name in facts.evaluated},
                    patterns=tuple((pattern, ANYTHING) for pattern in facts.evaluated_patterns),
                    additional=properties,
                )
                is_closed = "unevaluatedProperties" in schema
                facts = replace(facts, scopes=(*facts.scopes, scope), is_all_evaluated=is_closed)
            elif isinstance(facts, ArrayFacts) and facts.evaluated is not None:
                start = facts.evaluated
                length = max(len(facts.prefix), start)
                prefix = tuple(
                    both(facts.item(index), items) if index >= start else facts.item(index)
                    for index in range(length)
                )
                is_closed = "unevaluatedItems" in schema
                facts = replace(
                    facts, prefix=prefix, rest=both(facts.rest, items), evaluated=None if is_closed else start
                )
            elif isinstance(facts, ConstantFacts):
                kept = tuple(
                    value for value in facts.values if self.satisfies(node(literal(schema, path)), value)
                )
                facts = replace(facts, values=kept)
            if not self._is_plainly_impossible(facts):
                branches.append(facts)
        return Options(tuple(branches), is_exact=False)

    # -- negation

    def _negative(self, schema: Mapping[str, Any], path: str) -> tuple[Facts, ...]:
        """Values that break a keyword of the schema; what is hard to break on purpose is left out."""
        branches: list[Facts] = []
        for facts in itertools.chain(
            self._break_values(schema),
            self._break_numbers(schema),
            self._break_strings(schema, path),
            self._break_objects(schema, path),
            self._break_arrays(schema, path),
            self._break_combinations(schema, path),
        ):
            if facts not in branches and not self._is_plainly_impossible(facts):
                branches.append(facts)
        return tuple(branches[:MAX_BRANCHES])

    def _break_values(self, schema: Mapping[str, Any]) -> Iterable[Facts]:
        if "type" in schema:
            declared = schema["type"]
            types = {declared} if isinstance(declared, str) else set(declared)
            if "null" not in types:
                yield ConstantFacts(values=(None,))
            if "boolean" not in types:
                yield ConstantFacts(values=(True, False))
            if "number" not in types:
                yield NumberFacts(has_fraction="integer" in types)
            for name, facts in (
                ("string", StringFacts()),
                ("array", ArrayFacts()),
                ("object", ObjectFacts()),
            ):
                if name not in types:
                    yield facts
        for keyword in ("const", "enum"):
            if keyword in schema:
                yield from _other_than(schema["enum"] if keyword == "enum" else [schema["const"]])

    def _break_numbers(self, schema: Mapping[str, Any]) -> Iterable[Facts]:
        if "minimum" in schema:
            yield NumberFacts(maximum=schema["minimum"], is_maximum_exclusive=True)
        if "maximum" in schema:
            yield NumberFacts(minimum=schema["maximum"], is_minimum_exclusive=True)
        if "exclusiveMinimum" in schema:
            yield NumberFacts(maximum=schema["exclusiveMinimum"])
        if "exclusiveMaximum" in schema:
            yield NumberFacts(minimum=schema["exclusiveMaximum"])
        if "multipleOf" in schema:
            yield NumberFacts(not_multiples=(schema["multipleOf"],))

    def _break_strings(self, schema: Mapping[str, Any], path: str) -> Iterable[Facts]:
        if schema.get("minLength", 0) > 0:
            yield StringFacts(max_length=schema["minLength"] - 1)
        if "maxLength" in schema:
            yield StringFacts(min_length=schema["maxLength"] + 1)
        own = self._string_facts(schema, path)
        for pattern in own.patterns:
            yield StringFacts(not_patterns=(pattern,))
        for name in own.formats:
            yield StringFacts(not_formats=(name,))

    def _break_arrays(self, schema: Mapping[str, Any], path: str) -> Iterable[Facts]:
        if schema.get("minItems", 0) > 0:
            yield ArrayFacts(max_items=schema["minItems"] - 1)
        if "maxItems" in schema:
            yield ArrayFacts(min_items=schema["maxItems"] + 1)
        if schema.get("uniqueItems"):
            yield ArrayFacts(has_duplicates=True)
        prefix = schema.get("prefixItems", ())
        for index, part in enumerate(prefix):
            yield _with_item(index, self._not(part, path, "prefixItems", index))
        if "items" in schema:
            yield _with_item(len(prefix), self._not(schema["items"], path, "items"))
        if "contains" in schema:
            least, most = schema.get("minContains", 1), schema.get("maxContains")
            item = self._node(schema["contains"], path, "contains")
            negation = self._not(schema["contains"], path, "contains")
            if least == 1:
                yield ArrayFacts(rest=negation)
            elif least > 1:
                yield ArrayFacts(
                    contains=(Contains(item=item, negation=negation, minimum=0, maximum=least - 1),)
                )
            if most is not None:
                yield ArrayFacts(contains=(Contains(item=item, negation=negation, minimum=most + 1),))

    def _break_objects(self, schema: Mapping[str, Any], path: str) -> Iterable[Facts]:
        for name in schema.get("required", ()):
            yield _without(name, path)
        for name, part in schema.get("properties", {}).items():
            yield _with(name, self._not(part, path, "properties", name))
        if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
            yield ObjectFacts(extras=(frozenset(schema.get("properties", {})),))
        if schema.get("minProperties", 0) > 0:
            yield ObjectFacts(max_properties=schema["minProperties"] - 1)
        if "maxProperties" in schema:
            yield ObjectFacts(min_properties=schema["maxProperties"] + 1)
        for name, needed in schema.get("dependentRequired", {}).items():
            for other in needed:
                yield join_objects(ObjectFacts(required=(name,)), _without(other, path))
        for name, part in schema.get("dependentSchemas", {}).items():
            present = Options((ObjectFacts(required=(name,)),))
            broken = self.options(self._not(part, path, "dependentSchemas", name))
            yield from self.join(present, broken).branches

    def _break_combinations(self, schema: Mapping[str, Any], path: str) -> Iterable[Facts]:
        if "$ref" in schema:
            yield from self.options(self._reference(schema, is_negated=True)).branches
        for index, part in enumerate(schema.get("allOf", ())):
            yield from self.options(self._not(part, path, "allOf", index)).branches
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                # Breaking every part breaks both; so do, for oneOf, two parts at once.
                none = Options(EVERYTHING)
                for index, part in enumerate(schema[keyword]):
                    none = self.join(none, self.options(self._not(part, path, keyword, index)))
                yield from none.branches
        if len(schema.get("oneOf", ())) <= _MAX_PAIRED:
            parts = [
                self._node(part, path, "oneOf", index) for index, part in enumerate(schema.get("oneOf", ()))
            ]
            for first, second in itertools.combinations(parts, 2):
                yield from self.options(both(first, second)).branches
        if "not" in schema:
            yield from self.options(self._node(schema["not"], path, "not")).branches
        if "if" in schema:
            test, failed = self._node(schema["if"], path, "if"), self._not(schema["if"], path, "if")
            for when, then in ((test, "then"), (failed, "else")):
                if then in schema:
                    broken = self.options(self._not(schema[then], path, then))
                    yield from self.join(self.options(when), broken).branches


_FORMATS = Draft202012Validator.FORMAT_CHECKER


def _are_constants(options: Options) -> bool:
    return bool(options.branches) and all(isinstance(facts, ConstantFacts) for facts in options.branches)


def _unlooked_at(facts: Facts) -> Facts:
    """What stands under `not` does not count as evaluated."""
    match facts:
        case ArrayFacts():
            return replace(facts, evaluated=0)
        case ObjectFacts():
            return replace(facts, evaluated=frozenset(), evaluated_patterns=(), is_all_evaluated=False)
    return facts


_NOT_NULL = node(literal({"type": "null"}, "$", is_negated=True))


def _not_an_object() -> tuple[Facts, ...]:
    return EVERYTHING[:-1]


def _without(name: str, path: str) -> ObjectFacts:
    """An object in which `name` is absent."""
    return ObjectFacts(scopes=(Scope(properties={name: nothing(child_path(path, "properties", name))}),))


def _with(name: str, of: Node) -> ObjectFacts:
    return ObjectFacts(scopes=(Scope(properties={name: of}),), required=(name,))


def _with_item(index: int, of: Node) -> ArrayFacts:
    return ArrayFacts(prefix=(*(ANYTHING for _ in range(index)), of), min_items=index + 1)


def _other_than(values: Sequence[Any]) -> Iterable[Facts]:
    """Everything but some values. Of arrays and objects, those that are longer."""
    if None not in values:
        yield ConstantFacts(values=(None,))
    rest = tuple(item for item in (True, False) if not any(is_same(item, value) for value in values))
    if rest:
        yield ConstantFacts(values=rest)
    numbers = sorted({value for value in values if "number" in type_names(value)})
    edges = [None, *numbers, None]
    for low, high in itertools.pairwise(edges):
        yield NumberFacts(minimum=low, maximum=high, is_minimum_exclusive=True, is_maximum_exclusive=True)
    yield StringFacts(excluded=frozenset(value for value in values if isinstance(value, str)))
    arrays = [len(value) for value in values if isinstance(value, list | tuple)]
    yield ArrayFacts(min_items=max(arrays) + 1) if arrays else ArrayFacts()
    objects = [len(value) for value in values if isinstance(value, Mapping)]
    yield ObjectFacts(min_properties=max(objects) + 1) if objects else ObjectFacts()


def _number_facts(schema: Mapping[str, Any], *, is_integer: bool) -> NumberFacts:
    facts = NumberFacts(
        is_integer=is_integer,
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        multiples=(schema["multipleOf"],) if "multipleOf" in schema else (),
    )
    strict = NumberFacts(
        minimum=schema.get("exclusiveMinimum"),
        maximum=schema.get("exclusiveMaximum"),
        is_minimum_exclusive=True,
        is_maximum_exclusive=True,
    )
    return join_numbers(facts, strict)


def _has_no_number(facts: NumberFacts) -> bool:
    if facts.is_integer and facts.has_fraction:
        return True
    if not set(facts.multiples).isdisjoint(facts.not_multiples):
        return True
    step = common_multiple(facts.multiples)
    if facts.is_integer:
        low, high = integer_bounds(facts)
        if low is None or high is None:
            return False
        if low > high:
            return True
        if isinstance(step, int):
            return -(-low // step) * step > high
        return False
    if facts.minimum is None or facts.maximum is None:
        return False
    is_strict = facts.is_minimum_exclusive or facts.is_maximum_exclusive
    if facts.minimum > facts.maximum or (facts.minimum == facts.maximum and is_strict):
        return True
    if step is None:
        return False
    exact = as_fraction(step)
    first = -(-as_fraction(facts.minimum) // exact) * exact
    if facts.is_minimum_exclusive and first == as_fraction(facts.minimum):
        first += exact
    last = as_fraction(facts.maximum)
    return first > last or (facts.is_maximum_exclusive and first == last)


def _admits_number(facts: NumberFacts, value: int | float) -> bool:
    if facts.is_integer and value != int(value):
        return False
    if facts.has_fraction and value == int(value):
        return False
    if facts.minimum is not None and (
        value < facts.minimum or (facts.is_minimum_exclusive and value == facts.minimum)
    ):
        return False
    if facts.maximum is not None and (
        value > facts.maximum or (facts.is_maximum_exclusive and value == facts.maximum)
    ):
        return False
    exact = as_fraction(value)
    return all(exact % as_fraction(step) == 0 for step in facts.multiples) and all(
        exact % as_fraction(step) != 0 for step in facts.not_multiples
    )


def _admits_string(facts: StringFacts, value: str) -> bool:
    if len(value) < facts.min_length or (facts.max_length is not None and len(value) > facts.max_length):
        return False
    if value in facts.excluded or any(not text.found_in(pattern, value) for pattern in facts.patterns):
        return False
    if any(text.found_in(pattern, value, is_wide=True) for pattern in facts.not_patterns):
        return False
    return all(_FORMATS.conforms(value, name) for name in facts.formats) and not any(
        _FORMATS.conforms(value, name) for name in facts.not_formats
    )
