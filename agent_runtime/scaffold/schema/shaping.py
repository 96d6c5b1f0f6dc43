"""From facts to shapes: the last step of compiling a schema.

Prefers shapes, which are filled slot by slot. Recursion, free-form values and unions whose options begin
alike become a `GrammarShape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import SchemaError
from ..language import refusal_of
from ..shape import (
    ArrayShape,
    ConstantsShape,
    GrammarShape,
    IntegerShape,
    NumberShape,
    ObjectShape,
    Property,
    Shape,
    StringShape,
    UnionShape,
)
from .facts import (
    ANYTHING,
    ArrayFacts,
    ConstantFacts,
    Facts,
    Node,
    NumberFacts,
    ObjectFacts,
    StringFacts,
    common_multiple,
    integer_bounds,
    integer_step,
    is_same,
    literal,
    node,
    type_names,
)
from .grammar import GrammarWriter
from .options import OptionReader
from .settle import (
    Unwritable,
    is_open,
    settled_array,
    settled_number,
    settled_objects,
    settled_string,
    wants_more_keys,
)

MAX_LEAVES = 4000
"""Values a call may have room for; what has more is written by grammar."""


MAX_CALL_SHAPES = 16
"""Kinds of object the arguments of one tool may be; further alternatives at the root are left out."""


class _LeadsBack(Exception):
    """While compiling a node, the same node came up again."""

    def __init__(self, to: Node) -> None:
        self.to = to
        super().__init__()


class _NothingLeft(SchemaError):
    """No alternative of a node can be written; an alternative of what is around it may still be."""


class _NeedsGrammar(Exception):
    """The options are fine, but no shape says them."""


class Shaper:
    """Compiles the nodes of one document."""

    def __init__(self, reader: OptionReader, *, tool: str) -> None:
        """Shapes of the nodes `reader` reads, for errors of this tool."""
        self._reader = reader
        self._writer = GrammarWriter(reader)
        self._tool = tool
        self._known: dict[Node, Shape] = {}
        self._grammars: dict[Node, GrammarShape] = {}
        self._sizes: dict[int, int] = {}
        self._kept: list[Shape] = []  # ids are only unique while their objects live
        self._stack: list[Node] = []
        self.notes: list[str] = []

    def shape(self, of: Node, path: str) -> Shape:
        """The shape of a node.

        Raises:
            SchemaError: nothing satisfies it, or nothing that does can be written on purpose.
        """
        of = self._reader.canonical(of)
        try:
            return self._shape(of, path)
        except _LeadsBack:
            return self._grammar(of, path)

    def call_shapes(self, of: Node, path: str) -> tuple[ObjectShape, ...]:
        """The shapes a call's arguments may have, each an object of declared properties, in schema order."""
        of = self._reader.canonical(of)
        objects = [facts for facts in self._reader.options(of).branches if isinstance(facts, ObjectFacts)]
        if not objects:
            raise self._nothing_left(of, path, None, keyword="type")
        obstacle: Unwritable | None = None
        refusal: _NothingLeft | None = None
        found: list[ObjectShape] = []
        self._stack.append(of)
        try:
            for facts in objects:
                try:
                    for settled in settled_objects(facts, self._reader):
                        shape = self._object(settled, of, path, is_call=True)
                        if shape is not None and shape not in found:
                            found.append(shape)
                except Unwritable as error:
                    obstacle = error
                except _NothingLeft as error:
                    refusal = error
        finally:
            self._stack.pop()
        if not found:
            raise refusal or self._nothing_left(of, path, obstacle)
        if len(found) > MAX_CALL_SHAPES:
            self.notes.append(
                f"{path}: of {len(found)} ways to satisfy the schema {MAX_CALL_SHAPES} are written"
            )
        return tuple(found[:MAX_CALL_SHAPES])

    def _shape(self, of: Node, path: str) -> Shape:
        of = self._reader.canonical(of)
        known = self._known.get(of)
        if known is not None:
            return known
        if of in self._stack:
            raise _LeadsBack(of)
        if of == ANYTHING:
            return self._grammar(of, path)
        self._stack.append(of)
        try:
            shape = self._from_options(of, path)
        except _NeedsGrammar:
            shape = self._grammar(of, path)
        finally:
            self._stack.pop()
        if self._size(shape) > MAX_LEAVES:
            shape = self._grammar(of, path)
        self._known[of] = shape
        return shape

    def _from_options(self, of: Node, path: str) -> Shape:
        shapes: list[Shape] = []
        obstacle: Unwritable | None = None
        refusal: _NothingLeft | None = None
        for facts in self._reader.options(of).branches:
            try:
                shapes += (shape for shape in self._facts(facts, of, path) if shape not in shapes)
            except Unwritable as error:
                obstacle = error
            except _NothingLeft as error:
                refusal = error
        if not shapes:
            raise refusal or self._nothing_left(of, path, obstacle)
        return _united(shapes)

    def _facts(self, facts: Facts, of: Node, path: str) -> Iterable[Shape]:
        match facts:
            case ConstantFacts():
                yield ConstantsShape(values=facts.values)
            case NumberFacts():
                yield _decodable(_number(settled_number(facts)))
            case StringFacts():
                if self._reader.is_impossible(facts):
                    return
                yield _decodable(_string(settled_string(facts)))
            case ArrayFacts():
                array = self._array(settled_array(facts, self._reader), of, path)
                if array is not None:
                    yield array
            case ObjectFacts():
                for closed in settled_objects(facts, self._reader):
                    shape = self._object(closed, of, path)
                    if shape is not None:
                        yield shape

    def _array(self, facts: ArrayFacts, of: Node, path: str) -> Shape | None:
        most = facts.max_items
        prefix: list[Shape] = []
        for index, item in enumerate(facts.prefix):
            if self._reader.is_hopeless(item) or (most is not None and index >= most):
                break
            prefix.append(self._child(item, of, f"{path}.prefixItems[{index}]"))
        is_cut = len(prefix) < len(facts.prefix)
        is_closed = is_cut or most == len(prefix) or self._reader.is_hopeless(facts.rest)
        items: Shape | None = None
        if not is_closed:
            try:
                items = self._child(facts.rest, of, f"{path}.items")
            except _NothingLeft:
                if facts.min_items > len(prefix):
                    raise
        if items is None and facts.min_items > len(prefix):
            return None
        if items is None:
            most = len(prefix) if most is None else min(most, len(prefix))
        return ArrayShape(
            prefix=tuple(prefix),
            items=items,
            min_items=facts.min_items,
            max_items=most,
            is_unique=facts.is_unique,
        )

    def _object(
        self, facts: ObjectFacts, of: Node, path: str, *, is_call: bool = False
    ) -> ObjectShape | None:
        properties: list[Property] = []
        for name in facts.declared():
            child = self._reader.written_property(facts, name)
            is_required = name in facts.required
            if self._reader.is_hopeless(child):
                if is_required:
                    return None
                self._refuse_mistake(child, path)
                continue
            shape = self._child(child, of, f"{path}.properties.{name}")
            properties.append(
                Property(
                    name=name, shape=shape, is_required=is_required, description=self._description(child)
                )
            )
        is_short = len(properties) < facts.min_properties
        if not is_call and facts.max_properties != 0 and wants_more_keys(facts):
            raise _NeedsGrammar
        if is_short:
            if is_open(facts) and not is_call:
                raise _NeedsGrammar
            raise Unwritable(
                f"{facts.min_properties} properties are asked for, {len(properties)} declared",
                "minProperties",
            )
        most = facts.max_properties
        if most is not None and most >= len(properties):
            most = None
        least = facts.min_properties if facts.min_properties > len(facts.required) else 0
        return ObjectShape(properties=tuple(properties), min_properties=least, max_properties=most)

    def _refuse_mistake(self, of: Node, path: str) -> None:
        """Refuse an optional property whose own schema contradicts itself; `false` and `not` mean it."""
        for item in of:
            if isinstance(item.schema, bool) or item.is_negated or "not" in item.schema:
                continue
            if self._reader.is_empty((item,)):
                mistake = self._nothing_left((item,), path, None)
                raise SchemaError(mistake.reason, tool=self._tool, path=mistake.path, keyword=mistake.keyword)

    def _child(self, of: Node, parent: Node, path: str) -> Shape:
        """A child's shape; a child that leads back to its parent is where the grammar begins."""
        of = self._reader.canonical(of)
        known = self._grammars.get(of)
        if known is not None:
            return known
        try:
            return self._shape(of, path)
        except _LeadsBack as back:
            if back.to != parent:
                raise
            return self._grammar(of, path)

    def _grammar(self, of: Node, path: str) -> Shape:
        known = self._grammars.get(of)
        if known is None:
            try:
                known = self._grammars[of] = GrammarShape(schema=self._writer.write(of))
            except Unwritable as error:
                raise self._nothing_left(of, path, error) from None
        return known

    def _description(self, of: Node) -> str:
        for item in of:
            schema, hops = item.schema, 0
            while isinstance(schema, dict) and hops < 8:
                if isinstance(schema.get("description"), str):
                    return str(schema["description"])
                if "$ref" not in schema:
                    break
                schema, hops = self._reader.document.target(schema["$ref"])[0], hops + 1
        return ""

    def _size(self, shape: Shape) -> int:
        """Leaves of a shape written out as a tree; shared parts count every time."""
        known = self._sizes.get(id(shape))
        if known is None:
            match shape:
                case ObjectShape():
                    known = 1 + sum(self._size(item.shape) for item in shape.properties)
                case ArrayShape():
                    known = 1 + sum(map(self._size, shape.prefix))
                    known += self._size(shape.items) if shape.items is not None else 0
                case UnionShape():
                    known = sum(map(self._size, shape.options))
                case _:
                    known = 1
            self._sizes[id(shape)] = known
            self._kept.append(shape)
        return known

    def _nothing_left(
        self, of: Node, path: str, obstacle: Unwritable | None, *, keyword: str = ""
    ) -> SchemaError:
        """Why a node has no shape, at the keyword most likely to blame."""
        while (deeper := self._empty_part(of)) is not None:
            of, keyword = deeper, ""
        where = of[0].path if of else path
        present = {key for item in of if isinstance(item.schema, dict) for key in item.schema}
        if obstacle is not None:
            return _NothingLeft(
                f"cannot be honoured: {obstacle.reason}",
                tool=self._tool,
                path=where,
                keyword=obstacle.keyword,
            )
        blamed = keyword or next((key for key in _SUSPECTS if key in present), "")
        reason = (
            "no value satisfies this schema" if keyword != "type" else "the arguments of a tool are an object"
        )
        return _NothingLeft(reason, tool=self._tool, path=where, keyword=blamed)

    def _empty_part(self, of: Node) -> Node | None:
        """The required property that nothing satisfies, if that is what makes an object impossible."""
        for item in of:
            if isinstance(item.schema, bool) or item.is_negated:
                continue
            properties = item.schema.get("properties", {})
            for name in item.schema.get("required", ()):
                child = node(literal(properties.get(name, True), f"{item.path}.properties.{name}"))
                if child and self._reader.is_empty(child):
                    return child
        return None


_SUSPECTS = (
    "not", "oneOf", "if", "anyOf", "allOf", "enum", "const", "required", "additionalProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "minLength",
    "maxLength", "minItems", "maxItems", "contains", "minProperties", "maxProperties", "propertyNames",
    "$ref", "type",
)  # fmt: skip


def _decodable(shape: Shape) -> Shape:
    """The shape, if an automaton of reasonable size says it exactly."""
    if refusal_of(shape) is not None:
        raise _NeedsGrammar
    return shape


def _number(facts: NumberFacts) -> Shape:
    step = common_multiple(facts.multiples)
    if facts.is_integer or (
        step is not None and float(step).is_integer()
    ):  # multiples of integers are integers
        low, high = integer_bounds(facts)
        return IntegerShape(minimum=low, maximum=high, multiple_of=integer_step(facts.multiples))
    return NumberShape(
        minimum=facts.minimum,
        maximum=facts.maximum,
        is_minimum_exclusive=facts.is_minimum_exclusive and facts.minimum is not None,
        is_maximum_exclusive=facts.is_maximum_exclusive and facts.maximum is not None,
        multiple_of=step,
    )


def _string(facts: StringFacts) -> StringShape:
    return StringShape(
        min_length=facts.min_length,
        max_length=facts.max_length,
        patterns=facts.patterns,
        format=facts.formats[0] if facts.formats else None,
    )


def _united(shapes: Sequence[Shape]) -> Shape:
    """One shape for several, if what is written first tells them apart."""
    flat = [
        inner for shape in shapes for inner in (shape.options if isinstance(shape, UnionShape) else (shape,))
    ]
    if len(flat) == 1:
        return flat[0]
    if any(isinstance(shape, GrammarShape) for shape in flat):
        raise _NeedsGrammar
    free_strings = any(shape == StringShape() for shape in flat)
    options: list[Shape] = []
    constants: list[object] = []
    for shape in flat:
        if isinstance(shape, ConstantsShape):
            constants += (
                value
                for value in shape.values
                if not any(is_same(value, other) for other in constants)
                and not (free_strings and isinstance(value, str))
            )
        elif shape not in options:
            options.append(shape)
    beginnings = [_beginning(shape) for shape in options]
    taken = {type_names(value)[0] for value in constants}
    taken = {"number" if name == "integer" else name for name in taken}
    if len(set(beginnings)) < len(beginnings) and not _are_told_apart(options):
        raise _NeedsGrammar
    if taken & set(beginnings):
        raise _NeedsGrammar
    if constants:
        options.insert(0, ConstantsShape(values=tuple(constants)))
    return options[0] if len(options) == 1 else UnionShape(options=tuple(options))


def _beginning(shape: Shape) -> str:
    match shape:
        case IntegerShape() | NumberShape():
            return "number"
        case StringShape():
            return "string"
        case ArrayShape():
            return "array"
    return "object"


def _are_told_apart(options: Sequence[Shape]) -> bool:
    """Whether the options that begin alike are objects whose first property is required and differs."""
    objects = [shape for shape in options if isinstance(shape, ObjectShape)]
    others = [_beginning(shape) for shape in options if not isinstance(shape, ObjectShape)]
    if len(set(others)) < len(others) or any(not shape.properties for shape in objects):
        return False
    names = {shape.properties[0].name for shape in objects}
    seen: list[object] = []
    for shape in objects:
        first = shape.properties[0]
        if not first.is_required or not isinstance(first.shape, ConstantsShape):
            return False
        if len(names) > 1 and len(names) < len(objects):
            return False
        if len(names) == 1:
            if any(is_same(value, other) for value in first.shape.values for other in seen):
                return False
            seen += first.shape.values
    return True
