"""The parts of a deployment that say how heads fill values: `DeploymentConfig.remask` and its like."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Remask(_Part):
    """Doubting what was revealed: later denoise steps may open tokens again."""

    enabled: bool = True
    """Off, what is revealed stays."""

    ratio: float = Field(default=0.2, ge=0.0, le=1.0)
    """The most of a value's revealed tokens that one step may open again."""

    min_lock_confidence: float = Field(default=0.7, ge=0.0, le=1.0)
    """A token at least this probable is never opened again."""


class Expansion(_Part):
    """Growing values that fill all positions they were given."""

    max_rounds: int = Field(default=2, ge=0, le=64)
    """How often one value may grow. 0 never."""

    tokens: int = Field(default=8, ge=1, le=1024)
    """Positions added each time."""


class SlotBudgetChanges(_Part):
    """Positions values begin with, where they shall not be those of the bundle's training."""

    extra: int | None = Field(default=None, ge=0)
    """Tokens added to what the length probe expects."""

    maximum: int | None = Field(default=None, ge=1)
    """The most positions a value begins with."""

    limit: int | None = Field(default=None, ge=1)
    """The most positions a value may grow to."""
