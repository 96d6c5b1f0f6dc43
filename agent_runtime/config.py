"""What a running engine is told: `DeploymentConfig`, its presets, and what a device makes of it.

Every default of the runtime lives here. Where weights come from is said to `AgentRuntime.load`;
what one request wants differently is said to `respond` and `run`. Free of torch: `resolve` is a pure
function of a deployment and of what a device can do, which `engine/` finds out.
"""

from __future__ import annotations

import datetime
import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import ConfigError
from .fill_settings import Expansion, Remask, SlotBudgetChanges
from .graph_settings import GraphBuckets

Fill = Literal["autoregressive", "diffusion", "verified"]
Drafter = Literal["copies", "heads"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["none", "4bit", "8bit"]
PresetName = Literal["cpu", "cuda", "mps"]

ENVIRONMENT_PREFIX = "SMOLCALL_"

# Variables with our prefix that are not fields of a deployment: the command line and the server read them.
_OTHER_VARIABLES = frozenset({"SMOLCALL_MODEL", "SMOLCALL_HEADS", "SMOLCALL_DEPLOYMENT", "SMOLCALL_API_KEY"})


class DeploymentConfig(BaseModel):
    """All a running engine and its executor are told. Frozen; change one with `revised`.

    Raises:
        ConfigError: an unknown name (with the nearest right one), a value out of range, or two settings
            that contradict each other (both are named).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    # How values are chosen.

    fill: Fill = "verified"
    """How argument values are written. `autoregressive`: by the backbone, token by token under constraints.
    `verified`: the same call in fewer forwards; it is drafted, and the backbone reads whole drafts.
    `diffusion` (with a head bundle): the draft itself, after `denoise_steps`; the forwards of a call do not
    depend on how long its values are."""

    drafter: Drafter = "copies"
    """With `fill="verified"`: who drafts. `copies` follows the prompt and costs nothing; `heads` (with a head
    bundle) reads every slot first: fewer forwards, which pays where a forward is dear."""

    denoise_steps: int = Field(default=8, ge=1, le=64)
    """With `fill="diffusion"`: the most passes of the diffusion head over the draft of a call. A draft that
    the backbone agrees with takes no more."""

    reencode_every: int = Field(default=1, ge=0, le=64)
    """With `fill="diffusion"`: denoise steps between forwards of the backbone over the whole draft, which
    correct it. 0 never reads it: one forward a call."""

    cfg_scale: float = Field(default=0.0, ge=0.0, le=10.0)
    """How much further than the head says a draft moves towards what the prompt makes of it
    (classifier-free guidance). 0 is off; more costs a second pass of the head."""

    remask: Remask = Remask()
    """Doubting what was revealed."""

    expansion: Expansion = Expansion()
    """Growing values that fill all positions they were given."""

    slot_budget: SlotBudgetChanges = SlotBudgetChanges()
    """Positions values begin with, where they shall not be those of the bundle's training."""

    fallback_below: float = Field(default=0.0, ge=0.0, le=1.0)
    """With `fill="diffusion"`: a value of lower confidence is written token by token instead. 0 never."""

    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    """Randomness of words and argument values. 0 always takes the most probable token."""

    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """With a temperature above 0, sample among the most probable tokens that together hold this share."""

    seed: int = Field(default=0, ge=0)
    """Where sampling starts. The same seed, deployment, machine and request give the same turn."""

    call_bias: float = Field(default=0.0, ge=-100.0, le=100.0)
    """Added to the log-odds of calling a tool. Above 0 the model calls more readily, below 0 less."""

    abstain_below: float = Field(default=0.0, ge=0.0, le=1.0)
    """A call whose confidence is below this is not made: the turn answers in words and ends as `abstained`.
    0 never abstains."""

    max_parallel_calls: int = Field(default=8, ge=1, le=128)
    """Calls one turn may make."""

    # How much is read and written.

    max_seq_len: int = Field(default=8192, ge=64)
    """Tokens of prompt and reply together. A model that was made for fewer sets the limit."""

    max_tokens: int = Field(default=1024, ge=1)
    """Tokens one turn may write."""

    max_slot_tokens: int = Field(default=512, ge=1)
    """Tokens one argument value may take; a longer one is ended there, validly, and its confidence is 0.
    Whoever has tools that take whole documents raises it."""

    think: bool = False
    """Whether the model thinks before it answers. SmolLM3 calls tools better without."""

    think_budget_tokens: int = Field(default=512, ge=1)
    """Tokens a turn may spend thinking; then the thought is closed and the reply begins."""

    date: str | None = None
    """The date told to the model: none, `today`, or a fixed ISO date (which keeps replies and the prefix
    cache the same from day to day)."""

    # Where and how it runs.

    device: Device = "auto"
    """`auto` takes CUDA, else Apple's MPS, else the CPU."""

    dtype: Dtype = "auto"
    """Number format of the weights. `auto` takes what is fastest and safe on the device."""

    quantization: Quantization = "none"
    """Weights in 4 or 8 bits through bitsandbytes: less memory, somewhat less exact. CUDA only."""

    cuda_graphs: bool | Literal["auto"] = "auto"
    """Whether short reads (decoded tokens, drafts) are recorded once and replayed by the GPU, which would
    wait for Python most of the time. `auto`: on CUDA, where there is memory for it and a token keeps its bits
    in any company. CUDA only."""

    compile: bool = False
    """Whether torch's compiler fuses what these reads compute between attentions. The first ones then take a
    minute longer. CUDA only."""

    graph_buckets: GraphBuckets = GraphBuckets()
    """The shapes that are recorded."""

    max_batch: int = Field(default=8, ge=1, le=1024)
    """Requests computed side by side. More use more memory and serve more at once."""

    max_queue: int = Field(default=64, ge=0)
    """Requests that may wait for a place; the next one is refused with `OverloadedError`."""

    request_deadline_s: float | None = Field(default=None, gt=0.0)
    """Seconds one turn may take from asking to answer, waiting included. None sets no limit."""

    prefix_cache_tokens: int = Field(default=32768, ge=0)
    """Tokens of earlier prompts kept: instructions, tools and history are then not read twice. 0 is off."""

    # How tools run.

    tool_timeout_s: float = Field(default=30.0, gt=0.0)
    """Seconds one attempt of a tool may take, unless the tool has a limit of its own."""

    tool_retries: int = Field(default=2, ge=0, le=100)
    """Further attempts after a failed one, for tools that are marked safe to repeat."""

    max_concurrent_tools: int = Field(default=8, ge=1, le=1024)
    """Tool calls that run at the same time, over all runs of a runtime."""

    max_result_chars: int = Field(default=16000, ge=64)
    """Characters of a tool's result that the model reads; a longer one is cut, with a visible mark."""

    @property
    def asks_heads(self) -> bool:
        """Whether heads take part in writing values; without, a bundle only says how sure we are."""
        return self.fill == "diffusion" or (self.fill == "verified" and self.drafter == "heads")

    @field_validator("date", mode="before")
    @classmethod
    def _read_date(cls, value: Any) -> Any:
        if isinstance(value, datetime.date):  # what YAML makes of an unquoted ISO date
            return value.strftime("%Y-%m-%d")
        if value is None or value == "today":
            return value
        try:
            return datetime.date.fromisoformat(value).isoformat()
        except (TypeError, ValueError):
            raise ValueError(
                f"found {value!r}: give 'today', an ISO date like '2026-11-20', or nothing"
            ) from None

    @field_validator("tool_timeout_s", "request_deadline_s", "temperature", "call_bias")
    @classmethod
    def _refuse_infinity(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"found {value}: give a finite number")
        return value

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.quantization != "none" and self.device in ("cpu", "mps"):
            raise ConfigError(
                f"quantization={self.quantization!r} contradicts device={self.device!r}: bitsandbytes needs "
                "CUDA; set quantization='none' or device='cuda'"
            )
        if self.dtype == "float16" and self.device == "cpu":
            raise ConfigError(
                "dtype='float16' contradicts device='cpu': use dtype='bfloat16', 'float32' or 'auto' there"
            )
        if self.max_tokens >= self.max_seq_len:
            raise ConfigError(
                f"max_tokens={self.max_tokens} contradicts max_seq_len={self.max_seq_len}: prompt and reply "
                "share max_seq_len, so max_tokens must be smaller"
            )
        if self.think and self.think_budget_tokens >= self.max_tokens:
            raise ConfigError(
                f"think_budget_tokens={self.think_budget_tokens} contradicts max_tokens={self.max_tokens}: "
                "thinking would use up the whole reply; lower the one or raise the other"
            )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _raise_config_errors(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise ConfigError(_explained(error)) from error

    @classmethod
    def preset(cls, name: PresetName, **changes: Any) -> Self:
        """The deployment for a device, with changes.

        Raises:
            ConfigError: no such preset, or a change that cannot be.
        """
        if not isinstance(name, str) or name not in _PRESETS:
            raise ConfigError(f"unknown preset {name!r}: use one of {', '.join(map(repr, _PRESETS))}")
        return cls(**{**_PRESETS[name], **changes})

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a YAML (or JSON) file: a mapping of field names to values.

        A key `preset` names the preset that the rest changes.

        Raises:
            ConfigError: the file is missing, is not YAML, or says something a deployment cannot.
        """
        try:
            read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read deployment file {path}: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"deployment file {path} is not YAML: {error}") from error
        if read is None:
            read = {}
        if not isinstance(read, dict):
            raise ConfigError(
                f"deployment file {path} must be a mapping of names to values, found {_kind(read)}"
            )
        values = {str(name): value for name, value in read.items()}
        preset = values.pop("preset", None)
        try:
            return cls(**values) if preset is None else cls.preset(preset, **values)
        except ConfigError as error:
            raise ConfigError(f"deployment file {path}: {error}") from error

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read `SMOLCALL_*` variables, one per field (`SMOLCALL_MAX_BATCH=4`), over the defaults.

        Args:
            environment: the variables; those of the process when left out.

        Raises:
            ConfigError: a variable with this prefix that is no field, or a value that cannot be.
        """
        return cls(**values_from_env(environment))


def values_from_env(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The deployment fields that `SMOLCALL_*` variables set, to lay over another deployment.

    Raises:
        ConfigError: a variable with this prefix that is no field.
    """
    environment = os.environ if environment is None else environment
    found = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name not in DeploymentConfig.model_fields:
            raise ConfigError(f"environment variable {variable}: {_unknown_name(name)}")
        found[name] = value_from_text(name, text)
    return found


def values_from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """The deployment fields that `name=value` texts set, as the command line gives them.

    Raises:
        ConfigError: a text without `=`, or a name that is no field.
    """
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"found {pair!r}: write a setting as name=value, like max_tokens=256")
        if name not in DeploymentConfig.model_fields:
            raise ConfigError(_unknown_name(name))
        found[name] = value_from_text(name, text.strip())
    return found


def value_from_text(name: str, text: str) -> Any:
    """The value a text stands for; `none` and nothing at all mean None where the field can be None.

    Fields of several parts take a mapping, as YAML or JSON: `{ratio: 0.3}`.

    Raises:
        ConfigError: a mapping is wanted, and this is none.
    """
    kind = DeploymentConfig.model_fields[name].annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _mapping_from_text(name, text, kind)
    is_optional = type(None) in get_args(kind)
    return None if is_optional and text.lower() in ("", "none", "null") else text


def _mapping_from_text(name: str, text: str, kind: type[BaseModel]) -> dict[str, Any]:
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:
        read = None
    if not isinstance(read, dict):
        example = next(iter(kind.model_fields))
        raise ConfigError(f"{name}: found {text!r}; give a mapping of its parts, like {{{example}: ...}}")
    return {str(part): value for part, value in read.items()}


def revised(config: DeploymentConfig, **changes: Any) -> DeploymentConfig:
    """The deployment with changes, validated as a whole (pydantic's `model_copy` does not validate).

    Raises:
        ConfigError: as for `DeploymentConfig` itself.
    """
    return type(config)(**{**config.model_dump(), **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a machine can do. `engine/` finds it out; tests make them up."""

    has_cuda: bool = False
    has_mps: bool = False
    has_bitsandbytes: bool = False
    cuda_has_bfloat16: bool = True
    cpu_has_fast_bfloat16: bool = False
    num_threads: int = 1
    names: tuple[str, ...] = ()


def resolve(config: DeploymentConfig, capabilities: Capabilities) -> tuple[DeploymentConfig, tuple[str, ...]]:
    """What a deployment becomes on a machine, and one note for each setting that was switched off.

    In the result `device` and `dtype` are concrete. The input is left as it was.

    Raises:
        ConfigError: a device that was asked for by name is not there.
    """
    notes: list[str] = []
    device = _resolve_device(config.device, capabilities)
    quantization = config.quantization
    if quantization != "none" and device != "cuda":
        notes.append(f"quantization={quantization!r} is off: it needs CUDA, and this runs on {device}")
        quantization = "none"
    elif quantization != "none" and not capabilities.has_bitsandbytes:
        notes.append(
            f"quantization={quantization!r} is off: bitsandbytes is not installed (pip install bitsandbytes)"
        )
        quantization = "none"
    dtype = _resolve_dtype(config.dtype, device, capabilities, notes)
    changes = {"device": device, "dtype": dtype, "quantization": quantization}
    changes |= _resolve_graphs(config, device, quantization, notes)
    return revised(config, **changes), tuple(notes)


def _resolve_graphs(
    config: DeploymentConfig, device: Device, quantization: Quantization, notes: list[str]
) -> dict[str, Any]:
    cuda_graphs, compiled = config.cuda_graphs, config.compile
    if cuda_graphs is not False and device != "cuda":
        if cuda_graphs is True:
            notes.append(f"cuda_graphs=True is off: it needs CUDA, and this runs on {device}")
        cuda_graphs = False
    elif cuda_graphs is not False and quantization == "8bit":
        if cuda_graphs is True:
            notes.append("cuda_graphs=True is off: 8-bit layers look for outliers in every forward, and wait")
        cuda_graphs = False
    if compiled and device != "cuda":
        notes.append(f"compile=True is off: it gains nothing on {device}; it is for CUDA")
        compiled = False
    elif compiled and quantization != "none":
        notes.append(f"compile=True is off: it cannot see into layers of quantization={quantization!r}")
        compiled = False
    return {"cuda_graphs": cuda_graphs, "compile": compiled}


def _resolve_device(device: Device, capabilities: Capabilities) -> Device:
    is_there = {"cpu": True, "cuda": capabilities.has_cuda, "mps": capabilities.has_mps}
    if device == "auto":
        return "cuda" if is_there["cuda"] else "mps" if is_there["mps"] else "cpu"
    if not is_there[device]:
        found = ", ".join(name for name, there in is_there.items() if there)
        raise ConfigError(
            f"device={device!r} is not there (found: {found}): set device='auto' or one that is"
        )
    return device


def _resolve_dtype(dtype: Dtype, device: Device, capabilities: Capabilities, notes: list[str]) -> Dtype:
    has_bfloat16 = device != "cuda" or capabilities.cuda_has_bfloat16
    if dtype == "auto":
        if device == "cpu":
            return "bfloat16" if capabilities.cpu_has_fast_bfloat16 else "float32"
        return "bfloat16" if has_bfloat16 else "float16"
    if dtype == "float16" and device == "cpu":
        notes.append("dtype='float16' is off: it is slow and unsafe on the CPU; float32 is used")
        return "float32"
    if dtype == "bfloat16" and not has_bfloat16:
        notes.append("dtype='bfloat16' is off: this GPU has no bfloat16; float16 is used")
        return "float16"
    return dtype


_PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"device": "cpu", "max_batch": 4, "max_queue": 32, "prefix_cache_tokens": 16384},
    "cuda": {
        "device": "cuda",
        "dtype": "bfloat16",
        "max_batch": 32,
        "max_queue": 256,
        "max_seq_len": 16384,
        "prefix_cache_tokens": 262144,
    },
    "mps": {
        "device": "mps",
        "dtype": "bfloat16",
        "max_batch": 4,
        "max_queue": 32,
        "prefix_cache_tokens": 32768,
    },
}


def _explained(error: ValidationError) -> str:
    """Pydantic's findings as one readable sentence each."""
    return "; ".join(_explained_one(found) for found in error.errors(include_url=False))


def _explained_one(found: Any) -> str:
    name = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        return _unknown_name(name) if len(found["loc"]) == 1 else f"unknown part {name!r} of a setting"
    if found["type"] == "value_error":
        return f"{name}: {found['ctx']['error']}"
    return f"{name}: found {found['input']!r}; {found['msg'][0].lower()}{found['msg'][1:]}"


def _unknown_name(name: str) -> str:
    known = list(DeploymentConfig.model_fields)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown setting {name!r}: {advice}"


def _kind(value: Any) -> str:
    return type(value).__name__
