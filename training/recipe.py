"""Recipes: all that a training job is told, as frozen data. The named ones stand in `recipes/`.

A recipe comes from a preset, a YAML file (`--recipe`) and `--set key.path=value`, later ones winning, and
is checked as a whole: a misspelt key fails before anything is read or written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_runtime.errors import ConfigError

METRICS_FILE = "training_metrics.jsonl"
"""One JSON line for every ten steps and every measurement, in a run's folder."""

RECIPE_FILE = "run_config.json"
"""The recipe as it was run, in a run's folder."""

Preset = Literal["smoke", "cpu", "gpu"]


class RecipePart(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerRecipe(RecipePart):
    """How the tokenizer is trained."""

    vocab_size: int = Field(default=4096, ge=300)
    """Entries, control tokens included. More shorten prompts and leave each entry less often seen."""

    num_synthetic: int = Field(default=20_000, ge=0)
    """Composed conversations read for merges."""

    public: str | None = None
    """Folder of public rows in the normalised format to read besides; none by default."""

    num_public: int = Field(default=40_000, ge=0)
    """Public conversations read, drawn from all files, so that none outweighs the others."""

    seed: int = 1
    """Seed of the composed conversations."""

    output: str = "runs/tokenizer"
    """Folder to write."""


class ArchitectureRecipe(RecipePart):
    """Sizes of a `SmolLM3ForCausalLM`."""

    hidden_size: int = Field(default=256, ge=16)
    """Width of a state."""

    num_layers: int = Field(default=6, ge=1)
    """Layers; every fourth is without rotary positions, as in SmolLM3."""

    num_heads: int = Field(default=4, ge=1)
    """Query heads."""

    num_kv_heads: int = Field(default=2, ge=1)
    """Key/value heads; a divisor of the query heads."""

    intermediate_size: int = Field(default=768, ge=16)
    """Width of the gated feed-forward."""

    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary positions."""

    max_positions: int = Field(default=4096, ge=64)
    """Longest context the configuration admits."""

    initializer_range: float = Field(default=0.03, gt=0)
    """Standard deviation of the first weights."""

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads={self.num_heads} must divide hidden_size={self.hidden_size}, "
                f"and num_kv_heads={self.num_kv_heads} must divide num_heads"
            )
        return self


class DataRecipe(RecipePart):
    """What the backbone reads."""

    public: str | None = None
    """Folder of public rows in the normalised format; none trains on composed conversations alone."""

    public_share: float = Field(default=0.2, ge=0, le=1)
    """Share of public conversations, where there are any."""

    rename_share: float = Field(default=0.7, ge=0, le=1)
    """Share of public conversations whose tools and parameters get other names, which carry no memory."""

    pool: str | None = None
    """File of tool definitions to compose conversations about, besides the generator's own."""

    processes: int = Field(default=1, ge=1)
    """Processes that make batches, for each device. One keeps up with a CPU; a GPU wants as many as there are
    spare cores."""

    seed: int = 1
    """Seed of composed conversations and of the order of public ones. Held-out data has other seeds."""

    start: int = Field(default=0, ge=0)
    """Number of composed conversations to skip: a continued run reads on, not again."""

    short_first: int = Field(default=60_000, ge=0)
    """Of so many conversations at the start only the short ones are read: copying is learnt there sooner."""

    short_tokens: int = Field(default=192, ge=32)
    """Longest of these, in tokens."""

    sibling_share: float = Field(default=0.7, ge=0, le=1)
    """Share of rows that hold several composed conversations over one listing, which is then read once."""

    sibling_tokens: int = Field(default=576, ge=64)
    """Longest of these rows, in tokens."""

    bare_share: float = Field(default=0.3, ge=0, le=1)
    """Share of these rows whose tools take one argument at most: more choices between tools for the same
    number of tokens."""

    slim_share: float = Field(default=0.3, ge=0, le=1)
    """Share of conversations with several tools whose listings are made bare, where that is sound."""

    request_weight: float = Field(default=0.2, ge=0, lt=0.5)
    """Loss weight of what users say: foretelling it from the listing teaches which tool it is about."""

    pointer_weight: float = Field(default=2.0, ge=0)
    """Loss weight of attention: one head shall look where a tool's name stands in the listing before the name
    is written, another where a copied value begins."""

    argument_weight: float = Field(default=1.5, ge=0.5)
    """Loss weight of tokens inside argument values; other reply tokens weigh 1."""

    decision_weight: float = Field(default=3.0, ge=0.5)
    """Loss weight of what decides most: a reply's first token, a tool's name, and what follows a call."""


class BatchRecipe(RecipePart):
    """Batches of equal token count and few shapes."""

    tokens: int = Field(default=4608, ge=64)
    """Tokens of one batch, padding included."""

    lengths: tuple[int, ...] = (64, 96, 128, 144, 192, 256, 288, 384, 512, 576, 768, 1152)
    """Row lengths; a sequence goes into the shortest that holds it. Longer ones are left out and counted."""

    accumulate: int = Field(default=1, ge=1)
    """Batches of one optimizer step, on each device."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        bad = [length for length in self.lengths if self.tokens % length]
        if not self.lengths or list(self.lengths) != sorted(set(self.lengths)) or bad:
            raise ValueError(
                f"batch.lengths must ascend and divide batch.tokens={self.tokens}; these do not: {bad}"
            )
        return self


class OptimizerRecipe(RecipePart):
    """Muon (or AdamW) for hidden matrices, AdamW for embeddings and norms."""

    matrices: Literal["muon", "adamw"] = "muon"
    """What steps the hidden matrices. Muon learns more from a step, and costs as much as a forward of a few
    hundred tokens for each million parameters: too much where batches are small."""

    muon_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of the hidden matrices under Muon, on AdamW's scale."""

    adamw_lr: float = Field(default=3e-3, gt=0)
    """Learning rate of embeddings and norms."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled decay of matrices."""

    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's momentum."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients longer than this are shortened to it."""


class ScheduleRecipe(RecipePart):
    """Warm up, stay, decay. `--decay-now` starts the decay of a running line of checkpoints."""

    warmup_steps: int = Field(default=60, ge=0)
    """Steps of linear warm-up."""

    total_steps: int = Field(default=4000, ge=1)
    """Optimizer steps of the whole run."""

    decay_share: float = Field(default=0.2, ge=0, le=1)
    """Last part of the run in which the learning rate falls to `final_share`."""

    final_share: float = Field(default=0.02, ge=0, le=1)
    """Learning rate at the very end, as a share of the full one."""


class RunRecipe(RecipePart):
    """What every training run is told."""

    name: str = "run"
    """Folder of the run below `output`."""

    output: str = "runs"
    """Folder that holds runs."""

    batch: BatchRecipe = BatchRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()

    seed: int = 0
    """Seed of the first weights and of whatever training draws."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the weights stand. Each process that `accelerate launch` starts has its own GPU."""

    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the products; parameters and optimizer stay float32."""

    compile: bool = False
    """Compile the two halves of a layer. Costs a minute, pays on runs of more than a few."""

    threads: int = Field(default=0, ge=0)
    """CPU threads for the products; 0 leaves torch's choice."""

    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """Minutes between checkpoints."""

    checkpoint_every: int = Field(default=0, ge=0)
    """Steps between checkpoints, besides the minutes; 0: minutes only."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """Latest checkpoints kept, besides the best."""

    validate_every: int = Field(default=200, ge=1)
    """Steps between measurements on held-out conversations."""

    validation_batches: int = Field(default=4, ge=1)
    """Batches of one measurement."""

    trackers: tuple[str, ...] = ()
    """Trackers that `accelerate` knows (tensorboard, wandb, trackio, ...) to send metrics to as well."""

    @property
    def folder(self) -> Path:
        """Where the run writes."""
        return Path(self.output) / self.name


class BackboneRecipe(RunRecipe):
    """One training run of a backbone."""

    name: str = "backbone"
    """Folder of the run below `output`."""

    tokenizer: str = "runs/tokenizer"
    """Folder of the trained tokenizer."""

    begin_with: str | None = None
    """Model folder, of this architecture and tokenizer, whose weights the run begins with; random without."""

    architecture: ArchitectureRecipe = ArchitectureRecipe()
    data: DataRecipe = DataRecipe()


RecipeT = TypeVar("RecipeT", bound=RecipePart)


def read_recipe(base: RecipeT, *, file: Path | None = None, changes: tuple[str, ...] = ()) -> RecipeT:
    """`base`, with the keys of a YAML file and of `key.path=value` changes put over it.

    Raises:
        ConfigError: an unknown key, a value of a wrong type, or values that contradict each other.
    """
    values = base.model_dump()
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read the recipe {file}: {error}") from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"the recipe {file} must hold keys and values")
        _merge(values, loaded)
    for change in changes:
        path, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set {change!r}: write key=value, for instance schedule.total_steps=500")
        try:
            nested: Any = yaml.safe_load(text) if text else None
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change!r}: {text!r} is no YAML value: quote or close it") from error
        for key in reversed(path.strip().split(".")):
            nested = {key: nested}
        _merge(values, nested)
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"the recipe cannot be used: {problems}") from error


def _merge(into: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
