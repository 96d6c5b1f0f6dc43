"""What this machine can do, what a deployment becomes on it, and whether a model fits: `smolcall doctor`.

Every check gives findings; none raises. A finding of kind `problem` means that the runtime would not work.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .config import Capabilities, DeploymentConfig, resolve
from .errors import AgentRuntimeError, ConfigError
from .runtime import embedded_model_folder, find_heads

if TYPE_CHECKING:
    from .engine.backbone import Backbone

_PACKAGES = ("torch", "transformers", "tokenizers", "llguidance", "bitsandbytes", "peft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        kind: `ok`, `off` (the deployment asks for something the machine cannot do; it goes on without) or
            `problem` (it cannot go on).
        subject: what was looked at: machine, deployment, model, adapter, heads.
        text: what was found, and what to do about it.
    """

    kind: Literal["ok", "off", "problem"]
    subject: str
    text: str


def examine(
    model: str | Path | None,
    *,
    heads: str | Path | None = None,
    deployment: DeploymentConfig | None = None,
    revision: str | None = None,
    adapter: str | Path | None = None,
    load: bool = True,
    find_capabilities: Callable[[], Capabilities] | None = None,
) -> Iterator[Finding]:
    """Look at machine, deployment, model and heads, one finding at a time.

    Args:
        model: as for `AgentRuntime.load`; a Hub id is only looked for in the Hub's cache.
        heads: as for `AgentRuntime.load`.
        deployment: what is to run.
        revision: branch, tag or commit of a model on the Hub.
        adapter: a LoRA adapter, folder or Hub id, that is put on the model.
        load: whether to read the weights and time a forward.
        find_capabilities: says what the machine can do; asks torch when left out.
    """
    deployment = deployment or DeploymentConfig()
    capabilities = _capabilities() if find_capabilities is None else find_capabilities()
    yield from _examine_machine(capabilities)
    resolved = None
    try:
        resolved, notes = resolve(deployment, capabilities)
    except ConfigError as error:
        yield Finding(kind="problem", subject="deployment", text=str(error))
    else:
        yield from (Finding(kind="off", subject="deployment", text=note) for note in notes)
        yield Finding(kind="ok", subject="deployment", text=_described(deployment, resolved))
    yield _examine_heads(model, heads, deployment)
    adapter_folder = None
    if adapter is not None:
        finding, adapter_folder = _examine_adapter(adapter)
        yield finding
    is_loadable = load and (adapter is None or adapter_folder is not None)
    yield from _examine_model(model, resolved, revision=revision, adapter=adapter_folder, load=is_loadable)


def _capabilities() -> Capabilities:
    from .engine.device import find_capabilities

    return find_capabilities()


def _examine_machine(capabilities: Capabilities) -> Iterator[Finding]:
    versions = [f"{name} {version}" for name in _PACKAGES if (version := _version(name)) is not None]
    where = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield Finding(kind="ok", subject="machine", text=f"{where}; {', '.join(versions)}")
    devices = [f"cpu with {capabilities.num_threads} threads"]
    if capabilities.has_cuda:
        devices.append(f"cuda ({'; '.join(capabilities.names)})")
    if capabilities.has_mps:
        devices.append("mps")
    yield Finding(kind="ok", subject="machine", text=f"devices: {', '.join(devices)}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _described(asked: DeploymentConfig, resolved: DeploymentConfig) -> str:
    runs = f"runs on {resolved.device} in {resolved.dtype}"
    if resolved.quantization != "none":
        runs += f", weights in {resolved.quantization}"
    changed = [
        f"{name}={value!r}"
        for name, field in DeploymentConfig.model_fields.items()
        if (value := getattr(asked, name)) != field.default
    ]
    return f"{runs}; changed from the defaults: {', '.join(changed) or 'nothing'}"


def _examine_heads(
    model: str | Path | None, heads: str | Path | None, deployment: DeploymentConfig
) -> Finding:
    """Which heads go with the model; whether they were made for it is seen when both are loaded."""
    from .engine.head_fill.loaded import load_bundle

    try:
        found = find_heads(model, heads, deployment)
        if found is None:
            return Finding(kind="ok", subject="heads", text="none needed: the backbone fills calls itself")
        bundle = load_bundle(found, local_files_only=True)
    except AgentRuntimeError as error:
        return Finding(kind="problem", subject="heads", text=str(error))
    sizes = ", ".join(f"{name} {count:,}" for name, count in bundle.num_parameters.items())
    return Finding(kind="ok", subject="heads", text=f"bundle {found}: parameters {sizes}")


def _examine_adapter(adapter: str | Path) -> tuple[Finding, Path | None]:
    """What an adapter is; whether it fits is seen when it is put on the model."""
    from .engine.model_folder import find_model_folder

    try:
        folder = find_model_folder(adapter, local_files_only=True, what="adapter")
        stated = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        method, rank, base = (stated.get(key) for key in ("peft_type", "r", "base_model_name_or_path"))
    except ConfigError as error:
        return Finding(kind="problem", subject="adapter", text=str(error)), None
    except (OSError, ValueError, AttributeError):
        text = f"adapter folder {folder}: no readable adapter_config.json: give a folder that peft saved"
        return Finding(kind="problem", subject="adapter", text=text), None
    if _version("peft") is None:
        text = "an adapter needs peft: pip install 'smolcall[lora]', or load without adapter"
        return Finding(kind="problem", subject="adapter", text=text), None
    megabytes = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    text = f"{folder}: {method or 'unknown method'} of rank {rank}, {megabytes:.1f} MB, made for {base}"
    return Finding(kind="ok", subject="adapter", text=text), folder


def _examine_model(
    model: str | Path | None,
    deployment: DeploymentConfig | None,
    *,
    revision: str | None,
    adapter: Path | None,
    load: bool,
) -> Iterator[Finding]:
    from .engine.model_folder import find_model_folder, read_config, read_tokenizer
    from .prompt import PromptFormat, check_tokenizer

    try:
        place = embedded_model_folder() if model is None else model
        folder = find_model_folder(place, revision=revision, local_files_only=True)
        config = read_config(folder)
        tokenizer = read_tokenizer(folder, config.vocab_size)
        prompt_format = PromptFormat.for_folder(folder)
        check_tokenizer(tokenizer, prompt_format)
    except AgentRuntimeError as error:
        yield Finding(kind="problem", subject="model", text=str(error))
        return
    megabytes = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    yield Finding(
        kind="ok",
        subject="model",
        text=f"{folder}: {config.num_hidden_layers} layers of {config.hidden_size}, {megabytes:.0f} MB of "
        f"weights, {config.vocab_size} tokens, {config.max_position_embeddings} positions, "
        f"prompts as {prompt_format.name}",
    )
    if deployment is None:
        return
    is_asked = deployment.max_seq_len != DeploymentConfig.model_fields["max_seq_len"].default
    if is_asked and deployment.max_seq_len > config.max_position_embeddings:
        yield Finding(
            kind="off",
            subject="model",
            text=f"max_seq_len={deployment.max_seq_len}: the model was made for "
            f"{config.max_position_embeddings} positions, which is the limit",
        )
    if load:
        yield _load(folder, deployment, adapter)


def _load(folder: Path, deployment: DeploymentConfig, adapter: Path | None) -> Finding:
    from .engine.backbone import Backbone

    started = time.perf_counter()
    try:
        backbone = Backbone.load(
            folder,
            device=deployment.device,
            dtype=deployment.dtype,
            quantization=deployment.quantization,
            max_seq_len=deployment.max_seq_len,
            local_files_only=True,
            adapter=adapter,
        )
        loaded = time.perf_counter()
        milliseconds = _time_forward(backbone)
    except (
        AgentRuntimeError,
        RuntimeError,
        MemoryError,
    ) as error:  # torch says what it lacks as RuntimeError
        return Finding(kind="problem", subject="model", text=f"its weights cannot be used: {error}")
    what = "weights" if adapter is None else "weights and adapter"
    return Finding(
        kind="ok",
        subject="model",
        text=f"{what} read in {loaded - started:.2f} s; one token takes {milliseconds:.1f} ms",
    )


def _time_forward(backbone: Backbone) -> float:
    """Milliseconds to read one token behind a short prompt; the fastest of a few."""
    from .engine.program import Forward, Program
    from .engine.scheduler import run_alone

    times: list[float] = []

    def program() -> Program[None]:
        yield Forward(token_ids=[0] * 32, at=0)
        for number in range(8):
            began = time.perf_counter()
            yield Forward(token_ids=[0], at=32 + number)
            times.append(1000 * (time.perf_counter() - began))

    run_alone(backbone, program())
    return min(times)
