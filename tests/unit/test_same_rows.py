from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from agent_runtime.engine.batching import BatchRule
from agent_runtime.engine.linear import JoinedLinear, make_linear, touchy_like
from agent_runtime.engine.same_rows import find_batch_rule, keeps_bits_with_any_threads
from agent_runtime.engine.threads import using_threads

WEIGHT = torch.randn((16, 16), generator=torch.Generator().manual_seed(0))


def rule_for(row_function: Callable[[Tensor], Tensor]) -> BatchRule:
    return find_batch_rule(
        row_function, 16, torch.float32, torch.device("cpu"), block_tokens=64, max_rows=256
    )


def row_by_row(rows: Tensor) -> Tensor:
    return torch.stack([(WEIGHT @ row) for row in rows])


def by_number_of_rows(rows: Tensor) -> Tensor:
    """Another order of summation when there are more rows, as some kernels have."""
    return row_by_row(rows) * (1 + 1e-6 * len(rows))


def by_place(rows: Tensor) -> Tensor:
    return row_by_row(rows) + 1e-6 * torch.arange(len(rows)).unsqueeze(1)


def by_company(rows: Tensor) -> Tensor:
    return row_by_row(rows) + 1e-6 * rows.sum()


@pytest.mark.parametrize(
    ("row_function", "padded_rows"),
    [
        pytest.param(row_by_row, None, id="rows that never change may stand together"),
        pytest.param(by_number_of_rows, 8, id="rows that depend on their number are padded"),
        pytest.param(by_place, 0, id="rows that depend on their place go alone"),
        pytest.param(by_company, 0, id="rows that depend on their company go alone"),
    ],
)
def test_rule_is_as_permissive_as_bits_allow(
    row_function: Callable[[Tensor], Tensor], padded_rows: int | None
) -> None:
    assert rule_for(row_function).padded_rows == padded_rows


def in_single_rows(rows: Tensor) -> Tensor:
    """Another order of summation for one row than for all larger numbers, as oneDNN has for some shapes."""
    return row_by_row(rows) * (1 + 1e-6 * (len(rows) == 1))


def test_numbers_of_rows_that_come_out_otherwise_are_padded_to_the_next() -> None:
    rule = rule_for(in_single_rows)

    assert rule.padded_rows is None and rule.max_rows == 256
    assert [rule.with_padding(count) for count in (1, 2, 3)] == [2, 2, 4]


def test_rule_holds_for_the_other_functions_too() -> None:
    def rule(*others: Callable[[Tensor], Tensor]) -> BatchRule:
        return find_batch_rule(
            row_by_row,
            16,
            torch.float32,
            torch.device("cpu"),
            block_tokens=64,
            max_rows=256,
            others=lambda: others,
        )

    assert rule(row_by_row).with_padding(1) == 1
    assert rule(row_by_row, in_single_rows).with_padding(1) == 2
    assert rule(by_number_of_rows, row_by_row).padded_rows == 8
    assert rule(row_by_row, by_place).padded_rows == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("can_pack", [True, False])
def test_touchy_linear_shows_the_order_in_which_it_sums(
    dtype: torch.dtype, can_pack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_pack:
        monkeypatch.setattr("agent_runtime.engine.linear.can_pack", lambda _: False)
    rows = torch.randn((8, 100), generator=torch.Generator().manual_seed(1)).to(dtype)
    touchy = touchy_like(make_linear([torch.zeros((40, 301), dtype=dtype)]))
    assert touchy is not None

    left = touchy(rows)

    assert left.shape == (8, 40)
    assert 0 < left.abs().max() < 1e-3  # sums of 300 products of about 1
    assert (left != 0).float().mean() > 0.5


def test_modules_of_someone_else_have_no_touchy_like() -> None:
    assert touchy_like(JoinedLinear([torch.nn.Linear(4, 4)])) is None


def test_rule_without_free_rows_reads_one_block_at_a_time() -> None:
    assert rule_for(by_place).max_rows == 64
    assert rule_for(row_by_row).max_rows == 256


def test_results_that_change_with_the_number_of_threads_are_found() -> None:
    with using_threads(3):
        assert keeps_bits_with_any_threads([lambda: torch.ones(3)], 3)
        assert not keeps_bits_with_any_threads([lambda: torch.full((1,), torch.get_num_threads())], 3)
    with using_threads(1):
        assert keeps_bits_with_any_threads([lambda: torch.rand(3)], 1)
