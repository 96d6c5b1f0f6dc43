from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.cache import CachedBlock, PrefixCache


def make_cache(max_tokens: int) -> PrefixCache[str]:
    return PrefixCache(max_tokens=max_tokens, block_tokens=4)


def remember(cache: PrefixCache[str], path: str) -> CachedBlock[str] | None:
    """Keep one block per letter of `path`; its content is the path up to it."""
    block: CachedBlock[str] | None = cache.root
    for end in range(1, len(path) + 1):
        if block is None:
            return None
        block = cache.add(block, (ord(path[end - 1]),) * 4, lambda end=end: path[:end])  # type: ignore[misc]
    return block


def recall(cache: PrefixCache[str], path: str) -> str | None:
    """The content of the longest part of `path` that is held."""
    block, found = cache.root, None
    for letter in path:
        step = cache.find(block, (ord(letter),) * 4)
        if step is None:
            break
        block, found = step, step.content
    return found


def test_prefix_is_found_again() -> None:
    cache = make_cache(100)

    remember(cache, "abc")

    assert recall(cache, "abc") == "abc"
    assert recall(cache, "abx") == "ab"
    assert recall(cache, "b") is None
    assert cache.held_tokens == 12


def test_paths_share_their_beginning() -> None:
    cache = make_cache(100)

    remember(cache, "abc")
    remember(cache, "abd")

    assert cache.held_tokens == 16


def test_cache_of_no_tokens_keeps_nothing() -> None:
    cache = make_cache(0)

    assert not cache.is_on
    assert remember(cache, "a") is None
    assert cache.held_tokens == 0


def test_longest_unused_path_goes_first() -> None:
    cache = make_cache(16)
    remember(cache, "ab")
    remember(cache, "cd")
    recall(cache, "ab")

    remember(cache, "xy")

    assert recall(cache, "ab") == "ab"
    assert recall(cache, "cd") is None
    assert recall(cache, "xy") == "xy"


def test_end_of_a_path_goes_before_its_beginning() -> None:
    cache = make_cache(12)
    remember(cache, "abc")

    remember(cache, "x")

    assert recall(cache, "abc") == "ab"


def test_path_longer_than_the_cache_keeps_its_beginning() -> None:
    cache = make_cache(12)

    assert remember(cache, "abcdef") is None
    assert recall(cache, "abcdef") == "abc"


def test_nothing_is_kept_behind_a_dropped_block() -> None:
    cache = make_cache(8)
    end = remember(cache, "ab")
    assert end is not None
    remember(cache, "xy")

    assert end.is_dropped
    assert cache.add(end, (1, 1, 1, 1), lambda: "lost") is None
    assert cache.held_tokens == 8


def test_clearing_drops_everything() -> None:
    cache = make_cache(100)
    remember(cache, "abc")

    cache.clear()

    assert cache.held_tokens == 0
    assert recall(cache, "a") is None


@given(
    paths=st.lists(st.tuples(st.booleans(), st.text("abc", min_size=1, max_size=6)), max_size=40),
    max_blocks=st.integers(1, 8),
)
def test_never_holds_too_much_and_never_answers_wrongly(
    paths: list[tuple[bool, str]], max_blocks: int
) -> None:
    cache = make_cache(4 * max_blocks)
    for is_kept, path in paths:
        if is_kept:
            remember(cache, path)
        found = recall(cache, path)
        assert found is None or path.startswith(found)
        assert cache.held_tokens <= 4 * max_blocks
        if is_kept:
            assert found is not None and len(found) == min(len(path), max_blocks)
