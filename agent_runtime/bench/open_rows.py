"""Loading rows: weights once for all rows that can share them, and a reason for each row that cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import revised
from ..errors import AgentRuntimeError
from ..model_engine import ModelEngine, ModelSource
from .generate_rows import (
    GenerateRow,
    LlguidanceConstraint,
    Transformers,
    XgrammarConstraint,
    unconstrained,
)
from .measure import Measured, Plan
from .memory import PeakMemory
from .questions import Question
from .report import MemoryFigures, RowReport
from .rows import BenchModel, Row, RowKind
from .runtime_rows import RuntimeRow, SideBySideRow


class OpenRows:
    """The rows that could be opened, by key, and why the others could not."""

    def __init__(self, model: BenchModel) -> None:
        """Nothing is loaded yet."""
        self.rows: dict[str, Row] = {}
        self._model = model
        self._missing: dict[str, str] = {}
        self._loaded_mb: dict[str, float | None] = {}
        self._transformers: Transformers | None = None
        self._engines: dict[bool, ModelEngine] = {}

    async def open(self, kind: RowKind, plan: Plan) -> None:
        """Load and warm up a row, or note what it lacks.

        Raises:
            AgentRuntimeError: the model or the heads cannot be used.
        """
        if kind.missing_packages:
            names = ", ".join(kind.missing_packages)
            self._missing[kind.key] = f"{names} is not installed: pip install 'smolcall[bench]'"
            return
        if kind.needs_heads and self._model.heads is None:
            self._missing[kind.key] = "there is no head bundle: name one with --heads"
            return
        memory = PeakMemory(self._model.deployment.device)
        memory.start()
        try:
            row = self._row(kind)
            await row.warm_up(_warm_up_questions(plan), plan.max_tokens)
        except AgentRuntimeError:
            raise
        except Exception as error:  # another library, on a model or a machine it does not know
            self._missing[kind.key] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return
        self.rows[kind.key] = row
        # Weights may be mapped and not read before they are first used.
        self._loaded_mb.setdefault(kind.weights, memory.held())

    def report(self, kind: RowKind, measured: Measured) -> RowReport:
        """What a row did."""
        if kind.key in self._missing:
            return RowReport(key=kind.key, title=kind.title, missing=self._missing[kind.key])
        return RowReport(
            key=kind.key,
            title=kind.title,
            notes=self.rows[kind.key].notes,
            questions=measured.questions.get(kind.key),
            growth=measured.growth[kind.key],
            batches=measured.batches[kind.key],
            memory=MemoryFigures(
                loaded=self._loaded_mb[kind.weights], answering=measured.answering_mb[kind.key]
            ),
        )

    def close(self) -> None:
        """Free the weights."""
        for engine in self._engines.values():
            engine.close()

    def _row(self, kind: RowKind) -> Row:
        model = self._model
        if kind.fill is not None:
            return RuntimeRow(
                self._engine(kind.needs_heads),
                model,
                kind.fill,
                drafter="heads" if kind.needs_heads else "copies",
            )
        if kind.key in ("b3b", "b3b-verified"):
            return SideBySideRow(self._engine(kind.needs_heads), model, is_verified=kind.is_b2)
        backend = self._generate()
        if kind.key == "b0":
            return GenerateRow(backend, unconstrained, tries_static=False)
        constrain = XgrammarConstraint if kind.key == "b1-xgrammar" else LlguidanceConstraint
        return GenerateRow(backend, constrain(backend), tries_static=True)

    def _generate(self) -> Transformers:
        if self._transformers is None:
            self._transformers = Transformers(self._model)
        return self._transformers

    def _engine(self, has_heads: bool) -> ModelEngine:
        if has_heads not in self._engines:
            model = self._model
            heads = model.heads if has_heads else None
            source = ModelSource(model=model.folder, heads=heads, adapter=model.adapter)
            deployment = revised(model.deployment, drafter="heads") if has_heads else model.deployment
            self._engines[has_heads] = ModelEngine(source, revised(deployment, fill="verified"))
        return self._engines[has_heads]


def _warm_up_questions(plan: Plan) -> Sequence[Question]:
    """The longest: it decides how large a static cache gets."""
    return [max(plan.questions, key=lambda question: len(str(question.tools)) + len(question.ask))]
