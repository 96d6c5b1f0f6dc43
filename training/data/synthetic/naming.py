"""Names of tools and parameters in the styles programmers use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from . import words as w
from .draw import Draw

_SMALL = {
    "a",
    "an",
    "the",
    "of",
    "to",
    "for",
    "in",
    "on",
    "from",
    "at",
    "my",
    "and",
    "with",
    "by",
    "between",
    "two",
}
STYLES = (
    *("snake", "snake", "snake", "snake"),
    *("camel", "camel", "pascal", "dotted", "dotted", "dotted camel", "dots", "kebab"),
)


@lru_cache(maxsize=1 << 16)
def content_words(text: str) -> tuple[str, ...]:
    """The words of a phrase that a name would keep."""
    return tuple(word for word in re.split(r"[^A-Za-z0-9]+", text.lower()) if word and word not in _SMALL)


def join_name(style: str, words: Sequence[str]) -> str:
    """Words in one of the styles."""
    if style == "camel":
        return words[0] + "".join(word.capitalize() for word in words[1:])
    if style == "pascal":
        return "".join(word.capitalize() for word in words)
    if style == "dotted" and len(words) > 1:
        return f"{words[0]}.{'_'.join(words[1:])}"
    if style == "dotted camel" and len(words) > 1:
        return f"{words[0]}.{words[1]}{''.join(word.capitalize() for word in words[2:])}"
    if style == "dots" and len(words) > 2:
        return f"{words[0]}.{words[1]}.{'_'.join(words[2:])}"
    if style == "kebab":
        return "-".join(words)
    return "_".join(words)


def tool_name(draw: Draw, style: str, verb: str, thing: str, domain: str) -> str:
    """A name that says what the tool does, in one of many arrangements."""
    head, of, rest = thing.partition(" of ")
    noun = content_words(rest) + content_words(head) if of and draw.chance(0.6) else content_words(thing)
    noun = noun[:4] or ("it",)
    verb_words = content_words(verb)
    roll = draw.random()
    if style.startswith("dotted"):
        front = content_words(domain)[:1] if roll < 0.6 else (draw.pick(noun),)
        others = noun if draw.chance(0.4) else verb_words + noun
        first = front[0].capitalize() if draw.chance(0.1) else front[0]
        return join_name(style, (first, *others))
    if roll < 0.62:
        words = verb_words + noun
    elif roll < 0.72:
        words = noun
    elif roll < 0.8:
        words = noun + verb_words
    elif roll < 0.9:
        words = (*content_words(domain)[:1], *verb_words, *noun)
    else:
        words = (
            *verb_words,
            *noun,
            draw.pick(("v2", "tool", "api", "by_params", "info", "service", "data", "1", "request")),
        )
    return join_name(style, words)


def arbitrary_name(draw: Draw, style: str, count: int = 2) -> str:
    """A name that tells nothing."""
    words = [draw.pick((w.NOUNS, w.ADJECTIVES, w.NOUNS)[int(draw.random() * 3)]) for _ in range(count)]
    if draw.chance(0.2):
        words[-1] = "".join(draw.pick(w.SYLLABLES) for _ in range(2))
    return join_name(style, words)


def parameter_name(style: str, name: str) -> str:
    """A snake-case name in the style of the tool."""
    words = name.split("_")
    if style in ("camel", "pascal", "dotted camel") and len(words) > 1:
        return join_name("camel", words)
    return name


def plural(label: str) -> str:
    """`category` -> `categories`, `box` -> `boxes`, `values` and `mass 2` as they are."""
    if label.endswith("s") or label[-1].isdigit() or label[-2:-1] == " ":
        return label
    if label.endswith("lf"):
        return f"{label[:-1]}ves"
    if label.endswith("y") and label[-2:-1] not in "aeiou":
        return f"{label[:-1]}ies"
    return f"{label}es" if label.endswith(("x", "ch", "sh", "z")) else f"{label}s"


def humanise(name: str) -> str:
    """A snake-case name as words."""
    return name.replace("_", " ") if len(name) > 1 else name
