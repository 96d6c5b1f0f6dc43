"""The text of a bundle's model card, made from what the bundle holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .calibration import Calibration
from .config import HeadConfig

_NO_NOTES = "Not stated."
_BEFORE_NOTES, _AFTER_NOTES = "\n## Training\n", "\n## Use\n"

_WHAT = {
    "diffusion": "fills all slots of a call in parallel, correcting the backbone's own distribution",
    "span": "proposes verbatim copies out of the conversation, which are also the evidence of a value",
    "probes": "say how many tokens a value has and whether an optional argument is given",
    "confidence": "gives the probability that a value, and that a whole call, is right",
}

_CARD = """\
---
library_name: smolcall
tags: [tool-calling, smollm3, masked-diffusion]
{base}---

# Heads for tool calls

Small heads on a frozen SmolLM3 backbone, for `agent_runtime`. They hold no part of the backbone and load only
on the one they were trained on.

| head | parameters | what it does |
|---|---|---|
{rows}

## Backbone

| fact | value |
|---|---|
{facts}

Layers read: {taps}. Mask id {mask}, null id {null}.

## Calibration

{calibration}

## Training

{notes}

## Use

```python
from agent_runtime import AgentRuntime, DeploymentConfig

runtime = AgentRuntime.load(BACKBONE, heads=THIS, deployment=DeploymentConfig(fill="{fill}"))
```
"""


def model_card(
    config: HeadConfig,
    calibration: Calibration,
    *,
    num_parameters: Mapping[str, int],
    base_model: str = "",
    notes: str = "",
) -> str:
    """The card of a bundle.

    Args:
        config: of the bundle.
        calibration: of the bundle.
        num_parameters: of each head it has.
        base_model: the backbone's Hub id, if it has one.
        notes: Markdown about data, recipe and figures, of whoever trained it.
    """
    facts = config.backbone.model_dump()
    measured = [f"- {name}: {value:.4g}" for name, value in sorted(calibration.measured.items())]
    return _CARD.format(
        base=f"base_model: {base_model}\n" if base_model else "",
        rows="\n".join(f"| {name} | {count:,} | {_WHAT[name]} |" for name, count in num_parameters.items()),
        facts="\n".join(
            f"| {name} | {value if value != '' else 'not stated'} |" for name, value in facts.items()
        ),
        taps=", ".join(map(str, config.taps)),
        mask=config.mask_token_id,
        null=config.null_token_id,
        fill="verified" if config.diffusion is None else "diffusion",
        calibration="\n".join(measured) or "Not fitted: probabilities are what the heads say.",
        notes=notes.strip() or _NO_NOTES,
    )


class CardText(NamedTuple):
    """What a person wrote into a card."""

    base_model: str = ""
    notes: str = ""


def stated_in_card(folder: Path) -> CardText:
    """What the card of a saved bundle says beyond its config; empty where there is none."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    base = re.search(r"^base_model: (.+)$", text, re.MULTILINE)
    notes = text.partition(_BEFORE_NOTES)[2].partition(_AFTER_NOTES)[0].strip()
    return CardText(base[1] if base else "", "" if notes == _NO_NOTES else notes)
