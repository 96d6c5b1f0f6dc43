"""The fewest tokens that complete a call, from wherever its writer stands.

What may come next is limited by it near the end of a turn's tokens, so that a call that is begun is finished.
"""

from __future__ import annotations

import json
from weakref import WeakKeyDictionary

from .automaton import compile_language
from .byte_automaton import LanguageError
from .canonical import CALL_FOOTER
from .grammar import fewest_tokens
from .language import language_of
from .nodes import Branch, Leaf, Members, Node, Presence, Repeat, SlotShape
from .shape import ConstantsShape, GrammarShape
from .token_tree import TokenTrees
from .vocabulary import TokenVocabulary
from .walker import ArrayFrame, CallWalker, Candidate, Frame

_REMEMBERED = 20_000


class Needs:
    """How many tokens the parts of scaffolds take at least, under one tokenizer.

    Literals are counted part by part, which is never less than what they take together.
    """

    def __init__(self, vocabulary: TokenVocabulary, trees: TokenTrees) -> None:
        """Nothing is worked out yet."""
        self._vocabulary = vocabulary
        self._length_of = trees.length
        self._comma = trees.length(", ")
        self._quote = max(trees.length(text) for text in (' "', '"'))
        self._bracket = max(trees.length(text) for text in (" {", " [", "}", "]"))
        self._known: dict[Node, int] = {}
        self._slots: dict[int, tuple[SlotShape, int]] = {}

    def after_slot(self, walker: CallWalker) -> int:
        """Tokens behind the open slot, its closing quote included."""
        return self._quote + self._behind(walker.frame)

    def of(self, candidate: Candidate) -> int:
        """Tokens of a candidate literal and all that must come behind it."""
        text = self._length_of(candidate.text)
        if candidate.is_end:
            return text
        slot = candidate.slot
        value = 0
        if slot is not None:
            value = self._quote + self._slot(slot.shape, slot.constants, slot.leading_space)
        return text + value + self._behind(candidate.frame)

    def _behind(self, frame: Frame | None) -> int:
        """Tokens that finish the call once a value has ended inside this frame."""
        total = self._length_of(CALL_FOOTER)
        while frame is not None:
            if isinstance(frame, ArrayFrame):
                total += self._bracket + self._items(frame.node, frame.count)
            else:
                total += self._bracket + self._members(frame.node, frame.next_index, frame.count)
            frame = frame.parent
        return total

    def _items(self, node: Repeat, start: int) -> int:
        items = (node.node_at(index) for index in range(start, node.minimum))
        return sum(self._comma + self._node(item) for item in items if item is not None)

    def _members(self, node: Members, start: int, count: int) -> int:
        left = node.members[start:]
        needed = [self._member(member) for member in left if member.is_required]
        missing = node.minimum - count - len(needed)
        if missing > 0:
            needed += sorted(self._member(member) for member in left if not member.is_required)[:missing]
        return sum(needed)

    def _member(self, member: Presence) -> int:
        return self._comma + self._length_of(member.literal) + self._node(member.node)

    def _node(self, node: Node) -> int:
        known = self._known.get(node)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[node] = self._counted(node)
        return known

    def _counted(self, node: Node) -> int:
        if isinstance(node, Leaf):
            quotes = 2 * self._quote if node.is_string else 0
            return quotes + self._slot(node.shape, node.constants, not node.is_string)
        if isinstance(node, Branch):
            return min(map(self._node, node.options))
        inside = self._members(node, 0, 0) if isinstance(node, Members) else self._items(node, 0)
        return 2 * self._bracket + inside

    def _slot(self, shape: SlotShape, constants: tuple[str, ...], leading_space: bool) -> int:
        if isinstance(shape, ConstantsShape):
            return min(map(self._length_of, constants), default=1)
        known = self._slots.get(id(shape))
        if known is None:
            if len(self._slots) >= _REMEMBERED:
                self._slots.clear()
            # holds the shape, so that its id stays taken
            known = self._slots[id(shape)] = (shape, self._fewest(shape, leading_space))
        return known[1]

    def _fewest(self, shape: SlotShape, leading_space: bool) -> int:
        if isinstance(shape, GrammarShape):
            return int(leading_space) + fewest_tokens(json.dumps(shape.schema), self._vocabulary)
        try:
            language = language_of(shape, leading_space=leading_space)
        except LanguageError:
            return 1
        return compile_language(language, self._vocabulary).min_tokens


_needs: WeakKeyDictionary[TokenTrees, Needs] = WeakKeyDictionary()


def needs_of(vocabulary: TokenVocabulary, trees: TokenTrees) -> Needs:
    """The needs under a tokenizer, worked out once."""
    found = _needs.get(trees)
    if found is None:
        found = _needs[trees] = Needs(vocabulary, trees)
    return found
