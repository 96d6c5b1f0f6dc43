"""One conversation as the backbone has read it: its slab, its length, and what of it the cache may share."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

from .cache import CachedBlock, PrefixCache
from .key_values import KeyValueShape, KeyValueSlab, SlabBlock
from .slab_pool import SlabPool

KeyValueCache = PrefixCache[SlabBlock]

# Room behind the prompt for a typical reply, so that most turns never grow their slab.
_REPLY_TOKENS = 192


class BackboneSequence:
    """What one turn has read so far.

    Blocks are shared with other turns only while the sequence is *fresh*: read from position 0 on, block
    by block, as every prefill reads. What is decoded token by token is not shared: it is read again as
    part of the next prompt, so that answers do not depend on what the cache happens to hold.
    """

    def __init__(self, shape: KeyValueShape, cache: KeyValueCache, pool: SlabPool | None = None) -> None:
        self._shape = shape
        self._pool = pool
        self._cache = cache
        self._slab: KeyValueSlab | None = None
        self._fresh: CachedBlock[SlabBlock] | None = cache.root if cache.is_on else None
        self._num_fresh = 0
        self.length = 0

    @property
    def slab(self) -> KeyValueSlab:
        """Its keys and values; there only after `reserve`."""
        assert self._slab is not None, "reserve comes first"
        return self._slab

    @property
    def num_reserved(self) -> int:
        """Positions it holds memory for."""
        return 0 if self._slab is None else self._slab.capacity

    def reserve(self, length: int) -> None:
        """Make room for `length` positions, those of branches behind the end included."""
        if self._slab is None:
            self._slab = self._new_slab(length)
        else:
            self._slab.reserve(length, keep=self.length)

    def _new_slab(self, length: int) -> KeyValueSlab:
        pooled = None if self._pool is None else self._pool.new_slab(length)
        room = min(length + _REPLY_TOKENS, self._shape.max_length)
        return pooled or KeyValueSlab(self._shape, max(length, room))

    def step_back(self, at: int) -> None:
        """Forget positions from `at` on."""
        self.length = min(self.length, at)
        while self._fresh is not None and self._num_fresh > at:
            self._fresh = self._fresh.parent
            self._num_fresh -= self._cache.block_tokens

    def next_block(self, token_ids: Tokens[int]) -> tuple[int, tuple[int, ...]] | None:
        """A name for the shareable block that `token_ids` (what comes next) begin with, if they hold one.

        Two sequences with the same name at the same time would compute the same block.
        """
        size = self._cache.block_tokens
        if self._fresh is None or self._num_fresh != self.length or len(token_ids) < size:
            return None
        return id(self._fresh), tuple(token_ids[:size])

    def copy_cached(self, token_ids: Tokens[int]) -> int:
        """Copy the blocks that `token_ids` (what comes next) begin with from the cache; the tokens copied."""
        copied = 0
        while (name := self.next_block(token_ids[copied:])) is not None:
            assert self._fresh is not None
            found = self._cache.find(self._fresh, name[1])
            if found is None or found.content is None:
                break
            self.slab.copy_in(self.length, found.content)
            self._advance(found)
            copied += self._cache.block_tokens
        return copied

    def note_read(self, token_ids: Tokens[int]) -> None:
        """Record that `token_ids` were read at the end, and share them if they are the next fresh block."""
        start, size = self.length, self._cache.block_tokens
        name = self.next_block(token_ids) if len(token_ids) == size else None
        if name is None or self._fresh is None:
            self.length += len(token_ids)
            return
        block = self._cache.add(self._fresh, name[1], lambda: self.slab.copy_out(start, start + size))
        if block is None:
            self._fresh = None
            self.length += size
        else:
            self._advance(block)

    def stop_sharing(self) -> None:
        """From here on nothing is shared: what comes is not read as a prompt is."""
        self._fresh = None

    def _advance(self, block: CachedBlock[SlabBlock]) -> None:
        self._fresh = block
        self._num_fresh += self._cache.block_tokens
        self.length += self._cache.block_tokens
