"""How people ask: a tool and values become the pieces of a request."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from . import questions
from . import words as w
from .draw import Draw
from .kinds import Copy, Piece, Said
from .naming import plural
from .tools import DrawnTool, Parameter

OPENERS = (
    "{Goal}.",
    "{Goal}.",
    "{Goal}",
    "Please {goal}.",
    "Can you {goal}?",
    "Could you {goal}?",
    "Could you please {goal}?",
    "I need to {goal}.",
    "I want to {goal}.",
    "I'd like to {goal}.",
    "Help me {goal}.",
    "{Goal}, please.",
    "Hey, {goal}.",
    "I want you to {goal}.",
    "Would you {goal} for me?",
    "I need you to {goal}.",
    "Hi! Can you {goal}?",
    "{Goal} for me.",
    "Go ahead and {goal}.",
    "How can I {goal}?",
    "Let's {goal}.",
    "My task is to {goal}.",
)
QUESTIONS = (
    "What is {thing}?",
    "What is {thing}?",
    "What's {thing}?",
    "Can you tell me {thing}?",
    "Tell me {thing}.",
    "Give me {thing}.",
    "I need {thing}.",
    "I want to know {thing}.",
    "Could you give me {thing}?",
    "What would be {thing}?",
    "Do you know {thing}?",
    "I'm looking for {thing}.",
    "Show me {thing}.",
)
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


def choose_values(draw: Draw, tool: DrawnTool, *, optional_rate: float = 0.3) -> dict[str, Said]:
    """Values for all required parameters and some optional ones, in schema order."""
    given: dict[str, Said] = {}
    if not any(
        parameter.is_required for parameter in tool.parameters
    ):  # else most of these calls would say nothing
        optional_rate = max(optional_rate, 0.6)
    for parameter in tool.parameters:
        if parameter.is_required or draw.chance(optional_rate):
            if parameter.default is not None and draw.chance(0.15):  # the default, said on purpose
                given[parameter.name] = _default_said(parameter)
            else:
                given[parameter.name] = parameter.kind.sample(draw)
    return given


def value_pieces(parameter: Parameter, said: Said, call: int) -> list[Piece]:
    """The value's pieces with paths made absolute: `call:parameter.path`."""
    return [
        piece
        if isinstance(piece, str)
        else Copy(
            f"{call}:{parameter.name}.{piece.path}" if piece.path else f"{call}:{parameter.name}", piece.text
        )
        for piece in said[1]
    ]


def _starts_relative(pieces: list[Piece]) -> bool:
    first = pieces[0] if isinstance(pieces[0], str) else pieces[0].text
    return first.startswith(("today", "tomorrow", "yesterday", "in ", "the day after", "a week from"))


def _phrase(draw: Draw, parameter: Parameter, pieces: list[Piece]) -> list[Piece] | None:
    """The value hung on by a phrase of its own, or None."""
    if not parameter.phrases:
        return None
    before, _, after = draw.pick(parameter.phrases).partition("{}")
    if before in ("on ", "for ", "leaving on ") and _starts_relative(pieces):
        before = ""
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
    if draw.chance(0.3):
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


def _sentence(draw: Draw, form: int, parameter: Parameter, pieces: list[Piece]) -> list[Piece]:
    label = parameter.said_label
    if form == 0:
        return [f" The {label} is ", *pieces, "."]
    if form == 1:
        return [f" {label[0].upper() + label[1:]}: ", *pieces, "."]
    if form == 2:
        return [f" The {label} should be ", *pieces, "."]
    return [" Use ", *pieces, f" as the {label}." if label[0] not in "0" else "."]


def _flag_word(parameter: Parameter, said: Said, draw: Draw) -> list[Piece]:
    if parameter.kind.is_self_explaining:
        return [draw.pick(("true", "yes") if said[0] else ("false", "no"))]
    return []


_QUESTION_WORDS = (
    "how",
    "what",
    "which",
    "who",
    "where",
    "when",
    "is",
    "are",
    "do",
    "does",
    "can",
    "will",
    "should",
    "whats",
    "what's",
    "did",
    "has",
)
_STATEMENT_WORDS = ("i", "i'm", "i'd", "i've", "my", "we", "there", "it's", "our", "someone", "you", "this")


class Opening(NamedTuple):
    """What comes before and after the values of a request, and the values it already says."""

    before: list[Piece]
    after: str
    used: tuple[str, ...] = ()
    is_whole: bool = False
    """Nothing may be added to it (wordings in other languages)."""


def open_request(
    draw: Draw, tool: DrawnTool, given: dict[str, Said], call: int, *, allow_inside: bool = True
) -> Opening:
    """The wording of the goal, with or without values inside."""
    action = tool.action
    asks = [ask for ask in action.asks if allow_inside or "{" not in ask]
    if asks and draw.chance(0.6):
        opening = _open_with(draw, draw.pick(asks), tool, given, call)
        if opening is not None:
            return opening
    thing = draw.pick(action.said_objects) if action.said_objects and draw.chance(0.85) else action.object
    if action.family in ("calc", "get") and draw.chance(0.5):
        before, _, after = draw.pick(QUESTIONS).partition("{thing}")
        if _is_plural(thing):
            before = before.replace("What is", "What are").replace("What's", "What are")
        return Opening([before + thing], after)
    verb = "look for" if tool.verb == "search" else draw.pick(action.verbs) if draw.chance(0.4) else tool.verb
    return _goal(draw, f"{verb} {thing}")


def _is_plural(thing: str) -> bool:
    """Whether the head noun is: "the roots of an equation", "flights"."""
    head = re.split(r" (?:of|for|in|on|from|to|with|about) ", thing, maxsplit=1)[0]
    return head.endswith("s") and not head.endswith(("ss", "us", "is"))


def _goal(draw: Draw, goal: str) -> Opening:
    before, _, after = draw.pick(OPENERS).partition("oal}")
    is_start = before.endswith("{G")
    return Opening([before[:-2] + (goal[0].upper() + goal[1:] if is_start else goal)], after)


def _open_with(draw: Draw, ask: str, tool: DrawnTool, given: dict[str, Said], call: int) -> Opening | None:
    """A wording of the grammar; None if a value it speaks of is not given."""
    is_whole = ask.startswith("@")
    parts = ask.removeprefix("@").split("{")
    by_rule = {p.rule_name: p for p in tool.parameters if p.name in given}
    inside: list[Piece] = []
    used = []
    for part in parts[1:]:
        rule_name, _, rest = part.partition("}")
        parameter = by_rule.get(rule_name)
        if parameter is None:
            return None
        used.append(parameter.name)
        value = value_pieces(parameter, given[parameter.name], call)
        inside += [*value, rest]
    if is_whole and len(used) < len(given):
        return None
    head = parts[0]
    first_word = head.split(" ", 1)[0].lower()
    if is_whole:
        after = "" if ask[-1] in "?.!。？" else draw.pick(("", "."))
        return Opening([head[:1].upper() + head[1:], *inside], after, tuple(used), True)
    if first_word in _QUESTION_WORDS:
        if draw.chance(0.12):
            return Opening(
                [
                    draw.pick(("Can you tell me: ", "Quick question: ", "Hey, ", "Tell me, ", "Question: "))
                    + head,
                    *inside,
                ],
                "?",
                tuple(used),
            )
        return Opening([head[:1].upper() + head[1:], *inside], "?", tuple(used))
    if first_word in _STATEMENT_WORDS:
        return Opening([head[:1].upper() + head[1:], *inside], ".", tuple(used))
    if first_word in ("the", "a", "an"):
        before, _, after = draw.pick(QUESTIONS).partition("{thing}")
        return Opening([before + head, *inside], after, tuple(used))
    goal = _goal(draw, head or "_")
    return Opening([*goal.before, *inside], goal.after, tuple(used))


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


def say_request(draw: Draw, tool: DrawnTool, given: dict[str, Said], call: int = 0) -> list[Piece]:
    """A whole request for one call."""
    opening = open_request(draw, tool, given, call)
    rest = {name: said for name, said in given.items() if name not in opening.used}
    roll = draw.random()
    if opening.is_whole or not rest:
        pieces: list[Piece] = [*opening.before, opening.after]
    elif roll < 0.72:
        pieces = [*opening.before, *say_values(draw, tool, rest, call), opening.after]
    elif roll < 0.9:
        pieces = _in_sentences(draw, tool, opening, rest, call)
    else:
        pieces = _as_listing(draw, tool, opening, rest, call)
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


def _in_sentences(
    draw: Draw, tool: DrawnTool, opening: Opening, given: dict[str, Said], call: int
) -> list[Piece]:
    """Some values in the goal's sentence, each of the others in one of its own."""
    form = draw.between(0, 3)
    parameters = [p for p in tool.parameters if p.name in given]
    in_line = {p.name: given[p.name] for p in parameters if draw.chance(0.4) or p.kind.is_self_explaining}
    pieces = [*opening.before, *say_values(draw, tool, in_line, call), opening.after or "."]
    if draw.chance(0.25):
        parameters = draw.shuffled(parameters)
    for parameter in parameters:
        if parameter.name not in in_line:
            chosen = form if draw.chance(0.8) else draw.between(0, 3)
            pieces += _sentence(draw, chosen, parameter, value_pieces(parameter, given[parameter.name], call))
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
        pieces += _flag_word(parameter, said, draw) or value_pieces(parameter, said, call)
    return pieces


def add_noise(draw: Draw, pieces: list[Piece]) -> list[Piece]:
    """Lower case, lost punctuation and typing slips, in the text around the values only."""
    is_lower = draw.chance(0.6)
    noisy: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and piece:
            if is_lower and piece.istitle() is False:
                piece = piece.lower() if not any(mark in piece for mark in "$€£") else piece
            if len(piece) > 12 and draw.chance(0.25):
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
    for piece in pieces:
        if isinstance(piece, str):
            part = piece
        else:
            part = piece.text
            spans.setdefault(piece.path, (position, position + len(part)))
        if position == 0 and part and isinstance(piece, str):
            part = part.lstrip(" ")
        text.append(part)
        position += len(part)
    return "".join(text), spans


def arguments_of(given: dict[str, Said]) -> dict[str, Any]:
    """The call's arguments, in schema order."""
    return {name: said[0] for name, said in given.items()}
