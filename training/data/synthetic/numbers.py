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
    if number > 20 and roundness < 0.6:  # people say 5000 and 12,000 far more often than 5,283
        unit = 10 ** (len(str(number)) - (1 if roundness < 0.3 else 2))
        number = number // unit * unit
    return min(max(number, low), high)


_ROUND_WORDS = {12: "a dozen", 24: "two dozen", 100: "a hundred", 1000: "a thousand", 1_000_000: "a million"}


def say_amount(draw: Draw, number: int) -> str:
    """The integer in digits, for behind a currency sign: "2,000,000", "1.2M", "50k"."""
    roll = draw.random()
    if number >= 1_000_000 and number % 10_000 == 0 and roll < 0.4:
        return f"{number / 1_000_000:g}{draw.pick((' million', 'M', 'M', 'm'))}"
    if number >= 1000 and roll < 0.6:
        return f"{number:,}"
    if 1000 <= number < 1_000_000 and number % 500 == 0 and roll < 0.68:
        return f"{number / 1000:g}{draw.pick('kK')}"
    return str(number)


def say_integer(draw: Draw, number: int) -> str:
    """The integer as a person may write it."""
    roll = draw.random()
    if number in _ROUND_WORDS and roll < 0.15:
        return _ROUND_WORDS[number]
    if 0 <= number <= 12 and roll < 0.16 or 12 < number <= 100 and roll < 0.05:
        return number_words(number)
    if number >= 1_000_000 and number % 100_000 == 0 and roll < 0.35:
        return f"{number / 1_000_000:g}{draw.pick((' million', ' million', 'M'))}"
    if number >= 1000 and not 1000 < number <= 2100:  # those may be years
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
    roll = draw.random()
    places = 1 if roll < 0.55 else 2 if roll < 0.88 else draw.between(3, 4 if high <= 10 else 3)
    floor = max(low, 10.0**-places)
    number = floor * (high / floor) ** draw.random() if low >= 0 else low + (high - low) * draw.random()
    text = f"{number:.{places}f}"
    if text.endswith("0") and draw.chance(0.9):
        text = text.rstrip("0")
        text += "1" if text.endswith(".") else ""
    return text if low <= float(text) <= high else f"{low:.{places}f}"


def draw_scientific(draw: Draw, low: int, high: int) -> tuple[float | int, str]:
    """A number with a power of ten between the bounds, and how it is written."""
    exponent = draw.between(low, high)
    mantissa = draw.pick(
        ("1", "2", "5", "8", f"{draw.between(11, 99) / 10:g}", f"{draw.between(101, 999) / 100:g}")
    )
    text = f"{mantissa}e{exponent}"
    roll = draw.random()
    if roll < 0.2:
        said = f"{mantissa} x 10^{exponent}"
    elif roll < 0.3:
        said = f"{mantissa}*10^{exponent}"
    elif roll < 0.4:
        said = f"{mantissa}E{exponent}"
    else:
        said = text
    value = float(text)
    return int(value) if value.is_integer() and value < 1e15 else value, said
