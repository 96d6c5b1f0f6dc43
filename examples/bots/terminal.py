"""The face of the bots: a greeting with questions to try, calls as they are made, results as cards.

A value of a call is green where it stands in the conversation and yellow where the model came up with it; a
value it is not sure of is asked about before anything is done. What a card shows is the service's answer
itself; the sentence below it is the model's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, replace
from typing import Any

import stamina.instrumentation
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.status import Status
from rich.text import Text

from agent_runtime import (
    AgentRuntime,
    AgentRuntimeError,
    Approve,
    ConfigError,
    Edit,
    Reject,
    ResultReady,
    TextDelta,
    Tool,
    ToolCall,
    ToolExecutor,
    ToolHooks,
    ToolResult,
    TurnStarted,
)

from .stand_in import MADE_UP, StandIn

DOUBTFUL = 0.5
"""A value below this confidence is asked about, where somebody is there to answer."""

MAX_ANSWER_TOKENS = 120
"""The model's sentence is short: the card above it says everything."""

ONE_ROUND = 2
"""Turns for one round of calls and the answer."""

Context = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bot:
    """What one bot is.

    Attributes:
        title: its name.
        about: one sentence for the greeting.
        credit: whose data it shows.
        tries: questions to begin with.
        tools: what it may call.
        cards: how a tool's result is shown, by the tool's name.
        briefs: what of it the model reads, by the tool's name; all of it where there is none.
        connect: opens its services, at the stand-in's address if one is given, as the tools' hidden context.
        system: what the model is told first.
        max_turns: turns that may call something; two are a round of calls and the answer.
        script: what is done with a question instead of letting the model choose its calls.
    """

    title: str
    about: str
    credit: str
    tries: Sequence[str]
    tools: Sequence[Tool]
    cards: Mapping[str, Callable[[Any], RenderableType]]
    briefs: Mapping[str, Callable[[Any], Any]]
    connect: Callable[[str | None], AbstractAsyncContextManager[Context]]
    system: str = ""
    max_turns: int = ONE_ROUND
    script: Callable[[Talk, str], Awaitable[None]] | None = None


def run_bot(bot: Bot, arguments: Sequence[str] | None = None) -> int:
    """A bot as a program: its command line, and the exit status."""
    parser = argparse.ArgumentParser(description=f"{bot.title}: {bot.about}")
    parser.add_argument("question", nargs="*", help="ask this and leave; without it, a conversation")
    parser.add_argument("--offline", action="store_true", help="ask a local stand-in with made-up data")
    parser.add_argument("--model", help="a model folder or Hub id; the embedded model when left out")
    parsed = parser.parse_args(arguments)
    # Before torch starts its threads: they then sleep between products instead of fighting over the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console = _PipeConsole(highlight=False)
    try:
        return asyncio.run(_run(bot, parsed, console))
    except AgentRuntimeError as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has gone; what is left to flush has nowhere to go either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _PipeConsole(Console):
    """Rich ends the program when a pipe breaks; inside a task that ends in a heap of tracebacks."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


async def _run(bot: Bot, parsed: argparse.Namespace, console: Console) -> int:
    async with AsyncExitStack() as stack:
        stack.callback(stamina.instrumentation.set_on_retry_hooks, None)
        url = (await stack.enter_async_context(StandIn())).url if parsed.offline else None
        context = await stack.enter_async_context(bot.connect(url))
        runtime = await stack.enter_async_context(AgentRuntime.load(parsed.model))
        talk = Talk(bot, runtime, console, context=context)
        stamina.instrumentation.set_on_retry_hooks([talk.show_retry])
        if parsed.question:
            question = " ".join(parsed.question)
            talk.echo(question)
            return 0 if await talk.answer(question) else 1
        talk.greet(is_offline=parsed.offline)
        await stack.enter_async_context(_loading(runtime))
        async for question in _questions(bot, talk):
            await talk.answer(question)
        console.print(Text("bye", style="dim"))
    return 0


class Talk:
    """One conversation with one bot.

    Args:
        bot: which.
        runtime: what answers.
        console: where it is shown.
        context: the tools' services.
        ask: asks whoever sits there a question about a doubtful value; None where nobody does.
    """

    def __init__(
        self,
        bot: Bot,
        runtime: AgentRuntime,
        console: Console,
        *,
        context: Context,
        ask: Callable[[str], Any] | None = None,
    ) -> None:
        self._bot = bot
        self._runtime = runtime
        self._console = console
        self._context = context
        self._ask = ask or (_ask_here if sys.stdin.isatty() and console.is_terminal else None)
        self._beginning = [{"role": "system", "content": bot.system}] if bot.system else []
        self._hooks = ToolHooks(approve=self._approve, after=self._shorten)
        self._num_calls = self._num_failures = 0
        self._status: Status | None = None
        self._is_in_line = False

    def greet(self, *, is_offline: bool = False) -> None:
        """Say who is there and what to try."""
        body = Text(self._bot.about + "\n")
        for number, question in enumerate(self._bot.tries, start=1):
            body.append(f"\n {number} ", style="cyan")
            body.append(question, style="bold")
        source = MADE_UP if is_offline else self._bot.credit
        self._console.print(
            Panel(body, title=self._bot.title, title_align="left", subtitle=Text(source, style="dim"))
        )
        hint = "A number asks that question, Ctrl-C stops an answer, an empty line leaves."
        self._console.print(Text(hint, style="dim"))

    def echo(self, question: str) -> None:
        """Show a question that was not typed here."""
        self._console.print(Text(f"> {plain(question)}", style="bold"), soft_wrap=True)

    async def answer(self, question: str) -> bool:
        """Answer a question; False where that was stopped, or every call of it failed."""
        started = time.perf_counter()
        self._num_calls = self._num_failures = 0
        work = self._bot.script(self, question) if self._bot.script is not None else self._converse(question)
        answering = asyncio.ensure_future(work)
        with _cancelled_by_interrupt(answering):
            await asyncio.wait({answering})
        self._stop_waiting()
        if answering.cancelled():
            self._say("(stopped)", "yellow")
            return False
        error = answering.exception()
        if isinstance(error, AgentRuntimeError):
            self._say(f"({error})", "yellow")
            return False
        if error is not None:
            raise error
        calls = f" · {self._num_calls} call{'s' if self._num_calls != 1 else ''}" if self._num_calls else ""
        self._say(f"{time.perf_counter() - started:.1f} s{calls}", "dim")
        return self._num_calls == 0 or self._num_failures < self._num_calls

    async def step(self, question: str, tool: Tool, **known: Any) -> Any:
        """Have the model make one call of one tool for a question, run it and show what came of it.

        Args:
            question: what the model reads.
            tool: what it calls.
            **known: arguments that are known already; they become constants of the schema, so that no model
                can write them differently.

        Returns:
            What the tool returned; None where it failed.
        """
        tool = with_known(tool, known)
        self._wait_for("thinking")
        turn = await self._runtime.respond(
            [*self._beginning, {"role": "user", "content": question}],
            tools=[tool],
            tool_choice=tool.name,
            parallel_tool_calls=False,
        )
        executor = ToolExecutor(self._runtime.deployment)
        session = executor.session([tool], hooks=self._hooks, context=self._context)
        result = await session.run(turn.tool_calls[0])
        self.show_result(result)
        return result.value if result.status == "ok" else None

    def show(self, what: RenderableType) -> None:
        """Show something of the program's own."""
        self._stop_waiting()
        self._console.print(what)

    async def _converse(self, question: str) -> None:
        """Let the model choose its calls, and answer.

        Every question stands for itself: a small model is soon confused by a long conversation.
        """
        events = self._runtime.stream_run(
            [*self._beginning, {"role": "user", "content": question}],
            tools=self._bot.tools,
            max_turns=self._bot.max_turns,
            max_repeats=1,
            answer_at_limit=True,
            context=self._context,
            hooks=self._hooks,
            max_tokens=MAX_ANSWER_TOKENS,
        )
        async with aclosing(events):
            async for event in events:
                match event:
                    case TurnStarted():
                        self._wait_for("thinking")
                    case ResultReady(result=result):
                        self.show_result(result)
                        if result.status == "failed" and self._bot.max_turns <= ONE_ROUND:
                            return  # why is said, there is no second try, and a model could only embroider
                    case TextDelta(text=text):
                        if not self._is_in_line:
                            self._stop_waiting()
                        self._console.print(Text(plain(text)), end="", soft_wrap=True)
                        self._is_in_line = True

    def show_result(self, result: ToolResult) -> None:
        """A card with what a tool found, or why it found nothing."""
        self._stop_waiting()
        self._num_calls += 1
        card = self._bot.cards.get(result.tool_name)
        if result.status == "failed":
            self._num_failures += 1
            reason = result.message
            for beginning in (
                f"{result.tool_name} failed: ",
                "ApiError: ",
                f"{result.tool_name} was not run: ",
            ):
                reason = reason.removeprefix(beginning)
            self._say(f"✗ {reason}", "red")
        elif card is None:
            self._say(f"← {result.message}", "green")
        else:
            self._console.print(card(result.value))

    def show_retry(self, details: stamina.instrumentation.RetryDetails) -> None:
        """Say, while it lasts, that a service is asked again."""
        self._wait_for(f"{details.caused_by}; asking again in {details.wait_for:.0f} s")

    def _say_call(self, call: ToolCall) -> None:
        self._stop_waiting()
        line = Text("→ ", style="cyan")
        line.append(call.name, style="bold cyan")
        for path, slot in call.slots.items():
            shown = slot.value if isinstance(slot.value, str) else json.dumps(slot.value, ensure_ascii=False)
            line.append(f"  {plain(path)} ", style="dim")
            line.append(plain(shown), style="green underline" if slot.evidence is not None else "yellow")
            line.append(f" {slot.confidence:.0%}", style="dim")
        self._console.print(line, soft_wrap=True)

    async def _approve(self, call: ToolCall) -> Approve | Edit | Reject:
        """Show a call that is about to be made, and ask about values the model is not sure of."""
        self._say_call(call)
        self._wait_for("asking")
        if self._ask is None:
            return Approve()
        arguments = dict(call.arguments)
        for path, slot in call.slots.items():
            if slot.confidence >= DOUBTFUL or path not in arguments:
                continue
            self._stop_waiting()
            said = (
                await self._ask(f"  {path} = {slot.value}?  (Enter: yes; or another value; or no)  ")
            ).strip()
            if said.lower() in ("no", "n"):
                return Reject("you said no")
            if said:
                arguments[path] = said if isinstance(slot.value, str) else _as_value(said)
        self._wait_for("asking")
        return Approve() if arguments == call.arguments else Edit(arguments)

    def _shorten(self, call: ToolCall, result: ToolResult) -> ToolResult | None:
        """Let the model read the brief of a result; cards are made of the whole of it."""
        brief = self._bot.briefs.get(call.name)
        if brief is None or result.status == "failed":
            return None
        return replace(result, message=json.dumps(brief(result.value), ensure_ascii=False))

    def _wait_for(self, what: str) -> None:
        self._stop_waiting()
        if self._console.is_terminal:
            self._status = self._console.status(Text(f"{what} …", style="dim"), spinner="dots")
            self._status.start()

    def _stop_waiting(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._is_in_line:
            self._console.print()
            self._is_in_line = False

    def _say(self, text: str, style: str) -> None:
        self._stop_waiting()
        self._console.print(Text(plain(text), style=style), soft_wrap=True)


def with_known(tool: Tool, known: Mapping[str, Any]) -> Tool:
    """The tool with some of its arguments settled.

    The schema alone judges its arguments from now on: the function's own model knows of no constants.
    """
    properties = dict(tool.parameters["properties"])
    for name, value in known.items():
        properties[name] = {**properties[name], "const": value}
    parameters = {**tool.parameters, "properties": properties}
    return replace(tool, parameters=parameters, arguments_model=None)


def plain(text: str) -> str:
    """Text of a model or a service without characters that could move the cursor or set colours."""
    return "".join(
        letter if letter == "\n" or unicodedata.category(letter)[0] != "C" else "�" for letter in text
    )


def card(body: RenderableType, *, title: str, credit: str) -> Panel:
    """What all cards look like."""
    return Panel(
        Group(body, Text(f"\n{credit}", style="dim italic")),
        title=Text(plain(title), style="bold"),
        title_align="left",
        border_style="green",
        expand=False,
    )


def _as_value(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return said  # the tool's schema will say what is wrong with it


async def _ask_here(question: str) -> str:
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession()
    try:
        return await session.prompt_async(question)
    except (EOFError, KeyboardInterrupt):
        return "no"


async def _questions(bot: Bot, talk: Talk) -> AsyncIterator[str]:
    """What is typed, or piped in; a number stands for a question to try."""
    lines = _typed(bot) if sys.stdin.isatty() else _piped()
    async for line in lines:
        question = line.strip()
        if not question:
            if sys.stdin.isatty():
                return
            continue
        is_number = question.isdecimal() and 1 <= int(question) <= len(bot.tries)
        question = bot.tries[int(question) - 1] if is_number else question
        if is_number or not sys.stdin.isatty():
            talk.echo(question)
        yield question


async def _typed(bot: Bot) -> AsyncIterator[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.history import InMemoryHistory

    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory(list(bot.tries)), auto_suggest=AutoSuggestFromHistory()
    )
    while True:
        try:
            yield await session.prompt_async("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


async def _piped() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


@asynccontextmanager
async def _loading(runtime: AgentRuntime) -> AsyncIterator[None]:
    """Read the weights while the first question is being typed; what goes wrong is said when it is asked."""

    async def load() -> None:
        try:
            await runtime.warm_up()
        except ConfigError:
            pass

    loading = asyncio.ensure_future(load())
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.wait({loading})


@contextmanager
def _cancelled_by_interrupt(task: asyncio.Task[Any]) -> Iterator[None]:
    """Within it, Ctrl-C cancels the task instead of the program, where the platform lets us."""
    before = signal.getsignal(signal.SIGINT)
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
