"""The rows of the table: what each is, what it needs, and what it is asked to do."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..config import DeploymentConfig, Fill
from .questions import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a row made of a question."""

    calls: tuple[tuple[str, Any], ...]
    """Names and arguments; empty where no complete call was written."""

    forwards: int
    tokens: int


class Row(Protocol):
    """A way to write calls, with its weights in memory."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to judge its numbers."""
        ...

    async def warm_up(self, questions: Sequence[Question], max_tokens: int) -> None:
        """Do once what is done once: compile, choose, fill caches."""
        ...

    async def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """One call for each question, all side by side."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKind:
    """A row that may be asked for.

    Attributes:
        key: its name on the command line.
        title: its name in the table.
        fill: the fill of ours that it is; None where it is not ours.
        packages: what it imports that may not be installed.
        needs_heads: whether it needs a head bundle.
        is_drafting: whether it reads drafts, so that forwards accept tokens.
        is_b2: whether it must write the very calls of B2.
    """

    key: str
    title: str
    fill: Fill | None = None
    packages: tuple[str, ...] = ()
    needs_heads: bool = False
    is_drafting: bool = False
    is_b2: bool = False

    @property
    def weights(self) -> str:
        """Whose weights it runs on: rows that say the same share them."""
        if self.key in ("b0", "b1-xgrammar", "b1-llguidance"):
            return "transformers"
        return "with heads" if self.needs_heads else "without heads"

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """What is not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)


KINDS = (
    RowKind(key="b0", title="B0 generate"),
    RowKind(key="b1-xgrammar", title="B1 generate, xgrammar", packages=("xgrammar",)),
    RowKind(key="b1-llguidance", title="B1 generate, llguidance", packages=("llguidance",)),
    RowKind(key="b2", title="B2 autoregressive", fill="autoregressive"),
    RowKind(key="b3", title="B3 verified, no heads", fill="verified", is_drafting=True, is_b2=True),
    RowKind(key="b3b", title="B3b slots side by side", is_drafting=True),
    RowKind(key="b3b-verified", title="B3b verified", is_drafting=True, is_b2=True),
    RowKind(key="diffusion", title="diffusion", fill="diffusion", needs_heads=True, is_drafting=True),
    RowKind(
        key="verified",
        title="verified, heads",
        fill="verified",
        needs_heads=True,
        is_drafting=True,
        is_b2=True,
    ),
)
KIND_OF = {kind.key: kind for kind in KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModel:
    """What all rows run on.

    Attributes:
        folder: the model's folder.
        name: what it is called in the report.
        is_random: whether its weights are random, so that no answer is right.
        adapter: a LoRA adapter on it.
        heads: a head bundle, if there is one.
        deployment: how our rows run; device and dtype are concrete and go for all rows.
    """

    folder: Path
    name: str
    is_random: bool
    adapter: Path | None = None
    heads: str | Path | None = None
    deployment: DeploymentConfig
