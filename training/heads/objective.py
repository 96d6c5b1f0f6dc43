"""One training step's losses: all heads on one batch, computed together in the products' precision.

Parameters stay float32; `HeadObjective.losses` runs the heads with copies in `dtype`, through which the
gradient flows back. Only open positions meet the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from heads import (
    BackboneEnds,
    HeadBundle,
    MessageInputs,
    NoiseConfig,
    SpanScores,
    score_tokens,
    slot_tokens,
    span_log_probabilities,
)

from ..losses import (
    LossWeights,
    SpanLabels,
    distillation_loss,
    length_loss,
    presence_loss,
    span_loss,
    token_loss,
    whole_span_loss,
)
from .copies import Copies, CopySpeller, copies_of
from .inputs import (
    Drafts,
    HeadTensors,
    TokenTables,
    draw_drafts,
    key_log_odds,
    message_inputs,
    own_values,
    prompt_inputs,
    slot_inputs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingNoise:
    """How drafts are spoilt in training."""

    masks: NoiseConfig
    unread_share: float
    """Share of slots whose revealed tokens the backbone has not read again."""

    blank_share: float
    """Share of slots that see no prompt, so that guidance has something to move away from."""

    null_share: float
    """Share of unused positions that are judged, beyond the first two of a slot."""

    most_positions: int
    """Positions of a slot at most."""

    target: Literal["gold", "backbone"] = "gold"
    """Whose tokens are labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The loss of a batch, and its parts by name, without gradient."""

    total: Tensor
    parts: Mapping[str, Tensor]
    counts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRows:
    """Token scores of open positions, and whose they are."""

    logits: Tensor  # (rows, vocab)
    slot: Tensor  # (rows,)
    place: Tensor  # (rows,)


class HeadObjective(nn.Module):
    """The heads of a bundle and what they are trained to minimise."""

    def __init__(
        self,
        bundle: HeadBundle,
        ends: BackboneEnds,
        tables: TokenTables,
        speller: CopySpeller,
        *,
        weights: LossWeights,
        noise: TrainingNoise,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.bundle = bundle
        self.ends = ends
        self.tables = tables
        self._speller = speller
        self._weights = weights
        self._noise = noise
        self._dtype = dtype

    def losses(
        self, batch: HeadTensors, states: Tensor, *, progress: float, generator: torch.Generator
    ) -> Losses:
        """All losses of a batch.

        Args:
            batch: what was read.
            states: of the frozen backbone, (tokens, taps, hidden).
            progress: share of the training that is done.
            generator: of the noise, on the CPU.
        """
        with torch.no_grad():
            budgets = self.drawn_budgets(batch, states, progress=progress, generator=generator)
            drafts = draw_drafts(
                batch,
                budgets,
                self._noise.masks,
                self.bundle.config,
                unread_share=self._noise.unread_share,
                generator=generator,
            )
            device = states.device
            is_blank = torch.rand(len(budgets), generator=generator) < self._noise.blank_share
            place = torch.arange(drafts.tokens.shape[1], device=device)
            is_drawn = torch.rand(drafts.tokens.shape, generator=generator) < self._noise.null_share
            is_judged = (place < batch.num_tokens[:, None] + 2) | is_drawn.to(device)
            if self._noise.target == "backbone":
                drafts, is_judged = self._with_own_labels(batch, states, drafts, is_judged)
        cast = {name: p.to(self._dtype) for name, p in self.named_parameters()}
        losses: Losses = functional_call(
            self, cast, (batch, states, drafts, is_blank.to(device), is_judged, progress)
        )
        return losses

    @torch.no_grad()
    def as_served(self) -> HeadObjective:
        """The same in evaluation mode, with weights in the products' precision."""
        bundle = copy.deepcopy(self.bundle).to(self._dtype).eval()
        return HeadObjective(
            bundle,
            self.ends,
            self.tables,
            self._speller,
            weights=self._weights,
            noise=self._noise,
            dtype=self._dtype,
        )

    def _with_own_labels(
        self, batch: HeadTensors, states: Tensor, drafts: Drafts, is_judged: Tensor
    ) -> tuple[Drafts, Tensor]:
        """What the backbone would write as labels, up to where it leaves the gold value.

        Slots that do not stand in the gold text keep their labels, and so does a batch with nothing else.
        """
        own = own_values(batch, states, self.tables, self.ends, self.bundle.config)
        place = torch.arange(drafts.labels.shape[1], device=states.device)
        said = own.tokens[:, : len(place)]
        said = torch.nn.functional.pad(said, (0, len(place) - said.shape[1]), value=-1)
        is_known = (batch.gold_at == 0)[:, None] | (place <= own.num_agreed[:, None])
        is_known |= (own.num_agreed > batch.num_tokens)[:, None]
        if not (drafts.is_masked & is_judged & is_known).any():
            return drafts, is_judged
        labels = torch.where((said >= 0) & is_known, said, drafts.labels)
        return replace(drafts, labels=labels), is_judged & is_known

    def drawn_budgets(
        self, batch: HeadTensors, states: Tensor, *, progress: float, generator: torch.Generator
    ) -> Tensor:
        """Positions of each slot: what serving would give it, once the length probe knows something.

        Before, a few more than the value has.
        """
        extra = torch.randint(0, 4, (len(batch.anchor),), generator=generator).to(states.device)
        is_early = torch.rand(len(batch.anchor), generator=generator) > progress / _EARLY
        asked = self.asked_budgets(batch, states)
        most = batch.limit.clamp(max=self._noise.most_positions)
        early = (batch.num_tokens + extra).clamp(min=1).minimum(most)
        return torch.where(is_early.to(states.device), early, asked)

    def asked_budgets(self, batch: HeadTensors, states: Tensor) -> Tensor:
        """Positions of each slot as serving gives them."""
        probes = self.bundle.probes
        assert probes is not None
        scores = probes.lengths(states[batch.anchor], batch.kinds)
        asked = slot_tokens(scores, quantile=self.bundle.calibration.length_quantile)
        return asked.minimum(batch.limit.clamp(max=self._noise.most_positions))

    def forward(
        self,
        batch: HeadTensors,
        states: Tensor,
        drafts: Drafts,
        is_blank: Tensor,
        is_judged: Tensor,
        progress: float,
    ) -> Losses:
        """The losses, with whatever weights the bundle has now."""
        weights = self._weights
        messages, scores = self.spans(batch, states)
        copies = self.copies(batch, scores, drafts)
        rows = self.open_logits(batch, states, drafts, copies, is_judged=is_judged, is_blank=is_blank)
        span, whole = self._span_losses(batch, messages, scores)
        presence, length = self._probe_losses(batch, states, scores)
        parts = {
            **self._token_losses(batch, states, drafts, rows, progress),
            "span_loss": span,
            "whole_span_loss": whole,
            "presence_loss": presence,
            "length_loss": length,
        }
        total = (
            parts["token_loss"]
            + weights.distillation * parts["distillation_loss"]
            + weights.span * (span + weights.span_whole * whole)
            + weights.presence * presence
            + weights.length * length
        )
        counts = draft_counts(drafts)
        return Losses(total=total, parts={name: part.detach() for name, part in parts.items()}, counts=counts)

    def spans(self, batch: HeadTensors, states: Tensor) -> tuple[MessageInputs, SpanScores]:
        """What the span head says of the batch's `span_grid`, and of which messages."""
        head = self.bundle.span
        assert head is not None
        slots, messages = message_inputs(batch, states, self.tables, self.ends)
        return messages, head(slots, messages, self.ends)

    def copies(self, batch: HeadTensors, scores: SpanScores, drafts: Drafts) -> Copies:
        """What the span head would copy, for the diffusion head. It learns from its own loss alone."""
        diffusion = self.bundle.config.diffusion
        assert diffusion is not None
        return copies_of(
            batch,
            scores,
            self._speller,
            num_copies=diffusion.num_copies,
            num_positions=drafts.tokens.shape[1],
        )

    def open_logits(
        self,
        batch: HeadTensors,
        states: Tensor,
        drafts: Drafts,
        copies: Copies,
        *,
        is_judged: Tensor | None = None,
        is_blank: Tensor | None = None,
    ) -> OpenRows:
        """Token scores of the open positions of all given slots.

        Slots are read in classes of about one size, since most values are short.

        Args:
            batch: of the slots.
            states: of the frozen backbone.
            drafts: (slots, positions).
            copies: of all slots.
            is_judged: positions whose scores are wanted, of those that are open; all if left out.
            is_blank: slots that see no prompt, (slots,).
        """
        head = self.bundle.diffusion
        assert head is not None
        prompt, is_seen_by = prompt_inputs(batch, states)
        memory = head.read_prompt(prompt, self.ends)
        wanted = drafts.is_masked if is_judged is None else drafts.is_masked & is_judged
        found = []
        for grid, num_positions in size_classes(batch, drafts):
            slots = slot_inputs(batch, drafts, states, self.tables, grid, num_positions, copies)
            seen = memory.within(is_seen_by(grid))
            if is_blank is not None:
                seen = seen.without(is_blank[grid.clamp(min=0)])
            at = grid.clamp(min=0)
            is_open = wanted[at][:, :, :num_positions] & (grid >= 0)[..., None]
            rows = is_open.flatten().nonzero()[:, 0]
            if len(rows):
                logits = head.logits(head(slots, seen, self.ends), rows, self.ends)
                found.append((logits, grid.flatten()[rows // num_positions], rows % num_positions))
        logits, slot, place = (torch.cat(parts) for parts in zip(*found, strict=True))
        return OpenRows(logits=logits, slot=slot, place=place)

    def _token_losses(
        self, batch: HeadTensors, states: Tensor, drafts: Drafts, rows: OpenRows, progress: float
    ) -> dict[str, Tensor]:
        config, slot, place, logits = self.bundle.config, rows.slot, rows.place, rows.logits
        labels = drafts.labels[slot, place]
        tokens = token_loss(
            logits,
            labels,
            drafts.times[slot],
            null_token_id=config.null_token_id,
            weights=self._weights,
            progress=progress,
        )
        # The backbone has an opinion up to the token behind the value; beyond, it reads something else.
        is_taught = (place <= batch.num_tokens[slot]) & (batch.gold_at[slot] > 0)
        taught = is_taught.nonzero()[:, 0]
        with torch.no_grad():
            teacher = score_tokens(
                states[(batch.gold_at[slot] - 1 + place)[taught], -1],
                self.tables.end_ids[batch.is_string[slot[taught]].long()],
                config,
                self.ends,
            )
        copied = distillation_loss(logits[taught], teacher, place[taught], weights=self._weights)
        said = logits.detach().argmax(-1)
        is_null, says_null = labels == config.null_token_id, said == config.null_token_id
        is_right = said == labels
        return {
            "token_loss": tokens.total,
            "distillation_loss": copied,
            "cross_entropy": tokens.cross_entropy,
            "entropy": tokens.entropy,
            "null_probability": tokens.null_probability,
            "real_token_accuracy": _share(is_right, ~is_null),
            "null_accuracy": _share(is_right, is_null),
            "null_prediction_rate": says_null.float().mean(),
            "null_precision": _share(is_null, says_null),
            "avg_null_ratio": is_null.float().mean(),
        }

    def _span_losses(
        self, batch: HeadTensors, messages: MessageInputs, scores: SpanScores
    ) -> tuple[Tensor, Tensor]:
        picked = (batch.span_grid >= 0).flatten().nonzero()[:, 0]
        if not len(picked):
            nothing = scores.absent.sum() * 0.0
            return nothing, nothing
        span = batch.span[batch.span_grid.flatten()[picked]]
        labels = SpanLabels(
            start=span[:, 0].clamp(min=0), end=span[:, 1].clamp(min=0), is_known=span[:, 0] >= 0
        )
        is_copyable = messages.is_copyable[picked // batch.span_grid.shape[1]]
        pointed = span_loss(
            scores.start.flatten(0, 1)[picked],
            scores.last.flatten(0, 1)[picked],
            scores.absent.flatten(0, 1)[picked],
            is_copyable,
            labels,
            weights=self._weights,
        )
        whole = whole_span_loss(span_log_probabilities(scores).flatten(0, 1)[picked], labels)
        return pointed, whole

    def presence(self, batch: HeadTensors, states: Tensor, scores: SpanScores, which: Tensor) -> Tensor:
        """Log-odds that the arguments of some optional slots are given, (n,)."""
        probes = self.bundle.probes
        assert probes is not None
        with torch.no_grad():
            odds = key_log_odds(batch, states, which, self.ends)
        told = torch.zeros(len(batch.anchor), device=states.device)
        is_asked = batch.span_grid >= 0
        told = told.index_put((batch.span_grid[is_asked],), scores.given[is_asked])
        return probes.presence(states[batch.anchor[which]], batch.kinds[which], odds) + told[which]

    def _probe_losses(self, batch: HeadTensors, states: Tensor, scores: SpanScores) -> tuple[Tensor, Tensor]:
        head = self.bundle.probes
        assert head is not None
        given = batch.is_given.nonzero()[:, 0]
        lengths = head.lengths(states[batch.anchor[given]], batch.kinds[given])
        length = length_loss(lengths, batch.num_tokens[given])
        optional = batch.is_optional.nonzero()[:, 0]
        if not len(optional):
            return length * 0.0, length
        presence = self.presence(batch, states, scores, optional)
        return presence_loss(presence, batch.is_present[optional]), length


_SIZES = (4, 8, 14)
"""Positions up to which slots are read together; the longer ones are the last class."""


def size_classes(batch: HeadTensors, drafts: Drafts) -> list[tuple[Tensor, int]]:
    """The given slots of about one size by row (-1 is padding), and the positions of the largest."""
    sizes = drafts.is_there.sum(-1).tolist()
    rows = batch.row.tolist()
    found = []
    for low, high in pairwise((0, *_SIZES, 1 << 30)):
        in_row: list[list[int]] = [[] for _ in range(batch.tokens.shape[0])]
        members = [slot for slot, size in enumerate(sizes) if low < size <= high]
        for slot in members:
            in_row[rows[slot]].append(slot)
        if members:
            width = max(map(len, in_row))
            grid = torch.tensor([[*slots, *[-1] * (width - len(slots))] for slots in in_row])
            found.append((grid.to(batch.row.device), int(max(sizes[slot] for slot in members))))
    return found


_EARLY = 0.05
"""Share of the training after which budgets are all the length probe's."""


def draft_counts(drafts: Drafts) -> dict[str, float]:
    """Sizes of a batch's drafts."""
    sizes = drafts.is_there.sum(-1).float()
    sizes = sizes[sizes > 0]
    masked = drafts.is_masked.sum(-1).float()[drafts.is_there.any(-1)]
    if not len(sizes):
        return {}
    return {
        "avg_scaffold_size": float(sizes.mean()),
        "scaffold_size_std": float(sizes.std(unbiased=False)),
        "max_scaffold_size": float(sizes.max()),
        "min_scaffold_size": float(sizes.min()),
        "avg_mask_count": float(masked.mean()),
        "zero_mask_sample_rate": float((masked == 0).float().mean()),
    }


def _share(is_right: Tensor, among: Tensor) -> Tensor:
    return (is_right & among).sum() / among.sum().clamp(min=1)
