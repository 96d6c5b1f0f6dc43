"""`python -m agent_runtime` is the command line `smolcall`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
