"""Numbers: integers, decimals, percentages, money, with bounds, units and the ways to say them."""

from __future__ import annotations

import json
from typing import Any

from .draw import Draw
from .kinds import Copy, Kind, Piece, Said
from .numbers import (
    draw_decimal,
    draw_integer,
    draw_scientific,
    number_words,
    ordinal,
    say_amount,
    say_integer,
)


def read_range(argument: str, low: float, high: float) -> tuple[float, float, str]:
    """The bounds and units of an argument "low/high/unit,unit"."""
    parts = argument.split("/") if argument else []
    if len(parts) >= 2:
        low, high = float(parts[0]), float(parts[1])
    return low, high, "/".join(parts[2:])


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
    "mm": ("mm", "millimeters"),
    "ml": ("ml", "milliliters"),
    "C": ("C", "coulombs"),
    "uF": ("µF", "microfarads", "uF"),
    "mA": ("mA", "milliamps"),
    "mph": ("mph", "miles per hour"),
    "lbs": ("lbs", "pounds"),
    "degrees": ("degrees", "°"),
    "celsius": ("°C", "degrees Celsius", "degrees"),
    "m/s^2": ("m/s^2", "m/s²", "meters per second squared"),
    "Pa": ("Pa", "pascals"),
    "nm": ("nm", "nanometers"),
}
_CONVERSIONS: dict[str, tuple[tuple[str, int], ...]] = {
    "m": (("km", 1000), ("kilometers", 1000)),
    "meters": (("km", 1000), ("kilometers", 1000)),
    "cm": (("m", 100), ("meters", 100)),
    "g": (("kg", 1000),),
    "grams": (("kg", 1000), ("kilograms", 1000)),
    "kg": (("tons", 1000), ("t", 1000)),
    "kilograms": (("tons", 1000),),
    "s": (("minutes", 60), ("min", 60)),
    "seconds": (("minutes", 60),),
    "minutes": (("hours", 60),),
    "ml": (("liters", 1000), ("L", 1000)),
    "watts": (("kW", 1000), ("kilowatts", 1000)),
    "years": (("decades", 10),),
}
"""Larger units a person may say instead of the declared one."""


def _draw_unit(draw: Draw, units: str) -> tuple[tuple[str, ...], str, tuple[tuple[str, int], ...]]:
    """The words a person may say for the unit, what the description says of it, and larger units."""
    if not units:
        return (), "", ()
    unit = draw.pick(units.split(","))
    if unit in _UNITS and draw.chance(0.6):
        larger = _CONVERSIONS.get(unit, ()) if draw.chance(0.3) else ()
        return _UNITS[unit], f"in {draw.pick(_UNITS[unit]) if draw.chance(0.5) else unit}", larger
    return _UNITS.get(unit, (unit,)) if draw.chance(0.5) else (unit,), "", ()


def _convert(draw: Draw, low: float, high: float, larger: tuple[tuple[str, int], ...]) -> Said | None:
    """A value said in a larger unit than the declared one; None where none fits the bounds."""
    unit, factor = draw.pick(larger)
    number = draw.between(1, 9)
    tenths = draw.between(1, 9) if draw.chance(0.35) and factor % 10 == 0 else 0
    value = number * factor + tenths * factor // 10
    if not low <= value <= high:
        return None
    said = f"{number}.{tenths}" if tenths else str(number)
    if said == "1":
        unit = unit.removesuffix("s") if len(unit) > 3 else unit
    return value, [f"{said} {unit}"]


_GLUED = frozenset(
    "cm m km kg g m/s s V K Hz A kWh J N MB GB km/h mm ml µF uF mA mph lbs ° °C Pa nm W L min ft kW".split()
)


def _say_unit(draw: Draw, units: tuple[str, ...], *, is_one: bool) -> str:
    if not units or draw.chance(0.08 if units[0] not in _UNITS else 0.2):
        return ""
    unit = draw.pick(units)
    if unit == "%":
        return unit
    if is_one:
        unit = {"people": "person", "feet": "foot", "inches": "inch"}.get(
            unit, unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit
        )
    if unit == "°" or unit in _GLUED and draw.chance(0.35):
        return unit
    return f" {unit}"


def _number_said(draw: Draw, number: int, unit: str, sign: str) -> list[Piece]:
    text = say_amount(draw, number) if sign else say_integer(draw, number)
    if unit and not unit.startswith(" ") and not text[-1].isdigit():
        unit = f" {unit}"
    copy: Piece = Copy("", text) if text == str(number) else text
    return [sign, copy, unit] if sign or unit else [copy]


def _sample_integer(draw: Draw, low: int, high: int, units: tuple[str, ...]) -> Said:
    number = draw_integer(draw, low, high)
    said_unit = _say_unit(draw, units, is_one=number == 1)
    return number, _number_said(draw, number, said_unit, "")


def _shown(text: str) -> tuple[Any, Piece]:
    """A number from its text: a copy where the call writes it the same way."""
    value = json.loads(text)
    return value, Copy("", text) if json.dumps(value) == text else text


def integer_kind(draw: Draw, argument: str) -> Kind:
    """`int(low/high/unit,unit2)`; the unit is said in a third of the cases and told by the description."""
    low, high, unit = read_range(argument, 1, 100)
    schema: dict[str, Any] = {"type": "integer"}
    if draw.chance(0.12):
        schema["minimum"] = int(low)
    if draw.chance(0.12):
        schema["maximum"] = int(high)
    said_units, hint, larger = _draw_unit(draw, unit)

    def sample(d: Draw) -> Said:
        converted = _convert(d, low, high, larger) if larger and d.chance(0.4) else None
        return converted or _sample_integer(d, int(low), int(high), said_units)

    return Kind(schema, sample, hint)


def number_kind(draw: Draw, argument: str) -> Kind:
    """`num(low/high/unit,unit)`: a number, half of them whole."""
    low, high, unit = read_range(argument, 0, 100)
    schema: dict[str, Any] = {"type": "number"}
    if draw.chance(0.08):
        schema["minimum"] = int(low)
    said_units, hint, larger = _draw_unit(draw, unit)

    def sample(d: Draw) -> Said:
        if larger and d.chance(0.4):
            converted = _convert(d, low, high, larger)
            if converted is not None:
                return converted
        if low <= 0.25 and high >= 0.5 and not said_units and d.chance(0.03):
            value, words = d.pick(((0.5, "half"), (0.5, "one half"), (0.25, "a quarter")))
            return value, [words]
        if d.chance(0.55) and high >= 5:
            return _sample_integer(d, max(1 if low >= 0 else int(low), int(low)), int(high), said_units)
        text = d.pick(_COMMON) if d.chance(0.15) else draw_decimal(d, low, high)
        if not low <= float(text) <= high:
            text = draw_decimal(d, low, high)
        said_unit = _say_unit(d, said_units, is_one=False)
        value, shown = _shown(text)
        return value, [shown, said_unit] if said_unit else [shown]

    return Kind(schema, sample, hint)


_COMMON = (
    "0.01",
    "0.05",
    "0.1",
    "0.5",
    "0.001",
    "0.25",
    "0.75",
    "1.5",
    "2.5",
    "9.8",
    "9.81",
    "3.14",
    "0.8",
    "0.95",
    "1.2",
)


def scientific_kind(draw: Draw, argument: str) -> Kind:
    """`sci(low/high)`: a number with a power of ten between the exponents, in digits at times."""
    low, high, unit = read_range(argument, -9, 8)
    said_units, hint, _ = _draw_unit(draw, unit)

    def sample(d: Draw) -> Said:
        value, text = draw_scientific(d, int(low), int(high))
        number: Any = value
        piece: Piece = Copy("", text) if json.dumps(value) == text else text
        if 1e-5 <= value < 1e9 and d.chance(0.4):
            text = f"{value:.8f}".rstrip("0").rstrip(".")
            number, piece = _shown(text)
        unit_said = _say_unit(d, said_units, is_one=False)
        if unit_said and not unit_said.startswith(" "):
            unit_said = f" {unit_said}"
        return number, [piece, unit_said]

    return Kind({"type": "number"}, sample, hint)


def nth_kind(draw: Draw, argument: str) -> Kind:
    """`nth(low/high)`: a whole number said as an ordinal, "the 5th"."""
    low, high, _ = read_range(argument, 1, 30)

    def sample(d: Draw) -> Said:
        number = d.between(int(low), int(high))
        if number <= 10 and d.chance(0.5):
            return number, [_ORDINALS[number]]
        return number, [ordinal(number)]

    return Kind({"type": "integer"}, sample)


_ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth".split()


def _percent_text(draw: Draw, *, is_whole_number: bool) -> str:
    """The figure before the sign: mostly one digit, at times a hundred, a half or a decimal."""
    roll = draw.random()
    if roll < 0.38:
        return str(draw.between(1, 9))
    if is_whole_number or roll < 0.6:
        return str(draw.between(10, 99) if draw.chance(0.6) else draw.between(2, 20) * 5)
    if roll < 0.76:
        return f"{draw.between(0, 14)}.{draw.pick('5555257')}"
    if roll < 0.82:
        return draw.pick(("12.5", "37.5", "0.25", "0.75", "2.25", "6.75", "62.5", "99.9", "0.1"))
    return draw_decimal(draw, 0.1, 30)


_PERCENT_SIGNS = ("%", "%", "%", " percent", " %")
_FRACTION_HINTS = (
    "as a decimal",
    "as a decimal fraction, e.g. 0.05 for 5%",
    "between 0 and 1",
    "in decimal form",
    "as a decimal (5% is 0.05)",
    "e.g. 0.07",
    "0.03 for 3%",
)
_WHOLE_HINTS = ("in percent", "as a percentage, e.g. 5 for 5%", "as a percentage")


def percent_kind(draw: Draw, argument: str) -> Kind:
    """`percent(fraction)`, `percent(whole)`, `percent(told)` or `percent(NAME)`: the schema says which.

    Where no description tells, a number is a fraction unless its name says percentage, and any integer a
    whole number; what is `told` is told by the description.
    """
    is_plain = argument != "told" and draw.chance(0.5)
    is_whole_number = False
    if argument in ("fraction", "whole"):
        is_fraction = argument == "fraction"
    elif is_plain:
        is_whole_number = draw.chance(0.12)
        is_fraction = "percent" not in argument and not is_whole_number
    else:
        is_fraction = draw.chance(0.6)
    is_whole_number = is_whole_number or not is_fraction and draw.chance(0.3)

    def sample(d: Draw) -> Said:
        text = _percent_text(d, is_whole_number=is_whole_number)
        number = float(text)
        if is_fraction:
            if d.chance(0.2):
                decimal = json.dumps(round(number / 100, 5))
                return json.loads(decimal), [Copy("", decimal)]
            value = round(number / 100, 6)
            return int(value) if value.is_integer() else value, [text + d.pick(_PERCENT_SIGNS)]
        value, shown = _shown(text)
        if is_whole_number and number <= 20 and d.chance(0.1):
            return value, [f"{number_words(int(number))} percent"]
        return value, [shown, d.pick(_PERCENT_SIGNS)]

    hint = "" if is_plain else draw.pick(_FRACTION_HINTS if is_fraction else _WHOLE_HINTS)
    schema: dict[str, Any] = {"type": "integer" if is_whole_number else "number"}
    if is_fraction and draw.chance(0.15):
        schema |= {"minimum": 0, "maximum": 1}
    return Kind(schema, sample, hint)


_DOLLAR_SIGNS = (("$", ""), ("$", ""), ("", ""), ("", " dollars"), ("", " USD"))


def money_kind(draw: Draw, argument: str) -> Kind:
    """`money(low/high)`: an amount, with or without a currency sign; without for `money(low/high/plain)`."""
    low, high, form = read_range(argument, 5, 5000)
    kind = "number" if draw.chance(0.6) else "integer"

    is_in_dollars = draw.chance(0.2) and form != "plain"
    signs: tuple[tuple[str, str], ...] = (("", ""),)
    if form != "plain":
        signs = _DOLLAR_SIGNS if is_in_dollars else (*_DOLLAR_SIGNS, ("€", ""), ("", " euros"), ("£", ""))

    def sample(d: Draw) -> Said:
        before, after = d.pick(signs)
        if kind == "number" and d.chance(0.3):
            cents = f"{d.between(int(low), int(min(high, 9999)))}.{d.between(1, 99):02d}"
            value = json.loads(cents)
            shown: Piece = Copy("", cents) if json.dumps(value) == cents else cents
            return value, [before, shown, after]
        number = draw_integer(d, int(low), int(high))
        if number > 10_000 and d.chance(0.3):
            number = number // 10_000 * 10_000
        elif high > 1000 and d.chance(0.2):  # runs of zeros of every length
            number = d.between(1, 99) * 10 ** d.between(2, 7)
        return number, _number_said(d, number, after, before)

    return Kind({"type": kind}, sample, "in dollars" if is_in_dollars else "")


def sample_coordinate(draw: Draw) -> Said:
    """A latitude or longitude."""
    text = f"{draw.random() * 170 - 85:.{draw.between(1, 4)}f}"
    value = json.loads(text)
    return value, [Copy("", text) if json.dumps(value) == text else text]


def integer_enum_kind(draw: Draw, argument: str) -> Kind:
    """`intenum(1/2/3)`: an integer out of a few."""
    values = [int(value) for value in argument.split("/")]

    def sample(d: Draw) -> Said:
        number = d.pick(values)
        text = say_integer(d, number)
        return number, [Copy("", text) if text == str(number) else text]

    return Kind({"type": "integer", "enum": values}, sample)
