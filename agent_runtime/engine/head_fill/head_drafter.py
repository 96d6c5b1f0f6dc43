"""Drafting with heads: which values, which optional arguments, how many items.

A `Drafter` whose first guesses come from heads: constants scored by the first token, spans to copy, denoised
values, and what is worth giving at all. Whatever the backbone says of a place counts for more than any head.
Where heads have nothing to say, values are copied as without them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...events import SlotTrace
from ...scaffold.branches import slot_kind
from ...scaffold.frontier import Allowed, CallFrontier
from ...scaffold.nodes import Slot
from ...scaffold.token_tree import TokenNode
from ...scaffold.walker import ArrayFrame, CallWalker, Candidate
from ..draft import Draft, Drafter, Plan, best_of, is_allowed
from ..draft_copies import CopySource, listed_after
from ..program import Program
from ..tape import Tape
from ..view import BackboneView
from .call_reading import CallReading, Row, SlotRead
from .copies import Copy, propose_copies
from .denoise import Denoiser, DraftSeen, OpenSlot
from .loaded import LoadedHeads
from .settings import DenoiseSettings
from .weighing import Changes, Choice, WeighedSlot, read_options

Source = Literal["choice", "copy", "denoise"]
Watch = Callable[[Literal["propose", "denoise", "read"], Sequence[SlotTrace]], None]

_MOST_ITEMS_AHEAD = 6
"""Items of an array that are drafted because an earlier one was followed by another."""

_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A value a slot may have: its tokens, and how probable each is given those before it."""

    token_ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    end_probability: float
    source: Source


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the backbone made of a drafted value: tokens that stand, and states behind the first of them."""

    slot: Slot
    begun: tuple[int, ...]
    anchor: Tensor | None
    states: Tensor
    is_settled: bool


class HeadDrafter(Drafter):
    """Drafts one call with heads. `begin` it with what was read behind the tool's name."""

    def __init__(
        self,
        view: BackboneView,
        source: CopySource,
        heads: LoadedHeads,
        *,
        closing: Sequence[int] = (),
        copyable: Sequence[tuple[int, int]] = (),
        settings: DenoiseSettings | None = None,
        max_slot_tokens: int = 512,
        is_whole: bool = False,
        watch: Watch | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            view: the backbone's tokens.
            source: what values may be copied from where heads say nothing.
            heads: of the backbone.
            closing: what follows the completed call.
            copyable: runs of prompt tokens that spans may be copied from.
            settings: how to denoise.
            max_slot_tokens: tokens one value may take.
            is_whole: whether drafts are whole calls, however long and blind they are.
            watch: told every step.
        """
        super().__init__(view, source, closing=closing, is_whole=is_whole)
        self._heads = heads
        self._copyable = tuple(copyable)
        self._settings = settings or DenoiseSettings()
        self._max_slot_tokens = max_slot_tokens
        self._watch = watch
        self._reading: CallReading | None = None
        self._denoiser: Denoiser | None = None
        self._reads: dict[tuple[str, str], SlotRead] = {}
        self._proposals: dict[tuple[str, str], list[Proposal]] = {}
        self._copies: dict[tuple[str, str], tuple[Copy, ...]] = {}
        self._items: dict[str, tuple[str, ...]] = {}
        self._presence: dict[str, float] = {}
        self._verdicts: dict[tuple[str, str], _Verdict] = {}
        self.rows: dict[Hashable, Row] = {}
        """What the backbone said at each place."""
        self.is_settled = False
        """Whether nothing is read any more: what was said of one item no longer counts for the next."""
        self.given_up: set[str] = set()
        """Paths of the values that are left to the backbone, token by token."""
        self.weighed: tuple[WeighedSlot, ...] = ()
        """The slots whose options were weighed when the draft was settled."""

    @property
    def has_begun(self) -> bool:
        """Whether it knows what was read behind the tool's name."""
        return self._reading is not None

    @torch.inference_mode()
    def begin(self, reading: CallReading) -> None:
        """Ask the heads about every slot."""
        self._reading = reading
        copies = propose_copies(self._heads, reading, self._view.vocabulary, self._copyable)
        for number, read in enumerate(reading.slots):
            key = (read.branch.path, read.branch.kind)
            if key in self._reads:
                continue
            self._reads[key] = read
            self._copies[key] = copies.proposed.get(number, ())
            if read.branch.slot.constants:
                self._proposals[key] = [self._choice(read)]
            else:
                self._proposals[key] = [self._copied(read, copy) for copy in self._sure_copies(key)]
                self._note_items(read.branch.path, self._copies[key])
        self._presence = self._presences(reading.slots, copies.given)
        if self._watch is not None:
            self._watch(
                "propose", [self._proposed_trace(key, found) for key, found in self._proposals.items()]
            )

    def note(self, place: Hashable, allowed: Allowed, row: Row) -> None:
        """Remember the backbone's row at a place."""
        super().note(place, allowed, row)
        self.rows[place] = row

    def agrees(self, draft: Draft) -> bool:
        """Whether the backbone, having read a draft, would have written the same."""
        return all(
            self._likely.get(decision.place) == draft.token_ids[decision.index]
            for decision in draft.decisions
            if decision.index < len(draft.token_ids)
        )

    # Weighing.

    @property
    def can_weigh(self) -> bool:
        """Whether it is known what counts how much."""
        return self._heads.bundle.calibration.values is not None

    def weigh(self, frontier: CallFrontier, tape: Tape, drafted: CallWalker) -> Program[Changes]:
        """Read what the slots of a settled draft may hold, and choose; nothing where the draft stands.

        Args:
            frontier: behind what is written.
            tape: stands where the frontier stands.
            drafted: behind that draft.
        """
        weights, reading = self._heads.bundle.calibration.values, self._reading
        assert weights is not None and reading is not None
        kinds = Counter(path for path, _ in self._reads)
        reads = {
            path: read
            for (path, _), read in self._reads.items()
            if kinds[path] == 1 and not _is_in_array(path) and path not in frontier.filled_paths
        }
        self.weighed = yield from read_options(
            self._view,
            tape,
            tuple(reads.values()),
            dict(drafted.filled),
            copies={path: self._copies[path, read.branch.kind] for path, read in reads.items()},
            presence=self._presence,
            text="\n".join(self._shown(reading.prompt_ids[start:end]) for start, end in self._copyable),
            name_end=len(reading.prompt_ids),
            begun={} if frontier.open_slot is None else {frontier.open_slot.path: frontier.open_tokens},
            max_slot_tokens=self._max_slot_tokens,
        )
        return Choice(self.weighed, weights).changes()

    def take(self, changes: Changes) -> None:
        """What was weighed becomes the call: new values are proposals of whoever had them."""
        kinds = {slot.path: slot.kind for slot in self.weighed}
        taken: list[SlotTrace] = []
        for path, (option, probability) in changes.items():
            if option.token_ids is not None:
                key = path, kinds[path]
                source: Source = "choice" if option.is_constant else "copy"
                self._proposals.setdefault(key, []).insert(0, _sure(option.token_ids, probability, source))
                taken.append(self._proposed_trace(key, self._proposals[key]))
        if self._watch is not None and taken:
            self._watch("propose", taken)

    # Denoising.

    @torch.inference_mode()
    def denoise(self, num_steps: int, frontier: CallFrontier) -> None:
        """Ask the diffusion head for the values that are neither chosen, copied nor settled.

        Args:
            num_steps: of the head.
            frontier: behind what is written; the value that is open there goes on from what it holds.
        """
        wanted = dict(self._open_slots(frontier))
        if self._heads.bundle.diffusion is None or self._reading is None or not wanted or not num_steps:
            return
        if self._denoiser is None:
            self._denoiser = Denoiser(
                self._heads,
                self._reading,
                self._view.vocabulary,
                self._settings,
                max_slot_tokens=self._max_slot_tokens,
            )
        watch = None if self._watch is None else self._denoise_watch(list(wanted))
        values = self._denoiser.denoise(list(wanted.values()), num_steps, watch)
        for key, value in zip(wanted, values, strict=True):
            found = Proposal(
                token_ids=value.token_ids,
                probabilities=value.probabilities,
                end_probability=value.end_probability,
                source="denoise",
            )
            self._proposals.setdefault(key, []).insert(0, found)

    def judge(self, draft: Draft, states: Tensor | None) -> None:
        """Take the backbone's word for what a draft's values begin with; `learn` comes first.

        Args:
            draft: what was read.
            states: behind each of its tokens.
        """
        if states is None:
            return
        by_path: dict[str, list[int]] = {}
        for number, decision in enumerate(draft.decisions):
            if decision.path is not None and decision.index < len(states):
                by_path.setdefault(decision.path, []).append(number)
        for path, numbers in by_path.items():
            decisions = [draft.decisions[number] for number in numbers]
            slot = decisions[0].slot
            if slot is None or slot.constants:
                continue
            verdict = None
            for decision in decisions:
                start = decision.index - len(decision.begun)
                token_id, likely = draft.token_ids[decision.index], self._likely.get(decision.place)
                if likely is None or start < 0:
                    break
                is_end = not self._goes_on(decision.allowed, likely)
                begun = decision.begun if is_end else (*decision.begun, likely)
                if token_id != likely or is_end:
                    anchor = states[start - 1] if start else None
                    verdict = _Verdict(slot, begun, anchor, states[start : decision.index], is_end)
                    break
            if verdict is not None:
                self._verdicts[path, slot_kind(slot.shape)] = verdict
        if self._watch is not None:
            self._watch("read", [self._read_trace(draft, path, by_path[path]) for path in by_path])

    def _goes_on(self, allowed: Allowed, token_id: int) -> bool:
        at = int(np.searchsorted(allowed.ids, token_id))
        return at < len(allowed.ids) and int(allowed.ids[at]) == token_id

    def _open_slots(self, frontier: CallFrontier) -> Iterator[tuple[tuple[str, str], OpenSlot]]:
        if not self._verdicts:
            yield from self._unread_slots(frontier)
            return
        for key, verdict in self._verdicts.items():
            own = self._reads.get((_first_item(key[0]), key[1]))
            if verdict.is_settled or own is None:
                continue
            read = own
            if key not in self._reads:  # a later item of an array
                if verdict.anchor is None:
                    continue
                read = replace(own, anchor=verdict.anchor)
            if self._continuing_copy(verdict.slot, key, verdict.begun) is None:
                copies = self._spelt_copies(key, verdict.slot)
                yield key, OpenSlot(read=read, begun=verdict.begun, states=verdict.states, copies=copies)

    def _unread_slots(self, frontier: CallFrontier) -> Iterator[tuple[tuple[str, str], OpenSlot]]:
        """Those that no draft the backbone has read says anything of."""
        done = set(frontier.filled_paths)
        for key, read in self._reads.items():
            slot, begun = read.branch.slot, read.lead
            states: Tensor | None = read.lead_states
            if key[0] in done or slot.constants or self._is_left_out(key[0]):
                continue
            if frontier.open_slot is not None and frontier.open_slot.path == key[0]:
                begun, states = frontier.open_tokens, self._written_states(frontier)
            if self._proposed(slot, begun) is None:
                copies = self._spelt_copies(key, slot)
                yield key, OpenSlot(read=read, begun=begun, states=states, copies=copies)

    def _spelt_copies(self, key: tuple[str, str], slot: Slot) -> list[tuple[Sequence[int], float]]:
        """What the span head would copy, as the diffusion head reads it; nothing for later items."""
        diffusion = self._heads.bundle.config.diffusion
        most = 0 if diffusion is None else diffusion.num_copies
        space = " " if slot.leading_space else ""
        return [
            (self._view.encode(space + copy.text), copy.share) for copy in self._copies.get(key, ())[:most]
        ]

    def _written_states(self, frontier: CallFrontier) -> Tensor | None:
        """States behind what the open value holds, where that was written before the branches were read."""
        assert self._reading is not None
        written, num_tokens = self._reading.written_states, len(frontier.open_tokens)
        is_same = num_tokens <= len(written) == frontier.num_behind_name
        return written[len(written) - num_tokens :] if is_same else None

    def _is_left_out(self, path: str) -> bool:
        return self._presence.get(path, 1.0) < self._heads.bundle.calibration.present_from

    # Proposals.

    def _choice(self, read: SlotRead) -> Proposal:
        """The constant whose first token the backbone finds most probable, and that is spoken of."""
        texts = read.branch.slot.constants
        written = [self._view.encode(text) for text in texts]
        firsts = [ids[0] if ids else read.end_ids[0] for ids in written]
        scores = torch.from_numpy(read.row[np.array(firsts)]).log_softmax(-1).exp().tolist()
        best = max(
            range(len(texts)), key=lambda number: (scores[number], self._source.says(texts[number].strip()))
        )
        share = scores[best] * sum(first == firsts[best] for first in firsts)
        return _sure(written[best], min(1.0, share), "choice")

    def _sure_copies(self, key: tuple[str, str]) -> list[Copy]:
        span_from = self._heads.bundle.calibration.span_from
        return [copy for copy in self._copies[key] if copy.probability >= span_from]

    def _copied(self, read: SlotRead, copy: Copy) -> Proposal:
        slot = read.branch.slot
        text = " " + copy.text if slot.leading_space else copy.text
        return _sure(self._view.encode(text), copy.probability, "copy")

    def _note_items(self, path: str, copies: Sequence[Copy]) -> None:
        """What is listed behind the first item of an array, where that is copied."""
        if _array_of(path) is None or not copies or self._reading is None:
            return
        behind = self._view.bytes_of(self._reading.prompt_ids[copies[0].end : copies[0].end + 96])
        self._items[path] = (copies[0].text, *listed_after(behind.decode(errors="ignore")))

    def _presences(self, slots: Sequence[SlotRead], told: Mapping[int, float]) -> dict[str, float]:
        """How probable it is that each optional slot is given, by path; `told` is what the messages add."""
        probes = self._heads.bundle.probes
        numbers = [number for number, slot in enumerate(slots) if slot.branch.is_optional]
        asked = [slots[number] for number in numbers]
        if probes is None or not asked:
            return {}
        anchors = torch.stack([slot.anchor for slot in asked])
        kinds = torch.tensor([slot.kind for slot in asked], device=anchors.device)
        log_odds = probes.presence(anchors, kinds, self._key_log_odds(asked))
        log_odds = log_odds + torch.tensor(
            [told.get(number, 0.0) for number in numbers], device=log_odds.device
        )
        shares = self._heads.bundle.calibration.presence.probability(log_odds).tolist()
        return {slot.branch.path: share for slot, share in zip(asked, shares, strict=True)}

    def _key_log_odds(self, slots: Sequence[SlotRead]) -> Tensor:
        """How probable the backbone finds the text that leads to each slot, as log-odds."""
        assert self._reading is not None
        ends, fork = self._heads.ends, self._reading.prompt_states[-1:, -1]
        before = torch.cat([part for slot in slots for part in (fork, slot.literal_states[:-1, -1])])
        normed = functional.rms_norm(
            before.float(), before.shape[-1:], ends.norm_weight.float(), ends.epsilon
        )
        scores = ends.project(normed.to(ends.embedding.dtype)).float().log_softmax(-1)
        ids = torch.tensor([token_id for slot in slots for token_id in slot.literal], device=scores.device)
        said = torch.split(scores.gather(1, ids[:, None])[:, 0], [len(slot.literal) for slot in slots])
        log_probability = torch.stack([part.sum() for part in said]).clamp(min=-30.0, max=-1e-6)
        return log_probability - torch.log(-torch.expm1(log_probability))

    # Telling.

    def _proposed_trace(self, key: tuple[str, str], proposals: Sequence[Proposal]) -> SlotTrace:
        if not proposals:
            return SlotTrace(path=key[0], text="_", confidence=0.0, filled_by="denoise", num_open=1)
        best = proposals[0]
        return SlotTrace(
            path=key[0],
            text=self._shown(best.token_ids),
            confidence=math.prod(best.probabilities) * best.end_probability,
            filled_by=best.source,
        )

    def _denoise_watch(self, keys: Sequence[tuple[str, str]]) -> Callable[[Sequence[DraftSeen]], None]:
        watch = self._watch
        assert watch is not None

        def told(drafts: Sequence[DraftSeen]) -> None:
            watch(
                "denoise",
                [
                    SlotTrace(
                        path=path,
                        text=self._shown(seen.token_ids),
                        confidence=seen.confidence,
                        filled_by="denoise",
                        num_open=seen.token_ids.count(None),
                    )
                    for (path, _), seen in zip(keys, drafts, strict=False)
                ],
            )

        return told

    def _read_trace(self, draft: Draft, path: str, numbers: Sequence[int]) -> SlotTrace:
        """What a value is now: as drafted up to the first token the backbone would not have written."""
        begun: tuple[int, ...] = ()
        for number in numbers:
            decision = draft.decisions[number]
            likely = self._likely.get(decision.place)
            begun = decision.begun
            if likely is None or not self._goes_on(decision.allowed, likely):
                break
            begun = (*begun, likely)
            if likely != draft.token_ids[decision.index]:
                return SlotTrace(
                    path=path, text=self._shown((*begun, None)), confidence=0.0, filled_by="draft", num_open=1
                )
        return SlotTrace(path=path, text=self._shown(begun), confidence=1.0, filled_by="draft")

    def _shown(self, token_ids: Sequence[int | None]) -> str:
        raw = b"".join(
            b"_" if token_id is None else self._view.bytes_of((token_id,)) for token_id in token_ids
        )
        return raw.decode(errors="replace")

    # Guessing.

    def guess(self, frontier: CallFrontier, place: Hashable, allowed: Allowed, plan: Plan) -> int | None:
        """See `Drafter`."""
        slot = frontier.open_slot
        if slot is not None and place not in self._likely and frontier.is_named:
            begun = frontier.open_tokens
            read = self._reads.get((slot.path, slot_kind(slot.shape)))
            if read is not None and begun == read.lead and self._proposed(slot, begun) is None:
                return best_of(read.row, allowed)
        return super().guess(frontier, place, allowed, plan)

    def _alike_paths(self, path: str) -> tuple[str, ...]:
        items = [int(step) for step in path.split(".") if step.isdecimal()]
        if items and (self.is_settled or max(items) >= _MOST_ITEMS_AHEAD):
            return (path,)
        return super()._alike_paths(path)

    def _planned(self, slot: Slot, begun: tuple[int, ...], plan: Plan) -> tuple[tuple[int, ...], bool]:
        proposal = self._proposed(slot, begun)
        if proposal is not None:
            return proposal.token_ids, True
        copied = self._continuing_copy(slot, (slot.path, slot_kind(slot.shape)), begun)
        if copied is not None:
            return copied, True
        return super()._planned(slot, begun, plan)

    def _proposed(self, slot: Slot, begun: tuple[int, ...]) -> Proposal | None:
        """The best proposal that begins like this."""
        for proposal in self._proposals.get((slot.path, slot_kind(slot.shape)), ()):
            if proposal.token_ids[: len(begun)] == begun:
                return proposal
        return None

    def _continuing_copy(
        self, slot: Slot, key: tuple[str, str], begun: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """A proposed span, however improbable, that begins like this; of a later item what was listed."""
        space = " " if slot.leading_space else ""
        raw = self._view.bytes_of(begun)
        text = raw.decode(errors="ignore")
        if len(text.encode()) < len(raw):
            return None
        for option in self._texts(slot.path, key):
            if text.strip() and (space + option).startswith(text):
                return self.written(space + option, begun, text)
            if not text.strip() and key not in self._reads:
                return self.written(space + option, begun, text)
        return None

    def _texts(self, path: str, key: tuple[str, str]) -> Iterator[str]:
        yield from (copy.text for copy in self._copies.get(key, ()))
        array = _array_of(path)
        if array is not None:
            items = self._items.get(f"{array[0]}.0", ())
            if 0 < array[1] < len(items):
                yield items[array[1]]

    def probability_of(self, frontier: CallFrontier, token_id: int) -> float:
        """How sure heads are of a token they propose where the backbone was not asked."""
        slot = frontier.open_slot
        if slot is None:
            return 0.5
        begun = frontier.open_tokens
        proposal = self._proposed(slot, begun)
        if proposal is None:
            return 0.5
        at = len(begun)
        if at < len(proposal.token_ids):
            return proposal.probabilities[at] if proposal.token_ids[at] == token_id else 0.5
        return proposal.end_probability

    def source_of(self, path: str, slot: Slot | None, text: str) -> Source | None:
        """Which head proposed this raw text for a slot; None where it is nobody's."""
        if slot is None:
            return None
        key = (path, slot_kind(slot.shape))
        for proposal in self._proposals.get(key, ()):
            if self._view.bytes_of(proposal.token_ids).decode(errors="replace").strip(" ") == text.strip(" "):
                return proposal.source
        return "copy" if any(option == text.strip(" ") for option in self._texts(path, key)) else None

    # Literals.

    def _literal(self, frontier: CallFrontier, allowed: Allowed) -> int | None:
        node = frontier.literals
        if node is not None and node.children and frontier.is_named and self.has_begun:
            number = self._wanted(frontier.candidates)
            for token_id, child in node.children.items():
                if number is not None and _leads_to(child, number) and is_allowed(token_id, allowed):
                    return token_id
        return super()._literal(frontier, allowed)

    def _wanted(self, candidates: Sequence[Candidate]) -> int | None:
        """The literal to take: the first argument or item that shall be given, else the end."""
        present_from = self._heads.bundle.calibration.present_from
        for number, candidate in enumerate(candidates):
            if candidate.is_end:
                return number
            if candidate.slot is not None and self._is_given(candidate) >= present_from:
                return number
        return None

    def _is_given(self, candidate: Candidate) -> float:
        assert candidate.slot is not None
        frame = candidate.frame
        while frame is not None and frame.count == 1 and frame.parent is not None:
            frame = frame.parent  # what begins with this value: an object, an array, an item of one
        if isinstance(frame, ArrayFrame) and frame.count > 1:
            items = self._items.get(f"{frame.path}.0", ())
            return float(frame.count <= len(items))
        return self._presence.get(_first_item(candidate.slot.path), 1.0)


def made_up_row(size: int, token_id: int, probability: float) -> Row:
    """A row that says one thing: this token, so probable."""
    probability = min(max(probability, _LEAST_PROBABILITY), 1.0 - _LEAST_PROBABILITY)
    row = np.full(size, np.log((1.0 - probability) / max(1, size - 1)), dtype=np.float32)
    row[token_id] = np.log(probability)
    return row


def _sure(token_ids: Sequence[int], probability: float, source: Source) -> Proposal:
    """A value proposed as a whole: its first token carries its probability."""
    rest = (1.0,) * max(0, len(token_ids) - 1)
    return Proposal(
        token_ids=tuple(token_ids),
        probabilities=(probability, *rest)[: len(token_ids)],
        end_probability=1.0 if token_ids else probability,
        source=source,
    )


def _leads_to(node: TokenNode, number: int) -> bool:
    return number in node.ends or any(_leads_to(child, number) for child in node.children.values())


def _first_item(path: str) -> str:
    """The path of the first item of the same arrays."""
    return ".".join("0" if step.isdecimal() else step for step in path.split("."))


def _is_in_array(path: str) -> bool:
    return any(step.isdecimal() for step in path.split("."))


def _array_of(path: str) -> tuple[str, int] | None:
    """The array a value is an item of, and which."""
    array, _, index = path.rpartition(".")
    return (array, int(index)) if array and index.isdecimal() else None
