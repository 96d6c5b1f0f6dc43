"""Kinds of values: a schema, how to draw a value, and how a person says it.

A kind is drawn once per parameter (its date format, its bounds, its unit); its `sample` is then called
for every call that gives the parameter. What is said is a list of pieces: plain text, or `Copy` where the
text *is* the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .draw import Draw


class Copy(NamedTuple):
    """Text of the request that is the value at `path` (relative to the parameter), letter for letter."""

    path: str
    text: str


class Fixed(str):
    """Text that says a converted value: no slip of the pen may change it."""


Piece = str | Copy


Said = tuple[Any, list[Piece]]


class Kind(NamedTuple):
    """One drawn kind of value."""

    schema: dict[str, Any]
    sample: Callable[[Draw], Said]
    hint: str = ""
    """What the description must tell: format, unit, bounds."""
    phrases: tuple[str, ...] = ()
    """Ways to hang the value onto a sentence; empty: only by the parameter's name."""
    needs_today: bool = False
    is_self_explaining: bool = False
    """What is said names the parameter by itself ("including tax")."""


STRING = {"type": "string"}


def text_copy(text: str) -> Said:
    """A string value said as it is."""
    return text, [Copy("", text)]


def rebase(pieces: Sequence[Piece], path: str) -> list[Piece]:
    """The same pieces as part of a larger value."""
    return [
        piece if isinstance(piece, str) else Copy(f"{path}.{piece.path}" if piece.path else path, piece.text)
        for piece in pieces
    ]


def from_list(
    options: Sequence[str], phrases: tuple[str, ...], examples: bool = True
) -> Callable[[Draw, str], Kind]:
    """A kind whose values are the options."""

    def build(draw: Draw, _: str) -> Kind:
        hint = ""
        if examples and draw.chance(0.2):
            hint = draw.pick(("e.g. {}", "for example {}", "such as {}")).format(draw.pick(options))
        return Kind(STRING, lambda d: quoted_at_times(d, d.pick(options), 0.08), hint, phrases)

    return build


QUOTES = (("'", "'"), ('"', '"'), ('"', '"'), ("“", "”"), ("`", "`"))


def quoted_at_times(draw: Draw, text: str, share: float) -> Said:
    """A string value said as it is, in quotes in a share of the cases."""
    if not draw.chance(share):
        return text_copy(text)
    before, after = draw.pick(QUOTES)
    if before in text:
        return text_copy(text)
    return text, [before, Copy("", text), after]


def made(
    make: Callable[[Draw], str],
    *phrases: str,
    hint: str = "",
    schema: dict[str, Any] | None = None,
    quote_share: float = 0.0,
) -> Callable[[Draw, str], Kind]:
    """A kind whose values are made, and said as they are, at times in quotes."""

    def sample(draw: Draw) -> Said:
        return quoted_at_times(draw, make(draw), quote_share)

    def build(draw: Draw, _: str) -> Kind:
        used = schema if schema is not None and draw.chance(0.3) else STRING
        told = hint if draw.chance(0.3) else ""
        if not hint and draw.chance(0.12):  # an example is no value: it must not be copied
            told = draw.pick(("e.g. {}", "e.g. '{}'", "for example {}", "such as {}")).format(make(draw))
        return Kind(used, sample, told, tuple(phrases))

    return build


def quoted(make: Callable[[Draw], str], *phrases: str) -> Callable[[Draw, str], Kind]:
    """Free text, in quotes (a request that ends with it may drop them)."""

    def sample(draw: Draw) -> Said:
        text = make(draw)
        before, after = draw.pick(QUOTES)
        return text, [before, Copy("", text), after]

    def build(draw: Draw, _: str) -> Kind:
        return Kind(STRING, sample, "", tuple(phrases))

    return build
