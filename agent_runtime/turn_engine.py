"""What the runtime asks of an engine, and in what words. Free of torch.

`model_engine.ModelEngine` is the real one; `testing.ScriptedEngine` answers from a script.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .config import DeploymentConfig
from .errors import ToolChoiceError
from .events import TurnEvent
from .messages import Message, Turn

if TYPE_CHECKING:
    from .prompt import Prompt
    from .tools import Tool

OnEvent = Callable[[TurnEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Whether a turn may (`auto`), must not (`none`) or must (`required`) call a tool, and which one."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOrder:
    """One turn as it was ordered, checked: what is said, what may be called, and how.

    Attributes:
        messages: the conversation.
        tools: what may be called.
        tool_choice: whether a tool is called, and which.
        deployment: the runtime's, with what this turn wants differently.
        stop: texts that end the reply where they appear; they are not part of it.
        top_logprobs: None for no log-probabilities, else how many alternatives come with each token.
        is_traced: whether the steps in which heads draft a call are told.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    deployment: DeploymentConfig
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    is_traced: bool = False


class TurnEngine(Protocol):
    """Makes turns. Its methods may be used from several event loops at once."""

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        """Make a turn; all its events but the last, `TurnFinished`, are told on this event loop in order."""
        ...

    async def prompt(self, order: TurnOrder) -> Prompt:
        """What the backbone would read for this order."""
        ...

    async def warm_up(self) -> None:
        """Load what is loaded late, so that the first turn is as fast as any."""
        ...

    def statistics(self) -> Any:
        """What it has done and is doing, in named fields."""
        ...

    def close(self) -> None:
        """Give everything back; idempotent. May block for as long as one forward takes."""
        ...


def read_tool_choice(choice: str | Mapping[str, Any], names: Sequence[str]) -> ToolChoice:
    """Check a tool choice against the names of the tools that are offered.

    Raises:
        ToolChoiceError: it is none of the forms, or the tools cannot satisfy it.
    """
    if isinstance(choice, Mapping):
        mode, name = _read_choice_dict(choice)
    elif isinstance(choice, str):
        mode, name = (choice, None) if choice in ("auto", "none", "required") else ("required", choice)
    else:
        raise ToolChoiceError(
            f"tool_choice must be 'auto', 'none', 'required' or a tool's name, found {type(choice).__name__}"
        )
    if name is not None and name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"offered are {', '.join(names) or 'no tools'}"
        raise ToolChoiceError(
            f"tool_choice={name!r} is neither 'auto', 'none' or 'required' nor an offered tool: {advice}"
        )
    if mode == "required" and not names:
        raise ToolChoiceError("tool_choice='required' without tools: offer at least one, or use 'auto'")
    return ToolChoice(mode=mode, name=name)


def _read_choice_dict(choice: Mapping[str, Any]) -> tuple[Any, str | None]:
    """OpenAI's `{"type": "function", "function": {"name": ...}}` and its close relatives."""
    kind = choice.get("type")
    if kind in ("auto", "none", "required"):
        return kind, None
    if kind == "any":
        return "required", None
    body = choice.get("function", choice)
    name = body.get("name") if isinstance(body, Mapping) else None
    if kind in ("function", "tool") and isinstance(name, str):
        return "required", name
    raise ToolChoiceError(
        f"tool_choice={dict(choice)!r} is not understood: "
        "write {'type': 'function', 'function': {'name': '<tool>'}}"
    )
