"""What is measured on held-out calls: drafts of one step, spans, presence, lengths; and when to worry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heads import SLOT_KINDS, MessageInputs, SpanScores, best_spans

from .inputs import HeadTensors, full_drafts, key_log_odds, own_values
from .objective import HeadObjective

LEAST_OF_A_KIND = 3
"""Slots of a kind below which its share means nothing."""

SURE_FROM = 0.8
"""Mean probability of a draft's tokens from which a wrong one counts as overconfident."""


@dataclass(slots=True)
class Tally:
    """Right answers among all, by name."""

    right: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    total: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, name: str, is_right: Tensor, among: Tensor | None = None) -> None:
        """Count answers; `among` says which of them are asked for."""
        counted = is_right if among is None else is_right & among
        self.right[name] += float(counted.sum())
        self.total[name] += is_right.numel() if among is None else int(among.sum())

    def mean(self, name: str, values: Tensor) -> None:
        """Add values whose mean is wanted."""
        self.right[name] += float(values.float().sum())
        self.total[name] += values.numel()

    def shares(self) -> dict[str, float]:
        """The share of each name that was asked for at all."""
        return {name: self.right[name] / total for name, total in sorted(self.total.items()) if total}


@torch.no_grad()
def measure(objective: HeadObjective, batch: HeadTensors, states: Tensor, tally: Tally) -> None:
    """Fill every slot of a batch in one step, and see what is right."""
    messages, scores = objective.spans(batch, states)
    _measure_drafts(objective, batch, states, scores, tally)
    _measure_spans(objective, batch, messages, scores, tally)
    _measure_probes(objective, batch, states, scores, tally)


def _measure_drafts(
    objective: HeadObjective, batch: HeadTensors, states: Tensor, scores: SpanScores, tally: Tally
) -> None:
    config = objective.bundle.config
    given = batch.is_given.nonzero()[:, 0]
    budgets = objective.asked_budgets(batch, states)
    tally.mean("avg_budget", budgets[given])
    tally.add("length_coverage", (batch.num_tokens <= budgets)[given])
    drafts = full_drafts(batch, budgets, config)
    rows = objective.open_logits(batch, states, drafts, objective.copies(batch, scores, drafts))
    slot, place, probabilities = rows.slot, rows.place, rows.logits.softmax(-1)
    surety, said = probabilities.max(-1)
    labels = drafts.labels[slot, place]
    is_null, says_null = labels == config.null_token_id, said == config.null_token_id
    is_right = said == labels
    tally.add("token_accuracy", is_right, ~is_null)
    tally.add("first_token_accuracy", is_right, place == batch.num_lead[slot])
    tally.add("null_accuracy", is_right, is_null)
    tally.add("null_recall", says_null, is_null)
    tally.add("null_precision", is_null, says_null)
    tally.add("null_prediction_rate", says_null)
    tally.add("avg_null_ratio", is_null)
    # A draft is read up to its first null; what stands behind is of no account.
    written = drafts.tokens.clone()
    written[slot, place] = said
    is_over = (written == config.null_token_id).long().cumsum(1) > 0
    is_alike = (written == drafts.labels) | (is_over & (drafts.labels == config.null_token_id))
    is_exact = (is_alike | ~drafts.is_there).all(1) & (batch.num_tokens <= drafts.is_there.sum(1))
    tally.add("slot_exact", is_exact, batch.is_given)
    for number, kind in enumerate(SLOT_KINDS):
        tally.add(f"slot_exact_{kind}", is_exact, batch.is_given & (batch.kinds == number))
    sure = torch.zeros(len(is_exact), device=states.device).index_add(0, slot, surety.log())
    sure = (sure / torch.zeros_like(sure).index_add(0, slot, torch.ones_like(surety)).clamp(min=1)).exp()
    for name, which in (("confidence_right", is_exact), ("confidence_wrong", ~is_exact)):
        tally.mean(name, sure[which & batch.is_given])
    tally.add("overconfidence_rate", ~is_exact, batch.is_given & (sure > SURE_FROM))
    _measure_variety(written, is_over | ~drafts.is_there, batch.is_given, tally)
    _measure_backbone(objective, batch, states, tally)


def _measure_variety(written: Tensor, is_outside: Tensor, is_given: Tensor, tally: Tally) -> None:
    """How many different tokens are written, and how often a value repeats its token before."""
    is_value = ~is_outside & is_given[:, None]
    values = written[is_value]
    tally.right["token_diversity"] += len(torch.unique(values))
    tally.total["token_diversity"] += len(values)
    is_pair = is_value[:, 1:] & is_value[:, :-1]
    tally.add("token_repetition_rate", written[:, 1:] == written[:, :-1], is_pair)


def _measure_backbone(objective: HeadObjective, batch: HeadTensors, states: Tensor, tally: Tally) -> None:
    """Values that the backbone itself would write token by token, were it free: the draft's measure."""
    own = own_values(batch, states, objective.tables, objective.ends, objective.bundle.config)
    tally.add("backbone_slot_exact", own.num_agreed > batch.num_tokens, batch.is_given & (batch.gold_at > 0))


def _measure_spans(
    objective: HeadObjective, batch: HeadTensors, messages: MessageInputs, scores: SpanScores, tally: Tally
) -> None:
    best = best_spans(scores, k=3)
    picked = (batch.span_grid >= 0).flatten().nonzero()[:, 0]
    if not len(picked):
        return
    slot = batch.span_grid.flatten()[picked]
    where = messages.where[picked // batch.span_grid.shape[1]]
    span = batch.span[slot].clamp(min=0)
    start = where.gather(1, span[:, :1])
    end = where.gather(1, (span[:, 1:] - 1).clamp(min=0)) + 1
    found = (best.start.flatten(0, 1)[picked] == start) & (best.end.flatten(0, 1)[picked] == end)
    is_there = batch.span[slot][:, 0] > 0
    tally.add("span_top1", found[:, 0], is_there)
    tally.add("span_top3", found.any(1), is_there)
    is_absent = (batch.span[slot] == 0).all(1)
    says_absent = best.end.flatten(0, 1)[picked][:, 0] == 0
    tally.add("span_absent_recall", says_absent, is_absent)
    tally.add("span_proposed", ~says_absent, batch.is_given[slot])
    is_known = is_there | is_absent
    surety = best.probability.flatten(0, 1)[picked][:, 0]
    is_sure = ~says_absent & is_known & (surety >= objective.bundle.calibration.span_from)
    tally.add("span_precision", found[:, 0] & is_there, is_sure)


def _measure_probes(
    objective: HeadObjective, batch: HeadTensors, states: Tensor, scores: SpanScores, tally: Tally
) -> None:
    optional = batch.is_optional.nonzero()[:, 0]
    if not len(optional):
        return
    odds = key_log_odds(batch, states, optional, objective.ends)
    said, is_present = objective.presence(batch, states, scores, optional) > 0, batch.is_present[optional]
    tally.add("presence_accuracy", said == is_present)
    tally.add("presence_recall", said, is_present)
    tally.add("absence_recall", ~said, ~is_present)
    tally.add("presence_of_backbone", (odds > 0) == is_present)


@dataclass(frozen=True, slots=True)
class Watch:
    """From where on a number is good, and from where on it is bad."""

    good: tuple[float, float]
    bad: tuple[float, float]

    def verdict(self, value: float) -> str:
        """`good`, `bad`, or nothing for what is in between."""
        if self.bad[0] <= value <= self.bad[1]:
            return "bad"
        return "good" if self.good[0] <= value <= self.good[1] else ""


WATCHED: Mapping[str, Watch] = {
    "real_token_accuracy": Watch(good=(0.8, 1.0), bad=(0.0, 0.5)),
    "token_accuracy": Watch(good=(0.8, 1.0), bad=(0.0, 0.5)),
    "null_prediction_rate": Watch(good=(0.0, 0.6), bad=(0.7, 1.0)),
    "null_precision": Watch(good=(0.8, 1.0), bad=(0.0, 0.5)),
    "avg_null_ratio": Watch(good=(0.2, 0.4), bad=(0.7, 1.0)),
}
"""Numbers that say whether training goes well, as the earlier system's operators learnt to read them."""


def warnings_of(metrics: Mapping[str, float]) -> list[str]:
    """What of a log line is bad, a short sentence each."""
    return [
        f"{name} is {metrics[name]:.2f}: bad from {watch.bad[0]:g} to {watch.bad[1]:g}"
        for name, watch in WATCHED.items()
        if name in metrics and watch.verdict(metrics[name]) == "bad"
    ]
