"""Runs what was typed, and turns every error into one readable line and an exit status."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.text import Text

from .. import __version__
from ..builtin_tools import BUILTIN_TOOLS
from ..config import DeploymentConfig
from ..errors import AgentRuntimeError, ConfigError, MessageError, SchemaError, ToolChoiceError
from ..events import DenoiseStep, RunFinished, TurnFinished
from ..runtime import AgentRuntime
from ..tools import Tool, bind_tools
from .arguments import deployment_of, read_arguments
from .chat import chat
from .discovered import CommandContext
from .doctor_report import report
from .screen import Screen, as_json, step_lines, visible
from .serve import serve_command
from .tools_argument import read_tools

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

_MISUSES = (ConfigError, MessageError, SchemaError, ToolChoiceError)

DEMO_QUESTION = "What time is it in Tokyo?"


def main(argv: Sequence[str] | None = None) -> int:
    """The program `smolcall`; returns its exit status."""
    arguments = read_arguments(argv)
    answers, progress = Console(highlight=False), Console(stderr=True, highlight=False)
    if arguments.version:
        answers.print(f"smolcall {__version__}")
        return DONE
    if arguments.command is None:
        progress.print(
            "smolcall: what shall be done? ask, chat, call, doctor, serve or demo; --help tells more"
        )
        return MISUSED
    _quieten()
    # Before torch starts its threads: they then sleep between products instead of taking the cores from
    # each other, which on a busy machine costs seconds a turn. This process is ours, so we may say so.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _COMMANDS.get(arguments.command, _discovered)(arguments, answers, progress)
    except AgentRuntimeError as error:
        progress.print(Text(f"smolcall: {visible(_one_line(error))}", style="red"), soft_wrap=True)
        return MISUSED if isinstance(error, _MISUSES) else FAILED
    except KeyboardInterrupt:
        progress.print()
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has gone; what is left to flush at exit has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _ask(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    deployment, tools, messages = _deployment(arguments), _tools(arguments), _messages(arguments)

    async def ask() -> None:
        screen = Screen(answers, progress)
        async with _load(arguments, deployment) as runtime:
            events = runtime.stream_run(
                messages,
                tools=tools,
                max_turns=arguments.max_turns,
                deadline_s=arguments.deadline,
                answer_at_limit=True,
            )
            async with aclosing(events):
                async for event in events:
                    if not arguments.json:
                        screen.show(event)
                    elif isinstance(event, RunFinished):
                        answers.file.write(as_json(event.run) + "\n")

    asyncio.run(ask())
    return DONE


def _call(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    deployment, tools, messages = _deployment(arguments), _tools(arguments), _messages(arguments)

    async def call() -> None:
        async with _load(arguments, deployment) as runtime:
            events = runtime.stream(
                messages, tools=tools, tool_choice=arguments.tool_choice, trace=arguments.trace
            )
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, DenoiseStep):
                        progress.print(step_lines(event), soft_wrap=True)
                    elif isinstance(event, TurnFinished):
                        answers.file.write(as_json(event.turn) + "\n")

    asyncio.run(call())
    return DONE


def _chat(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    deployment, tools = _deployment(arguments), _tools(arguments)

    async def talk() -> None:
        async with _load(arguments, deployment) as runtime:
            await chat(
                runtime, tools, console=answers, system=arguments.system, max_turns=arguments.max_turns
            )

    asyncio.run(talk())
    return DONE


def _doctor(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    is_well = report(
        arguments.model,
        heads=arguments.heads,
        deployment=_deployment(arguments),
        revision=arguments.revision,
        adapter=arguments.adapter,
        load=not arguments.no_load,
        console=answers,
        is_json=arguments.json,
    )
    return DONE if is_well else FAILED


def _demo(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    deployment, tools = _deployment(arguments), bind_tools(BUILTIN_TOOLS)

    async def demonstrate() -> None:
        screen = Screen(answers, answers)
        async with _load(arguments, deployment) as runtime:
            answers.print(Text(f"tools: {', '.join(tool.name for tool in tools)}", style="dim"))
            answers.print(Text(f"> {DEMO_QUESTION}", style="bold"))
            await runtime.warm_up()
            screen.begin()
            events = runtime.stream_run(DEMO_QUESTION, tools=tools, max_turns=3, answer_at_limit=True)
            async with aclosing(events):
                async for event in events:
                    screen.show(event)

    asyncio.run(demonstrate())
    return DONE


def _serve(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    runtime = _load(arguments, _deployment(arguments))
    serve_command(arguments, runtime, _tools(arguments), progress)
    return DONE


def _discovered(arguments: argparse.Namespace, answers: Console, progress: Console) -> int:
    deployment = _deployment(arguments)
    context = CommandContext(
        deployment=deployment,
        load=lambda: _load(arguments, deployment),
        answers=answers,
        progress=progress,
    )
    status: int = arguments.discovered.run(arguments, context)
    return status


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console, Console], int]] = {
    "ask": _ask,
    "call": _call,
    "chat": _chat,
    "doctor": _doctor,
    "serve": _serve,
    "demo": _demo,
}


def _deployment(arguments: argparse.Namespace) -> DeploymentConfig:
    return deployment_of(arguments)


def _load(arguments: argparse.Namespace, deployment: DeploymentConfig) -> AgentRuntime:
    return AgentRuntime.load(
        arguments.model,
        heads=arguments.heads,
        deployment=deployment,
        revision=arguments.revision,
        adapter=arguments.adapter,
    )


def _tools(arguments: argparse.Namespace) -> tuple[Tool, ...]:
    if arguments.no_tools and arguments.tools:
        raise ConfigError("--no-tools contradicts --tools: leave one of them out")
    if arguments.no_tools:
        return ()
    return read_tools(arguments.tools) if arguments.tools else bind_tools(BUILTIN_TOOLS)


def _messages(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    if not question.strip():
        raise MessageError("the question is empty")
    system = [{"role": "system", "content": arguments.system}] if arguments.system else []
    return [*system, {"role": "user", "content": question}]


def _one_line(error: AgentRuntimeError) -> str:
    return " ".join(str(error).split())


def _quieten() -> None:
    """Keep what libraries draw and advise out of the answer; a caller's own choice stays."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
