"""Hanging values onto a request: by phrases, by names, in sentences of their own."""

from __future__ import annotations

import re

from .callings import called
from .draw import Draw
from .families import families_of, say_family
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


_RELATIVE = ("today", "tomorrow", "yesterday", "the day after", "a week from", "this ", "the coming ")
_IN_DAYS = re.compile(r"in (?:\w+ days|a week)")


def starts_relative(pieces: list[Piece]) -> bool:
    """Whether what is said is a date such as "tomorrow": it takes no preposition."""
    first = pieces[0] if isinstance(pieces[0], str) else pieces[0].text
    return first.startswith(_RELATIVE) or _IN_DAYS.match(first) is not None


def starts_with_consonant(pieces: list[Piece]) -> bool:
    """Whether "a" may stand before what is said."""
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    if text[:1].isdigit():
        return not text.startswith(("8", "11 ", "18 ", "11-", "18-"))
    return text[:1].lower() not in "aeio" and not text.lower().startswith(("un", "um", "ur"))


def _phrase(draw: Draw, parameter: Parameter, pieces: list[Piece], *, is_first: bool) -> list[Piece] | None:
    """The value hung on by a phrase of its own, or None; "and ..." needs something before it."""
    if not parameter.phrases:
        return None
    before, _, after = draw.pick(parameter.phrases).partition("{}")
    if before.startswith("and ") and is_first:
        return None
    if before in ("on ", "for ", "leaving on ") and starts_relative(pieces):
        before = ""
    elif isinstance(pieces[0], str) and pieces[0].startswith("in ") and starts_relative(pieces):
        pieces = [f"{pieces[0].removeprefix('in ')} from now", *pieces[1:]]
    if before.endswith(" a ") and not starts_with_consonant(pieces):
        before = f"{before[:-1]}n "
    if not before.endswith(ARTICLES):
        pieces = called(draw, parameter.kind_name, pieces)
    return [before, *pieces, after]


ARTICLES = ("the ", " a ", " an ")
"""Ends of what may not stand before another article."""

_FORMS = (0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 12, 12, 12, 13)
"""Ways to say values by their names; 11 says the names first and the values after them."""
_LINKS = {
    0: ("with {} ", "{} "),
    2: ("({} = ", "{} = "),
    3: ("where {} is ", "{} is "),
    4: ("using {} ", "{} "),
    7: ("given that {} is ", "{} is "),
    8: ("with {} set to ", "{} set to "),
    9: ("given {} ", "{} "),
    10: ("with {}: ", "{}: "),
    13: ("if {} equals ", "{} equals "),
}


def _article(parameter: Parameter) -> str:
    label = parameter.said_label
    if len(label) < 3 or label.endswith("s") or parameter.kind.schema["type"] == "array":
        return ""
    return "an " if label[0] in "aeiou" and not label.startswith(("uni", "use", "eu")) else "a "


def _named(
    draw: Draw, form: int, parameter: Parameter, pieces: list[Piece], *, is_first: bool
) -> list[Piece]:
    label = parameter.said_label
    if form not in (2, 10, 12, 13):
        pieces = called(draw, parameter.kind_name, pieces)
    if form == 1:
        article = _article(parameter) if is_first or draw.chance(0.7) else ""
        return [f"with {article}{label} of " if is_first else f"{article}{label} of ", *pieces]
    if form == 12:
        unit = pieces[-1] if isinstance(pieces[-1], str) else ""
        if unit.strip() == label:  # "15 years", not "15 years years"
            return ["with " if is_first else "", *pieces]
        if parameter.kind.schema["type"] in ("integer", "number") and len(label) > 2:
            return ["with " if is_first else "", *pieces, f" {label}"]
        if _is_modifier(parameter, pieces):
            return [
                draw.pick(("with ", "using ", "for ", "with the ")) if is_first else "",
                *pieces,
                f" {label}",
            ]
        form = 0
    if form == 5:
        return ["with " if is_first else "", *pieces, f" as {'the ' if len(label) > 2 else ''}{label}"]
    if form == 6:
        return ["with " if is_first else "", *pieces, f" for {'the ' if len(label) > 2 else ''}{label}"]
    link = _LINKS[form][0 if is_first else 1]
    return [
        link.format(f"the {label}" if form == 3 and len(label) > 2 and draw.chance(0.5) else label),
        *pieces,
    ]


_NO_HEADS = frozenset("name text title message content query q id key code comment note body".split())


def _is_modifier(parameter: Parameter, pieces: list[Piece]) -> bool:
    """Whether the value may stand before the parameter's name: "with gini criterion"."""
    if parameter.kind.schema["type"] != "string" or parameter.said_label in _NO_HEADS:
        return False
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    return len(text) < 24 and text[-1].isalnum() and text[0].isalnum() and not starts_relative(pieces)


def _is_short(parameter: Parameter, pieces: list[Piece]) -> bool:
    """Whether the value can stand in a row with others: no list, no object, no text of its own commas."""
    if parameter.kind.schema["type"] in ("array", "object"):
        return False
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    return " and " not in text and ", " not in text


def _join(values: list[list[Piece]], last: str = " and ") -> list[Piece]:
    joined: list[Piece] = []
    for number, value in enumerate(values):
        joined += ["" if not number else last if number == len(values) - 1 else ", ", *value]
    return joined


def _say_names_first(draw: Draw, named: list[tuple[Parameter, list[Piece]]]) -> list[Piece]:
    """As in "given base and height as 6cm and 10cm"."""
    the = "the " if draw.chance(0.25) else ""
    labels = [f"{the}{parameter.said_label}" for parameter, _ in named]
    names = f"{', '.join(labels[:-1])} and {labels[-1]}"
    head, tail = draw.pick(
        (
            (f"given {names} as ", ""),
            (f"with {names} as ", ""),
            (f"with {names} of ", ""),
            (f"with {names} of ", " respectively"),
            (f"where {names} are ", ""),
            (f"where {names} are ", " respectively"),
            (f"for {names} ", ""),
            (f"using {names} ", ", respectively"),
            (f"with {names} being ", ""),
            (f"with {names} equal to ", ""),
        )
    )
    return [head, *_join([pieces for _, pieces in named]), tail]


def say_named(draw: Draw, named: list[tuple[Parameter, list[Piece]]], form: int | None = None) -> list[Piece]:
    """Values by their parameters' names: "with a base of 10 and a height of 5"."""
    if form is None:
        form = draw.pick(_FORMS)
    if form == 11:
        sorts = {_SORTS.get(parameter.kind.schema["type"], "text") for parameter, _ in named}
        is_row = 1 < len(named) < 5 and len(sorts) == 1
        if is_row and all(_is_short(parameter, pieces) for parameter, pieces in named):
            return _say_names_first(draw, named)
        form = draw.between(0, 1)
    said: list[Piece] = []
    between = draw.pick((", ", ", ", " and ")) if len(named) == 3 else ", "
    last = draw.pick((" and ", " and ", " and ", ", and ", ", ")) if len(named) > 2 else " and "
    if form == 10:
        last = ", "
    for number, (parameter, pieces) in enumerate(named):
        said.append("" if not number else last if number == len(named) - 1 else between)
        said += _named(draw, form, parameter, pieces, is_first=not number)
    if form == 2:
        said.append(")")
    return said


_SORTS: dict[str, str] = {"number": "number", "integer": "number"}


def _sort_of(place: int, parameter: Parameter) -> str:
    """Parameters of one sort may be a series; flags stand alone."""
    kind = parameter.kind
    sort = kind.schema["type"]
    if kind.is_self_explaining or sort in ("boolean", "object"):
        return f"alone {place}"
    return f"{_SORTS.get(sort, sort)} {'today' if kind.needs_today else ''}{'enum' in kind.schema}"


def _take_families(
    draw: Draw, parameters: list[Parameter], given: dict[str, Said], call: int
) -> tuple[list[Piece], set[str]]:
    """Series of like values said in order, without names; what they say, and which parameters they cover."""
    said: list[Piece] = []
    covered: set[str] = set()
    families = families_of(
        tuple(parameter.label for parameter in parameters),
        tuple(_sort_of(place, parameter) for place, parameter in enumerate(parameters)),
    )
    for family in families:
        members = [parameters[place] for place in family.places]
        share = 0.35 if family.is_form else 0.2
        if any(member.phrases for member in members) and draw.chance(0.6) or draw.chance(share):
            continue
        values = [value_pieces(member, given[member.name], call) for member in members]
        is_list = members[0].kind.schema["type"] == "array"
        if is_list and not all(value[0] in ("[", "(") for value in values):
            continue
        if not is_list and not all(map(_is_short, members, values)):
            continue
        said += [" ", *say_family(draw, family, values, is_one_of_several=len(families) > 1)]
        covered.update(member.name for member in members)
    return said, covered


def say_values(
    draw: Draw, tool: DrawnTool, given: dict[str, Said], call: int, *, form: int | None = None
) -> list[Piece]:
    """All values as adverbials: " with a base of 10 and a height of 5 in cm"."""
    parameters = [p for p in tool.parameters if p.name in given]
    said, covered = _take_families(draw, parameters, given, call)
    parameters = [p for p in parameters if p.name not in covered]
    is_free = not any(phrase.startswith("and ") for p in parameters for phrase in p.phrases)
    if is_free and draw.chance(0.4):
        parameters = draw.shuffled(parameters)
    named: list[tuple[Parameter, list[Piece]]] = []
    late: list[list[Piece]] = []
    for parameter in parameters:
        pieces = value_pieces(parameter, given[parameter.name], call)
        phrase = _phrase(draw, parameter, pieces, is_first=not said) if draw.chance(0.93) else None
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
        said += [" ", *say_named(draw, named, form)]
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
    phrase = _phrase(draw, parameter, pieces, is_first=True)
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
    if form == 4:
        return [" ", *pieces, f" is the {label}."]
    if form == 5:
        return [f" Set the {label} to ", *pieces, "."]
    if form == 6:
        return [f" As the {label}, take ", *pieces, "."]
    return [" Use ", *pieces, f" as the {label}."]


def say_flag(parameter: Parameter, said: Said, draw: Draw) -> list[Piece]:
    """A flag's value as a word, for listings; nothing for other values."""
    if parameter.kind.is_self_explaining:
        return [draw.pick(("true", "yes") if said[0] else ("false", "no"))]
    return []
