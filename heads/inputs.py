"""What heads read, put together the same way for training and for serving: backbone states, drafts, prompts.

A slot is a branch of its own: the backbone has read the prompt and the call's text up to the slot, then (when
the draft is re-encoded) the slot's draft. A causal backbone's state after a token speaks of the *next* one,
so position i of a slot stands on the state after what comes before it: the anchor (the token before the slot)
for i = 0, the state after draft token i - 1 otherwise. Where no such state was read, the nearest one before
it stands in, and `age` says how many tokens it has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional


class _Tensors:
    """A frozen bundle of tensors that moves as one."""

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        moved = {
            field.name: value.to(device) if isinstance(value := getattr(self, field.name), Tensor) else value
            for field in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
        }
        return type(self)(**moved)


@dataclass(frozen=True, kw_only=True, eq=False)
class BackboneEnds:
    """The two ends of the frozen backbone that heads share: embeddings in, last norm and vocabulary out.

    Attributes:
        embedding: (vocab, hidden).
        norm_weight: of the norm behind the last layer, (hidden,).
        epsilon: of that norm.
        project: (rows, hidden) -> (rows, vocab); the tied embedding, in whatever form the backbone keeps it.
    """

    embedding: Tensor
    norm_weight: Tensor
    epsilon: float
    project: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, model: Any) -> Self:
        """The ends of a `SmolLM3ForCausalLM`, or of any model built like it."""
        body = model.model
        vocabulary = model.get_output_embeddings().weight
        return cls(
            embedding=model.get_input_embeddings().weight.detach(),
            norm_weight=body.norm.weight.detach(),
            epsilon=float(body.norm.variance_epsilon),
            project=lambda rows: functional.linear(rows, vocabulary.detach()),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptInputs(_Tensors):
    """Prompts as the backbone read them.

    Attributes:
        states: after each token, layer by layer of the config's taps, (batch, length, taps, hidden).
        token_ids: (batch, length).
        is_there: False for padding, (batch, length).
    """

    states: Tensor
    token_ids: Tensor
    is_there: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class SlotInputs(_Tensors):
    """The slots of calls and their drafts: (batch, slots, positions) and more.

    Attributes:
        states: before each position, (batch, slots, positions, taps, hidden).
        age: tokens between that state and the position which it has not read, (batch, slots, positions).
        draft: token ids; the mask id where open, the null id where unused, (batch, slots, positions).
        is_there: False for padding, (batch, slots, positions).
        kinds: numbers of `HeadConfig.slot_kinds`, (batch, slots).
        end_ids: tokens that may follow the slot, (batch, slots, ends); -1 is padding.
        copies: values that the slot may have been copied from, as token ids from its first position on; -1
            behind their ends, (batch, slots, copies, positions).
        copy_shares: how probable each of them is; 0 for padding, (batch, slots, copies).
    """

    states: Tensor
    age: Tensor
    draft: Tensor
    is_there: Tensor
    kinds: Tensor
    end_ids: Tensor
    copies: Tensor
    copy_shares: Tensor

    @property
    def anchors(self) -> Tensor:
        """States after the token before each slot, (batch, slots, taps, hidden)."""
        return self.states[:, :, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class MessageInputs(_Tensors):
    """The tokens that spans may be copied from; the first stands for "not in the text".

    Attributes:
        states: after each token, (batch, length, taps, hidden).
        token_ids: (batch, length).
        where: index of each token in its prompt; 0 for the first column, (batch, length).
        is_copyable: content of a message; False for padding and for the first column, (batch, length).
        first_scores: how probable the backbone finds each token as the slot's first, as log-probabilities,
            (batch, slots, length). The caller maps tokens to the form they take at a slot's beginning, and
            where a slot begins with a space token gives the scores behind that.
    """

    states: Tensor
    token_ids: Tensor
    where: Tensor
    is_copyable: Tensor
    first_scores: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotReading:
    """One slot as the backbone left it.

    Attributes:
        anchor: states after the last token before the slot, (taps, hidden).
        draft: token ids of all positions of the slot's budget: tokens, mask ids, null ids.
        states: states after draft tokens 0, 1, ..., (n, taps, hidden) with n <= positions; None: not read.
        num_read: of these tokens, how many have not changed since: later states are not used.
        kind: `HeadConfig.kind_of(...)`.
        end_ids: tokens that may follow the slot.
        copies: values the span head proposes, as token ids from the slot's first position on, and how
            probable each is; the same text once.
    """

    anchor: Tensor
    draft: Sequence[int]
    kind: int
    end_ids: Sequence[int]
    states: Tensor | None = None
    num_read: int | None = None
    copies: Sequence[tuple[Sequence[int], float]] = ()


def shifted_states(anchor: Tensor, states: Tensor | None, num_positions: int) -> tuple[Tensor, Tensor]:
    """The state before each position, and how many tokens it has missed.

    Args:
        anchor: (taps, hidden).
        states: after the draft's first tokens, (n, taps, hidden).
        num_positions: positions of the slot.

    Returns:
        (num_positions, taps, hidden) and (num_positions,).
    """
    read = anchor[None] if states is None else torch.cat((anchor[None], states.to(anchor.dtype)))
    place = torch.arange(num_positions, device=anchor.device)
    source = place.clamp(max=read.shape[0] - 1)
    return read[source], place - source


def collate_slots(
    calls: Sequence[Sequence[SlotReading]],
    *,
    num_slots: int = 0,
    num_positions: int = 0,
    num_ends: int = 0,
    num_copies: int = 0,
) -> SlotInputs:
    """Slots of several calls as one batch, padded to the largest (or further, to a graph's bucket).

    Raises:
        ValueError: nothing to put together, a slot without positions or without ends.
    """
    readings = [reading for call in calls for reading in call]
    if not readings or any(not reading.draft or not reading.end_ids for reading in readings):
        raise ValueError("every slot needs at least one position and one token that may follow it")
    num_slots = max(num_slots, *(len(call) for call in calls), 1)
    num_positions = max(num_positions, *(len(reading.draft) for reading in readings), 1)
    num_ends = max(num_ends, *(len(reading.end_ids) for reading in readings), 1)
    num_copies = max(num_copies, *(len(reading.copies) for reading in readings), 0)
    like = readings[0].anchor
    shape = (len(calls), num_slots, num_positions)
    long = {"dtype": torch.long, "device": like.device}
    inputs = SlotInputs(
        states=torch.zeros((*shape, *like.shape), dtype=like.dtype, device=like.device),
        age=torch.zeros(shape, **long),  # type: ignore[call-overload]  # mypy loses the keywords' types
        draft=torch.zeros(shape, **long),  # type: ignore[call-overload]
        is_there=torch.zeros(shape, dtype=torch.bool, device=like.device),
        kinds=torch.zeros(shape[:2], **long),  # type: ignore[call-overload]
        end_ids=torch.full((*shape[:2], num_ends), -1, **long),  # type: ignore[call-overload]
        copies=torch.full((*shape[:2], num_copies, num_positions), -1, **long),  # type: ignore[call-overload]
        copy_shares=torch.zeros((*shape[:2], num_copies), device=like.device),
    )
    for row, call in enumerate(calls):
        for column, reading in enumerate(call):
            length = len(reading.draft)
            at = (row, column, slice(length))
            known = None if reading.states is None else reading.states[: _usable(reading)]
            inputs.states[at], inputs.age[at] = shifted_states(reading.anchor, known, length)
            inputs.draft[at] = torch.tensor(reading.draft, **long)  # type: ignore[arg-type]
            inputs.is_there[at] = True
            inputs.kinds[row, column] = reading.kind
            inputs.end_ids[row, column, : len(reading.end_ids)] = torch.tensor(reading.end_ids, **long)  # type: ignore[arg-type]
            for number, (ids, share) in enumerate(reading.copies):
                whole = torch.tensor(ids[:num_positions], **long)  # type: ignore[arg-type]
                inputs.copies[row, column, number, : len(whole)] = whole
                inputs.copy_shares[row, column, number] = share
    return inputs


def _usable(reading: SlotReading) -> int:
    return len(reading.draft) if reading.num_read is None else reading.num_read


def collate_prompts(prompts: Sequence[tuple[Tensor, Sequence[int]]], *, length: int = 0) -> PromptInputs:
    """Prompts, each as states (tokens, taps, hidden) and token ids, padded at their ends."""
    length = max(length, *(len(ids) for _, ids in prompts), 1)
    states = torch.stack([_padded(states, length) for states, _ in prompts])
    token_ids = torch.stack([_padded(torch.tensor(ids, device=states.device), length) for _, ids in prompts])
    lengths = torch.tensor([len(ids) for _, ids in prompts], device=states.device)
    is_there = torch.arange(length, device=states.device) < lengths[:, None]
    return PromptInputs(states=states, token_ids=token_ids, is_there=is_there)


def collate_messages(
    prompts: Sequence[tuple[Tensor, Sequence[int]]],
    copyable: Sequence[Sequence[int]],
    first_scores: Sequence[Tensor],
    *,
    num_slots: int = 0,
    length: int = 0,
) -> MessageInputs:
    """The tokens of each prompt that may be copied, behind its first token, which stands for none of them.

    Args:
        prompts: states (tokens, taps, hidden) and token ids of each prompt.
        copyable: rising indices of prompt tokens that are content of messages.
        first_scores: log-probability of each *prompt token* as a slot's first, (slots, tokens) per prompt.
        num_slots: pad to at least so many slots.
        length: pad to at least so many tokens, the first included.

    Raises:
        ValueError: the first token is said to be copyable: it stands for "not in the text".
    """
    if any(0 in indices for indices in copyable):
        raise ValueError("token 0 of a prompt stands for 'not in the text' and cannot be copied")
    length = max(length, *(1 + len(indices) for indices in copyable), 1)
    num_slots = max(num_slots, *(len(scores) for scores in first_scores), 1)
    states, token_ids, where, is_copyable, scores = [], [], [], [], []
    for (read, ids), indices, firsts in zip(prompts, copyable, first_scores, strict=True):
        at = torch.tensor([0, *indices], device=read.device)
        states.append(_padded(read[at], length))
        token_ids.append(_padded(torch.tensor(ids, device=read.device)[at], length))
        where.append(_padded(at, length))
        is_copyable.append(_padded(at > 0, length))
        its_scores = _padded(firsts.to(read.device)[:, at].T.float(), length).T
        scores.append(_padded(its_scores, num_slots))
    return MessageInputs(
        states=torch.stack(states),
        token_ids=torch.stack(token_ids),
        where=torch.stack(where),
        is_copyable=torch.stack(is_copyable),
        first_scores=torch.stack(scores),
    )


def _padded(x: Tensor, length: int) -> Tensor:
    """Zeros behind, along the first dimension."""
    return functional.pad(x, (0, 0) * (x.dim() - 1) + (0, length - x.shape[0]))
