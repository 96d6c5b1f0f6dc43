"""Running turn programs without a backbone: logits come from a function of the tokens read so far."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from agent_runtime.engine.program import Forward, Program, Reading
from agent_runtime.engine.view import BackboneView
from agent_runtime.prompt.format import PromptFormat
from tests.tiny_model import make_tiny_tokenizer

Outcome = TypeVar("Outcome")
Row = NDArray[np.float32]


class TableBackbone:
    """Reads forwards the way the engine does, and remembers them."""

    def __init__(self, row_after: Callable[[tuple[int, ...]], Row]) -> None:
        self._row_after = row_after
        self.tokens: list[int] = []
        self.forwards: list[Forward] = []

    def read(self, forward: Forward) -> Reading:
        assert 0 <= forward.at <= len(self.tokens)
        assert forward.token_ids or (forward.branches and forward.at)
        assert not forward.num_states, "a table has no states"
        assert 0 <= forward.num_logits <= len(forward.token_ids)
        self.forwards.append(forward)
        del self.tokens[forward.at :]
        self.tokens.extend(forward.token_ids)
        ends = range(len(self.tokens) - forward.num_logits + 1, len(self.tokens) + 1)
        return Reading(
            logits=_stacked([self._row_after(tuple(self.tokens[:end])) for end in ends]),
            branch_logits=tuple(
                _stacked(
                    [
                        self._row_after((*self.tokens[: forward.branches_behind], *branch[:end]))
                        for end in range(max(1, len(branch) - forward.num_branch_logits + 1), len(branch) + 1)
                    ]
                )
                for branch in forward.branches
            ),
        )


def _stacked(rows: list[Row]) -> torch.Tensor:
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty((0, 0))


def random_rows(vocab_size: int, *, seed: int = 0, scale: float = 3.0) -> Callable[[tuple[int, ...]], Row]:
    """Random logits that depend on every token before, and on nothing else."""

    def row_after(tokens: tuple[int, ...]) -> Row:
        digest = hashlib.blake2b(repr((seed, tokens)).encode(), digest_size=8).digest()
        generator = np.random.default_rng(int.from_bytes(digest))
        return (generator.standard_normal(vocab_size) * scale).astype(np.float32)

    return row_after


def run_program(program: Program[Outcome], backbone: TableBackbone) -> Outcome:
    """Run a program to its end."""
    reading: Reading | None = None
    while True:
        try:
            forward = next(program) if reading is None else program.send(reading)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        reading = backbone.read(forward)


@cache
def tiny_view() -> BackboneView:
    """The view of a tiny tokenizer; its logits have `len(view.vocabulary)` columns."""
    return BackboneView.from_tokenizer(make_tiny_tokenizer(), PromptFormat.compact())


def scripted_rows(
    vocab_size: int, prompt: Sequence[int], reply: Sequence[int], *, strength: float = 20.0
) -> Callable[[tuple[int, ...]], Row]:
    """Logits that want `reply` after `prompt`, token by token; elsewhere they are random."""
    wanted = tuple(prompt) + tuple(reply)
    noise = random_rows(vocab_size, scale=1.0)

    def row_after(tokens: tuple[int, ...]) -> Row:
        row = noise(tokens)
        if len(prompt) <= len(tokens) < len(wanted) and wanted[: len(tokens)] == tokens:
            row[wanted[len(tokens)]] += strength
        return row

    return row_after
