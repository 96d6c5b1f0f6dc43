"""`AgentRuntime`, the public object: a model, its tools and the conversation, in a few async calls.

It checks what it is given, binds tools, and hands the work on: turns to the engine, calls to the executor,
the order of both to the loop. Nothing of torch is imported before a model is needed.
"""

from __future__ import annotations

import asyncio
import difflib
import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from .config import DeploymentConfig, revised
from .errors import ClosedError, ConfigError
from .events import RunEvent, RunFinished, TurnEvent, TurnFinished
from .executor import ExecutorStatistics, ToolExecutor
from .hooks import ToolHooks
from .loop import Place, RunLimits, run_events
from .messages import Message, Run, Turn, read_messages
from .model_engine import ModelEngine, ModelSource
from .tools import Tool, bind_tools
from .turn_engine import TurnEngine, TurnOrder, read_tool_choice

if TYPE_CHECKING:
    from .prompt import Prompt

Messages = str | Sequence[Mapping[str, Any] | Message]

MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20


class TurnSettings(TypedDict, total=False):
    """Settings of the deployment that one turn, or all turns of one run, may have differently.

    What they mean stands at `DeploymentConfig`; None leaves the deployment's.
    """

    temperature: float | None
    top_p: float | None
    seed: int | None
    max_tokens: int | None
    think: bool | None
    think_budget_tokens: int | None
    call_bias: float | None
    abstain_below: float | None
    max_parallel_calls: int | None
    date: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStatistics:
    """What a runtime has done and is doing.

    Attributes:
        engine: turns, queue, tokens and cache; None before the first turn.
        executor: tool calls.
    """

    engine: Any
    executor: ExecutorStatistics


class AgentRuntime:
    """A model that answers, or calls tools. Make one with `load`.

    Use it with `async with` (or `with`), or call `close` when done. One runtime serves many tasks at the same
    time. Every call may be cancelled; a cancelled turn gives its place in the engine back at once.

    Args:
        engine: makes the turns.
        deployment: everything else it is told.
    """

    def __init__(self, engine: TurnEngine, deployment: DeploymentConfig | None = None) -> None:
        self._engine = engine
        self._deployment = deployment or DeploymentConfig()
        self._executor = ToolExecutor(self._deployment)
        self._is_closed = False

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        heads: str | Path | None = None,
        deployment: DeploymentConfig | None = None,
        revision: str | None = None,
        adapter: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """A runtime for a model. Instant: weights are read by the first turn, or by `warm_up`.

        Args:
            model: a folder, or an id on the Hub; None is the embedded model.
            heads: a head bundle made for the model: a folder, or an id on the Hub. None is the embedded
                model's own, and none for any other model.
            deployment: how to run; the defaults when left out.
            revision: branch, tag or commit on the Hub.
            adapter: a LoRA adapter (folder or Hub id) put on the model; needs `smolcall[lora]`.
            local_files_only: never ask the Hub.

        Raises:
            ConfigError: the embedded model is not there, or the deployment needs heads.
        """
        deployment = deployment or DeploymentConfig()
        heads = find_heads(model, heads, deployment)
        source = ModelSource(
            model=embedded_model_folder() if model is None else model,
            heads=heads,
            revision=revision,
            adapter=adapter,
            local_files_only=local_files_only,
        )
        return cls(ModelEngine(source, deployment), deployment)

    @property
    def deployment(self) -> DeploymentConfig:
        """How it runs, as it was told. What the machine makes of it, `smolcall doctor` says."""
        return self._deployment

    async def respond(
        self,
        messages: Messages,
        *,
        tools: Iterable[Any] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        parallel_tool_calls: bool = True,
        stop: str | Sequence[str] = (),
        top_logprobs: int | None = None,
        deadline_s: float | None = None,
        **settings: Unpack[TurnSettings],
    ) -> Turn:
        """One model reply: words, or calls. No tool is run.

        Args:
            messages: OpenAI-shaped dicts, `Message`s, or one user message as a string.
            tools: functions, models, schemas or `Tool`s that may be called.
            tool_choice: `auto`, `none`, `required`, a tool's name, or OpenAI's dict for one.
            parallel_tool_calls: whether the turn may make several calls.
            stop: text or texts that end the reply where they appear.
            top_logprobs: log-probability of each token of the reply with so many alternatives (0 to 20).
            deadline_s: seconds the turn may take, waiting included; the deployment's when left out.
            **settings: see `TurnSettings`.

        Raises:
            MessageError: the conversation cannot be read.
            SchemaError: a tool cannot be honoured.
            ToolChoiceError: the tools cannot satisfy the choice.
            ConfigError: a setting that cannot be, or a model that cannot be loaded.
            PromptTooLongError: what must stay of the conversation does not fit.
            OverloadedError: the queue is full.
            DeadlineError: the deadline passed.
            ClosedError: the runtime was closed.
        """
        order = self._order(
            read_messages(messages),
            bind_tools(tools),
            tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            stop=stop,
            top_logprobs=top_logprobs,
            deadline_s=deadline_s,
            settings=settings,
        )
        return await self._engine.turn(order)

    async def stream(
        self,
        messages: Messages,
        *,
        tools: Iterable[Any] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        parallel_tool_calls: bool = True,
        stop: str | Sequence[str] = (),
        top_logprobs: int | None = None,
        deadline_s: float | None = None,
        trace: bool = False,
        **settings: Unpack[TurnSettings],
    ) -> AsyncGenerator[TurnEvent, None]:
        """The events of one model reply as they happen, ending in `TurnFinished`.

        Leaving the loop early and closing the generator cancels the turn. Arguments and errors are those
        of `respond`; `trace` tells the steps in which heads draft a call, as `DenoiseStep`s.
        """
        order = self._order(
            read_messages(messages),
            bind_tools(tools),
            tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            stop=stop,
            top_logprobs=top_logprobs,
            deadline_s=deadline_s,
            settings=settings,
        )
        if trace:
            order = replace(order, is_traced=True)
        async with aclosing(self._turn_events(order)) as events:
            async for event in events:
                yield event

    async def run(
        self,
        messages: Messages,
        *,
        tools: Iterable[Any] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        parallel_tool_calls: bool = True,
        stop: str | Sequence[str] = (),
        max_turns: int = 8,
        max_repeats: int = 2,
        deadline_s: float | None = None,
        answer_at_limit: bool = False,
        hooks: ToolHooks | None = None,
        context: Mapping[str, Any] | None = None,
        **settings: Unpack[TurnSettings],
    ) -> Run:
        """Turns and tool results until the model answers.

        A tool that raises, hangs or returns nonsense does not end the run: the model reads what happened.
        Calls at the end of `messages` that have no result yet are run first, so that a run goes on from
        `run.messages` (of a finished run, or of a `RunLimitError`).

        Args:
            messages: as for `respond`.
            tools: as for `respond`; each needs a function.
            tool_choice: for the first turn; later turns choose freely, unless it is `none`.
            parallel_tool_calls: as for `respond`.
            stop: as for `respond`.
            max_turns: turns the model may take. The calls of the last one are not run.
            max_repeats: turns in which the same call, name and arguments, may be made.
            deadline_s: seconds for the whole run, tools included.
            answer_at_limit: ask for a last answer in words, instead of raising, when the turns are used up or
                a call was repeated too often; calls the model still wanted are dropped.
            hooks: approval of calls, and observers.
            context: values for the tools' hidden parameters, by name.
            **settings: for every turn; see `TurnSettings`.

        Raises:
            RunLimitError: a limit was hit before the answer; carries the run so far.
            AgentRuntimeError: whatever `respond` raises.
        """
        events = self.stream_run(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            stop=stop,
            max_turns=max_turns,
            max_repeats=max_repeats,
            deadline_s=deadline_s,
            answer_at_limit=answer_at_limit,
            hooks=hooks,
            context=context,
            **settings,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, RunFinished):
                    return event.run
        raise AssertionError("a run ends in RunFinished or raises")

    async def stream_run(
        self,
        messages: Messages,
        *,
        tools: Iterable[Any] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        parallel_tool_calls: bool = True,
        stop: str | Sequence[str] = (),
        max_turns: int = 8,
        max_repeats: int = 2,
        deadline_s: float | None = None,
        answer_at_limit: bool = False,
        hooks: ToolHooks | None = None,
        context: Mapping[str, Any] | None = None,
        **settings: Unpack[TurnSettings],
    ) -> AsyncGenerator[RunEvent, None]:
        """The events of a run as they happen, ending in `RunFinished`.

        Arguments and errors are those of `run`. Closing the generator cancels the turn and the tools.
        """
        conversation, bound = read_messages(messages), bind_tools(tools)
        limits = _read_limits(max_turns, max_repeats, deadline_s, answer_at_limit)
        _check_functions(bound, hooks)

        def order_of(messages: Sequence[Mapping[str, Any] | Message], place: Place) -> TurnOrder:
            later = "none" if place == "last" or tool_choice in ("none", {"type": "none"}) else "auto"
            return self._order(
                read_messages(messages),
                bound,
                tool_choice if place == "first" else later,
                parallel_tool_calls=parallel_tool_calls,
                stop=stop,
                top_logprobs=None,
                deadline_s=None,
                settings=settings,
            )

        def ask(messages: list[dict[str, Any]], place: Place) -> AsyncGenerator[TurnEvent, None]:
            return self._turn_events(order_of(messages, place))

        order_of(conversation, "first")  # what is wrong is said before a waiting call is run
        session = self._executor.session(bound, hooks=hooks, context=context)
        async with aclosing(run_events(conversation, ask=ask, session=session, limits=limits)) as events:
            async for event in events:
                yield event

    async def prompt(
        self,
        messages: Messages,
        *,
        tools: Iterable[Any] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        **settings: Unpack[TurnSettings],
    ) -> Prompt:
        """Exactly what the backbone would read: `.ids`, and `.text` with control tokens spelt out."""
        order = self._order(
            read_messages(messages),
            bind_tools(tools),
            tool_choice,
            parallel_tool_calls=True,
            stop=(),
            top_logprobs=None,
            deadline_s=None,
            settings=settings,
        )
        return await self._engine.prompt(order)

    async def warm_up(self) -> None:
        """Read the weights now, so that the first turn is as fast as any.

        Raises:
            ConfigError: the model cannot be loaded.
        """
        self._check_open()
        await self._engine.warm_up()

    def statistics(self) -> RuntimeStatistics:
        """What it has done and is doing."""
        return RuntimeStatistics(engine=self._engine.statistics(), executor=self._executor.statistics())

    def close(self) -> None:
        """End every turn with `ClosedError` and free the weights. Idempotent.

        May block for as long as one forward takes; in async code `async with` closes without blocking.
        """
        self._is_closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        """Itself."""
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Self:
        """Itself."""
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await asyncio.to_thread(self.close)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the runtime was closed: load a new one")

    async def _turn_events(self, order: TurnOrder) -> AsyncGenerator[TurnEvent, None]:
        """Run a turn beside the consumer and pass its events on."""
        events: asyncio.Queue[TurnEvent | None] = asyncio.Queue()
        turn = asyncio.ensure_future(self._engine.turn(order, events.put_nowait))
        turn.add_done_callback(lambda finished: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield TurnFinished(turn=turn.result())
        finally:
            if not turn.done():
                turn.cancel()
                await asyncio.wait({turn})
            if not turn.cancelled():
                turn.exception()  # the consumer may be gone before it could hear of it

    def _order(
        self,
        messages: tuple[Message, ...],
        tools: tuple[Tool, ...],
        tool_choice: str | Mapping[str, Any],
        *,
        parallel_tool_calls: bool,
        stop: str | Sequence[str],
        top_logprobs: int | None,
        deadline_s: float | None,
        settings: TurnSettings,
    ) -> TurnOrder:
        """A turn, checked; bad input ends here."""
        self._check_open()
        changes = _read_settings(settings)
        if not parallel_tool_calls:
            changes["max_parallel_calls"] = 1
        if deadline_s is not None:
            changes["request_deadline_s"] = deadline_s
        return TurnOrder(
            messages=messages,
            tools=tools,
            tool_choice=read_tool_choice(tool_choice, [tool.name for tool in tools]),
            deployment=revised(self._deployment, **changes) if changes else self._deployment,
            stop=_read_stop(stop),
            top_logprobs=_read_top_logprobs(top_logprobs),
        )


def embedded_model_folder() -> Path:
    """The folder of the model that ships inside the package.

    Raises:
        ConfigError: this installation has none.
    """
    folder = Path(__file__).parent / "embedded" / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"this installation has no embedded model at {folder}: name a model folder or Hub id, reinstall "
            "smolcall, or train one with `make embedded`"
        )
    return folder


def embedded_heads_folder() -> Path | None:
    """The folder of the heads that ship with the embedded model, or None."""
    folder = Path(__file__).parent / "embedded" / "heads"
    return folder if (folder / "config.json").is_file() else None


def find_heads(
    model: str | Path | None, heads: str | Path | None, deployment: DeploymentConfig
) -> str | Path | None:
    """The heads that go with a model: those that are named, or the embedded model's own.

    Raises:
        ConfigError: the deployment needs heads and there are none; says which setting contradicts.
    """
    if heads is None and model is None:
        heads = embedded_heads_folder()
    if heads is None and deployment.asks_heads:
        setting, other = (
            ("fill='diffusion'", "fill='verified' or 'autoregressive'")
            if deployment.fill == "diffusion"
            else ("drafter='heads'", "drafter='copies'")
        )
        raise ConfigError(
            f"{setting} contradicts heads=None: it needs a head bundle; give heads (folder or Hub id), "
            f"or use {other}"
        )
    return heads


def _check_functions(tools: Iterable[Tool], hooks: ToolHooks | None) -> None:
    """A run needs something to run; an approval hook may answer in a tool's place."""
    if hooks is not None and hooks.approve is not None:
        return
    for tool in tools:
        if tool.function is None:
            raise ConfigError(
                f"tool {tool.name!r} is only described, it has no function to run: use respond() and run "
                "the call yourself, or answer it in an approval hook"
            )


def _read_limits(
    max_turns: int, max_repeats: int, deadline_s: float | None, answer_at_limit: bool
) -> RunLimits:
    for name, number in (("max_turns", max_turns), ("max_repeats", max_repeats)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigError(f"{name}: found {number!r}; give a whole number of at least 1")
    if deadline_s is not None and not (isinstance(deadline_s, (int, float)) and 0 < deadline_s < math.inf):
        raise ConfigError(f"deadline_s: found {deadline_s!r}; give a number of seconds above 0, or None")
    return RunLimits(
        max_turns=max_turns, max_repeats=max_repeats, deadline_s=deadline_s, is_answered=bool(answer_at_limit)
    )


def _read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    known = TurnSettings.__annotations__
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"a turn takes {', '.join(known)}"
            raise ConfigError(f"unknown setting {name!r} of a turn: {advice}")
    return {name: value for name, value in settings.items() if value is not None}


def _read_stop(stop: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(stop, Sequence):
        raise ConfigError(f"stop: found {type(stop).__name__}; give a text or a list of texts")
    texts = (stop,) if isinstance(stop, str) else tuple(stop)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise ConfigError(f"stop: found {text!r}; give texts that are not empty")
    if len(texts) > MAX_STOPS:
        raise ConfigError(f"stop: found {len(texts)} texts; give at most {MAX_STOPS}")
    return texts


def _read_top_logprobs(number: int | None) -> int | None:
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_TOP_LOGPROBS:
        raise ConfigError(f"top_logprobs: found {number!r}; give a number from 0 to {MAX_TOP_LOGPROBS}")
    return number
