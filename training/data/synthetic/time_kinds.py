"""Dates, times, moments and durations to a declared format."""

from __future__ import annotations

from datetime import date
from typing import Any

from .dates import DATE_FORMATS, MONTHS, draw_clock, draw_date, draw_duration, say_time
from .draw import Draw
from .kinds import STRING, Copy, Kind, Said, text_copy


def _as_said(draw: Draw) -> Said:
    """A date as the person says it."""
    text = draw_date(draw, is_relative_allowed=True)[1]
    return text_copy(text.split(" (")[0])


def date_kind(draw: Draw, _: str) -> Kind:
    """A date in one of the usual formats, or as it was said."""
    if draw.chance(0.1):  # no declared format: as it was said
        return Kind(STRING, _as_said, "", ("on {}", "for {}"))
    form, names = draw.pick(DATE_FORMATS)
    name = draw.pick(names)
    hint = draw.pick(("in {} format", "in the format {}", "format: {}", "{}", "formatted as {}")).format(name)
    schema: dict[str, Any] = STRING
    if form == "%Y-%m-%d" and draw.chance(0.35):
        schema = {"type": "string", "format": "date"}
        hint = hint if draw.chance(0.4) else ""

    def sample(d: Draw) -> Said:
        day, text, _ = draw_date(d, is_relative_allowed=True)
        value = day.strftime(form)
        return value, [Copy("", text) if text == value else text]

    return Kind(schema, sample, hint, ("on {}", "for {}"), needs_today=True)


def month_kind(draw: Draw, _: str) -> Kind:
    """A month of a year."""
    form, hint = draw.pick(
        (
            ("%Y-%m", "in YYYY-MM format"),
            ("%Y-%m", "as YYYY-MM, e.g. 2023-04"),
            ("%m/%Y", "in MM/YYYY format"),
            ("%m-%Y", "MM-YYYY"),
            ("%B %Y", "month and year, e.g. April 2023"),
        )
    )

    def sample(d: Draw) -> Said:
        year, month = d.between(1990, 2030), d.between(1, 12)
        value = date(year, month, 1).strftime(form)
        name = MONTHS[month - 1]
        text = d.pick((f"{name} {year}", f"{name} {year}", f"{name} of {year}", f"{name[:3]} {year}", value))
        return value, [Copy("", text) if text == value else text]

    return Kind(STRING, sample, hint, ("in {}", "for {}"))


def time_kind(draw: Draw, _: str) -> Kind:
    """A time of day."""
    style = draw.random()
    if style < 0.25:  # as it was said
        return Kind(STRING, lambda d: text_copy(say_time(d, *draw_clock(d))), "", ("at {}",))
    form = "%H:%M" if style < 0.85 else "%H:%M:%S"
    hint = draw.pick(
        ("in HH:MM format", "24-hour format HH:MM", "HH:MM (24h)", "in 24-hour HH:MM format")
        if form == "%H:%M"
        else ("in HH:MM:SS format", "HH:MM:SS")
    )

    def sample(d: Draw) -> Said:
        hour, minute = draw_clock(d)
        text = say_time(d, hour, minute)
        value = f"{hour:02d}:{minute:02d}" + (":00" if form == "%H:%M:%S" else "")
        return value, [Copy("", text) if text == value else text]

    return Kind(STRING, sample, hint, ("at {}",))


def datetime_kind(draw: Draw, _: str) -> Kind:
    """A moment."""
    form, hint = draw.pick(
        (
            ("%Y-%m-%dT%H:%M:%S", "ISO 8601, e.g. 2024-05-01T09:30:00"),
            ("%Y-%m-%dT%H:%M", "in the format YYYY-MM-DDTHH:MM"),
            ("%Y-%m-%d %H:%M", "YYYY-MM-DD HH:MM"),
        )
    )

    def sample(d: Draw) -> Said:
        day, text, _ = draw_date(d, is_relative_allowed=True)
        hour, minute = draw_clock(d)
        date_text, time_text = day.isoformat(), f"{hour:02d}:{minute:02d}"
        value = date_text + form[8] + time_text + (":00" if form.endswith("S") else "")
        return value, [f"{text} at {say_time(d, hour, minute)}"]

    return Kind(STRING, sample, hint, ("on {}", "for {}"), needs_today=True)


def duration_kind(draw: Draw, argument: str) -> Kind:
    """`dur(minutes)`: a number of the unit, said in it or in another."""
    unit = argument or draw.pick(("minutes", "minutes", "minutes", "hours", "seconds", "days"))

    def sample(d: Draw) -> Said:
        number, text, is_copy = draw_duration(d, unit)
        if is_copy:
            digits, rest = text.split(" ", 1)
            return number, [Copy("", digits), " " + rest]
        return number, [text]

    return Kind({"type": "integer"}, sample, f"in {unit}", ("for {}", "lasting {}"))
