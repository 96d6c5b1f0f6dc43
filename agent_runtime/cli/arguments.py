"""What may be typed after `smolcall`, and the runtime and tools it stands for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, get_args

from ..config import DeploymentConfig, Fill, revised, values_from_env, values_from_pairs
from .discovered import add_discovered_commands
from .serve import add_serve_options

EXAMPLES = """\
examples:
  smolcall ask "What time is it in Tokyo?"
  smolcall ask "What's the weather in Paris?" --tools weather.py
  smolcall call "Book a table for four" --tools tools.json --set temperature=0.7
  smolcall chat --tools mypackage.tools:search
  smolcall doctor --model HuggingFaceTB/SmolLM3-3B --deployment gpu.yaml
  smolcall serve --port 8000

exit status: 0 done, 1 it failed on the way, 2 it was asked for wrongly, 130 interrupted
"""


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; argparse ends the program with status 2 when it cannot."""
    return _parser().parse_args(argv)


def deployment_of(arguments: argparse.Namespace) -> DeploymentConfig:
    """Defaults, then the file, then `SMOLCALL_*` variables, then `--set` and `--fill`.

    Raises:
        ConfigError: one of them says something a deployment cannot.
    """
    file = arguments.deployment or os.environ.get("SMOLCALL_DEPLOYMENT")
    deployment = DeploymentConfig.from_yaml(file) if file else DeploymentConfig()
    changes: dict[str, Any] = {**values_from_env(), **values_from_pairs(arguments.settings)}
    if arguments.fill is not None:
        changes["fill"] = arguments.fill
    return revised(deployment, **changes) if changes else deployment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smolcall",
        description="Local tool calling: a small model that answers, or calls your tools.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_ask(commands)
    _add_chat(commands)
    _add_call(commands)
    _add_doctor(commands)
    add_serve_options(_command(commands, "serve", "answer OpenAI clients over HTTP, and a chat page"))
    _add_demo(commands)
    add_discovered_commands(lambda name, purpose: _command(commands, name, purpose), commands.choices)
    return parser


def _add_ask(commands: Any) -> None:
    ask = _command(commands, "ask", "ask a question; tools are run until there is an answer")
    _add_question(ask)
    _add_conversation_options(ask)
    ask.add_argument("--max-turns", type=int, default=8, metavar="N", help="turns the model may take (8)")
    ask.add_argument("--deadline", type=float, metavar="SECONDS", help="time the whole answer may take")
    ask.add_argument("--json", action="store_true", help="print the whole run as JSON")


def _add_chat(commands: Any) -> None:
    chat = _command(commands, "chat", "talk with it; calls and results are shown as they happen")
    _add_conversation_options(chat)
    chat.add_argument("--max-turns", type=int, default=8, metavar="N", help="turns per answer (8)")


def _add_call(commands: Any) -> None:
    call = _command(commands, "call", "one turn, as JSON; no tool is run")
    _add_question(call)
    _add_conversation_options(call)
    call.add_argument(
        "--tool-choice", default="auto", metavar="CHOICE", help="auto, none, required, or the name of a tool"
    )
    call.add_argument("--trace", action="store_true", help="show how the values settle, step by step")


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "what this machine can do, and whether model and deployment fit it")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--no-load", action="store_true", help="do not read the weights")


def _add_demo(commands: Any) -> None:
    _command(commands, "demo", "watch the embedded model use a tool")


def _command(commands: Any, name: str, purpose: str) -> Any:
    parser = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        default=os.environ.get("SMOLCALL_MODEL") or None,
        help="a model folder or Hub id; the embedded model when left out",
    )
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter: folder or Hub id")
    parser.add_argument(
        "--heads",
        metavar="FOLDER",
        default=os.environ.get("SMOLCALL_HEADS") or None,
        help="a head bundle: folder or Hub id",
    )
    parser.add_argument("--deployment", metavar="FILE", help="a YAML file with settings")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting of the deployment; may be repeated",
    )
    parser.add_argument("--fill", choices=get_args(Fill), help="how argument values are written")
    return parser


def _add_question(parser: Any) -> None:
    parser.add_argument("question", help="what to ask; - reads it from stdin")


def _add_conversation_options(parser: Any) -> None:
    parser.add_argument(
        "--tools",
        action="append",
        default=None,
        metavar="SOURCE",
        help="a .py file, a .json file, or module:name; may be repeated. Left out: arithmetic, units, clock",
    )
    parser.add_argument("--no-tools", action="store_true", help="offer no tools at all")
    parser.add_argument("--system", metavar="TEXT", help="a system message")
