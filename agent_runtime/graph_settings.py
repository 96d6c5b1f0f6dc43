"""The part of a deployment that says which shapes CUDA graphs have: `DeploymentConfig.graph_buckets`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(min_length=1, max_length=16)]


class GraphBuckets(BaseModel):
    """Shapes for which forwards are recorded, each when it is first needed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: int = Field(default=64, ge=8, le=1024)
    """Tokens that one forward reads, of all conversations together; fewer are padded. A longer draft or more
    conversations take several forwards. On a large GPU about 150 cost no more than one."""

    batches: Sizes = (1, 2, 4, 8, 16, 32)
    """Numbers of conversations whose attention is computed together. `max_batch` is always one of them, and
    larger ones are left out."""

    lengths: Sizes = (1024, 2048, 4096)
    """Numbers of positions attention looks at. A conversation that outgrows the last is read without graphs.
    Memory for the last is set aside for each of `max_batch` conversations."""
