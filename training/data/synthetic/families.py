"""Parameters that are one series of like things (num1/num2, a/b/c, start/end), and how a series is said.

Such values are told apart by their order alone: "the GCD of 12 and 18", "sides 5, 4 and 3".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .draw import Draw
from .kinds import Piece
from .naming import plural


class Family(NamedTuple):
    """Places of parameters that belong together, in the order they are said."""

    places: tuple[int, ...]
    noun: str
    """What one of them is called: "side"; empty where the names are bare letters."""
    is_span: bool
    """From the first to the second."""
    is_form: bool = False
    """Different things that are said together; the noun is what they make."""


_MARKED = re.compile(r"^(.*?)[ _]?(1|2|3|4|5|one|two|three|a|b|c|d|[A-D]|x|y|z|u|v|p|q|m|n)$")
_MARKS = ("1 2 3 4 5", "one two three", "a b c d", "A B C D", "x y z", "u v", "p q", "m n")
_SERIES = {f"{mark} {place}": 0 for place, marks in enumerate(_MARKS) for mark in marks.split()}
_SPANS = (
    ("start", "end"),
    ("from", "to"),
    ("origin", "destination"),
    ("lower", "upper"),
    ("min", "max"),
    ("minimum", "maximum"),
    ("low", "high"),
    ("begin", "end"),
    ("source", "target"),
    ("initial", "final"),
    ("departure", "arrival"),
    ("left", "right"),
    ("x min", "x max"),
    ("y min", "y max"),
)
_POINT = "point"
_PEERS: tuple[tuple[str, ...], ...] = (
    ("first", "second", "third"),
    ("first", "second"),
    ("old", "new"),
    ("base", "target"),
)
_WORDED: tuple[tuple[str, ...], ...] = (*_SPANS, *_PEERS)


_FORMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("length", "width", "height"), "size"),
    (("length", "width", "depth"), "size"),
    (("length", "width"), "size"),
    (("width", "height"), "size"),
    (("latitude", "longitude"), "position"),
    (("lat", "lon"), "position"),
    (("lat", "lng"), "position"),
    (("first name", "last name"), "name"),
    (("city", "country"), "place"),
    (("city", "state"), "place"),
)
"""Different things that are said together in a fixed order, and as what: "5 by 3 by 2", "in Lyon, France"."""
_SAID_AS: dict[str, tuple[tuple[str, str], ...]] = {
    "size": (("of ", " by "), ("measuring ", " by "), ("of ", " x "), ("of size ", "x")),
    "position": (("at ", ", "), ("at (", ", "), ("for the coordinates ", ", "), ("at ", " and ")),
    "name": (("for ", " "), ("for ", " ")),
    "place": (("in ", ", "), ("in ", ", "), ("for ", ", ")),
}


@lru_cache(maxsize=1 << 14)
def families_of(labels: tuple[str, ...], sorts: tuple[str, ...]) -> tuple[Family, ...]:
    """The families among parameters with these labels; members must be of one sort."""
    found = [*_corners(labels, sorts), *_marked_families(labels, sorts)]
    taken = {place for family in found for place in family.places}
    roles: dict[tuple[int, str], dict[int, int]] = {}
    for at, label in enumerate(labels):
        for series, stem, role in _roles(label):
            roles.setdefault((series, stem), {}).setdefault(role, at)
    for (series, stem), members in sorted(roles.items()):
        places = tuple(members[role] for role in sorted(members))
        is_whole = len(places) == len(_WORDED[series]) and not taken & set(places)
        if is_whole and len({sorts[at] for at in places}) == 1:
            taken.update(places)
            found.append(Family(places, stem, series < len(_SPANS)))
    for names, form in _FORMS:
        places = tuple(labels.index(name) for name in names if name in labels)
        if len(places) == len(names) and not taken & set(places) and len({sorts[at] for at in places}) == 1:
            taken.update(places)
            found.append(Family(places, form, False, True))
    plain = [family for family in found if not family.noun]
    return tuple(found) if len(plain) < 2 else tuple(family for family in found if family.noun)


def _corners(labels: tuple[str, ...], sorts: tuple[str, ...]) -> list[Family]:
    """x1, y1, x2 and y2 are two points."""
    if not {"x1", "y1", "x2", "y2"} <= set(labels):
        return []
    places = tuple(labels.index(name) for name in ("x1", "y1", "x2", "y2"))
    return [Family(places, _POINT, False)] if len({sorts[at] for at in places}) == 1 else []


@lru_cache(maxsize=1 << 14)
def _roles(label: str) -> tuple[tuple[int, str, int], ...]:
    """Which word of which series the label begins or ends with, and what it says beside it."""
    found = []
    for series, words in enumerate(_WORDED):
        for role, word in enumerate(words):
            if label == word:
                found.append((series, "", role))
            elif label.startswith(f"{word} "):
                found.append((series, label[len(word) + 1 :], role))
            elif label.endswith(f" {word}"):
                found.append((series, label[: -len(word) - 1], role))
    return tuple(found)


def _marked_families(labels: tuple[str, ...], sorts: tuple[str, ...]) -> list[Family]:
    """Those told apart by a number or a letter at the end, from the first mark on and without a gap."""
    stems: dict[str, dict[str, int]] = {}
    for at, label in enumerate(labels):
        match = _MARKED.match(label)
        if match and (len(match[2]) > 1 or match[1] == "" or not match[1][-1].isalnum() or _is_apart(label)):
            if len(match[1]) == 1 and match[1] in "xy" and len(labels) > 3:
                continue
            stems.setdefault(match[1], {})[match[2]] = at
    found = []
    for stem, places in stems.items():
        for marks in _MARKS:
            members = []
            for mark in marks.split():
                if mark not in places:
                    break
                members.append(places[mark])
            if len(members) > 1 and len({sorts[at] for at in members}) == 1:
                found.append(Family(tuple(members), stem.strip(" _"), False))
                break
    return found


def _is_apart(label: str) -> bool:
    """Whether the mark at the end is no part of the word: "side1" and "side a", but not "schema"."""
    return label[-1].isdigit() or len(label) > 1 and label[-2] in " _" or label[-1].isupper()


_PLACES = ("city", "location", "currency", "unit", "station", "account", "address", "airport")
_PLAIN_SPANS = (*_PLACES, "date", "time", "year", "point", "day", "hour", "index", "page")
_LETTER_NOUNS = ("values", "numbers", "values", "coefficients", "inputs")


def say_family(
    draw: Draw, family: Family, pieces: list[list[Piece]], *, is_one_of_several: bool = False
) -> list[Piece]:
    """The values of a family, in order, without their names; one of several says what its values are."""
    if family.is_form:
        before, between = draw.pick(_SAID_AS[family.noun])
        together: list[Piece] = [before, *pieces[0]]
        for value in pieces[1:]:
            together += [between, *value]
        return [*together, ")"] if before.endswith("(") else together
    if family.noun == _POINT and len(pieces) == 4:
        first: list[Piece] = ["(", *pieces[0], ", ", *pieces[1], ")"]
        second: list[Piece] = ["(", *pieces[2], ", ", *pieces[3], ")"]
        before, between = draw.pick(
            (("for the points ", " and "), ("through ", " and "), ("from ", " to "), ("between ", " and "))
        )
        return [before, *first, between, *second]
    if family.is_span and len(pieces) == 2:
        before, between = draw.pick(
            (("from ", " to "), ("from ", " to "), ("between ", " and "), ("from ", " up to "))
            if not family.noun.endswith(_PLACES)
            else (("from ", " to "),)
        )
        noun = "" if not family.noun or family.noun.endswith(_PLAIN_SPANS) else family.noun
        head = draw.pick((f"with a {noun} ", f"for a {noun} ")) if noun else ""
        return [f"{head}{before}", *pieces[0], between, *pieces[1]]
    noun = plural(family.noun) if family.noun else draw.pick(_LETTER_NOUNS)
    if family.noun in ("num", "nr", "val"):
        noun = "numbers"
    heads: tuple[str, ...] = (
        "of ",
        "for ",
        "for ",
        "with ",
        f"with {noun} ",
        f"with the {noun} ",
        f"for the {noun} ",
        f"with {noun} of ",
    )
    if is_one_of_several:
        heads = heads[4:]
    elif len(pieces) == 2:
        heads = (*heads, "between ")
    head = draw.pick(heads)
    last = draw.pick((" and ", " and ", " and ", ", and ")) if len(pieces) > 2 else " and "
    if len(pieces) > 2 and noun in head and draw.chance(0.15):
        last = ", "
    said: list[Piece] = [head]
    for number, value in enumerate(pieces):
        said += ["" if not number else last if number == len(pieces) - 1 else ", ", *value]
    if noun in head and draw.chance(0.08):
        said.append(" respectively")
    return said
