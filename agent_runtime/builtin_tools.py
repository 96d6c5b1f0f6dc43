"""Tools the command line offers when none are given: arithmetic, units and the clock.

They work without a network and tell the truth. Plain functions with type hints and docstrings, as a user
would write them.
"""

from __future__ import annotations

import ast
import datetime
import functools
import math
import operator
import zoneinfo
from collections.abc import Callable
from typing import Any

MAX_DIGITS = 4000
"""Digits a power may have; beyond that it is refused before it is computed."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "cbrt": math.cbrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "floor": math.floor,
    "ceil": math.ceil,
    "degrees": math.degrees,
    "radians": math.radians,
}


def calculate(expression: str) -> float | int:
    """Work out an arithmetic expression.

    Args:
        expression: Numbers, + - * / // % ** ^ ( ), sqrt, log, sin, round, pi and the like.
    """
    text = (
        expression.replace("^", "**")
        .replace("×", "*")
        .replace("÷", "/")
        .replace("−", "-")
        .strip()
        .rstrip("=?")
    )
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{expression!r} is not an arithmetic expression") from error
    value = _evaluate(tree.body)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _evaluate(node: ast.AST) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_evaluate(left), _evaluate(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_evaluate, args))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if abs(exponent) * math.log10(abs(base)) > MAX_DIGITS:
            raise ValueError(f"{base} ** {exponent} has more than {MAX_DIGITS} digits")
    return base**exponent


# What one unit is in the base unit of its quantity, with the names it goes by.
_UNITS: dict[str, dict[str, float]] = {
    "length": {
        "metre|meter|metres|meters|m": 1.0,
        "kilometre|kilometer|kilometres|kilometers|km": 1000.0,
        "centimetre|centimeter|centimetres|centimeters|cm": 0.01,
        "millimetre|millimeter|millimetres|millimeters|mm": 0.001,
        "mile|miles|mi": 1609.344,
        "yard|yards|yd": 0.9144,
        "foot|feet|ft": 0.3048,
        "inch|inches|in": 0.0254,
        "nautical mile|nautical miles|nmi": 1852.0,
    },
    "mass": {
        "kilogram|kilograms|kilo|kilos|kg": 1.0,
        "gram|grams|g": 0.001,
        "milligram|milligrams|mg": 1e-6,
        "tonne|tonnes|metric ton|metric tons|t": 1000.0,
        "pound|pounds|lb|lbs": 0.45359237,
        "ounce|ounces|oz": 0.028349523125,
        "stone|stones|st": 6.35029318,
    },
    "volume": {
        "litre|liter|litres|liters|l": 1.0,
        "millilitre|milliliter|millilitres|milliliters|ml": 0.001,
        "us gallon|gallon|gallons|gal": 3.785411784,
        "us pint|pint|pints|pt": 0.473176473,
        "us cup|cup|cups": 0.2365882365,
        "tablespoon|tablespoons|tbsp": 0.01478676478,
        "teaspoon|teaspoons|tsp": 0.00492892159,
    },
    "speed": {
        "metre per second|meters per second|metres per second|m/s": 1.0,
        "kilometre per hour|kilometers per hour|kilometres per hour|km/h|kph": 1 / 3.6,
        "mile per hour|miles per hour|mph": 0.44704,
        "knot|knots|kn": 0.514444444,
    },
    "area": {
        "square metre|square meter|square metres|square meters|m2|m²": 1.0,
        "square kilometre|square kilometer|square kilometres|square kilometers|km2|km²": 1e6,
        "hectare|hectares|ha": 1e4,
        "acre|acres": 4046.8564224,
        "square foot|square feet|sq ft|ft2": 0.09290304,
    },
    "time": {
        "second|seconds|s": 1.0,
        "minute|minutes|min": 60.0,
        "hour|hours|h": 3600.0,
        "day|days|d": 86400.0,
        "week|weeks": 604800.0,
    },
    "data": {
        "byte|bytes|b": 1.0,
        "kilobyte|kilobytes|kb": 1e3,
        "megabyte|megabytes|mb": 1e6,
        "gigabyte|gigabytes|gb": 1e9,
        "terabyte|terabytes|tb": 1e12,
    },
}
_TEMPERATURES = {
    **dict.fromkeys(("celsius", "c", "°c", "degrees celsius"), "celsius"),
    **dict.fromkeys(("fahrenheit", "f", "°f", "degrees fahrenheit"), "fahrenheit"),
    **dict.fromkeys(("kelvin", "k"), "kelvin"),
}


def convert_units(value: float, from_unit: str, to_unit: str) -> dict[str, float | str]:
    """Convert a quantity from one unit to another.

    Args:
        value: How much.
        from_unit: The unit it is given in, such as miles, kg, celsius or gallons.
        to_unit: The unit wanted.
    """
    start, end = (" ".join(unit.lower().replace("_", " ").split()) for unit in (from_unit, to_unit))
    if start in _TEMPERATURES and end in _TEMPERATURES:
        converted = _from_celsius(_to_celsius(value, _TEMPERATURES[start]), _TEMPERATURES[end])
    else:
        quantity, factor = _find_unit(start)
        other_quantity, other_factor = _find_unit(end)
        if quantity != other_quantity:
            raise ValueError(f"{from_unit} measures {quantity}, {to_unit} measures {other_quantity}")
        converted = value * factor / other_factor
    return {"value": float(f"{converted:.10g}"), "unit": to_unit}


def _find_unit(name: str) -> tuple[str, float]:
    for quantity, units in _UNITS.items():
        for names, factor in units.items():
            if name in names.split("|"):
                return quantity, factor
    if name in _TEMPERATURES:
        return "temperature", 1.0
    known = ", ".join(names.split("|")[0] for units in _UNITS.values() for names in units)
    raise ValueError(f"unknown unit {name!r}: known are {known}, celsius, fahrenheit, kelvin")


def _to_celsius(value: float, unit: str) -> float:
    return {"celsius": value, "fahrenheit": (value - 32) / 1.8, "kelvin": value - 273.15}[unit]


def _from_celsius(value: float, unit: str) -> float:
    return {"celsius": value, "fahrenheit": value * 1.8 + 32, "kelvin": value + 273.15}[unit]


def current_time(place: str = "here") -> dict[str, str]:
    """Tell the date and time now.

    Args:
        place: A city or time zone, such as Tokyo or Europe/Paris. Left out: here.
    """
    if place.strip().lower() in ("here", "local", ""):
        now = datetime.datetime.now().astimezone()
        return {"place": "here", "time": now.strftime("%H:%M"), "date": now.strftime("%A, %Y-%m-%d")}
    zone = _find_zone(place)
    now = datetime.datetime.now(zone)
    return {"place": zone.key, "time": now.strftime("%H:%M"), "date": now.strftime("%A, %Y-%m-%d")}


def _find_zone(place: str) -> zoneinfo.ZoneInfo:
    wanted = place.split(",")[0].strip().lower().replace(" ", "_")
    name = _zones().get(wanted)
    if name is None:
        raise ValueError(
            f"no time zone known for {place!r}: give a larger city or a name like 'Europe/Paris'"
        )
    return zoneinfo.ZoneInfo(name)


@functools.cache
def _zones() -> dict[str, str]:
    """Time zones by full name and by city, lower case."""
    names = sorted(zoneinfo.available_timezones())
    by_city = {name.rsplit("/", 1)[-1].lower(): name for name in names}
    return {**by_city, **{name.lower(): name for name in names}}


BUILTIN_TOOLS: tuple[Callable[..., Any], ...] = (calculate, convert_units, current_time)
"""What `smolcall ask` and `smolcall chat` offer when no tools are given."""
