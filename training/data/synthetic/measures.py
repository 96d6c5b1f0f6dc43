"""Tools that calculate a quantity of a thing from a few numbers, and their siblings in the same theme.

The numbers are told apart by their parameters' names alone, and siblings take the same parameters: the
request must be read closely.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from .draw import Draw
from .grammar import FAMILIES, Action, ParameterRule, actions, parse_parameter, split_outside
from .naming import humanise


class _Theme(NamedTuple):
    name: str
    quantities: tuple[str, ...]
    things: tuple[str, ...]
    inputs: tuple[ParameterRule, ...]
    options: tuple[ParameterRule, ...]


@cache
def _themes() -> tuple[_Theme, ...]:
    read = []
    for line in files(__package__).joinpath("measures.txt").read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            name, quantities, things, inputs, options = line.split(" ; ")
            read.append(
                _Theme(
                    name,
                    tuple(quantities.split("|")),
                    tuple(things.split("|")),
                    tuple(map(parse_parameter, split_outside(inputs, ", "))),
                    tuple(map(parse_parameter, split_outside(options, ", "))),
                )
            )
    return tuple(read)


def _with_article(noun: str) -> str:
    is_vowel = noun[0] in "aeio" or noun in ("n", "f", "x")
    return f"an {noun}" if is_vowel else f"a {noun}"


def measure_action(draw: Draw) -> Action:
    """Any quantity of any thing, from two to four numbers."""
    while True:
        theme = draw.pick(_themes())
        action = _action(draw, theme, draw.pick(theme.quantities), draw.pick(theme.things))
        if action.object not in _known():
            return action


@cache
def _known() -> frozenset[str]:
    """What the domain grammar already calculates: said in its own words, and held out on its own."""
    return frozenset(action.object for action in actions())


def _action(draw: Draw, theme: _Theme, quantity: str, thing: str) -> Action:
    inputs: list[ParameterRule] = []
    for rule in draw.sample(theme.inputs, draw.pick((2, 2, 3, 3, 3, 4))):
        if not any(set(rule.names) & set(other.names) for other in inputs):
            inputs.append(rule if len(inputs) < 2 or draw.chance(0.8) else rule._replace(is_required=False))
    inputs.sort(key=lambda rule: not rule.is_required)
    options = [rule for rule in theme.options if draw.chance(0.3)]
    said = _with_article(thing)
    return Action(
        theme.name,
        "calc",
        FAMILIES["calc"],
        f"the {quantity} of {said}",
        (*inputs, *options),
        (),
        _asks(draw, quantity, said, [rule for rule in inputs if rule.is_required]),
        is_composed=True,
    )


def _asks(draw: Draw, quantity: str, said: str, inputs: list[ParameterRule]) -> tuple[str, ...]:
    """Questions with all the numbers in them."""
    names = [humanise(rule.names[0]) for rule in inputs]
    holes = [f"{{{rule.names[0]}}}" for rule in inputs]
    listed = _listed(
        [
            f"{hole} {name}" if _is_count(name) else f"{_with_article(name)} of {hole}"
            for name, hole in zip(names, holes, strict=True)
        ]
    )
    stated = _listed(
        [
            f"there are {hole} {name}" if _is_count(name) else f"the {name} is {hole}"
            for name, hole in zip(names, holes, strict=True)
        ]
    )
    short = _listed([f"{name} {hole}" for name, hole in zip(names, holes, strict=True)])
    asks = [
        f"what is the {quantity} of {said} with {listed}",
        f"if {stated}, what is the {quantity} of {said}",
        f"the {quantity} of {said} with {short}",
        f"{said} has {listed}. What is its {quantity}",
        f"the {quantity} of {said} that has {listed}",
        f"how do I get the {quantity} of {said} with {short}",
    ]
    if len(inputs) > 1:
        asks.append(
            f"what is the {quantity} of {said} when {_listed(names)} are {_listed(holes)} respectively"
        )
    return tuple(draw.sample(asks, 3))


def _is_count(name: str) -> bool:
    """Whether it counts things: "13 windows", not "a windows of 13"."""
    return name.endswith("s") and not name.endswith(("ss", "us", "costs", "sales", "expenses"))


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def sibling_measures(draw: Draw, action: Action, count: int) -> list[Action]:
    """Other quantities of the same thing, the same quantity of others; none if the action is no measure."""
    themes = _themes()
    theme = next((theme for theme in themes if action.domain == theme.name), None)
    if theme is None:
        return []
    quantity, _, said = action.object.removeprefix("the ").rpartition(" of ")
    thing = said.partition(" ")[2]
    found: list[Action] = []
    for _ in range(count + 1):
        if draw.chance(0.6):
            other = _action(draw, theme, draw.pick(theme.quantities), thing)
            if draw.chance(0.5):  # the very same parameters
                other = other._replace(parameters=action.parameters, asks=())
        else:
            other = _action(draw, theme, quantity, draw.pick(theme.things))
        is_new = all(other.object != known.object for known in (action, *found))
        if is_new and other.object not in _known():
            found.append(other)
    return found
