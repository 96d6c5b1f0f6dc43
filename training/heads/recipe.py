"""The recipe of a run that trains heads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heads.schedule import NoiseConfig

from ..losses import LossWeights
from ..recipe import BatchRecipe, DataRecipe, OptimizerRecipe, RecipePart, RunRecipe


class SizesRecipe(RecipePart):
    """Sizes of the heads; what is None follows the backbone's width."""

    max_width: int = Field(default=1024, ge=32)
    """Widest the heads may be."""

    diffusion_blocks: int = Field(default=3, ge=1)
    """Blocks of the diffusion head."""

    span_blocks: int = Field(default=2, ge=1)
    """Blocks of the span head."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of activations dropped. None is needed where no example is ever seen twice."""


class HeadNoiseRecipe(RecipePart):
    """How drafts are spoilt."""

    masks: NoiseConfig = NoiseConfig()

    unread_share: float = Field(default=0.3, ge=0, le=1)
    """Share of slots whose revealed tokens the backbone has not read again: a fill that never re-reads."""

    blank_share: float = Field(default=0.1, ge=0, le=1)
    """Share of slots that see no prompt, which classifier-free guidance needs."""

    null_share: float = Field(default=0.25, ge=0, le=1)
    """Share of unused positions that are judged, beyond a slot's first two: a draft ends at the first."""

    most_positions: int = Field(default=24, ge=2)
    """Positions of a slot at most; longer values are cut, as a draft would be."""


class HeadsRecipe(RunRecipe):
    """One training run of all heads on a frozen backbone."""

    name: str = "heads"
    """Folder of the run below `output`. The bundle is written into it as `bundle`."""

    model: str | None = None
    """Folder or Hub id of the backbone; the embedded model if left out."""

    quantization: Literal["none", "8bit", "4bit"] = "none"
    """How the frozen backbone's weights are kept; its states are read the same way."""

    target: Literal["gold", "backbone"] = "gold"
    """Whose tokens are labels: those of the data, or what the backbone itself would write, up to where it
    leaves the data. The first is for values that are right, the second for drafts that are accepted."""

    fill_calls: int = Field(default=0, ge=0)
    """Held-out calls that the deployed engine fills at every measurement; they then decide which checkpoint
    is the best. It loads the backbone a second time; 0: shares of right slots decide."""

    sizes: SizesRecipe = SizesRecipe()
    noise: HeadNoiseRecipe = HeadNoiseRecipe()
    losses: LossWeights = LossWeights()
    data: DataRecipe = DataRecipe(sibling_share=0.8, sibling_tokens=768, bare_share=0.1, short_first=0)
    batch: BatchRecipe = BatchRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe(matrices="adamw", adamw_lr=1e-3, weight_decay=0.01)
