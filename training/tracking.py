"""Metrics to the trackers that a recipe names, of those `accelerate` knows: tensorboard, wandb, ..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agent_runtime.errors import ConfigError

from .extras import require
from .recipe import RunRecipe
from .run import Watcher


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
def tracker(recipe: RunRecipe) -> Iterator[tuple[Watcher, ...]]:
    """The watcher for the recipe's trackers, closed at the end; none where it names none.

    Trackers that write files (tensorboard) do so into the folder of the run.

    Raises:
        ConfigError: a name that accelerate does not know, or whose package is not installed.
    """
    if not recipe.trackers:
        yield ()
        return
    require("accelerate", by="sending metrics to trackers")
    from accelerate import Accelerator

    _check_names(recipe.trackers)
    accelerator = Accelerator(
        log_with=list(recipe.trackers), project_dir=recipe.output, cpu=recipe.device == "cpu"
    )
    accelerator.init_trackers(recipe.name, config=_settings(recipe.model_dump()))
    try:
        yield (_Tracker(accelerator),)
    finally:
        accelerator.end_training()


def _check_names(names: Sequence[str]) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = {str(name) for name in LOGGER_TYPE_TO_CLASS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"trackers: there is none called {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    installed = {str(name) for name in get_available_trackers()}
    missing = [name for name in names if name not in installed]
    if missing:
        raise ConfigError(
            f"trackers: not installed: {', '.join(missing)} (pip install {' '.join(missing)}, or leave out)"
        )


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """A recipe as trackers take it: one level, plain values; what is not set is left out."""
    flat: dict[str, str | int | float | bool] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            flat.update(_settings(value, f"{prefix}{name}."))
        elif isinstance(value, (str, int, float)):
            flat[prefix + name] = value
        elif value is not None:
            flat[prefix + name] = " ".join(map(str, value))
    return flat
