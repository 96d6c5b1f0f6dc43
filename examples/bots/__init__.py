"""What the example bots share: clients of four public services, a stand-in for them, and a terminal face.

None of it is part of the library; copy what you like. Needs the extra `bots`.
"""

from __future__ import annotations

import importlib.util

_missing = [name for name in ("aiohttp", "aiolimiter", "stamina") if importlib.util.find_spec(name) is None]
if _missing:
    raise ImportError(f"the example bots need {', '.join(_missing)}: pip install -e '.[bots]'")
