"""Reading the `pattern` keyword: ECMA 262 regular expressions as a small syntax tree.

A pattern means the same to every reader of a schema only up to dialect (is `é` a word character? is `٣`
a digit?). So every character class carries two sets: `surely` (in the class in every dialect) and `maybe`
(in some). What we write matches `surely`; what must not match is excluded by `maybe`. Values are
therefore valid whoever validates them.

Supported: everything that is regular, and look-aheads at the beginning. Refused, by name: back-references,
look-behinds, word boundaries, look-aheads elsewhere. Automata are built in character_automaton.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .byte_automaton import LanguageError

Ranges = tuple[tuple[int, int], ...]
"""Code points as sorted, disjoint, inclusive ranges."""

LAST_CODE_POINT = 0x10FFFF
BEGIN, END = LAST_CODE_POINT + 1, LAST_CODE_POINT + 2
"""Two symbols around every text, so that anchors are ordinary characters."""

MAX_REPEAT = 10_000


def ranges_of(*pieces: str | tuple[int, int]) -> Ranges:
    """Ranges from single characters, two-character spans (`"az"`) and pairs of code points."""
    pairs = [(ord(piece[0]), ord(piece[-1])) if isinstance(piece, str) else piece for piece in pieces]
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Every other Unicode scalar value (surrogates are no characters)."""
    found: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges_of(*ranges, (0xD800, 0xDFFF)):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= LAST_CODE_POINT:
        found.append((start, LAST_CODE_POINT))
    return tuple(found)


ANY = complement(())

_DIGIT = ranges_of("09")
_WORD = ranges_of("09", "AZ", "az", "_")
_SPACE = ranges_of(
    " ", (9, 13), "\u00a0", "\u1680", ("\u2000\u200a"), "\u2028\u2029", "\u202f", "\u205f", "\u3000"
)
# Python also calls these digits (and the whole astral plane but its symbols is taken as such, for brevity).
_DIGIT_BLOCKS = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
)  # fmt: skip
_FOREIGN_DIGITS = ranges_of(
    *((start, start + 9) for start in _DIGIT_BLOCKS), (0x10000, 0x1F2FF), (0x1FB00, LAST_CODE_POINT)
)
_FOREIGN_SPACES = ranges_of((0x1C, 0x1F), "\u0085", "\ufeff")
_LINE_ENDS = ranges_of("\n", "\r", "\u2028\u2029")


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of a class."""

    surely: Ranges
    maybe: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; empty: the empty text."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of them."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least `low` times, at most `high` times (None: any number)."""

    part: Node
    low: int
    high: int | None


Node = Characters | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A parsed pattern: `node` is found somewhere, and at the beginning each look-ahead holds (or not)."""

    node: Node
    required: tuple[Node, ...] = ()
    forbidden: tuple[Node, ...] = ()


def parse_pattern(source: str) -> Pattern:
    """Parse one ECMA 262 pattern.

    Raises:
        LanguageError: it is malformed, or not regular; names the construct and where it stands.
    """
    return _Parser(source).parse()


def counted_pattern(source: str) -> tuple[str, int, int | None] | None:
    """`^x{low,high}$` of one character class as (`^x*$`, low, high); None for any other pattern."""
    if not (source.startswith("^") and source.endswith("}$")):
        return None
    node = parse_pattern(source)
    match node:
        case Pattern(
            node=Sequence(
                (Characters(), Sequence((Repeat(part=Characters(), low=low, high=high), Characters())))
            ),
            required=(),
            forbidden=(),
        ):
            return source[: source.rindex("{")] + "*$", low, high
    return None


def _single(*pieces: str | tuple[int, int]) -> Characters:
    ranges = ranges_of(*pieces)
    return Characters(ranges, ranges)


def _negated(characters: Characters) -> Characters:
    return Characters(complement(characters.maybe), complement(characters.surely))


# Beyond ASCII readers disagree about letters: a `\w` is written in ASCII, a `\W` never in anything else.
_CLASSES = {
    "d": Characters(_DIGIT, ranges_of(*_DIGIT, *_FOREIGN_DIGITS)),
    "w": Characters(_WORD, ranges_of(*_WORD, (0x80, LAST_CODE_POINT))),
    "s": Characters(_SPACE, ranges_of(*_SPACE, *_FOREIGN_SPACES)),
}
_CLASSES |= {letter.upper(): _negated(characters) for letter, characters in tuple(_CLASSES.items())}
_DOT = Characters(complement(_LINE_ENDS), complement(ranges_of("\n")))
_CONTROLS = {"n": 10, "r": 13, "t": 9, "v": 11, "f": 12, "0": 0}
_REFUSED_GROUPS = {"(?<=": "look-behind", "(?<!": "look-behind"}


@dataclass(slots=True)
class _Parser:
    source: str
    at: int = 0
    required: list[Node] = field(default_factory=list)
    forbidden: list[Node] = field(default_factory=list)

    def parse(self) -> Pattern:
        is_anchored = self._take("^")
        while self.source.startswith(("(?=", "(?!"), self.at):
            self._look_ahead()
        has_look_ahead = bool(self.required or self.forbidden)
        node = self._choice()
        if self.at < len(self.source):
            raise self._error("unbalanced ')'")
        if has_look_ahead and isinstance(node, Choice):
            raise self._error(
                "a look-ahead before a top-level '|' is not supported: put the choice in a group"
            )
        # A look-ahead without `^` may hold anywhere; the beginning is one such place.
        if is_anchored or has_look_ahead:
            node = self._anchored(node)
        return Pattern(node=node, required=tuple(self.required), forbidden=tuple(self.forbidden))

    def _anchored(self, node: Node) -> Node:
        """`^a|b`: the anchor belongs to the first branch only."""
        begin = _single((BEGIN, BEGIN))
        if isinstance(node, Choice):
            return Choice((Sequence((begin, node.options[0])), *node.options[1:]))
        return Sequence((begin, node))

    def _look_ahead(self) -> None:
        is_required = self.source[self.at + 2] == "="
        self.at += 3
        node = self._choice()
        self._expect(")")
        (self.required if is_required else self.forbidden).append(node)

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            parts.append(self._quantified(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, part: Node) -> Node:
        low, high = 1, 1
        bounds: tuple[int, int | None] = (1, 1)
        if self._take("*"):
            bounds = (0, None)
        elif self._take("+"):
            bounds = (1, None)
        elif self._take("?"):
            bounds = (0, 1)
        elif (braces := self._braces()) is not None:
            bounds = braces
        else:
            return part
        self._take("?")  # lazy or greedy, the texts that match are the same
        low, high = bounds[0], bounds[1] if bounds[1] is not None else bounds[0]
        if max(low, high) > MAX_REPEAT:
            raise self._error(f"a repeat of more than {MAX_REPEAT} times is not supported")
        if high < low:
            raise self._error("a repeat whose bounds are in the wrong order")
        if self.at < len(self.source) and self.source[self.at] in "*+?":
            raise self._error("nothing to repeat")
        return Repeat(part, *bounds)

    def _braces(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; any other brace is a character."""
        close = self.source.find("}", self.at)
        if not self.source.startswith("{", self.at) or close < 0:
            return None
        low, comma, high = self.source[self.at + 1 : close].partition(",")
        if not (low.isascii() and low.isdigit()) or (high and not (high.isascii() and high.isdigit())):
            return None
        self.at = close + 1
        return int(low), int(high) if high else (None if comma else int(low))

    def _atom(self) -> Node:
        character = self.source[self.at]
        if character == "(":
            return self._group()
        self.at += 1
        match character:
            case "[":
                return self._class()
            case ".":
                return _DOT
            case "^":
                return _single((BEGIN, BEGIN))
            case "$":
                return _single((END, END))
            case "\\":
                return self._escape(is_in_class=False)
            case "*" | "+" | "?":
                raise self._error("nothing to repeat")
        return _single(character)

    def _group(self) -> Node:
        for opening, name in _REFUSED_GROUPS.items():
            if self.source.startswith(opening, self.at):
                raise self._error(f"a {name} is not supported")
        if self.source.startswith(("(?=", "(?!"), self.at):
            raise self._error("a look-ahead is supported only at the beginning of a pattern")
        self.at += 1
        if self._take("?:"):
            pass
        elif self._take("?<") or self._take("?P<"):
            self.at = self.source.find(">", self.at) + 1 or len(self.source)
        elif self.source.startswith("?", self.at):
            raise self._error("inline flags are not supported")
        node = self._choice()
        self._expect(")")
        return node

    def _class(self) -> Characters:
        is_negated = self._take("^")
        if self.source.startswith("]", self.at):
            raise self._error("an empty character class means different things to different readers")
        surely: list[tuple[int, int]] = []
        maybe: list[tuple[int, int]] = []
        letters: set[str] = set()
        while not self._take("]"):
            if self.at >= len(self.source):
                raise self._error("unterminated character class")
            low = self._class_member(letters)
            is_span = self.source.startswith("-", self.at) and not self.source.startswith("-]", self.at)
            if is_span and len(low.surely) == 1 and low.surely[0][0] == low.surely[0][1]:
                self.at += 1
                high = self._class_member(letters)
                if len(high.surely) != 1 or high.surely[0][0] < low.surely[0][0]:
                    raise self._error("a character range whose ends are in the wrong order")
                low = _single((low.surely[0][0], high.surely[0][1]))
            surely.extend(low.surely)
            maybe.extend(low.maybe)
        if any(letter in letters and letter.upper() in letters for letter in "dws"):
            surely = maybe = list(ANY)  # `[\s\S]`: every character, whatever a space is
        found = Characters(ranges_of(*surely), ranges_of(*maybe))
        return _negated(found) if is_negated else found

    def _class_member(self, letters: set[str]) -> Characters:
        if self.at >= len(self.source):
            raise self._error("unterminated character class")
        character = self.source[self.at]
        self.at += 1
        if character != "\\":
            return _single(character)
        if self.source[self.at : self.at + 1] in _CLASSES:
            letters.add(self.source[self.at])
        return self._escape(is_in_class=True)

    def _escape(self, *, is_in_class: bool) -> Characters:
        letter = self.source[self.at : self.at + 1]
        self.at += 1
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter == "b" and is_in_class:
            return _single("\b")
        if letter in ("b", "B"):
            raise self._error("a word boundary is not supported")
        if letter.isdigit() and (letter != "0" or self.source[self.at : self.at + 1].isdigit()):
            raise self._error("a back-reference or octal escape is not supported")
        if letter in _CONTROLS:
            return _single(chr(_CONTROLS[letter]))
        if letter in ("x", "u"):
            return _single(chr(self._hexadecimal(2 if letter == "x" else 4)))
        if letter == "c" and self.source[self.at : self.at + 1].isalpha():
            self.at += 1
            return _single(chr(ord(self.source[self.at - 1]) % 32))
        if not letter or letter.isalnum():
            raise self._error(f"the escape \\{letter} is not supported")
        return _single(letter)

    def _hexadecimal(self, digits: int) -> int:
        if self._take("{"):
            end = self.source.find("}", self.at)
            text = self.source[self.at : end]
            self.at = end + 1
        else:
            text = self.source[self.at : self.at + digits]
            self.at += digits
        try:
            value = int(text, 16)
        except ValueError:
            raise self._error(f"malformed hexadecimal escape {text!r}") from None
        if value > LAST_CODE_POINT or 0xD800 <= value <= 0xDFFF:
            raise self._error(f"\\u{text} is no character")
        return value

    def _take(self, text: str) -> bool:
        if self.source.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._error(f"expected {text!r}")

    def _error(self, reason: str) -> LanguageError:
        return LanguageError(f"pattern {self.source!r}, character {self.at}: {reason}")
