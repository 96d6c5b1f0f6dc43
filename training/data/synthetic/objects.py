"""Values with parts: objects, and lists of objects, one to three deep."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import catalogue
from .draw import Draw
from .grammar import parse_parameter, split_outside
from .kinds import Kind, Piece, Said, rebase
from .naming import humanise


class _Field(NamedTuple):
    name: str
    kind: Kind
    is_required: bool


def draw_kind(draw: Draw, name: str, argument: str = "") -> Kind:
    """Draw any kind by its name; `obj(...)` and `objects(...)` hold fields written like parameters."""
    if name == "obj":
        fields = _fields(draw, argument)
        return Kind(_schema(fields), lambda d: _sample_object(d, fields), needs_today=_needs_today(fields))
    if name == "objects":
        return _objects(draw, argument)
    return catalogue.draw_kind(draw, name, argument)


def _needs_today(fields: list[_Field]) -> bool:
    return any(field.kind.needs_today for field in fields)


def _fields(draw: Draw, argument: str) -> list[_Field]:
    return [
        _Field(draw.pick(rule.names), draw_kind(draw, rule.kind, rule.argument), rule.is_required)
        for rule in map(parse_parameter, split_outside(argument, ","))
    ]


def _schema(fields: list[_Field]) -> dict[str, Any]:
    properties = {}
    for field in fields:
        properties[field.name] = (
            {**field.kind.schema, "description": field.kind.hint} if field.kind.hint else field.kind.schema
        )
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.is_required],
    }


def _say_fields(draw: Draw, said: list[tuple[str, list[Piece]]]) -> list[Piece]:
    """Each field by its name: "street 5 Oak Avenue, city Rome"."""
    link = draw.pick((" ", ": ", " is ", " = "))
    pieces: list[Piece] = []
    for number, (label, value) in enumerate(said):
        if number:
            pieces.append(" and " if number == len(said) - 1 and draw.chance(0.6) else ", ")
        pieces += [f"{label}{link}", *value]
    return pieces


def _sample_fields(draw: Draw, fields: list[_Field]) -> tuple[dict[str, Any], list[tuple[str, list[Piece]]]]:
    value: dict[str, Any] = {}
    said = []
    for field in fields:
        if not field.is_required and draw.chance(0.5) and not (field is fields[-1] and not value):
            continue
        inner, pieces = field.kind.sample(draw)
        if field.kind.schema["type"] == "object":
            pieces = ["(", *pieces, ")"]
        if field.kind.is_self_explaining:
            pieces = ["true" if inner else "false"]
        value[field.name] = inner
        said.append((humanise(field.name), rebase(pieces, field.name)))
    return value, said


def _sample_object(draw: Draw, fields: list[_Field]) -> Said:
    value, said = _sample_fields(draw, fields)
    pieces = _say_fields(draw, said)
    return value, ["(", *pieces, ")"] if draw.chance(0.3) else pieces


def _objects(draw: Draw, argument: str) -> Kind:
    fields = _fields(draw, argument)
    is_counted = (
        len(fields) == 2
        and fields[0].kind.schema["type"] == "string"
        and fields[1].kind.schema["type"] == "integer"
    )

    def one(d: Draw) -> Said:
        value, said = _sample_fields(d, fields)
        if (
            is_counted
            and len(said) == 2
            and fields[1].name in ("quantity", "qty", "count", "amount")
            and d.chance(0.75)
        ):
            if value[fields[1].name] == 1 and d.chance(0.5):
                return value, ["one ", *said[0][1]]
            return value, [*said[1][1], d.pick((" ", " ", " x ", " of the ")), *said[0][1]]
        if fields[0].name in value and d.chance(0.6):
            first = said[0][1]
            return value, [*first, " (", *_say_fields(d, said[1:]), ")"] if len(said) > 1 else list(first)
        return value, _say_fields(d, said)

    def sample(d: Draw) -> Said:
        values: list[Any] = []
        pieces: list[Piece] = []
        count = d.between(1, 3)
        between = d.pick((", ", "; ", ", then "))
        for number in range(count):
            value, said = one(d)
            values.append(value)
            if number:
                pieces.append(d.pick((" and ", "; and ")) if number == count - 1 else between)
            pieces += rebase(said, str(number))
        return values, pieces

    return Kind({"type": "array", "items": _schema(fields)}, sample, needs_today=_needs_today(fields))
