"""What is learned on top of the frozen backbone: heads, their inputs, and the bundle they are kept in.

Plain torch, knowing nothing of prompts, tools or engines. What a head reads is inputs.py, how a bundle stands
on disk is bundle.py. Names are fetched when they are first asked for (PEP 562), so importing this package
does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bundle import HeadBundle
    from .calibration import Calibration, Temperature, expected_calibration_error, fit_temperature
    from .card import CardText, stated_in_card
    from .confidence import (
        CallFeatures,
        ConfidenceHead,
        SlotFeatures,
        call_tensor,
        log_odds,
        slot_tensor,
    )
    from .config import (
        SLOT_KINDS,
        BackboneFacts,
        ConfidenceConfig,
        DiffusionConfig,
        HeadConfig,
        ProbeConfig,
        SlotBudgetFacts,
        SpanConfig,
        config_for,
        revised,
    )
    from .diffusion import (
        DiffusionHead,
        DraftReading,
        PromptMemory,
        open_rows,
        open_share,
        score_tokens,
    )
    from .errors import BundleMismatch, FolderNotFound, HeadBundleError, HeadConfigError, HeadsError
    from .hub import find_folder
    from .inputs import (
        BackboneEnds,
        MessageInputs,
        PromptInputs,
        SlotInputs,
        SlotReading,
        collate_messages,
        collate_prompts,
        collate_slots,
        shifted_states,
    )
    from .probes import SlotProbes, slot_tokens
    from .schedule import (
        NoiseConfig,
        draw_masked,
        draw_times,
        importance_time,
        masked_share,
        noise_rate,
        total_noise,
    )
    from .span import (
        SpanHead,
        SpanProposals,
        SpanScores,
        best_spans,
        span_iou,
        span_log_probabilities,
    )
    from .taps import read_taps
    from .weighing import NUM_WEIGHTS, ClashFeatures, ValueFeatures, ValueWeights

_HOMES = {
    "bundle": ("HeadBundle",),
    "calibration": ("Calibration", "Temperature", "expected_calibration_error", "fit_temperature"),
    "card": ("CardText", "stated_in_card"),
    "confidence": (
        "CallFeatures",
        "ConfidenceHead",
        "SlotFeatures",
        "call_tensor",
        "log_odds",
        "slot_tensor",
    ),
    "config": (
        "SLOT_KINDS",
        "BackboneFacts",
        "ConfidenceConfig",
        "DiffusionConfig",
        "HeadConfig",
        "ProbeConfig",
        "SlotBudgetFacts",
        "SpanConfig",
        "config_for",
        "revised",
    ),
    "diffusion": (
        "DiffusionHead",
        "DraftReading",
        "PromptMemory",
        "open_rows",
        "open_share",
        "score_tokens",
    ),
    "errors": ("BundleMismatch", "FolderNotFound", "HeadBundleError", "HeadConfigError", "HeadsError"),
    "hub": ("find_folder",),
    "inputs": (
        "BackboneEnds",
        "MessageInputs",
        "PromptInputs",
        "SlotInputs",
        "SlotReading",
        "collate_messages",
        "collate_prompts",
        "collate_slots",
        "shifted_states",
    ),
    "probes": ("SlotProbes", "slot_tokens"),
    "schedule": (
        "NoiseConfig",
        "draw_masked",
        "draw_times",
        "importance_time",
        "masked_share",
        "noise_rate",
        "total_noise",
    ),
    "span": (
        "SpanHead",
        "SpanProposals",
        "SpanScores",
        "best_spans",
        "span_iou",
        "span_log_probabilities",
    ),
    "taps": ("read_taps",),
    "weighing": ("NUM_WEIGHTS", "ClashFeatures", "ValueFeatures", "ValueWeights"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "NUM_WEIGHTS",
    "SLOT_KINDS",
    "BackboneEnds",
    "BackboneFacts",
    "BundleMismatch",
    "Calibration",
    "CallFeatures",
    "CardText",
    "ClashFeatures",
    "ConfidenceConfig",
    "ConfidenceHead",
    "DiffusionConfig",
    "DiffusionHead",
    "DraftReading",
    "FolderNotFound",
    "HeadBundle",
    "HeadBundleError",
    "HeadConfig",
    "HeadConfigError",
    "HeadsError",
    "MessageInputs",
    "NoiseConfig",
    "ProbeConfig",
    "PromptInputs",
    "PromptMemory",
    "SlotBudgetFacts",
    "SlotFeatures",
    "SlotInputs",
    "SlotProbes",
    "SlotReading",
    "SpanConfig",
    "SpanHead",
    "SpanProposals",
    "SpanScores",
    "Temperature",
    "ValueFeatures",
    "ValueWeights",
    "best_spans",
    "call_tensor",
    "collate_messages",
    "collate_prompts",
    "collate_slots",
    "config_for",
    "draw_masked",
    "draw_times",
    "expected_calibration_error",
    "find_folder",
    "fit_temperature",
    "importance_time",
    "log_odds",
    "masked_share",
    "noise_rate",
    "open_rows",
    "open_share",
    "read_taps",
    "revised",
    "score_tokens",
    "shifted_states",
    "slot_tensor",
    "slot_tokens",
    "span_iou",
    "span_log_probabilities",
    "stated_in_card",
    "total_noise",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
