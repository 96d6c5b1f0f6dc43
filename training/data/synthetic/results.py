"""What tools return, and the sentence that reports it."""

from __future__ import annotations

from typing import Any

from . import words as w
from .draw import Draw
from .naming import content_words, humanise
from .texts import phone
from .tools import DrawnTool


def _number(draw: Draw) -> float:
    return draw.pick(
        (draw.between(1, 99), draw.between(100, 99999), round(draw.random() * 900, draw.between(1, 3)))
    )


def plain_value(draw: Draw) -> Any:
    """Any scalar a result may hold."""
    return draw.pick(
        (
            _number(draw),
            f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}",
            draw.pick(w.NOUNS),
            draw.pick(w.CITIES),
            draw.pick(w.FIRST_NAMES),
            draw.today.isoformat(),
            f"{draw.between(0, 23):02d}:{draw.between(0, 59):02d}",
        )
    )


_FACTS = (
    ("temperature", "int", " degrees"),
    ("humidity", "int", "%"),
    ("wind_speed", "num", " km/h"),
    ("condition", "word", ""),
    ("price", "num", ""),
    ("total", "num", ""),
    ("balance", "num", ""),
    ("currency", "currency", ""),
    ("status", "status", ""),
    ("count", "int", ""),
    ("rating", "num", ""),
    ("score", "int", ""),
    ("distance_km", "num", ""),
    ("duration_minutes", "int", ""),
    ("name", "person", ""),
    ("owner", "person", ""),
    ("city", "city", ""),
    ("address", "address", ""),
    ("phone", "phone", ""),
    ("date", "day", ""),
    ("opens_at", "time", ""),
    ("arrival", "time", ""),
    ("departure", "time", ""),
    ("version", "version", ""),
    ("population", "big", ""),
    ("area", "num", ""),
    ("height", "num", ""),
    ("weight", "num", ""),
    ("year", "year", ""),
    ("author", "person", ""),
    ("title", "book", ""),
    ("rank", "int", ""),
    ("level", "int", ""),
    ("code", "code", ""),
    ("available", "flag", ""),
    ("is_open", "flag", ""),
    ("delayed", "flag", ""),
    ("platform", "int", ""),
    ("gate", "code", ""),
)


def _fact(draw: Draw, kind: str) -> Any:
    made: dict[str, Any] = {
        "int": draw.between(0, 99),
        "num": round(draw.random() * 400, draw.between(1, 2)),
        "big": draw.between(1000, 9_000_000),
        "year": draw.between(1800, 2025),
        "flag": draw.chance(0.5),
        "person": f"{draw.pick(w.FIRST_NAMES)} {draw.pick(w.LAST_NAMES)}",
        "city": draw.pick(w.CITIES),
        "address": f"{draw.between(1, 300)} {draw.pick(w.STREETS)}",
        "phone": phone(draw),
        "day": draw.today.isoformat(),
        "time": f"{draw.between(0, 23):02d}:{draw.between(0, 59):02d}",
        "version": f"{draw.between(0, 9)}.{draw.between(0, 30)}",
        "book": draw.pick(w.BOOKS),
        "code": f"{draw.pick('ABCDEFGH')}{draw.between(1, 99)}",
        "word": draw.pick(("sunny", "cloudy", "light rain", "snow", "clear")),
        "currency": draw.pick(("USD", "EUR", "GBP", "JPY")),
        "status": draw.pick(("active", "shipped", "on time", "delayed", "closed", "pending")),
    }
    return made[kind]


def _facts(draw: Draw, subject: str) -> tuple[Any, str]:
    """Named values, as an object, and told one after the other."""
    if draw.chance(0.3):
        payload = {key: plain_value(draw) for key in draw.sample(w.NOUNS, draw.between(1, 3))}
        units = dict.fromkeys(payload, "")
    else:
        chosen = draw.sample(_FACTS, draw.between(1, 4))
        payload = {name: _fact(draw, kind) for name, kind, _ in chosen}
        units = {name: unit for name, _, unit in chosen}
    told = [
        f"{'' if isinstance(value, bool) else 'the '}{_say_fact(key, value)}{units[key]}"
        for key, value in payload.items()
    ]
    if draw.chance(0.15):
        return {"data": payload}, f"Here is the {subject}: " + ", ".join(told) + "."
    sentence = ", ".join(told[:-1]) + (" and " if len(told) > 1 else "") + told[-1]
    return payload, sentence[0].upper() + sentence[1:] + "."


def _say_fact(key: str, value: Any) -> str:
    label = humanise(key.removeprefix("is_"))
    if isinstance(value, bool):
        return f"it is {'' if value else 'not '}{label}"
    return f"{label} is {value}"


_ZONES = ("UTC", "UTC+2", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "EST", "CET", "PST", "GMT")


def _moment(draw: Draw) -> tuple[Any, str]:
    """A date or time with its parts, told once in one short sentence."""
    day = draw.today
    date, weekday = day.isoformat(), f"{day:%A}"
    time = f"{draw.between(0, 23):02d}:{draw.between(0, 59):02d}"
    if draw.chance(0.3):
        time += f":{draw.between(0, 59):02d}"
    zone = draw.pick(_ZONES)
    both = draw.pick((f"{date}T{time}", f"{date} {time}"))
    payloads: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        ({"time": time, "timezone": zone}, (f"It is {time} in {zone}.", f"It is {time} ({zone}).")),
        ({"date": date, "weekday": weekday}, (f"It is {weekday}, {date}.", f"Today is {weekday}, {date}.")),
        ({"time": time, "date": date, "weekday": weekday}, (f"It is {time} on {weekday}, {date}.",)),
        ({"datetime": both, "timezone": zone}, (f"It is {both} ({zone}).", f"It is {both} in {zone}.")),
        (
            {"date": date, "time": time, "timezone": zone, "weekday": weekday},
            (f"It is {weekday}, {date}, {time} ({zone}).", f"It is {time} on {weekday}, {date} ({zone})."),
        ),
        ({"time": time}, (f"It is {time}.", f"The time is {time}.")),
        ({"date": date}, (f"It is {date}.", f"The date is {date}.")),
        ({"weekday": weekday, "date": date}, (f"That is a {weekday}.", f"{date} is a {weekday}.")),
        ({"start": f"{date} {time}", "weekday": weekday}, (f"It starts on {weekday}, {date} at {time}.",)),
    )
    payload, told = draw.pick(payloads)
    if draw.chance(0.3):
        payload = dict(draw.shuffled(tuple(payload.items())))
    return payload, draw.pick(told)


def make_result(draw: Draw, tool: DrawnTool) -> tuple[Any, str]:
    """What a tool may return, and the sentence that reports it."""
    thing = tool.action.object
    subject = thing.split(" ", 1)[1] if thing.startswith(("the ", "a ", "an ", "my ")) else thing
    if tool.action.family == "calc":
        value = _number(draw)
        payload: Any = draw.pick(
            (
                value,
                {"result": value},
                {"value": value},
                {"_".join(content_words(subject)[:2]) or "result": value},
                {"answer": value},
            )
        )
        return payload, draw.pick(
            (
                f"The {subject} is {value}.",
                f"It is {value}.",
                f"The result is {value}.",
                f"That gives {value}.",
            )
        )
    if tool.action.family == "search" and draw.chance(0.75):
        found = [
            str(plain_value(draw))
            if draw.chance(0.3)
            else draw.pick(w.COMPANIES + w.RESTAURANTS + w.HOTELS + w.BOOKS)
            for _ in range(draw.between(1, 3))
        ]
        if draw.chance(0.1):
            return {"results": []}, draw.pick(
                ("I found nothing.", "There are no results.", "Nothing was found.")
            )
        listed = ", ".join(found[:-1]) + (" and " if len(found) > 1 else "") + found[-1]
        return draw.pick(
            ({"results": found}, found, {"items": [{"name": name} for name in found]})
        ), draw.pick((f"I found {listed}.", f"Here is what I found: {listed}.", f"There is {listed}."))
    if tool.action.family in ("get", "search"):
        return _moment(draw) if draw.chance(0.25) else _facts(draw, subject)
    reference = f"{draw.pick('ABCDEFGH')}{draw.between(100, 99999)}"
    key = draw.pick(("id", "reference", "confirmation"))
    if draw.chance(0.3):
        return draw.pick((True, {"success": True}, "OK", {"status": "ok"})), draw.pick(
            ("Done.", "That worked.", "All set.", "It is done.")
        )
    return {"status": draw.pick(("ok", "success", "confirmed", "done")), key: reference}, draw.pick(
        (
            f"Done, the {key} is {reference}.",
            f"That worked. The {key} is {reference}.",
            f"All set, {key} {reference}.",
        )
    )
