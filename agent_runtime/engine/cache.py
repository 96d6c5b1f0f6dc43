"""The prefix cache: computed blocks of earlier prompts, found again by the tokens they stand for.

A tree: each node is one block of tokens behind the block of its parent, so what two conversations share
(instructions and tools, or the conversation so far) is one path. Only whole blocks are kept, each computed
as a fresh prefill would compute it; so whether a block came from here or not can never change an answer.
Blocks are copied out and in, and nobody has to be asked before one is dropped. Free of torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Content = TypeVar("Content")


class CachedBlock(Generic[Content]):
    """One block behind its parent. `content` is None for the root and once it was dropped."""

    __slots__ = ("children", "content", "parent", "token_ids")

    def __init__(
        self, parent: CachedBlock[Content] | None, token_ids: tuple[int, ...], content: Content | None
    ) -> None:
        self.parent = parent
        self.token_ids = token_ids
        self.content = content
        self.children: dict[tuple[int, ...], CachedBlock[Content]] = {}

    @property
    def is_dropped(self) -> bool:
        """Whether it left the cache; nothing is found or kept behind it."""
        return self.parent is not None and self.content is None


class PrefixCache(Generic[Content]):
    """Blocks up to `max_tokens` in all; the longest unused go first, ends of paths before beginnings.

    Args:
        max_tokens: 0 keeps nothing.
        block_tokens: tokens of every block.
    """

    def __init__(self, *, max_tokens: int, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.root: CachedBlock[Content] = CachedBlock(None, (), None)
        self._max_blocks = max_tokens // block_tokens
        self._by_age: OrderedDict[CachedBlock[Content], None] = OrderedDict()

    @property
    def is_on(self) -> bool:
        """Whether it may hold anything at all."""
        return self._max_blocks > 0

    @property
    def held_tokens(self) -> int:
        """Tokens it holds now."""
        return len(self._by_age) * self.block_tokens

    def find(self, parent: CachedBlock[Content], token_ids: tuple[int, ...]) -> CachedBlock[Content] | None:
        """The block of these tokens behind `parent`, marked as just used."""
        found = parent.children.get(token_ids)
        if found is not None:
            self._touch(found)
        return found

    def add(
        self,
        parent: CachedBlock[Content],
        token_ids: tuple[int, ...],
        make_content: Callable[[], Content],
    ) -> CachedBlock[Content] | None:
        """Keep a block behind `parent`; None if there is no room for it or `parent` was dropped."""
        found = self.find(parent, token_ids)
        if found is not None:
            return found
        if not self.is_on or parent.is_dropped:
            return None
        self._touch(parent)
        if len(self._by_age) >= self._max_blocks:
            oldest = next(iter(self._by_age))
            if oldest is parent:
                return None  # everything held is this very path: its beginning is worth more than its end
            self._drop(oldest)
        block = CachedBlock(parent, token_ids, make_content())
        parent.children[token_ids] = block
        self._touch(block)
        return block

    def clear(self) -> None:
        """Drop everything."""
        for block in list(self._by_age):
            self._drop(block)

    def _touch(self, block: CachedBlock[Content]) -> None:
        """Mark a path as used, its end as the oldest of it, so that ends are dropped first."""
        step: CachedBlock[Content] | None = block
        while step is not None and step.parent is not None:
            self._by_age[step] = None
            self._by_age.move_to_end(step)
            step = step.parent

    def _drop(self, block: CachedBlock[Content]) -> None:
        del self._by_age[block]
        block.content = None
        if block.parent is not None:
            block.parent.children.pop(block.token_ids, None)
