"""Automata of JSON numbers within bounds: exact decimal arithmetic, no rounding, no expanded ranges.

A state is what still matters of the digits read so far: while the value may yet fall on either side of a
bound, the digits themselves; afterwards only how many more may follow. That keeps `0..86399` at a dozen
states. `multipleOf` of integers adds the remainder; that of other numbers is multiples.py.

Values are finite sets of digits by decision: integers have at most 19 digits, numbers 20 significant ones
(15 where an exclusive bound other than 0 stands, since beyond that two decimals can be one double). Declared
bounds that need more digits get them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from .byte_automaton import ByteAutomaton, LanguageError, explore, from_words, union
from .shape import IntegerShape, NumberShape

INTEGER_DIGITS = 19
NUMBER_DIGITS = 20
DISTINCT_DIGITS = 15
MAX_DIGITS = 60
MAX_MULTIPLES = 20_000
EXPONENTS = range(-99, 100)

_DIGITS = {digit: ord("0") + digit for digit in range(10)}
_MINUS, _POINT = ord("-"), ord(".")
_EMPTY, _PARTIAL, _FULL = 0, 1, 2
_EXACT_INTEGERS = 2**53

_State = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interval:
    """Which magnitudes are allowed; `None` is unbounded above."""

    low: Fraction
    high: Fraction | None
    is_low_open: bool
    is_high_open: bool

    def __contains__(self, value: Fraction) -> bool:
        above = value > self.low or (value == self.low and not self.is_low_open)
        below = self.high is None or value < self.high or (value == self.high and not self.is_high_open)
        return above and below

    def status(self, start: Fraction, end: Fraction) -> int:
        """How much of `[start, end)` is inside."""
        if end <= self.low or (self.high is not None and start > self.high) or start == end:
            return _EMPTY
        if self.high is not None and start == self.high and self.is_high_open:
            return _EMPTY
        is_full = start in self and (self.high is None or end <= self.high)
        return _FULL if is_full else _PARTIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Magnitudes:
    """The unsigned decimals of an interval, as states to be explored.

    States: `("start",)`; `("digits", p, n)` an integer part `p` of `n` digits whose side is still open, or 0;
    `("free", statuses, remainder)` an integer part of which only the fate of each further length matters;
    `("point", v, n, k)` and `("loose", left, k, remainder)` the same after the point, `k` digits on.
    """

    interval: _Interval
    integer_digits: int
    total_digits: int
    fraction_digits: int
    """Most digits after the point; 0 for integers."""
    modulus: int
    """Remainder automaton of `multipleOf` on the digits, scaled to `fraction_digits`; 1 without."""

    def step(self, state: _State) -> dict[int, _State]:
        match state:
            case ("start",):
                return _alive({byte: self._integer(digit, 1) for digit, byte in _DIGITS.items()})
            case ("digits", int(p), int(n)):
                following = {} if p == 0 else self._digits_after(p, n)
                if self.fraction_digits:
                    following[_POINT] = self._fraction(p, n, 0)
                return _alive(following)
            case ("free", tuple(statuses), int(remainder)):
                return self._after_free(statuses, remainder)
            case ("point", int(v), int(n), int(k)):
                if k == self._places(n):
                    return {}
                return _alive(
                    {byte: self._fraction(10 * v + digit, n, k + 1) for digit, byte in _DIGITS.items()}
                )
            case ("loose", int(left), int(k), int(remainder)):
                if left == 0:
                    return {}
                return {
                    byte: ("loose", left - 1, k + 1, self._remainder(10 * remainder + digit))
                    for digit, byte in _DIGITS.items()
                }
        return {}

    def is_final(self, state: _State) -> bool:
        match state:
            case ("digits", int(p), int()):
                return Fraction(p) in self.interval and self._is_multiple(p, 0)
            case ("free", tuple(statuses), int(remainder)):
                return statuses[0] == _FULL and self._is_multiple(remainder, 0)
            case ("point", int(v), int(), int(k)):
                return k > 0 and Fraction(v, 10**k) in self.interval and self._is_multiple(v, k)
            case ("loose", int(), int(k), int(remainder)):
                return k > 0 and self._is_multiple(remainder, k)
        return False

    def _digits_after(self, p: int, n: int) -> dict[int, _State | None]:
        if n == self.integer_digits:
            return {}
        return {byte: self._integer(10 * p + digit, n + 1) for digit, byte in _DIGITS.items()}

    def _integer(self, p: int, n: int) -> _State | None:
        lengths = range(self.integer_digits - n + 1) if p else range(1)
        statuses = tuple(
            self.interval.status(Fraction(p * 10**more), Fraction((p + 1) * 10**more)) for more in lengths
        )
        if not any(statuses):
            return None
        if p == 0 or _PARTIAL in statuses:
            return ("digits", p, n)
        return ("free", statuses, self._remainder(p))

    def _after_free(self, statuses: tuple[int, ...], remainder: int) -> dict[int, _State]:
        following: dict[int, _State] = {}
        if len(statuses) > 1:
            for digit, byte in _DIGITS.items():
                following[byte] = ("free", statuses[1:], self._remainder(10 * remainder + digit))
        if self.fraction_digits and statuses[0] == _FULL:
            read = self.integer_digits - len(statuses) + 1
            following[_POINT] = ("loose", self._places(read), 0, remainder)
        return following

    def _fraction(self, v: int, n: int, k: int) -> _State | None:
        status = self.interval.status(Fraction(v, 10**k), Fraction(v + 1, 10**k))
        if status == _FULL:
            return ("loose", self._places(n) - k, k, self._remainder(v))
        return ("point", v, n, k) if status else None

    def _places(self, integer_digits: int) -> int:
        return max(1, min(self.fraction_digits, self.total_digits - integer_digits))

    def _remainder(self, digits: int) -> int:
        return digits % self.modulus

    def _is_multiple(self, digits: int, k: int) -> bool:
        return (
            digits * 10 ** max(0, self.fraction_digits - k) % self.modulus == 0 if self.modulus > 1 else True
        )


def _alive(following: dict[int, _State | None]) -> dict[int, _State]:
    return {byte: state for byte, state in following.items() if state is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Least and greatest value; `None` is unbounded."""

    low: Fraction | None
    high: Fraction | None
    is_low_open: bool = False
    is_high_open: bool = False

    @classmethod
    def of(cls, shape: NumberShape) -> Bounds:
        """The bounds as the schema writes them."""
        return cls(
            low=_exact(shape.minimum, -1),
            high=_exact(shape.maximum, +1),
            is_low_open=shape.is_minimum_exclusive,
            is_high_open=shape.is_maximum_exclusive,
        )

    def mirrored(self) -> Bounds:
        """The same for values of the other sign."""
        return Bounds(
            low=None if self.high is None else -self.high,
            high=None if self.low is None else -self.low,
            is_low_open=self.is_high_open,
            is_high_open=self.is_low_open,
        )

    def first_integer(self) -> int | None:
        """The least integer within."""
        if self.low is None:
            return None
        return math.floor(self.low) + 1 if self.is_low_open else math.ceil(self.low)

    def last_integer(self) -> int | None:
        """The greatest integer within."""
        if self.high is None:
            return None
        return math.ceil(self.high) - 1 if self.is_high_open else math.floor(self.high)

    def scaled(self, factor: int) -> Bounds:
        """The bounds in units of `1 / factor`."""
        return replace(
            self,
            low=None if self.low is None else self.low * factor,
            high=None if self.high is None else self.high * factor,
        )

    def magnitudes(self, *, is_integer: bool, excludes_zero: bool) -> _Interval:
        """Those at or above zero."""
        low = max(self.low, Fraction(0)) if self.low is not None else Fraction(0)
        is_low_open = self.is_low_open and self.low is not None and self.low >= 0
        high = self.high
        if is_integer and high is not None:
            high += 1  # and open: a half-open interval then holds exactly the integers of the closed one
        return _Interval(
            low=low,
            high=high,
            is_low_open=is_low_open or (excludes_zero and low == 0),
            is_high_open=self.is_high_open or is_integer,
        )


def integers(shape: IntegerShape) -> ByteAutomaton:
    """Canonical JSON integers within inclusive bounds: no leading zeros, no `-0`, no exponent.

    Raises:
        LanguageError: nothing satisfies the bounds, or `multipleOf` needs too many states.
    """
    step = shape.multiple_of
    if step is not None and step <= 0:
        raise LanguageError(f"multipleOf must be greater than 0, found {step}")
    low, high = shape.minimum, shape.maximum
    if step is not None and low is not None and high is not None and (high - low) // step <= MAX_MULTIPLES:
        first = -(-low // step) * step
        return from_words(str(value).encode() for value in range(first, high + 1, step))
    bounds = Bounds(low=None if low is None else Fraction(low), high=None if high is None else Fraction(high))
    digits = digits_needed(INTEGER_DIGITS, bounds)
    return signed_decimals(
        bounds,
        integer_digits=digits,
        total_digits=digits,
        fraction_digits=0,
        modulus=step or 1,
        is_integer=True,
    )


def numbers(shape: NumberShape) -> ByteAutomaton:
    """JSON numbers within bounds: decimals, and exponent forms of whole decades inside the bounds.

    Decimals may end in zeros (`2.50`); `-0` and `-0.0` are left out; exponents are `e5`, `e-07`, `e+16`.
    `multiple_of` is not looked at.

    Raises:
        LanguageError: nothing satisfies the bounds.
    """
    bounds = Bounds.of(shape)
    is_distinct_needed = (bounds.is_low_open and bounds.low) or (bounds.is_high_open and bounds.high)
    total = DISTINCT_DIGITS if is_distinct_needed else NUMBER_DIGITS
    digits = digits_needed(total, bounds)
    decimals = signed_decimals(
        bounds,
        integer_digits=digits,
        total_digits=max(total, digits),
        fraction_digits=total - 1,
        modulus=1,
        is_integer=False,
    )
    suffixes = {"": _decades(bounds), "-": _decades(bounds.mirrored())}
    if not any(suffixes.values()):
        return decimals
    return union(decimals, _exponent_forms(suffixes), what="the number's bounds")


def signed_decimals(
    bounds: Bounds,
    *,
    integer_digits: int,
    total_digits: int,
    fraction_digits: int,
    modulus: int,
    is_integer: bool,
) -> ByteAutomaton:
    """Decimals without exponent, of both signs; zero has none.

    Args:
        bounds: of the values.
        integer_digits: most digits before the point.
        total_digits: most digits in all, where there is a point.
        fraction_digits: most digits after the point.
        modulus: what the digits, read as one integer of `fraction_digits` places, must be a multiple of.
        is_integer: no point at all.

    Raises:
        LanguageError: nothing lies within the bounds.
    """

    def magnitudes(side: Bounds, *, excludes_zero: bool) -> _Magnitudes:
        return _Magnitudes(
            interval=side.magnitudes(is_integer=is_integer, excludes_zero=excludes_zero),
            integer_digits=integer_digits,
            total_digits=total_digits,
            fraction_digits=fraction_digits,
            modulus=modulus,
        )

    positive = magnitudes(bounds, excludes_zero=False)
    negative = magnitudes(bounds.mirrored(), excludes_zero=True)

    def step(state: _State) -> dict[int, _State]:
        if state == ("sign",):
            first: dict[int, _State] = {
                byte: ("+", *rest) for byte, rest in positive.step(("start",)).items()
            }
            first[_MINUS] = ("-", "start")
            return first
        side = positive if state[0] == "+" else negative
        return {byte: (state[0], *rest) for byte, rest in side.step(state[1:]).items()}

    def is_final(state: _State) -> bool:
        return state != ("sign",) and (positive if state[0] == "+" else negative).is_final(state[1:])

    start: _State = ("sign",)
    return explore(start, step, is_final, what="the number's bounds")


def _decades(bounds: Bounds) -> list[str]:
    """The exponents whose whole decade lies within the bounds, in every way they are written."""
    if bounds.high is not None and bounds.high <= 0:
        return []
    interval = bounds.magnitudes(is_integer=False, excludes_zero=True)
    texts: list[str] = []
    for exponent in EXPONENTS:
        start = Fraction(10) ** exponent
        if interval.status(start, 10 * start) == _FULL:
            signs = ("-",) if exponent < 0 else ("", "+")
            texts.extend(f"e{sign}{abs(exponent):{width}}" for sign in signs for width in ("", "02"))
    return texts


def _exponent_forms(suffixes: dict[str, list[str]]) -> ByteAutomaton:
    """`d`, `d.ddd` and then one of the suffixes of the sign."""
    prefixes = {
        sign: {text[:end] for text in texts for end in range(len(text) + 1)}
        for sign, texts in suffixes.items()
    }
    whole = {sign: set(texts) for sign, texts in suffixes.items()}

    def step(state: _State) -> dict[int, _State]:
        match state:
            case ("sign",):
                following: dict[int, _State] = {_DIGITS[digit]: ("", 0) for digit in range(1, 10)}
                following[_MINUS] = ("-", -1)
                return following
            case (str(sign), -1):
                return {_DIGITS[digit]: (sign, 0) for digit in range(1, 10)}
            case (str(sign), int(places), *_) if places < DISTINCT_DIGITS:
                following = {byte: (sign, places + 1) for byte in _DIGITS.values()} if places else {}
                if places == 0:
                    following[_POINT] = (sign, 1)
                if places != 1 and prefixes[sign]:
                    following[ord("e")] = (sign, "e")
                return following
            case (str(sign), str(text)):
                return {
                    byte: (sign, text + chr(byte))
                    for byte in b"+-0123456789"
                    if text + chr(byte) in prefixes[sign]
                }
            case (str(sign), int()) if prefixes[sign]:
                return {ord("e"): (sign, "e")}
        return {}

    def is_final(state: _State) -> bool:
        return len(state) == 2 and state[1] in whole.get(str(state[0]), ())

    start: _State = ("sign",)
    return explore(start, step, is_final, what="the number's bounds")


def _exact(bound: float | None, side: int) -> Fraction | None:
    """The bound as it is written; where doubles skip integers, the tighter of text and double."""
    if bound is None:
        return None
    if isinstance(bound, int):
        return Fraction(bound)
    written = Fraction(Decimal(repr(bound)))
    if abs(written) < _EXACT_INTEGERS:
        return written
    return min(written, Fraction(bound)) if side > 0 else max(written, Fraction(bound))


def digits_needed(digits: int, bounds: Bounds) -> int:
    """At least `digits`, and one more than what the bound that excludes zero needs."""
    if bounds.low is not None and bounds.low > 0:
        digits = max(digits, len(str(int(bounds.low))) + 1)
    if bounds.high is not None and bounds.high < 0:
        digits = max(digits, len(str(int(-bounds.high))) + 1)
    if digits > MAX_DIGITS:
        raise LanguageError(f"bounds of more than {MAX_DIGITS} digits cannot be decoded")
    return digits


def number_spellings(text: str) -> tuple[str, ...]:
    """Every way this module writes the number that `text` writes."""
    value = Decimal(text).normalize()
    sign, magnitude = ("-", -value) if value < 0 else ("", value)
    plain = f"{magnitude:f}"
    stem = plain if "." in plain else f"{plain}."
    texts = [
        *([plain] if "." not in plain else []),
        *(stem + "0" * zeros for zeros in range(NUMBER_DIGITS + 1)),
    ]
    if magnitude:
        exponent = magnitude.adjusted()
        mantissa = f"{magnitude.scaleb(-exponent):f}"
        point = mantissa if "." in mantissa else f"{mantissa}."
        mantissas = [mantissa, *(point + "0" * zeros for zeros in range(DISTINCT_DIGITS + 1))]
        signs = ("-",) if exponent < 0 else ("", "+")
        texts += [f"{m}e{s}{abs(exponent):{width}}" for m in mantissas for s in signs for width in ("", "02")]
    return tuple(dict.fromkeys(sign + one for one in texts if not one.endswith(".")))
