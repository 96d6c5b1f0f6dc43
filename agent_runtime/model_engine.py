"""The engine behind `AgentRuntime.load`: a model and a deployment, turned into turns.

Making one is instant. torch is imported and weights are read when the first turn needs them, away from the
event loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .config import DeploymentConfig, resolve
from .errors import BundleError, ClosedError
from .messages import Turn
from .turn_engine import OnEvent, TurnOrder

if TYPE_CHECKING:
    from .engine.backbone import Backbone
    from .engine.confidence import ReadsConfidence
    from .engine.engine import Engine
    from .engine.head_fill.loaded import LoadedHeads
    from .engine.program import Program
    from .engine.start import TurnStarter
    from .prompt import Prompt

Outcome = TypeVar("Outcome")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model comes from, as `AgentRuntime.load` was told."""

    model: str | Path
    heads: str | Path | None = None
    revision: str | None = None
    adapter: str | Path | None = None
    local_files_only: bool = False


class ModelEngine:
    """Turns of one model under one deployment."""

    def __init__(
        self,
        source: ModelSource,
        deployment: DeploymentConfig,
        *,
        confidence: ReadsConfidence | None = None,
    ) -> None:
        """Know what to load, and load nothing.

        Args:
            source: the model.
            deployment: how to run it.
            confidence: says how sure we are of a call, in place of what the model's heads say.
        """
        self._source = source
        self._confidence = confidence
        self._deployment = deployment
        self._lock = threading.Lock()
        self._opened: tuple[Engine, TurnStarter] | None = None
        self._heads: LoadedHeads | None = None
        self._is_closed = False

    async def turn(self, order: TurnOrder, on_event: OnEvent | None = None) -> Turn:
        """Make a turn; see `TurnEngine`."""
        ordered_at = time.perf_counter()
        engine, starter = await self._ready()
        return await engine.run(
            functools.partial(starter.turn, order, ordered_at),
            deadline_s=order.deployment.request_deadline_s,
            on_event=on_event,
        )

    async def prompt(self, order: TurnOrder) -> Prompt:
        """What the backbone would read; see `TurnEngine`."""
        engine, starter = await self._ready()
        return await engine.run(functools.partial(starter.prompt, order))

    async def warm_up(self) -> None:
        """Read the weights and run every kind of forward once."""
        engine, starter = await self._ready()
        await engine.warm_up()
        await engine.run(starter.warm_up)

    async def run(self, start: Callable[[TurnStarter, Backbone], Program[Outcome]]) -> Outcome:
        """Run a program that is no turn of a conversation, in its place among the turns."""
        engine, starter = await self._ready()
        return await engine.run(lambda backbone, _: start(starter, backbone))

    def statistics(self) -> Any:
        """`EngineStatistics`, or None before the first turn."""
        return None if self._opened is None else self._opened[0].statistics()

    def close(self) -> None:
        """End every turn with `ClosedError` and free the weights."""
        with self._lock:
            self._is_closed = True
            opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()

    async def _ready(self) -> tuple[Engine, TurnStarter]:
        opened = self._opened
        return (
            opened if opened is not None else await asyncio.to_thread(self._open)
        )  # importing torch is slow

    def _open(self) -> tuple[Engine, TurnStarter]:
        from .engine.engine import Engine, limits_of
        from .engine.start import TurnStarter

        with self._lock:
            if self._is_closed:
                raise ClosedError("the runtime was closed: load a new one")
            opened = self._opened
            if opened is None:
                opened = self._opened = (
                    Engine(self._load_backbone, limits_of(self._deployment)),
                    TurnStarter(self._confidence, heads=lambda: self._heads),
                )
            return opened

    def _load_backbone(self) -> Backbone:
        """Read the weights as the machine can hold them; runs on the engine's worker thread."""
        from .engine.backbone import Backbone
        from .engine.device import find_capabilities
        from .engine.graph_setup import graphs_of
        from .engine.head_fill.loaded import bind, load_bundle

        resolved, notes = resolve(self._deployment, find_capabilities())
        for note in notes:
            logger.warning(note)
        source = self._source
        bundle = None
        if source.heads is not None:
            bundle = load_bundle(source.heads, local_files_only=source.local_files_only)
            if self._deployment.asks_heads and not bundle.config.reads_states:
                setting = "fill='diffusion'" if self._deployment.fill == "diffusion" else "drafter='heads'"
                raise BundleError(
                    f"heads {str(source.heads)!r}: {setting} needs heads that propose values, and "
                    "this bundle has none: give another, or use fill='verified' with drafter='copies'"
                )
        backbone = Backbone.load(
            source.model,
            device=resolved.device,
            dtype=resolved.dtype,
            quantization=resolved.quantization,
            max_seq_len=resolved.max_seq_len,
            revision=source.revision,
            local_files_only=source.local_files_only,
            adapter=source.adapter,
            # States cost memory and a little time: they are kept only for who reads them.
            taps=bundle.config.taps if bundle is not None and self._deployment.asks_heads else (),
            graphs=graphs_of(resolved),
        )
        if bundle is not None:
            self._heads = bind(bundle, backbone, source=source.heads)
        return backbone
