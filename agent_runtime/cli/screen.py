"""What is shown in a terminal: the answer as it is written, calls and results as they happen.

Text of models and tools is shown, never obeyed: control characters are made visible.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from ..events import (
    CallReady,
    CallStarted,
    DenoiseStep,
    ReasoningDelta,
    ResultReady,
    RunEvent,
    RunFinished,
    TextDelta,
    TurnFinished,
)
from ..messages import Run, ToolCall, ToolResult
from ..result_text import as_json_value, truncated

MAX_SHOWN_CHARS = 400
"""Characters of a result that are shown; the model reads more."""


def visible(text: str) -> str:
    """The text with control characters spelt out, so that it cannot move the cursor or set colours."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) != "Cc" else f"\\x{ord(letter):02x}"
        for letter in text
    )


class Screen:
    """Shows the events of a run.

    Args:
        answers: where the answer goes.
        progress: where calls, results and timings go.
        clock: seconds.
    """

    def __init__(
        self, answers: Console, progress: Console, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._answers = answers
        self._progress = progress
        self._clock = clock
        self._started = clock()
        self._is_in_line = False
        self._is_reasoning = False

    def begin(self) -> None:
        """A new question."""
        self._started = self._clock()
        self._is_in_line = self._is_reasoning = False

    def show(self, event: RunEvent) -> None:
        """Show one event."""
        match event:
            case TextDelta(text=text):
                self._write(text)
            case ReasoningDelta(text=text):
                self._reason(text)
            case CallStarted(name=name):
                self._end_line()
                if self._progress.is_terminal:
                    self._progress.print(Text(f"→ {visible(name)} …", style="dim"), end="\r")
            case CallReady(call=call):
                self._end_line()
                self._progress.print(call_line(call), soft_wrap=True)
            case ResultReady(result=result):
                self._end_line()
                self._progress.print(result_line(result), soft_wrap=True)
            case TurnFinished(turn=turn):
                if turn.stop_reason in ("length", "abstained"):
                    self._end_line()
                    self._progress.print(Text(_STOPS[turn.stop_reason], style="yellow"))
            case RunFinished(run=run):
                self._end_line()
                self._progress.print(Text(self._summary(run), style="dim"))

    def interrupt(self, text: str) -> None:
        """Say that a run ended early."""
        self._end_line()
        self._progress.print(Text(visible(text), style="yellow"), soft_wrap=True)

    def _write(self, text: str) -> None:
        if self._is_reasoning:
            self._end_line()
        self._answers.print(Text(visible(text)), end="", soft_wrap=True)
        self._is_in_line = True

    def _reason(self, text: str) -> None:
        self._progress.print(Text(visible(text), style="dim italic"), end="", soft_wrap=True)
        self._is_in_line = self._is_reasoning = True

    def _end_line(self) -> None:
        if self._is_in_line:
            (self._progress if self._is_reasoning else self._answers).print()
        self._is_in_line = self._is_reasoning = False

    def _summary(self, run: Run) -> str:
        seconds = self._clock() - self._started
        num_tokens = sum(turn.usage.completion_tokens for turn in run.turns)
        num_forwards = sum(turn.usage.forwards for turn in run.turns)
        parts = [f"{seconds:.2f} s", _counted(len(run.turns), "turn")]
        if run.tool_results:
            parts.append(_counted(len(run.tool_results), "tool call"))
        if num_tokens:
            parts.append(f"{_counted(num_tokens, 'token')} in {_counted(num_forwards, 'forward')}")
        return " · ".join(parts)


_STOPS = {
    "length": "(cut: max_tokens, or it only repeated itself)",
    "abstained": "(a call was considered, but it was not sure enough: abstain_below)",
}


def call_line(call: ToolCall) -> Text:
    """A call as one line, with how sure the model is."""
    arguments = ", ".join(
        f"{name}={json.dumps(as_json_value(value), ensure_ascii=False)}"
        for name, value in call.arguments.items()
    )
    line = Text("→ ", style="cyan")
    line.append(visible(call.name), style="bold cyan")
    line.append(visible(f"({arguments})"), style="cyan")
    line.append(f"  {call.confidence:.0%} sure", style="dim")
    return line


def step_lines(step: DenoiseStep) -> Text:
    """One step of a draft, a line for each value: where it stands, how sure it is, who proposed it."""
    lines = Text(f"{step.step}. {_STEPS[step.kind]}", style="bold")
    width = max((len(slot.path) for slot in step.slots), default=0)
    for slot in step.slots:
        lines.append(f"\n   {visible(slot.path):<{width}}  ", style="dim")
        lines.append(visible(slot.text), style="yellow" if slot.num_open else "green")
        details = f"  {slot.confidence:.0%} {slot.filled_by}"
        lines.append(details if not slot.num_open else f"  {slot.num_open} open", style="dim")
    return lines


_STEPS = {
    "propose": "proposed: constants and copies",
    "denoise": "denoised",
    "read": "read by the backbone",
}


def result_line(result: ToolResult) -> Text:
    """A result as one line, shortened."""
    shown, _ = truncated(" ".join(result.message.split()), MAX_SHOWN_CHARS)
    is_ok = result.status == "ok"
    line = Text("← " if is_ok else "✗ ", style="green" if is_ok else "red")
    line.append(visible(shown), style="green" if is_ok else "red")
    details = f"  {result.tool_name}, {result.duration_ms:.0f} ms"
    if result.attempts > 1:
        details += f", {result.attempts} attempts"
    line.append(visible(details), style="dim")
    return line


def as_json(value: Any) -> str:
    """A turn or a run as readable JSON."""
    return json.dumps(as_json_value(value), ensure_ascii=False, indent=2)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
