"""How a request begins: goals, questions, statements, and the wordings of the grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .callings import called, takes_article
from .draw import Draw
from .kinds import Piece, Said
from .phrases import ARTICLES, starts_relative, starts_with_consonant, value_pieces
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


_QUESTION_WORDS = frozenset(
    "how what which who where when is are do does can will should whats what's did has am could any "
    "anything in at for on of to may must why since".split()
)
_STATEMENT_WORDS = frozenset(
    "i i'm i'd i've i'll my we there it it's our someone you this one task ticket option don't".split()
)
_LAST_QUESTION = re.compile(
    r"[.,;:] (?:what|how|where|when|which|who|does|did|is|any)\b[^.]*$", re.IGNORECASE
)
_TO_ME = re.compile(r"\b(?:me|us|please)\b")
_ORDERS = ("{Goal}.", "{Goal}", "Can you {goal}?", "Could you {goal}?", "Hey, {goal}.", "Would you {goal}?")
_ASKING = ("Can you tell me: ", "Quick question: ", "Hey, ", "Tell me, ", "Question: ")


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
    if asks and draw.chance(0.6 if len(asks) < 2 else 0.75):
        opening = _open_with(draw, draw.pick(asks), tool, given, call)
        if opening is not None:
            return opening
    thing = draw.pick(action.said_objects) if action.said_objects and draw.chance(0.9) else action.object
    head = _OF_SOME.match(thing)
    if head and draw.chance(0.9) and any(_follows_of(p.phrases) for p in tool.parameters if p.name in given):
        thing = head[1]  # "the president of Peru", not "the president of a country of Peru"
    modifier = _modifier(draw, tool, given, thing) if allow_inside else None
    if modifier is not None:
        parameter, before, behind = modifier
        inside = [before, *value_pieces(parameter, given[parameter.name], call), " "]
        thing = _with_hole(thing)
        opening = _open_plainly(draw, tool, thing)
        front, _, rest = str(opening.before[0]).partition(_HOLE)
        if front.endswith(" a ") and not before and not starts_with_consonant(inside[1:]):
            front = f"{front[:-1]}n "
        return Opening([front, *inside, behind + rest], opening.after, (parameter.name,))
    return _open_plainly(draw, tool, thing)


def _open_plainly(draw: Draw, tool: DrawnTool, thing: str) -> Opening:
    """A question about the thing, or a wish to do what the tool does with it."""
    action = tool.action
    if action.family in ("calc", "get") and draw.chance(0.5):
        before, after = _question_about(draw, thing)
        return Opening([before + thing], after)
    verb = "look for" if tool.verb == "search" else draw.pick(action.verbs) if draw.chance(0.4) else tool.verb
    return _goal(draw, f"{verb} {thing}")


_HOLE = "\x00"
_COUNTED = frozenset(
    ("limit", "count", "top", "n", "num results", "number of results", "max results", "quantity", "number")
)
_KINDS_OF = frozenset(
    "type kind mode style category format level class gender season difficulty size".split()
)


def _with_hole(thing: str) -> str:
    """The thing with room for a word before its noun."""
    first, space, rest = thing.partition(" ")
    if first in ("a", "an", "the", "my", "some", "all"):
        return f"{'a' if first == 'an' else first} {_HOLE}{rest}"
    return _HOLE + thing


def _modifier(
    draw: Draw, tool: DrawnTool, given: dict[str, Said], thing: str
) -> tuple[Parameter, str, str] | None:
    """A value that can stand before the noun of the thing: "5 Italian restaurants", and words around it."""
    if not draw.chance(0.4):
        return None
    for parameter in draw.shuffled([p for p in tool.parameters if p.name in given]):
        value, pieces = given[parameter.name]
        text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and parameter.label in _COUNTED and _is_plural(thing) and 1 < value < 60:
            return parameter, draw.pick(("", "", "top ", "first ", "best ")), ""
        is_word = text.replace("-", "").replace(" ", "").isalpha() and len(text) < 16
        if not is_word or not isinstance(value, (str, list)):
            continue
        if parameter.kind_name == "enum":
            says_kind = bool(_KINDS_OF & set(parameter.label.split()))
            if says_kind and not text.startswith(("in ", "by ", "for ", "with ", "at ")):
                return parameter, "", ""
        elif takes_article(parameter.kind_name):
            return parameter, "", ""
    return None


def _question_about(draw: Draw, thing: str) -> tuple[str, str]:
    """What stands before and after the thing that is asked about."""
    before, _, after = draw.pick(QUESTIONS).partition("{thing}")
    if _is_plural(thing):
        before = before.replace("What is", "What are").replace("What's", "What are")
    return before, after


_OF_SOME = re.compile(r"(.+) of (?:a|an) ")


def _follows_of(phrases: tuple[str, ...]) -> bool:
    return any(phrase.startswith("of ") for phrase in phrases)


def _is_plural(thing: str) -> bool:
    """Whether the head noun is: "the roots of an equation", "flights"."""
    head = re.split(r" (?:of|for|in|on|from|to|with|about) ", f"{thing} ", maxsplit=1)[0].strip()
    return head.endswith("s") and not head.endswith(("ss", "us", "is"))


def _without_on(text: str) -> str:
    return text.removesuffix("on ") if text.endswith(" on ") else text


def _goal(draw: Draw, goal: str, openers: Sequence[str] = OPENERS) -> Opening:
    before, _, after = draw.pick(openers).partition("oal}")
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
        stands_behind = inside[-1] if inside else parts[0]
        if not str(stands_behind).endswith(ARTICLES) and not rest.startswith(("'", "-")):
            value = called(draw, parameter.kind_name, value)
        if starts_relative(value):  # "on tomorrow" is no English
            if inside and isinstance(inside[-1], str):
                inside[-1] = _without_on(inside[-1])
            elif not inside:
                parts[0] = _without_on(parts[0])
        if not starts_with_consonant(value):
            if inside and isinstance(inside[-1], str) and inside[-1].endswith(" a "):
                inside[-1] = f"{inside[-1][:-1]}n "
            elif not inside and parts[0].endswith(" a "):
                parts[0] = f"{parts[0][:-1]}n "
        inside += [*value, rest]
    if is_whole and len(used) < len(given):
        return None
    head = parts[0]
    return _opening_of(draw, ask, [head[:1].upper() + head[1:], *inside], head, inside, tuple(used), is_whole)


def _opening_of(
    draw: Draw,
    ask: str,
    sentence: list[Piece],
    head: str,
    inside: list[Piece],
    used: tuple[str, ...],
    is_whole: bool,
) -> Opening:
    """The wording as the sort of sentence that its words make it."""
    if is_whole:
        return Opening(sentence, "" if ask[-1] in "?.!。？" else draw.pick(("", ".")), used, True)
    first_word = head.split(" ", 1)[0].lower()
    if _LAST_QUESTION.search(ask):
        return Opening(sentence, "?", used)
    if first_word in _QUESTION_WORDS:
        return Opening([draw.pick(_ASKING) + head, *inside] if draw.chance(0.12) else sentence, "?", used)
    if not head or first_word in _STATEMENT_WORDS or "; " in ask:
        return Opening(sentence, ".", used)
    if first_word in ("the", "a", "an"):
        before, after = _question_about(draw, head)
        return Opening([before + head, *inside], after, used)
    goal = _goal(draw, head, _ORDERS if _TO_ME.search(ask) else OPENERS)
    return Opening([*goal.before, *inside], goal.after, used)
