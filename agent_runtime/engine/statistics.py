"""What the engine has done and is doing, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """A snapshot of the engine.

    Attributes:
        is_loaded: whether the weights are in memory.
        turns: turns that ended with an outcome.
        failed: turns that ended with an error of their own or of the engine.
        cancelled: turns whose caller went away.
        expired: turns whose deadline passed.
        refused: turns that found the queue full.
        queue_length: turns that wait for a place now.
        active: turns that have a place now.
        forwards: forwards computed.
        prefill_tokens: tokens computed in chunks of more than one.
        decode_tokens: tokens computed one at a time.
        cached_tokens: tokens that were not computed because the prefix cache held them.
        cache_held_tokens: tokens the prefix cache holds now.
        active_held_tokens: tokens the active turns have memory for now.
        batch_sizes: how many forwards were shared by how many turns.
        compute_s: seconds spent in forwards.
    """

    is_loaded: bool = False
    turns: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    refused: int = 0
    queue_length: int = 0
    active: int = 0
    forwards: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    cached_tokens: int = 0
    cache_held_tokens: int = 0
    active_held_tokens: int = 0
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    compute_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """The running counts behind `EngineStatistics`; written by the worker thread."""

    turns: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    refused: int = 0
    forwards: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    cached_tokens: int = 0
    batch_sizes: Counter[int] = field(default_factory=Counter)
    compute_s: float = 0.0
