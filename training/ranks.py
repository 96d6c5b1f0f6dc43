"""The processes that train one module together, a device each, and what they tell each other.

`accelerate launch` and `torchrun` start them. Each reads its own rows (batches.py) and computes its share of
a step's gradients; the shares are added up, so all take the same steps. The first process alone is seen,
measures and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from agent_runtime.errors import ConfigError

from .extras import require

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among those that train together. Alone, nothing here costs anything."""

    number: int = 0
    """Of this process, from 0."""

    count: int = 1
    """All of them."""

    device: str = "cpu"
    """Where they exchange tensors."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that is seen, measures and writes."""
        return self.number == 0

    def totals(self, *numbers: float) -> tuple[float, ...]:
        """Each number, summed over all processes."""
        if self.count == 1:
            return numbers
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return tuple(sums.tolist())

    def gathered(self, value: ValueT) -> list[ValueT]:
        """What every process has, in their order. Plain data."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; a parameter that has none anywhere keeps none."""
        if self.count == 1:
            return
        own = list(parameters)
        shares = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
        is_there = torch.tensor([float(p.grad is not None) for p in own], device=self.device)
        # One exchange for all: hundreds of small ones would cost more than the bytes.
        sums = torch.cat([*(share.flatten() for share in shares), is_there])
        distributed.all_reduce(sums)
        *added, is_there = torch.split(sums, [*(share.numel() for share in shares), len(shares)])
        for parameter, total, is_any in zip(own, added, is_there.tolist(), strict=True):
            parameter.grad = total.view_as(parameter) if is_any else None

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()
"""What a process is that nobody started together with others."""


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that were started to train together; one that was started alone is alone.

    Each gets a device of its own: `cuda` then means the GPU of this process.

    Args:
        device: of the recipe.

    Raises:
        ConfigError: there is no such device, or not one for every process; or accelerate is not installed.
    """
    num_gpus = torch.cuda.device_count()
    if device == "cuda" and int(os.environ.get("LOCAL_RANK", "0")) >= num_gpus:
        remedy = f"start at most {num_gpus} processes" if num_gpus else "set device=cpu"
        raise ConfigError(f"device=cuda: torch finds {num_gpus} GPUs, too few for every process: {remedy}")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    require("accelerate", by="training on several devices")
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    yield Ranks(number=state.process_index, count=state.num_processes, device=device)
    # Not after an error: leaving in good order takes all of them, and the others may wait for this one.
    if distributed.is_initialized():  # a tracker's end leaves too
        distributed.destroy_process_group()
