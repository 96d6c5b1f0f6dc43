"""Values that may be copied: spans of the prompt that begin as a value has begun.

The prompt holds the conversation, the results of earlier calls, those calls themselves, and what the tools'
descriptions say of defaults; the nearest to the end counts first. Where a span ends is a guess by its look:
a closing quote, the end of a name, the end of a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..messages import Message
from ..scaffold.vocabulary import TokenVocabulary

_MOST_OCCURRENCES = 24
"""Places of the prompt that are looked at for one beginning."""

_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
_LONGEST_QUOTE = 240
_TRAILING = ".,;:!?)]}>\"'`\u201d\u2019\u00bb"
_JOINING = frozenset("of the and de la le du da del di von van der al el for & - /".split())
_CLAUSE_END = re.compile(r"[.,;:!?)]+(?=\s|$)|\n")
_LONGEST_CLAUSE = 120
_WORD = re.compile(r"[^\s]+")
_NUMBER_END = re.compile(r"[\d]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:\.\d+)?(?![\w-])")
_LIST_JOINT = re.compile(r"[\"']?\s*(?:,\s*(?P<last>(?:and|or)\s+)?|(?P<only>\s(?:and|or|&)\s+))(?=\S)")
_LIST_ITEM = re.compile(r"(?:(?!,| and | or | & |[.?!;:)](?:\s|$)|\n).){1,60}")
_LONGEST_LIST = 32
_QUOTED = re.compile(
    r"\"([^\"\n]{1,240})\"|(?<!\w)'([^'\n]{1,240})'(?!\w)|\u201c([^\u201d\n]{1,240})\u201d|`([^`\n]{1,240})`"
)
_CODES = re.compile(r"(?<![\w\"'`])(?=\S*[\d_/@#\\])[^\s,;()\[\]{}\"'=<>]*[\w)](?!\w)")
_VALUES = re.compile(r"\"((?:[^\"\\]|\\.)*)\"(:?)|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")
_LABEL_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_UNTOLD = frozenset(
    "the and for with from that this use used value given name get set list item num is has".split()
)
_LEAST_STEM = 3
_LABEL_REACH = 40
_BEHIND_WORTH = 6
"""Characters that a word before a value is nearer to it than one behind it."""
_NAMES = re.compile(r"(?<![.!?\n] )(?<!^)(?<!\n)\b[A-Z][\w'-]*(?: [A-Z][\w'-]*)*", re.MULTILINE)


class CopySource:
    """A text that values are copied from."""

    def __init__(self, text: str, *, question: str = "") -> None:
        """Look nothing up yet.

        Args:
            text: everything that was said, the latest last.
            question: the part that values are first looked for in, where nothing of them is known.
        """
        self._text = text
        self._question = question
        self._places: dict[str, tuple[tuple[int, int], ...]] = {}

    @classmethod
    def of(
        cls, vocabulary: TokenVocabulary, prompt_ids: Sequence[int], messages: Sequence[Message]
    ) -> CopySource:
        """The prompt, control tokens as line ends; the question is what the latest user said, and since."""
        parts = (vocabulary.tokens[token_id] or b"\n" for token_id in prompt_ids)
        last = max((n for n, message in enumerate(messages) if message.role == "user"), default=0)
        question = "\n".join(message.content for message in messages[last:] if message.role != "assistant")
        return cls(b"".join(parts).decode(errors="replace"), question=question)

    def continued(self, begun: str, partial: bytes = b"") -> str | None:
        """The whole value that a string beginning like this may be, where the prompt holds one.

        Args:
            begun: the characters so far.
            partial: the first bytes of the next one.
        """
        if not begun.strip():
            return None
        for start in self._occurrences(begun):
            at = start + len(begun)
            if self._text[at : at + 1].encode().startswith(partial):
                return self._text[start : self._span_end(start, at + bool(partial))]
        return None

    def continued_number(self, begun: str) -> str | None:
        """The same for a number."""
        for start in self._occurrences(begun):
            at = start + len(begun)
            if start and (self._text[start - 1].isdigit() or self._text[start - 1] == "."):
                continue
            found = _NUMBER_END.match(self._text, at)
            return self._text[start : found.end() if found else at]
        return None

    def strings(self) -> Iterator[str]:
        """Values a string may have of which nothing is known: what the question quotes, then its names."""
        for found in _QUOTED.finditer(self._question):
            yield next(group for group in found.groups() if group is not None)
        for found in _NAMES.finditer(self._question):
            yield found[0]

    def numbers(self) -> Iterator[str]:
        """The same for a number."""
        for found in _NUMBER.finditer(self._question):
            yield found[0]

    def numbers_for(self, path: str, begun: str = "") -> Iterator[str]:
        """Numbers of the question that begin like this, those that seem to be said of this argument first."""
        yield from self._ranked(path, begun, [found.span() for found in _NUMBER.finditer(self._question)])

    def strings_for(self, path: str, begun: str = "") -> Iterator[str]:
        """The same for strings: what is quoted, names, and what looks like a code, an address or a path."""
        spans = [
            next(found.span(group) for group in range(1, 5) if found[group] is not None)
            for found in _QUOTED.finditer(self._question)
        ]
        spans += [found.span() for found in _NAMES.finditer(self._question) if found[0] != "I"]
        spans += [
            found.span() for found in _CODES.finditer(self._question) if not _NUMBER.fullmatch(found[0])
        ]
        yield from self._ranked(path, begun, spans)

    def tells(self, path: str) -> bool:
        """Whether the question holds a word of an argument's name."""
        return bool(self._label_places(path))

    def is_listed(self, value: str) -> bool:
        """Whether the question goes on behind a value as lists do."""
        at = self._question.rfind(value)
        return at >= 0 and bool(value) and _LIST_JOINT.match(self._question, at + len(value)) is not None

    def _ranked(self, path: str, begun: str, spans: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Spans that begin like this, by how near they stand to a word of the argument's name."""
        places = self._label_places(path)
        text = self._question

        def distance(span: tuple[int, int]) -> int:
            before = [span[0] - end for _, end in places if end <= span[0]]
            behind = [start - span[1] + _BEHIND_WORTH for start, _ in places if start >= span[1]]
            return min(min(before, default=_LABEL_REACH), min(behind, default=_LABEL_REACH), _LABEL_REACH)

        yield from (
            text[slice(*span)] for span in sorted(spans, key=distance) if text.startswith(begun, span[0])
        )

    def _label_places(self, path: str) -> tuple[tuple[int, int], ...]:
        """Where the question holds a word of an argument's name, in any form."""
        found = self._places.get(path)
        if found is None:
            name = next((step for step in reversed(path.split(".")) if not step.isdecimal()), "")
            words = [word.lower() for word in _LABEL_PARTS.findall(name)]
            stems = [word.rstrip("s") for word in words if len(word) >= _LEAST_STEM and word not in _UNTOLD]
            pattern = "|".join(map(re.escape, stems))
            found = self._places[path] = (
                tuple(
                    place.span()
                    for place in re.finditer(rf"\b(?:{pattern})\w*", self._question, re.IGNORECASE)
                )
                if stems
                else ()
            )
        return found

    def says(self, words: str) -> bool:
        """Whether the question holds these words."""
        pattern = rf"(?<!\w){re.escape(words)}(?!\w)"
        return bool(words.strip()) and re.search(pattern, self._question, re.IGNORECASE) is not None

    def _occurrences(self, begun: str) -> Iterator[int]:
        """Where the text holds this, the latest first; beginnings of words before parts of words."""
        inside: list[int] = []
        at = len(self._text)
        for _ in range(_MOST_OCCURRENCES):
            at = self._text.rfind(begun, 0, at + len(begun) - 1) if at else -1
            if at < 0:
                break
            if at and self._text[at - 1].isalnum() and begun[0].isalnum():
                inside.append(at)
            else:
                yield at
        yield from inside

    def _span_end(self, start: int, at: int) -> int:
        """Where a span that begins at `start` and goes on to `at` ends."""
        text = self._text
        quote = _QUOTES.get(text[start - 1]) if start else None
        if quote is not None and not text[max(0, start - 2)].isalnum():
            end = text.find(quote, at, at + _LONGEST_QUOTE)
            if end >= 0 and "\n" not in text[at:end]:
                return end
        end = self._name_end(start)
        if at <= end:
            return end
        # What goes on behind a word or a name is a phrase: to the next mark, which is not far.
        mark = _CLAUSE_END.search(text, at, at + _LONGEST_CLAUSE)
        return mark.start() if mark is not None and mark.start() > at else self._word_end(at)[0]

    def _name_end(self, start: int) -> int:
        """The end of the word here; of the name, where one begins."""
        text = self._text
        end, goes_on = self._word_end(start)
        if not text[start : start + 1].isupper():
            return end
        while goes_on and text[end : end + 1] == " ":
            following = _WORD.match(text, end + 1)
            if following is None:
                break
            after, goes_on = self._word_end(end + 1)
            if following[0] in _JOINING:
                further = _WORD.match(text, after + 1)
                if further is None or not further[0][0].isupper():
                    break
            elif not (following[0][0].isupper() or following[0][0].isdigit()):
                break
            end = after
        return end

    def _word_end(self, at: int) -> tuple[int, bool]:
        """Where the word at this place ends, and whether it ends without a mark."""
        found = _WORD.match(self._text, at)
        if found is None:
            return at, True
        word = found[0].rstrip(_TRAILING)
        return at + len(word), len(word) == len(found[0])


def values_in(text: str) -> list[str]:
    """The strings and numbers that the text of a call holds as values, as they are spelt."""
    return [string or number for string, is_key, number in _VALUES.findall(text) if not is_key]


def listed_after(text: str) -> Iterator[str]:
    """The rest of a list, where a text goes on behind its first item as lists do: commas, a last "and"."""
    at = 0
    is_last = False
    for _ in range(_LONGEST_LIST):
        joint = _LIST_JOINT.match(text, at)
        if joint is None or is_last:
            return
        is_last = bool(joint["last"] or joint["only"])
        item = _LIST_ITEM.match(text, joint.end())
        if item is None:
            return
        yield item[0].rstrip(_TRAILING + " ").strip("\"'")
        at = item.end()
