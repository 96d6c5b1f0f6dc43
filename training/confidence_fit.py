"""Fitting the confidence head on judged calls, and measuring how honest probabilities are.

The head is small and features are few, so it is fitted in seconds on the whole data at once. Temperatures,
and the confidences that the judgement of calls reads, come from heads that were fitted without the
conversation at hand (cross-fitting): a head that judges what it was fitted on is too sure. The values of one
call are no independent samples, so calls with very many of them (a list that does not end) are held down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from agent_runtime.errors import ConfigError
from heads import (
    Calibration,
    ConfidenceHead,
    HeadConfig,
    Temperature,
    call_tensor,
    expected_calibration_error,
    fit_temperature,
    slot_tensor,
)

from .calibrate import JudgedCall, JudgedTurn
from .losses import confidence_loss
from .recipe import RecipePart


class ConfidenceFitRecipe(RecipePart):
    """How the confidence head is fitted."""

    width: int = Field(default=32, ge=4)
    """Width inside the head."""

    steps: int = Field(default=150, ge=1)
    """Steps of the optimizer, each on all samples."""

    learning_rate: float = Field(default=0.01, gt=0)
    """At the first step; it falls to zero."""

    weight_decay: float = Field(default=1.0, ge=0)
    """Pull of weights towards zero: towards the untrained confidence."""

    full_values: int = Field(default=8, ge=1)
    """Values of a call that count in full; those of a call with more share the weight of so many."""

    folds: int = Field(default=5, ge=2)
    """Parts of the data; each is judged by a head that was fitted on the others."""

    seed: int = 0
    """Seed of the first weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Filled slots as tensors, one row each.

    Attributes:
        features: (slots, features).
        kinds: (slots,).
        is_right: (slots,) of 0 and 1; not a number where the tool is wrong.
        plain: (slots,) confidences without a head.
        turns: (slots,) which turn each belongs to.
        calls: (slots,) which call each belongs to.
    """

    features: Tensor
    kinds: Tensor
    is_right: Tensor
    plain: Tensor
    turns: Tensor
    calls: Tensor

    @property
    def is_judged(self) -> Tensor:
        """(slots,) whether a slot is right or wrong at all."""
        return ~self.is_right.isnan()


def slots_of(turns: Sequence[JudgedTurn], config: HeadConfig) -> Slots:
    """The slots of all calls."""
    features, kinds, turn_of, call_of = [], [], [], []
    is_right: list[float] = []
    plain: list[float] = []
    for call_at, (turn_at, call) in enumerate(_calls(turns)):
        rows = call.known.slot_features()
        features += rows
        kinds += call.known.slot_kinds(config.kind_of)
        right = call.are_slots_right
        is_right += [float("nan") if right is None else float(right[path]) for path in call.plain.slots]
        plain += call.plain.slots.values()
        turn_of += [turn_at] * len(rows)
        call_of += [call_at] * len(rows)
    return Slots(
        slot_tensor(features),
        torch.tensor(kinds, dtype=torch.long),
        torch.tensor(is_right),
        torch.tensor(plain),
        torch.tensor(turn_of, dtype=torch.long),
        torch.tensor(call_of, dtype=torch.long),
    )


def _calls(turns: Sequence[JudgedTurn]) -> Iterator[tuple[int, JudgedCall]]:
    for at, turn in enumerate(turns):
        for call in turn.calls:
            yield at, call


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """Probabilities and what came of them.

    Attributes:
        slots, are_slots_right: of the slots of calls with the right tool.
        slot_kinds: of the same.
        slot_turns: of the same: which turn each belongs to.
        calls, are_calls_right: of all calls.
        call_turns: which turn each belongs to.
    """

    slots: Tensor
    are_slots_right: Tensor
    slot_kinds: Tensor
    slot_turns: Tensor
    calls: Tensor
    are_calls_right: Tensor
    call_turns: Tensor


def fit_confidence(
    turns: Sequence[JudgedTurn], config: HeadConfig, recipe: ConfidenceFitRecipe
) -> tuple[ConfidenceHead, Temperature, Temperature, Stated]:
    """A head, the temperatures of its slots and of its calls, and what heads fitted without a turn say of it.

    Raises:
        ConfigError: too little to fit on.
    """
    slots = slots_of(turns, config)
    calls = list(_calls(turns))
    is_right = torch.tensor([float(call.is_right) for _, call in calls])
    turn_of = torch.tensor([at for at, _ in calls], dtype=torch.long)
    judged = slots.is_judged
    if int(judged.sum()) < recipe.folds or not 0 < float(is_right.mean()) < 1:
        raise ConfigError(
            f"{len(calls)} calls in {len(turns)} turns are too few to calibrate on, or all right, or all "
            "wrong: ask for more (data.num_fit)"
        )
    weight = (recipe.full_values / torch.bincount(slots.calls)[slots.calls]).clamp(max=1.0)
    odds = torch.zeros(len(judged))
    for fold, head in _fold_heads(config, recipe):
        here = slots.turns % recipe.folds == fold
        _fit_slots(head, slots, judged & ~here, weight, recipe)
        odds[here] = _slot_odds(head, slots)[here]
    slot_temperature = fit_temperature(odds[judged], slots.is_right[judged], weight=weight[judged])
    stated = slot_temperature.probability(odds)
    rows = _call_rows(calls, slots, stated)
    call_odds = torch.zeros(len(calls))
    for fold, head in _fold_heads(config, recipe):
        here = turn_of % recipe.folds == fold
        _fit_calls(head, rows[~here], is_right[~here], recipe)
        call_odds[here] = _call_odds(head, rows)[here]
    call_temperature = fit_temperature(call_odds, is_right)
    head = _new_head(config, recipe.seed)
    _fit_slots(head, slots, judged, weight, recipe)
    _fit_calls(head, rows, is_right, recipe)
    return (
        head.eval(),
        slot_temperature,
        call_temperature,
        _stated(slots, calls, stated, call_temperature.probability(call_odds)),
    )


@torch.no_grad()
def stated_by(
    head: ConfidenceHead, calibration: Calibration, turns: Sequence[JudgedTurn], config: HeadConfig
) -> Stated:
    """What a head states of turns, as serving would."""
    slots = slots_of(turns, config)
    calls = list(_calls(turns))
    stated = calibration.confidence.probability(_slot_odds(head, slots))
    odds = _call_odds(head, _call_rows(calls, slots, stated))
    return _stated(slots, calls, stated, calibration.call.probability(odds))


def stated_plainly(turns: Sequence[JudgedTurn], config: HeadConfig) -> Stated:
    """What is stated without a head."""
    slots, calls = slots_of(turns, config), list(_calls(turns))
    return _stated(slots, calls, slots.plain, torch.tensor([call.plain.call for _, call in calls]))


def _stated(
    slots: Slots, calls: Sequence[tuple[int, JudgedCall]], of_slots: Tensor, of_calls: Tensor
) -> Stated:
    judged = slots.is_judged
    return Stated(
        of_slots[judged],
        slots.is_right[judged],
        slots.kinds[judged],
        slots.turns[judged],
        of_calls,
        torch.tensor([float(call.is_right) for _, call in calls]),
        torch.tensor([at for at, _ in calls], dtype=torch.long),
    )


def _call_rows(calls: Sequence[tuple[int, JudgedCall]], slots: Slots, stated: Tensor) -> Tensor:
    of_call: list[list[float]] = [[] for _ in calls]
    for call_at, probability in zip(slots.calls.tolist(), stated.tolist(), strict=True):
        of_call[call_at].append(probability)
    return call_tensor(
        [call.known.call_features(told) for (_, call), told in zip(calls, of_call, strict=True)]
    )


def _fold_heads(config: HeadConfig, recipe: ConfidenceFitRecipe) -> Iterator[tuple[int, ConfidenceHead]]:
    for fold in range(recipe.folds):
        yield fold, _new_head(config, recipe.seed)


def _new_head(config: HeadConfig, seed: int) -> ConfidenceHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConfidenceHead(config)


def _fit_slots(
    head: ConfidenceHead, slots: Slots, chosen: Tensor, weight: Tensor, recipe: ConfidenceFitRecipe
) -> None:
    features, kinds, is_right = slots.features[chosen], slots.kinds[chosen], slots.is_right[chosen]
    head.slots.begin_on(features, weight[chosen])
    _descend(
        [*head.slots.parameters(), *head.kind_embedding.parameters()],
        lambda: confidence_loss(head(features, kinds), is_right, weight[chosen]),
        recipe,
    )


def _fit_calls(head: ConfidenceHead, rows: Tensor, is_right: Tensor, recipe: ConfidenceFitRecipe) -> None:
    head.calls.begin_on(rows)
    _descend([*head.calls.parameters()], lambda: confidence_loss(head.of_calls(rows), is_right), recipe)


def _descend(parameters: list[Parameter], loss: Callable[[], Tensor], recipe: ConfidenceFitRecipe) -> None:
    optimizer = AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = CosineAnnealingLR(optimizer, recipe.steps)
    for _ in range(recipe.steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _slot_odds(head: ConfidenceHead, slots: Slots) -> Tensor:
    odds: Tensor = head(slots.features, slots.kinds)
    return odds


@torch.no_grad()
def _call_odds(head: ConfidenceHead, rows: Tensor) -> Tensor:
    return head.of_calls(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """How far probabilities can be believed.

    Attributes:
        count: samples.
        share_right: of them.
        ece: expected calibration error, 15 bins of equal width.
        auroc: probability that a right one is stated higher than a wrong one.
        brier: mean squared error.
    """

    count: int
    share_right: float
    ece: float
    auroc: float
    brier: float


def honesty(probability: Tensor, is_right: Tensor) -> Honesty:
    """Measure probabilities against what came of them."""
    return Honesty(
        count=len(is_right),
        share_right=float(is_right.mean()) if len(is_right) else float("nan"),
        ece=expected_calibration_error(probability, is_right),
        auroc=auroc(probability, is_right),
        brier=float((probability - is_right).square().mean()) if len(is_right) else float("nan"),
    )


def auroc(score: Tensor, is_right: Tensor) -> float:
    """Area under the receiver's curve: equal scores count half; not a number where one side is empty."""
    _, group = torch.unique(score.double(), return_inverse=True)
    counts = torch.bincount(group).double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[group]
    num_right = float(is_right.sum())
    num_wrong = len(is_right) - num_right
    if not num_right or not num_wrong:
        return float("nan")
    return float((ranks[is_right == 1].sum() - num_right * (num_right + 1) / 2) / (num_right * num_wrong))


def exact_with_threshold(turns: Sequence[JudgedTurn], of_calls: Tensor, threshold: float) -> list[bool]:
    """Whether every turn is exactly right when calls below a confidence are not made, nor any after them."""
    at, exact = 0, []
    for turn in turns:
        sure = (of_calls[at : at + len(turn.calls)] >= threshold).tolist()
        num_kept = sure.index(False) if False in sure else len(sure)
        exact.append(turn.is_exact_with[num_kept])
        at += len(turn.calls)
    return exact
