"""The engine behind `AgentRuntime.load`: a model and a deployment, turned into turns.

Making one is instant. torch is imported and weights are read when the first turn needs them, away from the
event loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import DeploymentConfig, resolve
from .errors import ClosedError
from .messages import Turn
from .turn_engine import OnEvent, TurnOrder

if TYPE_CHECKING:
    from .engine.backbone import Backbone
    from .engine.engine import Engine
    from .prompt import Prompt

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model comes from, as `AgentRuntime.load` was told."""

    model: str | Path
    revision: str | None = None
    adapter: str | Path | None = None
    local_files_only: bool = False


class ModelEngine:
    """Turns of one model under one deployment."""

    def __init__(self, source: ModelSource, deployment: DeploymentConfig) -> None:
        self._source = source
        self._deployment = deployment
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._is_closed = False

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        """Make a turn; see `TurnEngine`."""
        from .engine.start import start_turn

        engine = await self._ready()
        return await engine.run(
            functools.partial(start_turn, order),
            deadline_s=order.deployment.request_deadline_s,
            on_event=on_event,
        )

    async def prompt(self, order: TurnOrder) -> Prompt:
        """What the backbone would read; see `TurnEngine`."""
        engine = await self._ready()
        from .engine.start import start_prompt

        return await engine.run(functools.partial(start_prompt, order))

    async def warm_up(self) -> None:
        """Read the weights and run every kind of forward once."""
        await (await self._ready()).warm_up()

    def statistics(self) -> Any:
        """`EngineStatistics`, or None before the first turn."""
        return None if self._engine is None else self._engine.statistics()

    def close(self) -> None:
        """End every turn with `ClosedError` and free the weights."""
        with self._lock:
            self._is_closed = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def _ready(self) -> Engine:
        return self._engine or await asyncio.to_thread(self._open)  # importing torch takes seconds

    def _open(self) -> Engine:
        from .engine.engine import Engine, limits_of

        with self._lock:
            if self._is_closed:
                raise ClosedError("the runtime was closed: load a new one")
            if self._engine is None:
                self._engine = Engine(self._load_backbone, limits_of(self._deployment))
            return self._engine

    def _load_backbone(self) -> Backbone:
        """Read the weights as the machine can hold them; runs on the engine's worker thread."""
        from .engine.backbone import Backbone
        from .engine.device import find_capabilities

        resolved, notes = resolve(self._deployment, find_capabilities())
        for note in notes:
            logger.warning(note)
        return Backbone.load(
            self._source.model,
            device=resolved.device,
            dtype=resolved.dtype,
            quantization=resolved.quantization,
            max_seq_len=resolved.max_seq_len,
            revision=self._source.revision,
            local_files_only=self._source.local_files_only,
            adapter=self._source.adapter,
        )
