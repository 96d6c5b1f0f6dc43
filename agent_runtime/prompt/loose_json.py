"""JSON as models write it: read leniently, repaired only where there is one way to repair it.

Accepted beyond JSON: raw line breaks in strings, single quotes, Python's constants, a trailing comma,
closing brackets that are missing at the end. A string, key or number that breaks off is never guessed.
Nothing here recurses, so no depth of nesting can exhaust the stack.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 200
"""Deeper values are not read: other code may recurse over them."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<mark>[{}\[\]:,])
      | (?P<double>"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<single>'[^'\\]*(?:\\.[^'\\]*)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<word>true|false|null|True|False|None)\b
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_END = re.compile(r"\s*(?:\Z|</|```)")  # where a value whose brackets are missing surely ends
_BAD_ESCAPE = re.compile(r'\\(?:(?=u)(?!u[0-9a-fA-F]{4})|(?!["\\/bfnrtu]))')


@dataclass(frozen=True, slots=True)
class LooseJson:
    """A value and the position behind it."""

    value: Any
    end: int


class UnreadableJson(ValueError):
    """No value, or none that can be told apart from another."""


def validate_json(text: str) -> bool:
    """Whether the whole text is one JSON value by RFC 8259, at any depth of nesting."""
    try:
        # Numbers are checked, not converted: Python refuses integers of more than 4300 digits.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except RecursionError:
        return _is_deep_json(text)
    except ValueError:
        return False
    return True


def read_loose_json(text: str, start: int = 0) -> LooseJson:
    """Read the value that begins at `start`, whatever follows it.

    Raises:
        UnreadableJson: says what is wrong with it.
    """
    return _Reader(text, start).read()


class _Reader:
    """A pushdown automaton: `_open` holds the containers, `_keys` the key each object waits to fill."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._root: Any = None
        self._is_done = False

    def read(self) -> LooseJson:
        self._value_or_close(self._next("a value"), may_close=False)
        while not self._is_done:
            self._step()
        return LooseJson(self._root, self._at)

    def _step(self) -> None:
        container = self._open[-1]
        if self._keys[-1] is not None:
            self._value_or_close(self._next("a value"), may_close=False)
        elif container:
            self._comma_or_close()
        elif isinstance(container, dict):
            self._key_or_close(self._next("a key"))
        else:
            self._value_or_close(self._next("a value"), may_close=True)

    def _key_or_close(self, token: re.Match[str]) -> None:
        if token["mark"] == "}":
            self._close()
            return
        if not (token["double"] or token["single"]):
            raise UnreadableJson(f"expected a key at character {token.start()}")
        self._keys[-1] = _string(token)
        if self._next("a colon")["mark"] != ":":
            raise UnreadableJson(f"expected ':' after the key {self._keys[-1]!r}")

    def _value_or_close(self, token: re.Match[str], *, may_close: bool) -> None:
        mark = token["mark"]
        if mark == "]" and may_close:
            self._close()
        elif mark in ("{", "["):
            if len(self._open) >= MAX_DEPTH:
                raise UnreadableJson(f"nested more than {MAX_DEPTH} deep")
            self._open.append({} if mark == "{" else [])
            self._keys.append(None)
        elif mark:
            raise UnreadableJson(f"expected a value, found {mark!r} at character {token.start()}")
        else:
            self._put(_scalar(token, may_break_off=bool(self._open) and self._at == len(self._text)))

    def _comma_or_close(self) -> None:
        token = _TOKEN.match(self._text, self._at)
        mark = token["mark"] if token else None
        if token is not None and mark == ",":
            self._at = token.end()
            self._after_comma()
        elif token is not None and mark in ("}", "]"):
            self._close_up_to(mark)
            self._at = token.end()
        elif token is None and _END.match(self._text, self._at):
            while not self._is_done:
                self._close()
        else:
            raise UnreadableJson(f"expected ',' or a closing bracket at character {self._at}")

    def _after_comma(self) -> None:
        container = self._open[-1]
        token = self._next("more")
        if token["mark"] == ("}" if isinstance(container, dict) else "]"):
            self._close()  # a trailing comma
        elif isinstance(container, dict):
            self._key_or_close(token)
        else:
            self._value_or_close(token, may_close=False)

    def _close_up_to(self, mark: str) -> None:
        """Close containers until the one the bracket belongs to; those inside it lack theirs."""
        kind = dict if mark == "}" else list
        if not any(isinstance(container, kind) for container in self._open):
            raise UnreadableJson(f"{mark!r} closes nothing")
        while not isinstance(self._open[-1], kind):
            self._close()
        self._close()

    def _close(self) -> None:
        value = self._open.pop()
        self._keys.pop()
        self._put(value)

    def _put(self, value: Any) -> None:
        if not self._open:
            self._root = value
            self._is_done = True
            return
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
            return
        key = self._keys[-1]
        if key is None:
            raise UnreadableJson("a value without a key")
        container[key] = value
        self._keys[-1] = None

    def _next(self, expected: str) -> re.Match[str]:
        token = _TOKEN.match(self._text, self._at)
        if token is None:
            raise UnreadableJson(f"expected {expected} at character {self._at}")
        self._at = token.end()
        return token


def _scalar(token: re.Match[str], *, may_break_off: bool) -> Any:
    if token["word"]:
        return _WORDS[token["word"]]
    if token["number"] is None:
        return _string(token)
    if may_break_off:
        raise UnreadableJson("it breaks off in a number")  # 12 may have become 123
    try:
        number = json.loads(token["number"])
    except ValueError as error:  # 007, or more digits than Python converts
        raise UnreadableJson(f"{token['number'][:20]!r} is not a number") from error
    if not math.isfinite(number):
        raise UnreadableJson(f"{token['number'][:20]!r} is too large")
    return number


def _string(token: re.Match[str]) -> str:
    written = token["double"] or '"' + token["single"][1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return str(json.loads(written, strict=False))
    except ValueError:
        pass
    try:
        return str(json.loads(_BAD_ESCAPE.sub(r"\\\\", written), strict=False))
    except ValueError as error:
        raise UnreadableJson(f"a string cannot be read: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_STRICT_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        (?P<mark>[{}\[\]:,])
      | (?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      | (?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)
    )""",
    re.VERBOSE,
)


def _is_deep_json(text: str) -> bool:
    """Validity without a stack of calls. `expects` is the set of token kinds that may come next."""
    open_marks: list[str] = []
    expects = {"value"}
    at = 0
    while token := _STRICT_TOKEN.match(text, at):
        at = token.end()
        mark, is_string = token["mark"], token["string"] is not None
        if mark in ("{", "[") and "value" in expects:
            open_marks.append("}" if mark == "{" else "]")
            expects = {"key", "}"} if mark == "{" else {"value", "]"}
        elif mark == ":" and ":" in expects:
            expects = {"value"}
        elif mark == "," and "," in expects:
            expects = {"key"} if open_marks[-1] == "}" else {"value"}
        elif mark and mark in expects and open_marks and open_marks[-1] == mark:
            open_marks.pop()
            expects = {",", open_marks[-1]} if open_marks else set()
        elif is_string and "key" in expects:
            expects = {":"}
        elif mark is None and "value" in expects:
            expects = {",", open_marks[-1]} if open_marks else set()
        else:
            return False
    return not expects and not text[at:].strip(" \t\n\r")
