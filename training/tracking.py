"""Metrics to the trackers that a recipe names, of those `accelerate` knows: tensorboard, wandb, ..."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent_runtime.errors import ConfigError

from .extras import require
from .recipe import BackboneRecipe
from .trainer import Watcher


class _Tracker:
    """Passes numbers on to every tracker."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        numbers = {key: value for key, value in metrics.items() if key not in ("step", "time")}
        self._accelerator.log(numbers, step=metrics["step"])

    def on_message(self, text: str) -> None:
        """Trackers hold numbers only."""


@contextmanager
def tracker(recipe: BackboneRecipe) -> Iterator[tuple[Watcher, ...]]:
    """The watcher for the recipe's trackers, closed at the end; none where it names none.

    Raises:
        ConfigError: a name that accelerate does not know, or whose package is not installed.
    """
    if not recipe.trackers:
        yield ()
        return
    require("accelerate", by="sending metrics to trackers")
    from accelerate import Accelerator
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    available = {str(name.value if hasattr(name, "value") else name) for name in get_available_trackers()}
    known = {str(name) for name in LOGGER_TYPE_TO_CLASS}
    missing = [name for name in recipe.trackers if name not in available]
    if missing:
        raise ConfigError(
            f"trackers {', '.join(missing)} cannot be used: installed are "
            f"{', '.join(sorted(available)) or 'none'}; accelerate knows {', '.join(sorted(known))}"
        )
    accelerator = Accelerator(
        log_with=list(recipe.trackers), project_dir=str(recipe.folder), cpu=recipe.device == "cpu"
    )
    accelerator.init_trackers(recipe.name, config={})
    try:
        yield (_Tracker(accelerator),)
    finally:
        accelerator.end_training()
