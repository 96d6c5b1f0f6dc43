"""The events of a turn as pieces of a streamed message."""

from __future__ import annotations

from typing import Any

from ..events import ArgumentsDelta, CallReady, CallStarted, ReasoningDelta, TextDelta, TurnEvent
from .reply import call_as_dict, slots_as_dict


class Deltas:
    """What each event of one turn adds to its message.

    A call is told while it is written only where it cannot be given up for any reason but length, which the
    stream then ends with: the first one, and not if a doubtful call may be dropped. Any other is told once
    it is sure, since what a client was told cannot be taken back.

    Args:
        may_drop_calls: whether a call may be given up for its confidence.
    """

    def __init__(self, *, may_drop_calls: bool) -> None:
        self._may_drop_calls = may_drop_calls
        self._num_calls = 0
        self._told_id: str | None = None
        self._is_begun = False

    def of(self, event: TurnEvent) -> dict[str, Any] | None:
        """The piece, or None when the event adds nothing."""
        delta = self._delta(event)
        if delta is None or self._is_begun:
            return delta
        self._is_begun = True
        return {"role": "assistant", "content": "", **delta}

    def _delta(self, event: TurnEvent) -> dict[str, Any] | None:
        match event:
            case TextDelta():
                return {"content": event.text}
            case ReasoningDelta():
                return {"reasoning_content": event.text}
            case CallStarted() if not self._num_calls and not self._may_drop_calls:
                self._told_id = event.call_id
                function = {"name": event.name, "arguments": ""}
                return _call_piece(0, id=event.call_id, type="function", function=function)
            case ArgumentsDelta() if event.call_id == self._told_id:
                return _call_piece(0, function={"arguments": event.text})
            case CallReady():
                return self._ready(event)
            case _:
                return None

    def _ready(self, event: CallReady) -> dict[str, Any]:
        index = self._num_calls
        self._num_calls += 1
        if event.call.id != self._told_id:
            return _call_piece(index, **call_as_dict(event.call))
        self._told_id = None
        return _call_piece(
            index,
            function={"arguments": ""},  # OpenAI's client wants a function in every piece
            confidence=event.call.confidence,
            slots=slots_as_dict(event.call.slots),
        )


def _call_piece(index: int, **parts: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **parts}]}
