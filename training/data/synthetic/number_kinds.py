"""Numbers: integers, decimals, percentages, money, with bounds, units and the ways to say them."""

from __future__ import annotations

import json
from typing import Any

from .draw import Draw
from .kinds import Copy, Kind, Piece, Said
from .numbers import draw_decimal, draw_integer, say_integer


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
}


def _draw_unit(draw: Draw, units: str) -> tuple[tuple[str, ...], str]:
    """The words a person may say for the unit, and what the description says of it."""
    if not units:
        return (), ""
    unit = draw.pick(units.split(","))
    if unit in _UNITS and draw.chance(0.6):
        return _UNITS[unit], f"in {draw.pick(_UNITS[unit]) if draw.chance(0.5) else unit}"
    return (unit,), ""


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


def _number_said(draw: Draw, number: int, unit: str, sign: str) -> list[Piece]:
    text = say_integer(draw, number)
    copy: Piece = Copy("", text) if text == str(number) else text
    return [sign, copy, unit] if sign or unit else [copy]


def _sample_integer(draw: Draw, low: int, high: int, units: tuple[str, ...]) -> Said:
    number = draw_integer(draw, low, high)
    said_unit = _say_unit(draw, units, is_one=number == 1)
    return number, _number_said(draw, number, said_unit, "")


def integer_kind(draw: Draw, argument: str) -> Kind:
    """`int(low/high/unit,unit2)`; the unit is said in a third of the cases and told by the description."""
    low, high, unit = read_range(argument, 1, 100)
    schema: dict[str, Any] = {"type": "integer"}
    if draw.chance(0.12):
        schema["minimum"] = int(low)
    if draw.chance(0.12):
        schema["maximum"] = int(high)
    said_units, hint = _draw_unit(draw, unit)
    return Kind(schema, lambda d: _sample_integer(d, int(low), int(high), said_units), hint)


def number_kind(draw: Draw, argument: str) -> Kind:
    """`num(low/high/unit,unit)`: a number, half of them whole."""
    low, high, unit = read_range(argument, 0, 100)
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


def percent_kind(draw: Draw, argument: str) -> Kind:
    """`percent(fraction)` or `percent(whole)`; without either, drawn: the description says which."""
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


_DOLLAR_SIGNS = (("$", ""), ("$", ""), ("", ""), ("", " dollars"), ("", " USD"))


def money_kind(draw: Draw, argument: str) -> Kind:
    """`money(low/high)`: an amount, with or without a currency sign."""
    low, high, _ = read_range(argument, 5, 5000)
    kind = "number" if draw.chance(0.6) else "integer"

    is_in_dollars = draw.chance(0.2)
    signs = _DOLLAR_SIGNS if is_in_dollars else (*_DOLLAR_SIGNS, ("€", ""), ("", " euros"), ("£", ""))

    def sample(d: Draw) -> Said:
        before, after = d.pick(signs)
        if kind == "number" and d.chance(0.3):
            cents = f"{d.between(int(low), int(min(high, 9999)))}.{d.between(1, 99):02d}"
            value = json.loads(cents)
            shown: Piece = Copy("", cents) if json.dumps(value) == cents else cents
            return value, [before, shown, after]
        number = draw_integer(d, int(low), int(high))
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
