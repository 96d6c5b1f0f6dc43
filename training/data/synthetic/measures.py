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
from .naming import humanise, plural


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
        make = _action_of_two if draw.chance(0.22) else _action
        action = make(draw, theme, draw.pick(theme.quantities), draw.pick(theme.things))
        if action.object not in _known():
            return action


@cache
def _known() -> frozenset[str]:
    """What the domain grammar already calculates: said in its own words, and held out on its own."""
    return frozenset(action.object for action in actions())


def _action(draw: Draw, theme: _Theme, quantity: str, thing: str) -> Action:
    inputs: list[ParameterRule] = []
    for rule in draw.sample(theme.inputs, draw.pick((2, 2, 3, 3, 3, 4, 5))):
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
    """Questions with all the numbers in them, in the order of the parameters or in any other."""
    asks = draw.sample(_ASKS if len(inputs) > 1 else _ASKS[:-3], 4)
    return tuple(_ask(ask, quantity, said, _in_some_order(draw, inputs)) for ask in asks)


def _in_some_order(draw: Draw, inputs: list[ParameterRule]) -> list[ParameterRule]:
    return draw.shuffled(inputs) if draw.chance(0.5) else inputs


_ASKS = (
    "what is the {quantity} of {said} with {listed}",
    "if {stated}, what is the {quantity} of {said}",
    "the {quantity} of {said} with {short}",
    "{said} has {listed}. What is its {quantity}",
    "the {quantity} of {said} that has {listed}",
    "how do I get the {quantity} of {said} with {short}",
    "with {listed}, what is the {quantity} of {said}",
    "what {quantity} does {said} with {listed} have",
    "the {quantity} of {said}, taking {as_named}",
    "what is the {quantity} of {said} when {names} are {holes} respectively",
    "the {quantity} of {said} with {names} being {holes}",
    "take {holes} for the {names} of {said}, what is the {quantity}",
)
"""The last three list names and values apart."""


def _ask(ask: str, quantity: str, said: str, inputs: list[ParameterRule]) -> str:
    names = [humanise(rule.names[0]) for rule in inputs]
    holes = [f"{{{rule.names[0]}}}" for rule in inputs]
    pairs = list(zip(names, holes, strict=True))
    counts = [_is_count(name) for name in names]
    return ask.format(
        quantity=quantity,
        said=said,
        listed=_listed([_has(name, hole) for name, hole in pairs]),
        stated=_listed(
            [
                f"there are {hole} {name}" if is_count else f"the {name} is {hole}"
                for (name, hole), is_count in zip(pairs, counts, strict=True)
            ]
        ),
        short=_listed([f"{name} {hole}" for name, hole in pairs]),
        as_named=_listed([f"{hole} as {name}" for name, hole in pairs]),
        names=_listed(names),
        holes=_listed(holes),
    )


def _has(name: str, hole: str) -> str:
    return f"{hole} {name}" if _is_count(name) else f"{_with_article(name)} of {hole}"


_TWO_MARKS = (("1", "2"), ("1", "2"), ("_1", "_2"), ("_a", "_b"), ("first_", "second_"), ("left_", "right_"))
_TWO_NAMES = {
    "1": ("the first", "the second"),
    "_1": ("one", "the other"),
    "_a": ("the first", "the second"),
    "first_": ("the first", "the second"),
    "left_": ("the left one", "the right one"),
}
_TWO_ASKS = (
    "{one} has {has1} and {other} has {has2}. What is the {quantity} of the two {things}",
    "the {quantity} of two {things}, {one} with {has1}, {other} with {has2}",
    "what is the {quantity} of two {things} if {one} has {has1} and {other} {has2}",
    "with {short1} for {one} and {short2} for {other}, what is the {quantity} of two {things}",
    "I have two {things}: {one} has {has1}, {other} has {has2}. What is the {quantity}",
    "the {quantity} of two {things} where {one} has {short1} and {other} has {short2}",
    "two {things} with {plural_a} of {a1} and {a2} and {plural_b} of {b1} and {b2} respectively, "
    "what is the {quantity}",
    "what is the {quantity} of two {things}, {a1} and {b1} for {one}, {a2} and {b2} for {other}",
)


def _action_of_two(draw: Draw, theme: _Theme, quantity: str, thing: str) -> Action:
    """The same two numbers of two things: which belong together only the request tells."""
    rules = [rule for rule in draw.shuffled(theme.inputs) if not humanise(rule.names[0])[-1].isdigit()][:2]
    a, b = (rule._replace(names=rule.names[:1], is_required=True) for rule in rules)
    marks = draw.pick(_TWO_MARKS)
    if draw.chance(0.6):
        order = ((a, 0), (b, 0), (a, 1), (b, 1))
    else:
        order = ((a, 0), (a, 1), (b, 0), (b, 1))
    inputs = tuple(rule._replace(names=(_marked(rule.names[0], marks[at]),)) for rule, at in order)
    one, other = _TWO_NAMES[marks[0]]
    things = plural(thing)
    names = [humanise(rule.names[0]) for rule in (a, b)]
    holes = [[f"{{{_marked(rule.names[0], mark)}}}" for rule in (a, b)] for mark in marks]
    asks = [
        ask.format(
            quantity=quantity,
            things=things,
            one=one,
            other=other,
            has1=_listed([_has(name, hole) for name, hole in zip(names, holes[0], strict=True)]),
            has2=_listed([_has(name, hole) for name, hole in zip(names, holes[1], strict=True)]),
            short1=_listed([f"{name} {hole}" for name, hole in zip(names, holes[0], strict=True)]),
            short2=_listed([f"{name} {hole}" for name, hole in zip(names, holes[1], strict=True)]),
            plural_a=plural(names[0]),
            plural_b=plural(names[1]),
            a1=holes[0][0],
            b1=holes[0][1],
            a2=holes[1][0],
            b2=holes[1][1],
        )
        for ask in draw.sample(_TWO_ASKS, 4)
    ]
    options = [rule for rule in theme.options if draw.chance(0.2)]
    return Action(
        theme.name,
        "calc",
        FAMILIES["calc"],
        f"the {quantity} of two {things}",
        (*inputs, *options),
        (),
        tuple(asks),
        is_composed=True,
    )


def _marked(name: str, mark: str) -> str:
    return f"{mark}{name}" if mark.endswith("_") else f"{name}{mark}"


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
    if said.startswith("two "):
        thing = next(known for known in theme.things if plural(known) == thing)
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
