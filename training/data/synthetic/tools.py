"""Drawing a tool from an action: its name, its parameters' names, descriptions, bounds and defaults."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .draw import Draw
from .grammar import Action, ParameterRule, senses
from .kinds import Kind
from .naming import STYLES, arbitrary_name, content_words, humanise, parameter_name, tool_name
from .objects import draw_kind
from .spares import spare_rules


@dataclass(slots=True)
class Parameter:
    """One drawn parameter."""

    name: str
    label: str
    kind: Kind
    description: str
    is_required: bool
    default: Any = None
    has_default: bool = False
    phrases: tuple[str, ...] = ()
    rule_name: str = ""
    """The parameter's name in the grammar: wordings refer to it."""
    beside: str = ""
    """What the schema allows beside the value: nothing, null in `type`, or a union ("anyOf null")."""
    said_label: str = ""
    """What requests call it: its label, or another word for it."""
    kind_name: str = ""
    """Its kind in the grammar."""
    is_spare: bool = False
    """An option that is rarely said."""


@dataclass(slots=True)
class DrawnTool:
    """One drawn tool, as a schema and as something people ask for."""

    action: Action
    name: str
    verb: str
    description: str
    parameters: list[Parameter]

    def as_dict(self) -> dict[str, Any]:
        """The tool as it is offered."""
        properties: dict[str, Any] = {}
        for parameter in self.parameters:
            schema = dict(parameter.kind.schema)
            if parameter.beside == "type":
                schema["type"] = [schema["type"], "null"]
            elif parameter.beside:
                keyword, _, other = parameter.beside.partition(" ")
                schema = {keyword: [schema, {"type": other}]}
            if parameter.description:
                schema["description"] = parameter.description
            if parameter.has_default:
                schema["default"] = parameter.default
            properties[parameter.name] = schema
        schema = {
            "type": "object",
            "properties": properties,
            "required": [parameter.name for parameter in self.parameters if parameter.is_required],
        }
        return {"name": self.name, "description": self.description, "parameters": schema}


def third_person(verb: str) -> str:
    """`book` -> `Books`, `look up` -> `Looks up`, `search` -> `Searches`."""
    first, space, rest = verb.partition(" ")
    if first.endswith(("s", "sh", "ch", "x", "z", "o")):
        first += "es"
    elif first.endswith("y") and first[-2] not in "aeiou":
        first = first[:-1] + "ies"
    else:
        first += "s"
    return first + space + rest


_REMARKS = (
    "Returns JSON.",
    "Values must be typed as declared.",
    "Optional arguments may be left out.",
    "Results are rounded.",
    "Fails if nothing matches.",
    "The user must be logged in.",
    "Supports paging.",
    "The result can be cached for an hour.",
    "Units follow the metric system unless stated otherwise.",
    "Use the other tools for anything else.",
    "Only the required arguments must be given; everything else has a sensible default.",
    "The answer holds a status and a message.",
    "Call it once for each item.",
    "Do not call it twice with the same arguments.",
    "An error is returned if a value is out of range. Nothing is changed in that case.",
    "Works for all regions.",
    "Requires a valid licence.",
    "This is the newest version of the interface; older ones will be removed soon.",
    "Strings are matched exactly, upper and lower case matter.",
    "Times are local times. Dates are checked against the calendar.",
    "At most 100 calls a minute are possible.",
)


def _describe_tool(draw: Draw, action: Action, verb: str, parameters: list[Parameter]) -> str:
    if action.description and draw.chance(0.7):
        return action.description
    thing = action.object
    if verb == "search":
        verb = "search for"
    said = f"{verb} {thing}"
    third = f"{third_person(verb)} {thing}"
    roll = draw.random()
    required = [parameter.label for parameter in parameters if parameter.is_required]
    given = " and ".join(required[:3])
    if roll < 0.3:
        text = said
    elif roll < 0.5:
        text = third
    elif roll < 0.62 and given:
        text = f"{said} {draw.pick(('given', 'based on', 'from', 'using', 'for a given'))} {given}"
    elif roll < 0.7:
        text = f"this {draw.pick(('function', 'tool', 'endpoint', 'method', 'API'))} {third}"
    elif roll < 0.78:
        text = f"use this to {said}"
    elif roll < 0.86 and action.family in ("calc", "get"):
        text = f"{draw.pick(('returns', 'provides', 'gives'))} {thing}"
    else:
        extra = draw.pick(
            (*_REMARKS, f"Part of the {action.domain} service.", f"Belongs to {action.domain}.")
        )
        text = f"{third}. {extra}".rstrip(".")
    return text[0].upper() + text[1:] + ("." if draw.chance(0.8) else "")


_ARTICLES = ("a", "an", "the", "my")
_PREPOSITIONS = ("on", "in", "from", "to", "with", "at", "for", "by")


def subject_of(action: Action) -> str:
    """The thing whose attributes the parameters are: `the area of a triangle` -> `triangle`."""
    text = action.object
    if " of " in text and action.family in ("calc", "get"):
        text = text.rsplit(" of ", 1)[1]
    words = text.split(" ")
    while len(words) > 1 and words[0] in (*_ARTICLES, *_PREPOSITIONS):
        words = words[1:]
    for number, word in enumerate(words):
        if number and word in _PREPOSITIONS:
            words = words[:number]
            break
    return " ".join(words)


def _flag_texts(label: str) -> tuple[str, ...]:
    first = label.split(" ", 1)[0]
    if first in (
        "include",
        "show",
        "notify",
        "send",
        "allow",
        "request",
        "hide",
        "skip",
        "keep",
        "use",
        "return",
        "add",
        "match",
    ):
        return (
            f"whether to {label}",
            f"if true, {label}",
            f"set to true to {label}",
            f"whether to {label} or not",
        )
    if first in ("is", "has"):
        return (f"whether it {label}", f"true if it {label}", f"{label}, true or false")
    return (
        f"whether {label} applies",
        f"true for {label}",
        f"{label} or not",
        f"whether {label} is wanted",
        f"a flag for {label}",
        f"{label} yes or no",
    )


def _describe_parameter(
    draw: Draw, rule: ParameterRule, label: str, kind: Kind, subject: str, shown: Any, has_default: bool
) -> str:
    if rule.description and not kind.hint and draw.chance(0.8):
        return rule.description
    roll = draw.random()
    if roll >= 0.3 and roll < 0.8 or set(label.split()) & set(subject.split()):
        roll = 0.3 + 0.5 * draw.random()
    if roll < 0.3:
        text = f"the {label} of the {subject}"
    elif roll < 0.55:
        text = f"the {label}"
    elif roll < 0.7:
        text = label
    elif roll < 0.8:
        text = f"the {label} to use"
    elif roll < 0.9:
        text = f"{label} for the {subject}"
    else:
        text = f"specifies the {label}"
    if kind.schema["type"] == "boolean":
        text = draw.pick(_flag_texts(label))
    elif kind.schema["type"] == "array":
        text = f"list of {label}" if roll < 0.5 else text
    if kind.hint and kind.hint.removeprefix("in ") not in label:
        hint = kind.hint
        text += draw.pick((", {}", " ({})", " {}", ". {}")).format(hint)
    text = text[0].upper() + text[1:]
    if draw.chance(0.09):
        text += f". {draw.pick(_PARAMETER_REMARKS)}"
    if not rule.is_required:
        roll = draw.random()
        if has_default and roll < 0.7:
            text += draw.pick(
                (
                    ". Default is {}",
                    " (defaults to {})",
                    ". Defaults to {}",
                    ". Optional. Default is {}",
                    " (default: {})",
                )
            ).format(json.dumps(shown) if not isinstance(shown, str) else draw.pick((f"'{shown}'", shown)))
        elif roll < 0.85:
            text = draw.pick(
                (
                    f"{text} (optional)",
                    f"Optional. {text}",
                    f"{text}. Optional",
                    f"Optional {text[0].lower()}{text[1:]}",
                )
            )
    return text + ("." if draw.chance(0.75) else "")


_PARAMETER_REMARKS = (
    "It is used to find the right entry in the database",
    "Upper and lower case do not matter",
    "Must not be empty",
    "Only needed for some regions",
    "Spaces at both ends are removed",
    "The service rejects values that are out of range",
    "This must match an existing entry",
    "Leave it out if the user does not mention it",
    "It is shown to the user in the confirmation",
    "See the documentation of the service for all details",
    "Use the value exactly as the user says it",
    "This is what the results are based on",
    "It helps to narrow the results down",
    "Do not guess it",
    "Older versions of the service called this differently",
    "May be changed later",
)


def _default_of(rule: ParameterRule, kind: Kind) -> tuple[Any, bool]:
    if rule.default is None:
        return None, False
    kind_type = kind.schema["type"]
    if kind_type in ("integer", "number"):
        value = json.loads(rule.default)
        fits = kind.schema.get("minimum", value) <= value <= kind.schema.get("maximum", value)
        return (value, True) if fits else (None, False)
    if kind_type == "string":
        options = kind.schema.get("enum")
        if options is None:
            return (rule.default, True) if rule.kind != "enum" else (None, False)
        matches = [
            option for option in options if str(option).lower().replace(" ", "_") == rule.default.lower()
        ]
        return (matches[0], True) if matches else (None, False)
    return None, False


def _beside(draw: Draw, rule: ParameterRule) -> str:
    """What else a parameter may be: null where it is optional, or a type that its values never look like."""
    if rule.kind in ("int", "num") and draw.chance(0.3):
        return draw.pick(("oneOf string", "anyOf string"))
    if rule.kind in ("cities", "person", "companies", "topics", "products") and draw.chance(0.4):
        return draw.pick(("oneOf integer", "anyOf integer"))
    return "" if rule.is_required else draw.pick(("type", "anyOf null", "anyOf null"))


def draw_parameter(
    draw: Draw,
    rule: ParameterRule,
    style: str,
    subject: str,
    *,
    is_arbitrary: bool,
    says_units: bool = True,
    says_currency: bool = True,
    says_letters: bool = False,
    variant: int | None = None,
    kinds: dict[tuple[str, str], Kind] | None = None,
) -> Parameter:
    """One parameter from its rule.

    The names of one variant go together (a and b, num1 and num2). `kinds` are those drawn for the tool so
    far: start and end mostly have the same format.
    """
    argument = rule.argument
    if not says_units and rule.kind in ("int", "num"):  # "10 cm" would also fill the tool's own `unit`
        argument = "/".join(argument.split("/")[:2])
    if not says_currency and rule.kind == "money":  # "$10" would also fill the tool's own `currency`
        argument = f"{argument or '5/5000'}/plain"
    if variant is not None and variant < len(rule.names) and draw.chance(0.85):
        chosen = rule.names[variant]
    else:
        chosen = rule.names[0] if draw.chance(0.5) else draw.pick(rule.names)
    if rule.kind == "percent" and not argument:
        argument = chosen  # a rate is a fraction, a percentage is not
    known = kinds.get((rule.kind, argument)) if kinds is not None else None
    kind = known if known is not None and draw.chance(0.9) else draw_kind(draw, rule.kind, argument)
    if kinds is not None:
        kinds[rule.kind, argument] = kind
    label = humanise(chosen)
    if len(chosen) == 1 and not says_letters:
        label = humanise(
            draw.pick(rule.names) if variant is None else rule.names[(variant + 1) % len(rule.names)]
        )
    default, has_default = _default_of(rule, kind)
    has_default = has_default and draw.chance(0.8)
    description = _describe_parameter(draw, rule, label, kind, subject, default, has_default)
    if draw.chance(0.07) and not kind.hint and not is_arbitrary and len(chosen) > 1:
        description = ""
    name = (
        arbitrary_name(draw, "snake", draw.between(1, 2)) if is_arbitrary else parameter_name(style, chosen)
    )
    phrases = rule.phrases or kind.phrases
    said = label
    if len(rule.names) > 1 and draw.chance(0.2):
        said = max(humanise(draw.pick(rule.names)), label if len(label) < 3 else "", key=len)
    shows_default = has_default and draw.chance(0.55)
    beside = ""
    if "enum" not in kind.schema and draw.chance(0.07 if not rule.is_required else 0.02):
        beside = _beside(draw, rule)
    return Parameter(
        name,
        label,
        kind,
        description,
        rule.is_required,
        default if has_default else None,
        shows_default,
        phrases,
        rule.names[0],
        beside,
        said,
        rule.kind,
    )


_PHRASED = {
    "date": frozenset("date day deadline expiry on arrival departure created valid".split()),
    "time": frozenset("time arrival departure opening".split()),
    "datetime": frozenset("date day deadline time arrival departure".split()),
    "month": frozenset(("month",)),
    "city": frozenset(("city", "location", "place")),
}
"""Labels of composed parameters that "on Friday", "at noon" or "in Oslo" can only mean."""


def draw_tool(draw: Draw, action: Action, *, verb: str | None = None) -> DrawnTool:
    """A tool for an action: named after it in most draws, arbitrarily in the others."""
    style = draw.pick(STYLES)
    verb = verb or draw.pick(action.verbs)
    is_arbitrary = draw.chance(0.15)
    has_arbitrary_parameters = draw.chance(0.08)
    subject = subject_of(action)
    rules = list(action.parameters)
    if draw.chance(0.55):
        rules = [rule for rule in rules if rule.is_required or draw.chance(0.5)]
    if draw.chance(0.15):
        rules = draw.shuffled(rules)
    kinds = [rule.kind for rule in rules]
    spares = spare_rules(draw, rules)
    variant = 0 if draw.chance(0.45) else draw.between(0, 2)
    says_letters = draw.chance(0.4)
    drawn: dict[tuple[str, str], Kind] = {}
    says_units = not any("unit" in name for rule in rules for name in rule.names)
    parameters: list[Parameter] = []
    seen: set[str] = set()
    placed = [*rules, *spares] if draw.chance(0.75) else draw.shuffled([*rules, *spares])
    for rule in placed:
        parameter = draw_parameter(
            draw,
            rule,
            style,
            subject,
            is_arbitrary=has_arbitrary_parameters,
            says_units=says_units,
            says_currency="currency" not in kinds,
            says_letters=says_letters,
            variant=variant,
            kinds=drawn,
        )
        while parameter.name in seen:
            parameter.name = f"{parameter.name}_{len(seen)}"
        seen.add(parameter.name)
        parameter.is_spare = rule in spares
        if parameter.is_spare and not parameter.kind.is_self_explaining:
            parameter.phrases = ()
        elif not rule.phrases and (
            kinds.count(rule.kind) > 1
            or action.is_composed
            and not (rule.kind == "dur" or set(parameter.label.split()) & _PHRASED.get(rule.kind, set()))
        ):  # "in Paris in Rome" would not tell which is which
            parameter.phrases = ()
        parameters.append(parameter)
    if is_arbitrary:
        name = arbitrary_name(draw, style, draw.between(2, 3))
    else:
        name = tool_name(draw, style, verb, action.object, action.domain)
    return DrawnTool(action, name, verb, _describe_tool(draw, action, verb, parameters), parameters)


_ASKED = ("calc", "get", "search")
_SYNONYMS = {
    verb: group[0]
    for group in (
        ("create", "make", "add", "open", "set up", "insert", "register", "generate", "write", "draft"),
        ("delete", "remove", "erase", "cancel", "terminate", "call off"),
        ("change", "edit", "update", "modify", "set", "adjust"),
        ("get", "show", "fetch", "read", "look up", "find", "list", "check", "search", "track", "select"),
        ("book", "reserve", "order", "buy", "purchase"),
        ("move", "transfer", "send"),
    )
    for verb in group
}


@lru_cache(maxsize=1 << 13)
def _ways_to_ask(action: Action) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What an action is about, its verbs by meaning, and its wordings without the values in them."""
    asks = frozenset(_HOLE.sub("{}", ask.lower()) for ask in action.asks)
    verbs = frozenset(_SYNONYMS.get(verb, verb) for verb in action.verbs)
    return frozenset((action.object, *action.said_objects)), verbs, asks


def _senses_of(action: Action) -> frozenset[int]:
    return senses().get(action.object, frozenset())


_HOLE = re.compile(r"\{\w+\}")


@lru_cache(maxsize=1 << 15)
def is_confusable(action: Action, other: Action) -> bool:
    """Whether a request for one could as well mean the other: said alike, or the same sort of verb."""
    things, verbs, asks = _ways_to_ask(action)
    other_things, other_verbs, other_asks = _ways_to_ask(other)
    if asks & other_asks or action.object != other.object and _senses_of(action) & _senses_of(other):
        return True
    if not things & other_things:
        return False
    are_asked = action.family in _ASKED and other.family in _ASKED
    return are_asked or bool(verbs & other_verbs)


def shares_words(action: Action, other: Action) -> bool:
    """Whether two actions speak of some of the same things."""
    return not _words_of(action.object).isdisjoint(_words_of(other.object))


@lru_cache(maxsize=1 << 14)
def _words_of(text: str) -> frozenset[str]:
    return frozenset(content_words(text))
