"""Turn programs: a turn written as a generator that asks for forwards.

A program yields `Forward`s and is sent `Reading`s. The scheduler runs many programs side by side and
batches what they ask for; closing the generator cancels the turn at its next forward. Programs hold all
decisions (what to read next, which token wins); the scheduler and backbone hold all arithmetic.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Forward:
    """Read `token_ids` at positions `at`, `at + 1`, ...

    Whatever this turn had read at `at` or later is dropped first, so a program steps back by giving a
    smaller `at`. `num_logits` next-token rows are wanted, counted from the end (0: none).

    The rows of an exact forward do not depend on which tokens were read together: one forward over many
    tokens gives each the bits that forwards over one token each would give. It costs a little, and what it
    reads is not shared with other turns. The last `num_exact` tokens of any forward are read exactly, with
    the bits of an exact forward behind the others.

    `branches` are read in the same forward, each as if it alone followed `token_ids`, or alone followed the
    first `branches_behind` tokens of the turn; afterwards they are forgotten. `num_branch_logits` rows are
    wanted of each, counted from its end. Their bits follow from this forward alone, not from the company it
    is read in. With branches, `token_ids` may be empty.

    `num_states` asks for the states of the last so many positions up to the end of `token_ids`, those that
    were read earlier included. A forward that asks for nothing else is answered without computing. There are
    states only where the backbone was loaded with taps.
    """

    token_ids: Sequence[int]
    at: int
    num_logits: int = 1
    is_exact: bool = False
    branches: Sequence[Sequence[int]] = ()
    num_branch_logits: int = 1
    num_states: int = 0
    branches_behind: int | None = None
    num_exact: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a forward saw. `logits[j]` scores the token after the j-th of the last `num_logits` tokens."""

    logits: Tensor  # (num_logits, vocab), float32, on the CPU
    cached_tokens: int = 0
    states: Tensor | None = None  # (num_states, taps, hidden), on the backbone's device
    branch_logits: tuple[Tensor, ...] = ()  # of each branch, (its wanted rows, vocab), float32, on the CPU
    branch_states: tuple[Tensor, ...] = ()  # of each branch, (its tokens, taps, hidden); empty without taps


Program = Generator[Forward, Reading, Outcome]
