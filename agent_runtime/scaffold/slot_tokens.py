"""The tokens at both ends of a slot's value: which may follow it, what a word or a copy becomes there.

One answer for training and for serving, since heads see both as inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .canonical import string_body
from .nodes import Slot
from .vocabulary import TokenVocabulary

# What may stand behind a value: brackets that close, then a comma and the beginning of what comes next.
_BEHIND = rb"[\]}]*(?:\n|,(?: (?:\"|\{\"?|\[+\"?)?)?)?"
_BEHIND_STRING = re.compile(b'"' + _BEHIND)
_GROUPING = re.compile(r"(?<=\d)[,\u00a0\u202f ](?=\d{3}(?:\D|$))")
_BEHIND_OTHER = re.compile(rb"(?=[,\]}])" + _BEHIND)


def end_ids(slot: Slot, vocabulary: TokenVocabulary) -> tuple[int, ...]:
    """The tokens that may follow a value of this slot, ascending: its quote, or a comma or bracket."""
    return end_ids_of(slot.is_string, vocabulary)


@lru_cache(maxsize=16)
def end_ids_of(is_string: bool, vocabulary: TokenVocabulary) -> tuple[int, ...]:
    """The tokens that may follow a value, which depend on nothing but whether it is a string."""
    behind = _BEHIND_STRING if is_string else _BEHIND_OTHER
    return tuple(
        token_id
        for token_id, token in enumerate(vocabulary.tokens)
        if token and behind.fullmatch(token) is not None
    )


def lead_ids(slot: Slot, encode: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """The token that every value of this slot begins with, where there is one: a number's space.

    The row behind it tells the value's first digits; the row before it only that a value comes.
    """
    if not slot.leading_space or slot.constants:
        return ()
    space = tuple(encode(" "))
    return space if tuple(encode(" 7"))[: len(space)] == space else ()


def copied_text(raw: bytes, *, is_string: bool) -> str | None:
    """A part of a message as a slot would spell it, without the space of its own; None for no value."""
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:  # cuts a character
        return None
    if not text:
        return None
    return string_body(text) if is_string else _GROUPING.sub("", text)


@lru_cache(maxsize=4)
def first_forms(vocabulary: TokenVocabulary) -> NDArray[np.int64]:
    """For every token the one that stands for it where a value begins: `" Paris"` becomes `"Paris"`.

    What has no such form, and what has no bytes, becomes -1.
    """
    by_bytes = {token: token_id for token_id, token in enumerate(vocabulary.tokens) if token}
    forms = np.full(len(vocabulary), -1, dtype=np.int64)
    for token_id, token in enumerate(vocabulary.tokens):
        if token:
            forms[token_id] = _first_form(token, by_bytes, vocabulary)
    return forms


def _first_form(token: bytes, by_bytes: dict[bytes, int], vocabulary: TokenVocabulary) -> int:
    bare = token.removeprefix(b" ")
    try:
        text = bare.decode()
    except UnicodeDecodeError:  # a part of a character, which is written as it is
        return by_bytes.get(bare, -1)
    if not text.strip():
        return -1
    body = string_body(text).encode()
    found = by_bytes.get(body)
    if found is not None or vocabulary.encode is None:
        return -1 if found is None else found
    return int(vocabulary.encode(body.decode())[0])
