"""Requests for several calls: the same tool with other values, and different tools in one message."""

from __future__ import annotations

from . import openings, phrases, requests
from .draw import Draw
from .kinds import Copy, Fixed, Piece, Said
from .naming import plural
from .tools import DrawnTool, Parameter

Givens = list[dict[str, Said]]


def say_repeated(draw: Draw, tool: DrawnTool, givens: Givens, varying: set[str]) -> list[Piece]:
    """One request for several calls of one tool; what does not vary is said once."""
    shared = {name: said for name, said in givens[0].items() if name not in varying}
    told_apart = [p for p in tool.parameters if p.name in varying]
    roll = draw.random()
    if not shared and roll < 0.2:
        said = [
            requests.say_request(draw, tool, given, number, is_alone=False)
            for number, given in enumerate(givens)
        ]
        return join_requests(draw, said)
    if told_apart and roll < 0.35:
        return _say_again(draw, tool, givens, shared, told_apart)
    opening = openings.open_request(draw, tool, givens[0], 0, allow_inside=False)
    common = phrases.say_values(draw, tool, shared, -1) if shared else []
    body = _say_all(draw, tool, givens, told_apart, bool(shared))
    if shared and draw.chance(0.5):
        return [*opening.before, *common, *body, opening.after]
    comma = "," if common and draw.chance(0.3) else ""
    return [*opening.before, *body, comma, *common, opening.after]


def later(pieces: list[Piece], first: int) -> list[Piece]:
    """The same request where its first call is call `first` of the message; nothing is said for all calls."""
    return [_later(piece, first) if isinstance(piece, Copy) else piece for piece in pieces]


def _later(piece: Copy, first: int) -> Copy:
    call, _, rest = piece.path.partition(":")
    return Copy(f"{int(call) + first}:{rest}", piece.text)


def _say_all(
    draw: Draw, tool: DrawnTool, givens: Givens, told_apart: list[Parameter], has_shared: bool
) -> list[Piece]:
    """The values of every call in one sentence."""
    is_simple = not any(p.kind.schema["type"] == "array" or p.kind.is_self_explaining for p in told_apart)
    if is_simple and 2 <= len(told_apart) <= 3:
        roll = draw.random()
        if roll < 0.3:
            return _say_respectively(draw, told_apart, givens)
        if roll < 0.5:
            return _say_groups(draw, told_apart, givens)
    if is_simple and len(told_apart) == 1 and draw.chance(0.8):
        return _say_one_varying(draw, told_apart[0], givens)
    joiner = draw.pick((" and also", ", and then", " and", "; then", " as well as", " and finally", ", and"))
    repeat = draw.pick(("", "", "", " another one", " one more", " again", " another")) if told_apart else ""
    varying = {p.name for p in told_apart}
    body: list[Piece] = []
    form = draw.between(0, 4)
    for number, given in enumerate(givens):
        part = {name: said for name, said in given.items() if name in varying}
        if number:
            body.append(joiner if number == len(givens) - 1 else ",")
            body.append(repeat)
        body += phrases.say_values(draw, tool, part, number, form=form)
    return body


def _say_one_varying(draw: Draw, parameter: Parameter, givens: Givens) -> list[Piece]:
    """As in "in Paris, Rome and Oslo" or "for 10, 20 and 30 years"."""
    items = [phrases.value_pieces(parameter, given[parameter.name], n) for n, given in enumerate(givens)]
    last = items[-1]
    unit = last[-1]
    if len(last) == 2 and isinstance(unit, str) and unit.startswith(" ") and draw.chance(0.6):
        if all(len(item) == 2 and item[-1] == unit for item in items):
            items = [item[:1] for item in items[:-1]] + [last]
    if draw.chance(0.12):
        items = [["both " if len(items) == 2 else "each of ", *items[0]], *items[1:]]
    return phrases.hang(draw, parameter, phrases.join_items(draw, items), len(givens))


def _say_respectively(draw: Draw, parameters: list[Parameter], givens: Givens) -> list[Piece]:
    """Values by parameter: "with bases 3 and 5 and heights 2 and 4, respectively"."""
    pieces: list[Piece] = []
    last = ", and " if len(parameters) > 2 or draw.chance(0.3) else " and "
    for place, parameter in enumerate(parameters):
        items = [phrases.value_pieces(parameter, given[parameter.name], n) for n, given in enumerate(givens)]
        listed = phrases.join_items(draw, items)
        if not place:
            pieces.append("")
        elif place == len(parameters) - 1:
            pieces.append(last.rstrip())
        else:
            pieces.append(",")
        if parameter.phrases and draw.chance(0.5):
            pieces += phrases.hang(draw, parameter, listed, len(givens))
        else:
            head = "" if place and draw.chance(0.5) else draw.pick((" with ", " for ", " using "))
            if not head and not str(pieces[-1]).endswith(" "):
                head = " "
            pieces += [f"{head}{plural(parameter.said_label)} ", draw.pick(("", "", "of ")), *listed]
    return [*pieces, draw.pick((", respectively", " respectively", " respectively", ""))]


def _say_groups(draw: Draw, parameters: list[Parameter], givens: Givens) -> list[Piece]:
    """Values by call, without names or with them: "(3, 4) and (5, 12)", "3 in Oslo and 5 in Rome"."""
    label = " and ".join(parameter.said_label for parameter in parameters)
    open_sign, between, close_sign, separator = draw.pick(
        (
            ("(", ", ", ")", ", "),
            ("", " and ", "", ", "),
            ("", " with ", "", ", "),
            ("", "/", "", ", "),
            ("", ": ", "", ", "),
        )
    )
    groups: list[list[Piece]] = []
    for number, given in enumerate(givens):
        group: list[Piece] = [open_sign]
        for place, parameter in enumerate(parameters):
            group += [
                between if place else "",
                *phrases.value_pieces(parameter, given[parameter.name], number),
            ]
        groups.append([*group, close_sign])
    body: list[Piece] = [
        draw.pick(
            (f" for {label} ", f" with {label} ", f" for these pairs of {label}: ", f" using {label} of ")
        )
    ]
    last = separator if between == " and " else draw.pick((" and ", ", and ", separator))
    for number, group in enumerate(groups):
        body += ["" if not number else last if number == len(groups) - 1 else separator, *group]
    return body


_AGAIN = (
    "Do the same",
    "Then do the same",
    "Also do it",
    "Do the same thing",
    "Repeat it",
    "And once more",
    "Then again",
    "Now the same",
    "I also need it",
    "Also",
    "And another one",
    "What about the same",
)


def _say_again(
    draw: Draw, tool: DrawnTool, givens: Givens, shared: dict[str, Said], told_apart: list[Parameter]
) -> list[Piece]:
    """The first call in full, the others by what is different: "... Do the same with a base of 7."."""
    opening = openings.open_request(draw, tool, givens[0], 0, allow_inside=False)
    common = phrases.say_values(draw, tool, shared, -1) if shared else []
    form = draw.between(0, 4)
    pieces: list[Piece] = [*opening.before, *common] if draw.chance(0.5) else [*opening.before]
    has_common = len(pieces) > len(opening.before)
    varying = {p.name for p in told_apart}
    for number, given in enumerate(givens):
        part = {name: said for name, said in given.items() if name in varying}
        if number:
            again = draw.pick(_AGAIN)
            pieces.append(f" {again}")
        pieces += phrases.say_values(draw, tool, part, number, form=form if draw.chance(0.7) else None)
        if not number:
            pieces += [] if has_common else common
            pieces.append(opening.after or ".")
        else:
            pieces.append("?" if again.startswith("What") else ".")
    return pieces


_ORDERED = (
    ("First, ", "Second, ", "Third, ", "Finally, "),
    ("First, ", "Then, ", "After that, ", "Lastly, "),
    ("First, ", "Secondly, ", "Thirdly, ", "Finally, "),
    ("1. ", "2. ", "3. ", "4. "),
    ("1) ", "2) ", "3) ", "4) "),
    ("- ", "- ", "- ", "- "),
)
_FRAMES = (
    "Can you help me with {} tasks? ",
    "I need a few things. ",
    "Could you help me with the following? ",
    "I have {} requests. ",
    "Please do these {} things: ",
    "I need help with {} things. ",
    "",
    "",
)
_JOINERS = (
    " Also, ",
    " Then, ",
    " And ",
    " After that, ",
    " ",
    " Next, ",
    " Additionally, ",
    " In addition, ",
)
_INNER = (" and ", ", and ", " and also ", ", then ", " and then ", " as well as ")
_COUNTS = ("no", "one", "two", "three", "four", "five", "six")


def join_requests(draw: Draw, said: list[list[Piece]]) -> list[Piece]:
    """Whole requests as one message: sentence after sentence, in one sentence, or numbered."""
    before: list[Piece] = [requests.context(draw), " "] if draw.chance(0.1) else []
    return [*before, *_joined(draw, said)]


def _joined(draw: Draw, said: list[list[Piece]]) -> list[Piece]:
    roll = draw.random()
    if 2 <= len(said) <= 4 and roll < 0.2:
        return _numbered(draw, said)
    is_one_sentence = roll < 0.55 and len(said) <= 3
    joiner = draw.pick(_INNER if is_one_sentence else _JOINERS)
    pieces: list[Piece] = []
    for number, request in enumerate(said):
        if number:
            can_follow = is_one_sentence and _is_sentence(pieces) and _is_sentence(request)
            if can_follow:
                pieces = _without_end(pieces)
            link = joiner if can_follow or not is_one_sentence else " Also, "
            if len(said) > 2 and number == len(said) - 1 and link.endswith(", ") and draw.chance(0.3):
                link = " Finally, " if not can_follow else link
            pieces.append(", " if can_follow and number < len(said) - 1 else link)
            request = requests.decapitalise(request) if pieces[-1] != " " else request
        pieces += request
    return pieces


def _numbered(draw: Draw, said: list[list[Piece]]) -> list[Piece]:
    marks = draw.pick(_ORDERED)
    is_list = not marks[0][:1].isalpha()
    frame = draw.pick(_FRAMES).format(_COUNTS[len(said)])
    pieces: list[Piece] = [frame.rstrip() if is_list else frame]
    for number, request in enumerate(said):
        mark = (
            marks[number]
            if number < len(said) - 1 or is_list or number == 3
            else draw.pick((marks[number], "Finally, "))
        )
        start = "\n" if is_list and (number or frame) else " " if number else ""
        pieces += [f"{start}{mark}", *(request if is_list else requests.decapitalise(request))]
    return pieces


def _is_sentence(pieces: list[Piece]) -> bool:
    """Whether it is one sentence of running text, so that another may follow in the same."""
    text = "".join(piece if isinstance(piece, str) else "x" for piece in pieces)
    return (
        "\n" not in text and ". " not in text and "? " not in text and "! " not in text and ": " not in text
    )


def _without_end(pieces: list[Piece]) -> list[Piece]:
    """The same without the sign at the end."""
    last = pieces[-1] if pieces else ""
    if isinstance(last, str) and not isinstance(last, Fixed):
        return [*pieces[:-1], last.rstrip(".?")]
    return pieces
