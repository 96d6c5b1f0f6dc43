"""Spans the span head proposes to copy, as values of slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from heads import SlotReading, best_spans, collate_messages, collate_slots

from ...scaffold.slot_tokens import copied_text, first_forms
from ...scaffold.vocabulary import TokenVocabulary
from .call_reading import CallReading, Row, SlotRead, log_softmax
from .loaded import LoadedHeads

_MOST_PROPOSALS = 4
_MOST_COPYABLE = 3072
"""Prompt tokens that may be copied, the latest of them: attention over them is quadratic."""

_LEAST_SCORE = -30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A part of the prompt that a slot's value may be.

    Attributes:
        text: as the slot spells it, without the space of its own.
        probability: that it is the value, calibrated.
        share: the same as the head said it, all places where the text stands together.
        start: prompt token it begins with.
        end: prompt token behind it.
    """

    text: str
    probability: float
    share: float
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What the span head says of a call's slots, by their numbers in the reading.

    Attributes:
        proposed: spans of every slot that was asked about, most probable first.
        given: what the messages add to the log-odds that the slot's argument is given.
    """

    proposed: Mapping[int, tuple[Copy, ...]] = field(default_factory=dict)
    given: Mapping[int, float] = field(default_factory=dict)


def propose_copies(
    heads: LoadedHeads,
    reading: CallReading,
    vocabulary: TokenVocabulary,
    copyable: Sequence[tuple[int, int]],
) -> Copies:
    """Ask the span head about every slot that holds no constant.

    Args:
        heads: with or without a span head.
        reading: of the call.
        vocabulary: what tokens write.
        copyable: runs of prompt tokens that are content of messages, half-open.
    """
    span = heads.bundle.span
    asked = [number for number, slot in enumerate(reading.slots) if not slot.branch.slot.constants]
    places = [place for start, end in copyable for place in range(start, end) if place]
    places = places[-_MOST_COPYABLE:]
    if span is None or not asked or not places:
        return Copies()
    slots = [reading.slots[number] for number in asked]
    messages = collate_messages(
        [(reading.prompt_states, reading.prompt_ids)],
        [places],
        [first_scores([slot.row for slot in slots], reading.prompt_ids, vocabulary)],
    )
    mask = heads.bundle.config.mask_token_id
    inputs = collate_slots(
        [
            [
                SlotReading(anchor=slot.anchor, draft=(mask,), kind=slot.kind, end_ids=slot.end_ids)
                for slot in slots
            ]
        ]
    )
    diffusion = heads.bundle.config.diffusion
    most = _MOST_PROPOSALS if diffusion is None else max(_MOST_PROPOSALS, diffusion.num_copies)
    scores = span(inputs, messages, heads.ends)
    found = best_spans(scores, k=most + 1)
    temperature = heads.bundle.calibration.span
    shares = temperature.probability(found.probability.clamp(1e-6, 1 - 1e-6).logit())[0].tolist()
    spans = torch.stack((found.start[0], found.end[0]), -1).tolist()
    said = found.probability[0].tolist()
    return Copies(
        proposed={
            number: _copies(slot, reading, vocabulary, zip(spans[row], shares[row], said[row], strict=True))
            for row, (number, slot) in enumerate(zip(asked, slots, strict=True))
        },
        given=dict(zip(asked, scores.given[0].tolist(), strict=True)),
    )


def first_scores(rows: Sequence[Row], prompt_ids: Sequence[int], vocabulary: TokenVocabulary) -> Tensor:
    """Log-probability of each prompt token as the first of each slot's value, (slots, tokens)."""
    forms = torch.from_numpy(first_forms(vocabulary))[torch.tensor(prompt_ids)]
    scores = torch.stack([torch.from_numpy(log_softmax(row)) for row in rows])[:, forms.clamp(min=0)]
    return scores.masked_fill(forms < 0, _LEAST_SCORE).clamp(min=_LEAST_SCORE)


def _copies(
    slot: SlotRead,
    reading: CallReading,
    vocabulary: TokenVocabulary,
    spans: zip[tuple[list[int], float, float]],
) -> tuple[Copy, ...]:
    found: dict[str, Copy] = {}
    for (start, end), probability, share in spans:
        if end <= start:
            continue
        raw = vocabulary.text_of(reading.prompt_ids[start:end])
        text = copied_text(raw, is_string=slot.branch.slot.is_string)
        if text is None:
            continue
        known = found.get(text)
        found[text] = (
            replace(known, share=known.share + share)
            if known is not None
            else Copy(text=text, probability=probability, share=share, start=start, end=end)
        )
    return tuple(found.values())
