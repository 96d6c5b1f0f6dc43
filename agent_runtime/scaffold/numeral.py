"""Automata of JSON numbers within bounds: exact decimal arithmetic, no rounding, no expanded ranges.

A state is what still matters of the digits read so far: while the value may yet fall on either side of a
bound, the digits themselves; afterwards only how many more may follow. That keeps `0..86399` at a dozen
states. `multipleOf` adds the remainder.

Values are finite sets of digits by decision: integers have at most 19 digits, numbers 20 significant ones
(15 where an exclusive bound other than 0 stands, since beyond that two decimals can be one double). Declared
bounds that need more digits get them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
        return _constants(str(value) for value in range(first, high + 1, step))
    digits = _digits_needed(INTEGER_DIGITS, low, high)
    return _signed(
        Fraction(low) if low is not None else None,
        # One more, and open: a half-open interval then holds exactly the integers of the closed one.
        Fraction(high + 1) if high is not None else None,
        is_low_open=False,
        is_high_open=True,
        integer_digits=digits,
        total_digits=digits,
        fraction_digits=0,
        modulus=step or 1,
        is_integer=True,
    )


def numbers(shape: NumberShape) -> ByteAutomaton:
    """JSON numbers within bounds: decimals, and exponent forms of whole decades inside the bounds.

    Decimals may end in zeros (`2.50`); `-0` and `-0.0` are left out; exponents are `e5`, `e-07`, `e+16`.
    `multipleOf` is exact for steps a double holds exactly (2, 0.5, 0.25); other steps (0.01) need bounds
    with at most `MAX_MULTIPLES` multiples between them, of which those are kept that binary division, as
    validators do it, also calls multiples.

    Raises:
        LanguageError: nothing satisfies the bounds, or `multipleOf` cannot be honoured exactly.
    """
    low, high = _exact(shape.minimum, -1), _exact(shape.maximum, +1)
    if shape.multiple_of is not None:
        return _multiples(shape, low, high)
    is_distinct_needed = (shape.is_minimum_exclusive and bool(low)) or (
        shape.is_maximum_exclusive and bool(high)
    )
    total = DISTINCT_DIGITS if is_distinct_needed else NUMBER_DIGITS
    digits = _digits_needed(total, low, high)
    decimals = _signed(
        low,
        high,
        is_low_open=shape.is_minimum_exclusive,
        is_high_open=shape.is_maximum_exclusive,
        integer_digits=digits,
        total_digits=max(total, digits),
        fraction_digits=total - 1,
        modulus=1,
        is_integer=False,
    )
    suffixes = _exponent_suffixes(shape, low, high)
    if not any(suffixes.values()):
        return decimals
    return union(decimals, _exponent_forms(suffixes), what="the number's bounds")


def _multiples(shape: NumberShape, low: Fraction | None, high: Fraction | None) -> ByteAutomaton:
    step = Decimal(repr(shape.multiple_of))
    if step <= 0:
        raise LanguageError(f"multipleOf must be greater than 0, found {shape.multiple_of}")
    is_exact = Fraction(step) == Fraction(shape.multiple_of or 0)
    bounded = low is not None and high is not None and (high - low) / Fraction(step) <= MAX_MULTIPLES
    if low is not None and high is not None and bounded:
        return _constants(_multiples_between(shape, step, low, high))
    if not is_exact:
        raise LanguageError(
            f"multipleOf {shape.multiple_of} is not a binary fraction, so validators round it: give minimum and "
            f"maximum with at most {MAX_MULTIPLES} multiples between them, or use integers of the smaller unit"
        )
    exponent = step.normalize().as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    digits = _digits_needed(DISTINCT_DIGITS, low, high)
    return _signed(
        low,
        high,
        is_low_open=shape.is_minimum_exclusive,
        is_high_open=shape.is_maximum_exclusive,
        integer_digits=digits,
        total_digits=digits + max(1, places),
        fraction_digits=max(1, places),  # at least `5.0`, as Python writes a float
        modulus=int(step * 10 ** max(1, places)),
        is_integer=False,
    )


def _multiples_between(shape: NumberShape, step: Decimal, low: Fraction, high: Fraction) -> Iterator[str]:
    interval = _Interval(
        low=low, high=high, is_low_open=shape.is_minimum_exclusive, is_high_open=shape.is_maximum_exclusive
    )
    exponent = step.as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    first, last = -(-low // Fraction(step)), high // Fraction(step)
    for count in range(int(first), int(last) + 1):
        value = step * count
        if Fraction(value) not in interval:
            continue
        short = f"{value.normalize() if value else Decimal(0):f}"
        for text in dict.fromkeys((short, f"{value:.{max(1, places)}f}" if value else "0.0")):
            number = float(text) if "." in text else int(text)
            if _is_binary_multiple(number, shape.multiple_of):
                yield text


def _is_binary_multiple(number: float, step: float | None) -> bool:
    """The test validators make: plain division of doubles, remainder of integers."""
    if isinstance(step, float):
        quotient = number / step
        return int(quotient) == quotient
    return step is not None and number % step == 0


def _constants(texts: Iterator[str]) -> ByteAutomaton:
    return from_words(text.encode() for text in texts)


def _signed(
    low: Fraction | None,
    high: Fraction | None,
    *,
    is_low_open: bool,
    is_high_open: bool,
    integer_digits: int,
    total_digits: int,
    fraction_digits: int,
    modulus: int,
    is_integer: bool,
) -> ByteAutomaton:
    """Magnitudes at or above zero, and a minus before those below; one automaton of both."""

    def magnitudes(interval: _Interval) -> _Magnitudes:
        return _Magnitudes(
            interval=interval,
            integer_digits=integer_digits,
            total_digits=total_digits,
            fraction_digits=fraction_digits,
            modulus=modulus,
        )

    zero = Fraction(0)
    positive = magnitudes(
        _Interval(
            low=max(low, zero) if low is not None else zero,
            high=high,
            is_low_open=is_low_open and low is not None and low >= 0,
            is_high_open=is_high_open,
        )
    )
    # Mirrored. Zero has no sign: the interval is open there. Integers have their upper bound one too high.
    closest = zero if high is None or high > 0 else -high + (1 if is_integer else 0)
    negative = magnitudes(
        _Interval(
            low=closest,
            high=None if low is None else -low + (1 if is_integer else 0),
            is_low_open=closest == 0 or (is_high_open and not is_integer),
            is_high_open=is_integer or is_low_open,
        )
    )

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

    return explore(("sign",), step, is_final, what="the number's bounds")


def _exponent_suffixes(
    shape: NumberShape, low: Fraction | None, high: Fraction | None
) -> dict[str, list[str]]:
    """Per sign, the exponents whose whole decade lies inside the bounds, in every way they are written."""
    negated = NumberShape(
        is_minimum_exclusive=shape.is_maximum_exclusive, is_maximum_exclusive=shape.is_minimum_exclusive
    )
    return {
        "": _decades(shape, low, high),
        "-": _decades(negated, None if high is None else -high, None if low is None else -low),
    }


def _decades(shape: NumberShape, low: Fraction | None, high: Fraction | None) -> list[str]:
    if high is not None and high <= 0:
        return []
    interval = _Interval(
        low=low if low is not None else Fraction(-1),
        high=high,
        is_low_open=shape.is_minimum_exclusive,
        is_high_open=shape.is_maximum_exclusive,
    )
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

    return explore(("sign",), step, is_final, what="the number's bounds")


def _exact(bound: float | None, side: int) -> Fraction | None:
    """The bound as it is written in the schema; where doubles skip integers, the tighter of text and double."""
    if bound is None:
        return None
    if isinstance(bound, int):
        return Fraction(bound)
    written = Fraction(Decimal(repr(bound)))
    if abs(written) < _EXACT_INTEGERS:
        return written
    return min(written, Fraction(bound)) if side > 0 else max(written, Fraction(bound))


def _digits_needed(digits: int, *bounds: Fraction | int | None) -> int:
    """At least `digits`, and one more than what the bound that excludes zero needs."""
    low, high = bounds
    for nearest in (
        low if low is not None and low > 0 else None,
        high if high is not None and high < 0 else None,
    ):
        if nearest is not None:
            digits = max(digits, len(str(int(abs(nearest)))) + 1)
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
