"""Trees of token sequences: candidate literals, constants and tool names, told apart token by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_CACHED_NODES = 150_000
"""Places remembered over all trees, about 400 bytes each."""
_CACHED_LENGTHS = 50_000
_CACHED_IDS = 8_000_000
"""Token ids remembered for masks, over all of them."""


class TokenNode:
    """A place in a tree. `ends` are the numbers of the sequences that end here."""

    __slots__ = ("_ids", "children", "ends")

    def __init__(self) -> None:
        """A node without children."""
        self.children: dict[int, TokenNode] = {}
        self.ends: list[int] = []
        self._ids: NDArray[np.int64] | None = None

    @property
    def ids(self) -> NDArray[np.int64]:
        """The tokens that may come next, in ascending order."""
        if self._ids is None:
            self._ids = np.array(sorted(self.children), dtype=np.int64)
        return self._ids


def token_tree(sequences: Mapping[int, Sequence[int]]) -> TokenNode:
    """The tree of some numbered token sequences; equal ones end at the same node."""
    root = TokenNode()
    for number, sequence in sequences.items():
        node = root
        for token_id in sequence:
            node = node.children.setdefault(token_id, TokenNode())
        node.ends.append(number)
    return root


class TokenTrees:
    """Trees of texts under one tokenizer, remembered."""

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        """Texts become tokens through `encode`, which never yields a control token."""
        self._encode = encode
        self._trees: dict[tuple[str, ...], TokenNode] = {}
        self._num_nodes = 0
        self._lengths: dict[str, int] = {}
        self._ids: dict[int, tuple[NDArray[np.bool_], NDArray[np.int64]]] = {}
        self._num_ids = 0

    def tree(self, texts: tuple[str, ...]) -> TokenNode:
        """The tree of these texts' tokens; a text's number is its place."""
        found = self._trees.get(texts)
        if found is None:
            sequences = {number: self._encode(text) for number, text in enumerate(texts)}
            found = token_tree(sequences)
            if self._num_nodes > _CACHED_NODES:
                self._trees.clear()
                self._num_nodes = 0
            self._trees[texts] = found
            self._num_nodes += sum(map(len, sequences.values()))
        return found

    def tree_of_some(self, texts: Mapping[int, str]) -> TokenNode:
        """The tree of numbered texts, not remembered."""
        return token_tree({number: self._encode(text) for number, text in texts.items()})

    def length(self, text: str) -> int:
        """How many tokens a text takes on its own; remembered."""
        found = self._lengths.get(text)
        if found is None:
            if len(self._lengths) >= _CACHED_LENGTHS:
                self._lengths.clear()
            found = self._lengths[text] = len(self._encode(text))
        return found

    def ids_of(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The tokens of a mask that never changes and lives on, in ascending order; remembered."""
        found = self._ids.get(id(mask))
        if found is None:
            found = (mask, np.flatnonzero(mask))  # holds the mask, so that its id stays taken
            if self._num_ids > _CACHED_IDS:
                self._ids.clear()
                self._num_ids = 0
            self._ids[id(mask)] = found
            self._num_ids += len(found[1])
        return found[1]
