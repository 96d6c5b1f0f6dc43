"""`python -m training`: tokenizer, backbone, heads, evaluate, export, report, embedded, data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent_runtime.errors import AgentRuntimeError

_ALLOCATOR = {
    # Keep freed memory: giving it back and asking again costs more than a third of a CPU training step.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    # Threads that wait must not spin: the data process needs the core.
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors a user can mend are one line, without a traceback."""
    from .commands import make_parser

    parsed = make_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except AgentRuntimeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _restart_with_allocator(arguments: Sequence[str]) -> None:
    """Allocator settings are read once, when a process starts."""
    missing = {name: value for name, value in _ALLOCATOR.items() if name not in os.environ}
    if missing and sys.platform == "linux" and arguments[:1] in (["backbone"], ["heads"]):
        os.execve(sys.executable, [sys.executable, "-m", "training", *arguments], {**os.environ, **missing})


if __name__ == "__main__":
    _restart_with_allocator(sys.argv[1:])
    if Path.cwd().joinpath("training", "__main__.py").is_file() and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    sys.exit(main())
