"""Labelled sequences for tests of batches and training. Light to import, since data processes import it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from training.batches import LabelledSequence

VOCABULARY = 40


def sequences(start: int, stride: int) -> Iterator[LabelledSequence]:
    """An endless fixed order of counting sequences; number `n` depends on `n` alone."""
    number = start
    while True:
        draw = Random(number)
        first = draw.randrange(VOCABULARY)
        length = draw.choice((0, 5, 9, 14, 20, 30))
        ids = tuple((first + at) % VOCABULARY for at in range(length))
        yield LabelledSequence(ids, tuple(float(at > 0) for at in range(length)))
        number += stride


def broken(start: int, stride: int) -> Iterator[LabelledSequence]:
    """A source that fails."""
    raise ValueError(f"no row {start}")
    yield


def full_sequences(start: int, stride: int) -> Iterator[LabelledSequence]:
    """Sequences of many lengths, none of them empty: so many numbers are so many rows."""
    number = start
    while True:
        draw = Random(number)
        ids = tuple(draw.randrange(VOCABULARY) for _ in range(draw.randint(4, 16)))
        yield LabelledSequence(ids, tuple(float(at > 0) for at in range(len(ids))))
        number += stride
