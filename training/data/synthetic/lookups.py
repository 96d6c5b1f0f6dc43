"""Tools that look something up about a thing with a name, and their siblings about the same thing.

"The length of a river" and "the source of a river" differ in a word, and the question may name neither
("how long is the Nile").
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from .draw import Draw
from .grammar import FAMILIES, Action, ParameterRule, actions


class _Attribute(NamedTuple):
    name: str
    question: str
    units: tuple[str, ...]


class _Thing(NamedTuple):
    name: str
    kind: str
    article: str
    attributes: tuple[_Attribute, ...]


@cache
def _things() -> tuple[_Thing, ...]:
    read = []
    known = {
        action.object for action in actions()
    }  # those are said in their own words, and held out on their own
    for line in files(__package__).joinpath("lookups.txt").read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            name, kind, attributes = line.split(" ; ")
            read.append(
                _Thing(
                    name,
                    kind.removeprefix("+"),
                    "the " if kind.startswith("+") else "",
                    tuple(
                        attribute
                        for attribute in map(_read_attribute, attributes.split("|"))
                        if _object(attribute, name) not in known
                    ),
                )
            )
    return tuple(read)


def _object(attribute: _Attribute, thing: str) -> str:
    noun = thing.split(" or ")[0]
    return f"the {attribute.name} of {'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _read_attribute(text: str) -> _Attribute:
    name, _, rest = text.partition(":")
    question, _, units = rest.partition(":")
    options = units.replace("km/h/mph", "km_h mph").replace("/", " ").split() if units else []
    if "light years" in units:
        options = ["light_years", "parsecs"]
    return _Attribute(name, question, tuple(options))


_UNIT_WORDS = {
    "km": "kilometers",
    "m": "meters",
    "ft": "feet",
    "cm": "centimeters",
    "kg": "kilograms",
    "km_h": "kilometers per hour,km/h",
    "mph": "miles per hour",
    "km2": "square kilometers",
    "mi2": "square miles",
    "celsius": "degrees Celsius,Celsius",
    "kelvin": "Kelvin",
    "fahrenheit": "degrees Fahrenheit,Fahrenheit",
    "light_years": "light years",
}
_EXTRAS = (
    ParameterRule(("year", "in_year"), "int", "1950/2030", False, None, ("in {}",)),
    ParameterRule(("language", "lang"), "language", "", False, None, ("in {}",)),
    ParameterRule(("region", "country"), "countryname", "", False, None, ("in {}",)),
    ParameterRule(
        ("include_sources", "with_sources"),
        "flag",
        "with sources,including sources/without sources",
        False,
        None,
        ("{}",),
    ),
    ParameterRule(
        ("include_history", "history"),
        "flag",
        "including its history,with its history/without its history",
        False,
        None,
        ("{}",),
    ),
    ParameterRule(
        ("detail", "detail_level"), "enum", "short:in brief,briefly/full:in detail", False, None, ("{}",)
    ),
    ParameterRule(("format", "output_format"), "enum", "text/table/json:JSON", False, None, ("as {}",)),
)


def lookup_action(draw: Draw) -> Action:
    """Any of the lookups."""
    thing = draw.pick(_things())
    if len(thing.attributes) > 2 and draw.chance(0.22):
        return _profile_action(draw, thing)
    return _action(draw, thing, draw.pick(thing.attributes))


_PROFILES = (
    ("the information about {}", ("info", "information", "info_type")),
    ("the details of {}", ("details", "fields", "detail")),
    ("the facts about {}", ("facts", "fact", "aspect")),
    ("the profile of {}", ("fields", "attributes", "attribute")),
    ("the statistics of {}", ("stats", "metrics", "stat")),
    ("the properties of {}", ("properties", "property", "parameters")),
)


def _profile_action(draw: Draw, thing: _Thing) -> Action:
    """A lookup that is told which attributes: one of them, or a list of those that are asked for."""
    noun = thing.name.split(" or ")[0]
    title, (many, also, one) = draw.pick(_PROFILES)
    attributes = draw.sample([attribute.name for attribute in thing.attributes], draw.between(3, 6))
    joined = "/".join(f"{name.replace(' ', '_')}:{name}" if " " in name else name for name in attributes)
    name = noun.replace(" ", "_")
    the = thing.article
    is_list = draw.chance(0.65)
    what = (
        ParameterRule((many, also), "listof", f"enum({joined})", True, None, ("including {}", "with {}"))
        if is_list
        else ParameterRule((one, also.removesuffix("s")), "enum", joined, True, None, ("namely {}",))
    )
    names = draw.pick(((f"{name}_name", name, "name"), (name, "name"), ("name", name)))
    said = ParameterRule(names, thing.kind, "", True, None, (f"of {the}{{}}", f"for {the}{{}}"))
    rules = [said, what] if draw.chance(0.8) else [what, said]
    place, fields = f"{the}{{{names[0]}}}", f"{{{what.names[0]}}}"
    asks = (
        f"the {fields} of {place}",
        f"what is the {fields} of {place}",
        f"find the {fields} for {place}",
        f"tell me about the {fields} of {place}",
        f"check the {fields} of {place}",
        f"look {place} up and tell me the {fields}",
    )
    thing_said = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    return Action(
        f"{thing.name} profiles",
        "get",
        FAMILIES["get"],
        title.format(thing_said),
        tuple(rules),
        (),
        asks,
        is_composed=True,
    )


def _action(draw: Draw, thing: _Thing, attribute: _Attribute) -> Action:
    noun = thing.name.split(" or ")[0]
    name = noun.replace(" ", "_")
    names = draw.pick(
        ((f"{name}_name", name, "name"), (name, "name", f"{name}_name"), ("name", f"{name}_name", name))
    )
    the = thing.article
    said = ParameterRule(
        names, thing.kind, "", True, None, (f"of {the}{{}}", f"of {the}{{}}", f"for {the}{{}}")
    )
    rules = [said]
    if attribute.units and draw.chance(0.6):
        units = "/".join(
            f"{unit}:{_UNIT_WORDS[unit]}" if unit in _UNIT_WORDS else unit for unit in attribute.units
        )
        rules.append(ParameterRule(("unit", "units"), "enum", units, False, None, ("in {}",)))
    while draw.chance(0.35) and len(rules) < 4:
        extra = draw.pick(_EXTRAS)
        if all(extra.names[0] != rule.names[0] for rule in rules) and extra.names[1] != name:
            is_required = extra.names[0] in ("year", "region") and draw.chance(0.3)
            rules.append(extra._replace(is_required=is_required))
    place = f"{the}{{{names[0]}}}"
    asks = [
        f"what is the {attribute.name} of {place}",
        f"the {attribute.name} of {place}",
        f"the {attribute.name} for {place}",
    ]
    if attribute.name.endswith("s") and not attribute.name.endswith(("ss", "us", "is")):
        asks[0] = f"what are the {attribute.name} of {place}"
    if attribute.question:
        question = attribute.question.replace("{}", place)
        asks += [question, question, question, f"I'd like to know: {question}"]
    if not the and " " not in attribute.name:
        asks.append(f"look up {place}'s {attribute.name}")
    return Action(
        thing.name,
        "get",
        FAMILIES["get"],
        _object(attribute, thing.name),
        tuple(rules),
        (f"the {attribute.name}",),
        tuple(asks),
        is_composed=True,
    )


def sibling_lookups(draw: Draw, action: Action, count: int) -> list[Action]:
    """Lookups about the same thing, or of the same attribute of another; none if the action is no lookup."""
    things = _things()
    thing = next((thing for thing in things if thing.name == action.domain), None)
    if thing is None:
        return []
    found: list[Action] = []
    for _ in range(count + 1):
        if draw.chance(0.75):
            other = _action(draw, thing, draw.pick(thing.attributes))
        else:
            stranger = draw.pick(things)
            other = _action(draw, stranger, draw.pick(stranger.attributes))
        is_known = any(other.object == known.object for known in found)
        if not is_known and other.object != action.object and other.said_objects != action.said_objects:
            found.append(other)
    return found
