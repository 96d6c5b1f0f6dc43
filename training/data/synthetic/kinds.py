"""Kinds of values: a schema, how to draw a value, and how a person says it.

A kind is drawn once per parameter (its date format, its bounds, its unit); its `sample` is then called for every
call that gives the parameter. What is said is a list of pieces: plain text, or `Copy` where the text *is* the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import words as w
from .dates import DATE_FORMATS, draw_clock, draw_date, draw_duration, say_time
from .draw import Draw
from .numbers import draw_decimal, draw_integer, say_integer


class Copy(NamedTuple):
    """Text of the request that is the value at `path` (relative to the parameter), letter for letter."""

    path: str
    text: str


Piece = str | Copy
Said = tuple[Any, list[Piece]]


class Kind(NamedTuple):
    """One drawn kind of value."""

    schema: dict[str, Any]
    sample: Callable[[Draw], Said]
    hint: str = ""
    """What the description must tell: format, unit, bounds."""
    phrases: tuple[str, ...] = ()
    """Ways to hang the value onto a sentence; empty: only by the parameter's name."""
    needs_today: bool = False
    is_self_explaining: bool = False
    """What is said names the parameter by itself ("including tax")."""


STRING = {"type": "string"}


def text_copy(text: str) -> Said:
    """A string value said as it is."""
    return text, [Copy("", text)]


def _from_list(
    options: Sequence[str], phrases: tuple[str, ...], examples: bool = True
) -> Callable[[Draw, str], Kind]:
    def build(draw: Draw, _: str) -> Kind:
        hint = ""
        if examples and draw.chance(0.12):
            hint = draw.pick(("e.g. {}", "for example {}", "such as {}")).format(draw.pick(options))
        return Kind(STRING, lambda d: text_copy(d.pick(options)), hint, phrases)

    return build


def _number_said(draw: Draw, number: int, unit: str, sign: str) -> list[Piece]:
    text = say_integer(draw, number)
    copy: Piece = Copy("", text) if text == str(number) else text
    return [sign, copy, unit] if sign or unit else [copy]


def _integer(draw: Draw, argument: str) -> Kind:
    """`int(low/high/unit,unit2)`; the unit is said in a third of the cases and told by the description."""
    low, high, unit = _range(argument, 1, 100)
    schema: dict[str, Any] = {"type": "integer"}
    if draw.chance(0.12):
        schema["minimum"] = int(low)
    if draw.chance(0.12):
        schema["maximum"] = int(high)
    said_units, hint = _draw_unit(draw, unit)
    return Kind(schema, lambda d: _sample_integer(d, int(low), int(high), said_units), hint)


_UNITS = {
    "cm": ("cm", "centimeters"),
    "m": ("m", "meters"),
    "km": ("km", "kilometers"),
    "kg": ("kg", "kilograms"),
    "g": ("g", "grams"),
    "grams": ("g", "grams"),
    "feet": ("feet", "ft"),
    "inches": ("inches", "in"),
    "m/s": ("m/s", "meters per second"),
    "L": ("L", "liters"),
    "liters": ("liters", "L"),
    "s": ("s", "seconds"),
    "seconds": ("seconds", "s"),
    "V": ("V", "volts"),
    "volts": ("volts", "V"),
    "minutes": ("minutes", "min"),
    "K": ("K", "kelvin"),
    "Hz": ("Hz", "hertz"),
    "amperes": ("amperes", "amps", "A"),
    "ohms": ("ohms",),
    "meters": ("meters", "m"),
    "kilograms": ("kilograms", "kg"),
    "miles": ("miles", "mi"),
    "watts": ("watts", "W"),
    "kWh": ("kWh", "kilowatt-hours"),
    "J": ("J", "joules"),
    "N": ("N", "newtons"),
    "MB": ("MB", "megabytes"),
    "GB": ("GB", "gigabytes"),
    "km/h": ("km/h", "kilometers per hour"),
}


def _draw_unit(draw: Draw, units: str) -> tuple[tuple[str, ...], str]:
    """The words a person may say for the unit, and what the description says of it."""
    if not units:
        return (), ""
    unit = draw.pick(units.split(","))
    if unit in _UNITS and draw.chance(0.6):
        return _UNITS[unit], f"in {draw.pick(_UNITS[unit]) if draw.chance(0.5) else unit}"
    return (unit,), ""


def _range(argument: str, low: float, high: float) -> tuple[float, float, str]:
    parts = argument.split("/") if argument else []
    if len(parts) >= 2:
        low, high = float(parts[0]), float(parts[1])
    return low, high, "/".join(parts[2:])


def _say_unit(draw: Draw, units: tuple[str, ...], *, is_one: bool) -> str:
    if not units or draw.chance(0.35):
        return ""
    unit = draw.pick(units)
    if unit == "%":
        return unit
    if is_one:
        unit = {"people": "person", "feet": "foot", "inches": "inch"}.get(
            unit, unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit
        )
    return f" {unit}"


def _sample_integer(draw: Draw, low: int, high: int, units: tuple[str, ...]) -> Said:
    number = draw_integer(draw, low, high)
    said_unit = _say_unit(draw, units, is_one=number == 1)
    return number, _number_said(draw, number, said_unit, "")


def _number(draw: Draw, argument: str) -> Kind:
    low, high, unit = _range(argument, 0, 100)
    schema: dict[str, Any] = {"type": "number"}
    if draw.chance(0.08):
        schema["minimum"] = int(low)
    said_units, hint = _draw_unit(draw, unit)

    def sample(d: Draw) -> Said:
        if d.chance(0.45) and high >= 5:
            return _sample_integer(d, max(1 if low >= 0 else int(low), int(low)), int(high), said_units)
        text = draw_decimal(d, low, high)
        said_unit = _say_unit(d, said_units, is_one=False)
        value = json.loads(text)
        shown: Piece = Copy("", text) if json.dumps(value) == text else text
        return value, [shown, said_unit] if said_unit else [shown]

    return Kind(schema, sample, hint)


def _percent(draw: Draw, argument: str) -> Kind:
    is_fraction = argument == "fraction" or argument != "whole" and draw.chance(0.4)

    def sample(d: Draw) -> Said:
        if d.chance(0.5):
            number, text = float(d.between(1, 60)), ""
            text = str(int(number))
        else:
            text = draw_decimal(d, 0.1, 30)
            number = float(text)
        if is_fraction:
            if d.chance(0.3):
                decimal = json.dumps(round(number / 100, 5))
                return json.loads(decimal), [Copy("", decimal)]
            return round(number / 100, 6), [text + d.pick(("%", "%", " percent"))]
        value = json.loads(text)
        shown: Piece = Copy("", text) if json.dumps(value) == text else text
        return value, [shown, d.pick(("%", "%", " percent", " %"))]

    hint = (
        draw.pick(
            ("as a decimal", "as a decimal fraction, e.g. 0.05 for 5%", "between 0 and 1", "in decimal form")
        )
        if is_fraction
        else draw.pick(("in percent", "as a percentage, e.g. 5 for 5%", "as a percentage"))
    )
    return Kind({"type": "number"}, sample, hint)


def _money(draw: Draw, argument: str) -> Kind:
    low, high, _ = _range(argument, 5, 5000)
    kind = "number" if draw.chance(0.6) else "integer"

    def sample(d: Draw) -> Said:
        before, after = d.pick(
            (
                ("$", ""),
                ("$", ""),
                ("", ""),
                ("", " dollars"),
                ("", " USD"),
                ("€", ""),
                ("", " euros"),
                ("£", ""),
            )
        )
        if kind == "number" and d.chance(0.3):
            cents = f"{d.between(int(low), int(min(high, 9999)))}.{d.between(1, 99):02d}"
            value = json.loads(cents)
            shown: Piece = Copy("", cents) if json.dumps(value) == cents else cents
            return value, [before, shown, after]
        number = draw_integer(d, int(low), int(high))
        return number, _number_said(d, number, after, before)

    return Kind({"type": kind}, sample, "in dollars" if draw.chance(0.15) else "")


def _flag(draw: Draw, argument: str) -> Kind:
    """`flag(said when true,other/said when false,other)`."""
    yes, _, no = argument.partition("/")
    yes_said, no_said = tuple(yes.split(",")), tuple(no.split(",")) if no else ()

    def sample(d: Draw) -> Said:
        if no_said and d.chance(0.45):
            return False, [d.pick(no_said)]
        return True, [d.pick(yes_said)]

    return Kind({"type": "boolean"}, sample, "", ("{}",), is_self_explaining=True)


def _enum(draw: Draw, argument: str) -> Kind:
    """`enum(value:said,said/value/...)`: a value without `said` is said as it stands, underscores as spaces."""
    options = []
    for option in argument.split("/"):
        value, _, said = option.partition(":")
        options.append((value, tuple(said.split(",")) if said else ()))
    if len(options) > 3 and draw.chance(0.3):
        options = draw.sample(options, draw.between(3, len(options)))
    style = draw.random()
    values: list[Any] = [value for value, _ in options]
    if style < 0.12 and len({value.upper() for value in values}) == len(values):
        values = [value.upper() for value in values]
    elif style < 0.2 and min(len(value) for value in values) > 3:
        values = [value.replace("_", " ").title() for value in values]
    is_listed_in_text = draw.chance(0.2)
    schema: dict[str, Any] = {"type": "string"}
    if not is_listed_in_text:
        schema["enum"] = values
    hint = ""
    if is_listed_in_text:
        hint = draw.pick(("one of: {}", "options: {}", "can be {}", "either {}")).format(
            ", ".join(f"'{value}'" for value in values)
        )

    def sample(d: Draw) -> Said:
        number = int(d.random() * len(options))
        value, said = values[number], options[number][1]
        if said and d.chance(0.6):
            return value, [d.pick(said)]
        plain = options[number][0]
        if value == plain and ("_" not in plain or d.chance(0.2)):
            return value, [Copy("", plain)]
        return value, [plain.replace("_", " ")]

    return Kind(schema, sample, hint)


def _coded(options: Sequence[str], noun: str, phrases: tuple[str, ...]) -> Callable[[Draw, str], Kind]:
    """Things with a code ("Germany|DE"): the description says which of the two is wanted."""
    pairs = [tuple(option.split("|")) for option in options]

    def build(draw: Draw, _: str) -> Kind:
        if draw.chance(0.5):
            return Kind(STRING, lambda d: text_copy(d.pick(pairs)[0]), "", phrases)
        example = draw.pick(pairs)
        hint = f"{noun}, e.g. '{example[1]}' for {example[0]}" if draw.chance(0.6) else noun

        def sample(d: Draw) -> Said:
            name, code = d.pick(pairs)
            return (code, [name]) if d.chance(0.6) else text_copy(code)

        return Kind(STRING, sample, hint, phrases)

    return build


def _date(draw: Draw, _: str) -> Kind:
    if draw.chance(0.1):  # no declared format: as it was said
        return Kind(
            STRING, lambda d: text_copy(draw_date(d, is_relative_allowed=True)[1]), "", ("on {}", "for {}")
        )
    form, names = draw.pick(DATE_FORMATS)
    name = draw.pick(names)
    hint = draw.pick(("in {} format", "in the format {}", "format: {}", "{}", "formatted as {}")).format(name)
    schema: dict[str, Any] = STRING
    if form == "%Y-%m-%d" and draw.chance(0.35):
        schema = {"type": "string", "format": "date"}
        hint = hint if draw.chance(0.4) else ""

    def sample(d: Draw) -> Said:
        day, text, _ = draw_date(d, is_relative_allowed=True)
        value = day.strftime(form)
        return value, [Copy("", text) if text == value else text]

    return Kind(schema, sample, hint, ("on {}", "for {}"), needs_today=True)


def _time(draw: Draw, _: str) -> Kind:
    style = draw.random()
    if style < 0.25:  # as it was said
        return Kind(STRING, lambda d: text_copy(say_time(d, *draw_clock(d))), "", ("at {}",))
    form = "%H:%M" if style < 0.85 else "%H:%M:%S"
    hint = draw.pick(
        ("in HH:MM format", "24-hour format HH:MM", "HH:MM (24h)", "in 24-hour HH:MM format")
        if form == "%H:%M"
        else ("in HH:MM:SS format", "HH:MM:SS")
    )

    def sample(d: Draw) -> Said:
        hour, minute = draw_clock(d)
        text = say_time(d, hour, minute)
        value = f"{hour:02d}:{minute:02d}" + (":00" if form == "%H:%M:%S" else "")
        return value, [Copy("", text) if text == value else text]

    return Kind(STRING, sample, hint, ("at {}",))


def _datetime(draw: Draw, _: str) -> Kind:
    form, hint = draw.pick(
        (
            ("%Y-%m-%dT%H:%M:%S", "ISO 8601, e.g. 2024-05-01T09:30:00"),
            ("%Y-%m-%dT%H:%M", "in the format YYYY-MM-DDTHH:MM"),
            ("%Y-%m-%d %H:%M", "YYYY-MM-DD HH:MM"),
        )
    )

    def sample(d: Draw) -> Said:
        day, text, _ = draw_date(d, is_relative_allowed=True)
        hour, minute = draw_clock(d)
        date_text, time_text = day.isoformat(), f"{hour:02d}:{minute:02d}"
        value = date_text + form[8] + time_text + (":00" if form.endswith("S") else "")
        return value, [f"{text} at {say_time(d, hour, minute)}"]

    return Kind(STRING, sample, hint, ("on {}", "for {}"), needs_today=True)


def _duration(draw: Draw, argument: str) -> Kind:
    unit = argument or draw.pick(("minutes", "minutes", "minutes", "hours", "seconds", "days"))

    def sample(d: Draw) -> Said:
        number, text, is_copy = draw_duration(d, unit)
        if is_copy:
            digits, rest = text.split(" ", 1)
            return number, [Copy("", digits), " " + rest]
        return number, [text]

    return Kind({"type": "integer"}, sample, f"in {unit}", ("for {}", "lasting {}"))


def _identifier(draw: Draw, argument: str) -> Kind:
    prefix = argument or draw.pick(("", "", "ORD", "USR", "TX", "INV", "A", "item", "proj", "sku", "case"))
    style = draw.between(0, 6)
    separator = draw.pick(("-", "-", "_", "", "#"))

    def sample(d: Draw) -> Said:
        if style < 2:
            return text_copy(f"{prefix}{separator if prefix else ''}{d.between(100, 99999)}")
        if style == 2:
            return text_copy(f"{prefix.lower()}{separator if prefix else ''}{int(d.random() * 16**8):08x}")
        if style == 3:
            letters = "".join(d.pick("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(d.between(2, 3)))
            return text_copy(f"{letters}{d.between(10, 9999)}")
        if style == 4:
            return text_copy(f"{d.pick(w.NOUNS)}-{d.between(1, 99)}")
        letters = "".join(
            d.pick("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789abcdefghijkmnopqrstuvwxyz")
            for _ in range(d.between(5, 9))
        )
        return text_copy(letters)

    schema: dict[str, Any] = STRING
    if style == 3 and draw.chance(0.3):
        schema = {"type": "string", "pattern": "^[A-Z]{2,3}[0-9]+$"}
    return Kind(schema, sample, "")


def pseudo_word(draw: Draw) -> str:
    """A word that exists nowhere."""
    return "".join(draw.pick(w.SYLLABLES) for _ in range(draw.between(2, 3)))


def person(draw: Draw) -> str:
    """A person's name, mostly in Latin script."""
    roll = draw.random()
    if roll < 0.3:
        return draw.pick(w.FIRST_NAMES)
    if roll < 0.36:
        return draw.pick(w.UNICODE_NAMES)
    if roll < 0.5:
        return f"{draw.pick(w.FIRST_NAMES)} {pseudo_word(draw).title()}"
    return f"{draw.pick(w.FIRST_NAMES)} {draw.pick(w.LAST_NAMES)}"


def city(draw: Draw) -> str:
    """A city's name, sometimes in its own script, sometimes of no city."""
    if draw.chance(0.2):
        return draw.pick(
            ("{}", "Port {}", "{}ville", "San {}", "New {}", "{} City", "{}burg", "{} Springs")
        ).format(pseudo_word(draw).title())
    return draw.pick(w.UNICODE_CITIES) if draw.chance(0.05) else draw.pick(w.CITIES)


def _city(draw: Draw, _: str) -> Kind:
    roll = draw.random()
    if roll < 0.25:
        hint = draw.pick(
            (
                "city and state, e.g. San Francisco, CA",
                "The city and state, e.g. 'Austin, TX'",
                "in the format City, State",
            )
        )
        return Kind(
            STRING, lambda d: text_copy(d.pick(w.US_CITIES).replace("|", ", ")), hint, ("in {}", "for {}")
        )
    return Kind(STRING, lambda d: text_copy(city(d)), "", ("in {}", "for {}"))


def email(draw: Draw) -> str:
    """A made-up address."""
    name = draw.pick(w.FIRST_NAMES).lower()
    last = "".join(
        letter for letter in draw.pick(w.LAST_NAMES).lower() if letter.isascii() and letter.isalpha()
    )
    local = draw.pick(
        (name, f"{name}.{last}", f"{name[0]}{last}", f"{name}{draw.between(1, 99)}", f"{name}_{last}")
    )
    host = draw.pick(
        (
            "example.com",
            "mail.com",
            "example.org",
            f"{draw.pick(w.NOUNS)}.io",
            f"{pseudo_word(draw)}.com",
            f"{draw.pick(w.ADJECTIVES)}{draw.pick(w.NOUNS)}.net",
            "uni.edu",
            "company.co.uk",
        )
    )
    return f"{local}@{host}"


def _url(draw: Draw) -> str:
    host = (
        f"{draw.pick(('www.', '', 'api.', 'docs.'))}{draw.pick(w.NOUNS)}{draw.pick(('', pseudo_word(draw)))}"
    )
    path = "/".join(draw.pick(w.NOUNS) for _ in range(draw.between(0, 2)))
    query = f"?id={draw.between(1, 999)}" if draw.chance(0.2) else ""
    return f"{draw.pick(('https://', 'https://', 'http://'))}{host}.{draw.pick(('com', 'org', 'io', 'net', 'dev'))}/{path}{query}".rstrip(
        "/"
    )


def file_path(draw: Draw) -> str:
    """A path in Unix or Windows spelling, or a bare file name."""
    name = draw.pick(
        (
            draw.pick(w.NOUNS),
            f"{draw.pick(w.ADJECTIVES)}_{draw.pick(w.NOUNS)}",
            f"{draw.pick(w.NOUNS)}{draw.between(1, 99)}",
        )
    )
    ending = draw.pick(
        ("txt", "csv", "json", "py", "pdf", "md", "png", "log", "xlsx", "yaml", "mp4", "docx", "zip")
    )
    roll = draw.random()
    if roll < 0.4:
        return f"{name}.{ending}"
    folders = [draw.pick(w.NOUNS) for _ in range(draw.between(1, 3))]
    if roll < 0.5:
        return "C:\\" + "\\".join([*folders, f"{name}.{ending}"])
    root = draw.pick(("/home/", "/var/", "/data/", "/", "~/", "./", ""))
    return root + "/".join([*folders, f"{name}.{ending}"])


def phone(draw: Draw) -> str:
    """A phone number in one of some spellings."""
    a, b, c = draw.between(200, 989), draw.between(200, 989), draw.between(0, 9999)
    return draw.pick(
        (
            f"{a}-{b}-{c:04d}",
            f"({a}) {b}-{c:04d}",
            f"+1 {a} {b} {c:04d}",
            f"+{draw.between(30, 99)}{a}{b}{c:04d}",
            f"0{a} {b}{c:04d}",
            f"555-{c:04d}",
        )
    )


def _made(
    make: Callable[[Draw], str], *phrases: str, hint: str = "", schema: dict[str, Any] | None = None
) -> Callable[[Draw, str], Kind]:
    def build(draw: Draw, _: str) -> Kind:
        used = schema if schema is not None and draw.chance(0.3) else STRING
        return Kind(used, lambda d: text_copy(make(d)), hint if draw.chance(0.3) else "", tuple(phrases))

    return build


def _quoted(make: Callable[[Draw], str], *phrases: str) -> Callable[[Draw, str], Kind]:
    """Free text: mostly in quotes, else at the end of a clause (a colon says where it begins)."""

    def sample(draw: Draw) -> Said:
        text = make(draw)
        before, after = draw.pick((("'", "'"), ('"', '"'), ('"', '"'), ("“", "”"), ("`", "`")))
        return text, [before, Copy("", text), after]

    def build(draw: Draw, _: str) -> Kind:
        return Kind(STRING, sample, "", tuple(phrases))

    return build


def message_text(draw: Draw) -> str:
    """A short message somebody may send or save."""
    roll = draw.random()
    if roll < 0.12:
        return draw.pick(w.UNICODE_TEXTS)
    if roll < 0.4:
        text = draw.pick(w.MESSAGES)
        return text[0].upper() + text[1:] + draw.pick(("", "", ".", "!"))
    if roll < 0.6:
        return f"{draw.pick(w.TASKS)} {draw.pick(('before', 'after', 'during', 'and then'))} {draw.pick(w.MEETINGS)}"
    if roll < 0.8:
        return f"The {draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)} is {draw.pick(w.ADJECTIVES)}"
    return f"{person(draw)} {draw.pick(('wants', 'needs', 'likes', 'found', 'lost'))} the {draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}"


def title_text(draw: Draw) -> str:
    """A title of a document, note or project."""
    roll = draw.random()
    if roll < 0.4:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}".title()
    if roll < 0.6:
        return draw.pick(w.MEETINGS)
    if roll < 0.8:
        return f"{draw.pick(w.NOUNS)} {draw.pick(w.NOUNS)} {draw.between(1, 2030)}".title()
    return f"{draw.pick(('Notes', 'Report', 'Thoughts', 'Guide', 'Lecture'))} on {draw.pick(w.TOPICS)}"


def formula(draw: Draw) -> str:
    """An expression in x, in one of the usual notations."""
    a, b, c = draw.between(2, 12), draw.between(1, 12), draw.between(1, 20)
    power = draw.pick(("^", "**"))
    sign = draw.pick("+-")
    return draw.pick(
        (
            f"x{power}{draw.between(2, 5)}",
            f"{a}x{power}2 {sign} {b}x",
            f"{a}*x{power}2 {sign} {b}*x + {c}",
            f"x{power}2 {sign} {b}x + {c}",
            f"sin(x) {sign} {a}",
            f"{a}x{power}3 {sign} {b}x",
            f"cos({a}*x)",
            f"e^(-{a}x)",
            f"({a}x {sign} {b})/({c}x)",
            f"log(x) {sign} x{power}2",
            f"x{power}3",
            f"sqrt(x {sign} {c})",
        )
    )


def code_text(draw: Draw) -> str:
    """A short piece of code, a command or a query."""
    a, b = draw.pick(w.NOUNS), draw.pick(w.NOUNS)
    number = draw.between(1, 99)
    table, column = draw.pick(w.TABLES), draw.pick(w.COLUMNS)
    return draw.pick(
        (
            f"print({a} + {b})",
            f"def {a}(x): return x * {number}",
            f"SELECT {column} FROM {table} WHERE id = {number}",
            f"for i in range({number}): {a}(i)",
            f"git checkout -b {a}-{b}",
            f"ls -la /{a}/{b}",
            f"const {a} = {number};",
            f'{a}[{number}] = "{b}"',
            f"DELETE FROM {table} WHERE {column} > {number}",
            f"pip install {a}{number}",
            f"if {a} > {number}:\n    {b}()",
            f'<div class="{a}">{b}</div>',
            f"return {a}.{b}({number})",
            f"echo $HOME/{a}",
        )
    )


def _command(draw: Draw) -> str:
    a, b = draw.pick(w.NOUNS), draw.pick(w.NOUNS)
    return draw.pick(
        (
            f"ls -la /{a}",
            f'grep -rn "{a}" {b}/',
            f"git commit -m '{a} {b}'",
            f"docker run -p {draw.between(1000, 9999)}:80 {a}",
            f"find . -name '*.{draw.pick(('py', 'txt', 'md'))}'",
            f"mkdir -p {a}/{b}",
            f"tail -n {draw.between(5, 200)} /var/log/{a}.log",
            f"curl http://localhost:{draw.between(1000, 9999)}/{a}",
            f"python {a}.py --{b} {draw.between(1, 99)}",
            f"rm -rf /tmp/{a}",
            f"chmod 755 {a}.sh",
            f"tar -xzf {a}.tar.gz",
            f'echo "{a} {b}" > {b}.txt',
            "df -h",
            "npm install",
            f"kill -9 {draw.between(100, 9999)}",
        )
    )


def _program(draw: Draw, _: str) -> Kind:
    """Code of several lines, in a fence or in backquotes; line breaks, quotes and backslashes must be kept."""

    def sample(d: Draw) -> Said:
        a, b, c = d.pick(w.NOUNS), d.pick(w.NOUNS), d.pick(w.NOUNS)
        n, m = d.between(1, 99), d.between(2, 20)
        text = d.pick(
            (
                f"for {a} in range({n}):\n    print({a})",
                f"def {a}({b}):\n    return {b} * {m}\n\nprint({a}({n}))",
                f"import math\nprint(math.sqrt({n}))",
                f"{a} = [{n}, {m}, 3]\nprint(sum({a}))",
                f'print("{a}: {b}")',
                f"with open('{a}.txt') as {b}:\n    print({b}.read())",
                f'{a} = {{"{b}": {n}}}\nprint({a}["{b}"])',
                f"print({n} ** {m})",
                f"if {n} > {m}:\n\tprint('{a}')\nelse:\n\tprint('{b}')",
                f"function {a}({b}) {{\n  return {b} + {n};\n}}",
                f"class {a.title()}:\n    {b} = {n}\n\n    def {c}(self):\n        return self.{b}",
                f'x = "{a}\\n{b}"\nprint(x)',
                f"{a} = {n} + {m}\n# {b} {c}\nprint({a})",
                f"print('{a}'.replace('{a[0]}', '{b[0]}'))",
            )
        )
        before, after = d.pick((("\n```\n", "\n```\n"), ("\n```python\n", "\n```\n"), ("`", "`")))
        return text, [before, Copy("", text), after]

    return Kind(STRING, sample)


def any_word(draw: Draw) -> str:
    """One or two words that mean nothing in particular."""
    roll = draw.random()
    if roll < 0.35:
        return pseudo_word(draw)
    if roll < 0.6:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}"
    if roll < 0.75:
        return draw.pick(w.NOUNS)
    if roll < 0.9:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}".title()
    return pseudo_word(draw).title()


def _join_items(pieces: list[list[Piece]], last: str) -> list[Piece]:
    joined: list[Piece] = []
    for number, item in enumerate(pieces):
        if number:
            joined.append(last if number == len(pieces) - 1 else ", ")
        joined.extend(item)
    return joined


def rebase(pieces: Sequence[Piece], path: str) -> list[Piece]:
    """The same pieces as part of a larger value."""
    return [
        piece if isinstance(piece, str) else Copy(f"{path}.{piece.path}" if piece.path else path, piece.text)
        for piece in pieces
    ]


def list_kind(item: Kind, low: int, high: int, *, is_bracketed: bool = False) -> Kind:
    """A list of another kind."""

    def sample(draw: Draw) -> Said:
        values: list[Any] = []
        said: list[list[Piece]] = []
        for _ in range(draw.between(low, high)):
            value, pieces = item.sample(draw)
            if value in values and item.schema["type"] == "string":
                continue
            said.append(rebase(pieces, str(len(values))))
            values.append(value)
        if item.schema["type"] == "array":
            return values, ["[", *_join_items(said, ", "), "]"]
        if is_bracketed or item.schema["type"] in ("integer", "number") and draw.chance(0.45):
            return values, ["[", *_join_items(said, ", "), "]"]
        return values, _join_items(
            said, draw.pick((" and ", " and ", ", ", ", and ") if len(values) > 2 else (" and ",))
        )

    return Kind({"type": "array", "items": item.schema}, sample, item.hint, item.phrases)


def _list(draw: Draw, argument: str) -> Kind:
    name, _, rest = argument.partition("/")
    name, _, inner = name.partition(":")
    low, _, high = rest.partition("/")
    return list_kind(draw_kind(draw, name, inner.replace("|", "/")), int(low or 2), int(high or 4))


def _integer_enum(draw: Draw, argument: str) -> Kind:
    """`intenum(1/2/3)`: an integer out of a few."""
    values = [int(value) for value in argument.split("/")]

    def sample(d: Draw) -> Said:
        number = d.pick(values)
        text = say_integer(d, number)
        return number, [Copy("", text) if text == str(number) else text]

    return Kind({"type": "integer", "enum": values}, sample)


def _one_of(draw: Draw, argument: str) -> Kind:
    """`oneof(a|b|c)`: example values of a tool's own description."""
    options = argument.split("|")
    return Kind(STRING, lambda d: text_copy(d.pick(options)))


def _list_of(draw: Draw, argument: str) -> Kind:
    name, _, rest = argument.partition("(")
    return list_kind(draw_kind(draw, name, rest[:-1]), 1, 4)


def _matrix(draw: Draw, argument: str) -> Kind:
    size = draw.between(2, 3)
    row = list_kind(
        Kind({"type": "integer"}, lambda d: _copied_integer(d, -9, 12)), size, size, is_bracketed=True
    )
    return list_kind(row, size, size)


def _copied_integer(draw: Draw, low: int, high: int) -> Said:
    number = draw.between(low, high)
    return number, [Copy("", str(number))]


def _point(draw: Draw, argument: str) -> Kind:
    """Coordinates in the plane or in space, as a list."""
    dimensions = 2 if draw.chance(0.75) else 3

    def sample(d: Draw) -> Said:
        numbers = [d.between(-20, 30) for _ in range(dimensions)]
        pieces = _join_items([[Copy(str(at), str(number))] for at, number in enumerate(numbers)], ", ")
        opening, closing = d.pick(("()", "()", "[]"))
        return numbers, [opening, *pieces, closing]

    return Kind(
        {"type": "array", "items": {"type": draw.pick(("number", "integer"))}},
        sample,
        draw.pick(("", "as [x, y]" if dimensions == 2 else "")),
    )


def _series(draw: Draw, argument: str) -> Kind:
    """A data series: three to eight numbers."""
    low, high, _ = _range(argument, 1, 100)
    is_decimal = draw.chance(0.3)
    kind = draw.pick(("number", "integer")) if not is_decimal else "number"

    def one(d: Draw) -> Said:
        if is_decimal:
            text = draw_decimal(d, max(low, 0.1), high)
            value = json.loads(text)
            return value, [Copy("", text) if json.dumps(value) == text else text]
        number = d.between(int(low), int(high))
        return number, [Copy("", str(number))]

    return list_kind(Kind({"type": kind}, one), 3, 8)


BUILDERS: dict[str, Callable[[Draw, str], Kind]] = {
    "int": _integer,
    "num": _number,
    "percent": _percent,
    "money": _money,
    "flag": _flag,
    "enum": _enum,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "dur": _duration,
    "id": _identifier,
    "city": _city,
    "list": _list,
    "series": _series,
    "matrix": _matrix,
    "oneof": _one_of,
    "intenum": _integer_enum,
    "listof": _list_of,
    "point": _point,
    "person": _made(person, "for {}"),
    "email": _made(email, "to {}", "for {}", schema={"type": "string", "format": "email"}),
    "url": _made(_url, "at {}", "from {}", schema={"type": "string", "format": "uri"}),
    "path": _made(file_path),
    "phone": _made(phone),
    "word": _made(any_word),
    "text": _quoted(message_text, "saying {}", "that says {}", "with the text {}"),
    "title": _quoted(title_text, "titled {}", "called {}", "named {}", "with the title {}"),
    "formula": _made(formula),
    "code": _quoted(code_text),
    "coord": lambda draw, argument: Kind({"type": "number"}, lambda d: _coordinate(d), ""),
    "address": _made(
        lambda d: (
            f"{d.between(1, 999)} {d.pick(w.STREETS)}" + (f", {d.pick(w.CITIES)}" if d.chance(0.4) else "")
        ),
        "at {}",
    ),
    "place": _made(lambda d: d.pick(w.PLACES) if d.chance(0.7) else city(d), "at {}", "near {}"),
    "country": _coded(w.COUNTRY_CODES, "two-letter country code", ("in {}", "for {}")),
    "countryname": _from_list(w.COUNTRIES, ("in {}", "for {}")),
    "language": _coded(w.LANGUAGES, "language code", ("in {}",)),
    "currency": _coded(w.CURRENCIES, "three-letter currency code", ("in {}",)),
    "host": _made(
        lambda d: (
            f"{d.pick(w.NOUNS)}{d.pick(('', '-' + d.pick(w.NOUNS), str(d.between(1, 99))))}.{d.pick(('com', 'org', 'local', 'io', 'net'))}"
        )
    ),
    "ip": _made(
        lambda d: ".".join(str(d.between(1, 254)) for _ in range(4)),
        schema={"type": "string", "format": "ipv4"},
    ),
    "version": _made(lambda d: f"{d.pick(('', 'v'))}{d.between(0, 9)}.{d.between(0, 20)}.{d.between(0, 30)}"),
    "pseudo": _made(
        lambda d: d.pick(
            (
                pseudo_word(d),
                f"{d.pick(w.NOUNS)}-{d.pick(w.NOUNS)}",
                f"{d.pick(w.ADJECTIVES)}-{d.pick(w.NOUNS)}",
            )
        )
    ),
    "username": _made(
        lambda d: d.pick(
            (
                f"@{pseudo_word(d)}",
                f"{d.pick(w.FIRST_NAMES).lower()}{d.between(1, 999)}",
                f"{d.pick(w.ADJECTIVES)}_{d.pick(w.NOUNS)}",
                f"{d.pick(w.FIRST_NAMES).lower()}.{pseudo_word(d)}",
            )
        )
    ),
    "branch": _made(
        lambda d: f"{d.pick(('feature', 'fix', 'release', 'hotfix'))}/{d.pick(w.NOUNS)}-{d.between(1, 999)}"
    ),
    "constant": _made(lambda d: f"{d.pick(w.NOUNS)}_{d.pick(w.NOUNS)}".upper()),
    "cron": _quoted(
        lambda d: (
            f"{d.pick(('*', '0', str(d.between(1, 59))))} {d.pick(('*', str(d.between(0, 23))))} * * {d.pick(('*', '1-5', str(d.between(0, 6))))}"
        )
    ),
    "hexcolor": _made(
        lambda d: f"#{int(d.random() * 16**6):06{d.pick('xX')}}",
        schema={"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
    ),
    "pattern": _made(
        lambda d: d.pick(
            (
                f"*.{d.pick(('txt', 'py', 'csv', 'log'))}",
                f"{d.pick(w.NOUNS)}*",
                f"*{d.pick(w.NOUNS)}*.json",
                f"{d.pick(w.NOUNS)}_??.png",
            )
        )
    ),
    "plainword": _made(
        lambda d: d.pick(
            (d.pick(w.NOUNS), d.pick(w.ADJECTIVES), f"'{d.pick(w.NOUNS)}'"[1:-1], d.pick(w.ANIMALS))
        )
    ),
    "planetfacts": _from_list(
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
    "program": _program,
    "command": _quoted(_command),
    "numtext": _made(lambda d: str(d.between(1, 900)) if d.chance(0.6) else f"{d.random() * 100:.1f}"),
    "dna": _made(lambda d: "".join(d.pick("ACGT") for _ in range(d.between(6, 24)))),
    "flightno": _made(
        lambda d: (
            f"{d.pick(('LH', 'BA', 'AF', 'UA', 'DL', 'EK', 'QF', 'KL'))}{d.pick(('', '', ' '))}{d.between(10, 9999)}"
        )
    ),
    "plate": _made(
        lambda d: (
            f"{''.join(d.pick('ABCDEFGHKLMNPRSTUVWXYZ') for _ in range(d.between(2, 3)))}{d.pick(('-', ' ', ''))}{d.between(10, 9999)}"
        )
    ),
    "zip": _made(
        lambda d: str(d.between(10000, 99999)),
        hint="five digits",
        schema={"type": "string", "pattern": "^[0-9]{5}$"},
    ),
    "avoid": lambda draw, argument: _enum(
        draw, "tolls:toll roads/highways:motorways/ferries/unpaved:dirt roads"
    ),
    "events_named": _made(
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
    "phrase": _quoted(lambda d: d.pick(w.UNICODE_TEXTS) if d.chance(0.3) else d.pick(w.FOREIGN_TEXTS)),
}


def _coordinate(draw: Draw) -> Said:
    text = f"{draw.random() * 170 - 85:.{draw.between(1, 4)}f}"
    value = json.loads(text)
    return value, [Copy("", text) if json.dumps(value) == text else text]


def _entity(options: Sequence[str], *shapes: str) -> Callable[[Draw, str], Kind]:
    """Names from a list, or made up in one of the shapes: lists alone would be learnt by heart."""

    def make(draw: Draw) -> str:
        if draw.chance(0.55):
            return draw.pick(options)
        return draw.pick(shapes).format(
            a=draw.pick(w.ADJECTIVES).title(), n=draw.pick(w.NOUNS).title(), m=draw.pick(w.NOUNS).title(), p=pseudo_word(draw).title(),
            f=draw.pick(w.FIRST_NAMES), l=draw.pick(w.LAST_NAMES), c=draw.pick(w.CITIES), la=draw.pick(w.ADJECTIVES), ln=draw.pick(w.NOUNS),
            o=draw.pick(w.COLORS), d=draw.between(2, 99),
        )  # fmt: skip

    return _made(make)


_ENTITIES: dict[str, Callable[[Draw, str], Kind]] = {
    "companies": _entity(w.COMPANIES, "{p} Inc", "{a} {n} Ltd", "{l} & {f}", "{p} {n}", "{n}works", "{p}", "{l} Group", "{c} {n} Co"),
    "restaurants": _entity(w.RESTAURANTS, "The {a} {n}", "{f}'s Kitchen", "Café {p}", "{p}", "{n} & {m}", "Chez {f}", "{c} Grill"),
    "hotels": _entity(w.HOTELS, "Hotel {p}", "The {a} {n} Inn", "{c} Palace Hotel", "{l} Lodge", "{n} Resort"),
    "songs": _entity(w.SONGS, "{a} {n}", "The {n} and the {m}", "{p}", "My {a} {n}", "{f}", "{n} in {c}", "{d} {n}s"),
    "artists": _entity(w.ARTISTS, "The {a} {n}s", "{f} {l}", "{p}", "{f} and the {n}s", "{n} {m}"),
    "movies": _entity(w.MOVIES, "The {n} of {c}", "{a} {n}", "{f} and the {a} {n}", "The {a} {m}", "{p}: {a} {n}"),
    "books": _entity(w.BOOKS, "The {n} of {p}", "A {a} {n}", "{n} and {m}", "{f}'s {n}", "The {a} {n}"),
    "products": _entity(w.PRODUCTS, "{la} {ln}", "{o} {ln}", "{ln} {ln}", "{p} {d}", "{la} {o} {ln}"),
    "games": _entity(w.GAMES, "{n} Quest", "{p} {d}", "The {a} {n}", "{a} {n} Simulator"),
    "teams": _entity(w.TEAMS, "{c} {n}s", "FC {p}", "{a} {n}s", "{c} United"),
    "topics": _entity(w.TOPICS, "{la} {ln}s", "the {ln} of {c}", "{ln} design", "{p}", "the history of the {ln}"),
    "tasks": _entity(w.TASKS, "call {f}", "buy a {la} {ln}", "check the {ln}", "send the {ln} to {f}", "repair the {la} {ln}", "meet {f} at the {ln}"),
    "meetings": _entity(w.MEETINGS, "{ln} review", "lunch with {f}", "{la} {ln} meeting", "call with {l}", "{p} kickoff", "{ln} workshop"),
    "places": _entity(w.PLACES, "{l} Park", "the {la} {ln}", "{n} Station", "{d} {n} Street", "{c} Museum", "{p} Square", "{f}'s house"),
    "cities": _entity(w.CITIES, "{p}", "Port {p}", "{p}ville", "San {p}", "New {p}", "{a} Falls", "{p} City"),
    "dishes": _entity(w.DISHES, "{la} {ln} soup", "{ln} salad", "{p} noodles", "{la} pie", "{c} burger"),
}  # fmt: skip


def _lists() -> None:
    """Each plain word list is a kind of its own: `restaurants`, `cuisines`, ..."""
    skipped = {
        "FIRST_NAMES",
        "LAST_NAMES",
        "US_CITIES",
        "COUNTRY_CODES",
        "LANGUAGES",
        "CURRENCIES",
        "SYLLABLES",
        "VERBS",
    }
    for name, options in vars(w).items():
        if name.isupper() and name not in skipped:
            BUILDERS[name.lower()] = _from_list(options, ())


_lists()
BUILDERS.update(_ENTITIES)


def draw_kind(draw: Draw, name: str, argument: str = "") -> Kind:
    """Draw a kind by its name in the domain grammar."""
    return BUILDERS[name](draw, argument)
