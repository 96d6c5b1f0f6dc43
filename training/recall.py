"""Sequences that teach copying within the context, before any meaning: random pieces, then the same in another order.

Copying appears abruptly in small backbones, and late when only conversations are read. Here every token behind
the first of a repeated piece can be known from the context alone.
"""

from __future__ import annotations

from random import Random

from .batches import LabelledSequence


def recall_sequence(seed: int, number: int, *, token_ids: tuple[int, ...], bos_id: int) -> LabelledSequence:
    """Sequence `number` of an endless series; pieces are drawn from `token_ids`."""
    draw = Random(f"{seed}:{number}")
    # Few tokens at first and in most sequences: the mechanism forms on them, then spreads to all.
    reach = int(16 * (len(token_ids) / 16) ** draw.random())
    known = token_ids[:reach]
    separator = draw.choice(known)
    pieces = [draw.choices(known, k=draw.randint(2, 4)) for _ in range(draw.randint(2, 10))]
    ids, weights = [bos_id], [0.0]
    for turn in range(draw.randint(3, 5)):
        for piece in pieces:
            ids += [separator, *piece]
            weights += [0.0, 0.0] + [float(turn > 0)] * (len(piece) - 1)
        draw.shuffle(pieces)
    return LabelledSequence(tuple(ids), tuple(weights))
