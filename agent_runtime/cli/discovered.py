"""Commands that other packages add to `smolcall`, found through the entry point group `smolcall.commands`.

An entry point is named like its command and leads to an object with the methods of `Command`. Built-in
commands come first; a package that cannot be imported breaks its own command only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from rich.console import Console

from ..config import DeploymentConfig
from ..errors import ConfigError
from ..result_text import error_text
from ..runtime import AgentRuntime

GROUP = "smolcall.commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What a command gets besides its own arguments."""

    deployment: DeploymentConfig
    """From the deployment's file, variables and options, as for every command."""
    load: Callable[[], AgentRuntime]
    """The runtime that `--model`, `--heads` and the rest name; weights are read at its first use."""
    answers: Console
    """Stdout."""
    progress: Console
    """Stderr."""


class Command(Protocol):
    """A command of another package."""

    purpose: str
    """One line for `--help`, without a capital and a full stop."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add what may be typed, beside the options every command takes (model, deployment, fill, ...)."""

    def run(self, arguments: argparse.Namespace, context: CommandContext) -> int:
        """Do it, and return the exit status. An `AgentRuntimeError` becomes one readable line."""


def add_discovered_commands(
    make_parser: Callable[[str, str], argparse.ArgumentParser], taken: Container[str]
) -> None:
    """Give every discovered command its parser.

    Args:
        make_parser: makes a command's parser from its name and purpose.
        taken: names of built-in commands, which stay what they are.
    """
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in taken:
            continue
        command = _load(entry)
        parser = make_parser(entry.name, command.purpose)
        command.add_options(parser)
        parser.set_defaults(discovered=command)


def _load(entry: EntryPoint) -> Command:
    try:
        command: Command = entry.load()
    except Exception as error:  # another package's import may fail in any way
        return _Broken(entry, error_text(error))
    return command


class _Broken:
    """Stands in for a command whose package cannot be imported, and says so when it is used."""

    def __init__(self, entry: EntryPoint, reason: str) -> None:
        self.purpose = f"cannot be used: {entry.value} cannot be imported"
        self._error = ConfigError(f"the command {entry.name} ({entry.value}) cannot be imported: {reason}")

    def add_options(self, parser: Any) -> None:
        parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)

    def run(self, arguments: argparse.Namespace, context: CommandContext) -> int:
        raise self._error
