"""Exact decoding of slots under their automata: best path, marginals, n-best. Pure torch, batched over slots.

A head scores every position of a slot on its own. Here that product of distributions meets the slot's
language: of all token sequences that write a value and then fill up with NULL, `viterbi` finds the most
probable, `forward_backward` the share of each token at each position, `n_best` the runners-up. Nothing is
approximated: tokens of a class go where its best token goes, so the search runs over classes.

The three functions have fixed shapes and no data-dependent control flow: they can be captured in a CUDA
graph. On a CPU, where reading 128k scores a position is what takes the time, two steps go row by row instead:
the same numbers without temporaries of the size of the logits. `decode_slots` on top of them decides on the
host which slots must count characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import AgentRuntimeError
from ..scaffold.automaton import TokenAutomaton

_NEVER = float("-inf")

MAX_EXPANDED_STATES = 16_384


class BudgetError(AgentRuntimeError):
    """A slot whose budget is too small for any value of its language.

    Attributes:
        budget: token positions it was given.
        min_tokens: positions it needs.
    """

    def __init__(self, *, slot: int, budget: int, min_tokens: int) -> None:
        self.budget = budget
        self.min_tokens = min_tokens
        super().__init__(
            f"slot {slot} has {budget} token positions but its shortest value takes {min_tokens}: "
            "raise its budget"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedAutomata:
    """The automata of a batch of slots, padded to common shapes.

    Attributes:
        next: `(B, Q, K)`, next state; dead is the extra state `Q`.
        is_final: `(B, Q)`.
        classes: `(B, V)`, class of every token, 0 is dead.
        base_class: `(B,)`, the class with the most tokens, whose maximum is taken over whole rows.
        base_bias: `(B, V)`, 0 for tokens of the base class, minus infinity for all others.
        rest_ids: `(B, R)`, tokens of all other live classes.
        rest_classes: `(B, R)`, their classes, 0 where padded.
        budgets: `(B,)`, token positions of each slot; those after it are NULL.
        members: per slot and class, its tokens; only where rows are read one by one, else empty.
    """

    next: Tensor
    is_final: Tensor
    classes: Tensor
    base_class: Tensor
    base_bias: Tensor
    rest_ids: Tensor
    rest_classes: Tensor
    budgets: Tensor
    members: tuple[_Members, ...]

    @property
    def num_classes(self) -> int:
        """K."""
        return self.next.shape[2]

    @classmethod
    def pack(
        cls,
        automata: Sequence[TokenAutomaton],
        budgets: Sequence[int],
        *,
        vocab_size: int | None = None,
        is_counted: bool = True,
        device: torch.device | str = "cpu",
        is_capturable: bool | None = None,
    ) -> PackedAutomata:
        """Put the automata of some slots side by side.

        Args:
            automata: one per slot, over the same vocabulary.
            budgets: token positions of each slot.
            vocab_size: width of the logits, where it exceeds the tokenizer's vocabulary.
            is_counted: write length limits out as states; without, they are ignored.
            device: where the tensors go.
            is_capturable: only operations of fixed shape; by default everywhere but on the CPU.

        Raises:
            BudgetError: a budget is smaller than the shortest value.
            LanguageError: lengths are to be counted and take too many states.
        """
        for slot, (automaton, budget) in enumerate(zip(automata, budgets, strict=True)):
            if budget < automaton.min_tokens:
                raise BudgetError(slot=slot, budget=budget, min_tokens=automaton.min_tokens)
        is_capturable = torch.device(device).type != "cpu" if is_capturable is None else is_capturable
        tables = [_table_of(automaton, is_counted) for automaton in automata]
        members = [_members_of(automaton) for automaton in automata]
        states = max(len(is_final) for _, is_final in tables)
        classes = max(table.shape[1] for table, _ in tables)
        following = np.full((len(automata), states, classes), states, np.int64)
        is_final = np.zeros((len(automata), states), np.bool_)
        for slot, (table, final) in enumerate(tables):
            following[slot, : table.shape[0], : table.shape[1]] = np.where(table >= 0, table, states)
            is_final[slot, : len(final)] = final
        width = vocab_size or len(automata[0].classes)
        of_token = torch.zeros((len(automata), width), dtype=torch.int32)
        for slot, automaton in enumerate(automata):
            of_token[slot, : len(automaton.classes)] = torch.from_numpy(automaton.classes.copy())
        base = torch.tensor([group.largest for group in members])
        rest_ids = rest_classes = base_bias = torch.empty(0)
        if is_capturable:
            rest = max(len(group.rest) for group in members)
            rest_ids, rest_classes = (
                torch.stack([F.pad(part, (0, rest - len(part))) for part in parts])
                for parts in ([group.rest for group in members], [group.rest_classes for group in members])
            )
            base_bias = torch.zeros(of_token.shape).masked_fill_(of_token != base[:, None], _NEVER)
        return cls(
            next=torch.from_numpy(following).to(device),
            is_final=torch.from_numpy(is_final).to(device),
            classes=of_token.to(device),
            base_class=base.to(device),
            base_bias=base_bias.to(device),
            rest_ids=rest_ids.to(device),
            rest_classes=rest_classes.to(device),
            budgets=torch.tensor(list(budgets)).to(device),
            members=() if is_capturable else tuple(members),
        )


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


def class_max(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S, K)`: the best score of any token of each class."""
    best = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), _NEVER)
    if automata.members:
        return _class_max_by_row(log_probs, automata)
    # One class holds most tokens: reduced apart, so that not all of a row meets at one address.
    rest = automata.rest_classes[:, None].expand(-1, log_probs.shape[1], -1)
    best = best.scatter_reduce(2, rest, _rest_of(log_probs, automata), "amax")
    # Padding is of class 0, which leads nowhere, so it may hold anything.
    base = (log_probs + automata.base_bias[:, None]).amax(-1, keepdim=True).to(best.dtype)
    return best.scatter(2, automata.base_class[:, None, None].expand_as(base), base)


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
    value = torch.where(automata.is_final, 0.0, _NEVER).to(best.dtype)
    choices = []
    for position in range(best.shape[1] - 1, -1, -1):
        score, choice = _continued(best[:, position], value, automata).max(-1)
        end = torch.where(automata.is_final, tail[:, position, None], _NEVER)
        choices.append(torch.where(end >= score, -1, choice))
        value = torch.maximum(end, score)
    classes, is_null = _followed(choices[::-1], automata)
    token_ids = _best_tokens(log_probs, classes, is_null, automata)
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
    ids, best = _top_tokens(log_probs, automata, n)  # (B, S, K, n)
    flat, null = _potentials_of_top(best, log_probs[..., null_id], automata, null_id, fixed)
    tail = _tail(null)
    batch, states = automata.is_final.shape
    start = torch.where(automata.is_final, 0.0, _NEVER).to(best.dtype)
    value = torch.cat([start[..., None], start.new_full((batch, states, n - 1), _NEVER)], dim=2)
    steps = []
    following = automata.next.reshape(batch, -1)
    for position in range(best.shape[1] - 1, -1, -1):
        dead = value.new_full((batch, 1, n), _NEVER)
        after = torch.cat([value, dead], dim=1).gather(1, following[..., None].expand(-1, -1, n))
        after = after.reshape(batch, states, -1, 1, n)
        scores = flat[:, position, None, :, :, None] + after  # (B, Q, K, token rank, rest rank)
        end = torch.where(automata.is_final, tail[:, position, None], _NEVER)[..., None]
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
    sums = _class_log_sum(log_probs, automata)
    weights, null = _potentials(sums, log_probs[..., null_id], automata, null_id, fixed)
    tail = _tail(null)
    length = weights.shape[1]
    is_final = automata.is_final
    after = [torch.where(is_final, 0.0, _NEVER).to(weights.dtype)]
    for position in range(length - 1, -1, -1):
        score = _log_sum(_continued(weights[:, position], after[-1], automata), -1)
        end = torch.where(is_final, tail[:, position, None], _NEVER)
        after.append(_log_sum(torch.stack([score, end], -1), -1))
    after.reverse()  # after[i]: (B, Q), everything that may follow a state before position i
    log_z = after[0][:, 0]
    before = torch.full_like(after[0], _NEVER).index_fill(
        1, torch.zeros(1, dtype=torch.long, device=null.device), 0.0
    )
    shares, ended = [], []
    gone = torch.zeros_like(log_z)
    norm = torch.where(log_z > _NEVER, log_z, 0.0)[:, None]
    for position in range(length):
        stop = torch.where(is_final, before + tail[:, position, None] - norm, _NEVER)
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
    scores = scores.masked_fill(is_beyond[..., None], _NEVER)
    null = null.masked_fill(is_beyond, 0.0)
    if fixed is None:
        return scores, null
    is_fixed = fixed >= 0
    held = automata.classes.gather(1, fixed.clamp(min=0))
    is_held = torch.arange(scores.shape[2], device=null.device) == held[..., None]
    settled = torch.where(is_held & (fixed != null_id)[..., None] & (held > 0)[..., None], 0.0, _NEVER)
    settled_null = torch.where(fixed == null_id, 0.0, _NEVER)
    return (
        torch.where(is_fixed[..., None] & ~is_beyond[..., None], settled.to(scores.dtype), scores),
        torch.where(is_fixed & ~is_beyond, settled_null.to(null.dtype), null),
    )


def _potentials_of_top(
    best: Tensor, null: Tensor, automata: PackedAutomata, null_id: int, fixed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same for `(B, S, K, n)`: a settled token is the first of its class and has no runners-up."""
    first, null = _potentials(best[..., 0], null, automata, null_id, fixed)
    others = best[..., 1:].masked_fill((first == _NEVER)[..., None], _NEVER)
    if fixed is not None:
        others = others.masked_fill((fixed >= 0)[..., None, None], _NEVER)
    return torch.cat([first[..., None], others], dim=-1), null


def _continued(scores: Tensor, value: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, Q, K)`: take a class (B, K) in a state, then the value (B, Q) of where it leads."""
    batch, states, classes = automata.next.shape
    padded = torch.cat([value, value.new_full((batch, 1), _NEVER)], dim=1)
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


def _rest_of(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    return log_probs.gather(2, automata.rest_ids[:, None].expand(-1, log_probs.shape[1], -1))


def _best_tokens(log_probs: Tensor, classes: Tensor, is_null: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S)`: the best token of the given class at every position that is not NULL."""
    if automata.members:
        token_ids = torch.zeros_like(classes)
        for slot, position in (~is_null).nonzero().tolist():
            ids = automata.members[slot].of(int(classes[slot, position]))
            if len(ids):
                token_ids[slot, position] = ids[log_probs[slot, position].index_select(0, ids).argmax()]
        return token_ids
    is_member = automata.rest_classes[:, None] == classes[..., None]
    rest = _rest_of(log_probs, automata).masked_fill(~is_member, _NEVER)
    of_rest = automata.rest_ids.gather(1, rest.argmax(-1)) if rest.shape[-1] else torch.zeros_like(classes)
    of_base = (log_probs + automata.base_bias[:, None]).argmax(-1)
    return torch.where(classes == automata.base_class[:, None], of_base, of_rest)


def _top_tokens(log_probs: Tensor, automata: PackedAutomata, n: int) -> tuple[Tensor, Tensor]:
    """The `n` best tokens of each class at every position: ids and scores, `(B, S, K, n)`."""
    ids, scores = [], []
    classes = automata.classes[:, None].long().expand_as(log_probs)
    tokens = torch.arange(log_probs.shape[2], device=log_probs.device).expand_as(log_probs)
    left = log_probs
    for _ in range(n):
        score = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), _NEVER)
        score = score.scatter_reduce(2, classes, left, "amax")
        is_best = (left == score.gather(2, classes)) & (left > _NEVER)
        first = torch.where(is_best, tokens, log_probs.shape[2])
        token = torch.full(score.shape, log_probs.shape[2], device=score.device)
        token = token.scatter_reduce(2, classes, first, "amin").clamp(max=log_probs.shape[2] - 1)
        ids.append(token)
        scores.append(score)
        left = left.masked_fill(tokens == token.gather(2, classes), _NEVER)
    return torch.stack(ids, -1), torch.stack(scores, -1)


def _class_log_sum(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S, K)`: log of the summed probability of each class."""
    top = log_probs.amax(-1, keepdim=True)
    top = torch.where(top > _NEVER, top, 0.0)
    if automata.members:
        return _log(_class_sum_by_row(log_probs, top, automata)) + top
    rest = (_rest_of(log_probs, automata) - top).exp().masked_fill(automata.rest_classes[:, None] == 0, 0.0)
    index = automata.rest_classes[:, None].expand(-1, log_probs.shape[1], -1)
    sums = log_probs.new_zeros((*log_probs.shape[:2], automata.num_classes)).scatter_add(2, index, rest)
    base = (log_probs - top + automata.base_bias[:, None]).exp().sum(-1, keepdim=True)
    sums = sums.scatter(2, automata.base_class[:, None, None].expand_as(base), base)
    return _log(sums) + top


def _log_sum(scores: Tensor, dim: int) -> Tensor:
    """`logsumexp` whose gradient is 0, not NaN, where everything is impossible."""
    top = scores.amax(dim, keepdim=True).detach()
    top = torch.where(top > _NEVER, top, 0.0)
    return _log((scores - top).exp().sum(dim)) + top.squeeze(dim)


def _log(total: Tensor) -> Tensor:
    """`log` with minus infinity, and no gradient, at 0."""
    return torch.where(total > 0, torch.where(total > 0, total, 1.0).log(), _NEVER)


def _class_max_by_row(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    best = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), _NEVER)
    row = torch.empty_like(log_probs[0, 0])
    for slot, members in enumerate(automata.members):
        if members.is_mostly_largest:
            for position, scores in enumerate(log_probs[slot]):
                row.copy_(scores).index_fill_(0, members.others, _NEVER)
                best[slot, position, members.largest] = row[: len(members.order)].amax()
        live = log_probs[slot].index_select(1, members.gathered)
        best[slot].scatter_reduce_(1, members.gathered_classes.expand_as(live), live, "amax")
    return best


def _class_sum_by_row(log_probs: Tensor, top: Tensor, automata: PackedAutomata) -> Tensor:
    """Summed probability of each class, a row at a time: what is exponentiated stays in the cache."""
    empty = log_probs.new_zeros(automata.num_classes)
    slots = [
        torch.stack(
            [_class_sums(row - highest, members, empty) for row, highest in zip(rows, tops, strict=True)]
        )
        for rows, tops, members in zip(log_probs, top, automata.members, strict=True)
    ]
    return torch.stack(slots)


def _class_sums(row: Tensor, members: _Members, empty: Tensor) -> Tensor:
    sums = empty.scatter_add(0, members.gathered_classes, row.index_select(0, members.gathered).exp())
    if members.is_mostly_largest:
        largest = row[: len(members.order)].exp().index_fill(0, members.others, 0.0).sum()
        sums = torch.where(torch.arange(len(empty)) == members.largest, largest, sums)
    return sums


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """Tokens by class, as tensors.

    Attributes:
        order: `(V,)`, token ids sorted by class.
        starts: where each class begins in `order`, and the end.
        largest: the live class with the most tokens.
        rest: tokens of all other live classes.
        rest_classes: their classes.
        is_mostly_largest: whether reading whole rows for the largest class beats gathering its tokens.
        others: all tokens but those of the largest class, if so.
        gathered: tokens that are gathered: `rest`, and the largest class if it is not that large.
        gathered_classes: their classes.
    """

    order: Tensor
    starts: tuple[int, ...]
    largest: int
    rest: Tensor
    rest_classes: Tensor
    is_mostly_largest: bool
    others: Tensor
    gathered: Tensor
    gathered_classes: Tensor

    def of(self, token_class: int) -> Tensor:
        """Tokens of one class."""
        return self.order[self.starts[token_class] : self.starts[token_class + 1]]


_known_members: WeakKeyDictionary[TokenAutomaton, _Members] = WeakKeyDictionary()


def _members_of(automaton: TokenAutomaton) -> _Members:
    found = _known_members.get(automaton)
    if found is None:
        found = _known_members[automaton] = _sorted_members(automaton)
    return found


def _sorted_members(automaton: TokenAutomaton) -> _Members:
    classes = automaton.classes
    sizes = np.bincount(classes, minlength=automaton.num_classes)
    sizes[0] = 0
    largest = int(sizes.argmax())
    is_mostly_largest = 4 * sizes[largest] > len(classes)
    rest = np.flatnonzero((classes != 0) & (classes != largest))
    gathered = rest if is_mostly_largest else np.flatnonzero(classes)
    others = np.flatnonzero(classes != largest) if is_mostly_largest else rest[:0]
    order = np.argsort(classes, kind="stable")
    return _Members(
        order=torch.from_numpy(order.astype(np.int32)),
        starts=tuple(np.searchsorted(classes[order], np.arange(automaton.num_classes + 1)).tolist()),
        largest=largest,
        rest=torch.from_numpy(rest),
        rest_classes=torch.from_numpy(classes[rest].astype(np.int64)),
        is_mostly_largest=bool(is_mostly_largest),
        others=torch.from_numpy(others),
        gathered=torch.from_numpy(gathered),
        gathered_classes=torch.from_numpy(classes[gathered].astype(np.int64)),
    )


def _table_of(automaton: TokenAutomaton, is_counted: bool) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    if is_counted:
        table, is_final, _ = automaton.expanded(max_states=MAX_EXPANDED_STATES)
        return table, is_final
    return automaton.next, automaton.is_final
