"""What heads read of a batch: the states of one frozen forward, arranged as slots, prompts and messages.

Prompts are shared: all slots of a row read one memory, each the part its own call would have seen. A test
holds that this is what each call on its own would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from agent_runtime.scaffold.slot_tokens import end_ids_of, first_forms
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from heads import (
    BackboneEnds,
    HeadConfig,
    MessageInputs,
    NoiseConfig,
    PromptInputs,
    SlotInputs,
    draw_masked,
    draw_times,
    score_tokens,
)

from .copies import Copies
from .rows import HeadBatch

_NEVER = -30.0
"""Log-probability of a message token that no value can begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTensors:
    """A `HeadBatch` on a device; the same names and shapes. `kinds` are numbers of the head's config."""

    tokens: Tensor
    positions: Tensor
    owned_from: Tensor
    seen: Tensor
    num_shared: Tensor
    num_prompt: int
    first: Tensor
    anchor: Tensor
    fork: Tensor
    begin: Tensor
    visible_to: Tensor
    row: Tensor
    num_tokens: Tensor
    num_lead: Tensor
    gold_at: Tensor
    limit: Tensor
    is_string: Tensor
    has_space: Tensor
    is_given: Tensor
    is_optional: Tensor
    is_present: Tensor
    kinds: Tensor
    span_grid: Tensor
    copied_from: Tensor
    where: Tensor
    is_copyable: Tensor
    span: Tensor

    @classmethod
    def of(cls, batch: HeadBatch, config: HeadConfig, device: str) -> HeadTensors:
        """Copy a batch to a device."""
        arrays = {
            field.name: torch.from_numpy(value).to(device)
            for field in fields(cls)
            if isinstance(value := getattr(batch, field.name), np.ndarray)
        }
        kinds = torch.tensor([config.kind_of(kind) for kind in batch.kinds], dtype=torch.long, device=device)
        return cls(**arrays, kinds=kinds, num_prompt=batch.num_prompt)

    def may_read(self) -> Tensor:
        """Who reads whom, (rows, length, length): every token what stands before it and is not beside it."""
        length = self.tokens.shape[1]
        read = torch.arange(length, device=self.tokens.device)
        is_shared = read < self.num_shared[:, None, None]
        is_own = read >= self.owned_from[..., None]
        is_seen = (read >= self.seen[..., :1]) & (read < self.seen[..., 1:])
        return (is_shared | is_own | is_seen).tril()


@dataclass(frozen=True, slots=True)
class TokenTables:
    """What the vocabulary says about the two ends of values, as tensors."""

    end_ids: Tensor  # (2, ends): of values that are no strings, and of strings; -1 is padding
    first_forms: Tensor  # (vocab,): the form of each token at a value's beginning, -1 for none

    @classmethod
    def of(cls, vocabulary: TokenVocabulary, vocab_size: int, device: str) -> TokenTables:
        """Read a vocabulary; rows of the embedding beyond it stand for nothing."""
        ends = [end_ids_of(is_string, vocabulary) for is_string in (False, True)]
        width = max(map(len, ends))
        forms = np.full(vocab_size, -1, dtype=np.int64)
        known = first_forms(vocabulary)[:vocab_size]
        forms[: len(known)] = known
        return cls(
            end_ids=torch.tensor([[*ids, *[-1] * (width - len(ids))] for ids in ends], device=device),
            first_forms=torch.from_numpy(forms).to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Noised drafts of all slots, (slots, positions) each; those of slots that are not given are empty."""

    tokens: Tensor
    labels: Tensor
    is_there: Tensor
    is_masked: Tensor
    states_at: Tensor
    """The state each position stands on."""
    age: Tensor
    times: Tensor  # (slots,)


def draw_drafts(
    batch: HeadTensors,
    budgets: Tensor,
    noise: NoiseConfig,
    config: HeadConfig,
    *,
    unread_share: float,
    generator: torch.Generator,
) -> Drafts:
    """Masks values as a fill would have left them.

    Args:
        batch: of the slots.
        budgets: positions of each slot, (slots,). A value that is longer is cut, as in serving.
        noise: which positions are masked.
        config: what stands for mask and null.
        unread_share: share of slots whose revealed tokens the backbone has not read again.
        generator: on the CPU, so that draws do not depend on the device.
    """
    times = draw_times(len(budgets), noise, generator=generator).to(budgets.device)
    is_unread = (torch.rand(len(budgets), generator=generator) < unread_share).to(budgets.device)
    return masked_drafts(
        batch,
        budgets,
        times,
        config,
        is_unread=is_unread,
        is_masked=lambda maskable: draw_masked(maskable, times, noise, generator=generator),
    )


def full_drafts(batch: HeadTensors, budgets: Tensor, config: HeadConfig) -> Drafts:
    """Drafts as every fill begins: all masked but what is known of the kind of value."""
    return masked_drafts(
        batch,
        budgets,
        torch.ones(len(budgets), device=budgets.device),
        config,
        is_unread=torch.zeros(len(budgets), dtype=torch.bool, device=budgets.device),
        is_masked=lambda maskable: maskable,
    )


def masked_drafts(
    batch: HeadTensors,
    budgets: Tensor,
    times: Tensor,
    config: HeadConfig,
    *,
    is_unread: Tensor,
    is_masked: Callable[[Tensor], Tensor],
) -> Drafts:
    """Drafts with the positions masked that `is_masked` picks of those that may be."""
    budgets = torch.where(batch.is_given, budgets.maximum(batch.num_lead + 1), 0)
    place = torch.arange(max(int(budgets.max()), 1), device=budgets.device)
    is_there = place < budgets[:, None]
    is_value = place < batch.num_tokens[:, None]
    flat = batch.tokens.reshape(-1)
    labels = flat[(batch.anchor[:, None] + 1 + place).clamp(max=len(flat) - 1)]
    labels = torch.where(is_value, labels, config.null_token_id)
    masked = is_masked(is_there & (place >= batch.num_lead[:, None]))
    tokens = torch.where(masked, config.mask_token_id, labels)
    # Tokens at the beginning have been read, as far as none before them is open.
    num_read = (~masked & is_value & is_there).long().cumprod(1).sum(1)
    num_read = torch.where(is_unread, num_read.minimum(batch.num_lead), num_read)
    stands_on = place.minimum(num_read[:, None])
    return Drafts(
        tokens=tokens,
        labels=labels,
        is_there=is_there,
        is_masked=masked,
        states_at=batch.anchor[:, None] + stands_on,
        age=place - stands_on,
        times=times,
    )


def slot_inputs(
    batch: HeadTensors,
    drafts: Drafts,
    states: Tensor,
    tables: TokenTables,
    grid: Tensor,
    num_positions: int,
    copies: Copies,
) -> SlotInputs:
    """Some slots of each row and their drafts.

    Args:
        batch: of the slots.
        drafts: of all slots.
        states: of the backbone.
        tables: what may follow values.
        grid: which slots, (rows, slots); -1 is padding.
        num_positions: of the longest of them.
        copies: of all slots.
    """
    at = grid.clamp(min=0)
    return SlotInputs(
        states=states[drafts.states_at[at, :num_positions]],
        age=drafts.age[at, :num_positions],
        draft=drafts.tokens[at, :num_positions],
        is_there=drafts.is_there[at, :num_positions] & (grid >= 0)[..., None],
        kinds=batch.kinds[at],
        end_ids=tables.end_ids[batch.is_string[at].long()],
        copies=copies.tokens[at, :, :num_positions],
        copy_shares=copies.shares[at],
    )


def prompt_inputs(batch: HeadTensors, states: Tensor) -> tuple[PromptInputs, Callable[[Tensor], Tensor]]:
    """The prompts of each row, and what of them slots see: (rows, slots) to (rows, slots, length)."""
    rows, length = batch.tokens.shape
    width = batch.num_prompt
    prompt = PromptInputs(
        states=states.view(rows, length, *states.shape[1:])[:, :width],
        token_ids=batch.tokens[:, :width],
        is_there=torch.ones((rows, width), dtype=torch.bool, device=states.device),
    )
    token = torch.arange(width, device=states.device)
    is_shared = token < batch.num_shared[:, None, None]

    def is_seen_by(grid: Tensor) -> Tensor:
        at = grid.clamp(min=0)
        is_own = (token >= batch.begin[at][..., None]) & (token < batch.visible_to[at][..., None])
        return is_shared | is_own

    return prompt, is_seen_by


def message_inputs(
    batch: HeadTensors, states: Tensor, tables: TokenTables, ends: BackboneEnds
) -> tuple[SlotInputs, MessageInputs]:
    """Slots by the messages they may be copied from, and these messages."""
    at = batch.span_grid.clamp(min=0)
    anchors = states[batch.anchor[at]][:, :, None]
    single = torch.zeros(anchors.shape[:3], dtype=torch.long, device=states.device)
    slots = SlotInputs(
        states=anchors,
        age=single,
        draft=single,
        is_there=single == 0,
        kinds=batch.kinds[at],
        end_ids=tables.end_ids[batch.is_string[at].long()],
        copies=single[:, :, None, :][:, :, :0],
        copy_shares=anchors.new_zeros((*at.shape, 0)),
    )
    token_ids = batch.tokens.reshape(-1)[batch.copied_from]
    forms = tables.first_forms[token_ids]  # (groups, length)
    with torch.no_grad():
        begun = states[(batch.anchor + batch.num_lead)[at], -1]
        scores = token_scores(begun, ends).log_softmax(-1)
        scores = scores.gather(-1, forms.clamp(min=0)[:, None].expand(-1, at.shape[1], -1))
        scores = scores.masked_fill((forms < 0)[:, None], _NEVER)
    return slots, MessageInputs(
        states=states[batch.copied_from],
        token_ids=token_ids,
        where=batch.where,
        is_copyable=batch.is_copyable,
        first_scores=scores,
    )


def token_scores(states: Tensor, ends: BackboneEnds) -> Tensor:
    """The backbone's own scores of last-layer states (..., hidden), float32."""
    normed = torch.nn.functional.rms_norm(
        states.float(), states.shape[-1:], ends.norm_weight.float(), ends.epsilon
    )
    return ends.project(normed.to(ends.embedding.dtype)).float()


def key_log_odds(batch: HeadTensors, states: Tensor, which: Tensor, ends: BackboneEnds) -> Tensor:
    """How probable the backbone finds the text that leads to each of some slots, as log-odds.

    Args:
        batch: of the slots.
        states: of its forward.
        which: slots, (n,).
        ends: the backbone's.
    """
    first, count = batch.first[which], (batch.anchor - batch.first)[which] + 1
    owner = torch.arange(len(which), device=which.device).repeat_interleave(count)
    starts = count.cumsum(0) - count
    place = torch.arange(len(owner), device=which.device) - starts[owner]
    token = first[owner] + place
    before = torch.where(place == 0, batch.fork[which][owner], token - 1)
    scores = token_scores(states[before, -1], ends).log_softmax(-1)
    said = scores.gather(1, batch.tokens.reshape(-1)[token][:, None])[:, 0]
    return written_log_odds(torch.zeros(len(which), device=said.device).index_add(0, owner, said))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValues:
    """What the backbone itself would write into each slot, behind the gold text before it."""

    tokens: Tensor
    """Its choice at every place up to the one behind the gold value; -1 elsewhere, (slots, positions)."""

    num_agreed: Tensor
    """Places at which that is the gold value, counted from the first, (slots,)."""


@torch.no_grad()
def own_values(
    batch: HeadTensors, states: Tensor, tables: TokenTables, ends: BackboneEnds, config: HeadConfig
) -> OwnValues:
    """The backbone's most probable tokens along the gold calls; the null id where it ends a value."""
    which = (batch.is_given & (batch.gold_at > 0)).nonzero()[:, 0]
    count = batch.num_tokens[which] + 1
    owner = which.repeat_interleave(count)
    place = torch.arange(len(owner), device=which.device) - (count.cumsum(0) - count).repeat_interleave(count)
    at = batch.gold_at[owner] + place
    ends_of = tables.end_ids[batch.is_string[owner].long()]
    said = score_tokens(states[at - 1, -1], ends_of, config, ends).argmax(-1)
    is_last = place == batch.num_tokens[owner]
    gold = torch.where(is_last, config.null_token_id, batch.tokens.flatten()[at.clamp(max=len(states) - 1)])
    tokens = torch.full((len(batch.anchor), int(count.max()) if len(count) else 1), -1, device=which.device)
    agrees = torch.zeros_like(tokens)
    tokens[owner, place] = said
    agrees[owner, place] = (said == gold).long()
    return OwnValues(tokens=tokens, num_agreed=agrees.cumprod(1).sum(1))


def written_log_odds(log_probability: Tensor) -> Tensor:
    """Log-odds of log-probabilities, kept finite."""
    kept = log_probability.clamp(min=-30.0, max=-1e-6)
    return kept - torch.log(-torch.expm1(kept))
