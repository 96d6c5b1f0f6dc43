"""Reading the domain grammar (`domains*.txt`; the first lines of `domains.txt` say how it is written)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

FAMILIES = {
    "calc": ("calculate", "compute", "find", "determine", "work out", "get", "evaluate", "estimate"),
    "get": ("get", "fetch", "retrieve", "look up", "find", "show", "check"),
    "search": ("search", "find", "look for", "list"),
}


_CLAUSE_WORDS = ("how", "what", "when", "where", "who")


class ParameterRule(NamedTuple):
    """A parameter as the grammar has it, before its name, format and phrasing are drawn."""

    names: tuple[str, ...]
    kind: str
    argument: str
    is_required: bool
    default: str | None
    phrases: tuple[str, ...]
    description: str = ""
    """As its source describes it; empty: described by the generator."""


class Action(NamedTuple):
    """Something a tool can do."""

    domain: str
    family: str
    verbs: tuple[str, ...]
    object: str
    """As descriptions name it, article included."""
    parameters: tuple[ParameterRule, ...]
    said_objects: tuple[str, ...] = ()
    """As requests name it, where that differs."""
    asks: tuple[str, ...] = ()
    """Whole wordings: questions, goals, things or statements, `{parameter}` where a value is said inside."""
    is_composed: bool = False
    """Made of random words: its values cannot be told apart by their phrases, only by their names."""
    description: str = ""
    """As its source describes it; empty: described by the generator."""


def split_outside(text: str, separator: str) -> list[str]:
    """Split where the separator is not inside parentheses."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        depth += (character == "(") - (character == ")")
        if depth == 0 and text.startswith(separator, position):
            parts.append(text[start:position])
            position += len(separator)
            start = position
        else:
            position += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def parse_kind(text: str) -> tuple[str, str]:
    """`name(argument)` or `name`."""
    name, bracket, rest = text.partition("(")
    return name, rest[: rest.rindex(")")] if bracket else ""


def parse_parameter(text: str) -> ParameterRule:
    """`name|other?default=kind(argument)~phrase/phrase`."""
    head, _, body = text.partition("=")
    kind_text, *phrases = split_outside(body, "~")
    names, question, default = head.partition("?")
    kind, argument = parse_kind(kind_text)
    said = tuple(p for p in phrases[0].split("/") if "{}" in p) if phrases else ()
    return ParameterRule(tuple(names.split("|")), kind, argument, not question, default or None, said)


@cache
def actions() -> tuple[Action, ...]:
    """Every action of the grammar."""
    read = []
    domain = ""
    folder = files(__package__)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("domains"))
    more = _more_wordings(folder.joinpath("wordings.txt").read_text(encoding="utf8"))
    lines = [line for name in names for line in folder.joinpath(name).read_text(encoding="utf8").splitlines()]
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            domain = line.strip("[]")
            continue
        verbs, things, *rest = (part.strip() for part in line.split(" ;"))
        parameters = tuple(parse_parameter(part) for part in split_outside(rest[0], ", ")) if rest else ()
        asks = tuple(rest[1].split("|")) if len(rest) > 1 else ()
        family = next((verb for verb in verbs.split("|") if verb in FAMILIES), "do")
        thing, *said = things.split("|")
        asks += more.pop(thing, ())
        if family != "do":  # "get when it is open" is no English
            said = [name for name in said if name.split(" ", 1)[0] not in _CLAUSE_WORDS]
        verb_options = tuple(verb for name in verbs.split("|") for verb in FAMILIES.get(name, (name,)))
        read.append(Action(domain, family, verb_options, thing, parameters, tuple(said), asks))
    if more:
        raise ValueError(f"wordings.txt words what no action does: {', '.join(more)}")
    return tuple(read)


@cache
def senses() -> dict[str, frozenset[int]]:
    """The lines of `senses.txt` that a thing stands in: things of one line may be meant by one question."""
    found: dict[str, set[int]] = {}
    lines = files(__package__).joinpath("senses.txt").read_text(encoding="utf8").splitlines()
    groups: list[tuple[str, ...]] = []
    for line in lines:
        general, is_general, rest = line.partition(" > ")
        if is_general:
            groups += [(general, thing) for thing in rest.split(" | ")]
        elif line and not line.startswith("#"):
            groups.append(tuple(line.split(" | ")))
    for number, group in enumerate(groups):
        for thing in group:
            found.setdefault(thing, set()).add(number)
    return {thing: frozenset(numbers) for thing, numbers in found.items()}


def _more_wordings(text: str) -> dict[str, tuple[str, ...]]:
    """`thing ; wording|wording` lines: further wordings for the action about that thing."""
    more: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            thing, _, wordings = line.partition(" ; ")
            more[thing] = tuple(wordings.split("|"))
    return more
