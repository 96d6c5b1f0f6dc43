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
    reads is not shared with other turns.
    """

    token_ids: Sequence[int]
    at: int
    num_logits: int = 1
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a forward saw. `logits[j]` scores the token after the j-th of the last `num_logits` tokens."""

    logits: Tensor  # (num_logits, vocab), float32, on the CPU
    cached_tokens: int = 0


Program = Generator[Forward, Reading, Outcome]
