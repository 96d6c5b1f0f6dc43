"""Actions nobody has seen: random verbs, things and attributes.

Only the listing and the request tell what these tools mean, so nothing about them can be remembered. An
action made here has the same form as one of the domain grammar and is drawn and said by the same code.
"""

from __future__ import annotations

import hashlib

from . import words as w
from .draw import Draw
from .grammar import Action, ParameterRule
from .lookups import lookup_action, sibling_lookups
from .measures import measure_action, sibling_measures


def _flag_rule(draw: Draw, name: str) -> tuple[str, str]:
    said = name.removeprefix("include_").removeprefix("is_").replace("_", " ")
    if name.startswith("include_"):
        return "flag", f"including {said},include {said}/without {said},excluding {said}"
    return "flag", draw.pick(
        (
            f"with {said} on,{said} enabled,{said} set to true"
            f"/with {said} off,{said} disabled,{said} set to false",
            f"make it {said},it is {said}/it is not {said},not {said}"
            if "_" not in name
            else f"turn on {said},{said} on/turn off {said},no {said}",
        )
    )


def _object_fields(draw: Draw, depth: int = 0) -> str:
    """Two to four fields in the grammar's notation, at times an object among them."""
    fields: dict[str, str] = {}
    for _ in range(draw.between(2, 4 - depth)):
        if depth < 2 and draw.chance(0.15):
            fields[draw.pick(w.NOUNS)] = f"obj({_object_fields(draw, depth + 1)})"
            continue
        pick = draw.random()
        if pick < 0.4:
            fields[draw.pick(w.NUMBER_NAMES)] = draw.pick(
                ("int(1/100)", "int(10/5000)", "num(0.1/100)", "int(-50/50)")
            )
        elif pick < 0.85:
            fields[draw.pick(w.TEXT_NAMES)] = draw.pick(
                ("id", "word", "person", "cities", "email", "colors", "url")
            )
        else:
            fields[draw.pick(("mode", "type", "status", "level"))] = f"enum({draw.pick(w.ENUM_KINDS)})"
    return ",".join(f"{name}{'?' if draw.chance(0.25) else ''}={kind}" for name, kind in fields.items())


def _parameter(draw: Draw, used: set[str]) -> ParameterRule | None:
    roll = draw.random()
    phrases: tuple[str, ...] = ()
    if draw.chance(0.06):
        name = draw.pick(
            (
                "config",
                "settings",
                "options",
                "details",
                "profile",
                "metadata",
                "spec",
                "range",
                "contact",
                "bounds",
            )
        )
        if draw.chance(0.2):
            return None if name in used else ParameterRule((name,), "dict", "", True, None, ())
        rule = ParameterRule((name,), "obj", _object_fields(draw), draw.chance(0.6), None, ())
        return None if name in used else rule
    if roll < 0.27:
        name, kind = draw.pick(w.NUMBER_NAMES), draw.pick(w.NUMBER_KINDS)
        if kind == "percent":
            name = draw.pick(_RATES)
    elif roll < 0.6:
        name, kind = draw.pick(w.TEXT_NAMES), draw.pick(w.TEXT_KINDS)
        if kind in (
            "email",
            "city",
            "person",
            "url",
            "path",
            "phone",
            "formula",
            "code",
            "language",
            "currency",
            "address",
        ) and draw.chance(0.5):
            name = (
                f"{kind}_{name}"
                if draw.chance(0.3)
                else {"city": "city", "person": "person", "path": "file_path"}.get(kind, kind)
            )
    elif roll < 0.68:
        name, kind = draw.pick(w.TIME_NAMES), draw.pick(w.TIME_KINDS)
    elif roll < 0.83:
        name, kind = draw.pick(w.LIST_NAMES), draw.pick(w.LIST_KINDS)
    elif roll < 0.90:
        name, kind = (
            draw.pick(
                (
                    "mode",
                    "type",
                    "status",
                    "level",
                    "format",
                    "kind",
                    "direction",
                    "category",
                    "option",
                    "style",
                    "state",
                    "class",
                )
            ),
            "",
        )
        kind = f"enum({draw.pick(w.ENUM_KINDS)})"
    else:
        name = draw.pick(w.FLAG_NAMES)
        kind, argument = _flag_rule(draw, name)
        return (
            None if name in used else ParameterRule((name,), kind, argument, draw.chance(0.3), None, ("{}",))
        )
    style = draw.random()
    if style < 0.35:
        name = f"{draw.pick(w.NOUNS)}_{name}"
    elif style < 0.5:
        name = f"{draw.pick(w.ADJECTIVES)}_{name}"
    elif style < 0.58:
        name = draw.pick(w.NOUNS)
    if name in used:
        return None
    head, bracket, rest = kind.partition("(")
    required = draw.chance(0.6)
    default = None
    if not required and head == "int" and draw.chance(0.5):
        default = str(draw.between(1, 20))
    return ParameterRule((name,), head, rest[:-1] if bracket else "", required, default, phrases)


_FAMILY_MARKS = (
    ("1", "2"),
    ("1", "2"),
    ("1", "2", "3"),
    ("_1", "_2"),
    ("_a", "_b"),
    ("_a", "_b", "_c"),
    ("_x", "_y"),
    ("_one", "_two"),
)
_FAMILY_WORDS = (
    ("start", "end"),
    ("start", "end"),
    ("from", "to"),
    ("from", "to"),
    ("first", "second"),
    ("origin", "destination"),
    ("lower", "upper"),
    ("min", "max"),
    ("source", "target"),
    ("initial", "final"),
)
_LETTERS = (
    ("a", "b"),
    ("a", "b", "c"),
    ("x", "y"),
    ("x", "y", "z"),
    ("a", "b", "c", "d"),
    ("m", "n"),
    ("p", "q"),
)
_FAMILY_KINDS = (
    "int(1/20)",
    "int(1/100)",
    "int(10/5000)",
    "int(-50/50)",
    "int(1900/2024)",
    "num(0.1/100)",
    "num(0.1/100)",
    "num(-50/50)",
    "num(1/500/kg,g)",
    "num(1/500/m,cm,km)",
    "money",
    "money(10000/90000000)",
    "int(1000/90000000)",
)
_FAMILY_TEXTS = {
    "city": ("cities",),
    "location": ("cities", "place"),
    "country": ("countryname",),
    "person": ("person",),
    "player": ("person",),
    "team": ("teams",),
    "company": ("companies",),
    "word": ("plainword",),
    "string": ("pseudo", "word"),
    "product": ("products",),
    "language": ("language",),
    "account": ("id",),
    "node": ("nodes",),
    "airport": ("airports",),
    "gene": ("genes",),
    "element": ("elements",),
    "file": ("path",),
    "date": ("date",),
    "group": ("series(1/60)",),
    "list": ("series(1/60)", "series(-20/20)"),
    "vector": ("series(-9/9)",),
    "set": ("series(1/40)",),
}


def _family(draw: Draw) -> list[ParameterRule]:
    """Two to four parameters of one kind that only their order tells apart."""
    is_text = draw.chance(0.4)
    stem = draw.pick(tuple(_FAMILY_TEXTS) if is_text else w.NUMBER_NAMES)
    kind = draw.pick(_FAMILY_TEXTS[stem] if is_text else _FAMILY_KINDS)
    if "1900" in kind:
        stem = "year"
    roll = draw.random()
    names: tuple[str, ...]
    if roll < 0.2 and not is_text and stem != "year":
        names = draw.pick(_LETTERS)
    elif roll < 0.6:
        if not is_text and draw.chance(0.4) and stem != "year":
            stem = draw.pick(("num", "number", "value", "side", "term", "n", "point", "val"))
        names = tuple(stem + mark for mark in draw.pick(_FAMILY_MARKS))
    else:
        words = draw.pick(_FAMILY_WORDS)
        order = draw.pick(("{1}_{0}", "{1}_{0}", "{0}_{1}"))
        if words[0] in ("from", "first", "origin", "lower", "min", "initial"):
            order = "{1}_{0}"
        is_bare = words[0] in ("origin", "source", "from", "start") and draw.chance(0.3)
        names = tuple(word if is_bare else order.format(stem, word) for word in words)
    head, bracket, rest = kind.partition("(")
    return [ParameterRule((name,), head, rest[:-1] if bracket else "", True, None, ()) for name in names]


_RATES = (
    "interest_rate",
    "annual_rate",
    "growth_rate",
    "tax_rate",
    "discount_rate",
    "rate_of_return",
    "annual_yield",
    "inflation_rate",
    "commission",
    "discount",
    "sales_tax",
    "vat_rate",
    "failure_rate",
    "success_rate",
    "decay_rate",
    "mutation_rate",
    "efficiency",
    "occupancy_rate",
    "drop_rate",
    "default_rate",
    "share",
    "tip_percentage",
    "percentage",
    "fee_percent",
    "coupon_rate",
    "humidity_ratio",
    "rate",
)


def _rates(draw: Draw) -> list[ParameterRule]:
    """One to three rates, and at times an amount they are of."""
    names = draw.sample(_RATES, draw.pick((1, 1, 2, 2, 3)))
    rules = [ParameterRule((name,), "percent", "", draw.chance(0.85), None, ()) for name in names]
    if draw.chance(0.5):
        amount = draw.pick(("amount", "principal", "base_value", "starting_amount", "price", "population"))
        kind, argument = draw.pick((("money", "100/9000000"), ("int", "10/900000"), ("num", "0.1/100")))
        rules.insert(0, ParameterRule((amount,), kind, argument, True, None, ()))
    return rules


def _cluster(draw: Draw) -> list[ParameterRule]:
    """Two to five numbers that only their names tell apart."""
    if draw.chance(0.28):
        return _rates(draw)
    kind = draw.pick(_FAMILY_KINDS[:4] + _FAMILY_KINDS[5:8])
    head, _, rest = kind.partition("(")
    names = draw.sample(w.NUMBER_NAMES, draw.pick((2, 2, 3, 3, 4, 5)))
    style = draw.random()
    if style < 0.2:
        noun = draw.pick(w.NOUNS)
        names = [f"{noun}_{name}" for name in names]
    elif style < 0.35:
        name = draw.pick(w.NUMBER_NAMES)
        names = [f"{noun}_{name}" for noun in draw.sample(w.NOUNS, len(names))]
    return [
        ParameterRule((name,), head, rest[:-1], draw.chance(0.85), None, ())
        if draw.chance(0.8)
        else ParameterRule((name,), "num", "0.1/100", True, None, ())
        for name in names
    ]


def _place(draw: Draw) -> list[ParameterRule]:
    """A city beside its state or country, each an argument of its own."""
    name, kind = draw.pick((("state", "state"), ("state", "state"), ("country", "countryname")))
    return [
        ParameterRule(("city",), "cities", "", True, None, ()),
        ParameterRule((name,), kind, "", draw.chance(0.8), None, ()),
    ]


def composed_action(draw: Draw, *, domain: str | None = None, thing: str | None = None) -> Action:
    """A random action; `thing` makes a near miss of an action about the same thing."""
    if domain is None and thing is None:
        roll = draw.random()
        if roll < 0.5:
            return lookup_action(draw) if roll < 0.27 else measure_action(draw)
    family = "do"
    verb = draw.pick(w.VERBS)
    roll = draw.random()
    if roll < 0.2:
        family, verb = draw.pick(
            (
                ("calc", "calculate"),
                ("calc", "compute"),
                ("get", "get"),
                ("get", "fetch"),
                ("get", "retrieve"),
                ("search", "search"),
            )
        )
    if thing is None:
        noun = draw.pick(w.NOUNS)
        shape = draw.random()
        if shape < 0.35:
            thing = f"a {draw.pick(w.ADJECTIVES)} {noun}"
        elif shape < 0.6:
            thing = f"the {draw.pick(w.NOUNS)} {noun}"
        elif shape < 0.8:
            whole = draw.pick(w.NOUNS)
            thing = f"the {noun} of {'an' if whole[0] in 'aeiou' else 'a'} {whole}"
        else:
            thing = f"the {draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)} {noun}"
        if thing[2] in "aeiou" and thing.startswith("a "):
            thing = "an" + thing[1:]
    rules: list[ParameterRule] = []
    used: set[str] = set()
    counts: tuple[int, ...] = (1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6)
    roll = draw.random()
    if roll < 0.5:
        rules += _family(draw) if roll < 0.32 else _cluster(draw) if roll < 0.47 else _place(draw)
        used.update(rule.names[0] for rule in rules)
        counts = (0, 0, 0, 1, 1, 2)
    for _ in range(draw.pick(counts)):
        rule = _parameter(draw, used)
        if rule is not None:
            used.add(rule.names[0])
            rules.append(rule)
    rules.sort(key=lambda rule: not rule.is_required)
    return Action(domain or draw.pick(w.NOUNS), family, (verb,), thing, tuple(rules), is_composed=True)


def is_held_out(action: Action, share: int) -> bool:
    """Whether an action belongs to dev: decided by what it is, so that both streams agree."""
    identity = f"{action.domain}/{action.verbs}/{action.object}"
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=4).digest(), "big") % share == 0


_TELLING = frozenset(
    "get fetch retrieve show check list read query request report print return scan search find look "
    "export load pull open calculate compute determine measure estimate evaluate count analyze "
    "inspect review".split()
)
"""Verbs that all fit "What is ...?": among near misses of one thing at most one tool may have one."""


def near_misses(draw: Draw, action: Action, count: int) -> list[Action]:
    """Actions that differ from a composed one by the verb, or by the thing."""
    found = sibling_lookups(draw, action, count) or sibling_measures(draw, action, count)
    if found:
        return found
    for _ in range(count):
        if draw.chance(0.6):
            other = composed_action(draw, domain=action.domain, thing=action.object)
            if other.verbs != action.verbs and not (
                other.verbs[0] in _TELLING and action.verbs[0] in _TELLING
            ):
                found.append(other)
        else:
            other = composed_action(draw, domain=action.domain)
            if other.object != action.object:
                found.append(other._replace(family=action.family, verbs=action.verbs))
    return found
