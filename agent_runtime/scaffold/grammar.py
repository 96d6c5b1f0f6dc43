"""Values that no automaton describes (recursion, free objects), followed by llguidance byte by byte.

llguidance says which tokens may come; what is added here is an end: a grammar has no budget of its own, so
the end that endings.py knows is taken while there are tokens enough left for it.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import llguidance
import numpy as np
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from .byte_automaton import LanguageError
from .endings import Endings
from .shape import GrammarShape
from .vocabulary import TokenVocabulary

Mask = NDArray[np.bool_]

MAX_DEPTH = 64
"""Brackets that may be open in one value: then it is ended, before validators run out of Python's stack."""

_SLACK = 8
"""Tokens kept free for one that begins several things at once."""

# The shortest way out of JSON, by first byte: close what is open, else separate, else what needs no closing.
# For schemas that endings.py does not know.
_WAY_OUT = {byte: rank for rank, byte in enumerate(b'}],ntf0123456789": .[{')}
_LAST = len(_WAY_OUT)


class GrammarMatcher:
    """Follows one value under a JSON Schema."""

    __slots__ = (
        "_bits",
        "_depth",
        "_endings",
        "_is_escaped",
        "_is_in_string",
        "_is_spaced",
        "_left",
        "_mask",
        "_matcher",
        "_need",
        "_step",
        "_taken",
        "_vocabulary",
        "_way_out",
        "is_cut",
    )

    def __init__(
        self,
        matcher: llguidance.LLMatcher,
        vocabulary: TokenVocabulary,
        endings: Endings,
        *,
        leading_space: bool,
        budget: int,
    ) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._endings = endings
        self._is_spaced = leading_space
        self._left = budget
        self._taken: list[int] = []
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False
        self._bits = allocate_token_bitmask(1, len(vocabulary) + 1)
        self._mask: Mask | None = None
        self._need = budget  # not looked at yet
        step = _by_longest_token(vocabulary)(endings.largest_step)
        self._step = max(2, len(endings.largest_step if step is None else step))
        self._way_out: list[int] = []
        self.is_cut = False
        """Whether the budget has begun to end the value."""

    @classmethod
    def of(
        cls,
        shape: GrammarShape,
        vocabulary: TokenVocabulary,
        *,
        leading_space: bool = False,
        budget: int = 256,
        earlier_items: tuple[str, ...] = (),
    ) -> GrammarMatcher:
        """A matcher at the beginning of a value of `shape`.

        A value may exceed its budget by what its required parts need. Of a schema that schema/grammar.py
        did not write, how much is not known before the budget is used up.

        Raises:
            LanguageError: llguidance refuses the schema, or the value must differ from earlier items.
        """
        if earlier_items:
            raise LanguageError(
                "unique items that need a grammar (recursive or open objects) cannot be honoured"
            )
        tokenizer = tokenizer_of(vocabulary)
        schema = json.dumps(shape.schema)
        grammar = grammar_of(schema, leading_space=leading_space)
        matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise LanguageError(f"llguidance refuses the schema: {_first_line(matcher.get_error())}")
        return cls(matcher, vocabulary, _endings_of(schema), leading_space=leading_space, budget=budget)

    @property
    def raw(self) -> bytes:
        """The bytes so far."""
        return self._vocabulary.text_of(self._taken)

    @property
    def text(self) -> str:
        """The text so far; an unfinished character shows as U+FFFD."""
        return self.raw.decode(errors="replace")

    def allowed(self) -> Mask:
        """`(V,)`, read-only: what may come next; near the end of the budget only a short way out."""
        if self._mask is None:
            self._mask = self._computed()
            self._mask.flags.writeable = False
        return self._mask

    def can_end(self) -> bool:
        """Whether the value is complete."""
        return bool(self._matcher.is_accepting())

    def advance(self, token_id: int) -> None:
        """Take one allowed token.

        Raises:
            ValueError: it is not allowed here.
        """
        if not self._matcher.consume_token(token_id):
            raise ValueError(f"token {token_id} is not allowed after {self.text!r}")
        self._scan(self._vocabulary.tokens[token_id])
        self._taken.append(token_id)
        self._left -= 1
        self._need += self._step
        self._way_out = self._way_out[1:]
        self._mask = None

    def forced(self) -> int | None:
        """The only token that may come, if there is one and the value may not end instead."""
        allowed = self.allowed()
        return int(allowed.argmax()) if np.count_nonzero(allowed) == 1 and not self.can_end() else None

    def copy(self) -> GrammarMatcher:
        """An independent cursor at the same place."""
        twin = GrammarMatcher.__new__(GrammarMatcher)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin._matcher = self._matcher.deep_copy()
        twin._taken = self._taken.copy()
        twin._bits = self._bits.copy()
        return twin

    @property
    def is_in_string(self) -> bool:
        """Whether a string is open."""
        return self._is_in_string

    def end_soon(self) -> None:
        """From here on allow only a short way to the end."""
        self._left = 0
        self._mask = None

    def _computed(self) -> Mask:
        self._find_way_out()
        if self._way_out:
            return self._only(self._way_out[0])
        if self.is_cut and self.can_end():
            return np.zeros(len(self._vocabulary), np.bool_)
        fill_next_token_bitmask(self._matcher, self._bits)
        bits = np.unpackbits(self._bits[0].view(np.uint8), bitorder="little")
        mask = bits[: len(self._vocabulary)].view(np.bool_)
        return self._stumbling(mask) if self.is_cut else mask

    def _find_way_out(self) -> None:
        """Look how far the end is, as often as it may have come too far away to be reached.

        `_need` is never less than the tokens the end takes: a token adds at most the largest step.
        """
        if self._way_out or self._is_far():
            return
        way_out = self._tokens_to_end()
        self._need = 2 * self._depth + 4 if way_out is None else len(way_out)
        if self._is_far():
            return
        self.is_cut = True
        self._way_out = way_out or []

    def _is_far(self) -> bool:
        """Whether any token may be taken, and the end still be reached."""
        return self._left > self._need + self._step + _SLACK and self._depth < MAX_DEPTH

    def _tokens_to_end(self) -> list[int] | None:
        """A short end of the value as tokens, tried out; None where none is known."""
        written = self.raw
        if self._is_spaced and not written:
            tail = self._endings.after(b"")
            tail = None if tail is None else b" " + tail
        else:
            tail = self._endings.after(written[1:] if self._is_spaced else written)
        if tail is None:
            return None
        found = _by_longest_token(self._vocabulary)(tail)
        if found is None:
            return None
        trial = self._matcher.deep_copy()
        is_end = trial.try_consume_tokens(found) == len(found) and trial.is_accepting()
        return found if is_end else None

    def _only(self, token_id: int | None) -> Mask:
        only = np.zeros(len(self._vocabulary), np.bool_)
        if token_id is not None:
            only[token_id] = True
        return only

    def _stumbling(self, mask: Mask) -> Mask:
        """One token of a way out that is not known beforehand."""
        candidates = np.flatnonzero(mask).tolist()
        tokens = self._vocabulary.tokens
        if self._is_in_string:
            closing = [i for i in candidates if tokens[i] == b'"' and not self._is_escaped]
            return self._only(closing[0] if closing else self._wandering(candidates))
        return self._only(
            min(candidates, key=lambda i: (_WAY_OUT.get(tokens[i][0], _LAST), len(tokens[i])), default=None)
        )

    def _wandering(self, candidates: list[int]) -> int | None:
        """A token inside a string that may not end here: a walk that is random enough ends where it may.

        Single bytes, and every other time no letters: what a pattern waits for is rarely one more letter.
        """
        tokens = self._vocabulary.tokens
        single = [index for index in candidates if len(tokens[index]) == 1]
        marks = [index for index in single if not tokens[index].isalpha()]
        randomness = random.Random(len(self._taken))
        pool = marks if marks and randomness.random() < 0.5 else single or candidates
        return randomness.choice(pool) if pool else None

    def _scan(self, token: bytes) -> None:
        for byte in token:
            if self._is_in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif byte == 0x5C:
                    self._is_escaped = True
                elif byte == 0x22:
                    self._is_in_string = False
            elif byte == 0x22:
                self._is_in_string = True
            elif byte in b"{[":
                self._depth += 1
            elif byte in b"}]":
                self._depth -= 1


@lru_cache(maxsize=256)
def _endings_of(schema: str) -> Endings:
    return Endings(json.loads(schema))


def fewest_tokens(schema: str, vocabulary: TokenVocabulary) -> int:
    """How many tokens the shortest value of a schema takes, where that is known."""
    shortest = _endings_of(schema).shortest or b""
    return len(_by_longest_token(vocabulary)(shortest) or shortest)


@lru_cache(maxsize=256)
def grammar_of(schema: str, *, leading_space: bool) -> str:
    """Llguidance's grammar of a schema (as JSON text) in canonical separators."""
    options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    tagged = json.loads(schema)
    body = json.dumps({**tagged, "x-guidance": options} if isinstance(tagged, dict) else tagged)
    start = 'start: " " value' if leading_space else "start: value"
    return str(llguidance.LLMatcher.grammar_from_lark(f"{start}\nvalue: %json {body}\n"))


def refusal_of(schema: Any) -> str | None:
    """Why llguidance cannot honour a schema, or None if it can. Needs no vocabulary."""
    grammar = grammar_of(json.dumps(schema), leading_space=False)
    is_error, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar)
    return _first_line(messages[0]) if messages and (is_error or messages) else None


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0] if message.strip() else "unknown reason"


class _Tokens:
    """The vocabulary as llguidance wants it, with an end token of its own."""

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        self.eos_token_id = len(vocabulary)
        self.bos_token_id = None
        # 0xFF never begins UTF-8: llguidance's mark of tokens that are no text.
        self.tokens = [token or b"\xff<%d>" % index for index, token in enumerate((*vocabulary.tokens, b""))]
        self.special_token_ids = [index for index, token in enumerate(vocabulary.tokens) if not token]
        self.special_token_ids.append(self.eos_token_id)
        self._encode = vocabulary.encode
        self._encode_bytes = _by_longest_token(vocabulary)

    def __call__(self, text: str) -> list[int]:
        return self._encode_bytes(text.encode()) or [] if self._encode is None else list(self._encode(text))


def _by_longest_token(vocabulary: TokenVocabulary) -> Callable[[bytes], list[int] | None]:
    """Greedy tokens of bytes that need not be whole characters; None where no tokens spell them."""
    found = _encoders.get(vocabulary)
    if found is None:
        found = _encoders[vocabulary] = _encoder_of(vocabulary)
    return found


def _encoder_of(vocabulary: TokenVocabulary) -> Callable[[bytes], list[int] | None]:
    ids = {token: index for index, token in enumerate(vocabulary.tokens) if token}
    longest = max(map(len, ids), default=1)

    def encode(text: bytes) -> list[int] | None:
        found, at = list[int](), 0
        while at < len(text):
            ends = range(min(len(text), at + longest), at, -1)
            end = next((end for end in ends if text[at:end] in ids), None)
            if end is None:
                return None
            found.append(ids[text[at:end]])
            at = end
        return found

    return encode


_encoders: WeakKeyDictionary[TokenVocabulary, Callable[[bytes], list[int] | None]] = WeakKeyDictionary()
_lock = threading.Lock()
_tokenizers: WeakKeyDictionary[TokenVocabulary, llguidance.LLTokenizer] = WeakKeyDictionary()


def tokenizer_of(vocabulary: TokenVocabulary) -> llguidance.LLTokenizer:
    """The vocabulary in llguidance's form, made once. Its end token is one past the vocabulary."""
    with _lock:
        found = _tokenizers.get(vocabulary)
        if found is None:
            wrapper = llguidance.TokenizerWrapper(_Tokens(vocabulary))
            found = _tokenizers[vocabulary] = llguidance.LLTokenizer(wrapper, n_vocab=len(vocabulary) + 1)
        return found
