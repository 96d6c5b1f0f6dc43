"""The diffusion head: a distribution over tokens for every open position of every slot, all at once.

It corrects the backbone and replaces nothing: the tokens of a position are scored by the frozen last norm and
vocabulary from `h + delta`, where `h` is the backbone's state before the position and `delta` comes from the
head and is zero at first. So an untrained head gives the backbone's own next-token distribution wherever the
backbone has read what stands before, and training can only start from there.

Most values are copies, and where a copy goes on no state before the slot can tell. So the head is given the
span head's copies as further drafts: those that agree with what is revealed say which token stands where, and
the head how much that counts. Nothing at first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .errors import HeadConfigError
from .inputs import BackboneEnds, PromptInputs, SlotInputs
from .layers import Block, LevelFeatures, PlaceFeatures, mutual, rotation, unit

_HANDED_OVER = 30.0
"""Nats taken from the tokens that may follow a slot: the null id has their probability instead."""

_AGES = 16
"""Missed tokens told apart; a state older than this is as good as the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptMemory:
    """Prompts as a head's attention reads them: made once a request, used by every denoise step."""

    remembered: tuple[tuple[Tensor, Tensor], ...]
    is_there: Tensor  # (batch, length), or (batch, slots, length) where slots read different parts

    def without(self, is_dropped: Tensor) -> PromptMemory:
        """The same with some rows' prompts out of sight: for guidance, and for training it.

        Args:
            is_dropped: (batch,), or (batch, slots).
        """
        is_there = self.is_there if is_dropped.dim() == self.is_there.dim() - 1 else self.is_there[:, None]
        return replace(self, is_there=is_there & ~is_dropped[..., None])

    def within(self, is_seen: Tensor) -> PromptMemory:
        """The same with each slot seeing a part of it: prompts side by side, as training reads them.

        Args:
            is_seen: (batch, slots, length).
        """
        return replace(self, is_there=self.is_there[:, None] & is_seen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DraftReading:
    """What the head makes of a batch of drafts, before any vocabulary is touched."""

    features: Tensor  # (batch, slots, positions, width)
    delta: Tensor  # (batch, slots, positions, hidden), in units of the state's root mean square
    states: Tensor  # (batch, slots, positions, hidden) of the backbone's last layer
    end_ids: Tensor  # (batch, slots, ends)
    copies: Tensor  # (batch, slots, copies, positions): tokens of the copies, the null id behind their ends
    copy_shares: Tensor  # (batch, slots, copies): of those that agree with the draft
    copy_score: Tensor  # (batch, slots, positions): added to the score of a token that all of them have

    def guided(self, blank: DraftReading, scale: float) -> DraftReading:
        """Classifier-free guidance: `scale` 0 changes nothing, more moves away from what `blank` says.

        Args:
            blank: the reading of the same drafts without prompt memory.
            scale: how far.
        """
        return replace(self, delta=self.delta + scale * (self.delta - blank.delta))


class DiffusionHead(nn.Module):
    """Corrects the backbone's next-token distribution at every position of every slot."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        if config.diffusion is None:
            raise HeadConfigError("diffusion: this config has no diffusion head")
        sizes = config.diffusion
        hidden, width = config.backbone.hidden_size, sizes.width
        num_taps = len(config.taps)
        self.config = config
        self.mask_embedding = nn.Parameter(torch.zeros(hidden))
        self.null_embedding = nn.Parameter(torch.zeros(hidden))
        self.state_in = nn.Linear(num_taps * hidden, width)
        self.anchor_in = nn.Linear(num_taps * hidden, width, bias=False)
        self.draft_in = nn.Linear(hidden, width, bias=False)
        self.prompt_state_in = nn.Linear(num_taps * hidden, width)
        self.prompt_token_in = nn.Linear(hidden, width, bias=False)
        self.prompt_next_in = nn.Linear(hidden, width, bias=False)
        self.kind_embedding = nn.Embedding(len(config.slot_kinds), width)
        self.age_embedding = nn.Embedding(_AGES, width)
        self.place = PlaceFeatures(width)
        self.noise = LevelFeatures(width)
        self.prompt_norm = nn.RMSNorm(width)
        self.blocks = nn.ModuleList(
            Block(
                width,
                sizes.num_attention_heads,
                feed_forward_ratio=sizes.feed_forward_ratio,
                dropout=sizes.dropout,
                has_memory=True,
            )
            for _ in range(sizes.num_blocks)
        )
        self.last_norm = nn.RMSNorm(width)
        self.delta_out = nn.Linear(width, hidden)
        self.null_out = nn.Linear(width, 1)
        self.copy_token_in = nn.Linear(hidden, width, bias=False)
        self.copy_share_in = nn.Linear(3, width, bias=False)
        self.copy_out = nn.Linear(width, 1)
        for output in (self.delta_out, self.null_out, self.copy_out):
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        for embedding in (self.kind_embedding, self.age_embedding):
            nn.init.normal_(embedding.weight, std=0.02)

    @torch.no_grad()
    def begin_on(self, ends: BackboneEnds) -> None:
        """Start the mask and null embeddings at the mean of the backbone's, so that it reads them calmly."""
        mean = ends.embedding.float().mean(0)
        self.mask_embedding.copy_(mean)
        self.null_embedding.copy_(mean)

    def embed(self, token_ids: Tensor, ends: BackboneEnds) -> Tensor:
        """Embeddings of drafts, for the backbone's `inputs_embeds` and for the head itself.

        Mask and null ids have learned embeddings; the frozen rows of their ids mean nothing.
        """
        known = functional.embedding(token_ids, ends.embedding)
        is_mask = (token_ids == self.config.mask_token_id)[..., None]
        is_null = (token_ids == self.config.null_token_id)[..., None]
        known = torch.where(is_mask, self.mask_embedding.to(known.dtype), known)
        return torch.where(is_null, self.null_embedding.to(known.dtype), known)

    def read_prompt(self, prompt: PromptInputs, ends: BackboneEnds) -> PromptMemory:
        """What attention needs of the prompts.

        Each token also carries its successor, so that continuing a copy takes one step of attention; the
        last, whose successor is not known, is left out. Computed row by row, so a cached prefix's part may be
        kept.
        """
        dtype = self.delta_out.weight.dtype
        following = functional.pad(prompt.token_ids[:, 1:], (0, 1))
        is_followed = functional.pad(prompt.is_there[:, 1:], (0, 1))
        tokens, successors = (
            unit(functional.embedding(ids, ends.embedding)).to(dtype) for ids in (prompt.token_ids, following)
        )
        memory = (
            self.prompt_state_in(unit(prompt.states).flatten(-2).to(dtype))
            + self.prompt_token_in(tokens)
            + self.prompt_next_in(successors)
        )
        memory = self.prompt_norm(memory)
        remembered = tuple(block.remember(memory) for block in self._memory_blocks())
        return PromptMemory(remembered=remembered, is_there=prompt.is_there & is_followed)

    def forward(self, slots: SlotInputs, memory: PromptMemory, ends: BackboneEnds) -> DraftReading:
        """Read drafts. Shapes depend on nothing but the inputs' shapes, so this can stand in a graph."""
        sizes = self.config.diffusion
        assert sizes is not None
        batch, num_slots, num_positions = slots.draft.shape
        copied = _Copied.of(slots, memory, self.config)
        x = self._features(slots, copied, ends)
        group = num_slots * num_positions if sizes.attends_across_slots else num_positions
        is_there = slots.is_there.reshape(-1, group)
        place = torch.arange(num_positions, device=x.device).repeat(group // num_positions)
        turn = rotation(place.expand(is_there.shape[0], group), sizes.width // sizes.num_attention_heads)
        may_read = mutual(is_there)
        x = x.view(batch, num_slots * num_positions, sizes.width)
        may_recall = memory.is_there
        if may_recall.dim() == 3:
            may_recall = may_recall.repeat_interleave(num_positions, 1)
        for block, remembered in zip(self._memory_blocks(), memory.remembered, strict=True):
            x = block(x, group=group, turn=turn, may_read=may_read, memory=(remembered, may_recall))
        features = self.last_norm(x).view(batch, num_slots, num_positions, sizes.width)
        return DraftReading(
            features=features,
            delta=self.delta_out(features),
            states=slots.states[:, :, :, -1],
            end_ids=slots.end_ids,
            copies=copied.tokens,
            copy_shares=copied.shares,
            copy_score=self.copy_out(features)[..., 0],
        )

    def logits(self, reading: DraftReading, rows: Tensor, ends: BackboneEnds) -> Tensor:
        """Token scores of some positions only, float32.

        The null id is scored as the tokens that may follow the slot, together, plus what the head adds: for
        the backbone a value ends where they begin. The mask id is never possible.

        Args:
            reading: of the drafts.
            rows: indices into the flattened (batch, slots, positions), (rows,).
            ends: the backbone's.

        Returns:
            (rows, vocab).
        """
        width, hidden = reading.features.shape[-1], reading.delta.shape[-1]
        null_score = self.null_out(reading.features.reshape(-1, width)[rows])[:, 0]
        num_positions = reading.features.shape[2]
        slot_of = rows // num_positions
        logits = score_tokens(
            reading.states.reshape(-1, hidden)[rows],
            reading.end_ids.flatten(0, 1)[slot_of],
            self.config,
            ends,
            delta=reading.delta.reshape(-1, hidden)[rows],
            null_score=null_score,
        )
        copied = reading.copies.flatten(0, 1)[slot_of, :, rows % num_positions]  # (rows, copies)
        score = reading.copy_score.flatten()[rows, None].float()
        return logits.scatter_add_(1, copied, score * reading.copy_shares.flatten(0, 1)[slot_of])

    def _features(self, slots: SlotInputs, copied: _Copied, ends: BackboneEnds) -> Tensor:
        dtype = self.delta_out.weight.dtype
        states = unit(slots.states).flatten(-2).to(dtype)  # (batch, slots, positions, taps * hidden)
        place = torch.arange(slots.draft.shape[2], device=slots.draft.device)
        of_slot = (
            self.anchor_in(states[:, :, 0])
            + self.kind_embedding(slots.kinds)
            + self.noise(open_share(slots, self.config))
        )
        features: Tensor = (
            self.state_in(states)
            + self.draft_in(unit(self.embed(slots.draft, ends)).to(dtype))
            + self.age_embedding(slots.age.clamp(max=_AGES - 1))
            + self.place(place)
            + of_slot[:, :, None]
        )
        if not copied.shares.shape[-1]:
            return features
        told = unit(self.embed(copied.likeliest, ends)).to(dtype) * copied.agreement[..., None].to(dtype)
        told_of = torch.stack((copied.agreement, copied.trust, copied.agreement * copied.trust), -1)
        features = features + self.copy_token_in(told) + self.copy_share_in(told_of.to(dtype))
        return features

    def _memory_blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Copied:
    """What the copies that agree with a draft say of its positions."""

    tokens: Tensor  # (batch, slots, copies, positions)
    shares: Tensor  # (batch, slots, copies): of 1 where any copy agrees, else 0
    likeliest: Tensor  # (batch, slots, positions): the token that most of them have
    agreement: Tensor  # (batch, slots, positions): the share of them that have it
    trust: Tensor  # (batch, slots, positions): how probable they were together, before the draft was seen

    @classmethod
    def of(cls, slots: SlotInputs, memory: PromptMemory, config: HeadConfig) -> _Copied:
        """Copies of slots whose prompt is out of sight do not exist."""
        tokens = torch.where(slots.copies < 0, config.null_token_id, slots.copies)
        if not tokens.shape[2]:
            nothing = torch.zeros(slots.draft.shape, device=slots.draft.device)
            return cls(
                tokens=tokens,
                shares=slots.copy_shares,
                likeliest=slots.draft,
                agreement=nothing,
                trust=nothing,
            )
        is_free = (slots.draft == config.mask_token_id) | ~slots.is_there
        agrees = ((tokens == slots.draft[:, :, None]) | is_free[:, :, None]).all(-1)
        has_prompt = memory.is_there.any(-1)
        has_prompt = has_prompt if has_prompt.dim() == 2 else has_prompt[:, None]
        left = slots.copy_shares * (agrees & has_prompt[..., None])
        trust = left.sum(-1, keepdim=True)
        shares = left / trust.clamp(min=1e-9)
        # How many, by share, have the token that each has.
        alike = tokens[:, :, :, None] == tokens[:, :, None]
        agreement, at = (alike * shares[:, :, None, :, None]).sum(3).max(2)
        return cls(
            tokens=tokens,
            shares=shares,
            likeliest=tokens.gather(2, at[:, :, None])[:, :, 0],
            agreement=agreement,
            trust=trust.expand_as(agreement),
        )


def open_share(slots: SlotInputs, config: HeadConfig) -> Tensor:
    """The time t of each slot: the share of its positions still open; 1 where every request starts.

    Worked out from the draft itself, so training and serving cannot mean different things by it.
    """
    is_open = (slots.draft == config.mask_token_id) & slots.is_there
    return is_open.sum(-1) / slots.is_there.sum(-1).clamp(min=1)


def open_rows(slots: SlotInputs, config: HeadConfig) -> Tensor:
    """Indices of the open positions in the flattened batch. For code outside of graphs: its length varies."""
    return ((slots.draft == config.mask_token_id) & slots.is_there).flatten().nonzero()[:, 0]


def score_tokens(
    states: Tensor,
    end_ids: Tensor,
    config: HeadConfig,
    ends: BackboneEnds,
    *,
    delta: Tensor | None = None,
    null_score: Tensor | None = None,
) -> Tensor:
    """Token scores of last-layer states; without a delta they are the backbone's own, as a teacher's.

    Args:
        states: (rows, hidden), before the last norm.
        end_ids: tokens that may follow, (rows, ends), -1 is padding.
        config: which ids mean mask and null.
        ends: the backbone's.
        delta: what the head adds, in units of a state's root mean square.
        null_score: what the head adds to the score of the null id, (rows,).

    Returns:
        (rows, vocab), float32.
    """
    corrected = states.float()
    if delta is not None:
        scale = corrected.pow(2).mean(-1, keepdim=True).sqrt()
        corrected = corrected + scale * delta.float()
    normed = functional.rms_norm(corrected, corrected.shape[-1:], ends.norm_weight.float(), ends.epsilon)
    logits = ends.project(normed.to(ends.embedding.dtype)).float()
    is_end = end_ids >= 0
    # Padding repeats a real one, so that writing back twice writes the same.
    at = torch.where(is_end, end_ids, end_ids.amax(-1, keepdim=True).clamp(min=0))
    row = torch.arange(at.shape[0], device=at.device)[:, None]
    end_scores = logits[row, at]  # not gather, whose gradient would hold on to all the logits
    null = end_scores.masked_fill(~is_end, float("-inf")).logsumexp(-1)
    if null_score is not None:
        null = null + null_score.float()
    # In place: a second (rows, vocab) would be the largest tensor of a denoise step.
    logits.scatter_(1, at, end_scores - _HANDED_OVER)
    logits[:, config.null_token_id] = null
    logits[:, config.mask_token_id] = float("-inf")
    return logits
