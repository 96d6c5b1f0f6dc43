"""The span head's copies as the diffusion head reads them: tokens of the slot, spelt as serving spells them.

A copy is seldom a run of the prompt's own tokens: a word is written without its space, a quote is escaped, a
number loses its commas. So spans become text and the text becomes tokens, outside of any gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agent_runtime.scaffold.slot_tokens import copied_text
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from heads import SpanScores, best_spans

if TYPE_CHECKING:
    from .inputs import HeadTensors

_REMEMBERED = 200_000
"""Spellings kept; the words of conversations come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies of all slots of a batch."""

    tokens: Tensor  # (slots, copies, positions); -1 behind their ends
    shares: Tensor  # (slots, copies)


class CopySpeller:
    """Writes parts of a prompt as a slot would."""

    def __init__(self, vocabulary: TokenVocabulary, encode: Callable[[str], Sequence[int]]) -> None:
        self._vocabulary = vocabulary
        self._encode = encode
        self._known: dict[tuple[tuple[int, ...], bool, bool], tuple[int, ...]] = {}

    def spelt(self, token_ids: tuple[int, ...], *, is_string: bool, has_space: bool) -> tuple[int, ...]:
        """The tokens of the value that is copied from these; none where that is no value."""
        key = (token_ids, is_string, has_space)
        found = self._known.get(key)
        if found is None:
            text = copied_text(self._vocabulary.text_of(token_ids), is_string=is_string)
            found = () if text is None else tuple(self._encode(" " + text if has_space else text))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found


@torch.no_grad()
def copies_of(
    batch: HeadTensors, scores: SpanScores, speller: CopySpeller, *, num_copies: int, num_positions: int
) -> Copies:
    """The most probable copies of every slot that was asked for spans.

    Args:
        batch: of the slots.
        scores: of its `span_grid`.
        speller: of the tokenizer.
        num_copies: of a slot at most.
        num_positions: tokens of a copy that are kept.
    """
    best = best_spans(scores, k=num_copies + 1)
    columns, sizes = best.column.tolist(), (best.end - best.start).tolist()
    probabilities, ids = best.probability.tolist(), batch.tokens.reshape(-1)[batch.copied_from].tolist()
    kinds = torch.stack((batch.is_string, batch.has_space), -1).tolist()
    is_given = batch.is_given.tolist()
    tokens = [[[-1] * num_positions] * num_copies] * len(kinds)
    shares = [[0.0] * num_copies] * len(kinds)
    for group, slots in enumerate(batch.span_grid.tolist()):
        for row, slot in enumerate(slots):
            if slot < 0 or not is_given[slot]:
                continue
            is_string, has_space = kinds[slot]
            found: dict[tuple[int, ...], float] = {}
            for column, size, share in zip(
                columns[group][row], sizes[group][row], probabilities[group][row], strict=True
            ):
                span = tuple(ids[group][column : column + size])
                value = speller.spelt(span, is_string=is_string, has_space=has_space) if size else ()
                if value:
                    found[value] = found.get(value, 0.0) + share
            kept = list(found)[:num_copies]
            missing = num_copies - len(kept)
            tokens[slot] = [
                *([*value[:num_positions], *[-1] * (num_positions - len(value))] for value in kept),
                *[[-1] * num_positions] * missing,
            ]
            shares[slot] = [*(found[value] for value in kept), *[0.0] * missing]
    shape, device = (len(kinds), num_copies), batch.tokens.device
    return Copies(
        tokens=torch.tensor(tokens, dtype=torch.long, device=device).view(*shape, num_positions),
        shares=torch.tensor(shares, device=device).view(shape),
    )
