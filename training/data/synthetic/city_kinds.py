"""Cities, and how a description wants them written: "San Francisco, CA" of someone in San Francisco."""

from __future__ import annotations

from . import words as w
from .draw import Draw
from .kinds import STRING, Kind, Said, text_copy
from .texts import city

_PHRASES = ("in {}", "for {}")
_STATES = dict(
    pair.split(":")
    for pair in (
        "CA:California|WA:Washington|OR:Oregon|TX:Texas|CO:Colorado|IL:Illinois|MA:Massachusetts|NY:New York|"
        "FL:Florida|GA:Georgia|AZ:Arizona|NV:Nevada|NE:Nebraska|TN:Tennessee|MI:Michigan|OH:Ohio|"
        "PA:Pennsylvania|NJ:New Jersey|VA:Virginia|NC:North Carolina|WI:Wisconsin|ND:North Dakota|ID:Idaho|"
        "MT:Montana|HI:Hawaii|AK:Alaska|NM:New Mexico|LA:Louisiana|AL:Alabama|MN:Minnesota|MO:Missouri|"
        "MD:Maryland|UT:Utah"
    ).split("|")
)
_NICKNAMES = {
    "New York": ("NYC", "New York City"),
    "Los Angeles": ("LA", "L.A."),
    "San Francisco": ("SF",),
    "Philadelphia": ("Philly",),
    "Las Vegas": ("Vegas",),
}
_WITH_STATE = (
    "city and state, e.g. San Francisco, CA",
    "The city and state, e.g. 'Austin, TX'",
    "in the format City, State",
    "in the format of 'City, State (abbr)'",
    "city and state (abbreviated), such as 'Seattle, WA'",
    "as City, ST",
)
_WITH_COUNTRY = (
    "city and country, e.g. 'Lyon, France'",
    "in the format City, Country",
    "city, country",
    "in the format of 'City, Country', such as 'Paris, France'",
)
_WITH_EITHER = (
    "in the format 'City, State' such as 'Austin, TX', or 'City, Country' outside the US",
    "as 'City, State (abbr)' if there is a state, else as 'City, Country'",
    "city and state (e.g. 'Boston, MA') or city and country (e.g. 'Rome, Italy')",
)


def city_kind(draw: Draw, argument: str) -> Kind:
    """A city, as a rule on its own; at times with its state or country, whether or not they are said."""
    roll = draw.random()
    if roll < 0.12:
        return Kind(STRING, _sample_country, draw.pick(_WITH_COUNTRY), _PHRASES)
    if roll < 0.32:
        return Kind(STRING, _sample_state, draw.pick(_WITH_STATE), _PHRASES)
    if roll < 0.4:
        hint = draw.pick(_WITH_EITHER)
        return Kind(
            STRING, lambda d: _sample_state(d) if d.chance(0.5) else _sample_country(d), hint, _PHRASES
        )
    return Kind(STRING, lambda d: text_copy(_full_name(d) if d.chance(0.15) else city(d)), "", _PHRASES)


def _full_name(draw: Draw) -> str:
    """A city with where it is, copied as said where no description wants it otherwise."""
    if draw.chance(0.5):
        name, _, state = draw.pick(w.US_CITIES).partition("|")
        return f"{name}, {_STATES[state] if draw.chance(0.6) else state}"
    name, _, country = draw.pick(w.WORLD_CITIES).partition("|")
    return f"{name}, {country}"


def state_kind(draw: Draw, argument: str) -> Kind:
    """A state of the US, by its name or by its letters as the description says."""
    is_short = draw.chance(0.35)
    hint = draw.pick(("two-letter state code", "abbreviated, e.g. TX", "e.g. 'CA'")) if is_short else ""

    def sample(d: Draw) -> Said:
        letters = d.pick(tuple(_STATES))
        if not is_short:
            return text_copy(_STATES[letters])
        return text_copy(letters) if d.chance(0.5) else (letters, [_STATES[letters]])

    return Kind(STRING, sample, hint)


def _sample_country(draw: Draw) -> Said:
    if draw.chance(0.35):
        return text_copy(f"{city(draw)}, {draw.pick(w.COUNTRIES).removeprefix('the ')}")
    name, _, country = draw.pick(w.WORLD_CITIES).partition("|")
    value = f"{name}, {country}"
    return text_copy(value) if draw.chance(0.4) else (value, [name])


def _sample_state(draw: Draw) -> Said:
    name, _, state = draw.pick(w.US_CITIES).partition("|")
    value = f"{name}, {state}"
    roll = draw.random()
    if roll < 0.45:
        return text_copy(value)
    if roll < 0.6:
        return value, [f"{name}, {_STATES[state]}"]
    if name in _NICKNAMES and roll < 0.8:
        return value, [draw.pick(_NICKNAMES[name])]
    return value, [name]
