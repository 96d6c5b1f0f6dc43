"""A conversation being written, with the evidence of its calls."""

from __future__ import annotations

from typing import Any

from agent_runtime.messages import EvidenceSpan

from ..example import ValuePath, leaves
from . import questions, requests
from .draw import Draw
from .kinds import Piece, Said
from .tools import DrawnTool


def draw_system(draw: Draw) -> str:
    """A system message; mostly there is none."""
    return questions.system_prompt(draw) if draw.chance(0.08) else ""


class Conversation:
    """Messages being written, with the evidence of the calls in them."""

    def __init__(self, draw: Draw, *, system: str | None = None) -> None:
        """`system` is the system message, "" for none; without it one is drawn, or none."""
        self.draw = draw
        self.messages: list[dict[str, Any]] = []
        self.evidence: dict[ValuePath, EvidenceSpan | None] = {}
        self._spans: dict[str, EvidenceSpan] = {}
        system = draw_system(draw) if system is None else system
        if system:
            self.say("system", system)

    def user(self, pieces: list[Piece]) -> None:
        """A user message; its copied values become evidence for the calls that follow."""
        if self.draw.chance(0.12):
            pieces = requests.add_noise(self.draw, pieces)
        text, spans = requests.write(pieces)
        stripped = len(text) - len(text.lstrip())
        text = text.strip()
        for path, (start, end) in spans.items():
            self._spans[path] = EvidenceSpan(
                message_index=len(self.messages), start=start - stripped, end=end - stripped
            )
        self.messages.append({"role": "user", "content": text})

    def found(self, path: str, text: str) -> None:
        """Note that the last message holds the value at `path` (`call:parameter`) as `text`."""
        start = self.messages[-1]["content"].find(text)
        if start >= 0:
            self._spans[path] = EvidenceSpan(
                message_index=len(self.messages) - 1, start=start, end=start + len(text)
            )

    def carry_over(self, names: set[str], from_call: int, to_call: int) -> None:
        """Values a later call takes over from an earlier one keep their evidence."""
        for path, span in list(self._spans.items()):
            call, _, rest = path.partition(":")
            if call == str(from_call) and rest.split(".", 1)[0] in names:
                self._spans[f"{to_call}:{rest}"] = span

    def share(self, path: str, other: str) -> None:
        """The value at `other` (`call:parameter`) is said where the one at `path` is."""
        for known, span in list(self._spans.items()):
            if known == path or known.startswith(f"{path}."):
                self._spans.setdefault(other + known[len(path) :], span)

    def say(self, role: str, text: str) -> None:
        """Any message without values."""
        self.messages.append({"role": role, "content": text})

    def call(self, calls: list[tuple[DrawnTool, dict[str, Said]]], first: int = 0) -> None:
        """The assistant's calls; `first` is the number the request gave to the first of them."""
        index = len(self.messages)
        listed = []
        for number, (tool, given) in enumerate(calls):
            arguments = {p.name: given[p.name][0] for p in tool.parameters if p.name in given}
            listed.append({"name": tool.name, "arguments": arguments})
            for path, _ in leaves(arguments):
                self.evidence[index, number, path] = self._spans.get(
                    f"{first + number}:{path}"
                ) or self._spans.get(f"-1:{path}")
        self.messages.append({"role": "assistant", "content": "", "tool_calls": listed})
