"""Every kind of value by the name the domain grammar calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from . import words as w
from .choice_kinds import coded_kind, enum_kind, flag_kind, one_of_kind
from .city_kinds import city_kind, state_kind
from .code_texts import code_text, command, program_kind
from .draw import Draw
from .kinds import STRING, Copy, Kind, Said, from_list, made, quoted, quoted_at_times
from .list_kinds import (
    dict_kind,
    list_kind,
    matrix_kind,
    place_kind,
    point_kind,
    range_kind,
    series_kind,
)
from .number_kinds import (
    integer_enum_kind,
    integer_kind,
    money_kind,
    nth_kind,
    number_kind,
    percent_kind,
    sample_coordinate,
    scientific_kind,
)
from .texts import (
    any_word,
    city,
    email,
    file_path,
    formula,
    message_text,
    person,
    phone,
    pseudo_word,
    title_text,
    url,
)
from .time_kinds import date_kind, datetime_kind, duration_kind, month_kind, time_kind


def _identifier(draw: Draw, argument: str) -> Kind:
    prefix = argument or draw.pick(("", "", "ORD", "USR", "TX", "INV", "A", "item", "proj", "sku", "case"))
    style = draw.between(0, 6)
    separator = draw.pick(("-", "-", "_", "", "#"))

    def make(d: Draw) -> str:
        if style < 2:
            return f"{prefix}{separator if prefix else ''}{d.between(100, 99999)}"
        if style == 2:
            return f"{prefix.lower()}{separator if prefix else ''}{int(d.random() * 16**8):08x}"
        if style == 3:
            letters = "".join(d.pick("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(d.between(2, 3)))
            return f"{letters}{d.between(10, 9999)}"
        if style == 4:
            return f"{d.pick(w.NOUNS)}-{d.between(1, 99)}"
        return "".join(
            d.pick("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789abcdefghijkmnopqrstuvwxyz")
            for _ in range(d.between(5, 9))
        )

    def sample(d: Draw) -> Said:
        return quoted_at_times(d, make(d), 0.12)

    schema: dict[str, Any] = STRING
    if style == 3 and draw.chance(0.3):
        schema = {"type": "string", "pattern": "^[A-Z]{2,3}[0-9]+$"}
    return Kind(schema, sample, "")


def _long_identifier(draw: Draw) -> str:
    """Letters and digits that only copying gets right, in one of the shapes of keys and tracking numbers."""
    letters = draw.pick(("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", "0123456789abcdef", "0123456789"))
    roll = draw.random()
    if roll < 0.3:
        groups = range(draw.between(3, 5))
        return "-".join("".join(draw.pick(letters) for _ in range(4)) for _ in groups)
    if roll < 0.4:
        return "-".join("".join(draw.pick("0123456789abcdef") for _ in range(n)) for n in (8, 4, 4, 4, 12))
    return "".join(draw.pick(letters) for _ in range(draw.between(10, 40)))


def _list(draw: Draw, argument: str) -> Kind:
    name, _, rest = argument.partition("/")
    name, _, inner = name.partition(":")
    low, _, high = rest.partition("/")
    return list_kind(draw_kind(draw, name, inner.replace("|", "/")), int(low or 2), int(high or 4))


def _list_of(draw: Draw, argument: str) -> Kind:
    name, _, rest = argument.partition("(")
    return list_kind(draw_kind(draw, name, rest[:-1]), 1, 4)


def _host(draw: Draw) -> str:
    name = draw.pick(w.NOUNS) + draw.pick(("", f"-{draw.pick(w.NOUNS)}", str(draw.between(1, 99))))
    return f"{name}.{draw.pick(('com', 'org', 'local', 'io', 'net'))}"


def _equation(draw: Draw) -> str:
    a, b, c = draw.between(2, 20), draw.between(1, 40), draw.between(1, 90)
    sign = draw.pick("+-")
    return draw.pick(
        (
            f"{a}x {sign} {b} = {c}",
            f"x^2 {sign} {a}x = {b}",
            f"{a}x = {b} {sign} x",
            f"sqrt(x) = {a}",
            f"2^x = {c}",
            f"{a}(x {sign} {b}) = {c}",
            f"x/{a} {sign} {b} = {c}",
        )
    )


def _formula(draw: Draw, _: str) -> Kind:
    def sample(d: Draw) -> Said:
        text = formula(d)
        if d.chance(0.15):
            return text, [d.pick(("f(x) = ", "y = ", "f(x)=", "y=")), Copy("", text)]
        return quoted_at_times(d, text, 0.15)

    return Kind(STRING, sample)


def _json_text(draw: Draw) -> str:
    value = draw.pick(
        (draw.between(1, 99), draw.pick(w.NOUNS), [draw.between(1, 9), draw.between(1, 9)], True)
    )
    return json.dumps({draw.pick(w.NOUNS): value, draw.pick(w.COLUMNS): draw.pick(w.ADJECTIVES)})


def _regex(draw: Draw) -> str:
    noun = draw.pick(w.NOUNS)
    return draw.pick(
        (
            f"^{noun}$",
            f"{noun}\\d+",
            f"[A-Z]{{{draw.between(1, 5)}}}",
            f"^\\w+@{noun}\\.com$",
            f"({noun}|{draw.pick(w.NOUNS)})",
            f"{noun}.*?",
        )
    )


def _cron(draw: Draw) -> str:
    minute = draw.pick(("*", "0", str(draw.between(1, 59))))
    hour = draw.pick(("*", str(draw.between(0, 23))))
    return f"{minute} {hour} * * {draw.pick(('*', '1-5', str(draw.between(0, 6))))}"


def _flight_number(draw: Draw) -> str:
    airline = draw.pick(("LH", "BA", "AF", "UA", "DL", "EK", "QF", "KL"))
    return f"{airline}{draw.pick(('', '', ' '))}{draw.between(10, 9999)}"


def _plate(draw: Draw) -> str:
    letters = "".join(draw.pick("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(draw.between(2, 3)))
    return f"{letters}{draw.pick(('-', ' ', ''))}{draw.between(10, 9999)}"


def _entity(options: Sequence[str], *shapes: str) -> Callable[[Draw, str], Kind]:
    """Names from a list, or made up in one of the shapes: lists alone would be learnt by heart."""

    def make(draw: Draw) -> str:
        if draw.chance(0.55):
            return draw.pick(options)
        return draw.pick(shapes).format(
            a=draw.pick(w.ADJECTIVES).title(),
            n=draw.pick(w.NOUNS).title(),
            m=draw.pick(w.NOUNS).title(),
            p=pseudo_word(draw).title(),
            f=draw.pick(w.FIRST_NAMES),
            l=draw.pick(w.LAST_NAMES),
            c=draw.pick(w.CITIES),
            la=draw.pick(w.ADJECTIVES),
            ln=draw.pick(w.NOUNS),
            o=draw.pick(w.COLORS),
            d=draw.between(2, 99),
        )

    return made(make, quote_share=0.15)


def _entity_shapes() -> dict[str, tuple[str, ...]]:
    shapes = {}
    for line in files(__package__).joinpath("entities.txt").read_text(encoding="utf8").splitlines():
        if not line.startswith("#"):
            kind, *forms = line.split(" ; ")
            shapes[kind] = tuple(forms)
    return shapes


_WRITTEN: dict[str, Callable[[Draw, str], Kind]] = {
    "int": integer_kind,
    "num": number_kind,
    "percent": percent_kind,
    "money": money_kind,
    "sci": scientific_kind,
    "nth": nth_kind,
    "flag": flag_kind,
    "enum": enum_kind,
    "date": date_kind,
    "month": month_kind,
    "time": time_kind,
    "datetime": datetime_kind,
    "dur": duration_kind,
    "id": _identifier,
    "city": city_kind,
    "state": state_kind,
    "list": _list,
    "series": series_kind,
    "matrix": matrix_kind,
    "oneof": one_of_kind,
    "intenum": integer_enum_kind,
    "listof": _list_of,
    "point": point_kind,
    "dict": dict_kind,
    "range": range_kind,
    "xy": place_kind,
    "person": made(person, "for {}"),
    "email": made(email, "to {}", "for {}", schema={"type": "string", "format": "email"}),
    "url": made(url, "at {}", "from {}", schema={"type": "string", "format": "uri"}),
    "path": made(file_path, quote_share=0.12),
    "phone": made(phone),
    "word": made(any_word, quote_share=0.12),
    "text": quoted(message_text, "saying {}", "that says {}", "with the text {}"),
    "title": quoted(title_text, "titled {}", "called {}", "named {}", "with the title {}"),
    "formula": _formula,
    "code": quoted(code_text),
    "coord": lambda draw, argument: Kind({"type": "number"}, lambda d: sample_coordinate(d), ""),
    "address": made(
        lambda d: (
            f"{d.between(1, 999)} {d.pick(w.STREETS)}" + (f", {d.pick(w.CITIES)}" if d.chance(0.4) else "")
        ),
        "at {}",
    ),
    "place": made(lambda d: d.pick(w.PLACES) if d.chance(0.7) else city(d), "at {}", "near {}"),
    "country": coded_kind(w.COUNTRY_CODES, "two-letter country code", ("in {}", "for {}")),
    "countryname": from_list(w.COUNTRIES, ("in {}", "for {}")),
    "language": coded_kind(w.LANGUAGES, "language code", ("in {}",)),
    "currency": coded_kind(w.CURRENCIES, "three-letter currency code", ("in {}",)),
    "host": made(_host),
    "ip": made(
        lambda d: ".".join(str(d.between(1, 254)) for _ in range(4)),
        schema={"type": "string", "format": "ipv4"},
    ),
    "version": made(lambda d: f"{d.pick(('', 'v'))}{d.between(0, 9)}.{d.between(0, 20)}.{d.between(0, 30)}"),
    "pseudo": made(
        lambda d: d.pick(
            (
                pseudo_word(d),
                f"{d.pick(w.NOUNS)}-{d.pick(w.NOUNS)}",
                f"{d.pick(w.ADJECTIVES)}-{d.pick(w.NOUNS)}",
            )
        )
    ),
    "username": made(
        lambda d: d.pick(
            (
                f"@{pseudo_word(d)}",
                f"{d.pick(w.FIRST_NAMES).lower()}{d.between(1, 999)}",
                f"{d.pick(w.ADJECTIVES)}_{d.pick(w.NOUNS)}",
                f"{d.pick(w.FIRST_NAMES).lower()}.{pseudo_word(d)}",
            )
        )
    ),
    "branch": made(
        lambda d: f"{d.pick(('feature', 'fix', 'release', 'hotfix'))}/{d.pick(w.NOUNS)}-{d.between(1, 999)}"
    ),
    "constant": made(lambda d: f"{d.pick(w.NOUNS)}_{d.pick(w.NOUNS)}".upper()),
    "cron": quoted(_cron),
    "hexcolor": made(
        lambda d: f"#{int(d.random() * 16**6):06{d.pick('xX')}}",
        schema={"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
    ),
    "pattern": made(
        lambda d: d.pick(
            (
                f"*.{d.pick(('txt', 'py', 'csv', 'log'))}",
                f"{d.pick(w.NOUNS)}*",
                f"*{d.pick(w.NOUNS)}*.json",
                f"{d.pick(w.NOUNS)}_??.png",
            )
        )
    ),
    "plainword": made(
        lambda d: d.pick(
            (d.pick(w.NOUNS), d.pick(w.ADJECTIVES), f"'{d.pick(w.NOUNS)}'"[1:-1], d.pick(w.ANIMALS))
        )
    ),
    "planetfacts": from_list(
        (
            "mass",
            "radius",
            "number of moons",
            "distance from the sun",
            "gravity",
            "day length",
            "surface temperature",
        ),
        (),
    ),
    "equation": made(_equation, quote_share=0.15),
    "jsontext": quoted(_json_text),
    "regex": quoted(_regex),
    "program": program_kind,
    "command": quoted(command),
    "numtext": made(lambda d: str(d.between(1, 900)) if d.chance(0.6) else f"{d.random() * 100:.1f}"),
    "dna": made(lambda d: "".join(d.pick("ACGT") for _ in range(d.between(6, 45))), quote_share=0.15),
    "longid": made(_long_identifier, quote_share=0.15),
    "flightno": made(_flight_number),
    "plate": made(_plate),
    "zip": made(
        lambda d: str(d.between(10000, 99999)),
        hint="five digits",
        schema={"type": "string", "pattern": "^[0-9]{5}$"},
    ),
    "avoid": lambda draw, argument: enum_kind(
        draw, "tolls:toll roads/highways:motorways/ferries/unpaved:dirt roads"
    ),
    "events_named": made(
        lambda d: d.pick(
            (
                f"the {d.pick(w.ARTISTS)} concert",
                f"{d.pick(w.FIRST_NAMES)}'s birthday",
                f"the {d.pick(w.NOUNS)} festival",
                d.pick(w.MEETINGS),
                f"the {d.pick(w.TEAMS)} game",
            )
        )
    ),
    "phrase": quoted(lambda d: d.pick(w.UNICODE_TEXTS) if d.chance(0.3) else d.pick(w.FOREIGN_TEXTS)),
}


# Each plain word list is a kind of its own: `genres`, `cuisines`, ...
BUILDERS: dict[str, Callable[[Draw, str], Kind]] = {
    **{name.lower(): from_list(options, ()) for name, options in w.LISTS.items()},
    **_WRITTEN,
    **{name: _entity(w.LISTS[name.upper()], *shapes) for name, shapes in _entity_shapes().items()},
}
"""How to draw each kind: called with the draw and the argument in the grammar's parentheses."""


def draw_kind(draw: Draw, name: str, argument: str = "") -> Kind:
    """Draw a kind by its name in the domain grammar."""
    return BUILDERS[name](draw, argument)
