"""Lists of other kinds, data series, points, matrices and free dictionaries."""

from __future__ import annotations

import json
from typing import Any

from . import words as w
from .draw import Draw
from .kinds import Copy, Kind, Piece, Said, rebase
from .number_kinds import read_range
from .numbers import draw_decimal


def _is_short(value: Any) -> bool:
    """Whether digits may stand right behind its comma: "3,4", but "3,400" is one number."""
    return isinstance(value, int) and abs(value) < 100


def _join_items(pieces: list[list[Piece]], last: str, between: str = ", ") -> list[Piece]:
    joined: list[Piece] = []
    for number, item in enumerate(pieces):
        if number:
            joined.append(last if number == len(pieces) - 1 else between)
        joined.extend(item)
    return joined


_QUOTE_SIGNS = frozenset("'\"“`")


def _has_quotes(pieces: list[Piece]) -> bool:
    return any(_QUOTE_SIGNS & set(piece if isinstance(piece, str) else piece.text) for piece in pieces)


def list_kind(item: Kind, low: int, high: int, *, is_bracketed: bool = False) -> Kind:
    """A list of another kind."""

    def sample(draw: Draw) -> Said:
        values: list[Any] = []
        said: list[list[Piece]] = []
        for _ in range(draw.between(low, high)):
            value, pieces = item.sample(draw)
            if value in values and item.schema["type"] == "string":
                value, pieces = item.sample(draw)
                if value in values:
                    continue
            said.append(rebase(pieces, str(len(values))))
            values.append(value)
        if item.schema["type"] == "array":
            said = [inner if inner[0] in ("[", "(") else ["[", *inner, "]"] for inner in said]
            return values, ["[", *_join_items(said, ", "), "]"]
        is_text = item.schema["type"] == "string"
        if (
            is_text
            and (len(values) > 1 or low > 1)
            and draw.chance(0.3)
            and not any(_has_quotes(pieces) for pieces in said)
        ):
            sign = draw.pick(("'", "'", '"'))
            said = [[sign, *pieces, sign] for pieces in said]
            if draw.chance(0.3):
                return values, ["[", *_join_items(said, ", "), "]"]
        is_number = item.schema["type"] in ("integer", "number")
        between = (
            "," if is_number and draw.chance(0.12) and all(_is_short(value) for value in values) else ", "
        )
        if is_bracketed or is_number and draw.chance(0.45):
            return values, ["[", *_join_items(said, between, between), "]"]
        if between == ",":  # "3,4,5,2"
            return values, _join_items(said, draw.pick((",", " and ")), between)
        last = draw.pick((" and ", " and ", ", ", ", and ") if len(values) > 2 else (" and ",))
        if is_text and draw.chance(0.12):
            last = draw.pick((" or ", " as well as ", " and also "))
        return values, _join_items(said, last)

    return Kind({"type": "array", "items": item.schema}, sample, item.hint, item.phrases, item.needs_today)


def matrix_kind(draw: Draw, argument: str) -> Kind:
    """A small matrix of integers, row by row."""
    size = draw.between(2, 3)
    row = list_kind(
        Kind({"type": "integer"}, lambda d: _copied_integer(d, -9, 12)), size, size, is_bracketed=True
    )
    return list_kind(row, size, size)


def _copied_integer(draw: Draw, low: int, high: int) -> Said:
    number = draw.between(low, high)
    return number, [Copy("", str(number))]


def point_kind(draw: Draw, argument: str) -> Kind:
    """Coordinates in the plane or in space, as a list."""
    dimensions = 2 if draw.chance(0.75) else 3

    def sample(d: Draw) -> Said:
        numbers = [d.between(-20, 30) for _ in range(dimensions)]
        pieces = _join_items([[Copy(str(at), str(number))] for at, number in enumerate(numbers)], ", ")
        opening, closing = d.pick((("(", ")"), ("(", ")"), ("[", "]")))
        return numbers, [opening, *pieces, closing]

    return Kind(
        {"type": "array", "items": {"type": draw.pick(("number", "integer"))}},
        sample,
        draw.pick(("", "as [x, y]" if dimensions == 2 else "")),
    )


def range_kind(draw: Draw, argument: str) -> Kind:
    """`range(low/high)`: start and end as a list of two numbers."""
    low, high, _ = read_range(argument, 1, 100)
    hint = draw.pick(("as [start, end]", "start and end", "lower and upper bound", "as [from, to]", ""))
    schema: dict[str, Any] = {"type": "array", "items": {"type": draw.pick(("integer", "number"))}}
    if draw.chance(0.3):
        schema |= {"minItems": 2, "maxItems": 2}

    def sample(d: Draw) -> Said:
        start = d.between(int(low), int(high) - 1)
        end = d.between(start + 1, int(high))
        before, between, after = d.pick(
            (("", " to ", ""), ("", " to ", ""), ("[", ", ", "]"), ("(", ", ", ")"))
        )
        return [start, end], [before, Copy("0", str(start)), between, Copy("1", str(end)), after]

    return Kind(schema, sample, hint)


def place_kind(draw: Draw, argument: str) -> Kind:
    """A point as an object with x and y."""
    kind = draw.pick(("integer", "number"))
    axes = ("x", "y") if draw.chance(0.8) else ("x", "y", "z")
    schema = {
        "type": "object",
        "properties": {axis: {"type": kind} for axis in axes},
        "required": list(axes),
    }

    def sample(d: Draw) -> Said:
        value = {axis: d.between(-20, 40) for axis in axes}
        if d.chance(0.7):
            copies: list[list[Piece]] = [[Copy(axis, str(value[axis]))] for axis in axes]
            return value, ["(", *_join_items(copies, ", "), ")"]
        link = d.pick(("=", " = ", ": "))
        named: list[list[Piece]] = [[f"{axis}{link}", Copy(axis, str(value[axis]))] for axis in axes]
        return value, ["(", *_join_items(named, ", "), ")"]

    return Kind(schema, sample)


def series_kind(draw: Draw, argument: str) -> Kind:
    """A data series: three to eight numbers."""
    low, high, _ = read_range(argument, 1, 100)
    is_decimal = draw.chance(0.3)
    scale = draw.pick((10, 100, 500, 1000, 5000)) if low > -50 and high <= 300 and draw.chance(0.2) else 1
    kind = draw.pick(("number", "integer")) if not is_decimal else "number"

    def one(d: Draw) -> Said:
        if is_decimal:
            text = draw_decimal(d, max(low, 0.1), high)
            value = json.loads(text)
            return value, [Copy("", text) if json.dumps(value) == text else text]
        number = d.between(int(low), int(high)) * scale
        if scale > 1 and d.chance(0.15):
            number = -number
        return number, [Copy("", str(number))]

    return list_kind(Kind({"type": kind}, one), draw.pick((1, 2, 3, 3)), draw.pick((4, 5, 5, 8, 10, 14)))


def dict_kind(draw: Draw, argument: str) -> Kind:
    """A dictionary whose keys the request names: "with age 30 and city Oslo"."""
    style = draw.random()
    inner: dict[str, Any] = {"type": "integer" if style < 0.3 else "string"}
    schema: dict[str, Any] = {"type": "object"}
    if style < 0.6:
        schema["additionalProperties"] = inner

    def sample(d: Draw) -> Said:
        value: dict[str, Any] = {}
        link = d.pick((" ", " = ", ": ", " is "))
        said: list[list[Piece]] = []
        for key in d.sample(w.COLUMNS if d.chance(0.5) else w.NOUNS, d.between(1, 3)):
            if style < 0.3 or style >= 0.6 and d.chance(0.4):
                number = d.between(1, 900)
                value[key] = number
                said.append([f"{key}{link}", Copy(key, str(number))])
            else:
                text = d.pick(
                    (d.pick(w.CITIES), d.pick(w.ADJECTIVES), d.pick(w.FIRST_NAMES), d.pick(w.COLORS))
                )
                value[key] = text
                said.append([f"{key}{link}", Copy(key, text)])
        return value, _join_items(said, " and ")

    return Kind(schema, sample, draw.pick(("", "", "as key-value pairs")))
