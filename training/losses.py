"""What heads are trained to minimise: plain functions of scores and labels, each with a gradient.

Rows are positions that are open (or slots); whoever calls has left out what is padding, so nothing here is
masked by a magic label. Weights and their defaults stand in `LossWeights`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class LossWeights(BaseModel):
    """How much each loss counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    label_smoothing: float = Field(default=0.02, ge=0.0, lt=1.0)
    """Share of a token label that is spread over the vocabulary. It caps how sure the head may become, so it
    stays far below what the lock threshold leaves."""

    entropy: float = Field(default=0.05, ge=0.0)
    """Reward for undecided distributions at the beginning; falls to 0 by `entropy_until`."""

    entropy_until: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of the training after which nothing rewards entropy."""

    null: float = Field(default=0.4, ge=0.0)
    """Weight of a null label at t = 1; 0.3 of it at t = 0. Most positions are null, tokens must not drown."""

    null_penalty: float = Field(default=0.3, ge=0.0)
    """Weight of the probability of null where a token belongs."""

    temperature: float = Field(default=1.0, gt=0.0)
    """Token scores are divided by this before the loss."""

    distillation: float = Field(default=0.5, ge=0.0)
    """Weight of the backbone's own distribution as a target."""

    distillation_temperature: float = Field(default=2.0, gt=0.0)
    """Softens both distributions."""

    position_decay: float = Field(default=4.0, gt=0.0)
    """A position this much further into a slot weighs 1/e in distillation: what comes first decides how much
    of a draft is accepted."""

    span: float = Field(default=1.0, ge=0.0)
    """Weight of the span loss."""

    span_pointer: float = Field(default=0.8, ge=0.0)
    """Within it: cross-entropy of start and last token."""

    span_soft: float = Field(default=0.2, ge=0.0)
    """Within it: the same against a target that forgives near misses."""

    span_absent: float = Field(default=0.2, ge=0.0)
    """Within it: whether the value stands in the text."""

    span_whole: float = Field(default=0.5, ge=0.0)
    """Within it: cross-entropy of the right span among all spans, which is what decoding chooses among."""

    span_smoothing: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of a span label that is spread over the tokens that may be copied."""

    span_window: int = Field(default=2, ge=0)
    """Tokens to either side that the soft target reaches."""

    presence: float = Field(default=0.5, ge=0.0)
    """Weight of the presence loss."""

    length: float = Field(default=0.2, ge=0.0)
    """Weight of the length loss."""


def entropy_weight(weights: LossWeights, progress: float) -> float:
    """The entropy reward at a share of the training: falls in a line to exactly 0."""
    return weights.entropy * max(0.0, 1.0 - progress / weights.entropy_until)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenLoss:
    """The parts of the loss over open positions, each a mean."""

    total: Tensor
    cross_entropy: Tensor
    entropy: Tensor
    null_probability: Tensor


def token_loss(
    logits: Tensor,
    labels: Tensor,
    times: Tensor,
    *,
    null_token_id: int,
    weights: LossWeights,
    progress: float = 1.0,
) -> TokenLoss:
    """Cross-entropy of clean tokens at masked positions, null labels weighed down by each sample's own time.

    Args:
        logits: of open positions only, (rows, vocab); impossible tokens are -inf.
        labels: clean tokens, (rows,).
        times: of each row's sample, in [0, 1], (rows,).
        null_token_id: the label of unused positions.
        weights: what counts how much.
        progress: share of the training that is done; the entropy reward is gone at its end.
    """
    log_probabilities = (logits.float() / weights.temperature).log_softmax(-1)
    is_possible = log_probabilities > float("-inf")
    finite = log_probabilities.masked_fill(~is_possible, 0.0)
    right = -finite.gather(1, labels[:, None])[:, 0]
    spread = -finite.sum(-1) / is_possible.sum(-1)
    losses = (1.0 - weights.label_smoothing) * right + weights.label_smoothing * spread
    is_null = labels == null_token_id
    scales = torch.where(is_null, weights.null * (0.3 + 0.7 * times), torch.ones_like(times))
    cross_entropy = (losses * scales).sum() / scales.sum().clamp(min=1e-6)
    reward = entropy_weight(weights, progress)
    entropy = -(finite * finite.exp() * is_possible).sum(-1).mean()
    null_probability = _mean(log_probabilities[:, null_token_id].exp(), ~is_null)
    return TokenLoss(
        total=cross_entropy - reward * entropy + weights.null_penalty * null_probability,
        cross_entropy=cross_entropy.detach(),
        entropy=entropy.detach(),
        null_probability=null_probability.detach(),
    )


def distillation_loss(logits: Tensor, teacher: Tensor, positions: Tensor, *, weights: LossWeights) -> Tensor:
    """Divergence from the backbone's own distributions over the gold text, early positions counting most.

    Args:
        logits: (rows, vocab).
        teacher: the backbone's scores for the same positions, of the same form, (rows, vocab).
        positions: each row's place in its slot, (rows,).
        weights: temperature and decay.
    """
    heat = weights.distillation_temperature
    ours = (logits.float() / heat).log_softmax(-1)
    theirs = (teacher.detach().float() / heat).log_softmax(-1)
    is_possible = (ours > float("-inf")) & (theirs > float("-inf"))
    apart = torch.where(is_possible, theirs, 0.0) - torch.where(is_possible, ours, 0.0)
    divergence = (theirs.exp() * apart * is_possible).sum(-1)
    scales = torch.exp(-positions.float() / weights.position_decay)
    return heat**2 * (divergence * scales).sum() / scales.sum().clamp(min=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanLabels:
    """Where the values of slots stand, in columns of the message tokens; half-open, (0, 0) is nowhere.

    Attributes:
        start: (rows,).
        end: (rows,).
        is_known: False where a label contradicts its record; such a row has no part in the loss, (rows,).
    """

    start: Tensor
    end: Tensor
    is_known: Tensor

    @property
    def is_absent(self) -> Tensor:
        """Rows whose value does not stand in the text."""
        return (self.start == 0) & (self.end == 0)


def span_loss(
    start: Tensor,
    last: Tensor,
    absent: Tensor,
    is_copyable: Tensor,
    labels: SpanLabels,
    *,
    weights: LossWeights,
) -> Tensor:
    """Pointers to the start and to the last token, a softer copy of both, and whether there is a span.

    Args:
        start: scores, (rows, length).
        last: scores of the last token that is in the span, (rows, length).
        absent: log-odds that there is none, (rows,).
        is_copyable: (rows, length); the rest has no part in the loss nor in any smoothing.
        labels: (rows,) each.
        weights: what counts how much.

    Raises:
        ValueError: a known span that is empty, reversed, or points at what cannot be copied.
    """
    has_span = labels.is_known & ~labels.is_absent
    at_last = (labels.end - 1).clamp(min=0)
    _check_spans(is_copyable, labels, at_last, has_span)
    targets = ((start, labels.start), (last, at_last))
    pointer = torch.stack([_pointer_loss(s, at, is_copyable, weights.span_smoothing) for s, at in targets])
    soft = torch.stack([_soft_loss(s, at, is_copyable, weights.span_window) for s, at in targets])
    is_judged = labels.is_known & is_copyable.any(-1)
    odds = absent.float().masked_fill(~is_judged, 0.0)
    existence = functional.binary_cross_entropy_with_logits(odds, labels.is_absent.float(), reduction="none")
    return (
        weights.span_pointer * _mean(pointer.mean(0), has_span)
        + weights.span_soft * _mean(soft.mean(0), has_span)
        + weights.span_absent * _mean(existence, is_judged)
    )


def whole_span_loss(log_probabilities: Tensor, labels: SpanLabels) -> Tensor:
    """The right span among all there are; absent, unknown and too long ones have no part.

    Args:
        log_probabilities: of `span_log_probabilities`, (rows, length, most tokens).
        labels: (rows,) each.
    """
    most = log_probabilities.shape[-1]
    num_tokens = labels.end - labels.start
    is_judged = labels.is_known & ~labels.is_absent & (num_tokens <= most)
    column = (labels.start * most + num_tokens - 1).clamp(min=0, max=log_probabilities[0].numel() - 1)
    finite = log_probabilities.clamp(min=torch.finfo(log_probabilities.dtype).min)
    return _mean(-finite.flatten(1).gather(1, column[:, None])[:, 0], is_judged)


def presence_loss(log_odds: Tensor, is_given: Tensor) -> Tensor:
    """Whether optional arguments are given, (rows,) each."""
    return functional.binary_cross_entropy_with_logits(log_odds.float(), is_given.float())


def length_loss(scores: Tensor, num_tokens: Tensor) -> Tensor:
    """How many tokens values have; those beyond the last class belong to it.

    Args:
        scores: (rows, classes).
        num_tokens: (rows,).
    """
    return functional.cross_entropy(scores.float(), num_tokens.clamp(max=scores.shape[-1] - 1))


def confidence_loss(log_odds: Tensor, is_right: Tensor, weight: Tensor | None = None) -> Tensor:
    """Whether values are right, (rows,) each. Its minimum is the true probability, so it calibrates too.

    With `weight`, (rows,), some count less than others.
    """
    losses = functional.binary_cross_entropy_with_logits(log_odds.float(), is_right.float(), reduction="none")
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum()


def _check_spans(is_copyable: Tensor, labels: SpanLabels, at_last: Tensor, has_span: Tensor) -> None:
    can_start = is_copyable.gather(1, labels.start[:, None])[:, 0]
    can_end = is_copyable.gather(1, at_last[:, None])[:, 0]
    is_wrong = has_span & ~((labels.start < labels.end) & can_start & can_end)
    if bool(is_wrong.any()):
        row = int(is_wrong.nonzero()[0])
        raise ValueError(
            f"span label {row}: [{int(labels.start[row])}, {int(labels.end[row])}) is no span of copyable "
            "tokens: mark it as not known, or make it (0, 0)"
        )


def _pointer_loss(scores: Tensor, at: Tensor, is_copyable: Tensor, smoothing: float) -> Tensor:
    log_shares = _log_shares(scores, is_copyable)
    right = -log_shares.gather(1, at[:, None])[:, 0]
    spread = -log_shares.sum(-1) / is_copyable.sum(-1).clamp(min=1)
    return (1.0 - smoothing) * right + smoothing * spread


def _soft_loss(scores: Tensor, at: Tensor, is_copyable: Tensor, window: int) -> Tensor:
    columns = torch.arange(scores.shape[-1], device=scores.device)
    distance = (columns - at[:, None]).abs().float()
    target = (1.0 - distance / (window + 1)).clamp(min=0.0) * is_copyable
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    log_shares = _log_shares(scores, is_copyable)
    divergence: Tensor = (torch.special.xlogy(target, target) - target * log_shares).sum(-1)
    return divergence


def _log_shares(scores: Tensor, is_copyable: Tensor) -> Tensor:
    """Log-softmax over what may be copied, 0 elsewhere; finite even where a row may copy nothing."""
    kept = scores.float().masked_fill(~is_copyable, -1e9)
    return kept.log_softmax(-1).masked_fill(~is_copyable, 0.0)


def _mean(losses: Tensor, is_counted: Tensor) -> Tensor:
    """The mean of the counted rows; 0, with a gradient of 0, where there are none."""
    mean: Tensor = torch.where(is_counted, losses, 0.0).sum() / is_counted.sum().clamp(min=1)
    return mean
