"""Automata of `multipleOf` for numbers that are no integers.

A validator divides doubles and asks whether the quotient is whole. For steps a double holds exactly (0.5, 2)
that is what the decimals say, and a remainder automaton is exact. For others (0.01) the quotient of a true
multiple may round to something else: 0.07 / 0.01 is 7.000000000000001. What is written must be a multiple in
both senses, so those values are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .byte_automaton import ByteAutomaton, LanguageError, explore, from_words, union
from .numeral import (
    DISTINCT_DIGITS,
    MAX_MULTIPLES,
    Bounds,
    digits_needed,
    integers,
    signed_decimals,
)
from .shape import IntegerShape, NumberShape

WINDOW_DIGITS = 4
"""Digits before the point of looked-up multiples: with 0.01, up to 9999.99."""

_State = tuple[object, ...]
_DIGITS = {digit: ord("0") + digit for digit in range(10)}
_MINUS, _POINT = ord("-"), ord(".")


def multiples(shape: NumberShape) -> ByteAutomaton:
    """JSON numbers within bounds that are multiples of `shape.multiple_of`; no exponents.

    Steps that no double holds: all multiples within bounds, if they are few; otherwise those below
    10 000 (fewer for steps of many digits), and whole numbers beyond.

    Raises:
        LanguageError: nothing satisfies the bounds, or the step has too many digits to be looked up.
    """
    step = Decimal(repr(shape.multiple_of))
    if shape.multiple_of is None or step <= 0:
        raise LanguageError(f"multipleOf must be greater than 0, found {shape.multiple_of}")
    bounds = Bounds.of(shape)
    low, high = bounds.low, bounds.high
    if low is not None and high is not None and (high - low) / Fraction(step) <= MAX_MULTIPLES:
        return from_words(text.encode() for text in _between(shape.multiple_of, step, bounds))
    if Fraction(step) != Fraction(shape.multiple_of):
        return _rounded(shape.multiple_of, step, bounds)
    places = max(1, _decimal_places(step))  # at least `5.0`, as Python writes a float
    digits = digits_needed(DISTINCT_DIGITS, bounds)
    return signed_decimals(
        bounds,
        integer_digits=digits,
        total_digits=digits + places,
        fraction_digits=places,
        modulus=int(step * 10**places),
        is_integer=False,
    )


def _decimal_places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _between(double: float, step: Decimal, bounds: Bounds) -> Iterator[str]:
    """Every multiple within bounds, as `2.5` and `2.50` where the step has two places."""
    places = max(1, _decimal_places(step))
    in_steps = (
        bounds.scaled(1)
        if step == 1
        else Bounds(
            low=None if bounds.low is None else bounds.low / Fraction(step),
            high=None if bounds.high is None else bounds.high / Fraction(step),
            is_low_open=bounds.is_low_open,
            is_high_open=bounds.is_high_open,
        )
    )
    first, last = in_steps.first_integer(), in_steps.last_integer()
    assert first is not None and last is not None
    for count in range(first, last + 1):
        value = step * count
        short = f"{value.normalize():f}" if value else "0"
        for text in dict.fromkeys((short, f"{value:.{places}f}" if value else "0.0")):
            if _divides(float(text) if "." in text else int(text), double):
                yield text


def _divides(number: float, step: float) -> bool:
    """The test validators make: plain division of doubles, remainder of integers."""
    if isinstance(step, float):
        quotient = number / step
        return int(quotient) == quotient
    return number % step == 0


def _rounded(double: float, step: Decimal, bounds: Bounds) -> ByteAutomaton:
    places = _decimal_places(step)
    window = min(WINDOW_DIGITS, 6 - places)
    if window < 1:
        raise LanguageError(f"multipleOf {step} has too many digits: use integers of a smaller unit")
    scaled = int(step * 10**places)
    parts = (_looked_up(double, scaled, places, window, bounds), _whole(double, step, scaled, places, bounds))
    found: ByteAutomaton | None = None
    for part in parts:
        if part is not None:
            found = part if found is None else union(found, part, what="multipleOf within bounds")
    if found is None:
        raise LanguageError(f"no multiple of {step} within the bounds can be written")
    return found


def _looked_up(double: float, scaled: int, places: int, window: int, bounds: Bounds) -> ByteAutomaton | None:
    """Multiples of fewer than `window + 1` digits before the point.

    A state is an integer part, later which of the remaining digits are accepted, so equal endings meet.
    """
    units = np.arange(10 ** (window + places))
    quotients = units / 10**places / double
    is_multiple = (units % scaled == 0) & (quotients == np.trunc(quotients))
    endings = {
        "": _endings(is_multiple, units, bounds.scaled(10**places), places),
        "-": _endings(is_multiple & (units > 0), units, bounds.mirrored().scaled(10**places), places),
    }
    if not any(endings.values()):
        return None
    # Above zero both signs may go on alike; then they are the same states.
    is_mirrored = endings["-"][1:] == endings[""][1:]

    def step(state: _State) -> dict[int, _State]:
        match state:
            case ("sign",):
                return {
                    **{byte: ("", digit, 1) for digit, byte in _DIGITS.items() if endings[""]},
                    **({_MINUS: ("-",)} if endings["-"] else {}),
                }
            case (str(sign),):
                return {
                    byte: ("" if is_mirrored and digit else sign, digit, 1) for digit, byte in _DIGITS.items()
                }
            case (str(sign), int(value), int(digits)):
                following: dict[int, _State] = {_POINT: ("fraction", endings[sign][value])}
                if value and digits < window:
                    following |= {
                        byte: (sign, 10 * value + digit, digits + 1) for digit, byte in _DIGITS.items()
                    }
                return following
            case ("fraction", bytes(accepted)) if len(accepted) > 1:
                part = len(accepted) // 10
                rest = {byte: accepted[digit * part : (digit + 1) * part] for digit, byte in _DIGITS.items()}
                return {byte: ("fraction", some) for byte, some in rest.items() if any(some)}
        return {}

    def is_final(state: _State) -> bool:
        match state:
            case ("fraction", bytes(accepted)):
                return len(accepted) < 10**places and bool(accepted[0])
            case (str(sign), int(value), int()):
                return bool(endings[sign][value][0])
        return False

    start: _State = ("sign",)
    return explore(start, step, is_final, what="multipleOf within the bounds")


def _endings(
    is_multiple: NDArray[np.bool_], units: NDArray[np.int64], bounds: Bounds, places: int
) -> list[bytes]:
    """Per integer part, a flag for each fraction; empty if there is none at all."""
    first, last = bounds.first_integer(), bounds.last_integer()
    accepted = is_multiple.copy()
    if first is not None:
        accepted &= units >= first
    if last is not None:
        accepted &= units <= last
    return [row.tobytes() for row in accepted.reshape(-1, 10**places)] if accepted.any() else []


def _whole(double: float, step: Decimal, scaled: int, places: int, bounds: Bounds) -> ByteAutomaton | None:
    """Whole multiples. With a relative error below 2**-54 their quotient rounds to the right whole number."""
    if abs(Fraction(double) / Fraction(step) - 1) >= Fraction(1, 2**54):
        return None
    whole = scaled // int(np.gcd(scaled, 10**places))
    try:
        return integers(
            IntegerShape(minimum=bounds.first_integer(), maximum=bounds.last_integer(), multiple_of=whole)
        )
    except LanguageError:
        return None
