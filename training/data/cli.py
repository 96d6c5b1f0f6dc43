"""`python -m training data ...`: look at examples, count them, read files of public rows."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.console import Console
from rich.text import Text

from agent_runtime.errors import ConfigError
from agent_runtime.messages import EvidenceSpan

from .example import Example, leaves
from .mixture import MixtureRecipe, mixture
from .readers import READERS, read_file
from .report import ReadReport


def add_data_command(subparsers: Any) -> None:
    """Add `data` with its `show` and `stats`; the parsed namespace carries `run(arguments) -> int`."""
    parser = subparsers.add_parser("data", help="look at training examples, or count them")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text, run in (
        ("show", "print examples with their evidence marked", _show),
        ("stats", "count examples by kind and values by type", _stats),
    ):
        action: argparse.ArgumentParser = actions.add_parser(name, help=text)
        action.add_argument(
            "--source",
            default="synthetic",
            help="`synthetic`, `mixture`, or a data file (*.jsonl, *.jsonl.zst)",
        )
        action.add_argument(
            "--format", default="normalised", choices=sorted(READERS), help="format of a data file"
        )
        action.add_argument("-n", type=int, default=20 if name == "show" else 5000, help="examples to read")
        action.add_argument("--seed", type=int, default=1)
        action.add_argument("--start", type=int, default=0, help="examples to skip")
        action.add_argument("--split", choices=("train", "dev"), default="train")
        action.add_argument("--kind", help="only examples of this kind")
        action.add_argument("--public", help="folder of public rows, for `mixture`")
        action.add_argument("--pool", help="file of tool definitions for the generator")
        action.set_defaults(run=run)


def _examples(arguments: argparse.Namespace, report: ReadReport) -> Iterator[Example]:
    if arguments.source not in ("synthetic", "mixture"):
        found = read_file(
            arguments.source, arguments.format, split=arguments.split, for_training=False, report=report
        )
        yield from islice(
            (e for e in found if _is_wanted(e, arguments)), arguments.start, arguments.start + arguments.n
        )
        return
    if arguments.source == "mixture" and arguments.public is None:
        raise ConfigError("`--source mixture` needs `--public FOLDER`")
    recipe = MixtureRecipe(
        public=arguments.public if arguments.source == "mixture" else None,
        pool=arguments.pool,
        split=arguments.split,
    )
    stream = mixture(recipe, arguments.seed, arguments.start)
    yield from islice((e for e in stream if _is_wanted(e, arguments)), arguments.n)


def _is_wanted(example: Example, arguments: argparse.Namespace) -> bool:
    return arguments.kind is None or example.kind == arguments.kind


def _show(arguments: argparse.Namespace) -> int:
    console = Console(highlight=False)
    report = ReadReport()
    for example in _examples(arguments, report):
        show_example(console, example)
    _print_report(console, report)
    return 0


def _print_report(console: Console, report: ReadReport) -> None:
    if report.read:
        console.print("\n".join(report.lines()), style="dim", markup=False)


def show_example(console: Console, example: Example) -> None:
    """Print one example: tools, messages with evidence marked, calls with where each value was read."""
    title = f"{example.id} · {example.source} · {example.kind}" + (
        f" · today {example.date}" if example.date else ""
    )
    console.rule(Text(title))
    for tool in example.tools:
        console.print(Text(f"# {tool['name']}", "bold"), Text(tool.get("description", ""), "dim"))
        required = tool["parameters"].get("required", ())
        for name, schema in tool["parameters"].get("properties", {}).items():
            rest = {key: value for key, value in schema.items() if key != "description"}
            mark = "" if name in required else "?"
            console.print(
                Text(f"  - {name}{mark}: {json.dumps(rest, ensure_ascii=False)} "),
                Text(schema.get("description", ""), "dim"),
            )
    for index, message in enumerate(example.messages):
        spans = sorted(
            {
                (span.start, span.end)
                for span in example.evidence.values()
                if span and span.message_index == index
            }
        )
        text = Text(message["content"])
        for start, end in spans:
            text.stylize("black on green", start, end)
        console.print(Text(f"{message['role']}: ", "cyan") + text)
        for number, call in enumerate(message.get("tool_calls", ())):
            _show_call(console, example, index, number, call)


def _show_call(console: Console, example: Example, index: int, number: int, call: dict[str, Any]) -> None:
    console.print(Text(f"  -> {call['name']}", "bold magenta"))
    for path, value in leaves(call["arguments"]):
        span = example.evidence.get((index, number, path))
        console.print(
            Text(f"     {path} = {json.dumps(value, ensure_ascii=False)}"), Text(_where(span), "dim")
        )


def _where(span: EvidenceSpan | None) -> str:
    return f"[message {span.message_index}, {span.start}:{span.end}]" if span else "[not verbatim]"


def _stats(arguments: argparse.Namespace) -> int:
    console = Console(highlight=False)
    report = ReadReport()
    kinds: Counter[str] = Counter()
    types: Counter[str] = Counter()
    verbatim: Counter[str] = Counter()
    tools: set[str] = set()
    offered: Counter[int] = Counter()
    optional_given = optional_offered = 0
    for example in _examples(arguments, report):
        kinds[example.kind or example.source] += 1
        offered[len(example.tools)] += 1
        by_name = {tool["name"]: tool["parameters"] for tool in example.tools}
        tools.update(by_name)
        for index, message in enumerate(example.messages):
            for number, call in enumerate(message.get("tool_calls", ())):
                schema = by_name[call["name"]]
                optional = set(schema.get("properties", {})) - set(schema.get("required", ()))
                optional_offered += len(optional)
                optional_given += len(optional & set(call["arguments"]))
                for path, value in leaves(call["arguments"]):
                    types[type(value).__name__] += 1
                    verbatim[type(value).__name__] += example.evidence.get((index, number, path)) is not None
    console.print("examples by kind:", dict(kinds.most_common()))
    console.print(
        "values by type (verbatim share):",
        {name: f"{count} ({verbatim[name] / count:.0%})" for name, count in types.most_common()},
    )
    console.print("tools offered per example:", dict(sorted(offered.items())))
    console.print(
        f"distinct tool names: {len(tools)}; optional arguments given: {optional_given} of {optional_offered}"
    )
    _print_report(console, report)
    return 0
