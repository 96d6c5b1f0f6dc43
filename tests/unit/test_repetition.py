from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.scaffold.repetition import MAX_PERIOD, MIN_COPIES, MIN_TOKENS, RepetitionWatch


def watched(token_ids: list[int]) -> list[int]:
    watch = RepetitionWatch()
    return [watch.add(token_id) for token_id in token_ids]


def copied(token_ids: list[int]) -> int:
    """The plain count: the longest end of the tokens that is copies of few enough of them."""
    lengths = [0]
    for period in range(1, MAX_PERIOD + 1):
        length = 0
        while length + period < len(token_ids) and token_ids[-length - 1] == token_ids[-length - 1 - period]:
            length += 1
        if length and length + period >= max(MIN_TOKENS, MIN_COPIES * period):
            lengths.append(length + period)
    return max(lengths)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.integers(0, 3), min_size=1, max_size=MAX_PERIOD + 3),
    st.integers(0, 80),
    st.lists(st.integers(0, 3), max_size=10),
)
def test_the_count_is_the_plain_count(
    before: list[int], text: list[int], copies: int, after: list[int]
) -> None:
    token_ids = [*before, *(text * copies)[:300], *after]

    assert watched(token_ids) == [copied(token_ids[: end + 1]) for end in range(len(token_ids))]


@pytest.mark.parametrize("period", [1, 2, 7, MAX_PERIOD])
def test_a_loop_is_noticed_after_its_fourth_copy(period: int) -> None:
    found = watched([*range(1000, 1020), *(list(range(period)) * 100)])

    first = next(index for index, count in enumerate(found) if count)
    assert first + 1 - 20 == max(MIN_TOKENS, MIN_COPIES * period)


def test_longer_texts_are_not_taken_for_loops() -> None:
    assert not any(watched(list(range(MAX_PERIOD + 1)) * 20))


def test_a_copy_goes_its_own_way() -> None:
    watch = RepetitionWatch()
    for _ in range(MIN_TOKENS - 1):
        watch.add(7)

    twin = watch.copy()

    assert (twin.add(7), watch.add(8), watch.add(7)) == (MIN_TOKENS, 0, 0)
