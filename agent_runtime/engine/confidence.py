"""How sure we are of a call and of each of its values, read from how it was filled.

What is known of a filled slot is the same for every fill: how its tokens were decided, whether the value
stands in the conversation, what else the call says. With a head bundle that has a confidence head, that
becomes a calibrated probability; without one, confidence is the product of the decisions' probabilities.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch

from heads import (
    Calibration,
    CallFeatures,
    ConfidenceHead,
    HeadBundle,
    SlotFeatures,
    call_tensor,
    slot_tensor,
)

from ..evidence import numbers_in, places_of, support_of
from ..messages import EvidenceSpan, Message, ToolCall
from ..scaffold.branches import slot_kind
from ..scaffold.fitting import same_json
from ..scaffold.shape import ConstantsShape
from .fill import Decision, FilledCall, FilledSlot
from .head_fill.weighing import WeighedSlot

_SUREST = 20.0  # log-odds beyond this are not told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a call is judged in.

    Attributes:
        messages: the conversation.
        evidence: where each value was read, by path; None where it stands nowhere.
        earlier: calls of the same turn.
        num_tools: tools that could have been called.
        call_probability: that there is a call at all.
        is_denoised: whether heads filled it, and the backbone did not verify every token.
        weighed: the slots whose values were weighed against others they may have.
    """

    messages: Sequence[Message]
    evidence: Mapping[str, EvidenceSpan | None]
    earlier: Sequence[ToolCall] = ()
    num_tools: int = 1
    call_probability: float = 1.0
    is_denoised: bool = False
    weighed: tuple[WeighedSlot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConfidence:
    """Probabilities that a call is right, and that each of its values is, given that the tool is."""

    call: float
    slots: Mapping[str, float]


class ReadsConfidence(Protocol):
    """Says how sure we are of a call."""

    def read(self, call: FilledCall, context: CallContext) -> CallConfidence:
        """Probabilities of a filled call and of its slots."""
        ...


class PlainConfidence:
    """Without a learned head: the products of the probabilities of all decisions."""

    def read(self, call: FilledCall, context: CallContext) -> CallConfidence:
        """See `ReadsConfidence`."""
        return CallConfidence(
            call=call.confidence, slots={path: slot.confidence for path, slot in call.slots.items()}
        )


class LearnedConfidence:
    """Calibrated probabilities of a confidence head."""

    def __init__(self, head: ConfidenceHead, calibration: Calibration) -> None:
        """Take a copy of the head to the CPU: it is small, and what it reads is made there."""
        self._head = copy.deepcopy(head).float().cpu().eval()
        self._calibration = calibration

    @torch.inference_mode()
    def read(self, call: FilledCall, context: CallContext) -> CallConfidence:
        """See `ReadsConfidence`. A call or value that was cut off is not right."""
        known = KnownCall(call, context)
        slots: dict[str, float] = {}
        if call.slots:
            kinds = torch.tensor(known.slot_kinds(self._head.config.kind_of))
            odds = self._head(slot_tensor(known.slot_features()), kinds)
            stated = self._calibration.confidence.probability(odds).tolist()
            slots = {
                path: 0.0 if slot.has_overflowed else probability
                for (path, slot), probability in zip(call.slots.items(), stated, strict=True)
            }
        if call.is_cut_short or any(slot.has_overflowed for slot in call.slots.values()):
            return CallConfidence(call=0.0, slots=slots)
        odds = self._head.of_calls(call_tensor([known.call_features(tuple(slots.values()))]))
        return CallConfidence(call=float(self._calibration.call.probability(odds)[0]), slots=slots)


def confidence_of(bundle: HeadBundle | None) -> ReadsConfidence:
    """What a bundle says of calls, where it has a head for it."""
    if bundle is None or bundle.confidence is None:
        return PlainConfidence()
    return LearnedConfidence(bundle.confidence, bundle.calibration)


class KnownCall:
    """A filled call in its conversation, as the features that a confidence head reads."""

    def __init__(self, call: FilledCall, context: CallContext) -> None:
        """Look at nothing yet."""
        self._call = call
        self._context = context

    def slot_kinds(self, kind_of: Callable[[str], int]) -> list[int]:
        """The numbers of the slots' kinds, in the order of the call's slots."""
        return [
            kind_of("other" if slot.slot is None else slot_kind(slot.slot.shape))
            for slot in self._call.slots.values()
        ]

    def slot_features(self) -> list[SlotFeatures]:
        """Of every slot, in the call's order."""
        return [self._features_of(path, slot) for path, slot in self._call.slots.items()]

    def call_features(self, stated: Sequence[float]) -> CallFeatures:
        """Of the call as a whole.

        Args:
            stated: the confidences of its values.
        """
        call, context = self._call, self._context
        logs = [math.log(max(probability, 1e-6)) for probability in stated]
        probability = min(max(context.call_probability, 1e-9), 1 - 1e-9)
        free = [
            context.evidence.get(path)
            for path, slot in call.slots.items()
            if slot.slot is not None and not isinstance(slot.slot.shape, ConstantsShape)
        ]
        found = [span for span in free if span is not None]
        return CallFeatures(
            log_probability=math.fsum(logs),
            lowest_log_probability=min(logs, default=0.0),
            name_log_probability=_sum(call.name_decisions),
            name_margin=_lowest_margin(call.name_decisions),
            name_entropy=max((d.entropy for d in call.name_decisions), default=0.0),
            structure_log_probability=_sum(call.structure_decisions),
            lead_log_probability=math.fsum(_sum(slot.leading) for slot in call.slots.values()),
            call_log_odds=math.log(probability / (1 - probability)),
            num_slots=len(call.slots),
            num_tools=context.num_tools,
            num_earlier=len(context.earlier),
            num_unread=self._num_unread,
            share_found=len(found) / len(free) if free else 1.0,
            share_shared=1.0 - len(set(found)) / len(found) if found else 0.0,
            num_words=self._num_words,
            is_denoised=context.is_denoised,
        )

    def _features_of(self, path: str, slot: FilledSlot) -> SlotFeatures:
        context, decisions = self._context, slot.decisions
        logs = [decision.logprob for decision in decisions]
        entropies = [decision.entropy for decision in decisions]
        span = context.evidence.get(path)
        text = "" if span is None else context.messages[span.message_index].content
        description = "" if slot.slot is None else slot.slot.description
        return SlotFeatures(
            log_probability=math.fsum(logs),
            lead_log_probability=_sum(slot.leading),
            lowest_log_probability=min(logs, default=0.0),
            lowest_margin=_lowest_margin(decisions),
            mean_entropy=math.fsum(entropies) / len(entropies) if entropies else 0.0,
            highest_entropy=max(entropies, default=0.0),
            num_decisions=len(decisions),
            num_choices=len(slot.slot.constants) if slot.slot is not None else 0,
            is_found=span is not None,
            is_latest=span is not None and span.message_index == self._latest_user,
            num_places=places_of(slot.value, text) if span is not None else 0,
            support=0.0 if span is None else support_of(span, text, path, description),
            is_shared=span is not None and self._readers[span] > 1,
            item=_item(path),
            num_twins=self._twins[_list_of(path), _same(slot.value)] - 1 if _list_of(path) else 0,
            is_repeated=self._is_repeated(path, slot.value),
            num_rivals=self._num_rivals(slot),
            is_cut_short=self._is_cut_short,
            name_log_probability=_sum(self._call.name_decisions),
            num_slots=len(self._call.slots),
            is_denoised=context.is_denoised,
        )

    @cached_property
    def _readers(self) -> Counter[EvidenceSpan]:
        return Counter(span for span in self._context.evidence.values() if span is not None)

    @cached_property
    def _twins(self) -> Counter[tuple[str, str]]:
        """How often each value stands in each list of the call."""
        return Counter((_list_of(path), _same(slot.value)) for path, slot in self._call.slots.items())

    @cached_property
    def _is_cut_short(self) -> bool:
        return self._call.is_cut_short or any(slot.has_overflowed for slot in self._call.slots.values())

    @cached_property
    def _latest_user(self) -> int:
        messages = self._context.messages
        return max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)

    @cached_property
    def _latest_text(self) -> str:
        return "" if self._latest_user < 0 else self._context.messages[self._latest_user].content

    @cached_property
    def _num_words(self) -> int:
        return len(self._latest_text.split())

    @cached_property
    def _said_words(self) -> frozenset[str]:
        texts = (message.content for message in self._context.messages if message.role == "user")
        return frozenset(word for text in texts for word in re.findall(r"\w+", text.lower()))

    def _spans(self) -> Iterator[EvidenceSpan]:
        """Everything that was read for this call and the turn's earlier ones."""
        yield from self._readers
        for call in self._context.earlier:
            yield from (detail.evidence for detail in call.slots.values() if detail.evidence is not None)

    @cached_property
    def _num_unread(self) -> int:
        taken = [(span.start, span.end) for span in self._spans() if span.message_index == self._latest_user]
        return sum(
            not any(start < other_end and other_start < end for other_start, other_end in taken)
            for start, end in numbers_in(self._latest_text)
        )

    def _num_rivals(self, slot: FilledSlot) -> int:
        if slot.slot is not None and isinstance(slot.slot.shape, ConstantsShape):
            others = (value for value in slot.slot.shape.values if not same_json(value, slot.value))
            return sum(isinstance(value, str) and value.lower() in self._said_words for value in others)
        return self._num_unread if isinstance(slot.value, (int, float)) else 0

    def _is_repeated(self, path: str, value: Any) -> bool:
        return any(
            call.name == self._call.name and path in call.slots and same_json(call.slots[path].value, value)
            for call in self._context.earlier
        )


def _sum(decisions: Sequence[Decision]) -> float:
    return math.fsum(decision.logprob for decision in decisions)


def _lowest_margin(decisions: Sequence[Decision]) -> float:
    return min((decision.margin for decision in decisions), default=_SUREST)


def _list_of(path: str) -> str:
    """The path with its item numbers left open; empty outside lists."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", path) if _item(path) else ""


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _item(path: str) -> int:
    """The place of the innermost list item in its list, from 1; 0 outside lists."""
    return next((int(part) + 1 for part in reversed(path.split(".")) if part.isdigit()), 0)
