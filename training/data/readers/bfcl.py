"""BFCL-like questions, for evaluation only: `question`, `function`, and `ground_truth` where given."""

from __future__ import annotations

from typing import Any

from .raw import RawRow


def read_row(row: dict[str, Any]) -> RawRow:
    """The first turn; the first accepted value of every answered argument is the target."""
    question = row["question"]
    turn = question[0] if question and isinstance(question[0], list) else question
    messages: list[dict[str, Any]] = [
        {"role": message["role"], "content": message["content"]} for message in turn
    ]
    calls = []
    for answer in row.get("ground_truth") or ():
        for name, arguments in answer.items():
            given = {
                key: accepted[0] for key, accepted in arguments.items() if accepted and accepted[0] != ""
            }
            calls.append({"name": name, "arguments": given})
    reply = {"role": "assistant", "content": "" if calls else "None of the tools fits.", "tool_calls": calls}
    return RawRow(
        tools=row["function"], messages=[*messages, reply], id=str(row["id"]), split="dev", is_benchmark=True
    )
