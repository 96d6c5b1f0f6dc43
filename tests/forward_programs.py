"""Turn programs for tests of the engine: greedy decoding, and random walks over every kind of forward."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_runtime.engine.program import Forward, Program


def greedy(prompt: Sequence[int], num_tokens: int) -> Program[list[int]]:
    """Read the prompt, then write the most probable token so often."""
    reading = yield Forward(prompt, at=0)
    written: list[int] = []
    for _ in range(num_tokens):
        written.append(int(reading.logits[-1].argmax()))
        reading = yield Forward(written[-1:], at=len(prompt) + len(written) - 1)
    return written


def wander(
    seed: int, vocab_size: int, *, shared_prompt: Sequence[int] = ()
) -> Program[list[tuple[int, ...]]]:
    """Prompts, literals, single tokens, steps back, many and no logits; returns the exact bits it saw."""
    draw = random.Random(seed)
    prompt = [*shared_prompt, *(draw.randrange(vocab_size) for _ in range(draw.randint(1, 200)))]
    seen: list[tuple[int, ...]] = []
    reading = yield Forward(prompt, at=0, num_logits=draw.choice([0, 1, 1, min(5, len(prompt))]))
    length = len(prompt)
    for _ in range(draw.randint(3, 12)):
        for row in reading.logits:
            best = int(row.argmax())
            seen.append((best, *row[:4].view(-1).tolist()))
        at = length if draw.random() < 0.7 else draw.randint(max(0, length - 20), length)
        num_tokens = draw.choice([1, 1, 1, 4, 9, 70])
        follow = seen[-1][0] if seen else 1
        tokens = [follow, *(draw.randrange(vocab_size) for _ in range(num_tokens - 1))]
        reading = yield Forward(tokens, at=at, num_logits=draw.randint(1, num_tokens))
        length = at + num_tokens
    return seen
