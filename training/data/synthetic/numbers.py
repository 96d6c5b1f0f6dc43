"""Numbers as people write them: digits, words, thousands separators, money, percent."""

from __future__ import annotations

from .draw import Draw

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(number: int) -> str:
    """The number in English words, below ten thousand."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = number % 100
        return f"{_ONES[number // 100]} hundred" + (f" and {number_words(rest)}" if rest else "")
    rest = number % 1000
    return f"{number_words(number // 1000)} thousand" + (f" {number_words(rest)}" if rest else "")


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def draw_integer(draw: Draw, low: int, high: int) -> int:
    """An integer in the range: small ranges evenly, wide ones evenly over magnitudes, often round."""
    if high - low <= 200:
        return draw.between(low, high)
    floor = max(low, 1)
    number = int(floor * (high / floor) ** draw.random())
    roundness = draw.random()
    if number > 1000 and roundness < 0.4:
        number = number // 100 * 100
    elif number > 100 and roundness < 0.4:
        number = number // 10 * 10
    return min(max(number, low), high)


def say_integer(draw: Draw, number: int) -> str:
    """The integer as a person may write it."""
    roll = draw.random()
    if 0 <= number <= 12 and roll < 0.16 or 12 < number <= 100 and roll < 0.05:
        return number_words(number)
    if number >= 1_000_000 and number % 100_000 == 0 and roll < 0.35:
        return f"{number / 1_000_000:g} million"
    if number >= 1000 and not 1500 <= number <= 2100:  # those may be years
        if roll < 0.35:
            return f"{number:,}"
        if number % 1000 == 0 and roll < 0.42:
            return f"{number // 1000}k"
        if number % 100 == 0 and number < 10_000 and roll < 0.45:
            return number_words(number)
    if number < 0 and roll < 0.3:
        return f"minus {-number}"
    return str(number)


def draw_decimal(draw: Draw, low: float, high: float) -> str:
    """A decimal number as JSON text, with one to four digits after the point."""
    places = 1 if draw.chance(0.5) else draw.between(2, 4 if high <= 10 else 3)
    floor = max(low, 10.0**-places)
    number = floor * (high / floor) ** draw.random() if low >= 0 else low + (high - low) * draw.random()
    text = f"{number:.{places}f}"
    return text if low <= float(text) <= high else f"{low:.{places}f}"
