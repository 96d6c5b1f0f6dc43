"""What heads are made from: sizes, which backbone they stand on, and the facts serving must repeat.

Every default of this package lives here. A `HeadConfig` is saved in every bundle, and a deployment cannot
override it. How a head is trained is a recipe of the training package.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import HeadConfigError

SLOT_KINDS = (
    "other",
    "string",
    "integer",
    "number",
    "constants",
    "grammar",
    "date",
    "time",
    "date-time",
    "email",
    "uri",
    "uuid",
)
"""Names for what a slot may hold, told to every head. The first stands for what a bundle does not know."""


class Frozen(BaseModel):
    """A part of the config: unknown names are refused, nothing can be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Config = TypeVar("Config", bound=Frozen)


def revised(config: Config, **changes: Any) -> Config:
    """The config with changes, validated as a whole (pydantic's `model_copy` does not validate).

    Raises:
        HeadConfigError: a change that is not allowed.
    """
    try:
        return type(config).model_validate({**config.model_dump(), **changes})
    except ValidationError as error:
        raise HeadConfigError(problems_of(error)) from error


def problems_of(error: ValidationError) -> str:
    """What pydantic found, on one line: field, problem, and the value where it is a plain one."""
    told = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"])) or "config"
        found = "" if isinstance(problem["input"], dict) else f" (found {problem['input']!r})"
        told.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}{found}")
    return "; ".join(told)


class BackboneFacts(Frozen):
    """Which backbone and tokenizer heads belong to. Serving states its own; they must agree."""

    hidden_size: int = Field(ge=1)
    """Width of the backbone's states."""

    num_layers: int = Field(ge=1)
    """Layers of the backbone."""

    vocab_size: int = Field(ge=2)
    """Rows of its embedding table."""

    fingerprint: str = ""
    """Names its weights. Empty: not known, and not compared."""

    tokenizer_fingerprint: str = ""
    """Names the bytes of its tokens. Empty: not known, and not compared."""

    def differences(self, here: BackboneFacts) -> dict[str, tuple[object, object]]:
        """Fields in which the backbone at hand differs: name -> (found, expected)."""
        found: dict[str, tuple[object, object]] = {}
        for name in type(self).model_fields:
            expected, at_hand = getattr(self, name), getattr(here, name)
            if expected != at_hand and expected != "" and at_hand != "":
                found[name] = (at_hand, expected)
        return found


class DiffusionConfig(Frozen):
    """Sizes of the `DiffusionHead`."""

    width: int = Field(ge=8)
    """Width inside the head. Cost grows with its square."""

    num_blocks: int = Field(default=3, ge=1)
    """Blocks of self-attention, prompt attention and feed-forward."""

    num_attention_heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width into even parts."""

    feed_forward_ratio: float = Field(default=2.0, gt=0.0)
    """Width of the gated feed-forward, in widths."""

    attends_across_slots: bool = False
    """Whether slots of one call see each other's drafts. Off, every slot is filled as if it were alone."""

    num_copies: int = Field(default=8, ge=0)
    """The most probable copies of each slot, of the span head, that are read beside its draft."""

    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of activations dropped in training."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_attention(self.width, self.num_attention_heads)
        return self


class SpanConfig(Frozen):
    """Sizes of the `SpanHead`."""

    width: int = Field(ge=8)
    """Width inside the head."""

    num_blocks: int = Field(default=2, ge=1)
    """Bidirectional blocks over the tokens of the messages."""

    num_attention_heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width into even parts."""

    feed_forward_ratio: float = Field(default=2.0, gt=0.0)
    """Width of the gated feed-forward, in widths."""

    max_span_tokens: int = Field(default=48, ge=1)
    """The longest span that is ever proposed, in tokens."""

    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of activations dropped in training."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_attention(self.width, self.num_attention_heads)
        return self


class ProbeConfig(Frozen):
    """Sizes of the `SlotProbes`, which say how long a value is and whether it is given at all."""

    width: int = Field(ge=8)
    """Width inside the probes."""

    max_slot_tokens: int = Field(default=64, ge=1)
    """The longest value whose length is told apart; the last class is this long or longer."""

    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of activations dropped in training."""


class ConfidenceConfig(Frozen):
    """Sizes of the `ConfidenceHead`."""

    width: int = Field(default=32, ge=4)
    """Width inside the head."""


class SlotBudgetFacts(Frozen):
    """The rules of slot budgets during training; serving makes its budgets from the same."""

    extra: int = Field(default=2, ge=0)
    """Tokens added to every estimate."""

    maximum: int = Field(default=32, ge=1)
    """The most tokens a slot begins with."""

    limit: int = Field(default=1024, ge=1)
    """The most tokens a slot may grow to."""


class HeadConfig(Frozen):
    """Everything that must be known to build the heads of a bundle. A part that is None does not exist."""

    backbone: BackboneFacts
    """What the heads stand on."""

    taps: tuple[int, ...]
    """Backbone layers whose states the heads read: layer n's output, 0 for the embeddings. The last must be
    the last layer (before the last norm), since the tokens are scored from it."""

    mask_token_id: int = Field(ge=0)
    """The id that stands for an open position of a draft. Its embedding is learned."""

    null_token_id: int = Field(ge=0)
    """The id that stands for an unused position at the end of a slot. Its embedding is learned."""

    slot_kinds: tuple[str, ...] = SLOT_KINDS
    """Names for what a slot may hold, in the order the heads learned them."""

    slot_budget: SlotBudgetFacts = SlotBudgetFacts()
    """How many tokens slots began with in training."""

    diffusion: DiffusionConfig | None = None
    """Fills slots in parallel."""

    span: SpanConfig | None = None
    """Proposes verbatim copies out of the messages."""

    probes: ProbeConfig | None = None
    """Length and presence."""

    confidence: ConfidenceConfig | None = None
    """The probability that a value is right."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        last = self.backbone.num_layers
        if not self.taps or self.taps[-1] != last or list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps={self.taps}: expected rising layer numbers that end with {last}")
        if self.taps[0] < 0:
            raise ValueError(f"taps={self.taps}: layers are counted from 0")
        if self.mask_token_id == self.null_token_id:
            raise ValueError(
                f"mask_token_id and null_token_id are both {self.mask_token_id}: they must differ"
            )
        for name in ("mask_token_id", "null_token_id"):
            if getattr(self, name) >= self.backbone.vocab_size:
                raise ValueError(f"{name}={getattr(self, name)}: it is beyond the vocabulary")
        if not self.slot_kinds or len(set(self.slot_kinds)) != len(self.slot_kinds):
            raise ValueError("slot_kinds: names are missing or occur twice")
        return self

    @property
    def reads_states(self) -> bool:
        """Whether any head reads the backbone's states, so that it must keep them; confidence does not."""
        return any(part is not None for part in (self.diffusion, self.span, self.probes))

    def kind_of(self, name: str) -> int:
        """The number of a slot kind; 0 for one these heads did not learn."""
        return self.slot_kinds.index(name) if name in self.slot_kinds else 0


def config_for(
    backbone: BackboneFacts, *, mask_token_id: int, null_token_id: int, max_width: int = 1024
) -> HeadConfig:
    """A config that suits a backbone of any size: all heads, three taps, widths that follow the backbone's.

    Args:
        backbone: what the heads will stand on.
        mask_token_id: a reserved id of its tokenizer.
        null_token_id: another one.
        max_width: heads as wide as a large backbone would cost more than they give.

    Raises:
        HeadConfigError: ids or sizes that do not fit.
    """
    width = max(32, min(backbone.hidden_size, max_width) // 32 * 32)
    num_heads = max(1, width // 64)
    depth = backbone.num_layers
    try:
        return HeadConfig(
            backbone=backbone,
            taps=tuple(sorted({max(1, depth // 3), max(1, 2 * depth // 3), depth})),
            mask_token_id=mask_token_id,
            null_token_id=null_token_id,
            diffusion=DiffusionConfig(width=width, num_attention_heads=num_heads),
            span=SpanConfig(width=min(width, 512), num_attention_heads=max(1, min(width, 512) // 64)),
            probes=ProbeConfig(width=min(width, 256)),
            confidence=ConfidenceConfig(),
        )
    except ValidationError as error:
        raise HeadConfigError(problems_of(error)) from error


def _check_attention(width: int, num_heads: int) -> None:
    if width % (2 * num_heads):
        raise ValueError(f"width={width} cannot be cut into {num_heads} attention heads of an even size")
