"""The automata of a batch of slots as tensors, and what they make of logits: scores per token class.

Reading 128k scores a position is what takes the time here. Where shapes must be fixed (CUDA graphs) whole
batches are reduced at once; on a CPU rows are read one by one, without temporaries of the size of the logits.
Both give the same numbers. What is searched on these scores is typed_decoding.py.
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

NEVER = float("-inf")
"""The score of what is impossible."""

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
            base_bias = torch.zeros(of_token.shape).masked_fill_(of_token != base[:, None], NEVER)
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


def class_max(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S, K)`: the best score of any token of each class."""
    best = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), NEVER)
    if automata.members:
        return _class_max_by_row(log_probs, automata)
    # One class holds most tokens: reduced apart, so that not all of a row meets at one address.
    rest = automata.rest_classes[:, None].expand(-1, log_probs.shape[1], -1)
    best = best.scatter_reduce(2, rest, _rest_of(log_probs, automata), "amax")
    # Padding is of class 0, which leads nowhere, so it may hold anything.
    base = (log_probs + automata.base_bias[:, None]).amax(-1, keepdim=True).to(best.dtype)
    return best.scatter(2, automata.base_class[:, None, None].expand_as(base), base)


def _rest_of(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    return log_probs.gather(2, automata.rest_ids[:, None].expand(-1, log_probs.shape[1], -1))


def best_tokens(log_probs: Tensor, classes: Tensor, is_null: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S)`: the best token of the given class at every position that is not NULL."""
    if automata.members:
        token_ids = torch.zeros_like(classes)
        for slot, position in (~is_null).nonzero().tolist():
            ids = automata.members[slot].of(int(classes[slot, position]))
            if len(ids):
                token_ids[slot, position] = ids[log_probs[slot, position].index_select(0, ids).argmax()]
        return token_ids
    is_member = automata.rest_classes[:, None] == classes[..., None]
    rest = _rest_of(log_probs, automata).masked_fill(~is_member, NEVER)
    of_rest = automata.rest_ids.gather(1, rest.argmax(-1)) if rest.shape[-1] else torch.zeros_like(classes)
    of_base = (log_probs + automata.base_bias[:, None]).argmax(-1)
    return torch.where(classes == automata.base_class[:, None], of_base, of_rest)


def top_tokens(log_probs: Tensor, automata: PackedAutomata, n: int) -> tuple[Tensor, Tensor]:
    """The `n` best tokens of each class at every position: ids and scores, `(B, S, K, n)`."""
    ids, scores = [], []
    classes = automata.classes[:, None].long().expand_as(log_probs)
    tokens = torch.arange(log_probs.shape[2], device=log_probs.device).expand_as(log_probs)
    left = log_probs
    for _ in range(n):
        score = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), NEVER)
        score = score.scatter_reduce(2, classes, left, "amax")
        is_best = (left == score.gather(2, classes)) & (left > NEVER)
        first = torch.where(is_best, tokens, log_probs.shape[2])
        token = torch.full(score.shape, log_probs.shape[2], device=score.device)
        token = token.scatter_reduce(2, classes, first, "amin").clamp(max=log_probs.shape[2] - 1)
        ids.append(token)
        scores.append(score)
        left = left.masked_fill(tokens == token.gather(2, classes), NEVER)
    return torch.stack(ids, -1), torch.stack(scores, -1)


def class_log_sum(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    """`(B, S, K)`: log of the summed probability of each class."""
    top = log_probs.amax(-1, keepdim=True)
    top = torch.where(top > NEVER, top, 0.0)
    if automata.members:
        return safe_log(_class_sum_by_row(log_probs, top, automata)) + top
    rest = (_rest_of(log_probs, automata) - top).exp().masked_fill(automata.rest_classes[:, None] == 0, 0.0)
    index = automata.rest_classes[:, None].expand(-1, log_probs.shape[1], -1)
    sums = log_probs.new_zeros((*log_probs.shape[:2], automata.num_classes)).scatter_add(2, index, rest)
    base = (log_probs - top + automata.base_bias[:, None]).exp().sum(-1, keepdim=True)
    sums = sums.scatter(2, automata.base_class[:, None, None].expand_as(base), base)
    return safe_log(sums) + top


def safe_log(total: Tensor) -> Tensor:
    """`log` with minus infinity, and no gradient, at 0."""
    return torch.where(total > 0, torch.where(total > 0, total, 1.0).log(), NEVER)


def _class_max_by_row(log_probs: Tensor, automata: PackedAutomata) -> Tensor:
    best = log_probs.new_full((*log_probs.shape[:2], automata.num_classes), NEVER)
    row = torch.empty_like(log_probs[0, 0])
    for slot, members in enumerate(automata.members):
        if members.is_mostly_largest:
            for position, scores in enumerate(log_probs[slot]):
                row.copy_(scores).index_fill_(0, members.others, NEVER)
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
