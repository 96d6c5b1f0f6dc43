"""`python -m integrations.bfcl.official`: install, serve, ask, evaluate, compare."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from random import Random

from rich.console import Console
from rich.text import Text

from agent_runtime.errors import AgentRuntimeError, ConfigError
from agent_runtime.evaluation.bfcl import LIVE, NON_LIVE, SINGLE_TURN, read_questions

from ..files import BfclFolder, json_line
from .compare import CategoryComparison, compare_category, comparison_table
from .environment import OfficialProgram
from .faults import faulty_answer
from .serving import serving

MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
MEMORY = ("memory_kv", "memory_rec_sum")
OFFLINE = (*SINGLE_TURN, *MULTI_TURN, *MEMORY)
"""Every scored category but those that need the network: web search, and memory_vector's model."""

_GROUPS = {
    "offline": OFFLINE,
    "single_turn": SINGLE_TURN,
    "non_live": NON_LIVE,
    "live": LIVE,
    "multi_turn": MULTI_TURN,
    "memory": MEMORY,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit status: 1 where our rules gave another verdict than the official ones."""
    console = Console(highlight=False)
    arguments = _arguments(argv)
    try:
        comparisons = run(arguments, console)
    except AgentRuntimeError as error:
        console.print(Text(str(error), style="red"), soft_wrap=True)
        return 2
    if not comparisons:
        return 0
    console.print(comparison_table(comparisons))
    for comparison in comparisons:
        for each in comparison.differences:
            console.print(f"{each.id}: official {each.official}, ours {each.ours}", soft_wrap=True)
    return int(any(each.is_verdict for found in comparisons for each in found.differences))


def run(arguments: argparse.Namespace, console: Console) -> list[CategoryComparison]:
    """Do what was asked for; the comparison covers the categories of one question and one reply.

    Raises:
        AgentRuntimeError: something cannot be used, or the official program failed.
    """
    wanted = _categories(arguments.categories)
    name = arguments.name if arguments.with_faults is None else f"faults-{arguments.with_faults}"
    folder = BfclFolder(arguments.out, name)
    arguments.out.mkdir(parents=True, exist_ok=True)
    program = OfficialProgram(arguments.venv)
    console.print(f"environment: {arguments.venv}")
    if program.install():
        console.print("installed the official program")
    if arguments.with_faults is not None:
        _write_faulty_answers(program, folder, wanted, arguments)
    elif not arguments.evaluate_only:
        with ExitStack() as stack:
            address = arguments.base_url
            if address is None:
                log = arguments.out / "server.log"
                address = stack.enter_context(serving(_serve_options(arguments), log))
            console.print(f"asking {address}")
            _generate(program, wanted, arguments, address)
    present = [category for category in wanted if _has_answers(folder, category)]
    if not present:
        raise ConfigError(f"there are no answers in {folder.results}: leave --evaluate-only out")
    # The program aggregates whatever stands in the folder, so it must know every name there.
    names = sorted({path.name for path in folder.results.parent.iterdir() if path.is_dir()})
    argv = ["evaluate", "--model", folder.name, "--test-category", ",".join(present), "--partial-eval"]
    program.run(arguments.out, names, argv, OPENAI_API_KEY="unused")
    return [
        compare_category(program.data, folder, category) for category in present if category in SINGLE_TURN
    ]


def _generate(
    program: OfficialProgram, wanted: Sequence[str], arguments: argparse.Namespace, address: str
) -> None:
    argv = ["generate", "--model", arguments.name, "--num-threads", str(arguments.threads)]
    if arguments.limit is None and arguments.ids_of is None:
        argv += ["--test-category", ",".join(wanted)]
    else:
        ids = {category: _ids(arguments, program.data, category) for category in wanted}
        (arguments.out / "test_case_ids_to_generate.json").write_text(json.dumps(ids), encoding="utf-8")
        argv += ["--run-ids"]
    environment = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": arguments.api_key}
    program.run(arguments.out, [arguments.name], argv, **environment)


def _write_faulty_answers(
    program: OfficialProgram, folder: BfclFolder, wanted: Sequence[str], arguments: argparse.Namespace
) -> None:
    random = Random(arguments.with_faults)
    folder.forget(wanted)
    for category in wanted:
        if category not in SINGLE_TURN:
            raise ConfigError(f"--with-faults knows questions of one turn only: leave {category} out")
        ids = set(_ids(arguments, program.data, category))
        with folder.open_answers(category) as file:
            for question in read_questions(program.data, category):
                if question.id in ids:
                    file.write(json_line({"id": question.id, "result": faulty_answer(question, random)}))


def _ids(arguments: argparse.Namespace, data: Path, category: str) -> list[str]:
    if category in MEMORY:
        raise ConfigError("memory questions build on one another: ask them without --limit and --ids-of")
    file = (arguments.ids_of or data) / f"BFCL_v4_{category}.json"
    if not file.is_file():
        raise ConfigError(f"--ids-of {file.parent} holds no {file.name}: choose other --categories")
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line)["id"] for line in islice(lines, arguments.limit)]


def _has_answers(folder: BfclFolder, category: str) -> bool:
    return any(folder.results.rglob(f"BFCL_v4_{category}_result.json"))


def _categories(named: Sequence[str]) -> list[str]:
    wanted: set[str] = set()
    for name in (part for text in named for part in text.split(",") if part):
        if name not in _GROUPS and name not in OFFLINE:
            raise ConfigError(f"unknown category {name!r}: choose among {', '.join([*_GROUPS, *OFFLINE])}")
        wanted.update(_GROUPS.get(name, (name,)))
    return [name for name in OFFLINE if name in wanted]


def _serve_options(arguments: argparse.Namespace) -> list[str]:
    options = [part for setting in arguments.settings for part in ("--set", setting)]
    for name in ("model", "heads", "deployment", "fill"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name}", value]
    return [*options, "--model-name", "smolcall", "--log-level", "warning"]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m integrations.bfcl.official",
        description="Run the official BFCL program, unmodified and in an environment of its own, against "
        "`smolcall serve`, and compare its verdicts with our rules. Started again, it goes on.",
    )
    add = parser.add_argument
    add("--venv", type=Path, required=True, help="the program's environment; made when it is missing")
    add("--out", type=Path, required=True, help="results and scores go here")
    add("--categories", nargs="+", default=["single_turn"], metavar="NAME", help=", ".join(_GROUPS))
    add("--limit", type=int, metavar="N", help="ask the first N of each category")
    add("--ids-of", type=Path, metavar="DIR", help="ask only the questions of the files in this folder")
    add("--name", default="smolcall", help="the model's name in the files (smolcall)")
    add("--threads", type=int, default=4, metavar="N", help="questions at the same time (4)")
    add("--evaluate-only", action="store_true", help="ask nothing; judge the answers there are")
    add(
        "--with-faults",
        type=int,
        metavar="SEED",
        help="ask nothing; make answers from the reference answers with random faults, to compare the rules",
    )
    add("--base-url", metavar="URL", help="a server that runs already, serving the name smolcall")
    add("--api-key", default="unused", help="its key")
    for option in ("--model", "--heads", "--deployment", "--fill"):
        add(option, help="as for smolcall serve")
    add(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="as for smolcall serve",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
