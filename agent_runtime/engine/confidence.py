"""How sure we are of a call and of each of its values, read from how it was filled.

What is known of a filled slot is the same for every fill: how its tokens were decided, whether the value
stands in the conversation, what else the call says. With a head bundle that has a confidence head, that
becomes a calibrated probability; without one, confidence is the product of the decisions' probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..messages import EvidenceSpan, Message, ToolCall
from .fill import FilledCall


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a call is judged in.

    Attributes:
        messages: the conversation.
        evidence: where each value was read, by path; None where it stands nowhere.
        earlier: calls of the same turn.
        num_tools: tools that could have been called.
        call_probability: that there is a call at all.
    """

    messages: Sequence[Message]
    evidence: Mapping[str, EvidenceSpan | None]
    earlier: Sequence[ToolCall] = ()
    num_tools: int = 1
    call_probability: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConfidence:
    """Probabilities that a call is right, and that each of its values is, given the tool."""

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
