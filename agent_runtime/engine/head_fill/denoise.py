"""Denoising slots: the diffusion head's passes over drafts, and the most probable valid values they give.

Every slot is a draft of masks behind what is settled. A pass scores all open positions of all slots at once;
typed decoding takes the most probable value of each slot's language. Between passes the leftmost positions
are revealed, so that the next pass reads them; what then looks doubtful is opened again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heads import PromptInputs, SlotReading, collate_slots, slot_tokens

from ...errors import AgentRuntimeError
from ...scaffold.automaton import TokenAutomaton, compile_language
from ...scaffold.byte_automaton import LanguageError
from ...scaffold.language import language_of
from ...scaffold.nodes import Slot
from ...scaffold.shape import GrammarShape
from ...scaffold.vocabulary import TokenVocabulary
from ..packed_automata import BudgetError
from ..typed_decoding import decode_slots
from .call_reading import CallReading, SlotRead
from .loaded import LoadedHeads
from .settings import DenoiseSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenSlot:
    """A slot to be denoised.

    Attributes:
        read: its branch.
        begun: tokens that are settled.
        states: behind the first of them, as many as were read, (tokens, taps, hidden).
        copies: values that may be copied, as the tokens of the slot, and how probable each is.
    """

    read: SlotRead
    begun: tuple[int, ...] = ()
    states: Tensor | None = None
    copies: Sequence[tuple[Sequence[int], float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised:
    """A value the head proposes: its tokens, begun ones first, and how probable each of them is.

    `end_probability` is that of ending behind the last one.
    """

    token_ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    end_probability: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSeen:
    """One slot's draft after a pass, for whoever watches: None is an open position."""

    token_ids: tuple[int | None, ...]
    confidence: float


Watch = Callable[[Sequence[DraftSeen]], None]


@dataclass(slots=True, eq=False)
class _Draft:
    """One slot while it is denoised."""

    slot: OpenSlot
    automaton: TokenAutomaton | None
    tokens: list[int]
    most: int
    probabilities: list[float]

    @property
    def num_begun(self) -> int:
        return len(self.slot.begun)


class Denoiser:
    """Denoises the slots of one call; the prompt is read once."""

    def __init__(
        self,
        heads: LoadedHeads,
        reading: CallReading,
        vocabulary: TokenVocabulary,
        settings: DenoiseSettings,
        *,
        max_slot_tokens: int,
    ) -> None:
        assert heads.bundle.diffusion is not None
        self._heads = heads
        self._head = heads.bundle.diffusion
        self._vocabulary = vocabulary
        self._settings = settings
        self._max_slot_tokens = max_slot_tokens
        states = reading.prompt_states
        token_ids = torch.tensor([reading.prompt_ids], device=states.device)
        is_there = torch.ones(token_ids.shape, dtype=torch.bool, device=states.device)
        prompt = PromptInputs(states=states[None], token_ids=token_ids, is_there=is_there)
        self._memory = self._head.read_prompt(prompt, heads.ends)
        self._budgets = self._lengths(reading.slots)

    def denoise(
        self, slots: Sequence[OpenSlot], num_steps: int, watch: Watch | None = None
    ) -> list[Denoised]:
        """The values of some slots after so many passes, in their order.

        Args:
            slots: at least one.
            num_steps: passes; slots that fill up take more.
            watch: told the drafts after each pass, in their order.
        """
        drafts = [self._begun(slot) for slot in slots]
        open_share = [max(1, math.ceil((len(d.tokens) - d.num_begun) / num_steps)) for d in drafts]
        for step in range(num_steps):
            is_last = step == num_steps - 1
            best = self._pass(drafts)
            for draft, found, share in zip(drafts, best, open_share, strict=True):
                self._reveal(draft, found, share, step, is_last=is_last)
            if watch is not None:
                watch([self._seen(draft) for draft in drafts])
        for _ in range(self._settings.expansion.max_rounds):
            full = [draft for draft in drafts if self._grow(draft)]
            if not full:
                break
            for draft, found in zip(full, self._pass(full), strict=True):
                self._reveal(draft, found, 0, num_steps, is_last=True)
            if watch is not None:
                watch([self._seen(draft) for draft in drafts])
        return [self._value(draft) for draft in drafts]

    # Budgets.

    def _lengths(self, slots: Sequence[SlotRead]) -> dict[int, int]:
        """Positions that the length probe gives each slot."""
        probes = self._heads.bundle.probes
        if probes is None or not slots:
            return {}
        anchors = torch.stack([slot.anchor for slot in slots])
        kinds = torch.tensor([slot.kind for slot in slots], device=anchors.device)
        quantile = self._heads.bundle.calibration.length_quantile
        lengths: list[int] = slot_tokens(probes.lengths(anchors, kinds), quantile=quantile).tolist()
        return {id(slot): length for slot, length in zip(slots, lengths, strict=True)}

    def _begun(self, slot: OpenSlot) -> _Draft:
        changes, rules = self._settings.slot_budget, self._heads.rules
        budget = slot.read.branch.slot.budget
        extra = 0 if changes.extra is None else changes.extra
        most = min(budget.limit, self._max_slot_tokens, changes.limit or rules.limit)
        positions = self._budgets.get(id(slot.read), budget.tokens) + extra
        positions = max(min(positions, changes.maximum or rules.maximum, most), len(slot.begun) + 1)
        automaton = _automaton_of(slot.read.branch.slot, self._vocabulary)
        if automaton is not None:
            positions = max(positions, automaton.min_tokens)
        mask = self._head.config.mask_token_id
        tokens = [*slot.begun, *[mask] * (positions - len(slot.begun))]
        return _Draft(slot, automaton, tokens, max(most, positions), [1.0] * positions)

    def _grow(self, draft: _Draft) -> bool:
        """Add positions to a value that has no end within its own."""
        null, mask = self._head.config.null_token_id, self._head.config.mask_token_id
        if null in draft.tokens or len(draft.tokens) >= draft.most:
            return False
        more = min(self._settings.expansion.tokens, draft.most - len(draft.tokens))
        # The last token was chosen because nothing could follow it.
        draft.tokens[-1] = mask
        draft.tokens += [mask] * more
        draft.probabilities += [1.0] * more
        return True

    # Passes.

    def _pass(self, drafts: Sequence[_Draft]) -> list[tuple[list[int], list[float]]]:
        """The most probable value of each slot given what is revealed, and the probability of each token."""
        head, ends = self._head, self._heads.ends
        inputs = collate_slots([[self._reading_of(draft) for draft in drafts]])
        reading = head(inputs, self._memory, ends)
        if self._settings.cfg_scale:
            is_dropped = torch.ones(1, dtype=torch.bool, device=inputs.draft.device)
            blank = head(inputs, self._memory.without(is_dropped), ends)
            reading = reading.guided(blank, self._settings.cfg_scale)
        num_positions = inputs.draft.shape[2]
        rows = [
            column * num_positions + place
            for column, draft in enumerate(drafts)
            for place in range(draft.num_begun, len(draft.tokens))
        ]
        scores = head.logits(reading, torch.tensor(rows, device=inputs.draft.device), ends)
        return self._decoded(drafts, scores.log_softmax(-1).to("cpu"))

    def _decoded(self, drafts: Sequence[_Draft], scores: Tensor) -> list[tuple[list[int], list[float]]]:
        null = self._head.config.null_token_id
        found: list[tuple[list[int], list[float]]] = []
        at = 0
        for draft in drafts:
            size = len(draft.tokens) - draft.num_begun
            own = scores[at : at + size]
            at += size
            tokens = self._best(draft, own, null)
            behind = torch.tensor(tokens[draft.num_begun :])
            probabilities = own.gather(1, behind[:, None])[:, 0].exp().tolist()
            found.append((tokens, [1.0] * draft.num_begun + probabilities))
        return found

    def _best(self, draft: _Draft, own: Tensor, null: int) -> list[int]:
        """The most probable value of the slot's language; without one, the most probable tokens."""
        begun = list(draft.slot.begun)
        if draft.automaton is not None:
            fixed = torch.tensor(
                [[-1 if token == self._head.config.mask_token_id else token for token in draft.tokens]]
            )
            scores = torch.zeros((1, len(draft.tokens), own.shape[1]))
            scores[0, len(begun) :] = own
            try:
                best = decode_slots(scores, [draft.automaton], [len(draft.tokens)], null, fixed=fixed)
            except (BudgetError, LanguageError):
                pass
            else:
                if math.isfinite(float(best.scores[0])):
                    tokens: list[int] = best.token_ids[0].tolist()
                    return tokens
        tokens = begun + own.argmax(-1).tolist()
        if null in tokens:
            end = tokens.index(null)
            tokens[end:] = [null] * (len(tokens) - end)
        return tokens

    def _reading_of(self, draft: _Draft) -> SlotReading:
        slot = draft.slot
        return SlotReading(
            anchor=slot.read.anchor,
            draft=draft.tokens,
            kind=slot.read.kind,
            end_ids=slot.read.end_ids,
            states=slot.states,
            num_read=None if slot.states is None else len(slot.states),
            copies=slot.copies,
        )

    def _reveal(
        self, draft: _Draft, found: tuple[list[int], list[float]], share: int, step: int, *, is_last: bool
    ) -> None:
        """Reveal the leftmost open positions, and what follows them surely; in the last step all."""
        tokens, probabilities = found
        mask = self._head.config.mask_token_id
        doubted = self._doubt(draft, probabilities) if step and not is_last else frozenset()
        left = len(tokens) if is_last else share
        lock_from = self._settings.remask.min_lock_confidence
        for place in range(draft.num_begun, len(tokens)):
            if draft.tokens[place] != mask:
                draft.probabilities[place] = probabilities[place]
                continue
            if place in doubted:
                continue
            if left <= 0 and probabilities[place] < lock_from:
                break
            left -= 1
            draft.tokens[place] = tokens[place]
            draft.probabilities[place] = probabilities[place]

    def _doubt(self, draft: _Draft, probabilities: Sequence[float]) -> frozenset[int]:
        """Open the least sure of what earlier steps revealed; the next pass says what stands there."""
        remask, mask = self._settings.remask, self._head.config.mask_token_id
        if not remask.enabled:
            return frozenset()
        places = range(draft.num_begun, len(draft.tokens))
        revealed = [place for place in places if draft.tokens[place] != mask]
        doubtful = [place for place in revealed if probabilities[place] < remask.min_lock_confidence]
        doubtful.sort(key=lambda place: probabilities[place])
        doubted = frozenset(doubtful[: math.ceil(remask.ratio * len(revealed))])
        for place in doubted:
            draft.tokens[place] = mask
        return doubted

    def _seen(self, draft: _Draft) -> DraftSeen:
        null, mask = self._head.config.null_token_id, self._head.config.mask_token_id
        value = draft.tokens[: draft.tokens.index(null)] if null in draft.tokens else draft.tokens
        shown = tuple(None if token == mask else token for token in value)
        revealed = [draft.probabilities[at] for at, token in enumerate(shown) if token is not None]
        return DraftSeen(token_ids=shown, confidence=math.prod(revealed))

    def _value(self, draft: _Draft) -> Denoised:
        null = self._head.config.null_token_id
        tokens = draft.tokens
        length = tokens.index(null) if null in tokens else len(tokens)
        return Denoised(
            token_ids=tuple(tokens[:length]),
            probabilities=tuple(draft.probabilities[:length]),
            end_probability=draft.probabilities[length] if length < len(tokens) else 0.5,
        )


def _automaton_of(slot: Slot, vocabulary: TokenVocabulary) -> TokenAutomaton | None:
    """The token automaton of a slot's language; None where there is none, or it is too large."""
    if isinstance(slot.shape, GrammarShape):
        return None
    try:
        language = language_of(slot.shape, leading_space=slot.leading_space)
        return compile_language(language, vocabulary)
    except (LanguageError, AgentRuntimeError):
        return None
