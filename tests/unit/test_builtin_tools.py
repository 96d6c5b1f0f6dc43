from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.builtin_tools import calculate, convert_units, current_time


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * -4", -20),
        ("7 / 2", 3.5),
        ("8 / 2", 4),
        ("2^10", 1024),
        ("17 × 23 =", 391),
        ("sqrt(2) ** 2", pytest.approx(2.0)),
        ("round(10 / 3, 2)", 3.33),
        ("max(1, 2, pi)", math.pi),
        ("10**18", 10**18),
    ],
)
def test_arithmetic_is_right(expression: str, value: Any) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "two",
        "__import__('os')",
        "(1).__class__",
        "[1]*9",
        "'a'*9",
        "True",
        "9**9**9",
        "print(1)",
        "lambda: 1",
        "x:=1",
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        calculate(expression)


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_plain_error(expression: str) -> None:
    try:
        assert isinstance(calculate(expression), (int, float, complex))
    except (ValueError, ArithmeticError, TypeError):
        pass


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "converted"),
    [
        (26.2, "miles", "km", 42.1648128),
        (100, "Celsius", "fahrenheit", 212),
        (0, "kelvin", "celsius", -273.15),
        (1, "gallon", "litres", 3.785411784),
        (5, "kg", "pounds", 11.02311311),
        (3, "square_feet", "m2", 0.27870912),
    ],
)
def test_units_convert(value: float, from_unit: str, to_unit: str, converted: float) -> None:
    assert convert_units(value, from_unit, to_unit) == {"value": pytest.approx(converted), "unit": to_unit}


def test_units_of_different_quantities_do_not_convert() -> None:
    with pytest.raises(ValueError, match="miles measures length, kg measures mass"):
        convert_units(1, "miles", "kg")
    with pytest.raises(ValueError, match="unknown unit 'parsec'"):
        convert_units(1, "parsec", "km")


def test_time_is_told_for_a_city() -> None:
    assert current_time("tokyo")["place"] == "Asia/Tokyo"
    assert current_time()["place"] == "here"
    with pytest.raises(ValueError, match="no time zone known for 'Atlantis'"):
        current_time("Atlantis")
