"""Runtimes shared by chat models: weights are read once for each model and deployment of a process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from agent_runtime import AgentRuntime, DeploymentConfig, embedded_model_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeKey:
    """What decides whether two chat models can share weights."""

    model: str | None
    heads: str | None
    revision: str | None
    adapter: str | None
    local_files_only: bool
    deployment: DeploymentConfig


_runtimes: dict[RuntimeKey, AgentRuntime] = {}
_lock = threading.Lock()


def shared_runtime(key: RuntimeKey) -> AgentRuntime:
    """The runtime of a key; made when first asked for, its weights read by its first turn.

    Raises:
        ConfigError: it cannot be made.
    """
    with _lock:
        found = _runtimes.get(key)
        if found is None:
            found = _runtimes[key] = AgentRuntime.load(
                key.model,
                heads=key.heads,
                deployment=key.deployment,
                revision=key.revision,
                adapter=key.adapter,
                local_files_only=key.local_files_only,
            )
        return found


def close_runtimes() -> None:
    """Close the runtimes that chat models made, and free their weights; later turns read them again."""
    with _lock:
        closing = list(_runtimes.values())
        _runtimes.clear()
    for runtime in closing:
        runtime.close()


def canonical_model(model: str | None) -> str | None:
    """One name for one folder, so that weights are not read twice; None is the embedded model."""
    if model is None or not Path(model).is_dir():
        return model
    folder = Path(model).resolve()
    return None if folder == embedded_model_folder().resolve() else str(folder)
