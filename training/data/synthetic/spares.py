"""Options that requests rarely speak of, beside arguments of the same type.

What fills them in a call that was never told about them is a value of another argument, so many tools with a
few arguments get some, and mostly none of them is said. They stand in `spares.txt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from . import words as w
from .draw import Draw
from .grammar import ParameterRule, parse_parameter

SAID_SHARE = 0.2
"""How often a spare is said where any other option would be."""
FLAG_SAID_SHARE = 0.7


@cache
def _spares() -> dict[str, tuple[ParameterRule, ...]]:
    """The options by what they are: numbers, texts or flags."""
    read: dict[str, list[ParameterRule]] = {}
    for line in files(__package__).joinpath("spares.txt").read_text(encoding="utf8").splitlines():
        if line.startswith("["):
            section = read.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            section.append(parse_parameter(line)._replace(is_required=False))
    return {name: tuple(rules) for name, rules in read.items()}


def spare_rules(draw: Draw, rules: Sequence[ParameterRule]) -> list[ParameterRule]:
    """Options for a tool that has these parameters: mostly numbers beside numbers and texts beside texts."""
    if not rules or len(rules) > 5 or draw.chance(0.55):
        return []
    has_numbers = any(rule.kind in _COUNTED for rule in rules)
    taken = {word for rule in rules for name in rule.names for word in name.split("_")}
    found: list[ParameterRule] = []
    for _ in range(draw.pick((1, 1, 2, 2, 3))):
        roll = draw.random()
        if roll < 0.2:
            rule = draw.pick(_spares()["flags"])
        elif (roll < 0.8) == has_numbers:
            rule = _number_like(draw, rules) if draw.chance(0.4) else draw.pick(_spares()["numbers"])
        else:
            rule = draw.pick(_spares()["texts"])
        words = {word for name in rule.names for word in name.split("_")}
        if not words & taken:
            taken |= words
            found.append(rule)
    return found


_COUNTED = frozenset(("int", "num", "percent", "money", "sci", "dur", "nth"))
_BEFORE = ("reference", "extra", "standard", "default", "background", "nominal", "external", "baseline")


def _number_like(draw: Draw, rules: Sequence[ParameterRule]) -> ParameterRule:
    """A number of no particular meaning, with bounds like those of a number that is needed."""
    like = [rule for rule in rules if rule.kind in ("int", "num", "money", "percent")]
    name = f"{draw.pick(_BEFORE)}_{draw.pick(w.NUMBER_NAMES)}"
    if not like:
        return ParameterRule((name,), "int", "1/100", False, None, ())
    rule = draw.pick(like)
    default = draw.pick((None, None, "0", "1"))
    return ParameterRule((name,), rule.kind, rule.argument, False, default, ())
