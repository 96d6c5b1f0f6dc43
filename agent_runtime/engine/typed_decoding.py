"""Exact decoding of slots under their automata: best path, marginals, n-best. Pure torch, batched over slots.

A head scores every position of a slot on its own. Here that product of distributions meets the slot's
language: of all token sequences that write a value and then fill up with NULL, `viterbi` finds the most
probable, `forward_backward` the share of each token at each position, `n_best` the runners-up. Nothing is
approximated: tokens of a class go where its best token goes, so the search runs over classes.

The three functions have fixed shapes and no data-dependent control flow: they can be captured in a CUDA
graph. `decode_slots` on top of them decides on the host which slots must count characters. How logits
become scores of token classes is packed_automata.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scaffold.automaton import TokenAutomaton
from .packed_automata import (
    NEVER,
    BudgetError,
    PackedAutomata,
    best_tokens,
    class_log_sum,
    class_max,
    safe_log,
    top_tokens,
)

__all__ = [
    "BestPaths",
    "BudgetError",
    "Marginals",
    "PackedAutomata",
    "class_max",
    "decode_slots",
    "forward_backward",
    "n_best",
    "viterbi",
]


@dataclass(frozen=True, slots=True, eq=False)
class BestPaths:
    """Whole slots, read left to right.

    Attributes:
        token_ids: `(B, S)`, NULL after the value.
        scores: `(B,)`, sum of the log-probabilities; minus infinity where nothing is possible.
    """

    token_ids: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Marginals:
    """What each position holds, averaged over all accepted sequences.

    Attributes:
        classes: `(B, S, K)`, share of each token class.
        null: `(B, S)`, share of NULL.
        log_z: `(B,)`, log of the probability that the head alone writes an accepted value.
        class_log_probs: `(B, S, K)`, the head's log-probability of each class.
    """

    classes: Tensor
    null: Tensor
    log_z: Tensor
    class_log_probs: Tensor

    def of_tokens(
        self, log_probs: Tensor, token_ids: Tensor, automata: PackedAutomata, null_id: int
    ) -> Tensor:
        """`(B, S)`: probability of each of these tokens at its place, given that the value is valid.

        Args:
            log_probs: `(B, S, V)`, as given to `forward_backward`.
            token_ids: `(B, S)`.
            automata: as given to `forward_backward`.
            null_id: id of NULL.
        """
        token_classes = automata.classes.gather(1, token_ids).long()[..., None]
        share = self.classes.gather(2, token_classes)[..., 0]
        within = log_probs.gather(2, token_ids[..., None]) - self.class_log_probs.gather(2, token_classes)
        return torch.where(token_ids == null_id, self.null, share * within[..., 0].exp())


def viterbi(
    log_probs: Tensor, automata: PackedAutomata, null_id: int, *, fixed: Tensor | None = None
) -> BestPaths:
    """The most probable accepted value of every slot, with NULL after its end.

    Args:
        log_probs: `(B, S, V)`; any scores do, since every position takes exactly one token.
        automata: the slots' languages.
        null_id: id of NULL, which no language contains.
        fixed: `(B, S)`, tokens that are settled, -1 where a position is open.
    """
    best = _wide(class_max(log_probs, automata))
    best, null = _potentials(best, _wide(log_probs[..., null_id]), automata, null_id, fixed)
    tail = _tail(null)
    value = torch.where(automata.is_final, 0.0, NEVER).to(best.dtype)
    choices = []
    for position in range(best.shape[1] - 1, -1, -1):
        score, choice = _continued(best[:, position], value, automata).max(-1)
        end = torch.where(automata.is_final, tail[:, position, None], NEVER)
        choices.append(torch.where(end >= score, -1, choice))
        value = torch.maximum(end, score)
    classes, is_null = _followed(choices[::-1], automata)
    token_ids = best_tokens(log_probs, classes, is_null, automata)
    if fixed is not None:
        token_ids = torch.where(fixed >= 0, fixed, token_ids)
    return BestPaths(token_ids=token_ids.masked_fill(is_null, null_id), scores=value[:, 0])


def n_best(
    log_probs: Tensor, automata: PackedAutomata, null_id: int, n: int, *, fixed: Tensor | None = None
) -> BestPaths:
    """The `n` most probable accepted token sequences: `token_ids (B, n, S)`, `scores (B, n)`, best first.

    Sequences are distinct; texts need not be, since a text has several tokenisations. Where fewer than `n`
    exist the scores of the others are minus infinity.
    """
    log_probs = _wide(log_probs)
    ids, best = top_tokens(log_probs, automata, n)  # (B, S, K, n)
    flat, null = _potentials_of_top(best, log_probs[..., null_id], automata, null_id, fixed)
    tail = _tail(null)
    batch, states = automata.is_final.shape
    start = torch.where(automata.is_final, 0.0, NEVER).to(best.dtype)
    value = torch.cat([start[..., None], start.new_full((batch, states, n - 1), NEVER)], dim=2)
    steps = []
    following = automata.next.reshape(batch, -1)
    for position in range(best.shape[1] - 1, -1, -1):
        dead = value.new_full((batch, 1, n), NEVER)
        after = torch.cat([value, dead], dim=1).gather(1, following[..., None].expand(-1, -1, n))
        after = after.reshape(batch, states, -1, 1, n)
        scores = flat[:, position, None, :, :, None] + after  # (B, Q, K, token rank, rest rank)
        end = torch.where(automata.is_final, tail[:, position, None], NEVER)[..., None]
        value, choice = torch.cat([end, scores.flatten(2)], dim=2).topk(n, dim=2)
        steps.append(choice - 1)
    token_ids = _followed_n(steps[::-1], ids, automata, null_id, n)
    if fixed is not None:
        token_ids = torch.where(fixed[:, None] >= 0, fixed[:, None], token_ids)
    return BestPaths(token_ids=token_ids, scores=value[:, 0])


def forward_backward(
    log_probs: Tensor, automata: PackedAutomata, null_id: int, *, fixed: Tensor | None = None
) -> Marginals:
    """Shares of classes and NULL at every position over all accepted sequences, and their total probability.

    `log_z` is differentiable; of normalised `log_probs` it is the log-probability of a valid value.
    """
    log_probs = _wide(log_probs)
    sums = class_log_sum(log_probs, automata)
    weights, null = _potentials(sums, log_probs[..., null_id], automata, null_id, fixed)
    tail = _tail(null)
    length = weights.shape[1]
    is_final = automata.is_final
    after = [torch.where(is_final, 0.0, NEVER).to(weights.dtype)]
    for position in range(length - 1, -1, -1):
        score = _log_sum(_continued(weights[:, position], after[-1], automata), -1)
        end = torch.where(is_final, tail[:, position, None], NEVER)
        after.append(_log_sum(torch.stack([score, end], -1), -1))
    after.reverse()  # after[i]: (B, Q), everything that may follow a state before position i
    log_z = after[0][:, 0]
    before = torch.full_like(after[0], NEVER).index_fill(
        1, torch.zeros(1, dtype=torch.long, device=null.device), 0.0
    )
    shares, ended = [], []
    gone = torch.zeros_like(log_z)
    norm = torch.where(log_z > NEVER, log_z, 0.0)[:, None]
    for position in range(length):
        stop = torch.where(is_final, before + tail[:, position, None] - norm, NEVER)
        gone = gone + stop.exp().sum(-1)
        ended.append(gone)
        flow = (
            before[:, :, None]
            + _continued(weights[:, position], after[position + 1], automata)
            - norm[..., None]
        )
        shares.append(flow.exp().sum(1))
        before = _moved(before, weights[:, position], automata)
    return Marginals(
        classes=torch.stack(shares, 1), null=torch.stack(ended, 1), log_z=log_z, class_log_probs=sums
    )


def decode_slots(
    log_probs: Tensor,
    automata: Sequence[TokenAutomaton],
    budgets: Sequence[int],
    null_id: int,
    *,
    fixed: Tensor | None = None,
) -> BestPaths:
    """`viterbi` for slots that may count characters, without counting where counting changes nothing.

    The best path of the uncounted language is the best path of the counted one if its length is allowed,
    since that language is part of the other. Only the remaining slots are searched with counts.

    Raises:
        BudgetError: a budget is smaller than the shortest value.
        LanguageError: counting takes too many states; decode that slot token by token.
    """
    width, device = log_probs.shape[-1], log_probs.device
    loose = PackedAutomata.pack(automata, budgets, vocab_size=width, is_counted=False, device=device)
    found = viterbi(log_probs, loose, null_id, fixed=fixed)
    written = found.token_ids.tolist()
    again = [
        slot
        for slot, automaton in enumerate(automata)
        if automaton.is_counted
        and not automaton.accepts(token for token in written[slot] if token != null_id)
    ]
    if not again:
        return found
    index = torch.tensor(again, device=device)
    strict = PackedAutomata.pack(
        [automata[slot] for slot in again], [budgets[slot] for slot in again], vocab_size=width, device=device
    )
    counted = viterbi(log_probs[index], strict, null_id, fixed=None if fixed is None else fixed[index])
    return BestPaths(
        token_ids=found.token_ids.index_copy(0, index, counted.token_ids),
        scores=found.scores.index_copy(0, index, counted.scores),
    )


def _wide(scores: Tensor) -> Tensor:
    """Sums along a path are made in at least single precision."""
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores


def _potentials(
    scores: Tensor, null: Tensor, automata: PackedAutomata, null_id: int, fixed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Class and NULL scores with settled positions and positions beyond the budget taken into account."""
    is_beyond = torch.arange(null.shape[1], device=null.device) >= automata.budgets[:, None]
    scores = scores.masked_fill(is_beyond[..., None], NEVER)
    null = null.masked_fill(is_beyond, 0.0)
    if fixed is None:
        return scores, null
    is_fixed = fixed >= 0
    held = automata.classes.gather(1, fixed.clamp(min=0))
    is_held = torch.arange(scores.shape[2], device=null.device) == held[..., None]
    settled = torch.where(is_held & (fixed != null_id)[..., None] & (held > 0)[..., None], 0.0, NEVER)
    settled_null = torch.where(fixed == null_id, 0.0, NEVER)
    return (
        torch.where(is_fixed[..., None] & ~is_beyond[..., None], settled.to(scores.dtype), scores),
        torch.where(is_fixed & ~is_beyond, settled_null.to(null.dtype), null),
    )


def _potentials_of_top(
    best: Tensor, null: Tensor, automata: PackedAutomata, null_id: int, fixed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same for `(B, S, K, n)`: a settled token is the first of its class and has no runners-up."""
    first, null = _potentials(best[..., 0], null, automata, null_id, fixed)
    others = best[..., 1:].masked_fill((first == NEVER)[..., None], NEVER)
    if fixed is not None:
        others = others.masked_fill((fixed >= 0)[..., None, None], NEVER)
    return torch.cat([first[..., None], others], dim=-1), null


def _continued(scores: Tensor, value: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, Q, K)`: take a class (B, K) in a state, then the value (B, Q) of where it leads."""
    batch, states, classes = automata.next.shape
    padded = torch.cat([value, value.new_full((batch, 1), NEVER)], dim=1)
    after = padded.gather(1, automata.next.reshape(batch, -1)).reshape(batch, states, classes)
    return after + scores[:, None]


def _moved(before: Tensor, scores: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, Q)`: log-weight of every state one position on."""
    batch, states, _ = automata.next.shape
    top = (before.amax(-1) + scores.amax(-1)).clamp(min=torch.finfo(scores.dtype).min)[:, None]
    flow = (before[:, :, None] + scores[:, None] - top[..., None]).exp().reshape(batch, -1)
    moved = flow.new_zeros((batch, states + 1)).scatter_add(1, automata.next.reshape(batch, -1), flow)
    return moved[:, :states].log() + top


def _tail(null: Tensor) -> Tensor:
    """`(B, S)`: score of NULL from here to the end."""
    return null.flip(1).cumsum(1).flip(1)


def _followed(choices: list[Tensor], automata: PackedAutomata) -> tuple[Tensor, Tensor]:
    """Classes along the best path, and where it is over."""
    batch, states, classes = automata.next.shape
    following = automata.next.reshape(batch, -1)
    state = torch.zeros(batch, dtype=torch.long, device=automata.next.device)
    is_over = torch.zeros(batch, dtype=torch.bool, device=automata.next.device)
    taken, over = [], []
    for choice in choices:
        token_class = choice.gather(1, state.clamp(max=states - 1)[:, None])[:, 0]
        is_over = is_over | (token_class < 0)
        token_class = token_class.clamp(min=0)
        taken.append(token_class)
        over.append(is_over)
        # An impossible slot walks into the dead state; its score says so.
        state = following.gather(1, (state.clamp(max=states - 1) * classes + token_class)[:, None])[:, 0]
    return torch.stack(taken, 1), torch.stack(over, 1)


def _followed_n(steps: list[Tensor], ids: Tensor, automata: PackedAutomata, null_id: int, n: int) -> Tensor:
    """Token ids `(B, n, S)` along the `n` best paths."""
    batch, states, classes = automata.next.shape
    following = automata.next.reshape(batch, -1)
    state = torch.zeros((batch, n), dtype=torch.long, device=ids.device)
    rank = torch.arange(n, device=ids.device).expand(batch, n)
    is_over = torch.zeros((batch, n), dtype=torch.bool, device=ids.device)
    taken = []
    for position, step in enumerate(steps):
        choice = step.reshape(batch, -1).gather(1, state.clamp(max=states - 1) * n + rank)
        is_over = is_over | (choice < 0)
        token_class, token_rank, rest_rank = (
            part.clamp(min=0) for part in (choice // (n * n), choice // n % n, choice % n)
        )
        token = ids[:, position].reshape(batch, -1).gather(1, token_class * n + token_rank)
        taken.append(token.masked_fill(is_over, null_id))
        state = following.gather(1, state.clamp(max=states - 1) * classes + token_class)
        rank = rest_rank
    return torch.stack(taken, 2)


def _log_sum(scores: Tensor, dim: int) -> Tensor:
    """`logsumexp` whose gradient is 0, not NaN, where everything is impossible."""
    top = scores.amax(dim, keepdim=True).detach()
    top = torch.where(top > NEVER, top, 0.0)
    return safe_log((scores - top).exp().sum(dim)) + top.squeeze(dim)
