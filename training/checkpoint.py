"""Checkpoints of a training run: whole or absent, and enough to go on as if nothing had happened.

A folder `checkpoint-{step}` holds float32 weights, both optimizers, random state, the place in the data and
counters. It is written under another name and renamed when complete. `latest` and `best` are text files that
name a folder. What a deployment reads is made by export.py.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from agent_runtime.errors import ConfigError

_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All of a run at one step."""

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    data: Mapping[str, Any]
    counters: Mapping[str, Any]
    random_state: Tensor


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int, is_best: bool = False) -> Path:
    """Write `folder/checkpoint-{step}`, point `latest` (and `best`) to it, and drop old ones."""
    target = folder / f"{_PREFIX}{checkpoint.step}"
    partial = folder / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(dict(checkpoint.weights), partial / "weights.safetensors")
    tensors: dict[str, Tensor] = {"random_state": checkpoint.random_state}
    described = _pull_tensors(checkpoint.optimizer, "optimizer", tensors)
    save_file(tensors, partial / "state.safetensors")
    state = {"step": checkpoint.step, "optimizer": described, "counters": dict(checkpoint.counters)}
    (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (partial / "data.json").write_text(json.dumps(checkpoint.data), encoding="utf-8")
    for file in partial.iterdir():
        _sync(file)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _sync(folder)
    point_to(folder, "latest", target)
    if is_best:
        point_to(folder, "best", target)
    _drop_old(folder, keep)
    return target


def load_checkpoint(target: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    try:
        state = json.loads((target / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(target / "state.safetensors")
        return Checkpoint(
            step=state["step"],
            weights=load_file(target / "weights.safetensors"),
            optimizer=_put_tensors(state["optimizer"], tensors),
            data=json.loads((target / "data.json").read_text(encoding="utf-8")),
            counters=state["counters"],
            random_state=tensors["random_state"],
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(
            f"{target} is not a usable checkpoint ({error}): remove it to go on from an earlier one"
        ) from error


def find_checkpoint(folder: Path, name: str = "latest") -> Path | None:
    """The checkpoint that `latest` or `best` names, or None before the first one."""
    pointer = folder / name
    if not pointer.is_file():
        return None
    target = folder / pointer.read_text(encoding="utf-8").strip()
    return target if target.is_dir() else None


def point_to(folder: Path, name: str, target: Path) -> None:
    """Make `latest` or `best` name `target`, in one move."""
    partial = folder / f".{name}.partial"
    partial.write_text(target.name + "\n", encoding="utf-8")
    partial.replace(folder / name)


def _drop_old(folder: Path, keep: int) -> None:
    held = {path.name for name in ("latest", "best") if (path := find_checkpoint(folder, name))}
    by_step = sorted(folder.glob(f"{_PREFIX}*"), key=lambda path: int(path.name.removeprefix(_PREFIX)))
    for path in by_step[:-keep]:
        if path.name not in held:
            shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pull_tensors(value: Any, path: str, into: dict[str, Tensor]) -> Any:
    """Plain data of a nested state; its tensors go `into` a flat mapping (no pickle is ever written)."""
    if isinstance(value, Tensor):
        into[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"items": [[key, _pull_tensors(item, f"{path}.{key}", into)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_pull_tensors(item, f"{path}.{index}", into) for index, item in enumerate(value)]}
    return {"plain": value}


def _put_tensors(value: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "items" in value:
        return {key: _put_tensors(item, tensors) for key, item in value["items"]}
    if "list" in value:
        return [_put_tensors(item, tensors) for item in value["list"]]
    return value["plain"]


def random_state() -> Tensor:
    """State of torch's generator."""
    return torch.get_rng_state()
