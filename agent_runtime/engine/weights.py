"""Where a backbone's weights come from: safetensors files, or a transformers model.

Plain weights are read from the files, tensor by tensor: transformers' own model class would cost a
second of imports and a second copy in memory. Quantised and adapted models need that class.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import ConfigError
from .linear import JoinedLinear, Linear, make_linear

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"


class Weights(Protocol):
    """Tensors and linear layers by their names in a SmolLM3 checkpoint."""

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the device, in the dtype of the forward."""
        ...

    def linear(self, names: Sequence[str]) -> Linear:
        """One linear that computes all the named layers (`...q_proj`) side by side."""
        ...


class FileWeights:
    """Weights in a folder's safetensors files."""

    def __init__(self, folder: Path, *, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._folder = folder
        self._readers: dict[str, Any] = {}
        self._file_of = _find_tensors(folder)

    def tensor(self, name: str) -> Tensor:
        """One tensor of the files.

        Raises:
            ConfigError: the files do not hold it, or are damaged.
        """
        if name not in self._file_of:
            raise ConfigError(
                f"model folder {self._folder}: weight {name!r} is in none of its safetensors files; "
                "save the model again with save_pretrained, or fetch it again"
            )
        try:
            tensor: Tensor = self._reader(self._file_of[name]).get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"model folder {self._folder}: {self._file_of[name]}: {error}") from error
        # A copy, since the file is mapped into memory and may be replaced while we run.
        return tensor.to(device=self._device, dtype=self._dtype, copy=True)

    def linear(self, names: Sequence[str]) -> Linear:
        """One linear out of the named layers' weights and biases."""
        biases = [self.tensor(f"{name}.bias") for name in names if f"{name}.bias" in self._file_of]
        return make_linear([self.tensor(f"{name}.weight") for name in names], biases)

    def _reader(self, file: str) -> Any:
        if file not in self._readers:
            self._readers[file] = safe_open(self._folder / file, framework="pt")
        return self._readers[file]


class ModuleWeights:
    """Weights inside a `SmolLM3ForCausalLM` whose linears may be quantised or carry adapters."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def tensor(self, name: str) -> Tensor:
        """One parameter of the model."""
        return self._model.get_parameter(name).detach()

    def linear(self, names: Sequence[str]) -> Linear:
        """The modules themselves, or one fused linear when they are plain after all."""
        modules = [self._model.get_submodule(name) for name in names]
        # Quantised and adapted layers subclass Linear or hold one; only a plain one can be fused.
        plain = [module for module in modules if type(module) in (nn.Linear, nn.Embedding)]
        if len(plain) < len(modules):
            return JoinedLinear(modules)
        weights = [module.get_parameter("weight").detach() for module in plain]
        biases = [
            module.bias.detach()
            for module in plain
            if isinstance(module, nn.Linear) and module.bias is not None
        ]
        return make_linear(weights, biases)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder, in a fixed order.

    Raises:
        ConfigError: there are none, or one that the index names is missing.
    """
    index = folder / INDEX_FILE
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"model folder {folder}: {INDEX_FILE} cannot be read: {error}") from error
    elif (folder / SINGLE_FILE).is_file():
        names = [SINGLE_FILE]
    elif any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        raise ConfigError(
            f"model folder {folder}: its weights are pickles, which can run code when read; convert them "
            "once with model.save_pretrained(folder, safe_serialization=True)"
        )
    else:
        raise ConfigError(f"model folder {folder}: no weights: expected {SINGLE_FILE} or {INDEX_FILE}")
    for name in names:
        if not (folder / name).is_file():
            raise ConfigError(f"model folder {folder}: {name} is missing: fetch the model again")
    return tuple(folder / name for name in names)


def _find_tensors(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as reader:
                found.update(dict.fromkeys(reader.keys(), path.name))
        except (SafetensorError, OSError) as error:
            raise ConfigError(
                f"model folder {folder}: {path.name} is damaged or not a safetensors file ({error}): "
                "fetch the model again"
            ) from error
    return found
