"""Fitting how much counts what speaks for each value of a slot, on calls whose right values are known.

Each weighed slot is a choice among its options given the other slots' right values (pseudo-likelihood), so
what speaks against two values of one call is learned without enumerating calls. The few weights are fitted
in a second. What they gain is measured on calls they were not fitted on (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from agent_runtime.engine.head_fill.weighing import Choice, Option, WeighedSlot
from heads import NUM_WEIGHTS, ClashFeatures, ValueWeights

from .calibrate import JudgedTurn
from .recipe import RecipePart
from .scores import is_same


class ValueFitRecipe(RecipePart):
    """Which calls the weights of values are fitted on, and how."""

    seed: int = 4_000_037
    """Seed of the conversations."""

    num_conversations: int = Field(default=1000, ge=20)
    """So many of them at most."""

    minutes: float = Field(default=3.0, gt=0)
    """No conversation is begun after so long."""

    penalty: float = Field(default=1.0, ge=0)
    """Pull of the weights towards zero, in nats for one of 1."""

    folds: int = Field(default=5, ge=2)
    """Parts of the calls; each is measured with weights that were fitted on the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedValues:
    """Weights of values, and what they gain on calls they were not fitted on.

    Attributes:
        weights: None where nothing is gained.
        num_calls: with weighed slots.
        share_drafted: of these calls, those whose weighed slots are all right as drafted.
        share_chosen: the same as chosen.
    """

    weights: ValueWeights | None
    num_calls: int
    share_drafted: float
    share_chosen: float

    def shares(self) -> dict[str, float]:
        """For `Calibration.measured`."""
        return {
            "values_right_drafted": round(self.share_drafted, 5),
            "values_right_chosen": round(self.share_chosen, 5),
            "values_count": float(self.num_calls),
        }


@dataclass(frozen=True, slots=True)
class _Call:
    """The weighed slots of one call, and the number of each one's right option, where it has it."""

    slots: tuple[WeighedSlot, ...]
    right: tuple[int | None, ...]


def fit_values(turns: Sequence[JudgedTurn], recipe: ValueFitRecipe) -> FittedValues:
    """Weights for choosing among the options of slots."""
    calls = list(_calls(turns))
    folds = [calls[number :: recipe.folds] for number in range(recipe.folds)]
    num_drafted = num_chosen = 0
    for fold in folds:
        others = [call for other in folds if other is not fold for call in other]
        weights = _fitted(others, recipe.penalty)
        for call in fold:
            num_drafted += all(at == slot.drafted for slot, at in zip(call.slots, call.right, strict=True))
            num_chosen += tuple(Choice(call.slots, weights).chosen) == call.right
    is_better = num_chosen > num_drafted
    return FittedValues(
        weights=_fitted(calls, recipe.penalty) if is_better else None,
        num_calls=len(calls),
        share_drafted=num_drafted / max(1, len(calls)),
        share_chosen=num_chosen / max(1, len(calls)),
    )


def _calls(turns: Sequence[JudgedTurn]) -> Iterator[_Call]:
    for turn in turns:
        for call in turn.calls:
            if call.weighed and call.expected is not None:
                yield _Call(call.weighed, tuple(_right(slot, call.expected) for slot in call.weighed))


def _right(slot: WeighedSlot, expected: Mapping[str, object]) -> int | None:
    """The option that the reference has."""
    for number, option in enumerate(slot.options):
        is_absent = option.token_ids is None
        if is_absent and slot.path not in expected:
            return number
        if not is_absent and slot.path in expected and is_same(option.value, expected[slot.path]):
            return number
    return None


def _fitted(calls: Sequence[_Call], penalty: float) -> ValueWeights:
    """The weights under which the right options are most probable."""
    samples = [sample for call in calls for sample in _samples(call)]
    if not samples:
        return ValueWeights()
    longest = max(len(features) for features, _ in samples)
    features = torch.zeros((len(samples), longest, NUM_WEIGHTS), dtype=torch.double)
    is_option = torch.zeros((len(samples), longest), dtype=torch.bool)
    for row, (own, _) in enumerate(samples):
        features[row, : len(own)] = torch.tensor(own, dtype=torch.double)
        is_option[row, : len(own)] = True
    right = torch.tensor([at for _, at in samples])
    weights = torch.zeros(NUM_WEIGHTS, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = (features @ weights).masked_fill(~is_option, float("-inf"))
        fitted = functional.cross_entropy(scores, right, reduction="sum") + penalty * weights.square().sum()
        fitted.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return fitted

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return ValueWeights.of(weights.detach().tolist())


def _samples(call: _Call) -> Iterator[tuple[list[list[float]], int]]:
    """For every slot that has the right option: the features of all, and which is right."""
    taken = [
        slot.options[slot.drafted if at is None else at]
        for slot, at in zip(call.slots, call.right, strict=True)
    ]
    for number, (slot, at) in enumerate(zip(call.slots, call.right, strict=True)):
        if at is not None:
            others = [*taken[:number], *taken[number + 1 :]]
            yield [[*option.features, *_clashes(option, others)] for option in slot.options], at


def _clashes(option: Option, others: Sequence[Option]) -> list[float]:
    """What speaks against an option, over all other slots."""
    clashes = [option.clash(other) for other in others] or [ClashFeatures()]
    return [sum(column) for column in zip(*clashes, strict=True)]
