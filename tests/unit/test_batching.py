from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.batching import BatchRule, cut_at_blocks, part_branches, plan_batch

FREE = BatchRule(block_tokens=64, max_rows=256)
PADDED = BatchRule(block_tokens=64, max_rows=64, padded_rows=8)
ALONE = BatchRule(block_tokens=64, max_rows=64, padded_rows=0)


@given(at=st.integers(0, 500), num_tokens=st.integers(1, 500), data=st.data())
def test_cuts_do_not_depend_on_how_much_came_from_the_cache(
    at: int, num_tokens: int, data: st.DataObject
) -> None:
    whole = cut_at_blocks(at, num_tokens, 0, 64)
    num_done = data.draw(st.integers(0, len(whole)))

    rest = cut_at_blocks(at, num_tokens, sum(whole[:num_done]), 64)

    assert sum(whole) == num_tokens
    assert max(whole) <= 64
    assert rest == whole[num_done:]


def test_prompt_is_cut_at_multiples_of_the_block() -> None:
    assert cut_at_blocks(0, 200, 0, 64) == (64, 64, 64, 8)
    assert cut_at_blocks(30, 100, 0, 64) == (34, 64, 2)
    assert cut_at_blocks(60, 10, 0, 64) == (10,)


@given(
    waiting=st.lists(
        st.builds(cut_at_blocks, st.integers(0, 99), st.integers(1, 400), st.just(0), st.just(64))
    )
)
def test_a_batch_always_fits_and_never_starves_all(waiting: list[tuple[int, ...]]) -> None:
    for rule in (FREE, PADDED, ALONE):
        taken = plan_batch(waiting, rule)

        sizes = [size for chunks, count in zip(waiting, taken, strict=True) for size in chunks[:count]]
        assert sum(sizes) <= rule.max_rows
        assert bool(sizes) == bool(waiting)


def test_decoding_turns_go_beside_a_prompt() -> None:
    assert plan_batch([(64, 64, 64, 64, 8), (1,), (1,)], FREE) == [3, 1, 1]


def test_prompt_is_not_starved_by_short_reads() -> None:
    taken = plan_batch([(40,)] * 8 + [(64, 64)], FREE)

    assert taken[-1] == 1


def test_padded_rows_hold_only_short_chunks() -> None:
    assert plan_batch([(1,), (64, 64), (4,), (9,), (3,), (1,)], PADDED) == [1, 0, 1, 0, 1, 0]
    assert plan_batch([(64, 64), (1,)], PADDED) == [1, 0]


def test_without_equal_rows_everyone_goes_alone() -> None:
    assert plan_batch([(1,), (1,)], ALONE) == [1, 0]


@given(num_rows=st.integers(1, 256))
def test_rows_are_padded_to_few_numbers_and_by_little(num_rows: int) -> None:
    rule = BatchRule(block_tokens=64, max_rows=256, row_counts=(1, 2, 4, 8, 16, 32, 64, 128, 256))

    padded = rule.with_padding(num_rows)

    assert padded in rule.row_counts
    assert num_rows <= padded < 2 * num_rows or padded == num_rows == 1


def test_only_short_reads_are_padded_where_rows_depend_on_their_number() -> None:
    assert [PADDED.with_padding(num_rows) for num_rows in (1, 8, 9, 64)] == [8, 8, 9, 64]
    assert [ALONE.with_padding(num_rows) for num_rows in (1, 8, 9, 64)] == [1, 8, 9, 64]


@given(sizes=st.lists(st.integers(1, 30), max_size=20), at=st.integers(1, 40))
def test_every_branch_is_read_once_and_in_order(sizes: list[int], at: int) -> None:
    parts = part_branches(sizes, at, 8)

    read = [0] * len(sizes)
    rows = 0
    for part in parts:
        assert part.rows_before == rows and 0 < part.num_tokens <= 8
        if part.start:
            assert len(part.sizes) == 1
        for branch, size in enumerate(part.sizes, part.first):
            assert read[branch] == part.start and sum(read[branch + 1 :]) == 0
            read[branch] += size
        rows += part.num_tokens
    assert read == sizes


def test_branches_stand_beside_one_another_as_long_as_they_fit() -> None:
    assert [part.sizes for part in part_branches([3, 3, 3, 8, 1], 5, 8)] == [(3, 3), (3,), (8,), (1,)]
    assert [part.sizes for part in part_branches([2, 11], 6, 8)] == [(2,), (2,), (8,), (1,)]
    assert part_branches([], 5, 8) == ()
