"""How people ask: a tool and values become the pieces of a request."""

from __future__ import annotations

import json
from typing import Any

from . import questions
from . import words as w
from .draw import Draw
from .families import families_of
from .kinds import QUOTES, Copy, Fixed, Piece, Said
from .openings import Opening, open_request
from .phrases import say_flag, say_named, say_sentence, say_values, value_pieces
from .spares import FLAG_SAID_SHARE, SAID_SHARE
from .tools import DrawnTool, Parameter

CONTEXTS = (
    "I'm working on my homework.",
    "I have a quick question.",
    "My boss asked me for this.",
    "I'm preparing a presentation.",
    "We are planning something for next month.",
    "It's a bit urgent.",
    "I hope you can help me.",
    "Hello!",
    "Hi there.",
    "Good morning.",
    "I was talking to {person} about this.",
    "I'm at the office right now.",
    "My friend {person} recommended this.",
    "Last week I tried it by hand and failed.",
    "I'm new to this.",
    "This is for a report on {topic}.",
    "I've been reading about {topic} lately.",
    "Thanks for the help earlier.",
    "I'm in a hurry.",
    "One more thing.",
    "I moved here from {city} {number} years ago.",
    "There are {number} of us in the team.",
    "I work at {company}.",
    "I've been a customer since {year}.",
    "My sister lives in {city}.",
    "{person} will pick me up in a bit.",
    "I spent {number} minutes on this already.",
    "Yesterday {person} and I argued about {topic}.",
    "I'm a student and short on time.",
    "Our teacher gave us {number} exercises.",
    "I just got back from {city}.",
    "My colleague at {company} does this every day.",
    "I'm on page {number} of a book on {topic}.",
    "Sorry to bother you again.",
    "I read an article about {topic} in {year}.",
)


def _default_said(parameter: Parameter) -> Said:
    text = parameter.default if isinstance(parameter.default, str) else json.dumps(parameter.default)
    return parameter.default, [Copy("", text)]


_OPTIONAL_RATES = (0.0, 0.2, 0.4, 0.6, 0.9)


def choose_values(draw: Draw, tool: DrawnTool, *, optional_rate: float | None = None) -> dict[str, Said]:
    """Values for all required parameters and some optional ones, few to nearly all, in schema order."""
    given: dict[str, Said] = {}
    if optional_rate is None:
        optional_rate = draw.pick(_OPTIONAL_RATES)
    if not any(
        parameter.is_required for parameter in tool.parameters
    ):  # else most of these calls would say nothing
        optional_rate = max(optional_rate, 0.6)
    for parameter in tool.parameters:
        if parameter.is_required or draw.chance(optional_rate * _said_share(parameter)):
            if parameter.default is not None and draw.chance(0.15):  # the default, said on purpose
                given[parameter.name] = _default_said(parameter)
            else:
                given[parameter.name] = parameter.kind.sample(draw)
    _make_alike(draw, tool, given)
    _tell_apart(draw, tool, given)
    lists = [name for name, said in given.items() if isinstance(said[0], list) and _is_flat(said[0])]
    if len(lists) > 1:  # "a and b and c and d" would not tell where the first list ends
        given.update((name, _bracketed(given[name])) for name in lists)
    return given


def _said_share(parameter: Parameter) -> float:
    """How often the option is said where any other would be."""
    if not parameter.is_spare:
        return 1.0
    return FLAG_SAID_SHARE if parameter.kind.is_self_explaining else SAID_SHARE


def _is_flat(value: list[Any]) -> bool:
    return not any(isinstance(item, (list, dict)) for item in value)


def _bracketed(said: Said) -> Said:
    """A list said in brackets."""
    value, pieces = said
    if isinstance(pieces[0], str) and pieces[0].startswith(("[", "(")):
        return said
    return value, ["[", *(", " if piece in (" and ", ", and ") else piece for piece in pieces), "]"]


def _make_alike(draw: Draw, tool: DrawnTool, given: dict[str, Said]) -> None:
    """At times two numbers of a composed tool are the same, or the digits of one are in the other."""
    if not tool.action.is_composed or tool.action.description or not draw.chance(0.15):
        return
    alike: dict[str, list[str]] = {}
    for parameter in tool.parameters:
        value = given.get(parameter.name, (None, []))[0]
        if isinstance(value, int) and not isinstance(value, bool) and "enum" not in parameter.kind.schema:
            alike.setdefault(f"{parameter.kind.schema} {parameter.kind.hint}", []).append(parameter.name)
    names = next((names for names in alike.values() if len(names) > 1), None)
    if names is None:
        return
    first, second = draw.sample(names, 2)
    value, pieces = given[first]
    text = str(value)
    copied = [at for at, piece in enumerate(pieces) if isinstance(piece, Copy)]
    if draw.chance(0.25) or len(copied) != 1 or value <= 0:
        given[second] = given[first]
        return
    other = int(draw.pick((f"{text}0", f"{draw.between(1, 9)}{text}", text[::-1], f"{text[0]}{text}")))
    schema = {p.name: p.kind.schema for p in tool.parameters}[second]
    if other and schema.get("minimum", other) <= other <= schema.get("maximum", other):
        given[second] = other, [*pieces[: copied[0]], Copy("", str(other)), *pieces[copied[0] + 1 :]]


def _tell_apart(draw: Draw, tool: DrawnTool, given: dict[str, Said]) -> None:
    """The start of a span comes before its end, and two texts of a series differ."""
    parameters = [p for p in tool.parameters if p.name in given]
    for family in families_of(tuple(p.label for p in parameters), tuple("" for _ in parameters)):
        first, second = (parameters[place] for place in family.places[:2])
        if family.is_form:
            continue
        if isinstance(given[first.name][0], str) and given[first.name][0] == given[second.name][0]:
            given[second.name] = second.kind.sample(draw)  # "from ft to ft" asks for nothing
        if family.is_span and len(family.places) == 2:
            low, high = given[first.name], given[second.name]
            if first.kind.schema == second.kind.schema and _is_after(low[0], high[0]):
                given[first.name], given[second.name] = high, low


def _is_after(value: Any, other: Any) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        is_comparable = value[:4].isdigit() and other[:4].isdigit() or value[2:3] == other[2:3] == ":"
        return is_comparable and value > other
    return isinstance(value, (int, float)) and isinstance(other, (int, float)) and value > other


def decapitalise(pieces: list[Piece]) -> list[Piece]:
    """The same request as the second half of a sentence: "And what is ..."."""
    first = pieces[0] if pieces else ""
    word = first.split(" ", 1)[0] if isinstance(first, str) else ""
    if (
        isinstance(first, str)
        and len(word) > 1
        and word[0].isupper()
        and word[1].islower()
        and not word.startswith("I'")
    ):
        return [first[0].lower() + first[1:], *pieces[1:]]
    return pieces


def context(draw: Draw) -> str:
    """A sentence that leads up to a request and says nothing the call needs."""
    return draw.pick(CONTEXTS).format(
        person=draw.pick(w.FIRST_NAMES),
        topic=draw.pick(w.TOPICS),
        city=draw.pick(w.CITIES),
        number=draw.between(2, 40),
        company=draw.pick(w.COMPANIES),
        year=draw.between(1990, 2024),
    )


def say_request(
    draw: Draw, tool: DrawnTool, given: dict[str, Said], call: int = 0, *, is_alone: bool = True
) -> list[Piece]:
    """A whole request for one call; one of several in a message comes without words around it."""
    opening = open_request(draw, tool, given, call)
    rest = {name: said for name, said in given.items() if name not in opening.used}
    roll = draw.random()
    if opening.is_whole or not rest:
        pieces: list[Piece] = [*opening.before, opening.after]
    elif roll < 0.62:
        pieces = [*opening.before, *say_values(draw, tool, rest, call), opening.after]
    elif roll < 0.74:
        pieces = _values_first(draw, tool, opening, rest, call)
    elif roll < 0.9:
        pieces = _in_sentences(draw, tool, opening, rest, call)
    else:
        pieces = _as_listing(draw, tool, opening, rest, call)
    if draw.chance(0.3):
        pieces = _without_last_quotes(pieces)
    pieces = _ended(draw, pieces, opening.is_whole)
    if not is_alone:
        return pieces
    roll = draw.random()
    if roll < 0.03:
        return [questions.story(draw), " ", *pieces]
    if roll < 0.15:
        return [context(draw), " ", *pieces]
    if roll < 0.18:
        return [
            *pieces,
            " ",
            draw.pick(
                (
                    "Thanks!",
                    "Thank you.",
                    "Thanks in advance.",
                    "That would be great.",
                    "No rush.",
                    "I appreciate it.",
                    context(draw),
                )
            ),
        ]
    return pieces


_TAILS = (" for me", " please", ", please", " if possible")
_QUESTION_TAILS = (*_TAILS, " right now", " at the moment", " now", " these days")


def _ended(draw: Draw, pieces: list[Piece], is_whole: bool) -> list[Piece]:
    """At times some words behind the last value: "... in Oslo right now?"."""
    if len(pieces) < 2 or pieces[-1] not in (".", "?", ""):
        return pieces
    last = pieces[-2]
    if not isinstance(last, Copy):
        return pieces
    is_one_sentence = not any(isinstance(piece, str) and ". " in piece for piece in pieces)
    if not is_whole and is_one_sentence and draw.chance(0.08):
        tails = _QUESTION_TAILS if pieces[-1] == "?" else _TAILS
        return [*pieces[:-1], draw.pick(tails), pieces[-1]]
    return pieces[:-1] if pieces[-1] == "." and last.text.endswith(("!", "?")) else pieces


def _without_last_quotes(pieces: list[Piece]) -> list[Piece]:
    """A text at the very end needs no quotes: the end of the request ends it."""
    last = max((at for at, piece in enumerate(pieces) if isinstance(piece, Copy)), default=0)
    if not 0 < last < len(pieces) - 1 or any(piece not in ("", ".", "?") for piece in pieces[last + 2 :]):
        return pieces
    copied = pieces[last]
    is_quoted = (pieces[last - 1], pieces[last + 1]) in QUOTES
    if (
        not is_quoted
        or not isinstance(copied, Copy)
        or "\n" in copied.text
        or copied.text.endswith((".", "!", "?"))
    ):
        return pieces
    return [*pieces[: last - 1], copied, *pieces[last + 2 :]]


_VALUES_FIRST = (
    ("Given ", ", "),
    ("Given ", ", "),
    ("For ", ", "),
    ("With ", ", "),
    ("Using ", ", "),
    ("I have ", ". "),
    ("Assume ", ". "),
    ("Suppose we have ", ". "),
    ("Here is what I know: ", ". "),
)


def _values_first(
    draw: Draw, tool: DrawnTool, opening: Opening, given: dict[str, Said], call: int
) -> list[Piece]:
    """What is given, then what is wanted: "Given a base of 10 and a height of 5, what is the area?"."""
    parameters = [p for p in tool.parameters if p.name in given]
    leading = [p for p in parameters if not p.phrases and not p.kind.is_self_explaining]
    if not leading or not isinstance(opening.before[0], str) or not opening.before[0][:1].isalpha():
        return [*opening.before, *say_values(draw, tool, given, call), opening.after]
    named = say_named(
        draw, [(p, value_pieces(p, given[p.name], call)) for p in leading], draw.pick((0, 1, 1))
    )
    start = next(at for at, piece in enumerate(named) if piece)
    if isinstance(named[start], str):
        named[start] = Fixed(named[start]).removeprefix("with ")
    before, after = draw.pick(_VALUES_FIRST)
    rest = {p.name: given[p.name] for p in parameters if p not in leading}
    goal = opening.before if after == ". " else decapitalise(opening.before)
    return [before, *named, after, *goal, *say_values(draw, tool, rest, call), opening.after]


_SENTENCE_FORMS = (0, 0, 1, 1, 2, 3, 3, 4, 5, 6)


def _in_sentences(
    draw: Draw, tool: DrawnTool, opening: Opening, given: dict[str, Said], call: int
) -> list[Piece]:
    """Some values in the goal's sentence, each of the others in one of its own."""
    form = draw.pick(_SENTENCE_FORMS)
    parameters = [p for p in tool.parameters if p.name in given]
    in_line = {p.name: given[p.name] for p in parameters if draw.chance(0.4) or p.kind.is_self_explaining}
    pieces = [*opening.before, *say_values(draw, tool, in_line, call), opening.after or "."]
    if draw.chance(0.25):
        parameters = draw.shuffled(parameters)
    for parameter in parameters:
        if parameter.name not in in_line:
            chosen = form if draw.chance(0.8) else draw.pick(_SENTENCE_FORMS)
            pieces += say_sentence(
                draw, chosen, parameter, value_pieces(parameter, given[parameter.name], call)
            )
    return pieces


def _as_listing(
    draw: Draw, tool: DrawnTool, opening: Opening, given: dict[str, Said], call: int
) -> list[Piece]:
    """Values listed by name: "base=10, height=5"."""
    pieces = [*opening.before, draw.pick((": ", " with ", " using ", ". "))]
    form = draw.pick(("=", ": ", " = ", " "))
    between = draw.pick((", ", ", ", "; ", "\n- "))
    if between == "\n- ":
        pieces[-1] = ":\n- "
    by_name = draw.chance(0.4)
    parameters = [p for p in tool.parameters if p.name in given]
    if draw.chance(0.25):
        parameters = draw.shuffled(parameters)
    for number, parameter in enumerate(parameters):
        said = given[parameter.name]
        pieces.append((between if number else "") + (parameter.name if by_name else parameter.label) + form)
        pieces += say_flag(parameter, said, draw) or value_pieces(parameter, said, call)
    return pieces


def add_noise(draw: Draw, pieces: list[Piece]) -> list[Piece]:
    """Lower case, lost punctuation and typing slips, in the text around the values."""
    is_lower = draw.chance(0.6)
    noisy: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and piece:
            is_value = isinstance(piece, Fixed)
            if is_lower:
                piece = piece.lower()
            if not is_value and len(piece) > 12 and draw.chance(0.25):
                at = draw.between(4, len(piece) - 4)
                if piece[at].isalpha() and piece[at + 1].isalpha():
                    piece = piece[:at] + piece[at + 1] + piece[at] + piece[at + 2 :]
        noisy.append(piece)
    if noisy and isinstance(noisy[-1], str) and draw.chance(0.6):
        noisy[-1] = noisy[-1].rstrip(".?!")
    return noisy


def write(pieces: list[Piece]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The text of the pieces, and where each copied value stands in it."""
    text: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    position = 0
    ends_with_dot = False
    for piece in pieces:
        if isinstance(piece, str):
            part = piece
        else:
            part = piece.text
            spans.setdefault(piece.path, (position, position + len(part)))
        if position == 0 and part and isinstance(piece, str):
            part = part.lstrip(" ")
        if isinstance(piece, str) and part.startswith(".") and ends_with_dot:
            part = part[1:]  # "Ltd." at the end of a sentence
        ends_with_dot = part.endswith(".") if part else ends_with_dot
        text.append(part)
        position += len(part)
    return "".join(text), spans


def arguments_of(given: dict[str, Said]) -> dict[str, Any]:
    """The call's arguments, in schema order."""
    return {name: said[0] for name, said in given.items()}
