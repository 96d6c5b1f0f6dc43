"""Hanging values onto a request: by phrases, by names, in sentences of their own."""

from __future__ import annotations

from .draw import Draw
from .kinds import Copy, Fixed, Piece, Said
from .naming import plural
from .tools import DrawnTool, Parameter


def value_pieces(parameter: Parameter, said: Said, call: int) -> list[Piece]:
    """The value's pieces with paths made absolute: `call:parameter.path`."""
    return [
        Fixed(piece)
        if isinstance(piece, str)
        else Copy(
            f"{call}:{parameter.name}.{piece.path}" if piece.path else f"{call}:{parameter.name}", piece.text
        )
        for piece in said[1]
    ]


def starts_relative(pieces: list[Piece]) -> bool:
    """Whether what is said is a date such as "tomorrow": it takes no preposition."""
    first = pieces[0] if isinstance(pieces[0], str) else pieces[0].text
    return first.startswith(("today", "tomorrow", "yesterday", "in ", "the day after", "a week from"))


def _phrase(draw: Draw, parameter: Parameter, pieces: list[Piece]) -> list[Piece] | None:
    """The value hung on by a phrase of its own, or None."""
    if not parameter.phrases:
        return None
    before, _, after = draw.pick(parameter.phrases).partition("{}")
    if before in ("on ", "for ", "leaving on ") and starts_relative(pieces):
        before = ""
    elif isinstance(pieces[0], str) and pieces[0].startswith("in ") and starts_relative(pieces):
        pieces = [f"{pieces[0].removeprefix('in ')} from now", *pieces[1:]]
    if isinstance(pieces[0], str) and before.endswith("a ") and pieces[0][:1] in "aeiou" and before != "a ":
        before = before[:-1] + "n "
    return [before, *pieces, after]


def _named(
    draw: Draw, form: int, parameter: Parameter, pieces: list[Piece], *, is_first: bool
) -> list[Piece]:
    label = parameter.said_label
    if form == 0:
        return [f"with {label} " if is_first else f"{label} ", *pieces]
    if form == 1:
        article = (
            ""
            if len(label) < 3 or label.endswith("s") or parameter.kind.schema["type"] == "array"
            else ("an " if label[0] in "aeiou" else "a ")
        )
        return [f"with {article}{label} of " if is_first else f"{article}{label} of ", *pieces]
    if form == 2:
        return [f"({label} = " if is_first else f"{label} = ", *pieces]
    if form == 3:
        return [f"where {label} is " if is_first else f"{label} is ", *pieces]
    return [f"using {label} " if is_first else f"{label} ", *pieces]


def say_values(
    draw: Draw, tool: DrawnTool, given: dict[str, Said], call: int, *, form: int | None = None
) -> list[Piece]:
    """All values as adverbials: " with a base of 10 and a height of 5 in cm"."""
    parameters = [p for p in tool.parameters if p.name in given]
    is_free = not any(phrase.startswith("and ") for p in parameters for phrase in p.phrases)
    if is_free and draw.chance(0.3):
        parameters = draw.shuffled(parameters)
    named: list[tuple[Parameter, list[Piece]]] = []
    said: list[Piece] = []
    late: list[list[Piece]] = []
    for parameter in parameters:
        pieces = value_pieces(parameter, given[parameter.name], call)
        phrase = _phrase(draw, parameter, pieces) if draw.chance(0.93) else None
        if phrase is None:
            if parameter.kind.is_self_explaining:
                phrase = pieces
            else:
                named.append((parameter, pieces))
                continue
        if parameter.kind.is_self_explaining:
            late.append(phrase)
        else:
            said += [" ", *phrase]
    if named:
        form = draw.between(0, 4) if form is None else form
        for number, (parameter, pieces) in enumerate(named):
            said.append(" " if not number else (" and " if number == len(named) - 1 else ", "))
            said += _named(draw, form, parameter, pieces, is_first=not number)
        if form == 2:
            said.append(")")
    for phrase in late:
        said += [draw.pick((", ", ", ", " ")), *phrase]
    return said


def join_items(draw: Draw, items: list[list[Piece]]) -> list[Piece]:
    """Several values as "a, b and c"."""
    last = draw.pick((" and ", " and ", ", and ", " and also "))
    joined: list[Piece] = []
    for number, item in enumerate(items):
        joined += ["" if not number else last if number == len(items) - 1 else ", ", *item]
    return joined


def hang(draw: Draw, parameter: Parameter, pieces: list[Piece], count: int) -> list[Piece]:
    """Several values of one parameter hung onto a goal."""
    phrase = _phrase(draw, parameter, pieces)
    if phrase is None:
        label = plural(parameter.said_label)
        phrase = draw.pick(
            (
                ["with ", label, " ", *pieces],
                ["for ", label, " ", *pieces],
                ["with ", label, " of ", *pieces],
                [f"for {count} different {label}: ", *pieces],
            )
        )
    return [" ", *phrase]


def say_sentence(draw: Draw, form: int, parameter: Parameter, pieces: list[Piece]) -> list[Piece]:
    """One value in a sentence of its own, as in "The base is 10"."""
    label = parameter.said_label
    if form == 0:
        return [f" The {label} is ", *pieces, "."]
    if form == 1:
        return [f" {label[0].upper() + label[1:]}: ", *pieces, "."]
    if form == 2:
        return [f" The {label} should be ", *pieces, "."]
    return [" Use ", *pieces, f" as the {label}." if label[0] not in "0" else "."]


def say_flag(parameter: Parameter, said: Said, draw: Draw) -> list[Piece]:
    """A flag's value as a word, for listings; nothing for other values."""
    if parameter.kind.is_self_explaining:
        return [draw.pick(("true", "yes") if said[0] else ("false", "no"))]
    return []
