"""What `smolcall doctor` prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from ..config import DeploymentConfig
from ..doctor import examine
from .screen import as_json, visible

_MARKS = {"ok": ("✓", "green"), "off": ("!", "yellow"), "problem": ("✗", "red")}


def report(
    model: str | Path | None,
    *,
    heads: str | Path | None,
    deployment: DeploymentConfig,
    revision: str | None,
    adapter: str | None,
    load: bool,
    console: Console,
    is_json: bool,
) -> bool:
    """Print the findings as they come; whether there is no problem."""
    findings = []
    found = examine(model, heads=heads, deployment=deployment, revision=revision, adapter=adapter, load=load)
    for finding in found:
        findings.append(finding)
        if not is_json:
            mark, style = _MARKS[finding.kind]
            line = Text(f"{mark} {finding.subject:<11}", style=style)
            line.append(visible(finding.text), style="default")
            console.print(line, soft_wrap=True)
    is_well = all(finding.kind != "problem" for finding in findings)
    if is_json:
        console.file.write(as_json({"is_well": is_well, "findings": findings}) + "\n")
    else:
        verdict = "ready" if is_well else "not ready: see the lines marked ✗"
        console.print(Text(verdict, style="bold green" if is_well else "bold red"))
    return is_well
