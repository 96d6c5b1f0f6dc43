"""What a streaming caller sees: one class per event, plain frozen data.

`runtime.stream` yields the events of one turn, `runtime.stream_run` those of a whole run. Order within a
turn: TurnStarted, then ReasoningDelta / TextDelta or CallStarted / ArgumentsDelta / CallReady, then
TurnFinished. Steps of drafting (DenoiseStep) are told only on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .messages import FilledBy, Run, ToolCall, ToolResult, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """The backbone begins to read; `turn_index` counts from 0 within a run."""

    turn_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer, never of the reasoning."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """The tool is named; its arguments are being filled."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentsDelta:
    """A piece of a call's arguments that no longer changes: the pieces of a call that is made are its JSON.

    A value comes whole, as soon as it is settled. A call that is given up ends in the middle.
    """

    call_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTrace:
    """One value while it settles. `text` shows open positions as `_`; `confidence` is that of the rest."""

    path: str
    text: str
    confidence: float
    filled_by: FilledBy
    num_open: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseStep:
    """With `trace=True`: one step in which heads drafted a call's values, or the backbone corrected them.

    `kind` is `propose` (constants and copies, behind the one forward over all slots), `denoise` (a pass of
    the diffusion head) or `read` (the backbone read the draft; what it would not have written is gone).
    """

    call_id: str
    step: int
    kind: Literal["propose", "denoise", "read"]
    slots: tuple[SlotTrace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReady:
    """The call is complete and valid."""

    call: ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """The turn, whole."""

    turn: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReady:
    """A tool came back (or failed)."""

    result: ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run, whole."""

    run: Run


TurnEvent = (
    TurnStarted
    | TextDelta
    | ReasoningDelta
    | CallStarted
    | ArgumentsDelta
    | DenoiseStep
    | CallReady
    | TurnFinished
)
RunEvent = TurnEvent | ResultReady | RunFinished
