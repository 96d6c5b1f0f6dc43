"""NESTFUL: chains of calls whose arguments name earlier results.

Only calls that can be made at once become the target: a reference is no value a tool could be given.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..rows import RowError
from .raw import RawRow, as_list

_REFERENCE = re.compile(r"\$\w+\.?[\w.\[\]]*\$|\$var_?\d+")


def read_row(row: dict[str, Any]) -> RawRow:
    """The leading calls without references, in order."""
    calls = as_list(row["output"], "output")
    ready = [
        call
        for call in calls
        if not _REFERENCE.search(json.dumps(call.get("arguments", {}))) and call.get("name") != "var_result"
    ]
    if not ready:
        raise RowError("every call refers to another call's result")
    if len(ready) < len(calls):  # later calls need results the row does not hold
        ready = [call for number, call in enumerate(calls) if call in ready and number < len(ready)]
    messages = [
        {"role": "user", "content": row["input"]},
        {"role": "assistant", "content": "", "tool_calls": ready},
    ]
    return RawRow(tools=as_list(row["tools"], "tools"), messages=messages, id=str(row.get("sample_id", "")))
