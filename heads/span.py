"""The span head: which words of the conversation a slot's value is, copied verbatim.

A span is half-open, [start, end), in tokens of the prompt. "Not in the text" is (0, 0): token 0 begins the
text, so no span can start there. The end never stands before the start: the two are chosen together, among
starts and lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .errors import HeadConfigError
from .inputs import BackboneEnds, MessageInputs, SlotInputs
from .layers import Block, mutual, rotation, unit

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanScores:
    """Scores of a batch of slots over the message tokens."""

    start: Tensor  # (batch, slots, length), -inf where nothing may be copied
    last: Tensor  # (batch, slots, length): of the last token that is in the span
    num_tokens: Tensor  # (batch, slots, max_span_tokens): of spans of 1, 2, ... tokens
    absent: Tensor  # (batch, slots): log-odds that the value does not stand in the text
    given: Tensor  # (batch, slots): what the text adds to the log-odds that an optional argument is given
    where: Tensor  # (batch, length): prompt token of each column
    is_copyable: Tensor  # (batch, length)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanProposals:
    """The best spans of every slot, most probable first; (0, 0) is "not in the text"."""

    column: Tensor  # (batch, slots, k), of its first token
    start: Tensor  # (batch, slots, k), prompt tokens
    end: Tensor  # (batch, slots, k), half-open
    probability: Tensor  # (batch, slots, k)


class SpanHead(nn.Module):
    """Points at the start and the last token of the words each slot's value is copied from.

    Starts begin as what the backbone itself finds most probable as the slot's first token, so an untrained
    head already points at the right word more often than not.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        if config.span is None:
            raise HeadConfigError("span: this config has no span head")
        sizes = config.span
        hidden, width = config.backbone.hidden_size, sizes.width
        num_taps = len(config.taps)
        self.config = config
        self.state_in = nn.Linear(num_taps * hidden, width)
        self.token_in = nn.Linear(hidden, width, bias=False)
        self.nothing = nn.Parameter(torch.zeros(width))
        self.anchor_in = nn.Linear(num_taps * hidden, width)
        self.kind_embedding = nn.Embedding(len(config.slot_kinds), width)
        self.blocks = nn.ModuleList(
            Block(
                width,
                sizes.num_attention_heads,
                feed_forward_ratio=sizes.feed_forward_ratio,
                dropout=sizes.dropout,
                has_memory=False,
            )
            for _ in range(sizes.num_blocks)
        )
        self.token_norm = nn.RMSNorm(width)
        self.slot_norm = nn.RMSNorm(width)
        self.start_query = nn.Linear(width, width)
        self.start_key = nn.Linear(width, width, bias=False)
        self.last_query = nn.Linear(2 * width, width)
        self.last_key = nn.Linear(width, width, bias=False)
        self.num_tokens_out = nn.Linear(width, sizes.max_span_tokens)
        self.absent_in = nn.Linear(3 * width, width)
        self.absent_out = nn.Linear(width, 1)
        self.given_out = nn.Linear(width, 1)
        self.first_weight = nn.Parameter(torch.ones(()))
        for zeroed in (
            self.start_query,
            self.last_query,
            self.num_tokens_out,
            self.absent_out,
            self.given_out,
        ):
            nn.init.zeros_(zeroed.weight)
            nn.init.zeros_(zeroed.bias)
        nn.init.normal_(self.kind_embedding.weight, std=0.02)

    def forward(self, slots: SlotInputs, messages: MessageInputs, ends: BackboneEnds) -> SpanScores:
        """Score starts and last tokens for every slot. Reads the slots' anchors, not their drafts."""
        tokens = self._read(messages, ends)
        dtype = tokens.dtype
        slot = self.anchor_in(unit(slots.anchors).flatten(-2).to(dtype)) + self.kind_embedding(slots.kinds)
        slot = self.slot_norm(slot)
        cannot = ~messages.is_copyable[:, None]
        scale = tokens.shape[-1] ** -0.5
        start = (self.start_query(slot) * scale) @ self.start_key(tokens).transpose(1, 2)
        start = start.float() + self.first_weight.float() * messages.first_scores.clamp(min=-30.0)
        start = start.masked_fill(cannot, _NEVER)
        # The last token depends on where the span starts: names occur twice, and in lists.
        shares = torch.where(cannot, 0.0, start.masked_fill(cannot, -1e9).softmax(-1)).to(dtype)
        begun = shares @ tokens
        last = (self.last_query(torch.cat((slot, begun), -1)) * scale) @ self.last_key(tokens).transpose(1, 2)
        pooled = _mean(tokens, messages.is_copyable)[:, None].expand_as(slot)
        joined = functional.silu(self.absent_in(torch.cat((slot, begun, pooled), -1)))
        absent = self.absent_out(joined)[..., 0].float()
        nothing_there = ~messages.is_copyable.any(-1, keepdim=True)
        return SpanScores(
            start=start,
            last=last.float().masked_fill(cannot, _NEVER),
            num_tokens=self.num_tokens_out(slot).float(),
            absent=absent.masked_fill(nothing_there, float("inf")),
            given=self.given_out(joined)[..., 0].float(),
            where=messages.where,
            is_copyable=messages.is_copyable,
        )

    def _read(self, messages: MessageInputs, ends: BackboneEnds) -> Tensor:
        """Message tokens that have seen what stands before and behind them: (batch, length, width)."""
        sizes = self.config.span
        assert sizes is not None
        dtype = self.start_query.weight.dtype
        x = self.state_in(unit(messages.states).flatten(-2).to(dtype)) + self.token_in(
            unit(functional.embedding(messages.token_ids, ends.embedding)).to(dtype)
        )
        # The first column is not a word but the place to rest attention on.
        x = torch.cat((self.nothing.expand(x.shape[0], 1, -1).to(dtype), x[:, 1:]), 1)
        is_there = messages.is_copyable.clone()
        is_there[:, 0] = True
        turn = rotation(messages.where, sizes.width // sizes.num_attention_heads)
        may_read = mutual(is_there)
        for block in self.blocks:
            x = block(x, group=x.shape[1], turn=turn, may_read=may_read)
        normed: Tensor = self.token_norm(x)
        return normed


def span_log_probabilities(scores: SpanScores) -> Tensor:
    """Log-probability of every span that starts at a column and has 1, 2, ... tokens, given there is one.

    A span lies within one run of neighbouring copyable tokens, so never across two messages.

    Returns:
        (batch, slots, length, most tokens); -inf where no such span exists, all of it where nothing does.
    """
    length = scores.start.shape[-1]
    size = min(scores.num_tokens.shape[-1], length)
    last = functional.pad(scores.last, (0, size - 1), value=_NEVER).unfold(-1, size, 1)
    is_run = scores.is_copyable & functional.pad(
        (scores.where[:, 1:] - scores.where[:, :-1] == 1) & scores.is_copyable[:, :-1], (1, 0)
    )  # whether a column goes on where the one before it ended
    # A span of n tokens from column j is whole if the n - 1 columns behind j all go on.
    goes_on = functional.pad(is_run[:, 1:], (0, size)).unfold(-1, size, 1)[:, :length]
    is_whole = functional.pad(goes_on[..., : size - 1].long().cumprod(-1).bool(), (1, 0), value=True)
    is_span = is_whole & scores.is_copyable[..., None]
    joint = scores.start[..., None] + last + scores.num_tokens[..., None, :size]
    joint = joint.masked_fill(~is_span[:, None], _NEVER)
    flat = joint.flatten(-2)
    total = flat.logsumexp(-1, keepdim=True)
    normed = torch.where(total > _NEVER, flat - total.clamp(min=torch.finfo(flat.dtype).min), flat)
    return normed.view_as(joint)


def best_spans(scores: SpanScores, *, k: int = 1) -> SpanProposals:
    """The `k` most probable answers for every slot, "not in the text" being one of them."""
    joint = span_log_probabilities(scores)
    size = joint.shape[-1]
    is_present = functional.logsigmoid(-scores.absent)[..., None]
    is_absent = functional.logsigmoid(scores.absent)[..., None]
    flat = torch.cat((is_absent, joint.flatten(-2) + is_present), -1)
    best, index = flat.topk(min(k, flat.shape[-1]), -1)
    is_none = (index == 0) | (best == _NEVER)
    column = (index - 1).clamp(min=0) // size
    num_tokens = (index - 1).clamp(min=0) % size + 1
    start = scores.where[:, None].expand(-1, column.shape[1], -1).gather(-1, column)
    return SpanProposals(
        column=column.masked_fill(is_none, 0),
        start=start.masked_fill(is_none, 0),
        end=(start + num_tokens).masked_fill(is_none, 0),
        probability=best.exp(),
    )


def span_iou(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Intersection over union of two half-open spans; (0, 0) agrees with nothing but itself."""
    if first == second:
        return 1.0
    shared = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    union = (first[1] - first[0]) + (second[1] - second[0]) - shared
    return shared / max(union, 1)


def _mean(x: Tensor, is_there: Tensor) -> Tensor:
    weights = is_there.to(x.dtype)[..., None]
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)
