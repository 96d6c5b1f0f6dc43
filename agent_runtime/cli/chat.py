"""`smolcall chat`: a conversation in the terminal.

Ctrl-C cancels the answer that is being written, not the program; Ctrl-D leaves.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from ..errors import AgentRuntimeError
from ..events import RunFinished
from ..runtime import AgentRuntime
from ..tools import Tool
from .screen import Screen, visible

HELP = """\
/tools   what may be called        /reset   forget the conversation
/help    this                      /quit    leave (or Ctrl-D)
Ctrl-C cancels an answer; a line that ends in \\ goes on."""


class Lines(Protocol):
    """Where questions come from."""

    async def next(self) -> str:
        """The next line.

        Raises:
            EOFError: there is none.
            KeyboardInterrupt: Ctrl-C was pressed while typing.
        """
        ...


async def chat(
    runtime: AgentRuntime,
    tools: Sequence[Tool],
    *,
    console: Console,
    system: str | None = None,
    max_turns: int = 8,
    lines: Lines | None = None,
) -> None:
    """Talk until the input ends.

    Args:
        runtime: what answers.
        tools: what may be called.
        console: where everything is shown.
        system: a system message.
        max_turns: turns per answer.
        lines: where questions come from: a terminal with editing and history, or plain stdin.
    """
    conversation = _Conversation(runtime, tools, console, system, max_turns)
    lines = lines or (_TypedLines() if sys.stdin.isatty() else _PipedLines())
    console.print(
        Text(f"tools: {', '.join(tool.name for tool in tools) or 'none'}   /help for help", style="dim")
    )
    loading = asyncio.ensure_future(_warm_up(runtime))
    try:
        while True:
            try:
                line = await lines.next()
            except KeyboardInterrupt:
                console.print(Text("(Ctrl-D leaves)", style="dim"))
                continue
            except EOFError:
                return
            if not await conversation.take(line.strip()):
                return
    finally:
        loading.cancel()
        await asyncio.wait({loading})


async def _warm_up(runtime: AgentRuntime) -> None:
    """Load while the first question is being typed; what goes wrong is said when it is asked."""
    try:
        await runtime.warm_up()
    except AgentRuntimeError:
        pass


class _Conversation:
    def __init__(
        self,
        runtime: AgentRuntime,
        tools: Sequence[Tool],
        console: Console,
        system: str | None,
        max_turns: int,
    ) -> None:
        self._runtime = runtime
        self._tools = tools
        self._console = console
        self._screen = Screen(console, console)
        self._max_turns = max_turns
        self._beginning: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._beginning)

    async def take(self, line: str) -> bool:
        """Do what a line says; False to leave."""
        if line in ("/quit", "/exit"):
            return False
        if line == "/help":
            self._console.print(Text(HELP, style="dim"))
        elif line == "/tools":
            for tool in self._tools:
                summary = tool.description.split("\n")[0]
                self._console.print(Text(visible(f"{tool.name}: {summary}"), style="dim"), soft_wrap=True)
        elif line == "/reset":
            self._messages = list(self._beginning)
            self._console.print(Text("(a new conversation)", style="dim"))
        elif line.startswith("/") and " " not in line:
            self._console.print(
                Text(f"there is no {visible(line)}; /help lists what there is", style="yellow")
            )
        elif line:
            await self._answer(line)
        return True

    async def _answer(self, question: str) -> None:
        """Answer a question. One that was not answered is forgotten, so that it can be asked again."""
        self._screen.begin()
        answering = asyncio.ensure_future(self._run([*self._messages, {"role": "user", "content": question}]))
        with _cancelling_on_interrupt(answering):
            await asyncio.wait({answering})
        if answering.cancelled():
            self._screen.interrupt("(cancelled; the question is forgotten)")
        elif isinstance(error := answering.exception(), AgentRuntimeError):
            self._screen.interrupt(f"({' '.join(str(error).split())})")
        else:
            self._messages = answering.result()

    async def _run(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        events = self._runtime.stream_run(
            messages, tools=self._tools, max_turns=self._max_turns, answer_at_limit=True
        )
        async with aclosing(events):
            async for event in events:
                self._screen.show(event)
                if isinstance(event, RunFinished):
                    return event.run.messages
        raise AssertionError("a run ends in RunFinished or raises")


@contextmanager
def _cancelling_on_interrupt(task: asyncio.Task[Any]) -> Iterator[None]:
    """Within it, Ctrl-C cancels the task instead of the program."""
    before = signal.getsignal(signal.SIGINT)
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not in the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


class _TypedLines:
    """A terminal, with editing, history and a line that goes on after a backslash."""

    def __init__(self) -> None:
        from prompt_toolkit import PromptSession

        self._session: Any = PromptSession()

    async def next(self) -> str:
        line = str(await self._session.prompt_async("> "))
        while line.endswith("\\"):
            line = line[:-1] + "\n" + str(await self._session.prompt_async("… "))
        return line


class _PipedLines:
    """Plain lines, as a pipe gives them."""

    async def next(self) -> str:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            raise EOFError
        return str(line)
