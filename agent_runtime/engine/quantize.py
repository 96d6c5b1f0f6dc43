"""Backbones that need transformers' own model class: 4 and 8 bit weights, LoRA adapters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import ConfigError

Quantization = Literal["none", "4bit", "8bit"]


def load_model(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization,
    adapter: Path | None,
    trust_remote_code: bool,
) -> nn.Module:
    """The `SmolLM3ForCausalLM` of a folder, quantised, with its adapter applied.

    An adapter on plain weights is merged into them, so it costs nothing per token.

    Raises:
        ConfigError: a needed package or device is missing, or the adapter does not fit.
    """
    check_quantization(quantization, device)
    from transformers import SmolLM3ForCausalLM

    arguments: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    if quantization == "none":
        arguments["device_map"] = None
    else:
        arguments["quantization_config"] = _bitsandbytes_config(quantization, dtype)
        arguments["device_map"] = {"": device}
    model = SmolLM3ForCausalLM.from_pretrained(folder, trust_remote_code=trust_remote_code, **arguments)
    if quantization == "none":
        model = model.to(device)
    if adapter is not None:
        model = _with_adapter(model, adapter, is_merged=quantization == "none")
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def check_quantization(quantization: Quantization, device: torch.device) -> None:
    """Refuse what this machine cannot do, before anything is read.

    Raises:
        ConfigError: no CUDA, or bitsandbytes is not installed.
    """
    if quantization == "none":
        return
    if device.type != "cuda":
        raise ConfigError(
            f"quantization={quantization!r} needs a CUDA device, and this runs on {device.type!r}: "
            "set quantization='none'"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"quantization={quantization!r} needs bitsandbytes: pip install 'smolcall[cuda]', or set "
            "quantization='none'"
        )


def _bitsandbytes_config(quantization: Quantization, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _with_adapter(model: nn.Module, adapter: Path, *, is_merged: bool) -> nn.Module:
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("an adapter needs peft: pip install 'smolcall[lora]', or load without adapter")
    if not (adapter / "adapter_config.json").is_file():
        raise ConfigError(f"adapter folder {adapter}: no adapter_config.json: give a folder that peft saved")
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise ConfigError(f"adapter folder {adapter} does not fit this backbone: {error}") from error
    if is_merged:
        return adapted.merge_and_unload(safe_merge=True)  # type: ignore[no-any-return]
    return adapted.get_base_model()  # type: ignore[no-any-return]
