"""Dates, times and durations: what is declared, and the many ways to say it."""

from __future__ import annotations

from datetime import date, timedelta

from .draw import Draw
from .numbers import number_words, ordinal

MONTHS = ("January February March April May June July August September October November December").split()

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

DATE_FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("%Y-%m-%d", ("YYYY-MM-DD", "yyyy-mm-dd", "%Y-%m-%d", "ISO 8601 (YYYY-MM-DD)", "YYYY-MM-DD")),
    ("%Y-%m-%d", ("YYYY-MM-DD",)),
    ("%d/%m/%Y", ("DD/MM/YYYY", "dd/mm/yyyy")),
    ("%m/%d/%Y", ("MM/DD/YYYY", "mm/dd/yyyy")),
    ("%d.%m.%Y", ("DD.MM.YYYY",)),
    ("%Y/%m/%d", ("YYYY/MM/DD",)),
    ("%d-%m-%Y", ("DD-MM-YYYY",)),
    ("%m-%d-%Y", ("MM-DD-YYYY",)),
    ("%Y%m%d", ("YYYYMMDD",)),
)


def draw_date(draw: Draw, *, is_relative_allowed: bool) -> tuple[date, str, bool]:
    """A date, how it is said, and whether saying so leans on the stated today."""
    roll = draw.random()
    today = draw.today
    if is_relative_allowed and roll < 0.45:
        return *_relative_date(draw, today), True
    day = today + timedelta(days=draw.between(-500, 500))
    return day, say_date(draw, day), False


def _relative_date(draw: Draw, today: date) -> tuple[date, str]:
    roll = draw.random()
    if roll < 0.22:
        return today, draw.pick(("today", "today"))
    if roll < 0.55:
        return today + timedelta(days=1), "tomorrow"
    if roll < 0.65:
        return today - timedelta(days=1), "yesterday"
    if roll < 0.75:
        return today + timedelta(days=2), "the day after tomorrow"
    if roll < 0.85:
        days = draw.between(2, 9)
        count = number_words(days) if draw.chance(0.5) else str(days)
        return today + timedelta(days=days), f"in {count} days"
    if roll < 0.88:
        return today + timedelta(days=7), draw.pick(("a week from today", "in a week"))
    if roll < 0.92:  # the listing states the date alone, so the request tells the weekday
        days = draw.between(1, 6)
        day = today + timedelta(days=days)
        which = draw.pick(("this coming", "this", "the coming"))
        return day, f"{which} {WEEKDAYS[day.weekday()]} (it's {WEEKDAYS[today.weekday()]} today)"
    day = today + timedelta(days=draw.between(1, 200))
    if day.year != today.year:
        day = today
    month = MONTHS[day.month - 1]
    return day, draw.pick(
        (
            f"{month} {day.day}",
            f"{day.day} {month}",
            f"{month} {ordinal(day.day)}",
            f"the {ordinal(day.day)} of {month}",
        )
    )


def say_date(draw: Draw, day: date) -> str:
    """A full date in one of many spellings, never an ambiguous one."""
    month = MONTHS[day.month - 1]
    roll = draw.random()
    if roll < 0.18:
        return f"{month} {day.day}, {day.year}"
    if roll < 0.22:
        return draw.pick(
            (
                f"{month}.{day.day}, {day.year}",
                f"{month[:3]}. {day.day}, {day.year}",
                f"{WEEKDAYS[day.weekday()]}, {month} {day.day}, {day.year}",
                f"{month} {day.day},{day.year}",
                f"{day.day} {month}, {day.year}",
                f"{day.year}.{day.month:02d}.{day.day:02d}",
            )
        )
    if roll < 0.36:
        return f"{day.day} {month} {day.year}"
    if roll < 0.56:
        return day.isoformat()
    if roll < 0.66:
        return f"{month} {ordinal(day.day)}, {day.year}"
    if roll < 0.73:
        return f"the {ordinal(day.day)} of {month} {day.year}"
    if roll < 0.80:
        return f"{month[:3]} {day.day}, {day.year}"
    if roll < 0.85:
        return f"{day.day} {month[:3]} {day.year}"
    if day.day > 12:
        return (
            f"{day.month:02d}/{day.day:02d}/{day.year}"
            if roll < 0.92
            else f"{day.day:02d}/{day.month:02d}/{day.year}"
        )
    return f"{day.year}/{day.month:02d}/{day.day:02d}" if roll < 0.92 else f"{month} {day.day} {day.year}"


def say_time(draw: Draw, hour: int, minute: int) -> str:
    """A time of day in one of many spellings."""
    roll = draw.random()
    half = "am" if hour < 12 else "pm"
    hour12 = hour % 12 or 12
    if roll < 0.3:
        return f"{hour:02d}:{minute:02d}"
    if minute == 0:
        if hour == 12 and roll < 0.5:
            return "noon"
        return draw.pick(
            (
                f"{hour12} {half}",
                f"{hour12}{half}",
                f"{hour12} {half.upper()}",
                f"{hour12}{half.upper()}",
                f"{hour12}:00 {half.upper()}",
                f"{hour12} o'clock in the "
                + ("morning" if hour < 12 else "afternoon" if hour < 18 else "evening"),
            )
        )
    if minute == 30 and roll < 0.4:
        return f"half past {number_words(hour12)} in the " + (
            "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
        )
    return draw.pick(
        (
            f"{hour12}:{minute:02d} {half}",
            f"{hour12}:{minute:02d}{half}",
            f"{hour12}:{minute:02d} {half.upper()}",
        )
    )


def draw_clock(draw: Draw) -> tuple[int, int]:
    """An hour and a minute, mostly round."""
    hour = draw.between(6, 22)
    minute = draw.pick((0, 0, 0, 30, 30, 15, 45, 10, 20, 50, draw.between(0, 59)))
    return hour, minute


def draw_duration(draw: Draw, unit: str) -> tuple[int, str, bool]:
    """A duration in a unit: its value, how it is said, and whether the digits said are the value."""
    short = {"seconds": "s", "minutes": "min", "hours": "h", "days": "d"}[unit]
    roll = draw.random()
    if unit == "minutes" and roll < 0.25:
        hours = draw.between(1, 4)
        if draw.chance(0.3):
            return 30, "half an hour", False
        if draw.chance(0.3):
            return hours * 60 + 30, "an hour and a half" if hours == 1 else f"{hours} and a half hours", False
        return hours * 60, "an hour" if hours == 1 else f"{hours} hours", False
    if unit == "seconds" and roll < 0.25:
        minutes = draw.between(1, 5)
        return minutes * 60, "a minute" if minutes == 1 else f"{minutes} minutes", False
    if unit == "days" and roll < 0.2:
        weeks = draw.between(1, 3)
        return weeks * 7, "a week" if weeks == 1 else f"{number_words(weeks)} weeks", False
    high = {"seconds": 90, "minutes": 120, "hours": 12, "days": 14}[unit]
    number = draw.between(1, high // 5) * 5 if high > 20 and draw.chance(0.7) else draw.between(1, high)
    name = unit if number != 1 else unit[:-1]
    if number <= 20 and draw.chance(0.2):
        return number, f"{number_words(number)} {name}", False
    return number, f"{number} {name}" if draw.chance(0.85) else f"{number} {short}", True
