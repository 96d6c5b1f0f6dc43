"""`python -m integrations.mcp`: the command `smolcall mcp`, where the script is not on the path."""

from __future__ import annotations

import sys

from agent_runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["mcp", *sys.argv[1:]]))
