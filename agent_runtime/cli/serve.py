"""`smolcall serve`: what may be typed, and the server it starts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ..runtime import AgentRuntime
from ..tools import Tool
from .screen import visible

LOG_LEVELS = ("debug", "info", "warning", "error")

_NUMBERS: tuple[tuple[str, str, type, str], ...] = (
    ("--port", "port", int, "port to listen at (8000); 0 takes a free one"),
    ("--rate-limit", "rate_per_minute", int, "requests a minute and client (120); 0 sets no limit"),
    ("--request-timeout", "request_timeout_s", float, "seconds a request may take, waiting included (30)"),
    ("--max-body-bytes", "max_body_bytes", int, "bytes a request's body may have (1048576)"),
    ("--max-connections", "max_connections", int, "connections open at the same time (512)"),
    ("--max-turns", "max_turns", int, "turns a question on the chat page may take (8)"),
)


def add_serve_options(parser: Any) -> None:
    """What may be typed after `smolcall serve`, beyond what every command takes."""
    parser.add_argument("--host", help="address to listen at (127.0.0.1); any other needs a key")
    for option, name, kind, purpose in _NUMBERS:
        parser.add_argument(option, dest=name, type=kind, metavar="N", help=purpose)
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default=os.environ.get("SMOLCALL_API_KEY"),
        help="what clients must send as a bearer token; SMOLCALL_API_KEY keeps it out of the process list",
    )
    parser.add_argument("--model-name", metavar="NAME", help="what clients call the model")
    parser.add_argument(
        "--alias",
        dest="aliases",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name for the model; may be repeated",
    )
    parser.add_argument(
        "--tools",
        action="append",
        default=None,
        metavar="SOURCE",
        help="tools for the chat page: a .py file or module:name; may be repeated. Left out: arithmetic, "
        "units, clock",
    )
    parser.add_argument("--no-tools", action="store_true", help="no tools for the chat page")
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="info", help="what is logged to stderr (info)"
    )


def serve_command(
    arguments: argparse.Namespace, runtime: AgentRuntime, tools: Iterable[Tool], progress: Console
) -> None:
    """Serve until a signal asks for the end.

    Raises:
        ConfigError: an option cannot be, the address is taken, or the model cannot be loaded.
    """
    # aiohttp is a large import, which no other command needs.
    from ..server import ServerConfig, serve

    config = ServerConfig(**_settings(arguments))
    _log_to_stderr(arguments.log_level)

    def tell(text: str) -> None:
        progress.print(Text(visible(text)), soft_wrap=True)

    def on_listening(url: str) -> None:
        tell(f"smolcall: {config.model_name} at {url}/v1, a page to talk with it at {url}/")
        if config.api_key is None:
            tell("smolcall: no API key is set; only this machine can reach it")

    async def run() -> None:
        async with runtime:
            await serve(
                runtime,
                config,
                tools=tools,
                on_listening=on_listening,
                on_ready=lambda: tell("smolcall: ready"),
            )

    asyncio.run(run())


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were typed; defaults live in `ServerConfig`."""
    names = ["host", "api_key", *(name for _, name, _, _ in _NUMBERS)]
    typed = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    name = arguments.model_name or _name_of(arguments.model)
    if name is not None:
        typed["model_name"] = name
    return {**typed, "model_aliases": tuple(arguments.aliases)}


def _name_of(model: str | None) -> str | None:
    """A folder goes by its own name, a model on the Hub by its id, the embedded one by the default."""
    if model is None:
        return None
    return Path(model).resolve().name if Path(model).is_dir() else model


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    # Of the other parts only warnings: their notes name tools, which are what somebody sent.
    logging.getLogger("agent_runtime.server").setLevel(level.upper())
