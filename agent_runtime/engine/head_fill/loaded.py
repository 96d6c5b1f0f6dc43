"""A head bundle, loaded and bound to the backbone it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from heads import BackboneEnds, BundleMismatch, HeadBundle, HeadBundleError

from ...errors import BundleError
from ...scaffold.slot_budget import SlotBudgetRules

if TYPE_CHECKING:
    from ..backbone import Backbone


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedHeads:
    """Heads and the two ends of their backbone.

    Attributes:
        bundle: in evaluation mode, on the backbone's device.
        ends: the backbone's embeddings, last norm and vocabulary.
        rules: of slot budgets, as in the bundle's training.
    """

    bundle: HeadBundle
    ends: BackboneEnds
    rules: SlotBudgetRules

    @classmethod
    def of(cls, bundle: HeadBundle, ends: BackboneEnds) -> LoadedHeads:
        """Heads on a backbone they belong to."""
        facts = bundle.config.slot_budget
        return cls(
            bundle=bundle.eval(),
            ends=ends,
            rules=SlotBudgetRules(extra=facts.extra, maximum=facts.maximum, limit=facts.limit),
        )


def load_bundle(source: str | Path, *, local_files_only: bool = False) -> HeadBundle:
    """Read a bundle; which backbone it belongs to is not asked yet.

    Raises:
        BundleError: missing, damaged, half-written, or not heads at all.
    """
    try:
        return HeadBundle.from_pretrained(source, local_files_only=local_files_only)
    except HeadBundleError as error:
        raise BundleError(str(error)) from error


def bind(bundle: HeadBundle, backbone: Backbone, *, source: object) -> LoadedHeads:
    """Put heads on a backbone that was loaded with their taps, in its number format.

    Raises:
        BundleError: they were made for another one; says what differs.
    """
    differences = bundle.config.backbone.differences(backbone.facts)
    if differences:
        mismatch = BundleMismatch(differences, source=source)
        raise BundleError(str(mismatch)) from mismatch
    dtype = torch.float32 if backbone.device.type == "cpu" else backbone.dtype
    return LoadedHeads.of(bundle.to(device=backbone.device, dtype=dtype), backbone.ends)
