"""B2, B3 and what has heads: our own fills, on weights that rows share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..config import Drafter, Fill, revised
from ..engine.backbone import Backbone
from ..engine.program import Program
from ..engine.start import TurnStarter
from ..model_engine import ModelEngine
from ..runtime import AgentRuntime
from .questions import Question
from .rows import Answer, BenchModel
from .side_by_side import side_by_side_program


class RuntimeRow:
    """One fill of a runtime."""

    notes: tuple[str, ...] = ()

    def __init__(self, engine: ModelEngine, model: BenchModel, fill: Fill, *, drafter: Drafter) -> None:
        """Choose a fill.

        Args:
            engine: holds the weights; rows may share it.
            model: how it is deployed.
            fill: how values are written.
            drafter: who drafts them, where they are verified.
        """
        self._runtime = AgentRuntime(engine, revised(model.deployment, fill=fill, drafter=drafter))

    async def warm_up(self, questions: Sequence[Question], max_tokens: int) -> None:
        """Read the weights and answer once."""
        await self._runtime.warm_up()
        for question in questions:
            await self.answer([question], max_tokens)

    async def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """One turn for each question, side by side."""
        return await asyncio.gather(*(self._turn(question, max_tokens) for question in questions))

    async def _turn(self, question: Question, max_tokens: int) -> Answer:
        turn = await self._runtime.respond(
            question.messages,
            tools=question.tools,
            tool_choice="required",
            parallel_tool_calls=False,
            max_tokens=max_tokens,
        )
        return Answer(
            calls=tuple((call.name, call.arguments) for call in turn.tool_calls),
            forwards=turn.usage.forwards,
            tokens=turn.usage.completion_tokens,
        )


class SideBySideRow:
    """B3b, which is no fill of a runtime."""

    notes: tuple[str, ...] = ()

    def __init__(self, engine: ModelEngine, model: BenchModel, *, is_verified: bool) -> None:
        """Run on weights that rows share.

        Args:
            engine: holds the weights.
            model: how it is deployed.
            is_verified: whether values are verified.
        """
        self._engine = engine
        self._max_slot_tokens = model.deployment.max_slot_tokens
        self._is_verified = is_verified

    async def warm_up(self, questions: Sequence[Question], max_tokens: int) -> None:
        """Read the weights and answer once."""
        await self._engine.warm_up()
        for question in questions:
            await self.answer([question], max_tokens)

    async def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """One call for each question, side by side."""
        return await asyncio.gather(*(self._call(question, max_tokens) for question in questions))

    async def _call(self, question: Question, max_tokens: int) -> Answer:
        def start(starter: TurnStarter, backbone: Backbone) -> Program[Answer]:
            return side_by_side_program(
                question,
                starter.view(backbone),
                backbone,
                max_tokens=max_tokens,
                max_slot_tokens=min(self._max_slot_tokens, max_tokens),
                is_verified=self._is_verified,
            )

        return await self._engine.run(start)
