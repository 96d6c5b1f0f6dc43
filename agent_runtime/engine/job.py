"""One turn in the scheduler's hands: its program, its sequence, and the forward it waits for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ..errors import PromptTooLongError
from .batching import BatchRule, BranchPart, cut_at_blocks, cut_to_size, part_branches
from .chunks import Chunk
from .program import Forward, Program, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .sequence import BackboneSequence, KeyValueCache

log = logging.getLogger(__name__)


class Reader(Protocol):
    """The part of a `Backbone` that scheduling needs."""

    batch_rule: BatchRule
    max_positions: int
    taps: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """Columns of the logits."""
        ...

    def new_cache(self, max_tokens: int) -> KeyValueCache:
        """A prefix cache."""
        ...

    def new_sequence(self, cache: KeyValueCache) -> BackboneSequence:
        """An empty sequence."""
        ...

    def read(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """One forward."""
        ...


class Job:
    """A turn from submission to its outcome.

    Made by any thread and cancelled by any; everything else happens on the worker thread.

    Args:
        start: makes the program; called with the reader when the turn gets a place.
        on_done: called once with (outcome, error) unless the job was cancelled before.
        deadline_at: on the scheduler's clock; None is never.
        deadline_s: what the caller asked for, for the error's message.
    """

    def __init__(
        self,
        start: Callable[[Any], Program[Any]],
        on_done: Callable[[Any, BaseException | None], None],
        *,
        deadline_at: float | None = None,
        deadline_s: float | None = None,
    ) -> None:
        self._start = start
        self._on_done = on_done
        self.deadline_at = deadline_at
        self.deadline_s = deadline_s
        self.is_cancelled = False
        self.is_done = False
        self.error: BaseException | None = None
        self._outcome: Any = None
        self._program: Program[Any] | None = None
        self._sequence: BackboneSequence | None = None
        self._reader: Reader | None = None
        self._forward: Forward | None = None
        self._num_done = 0
        self._num_cached = 0
        self._parts: list[Tensor] = []
        self._branch_parts: deque[BranchPart] = deque()  # still to be read
        self._branch_logits: list[list[Tensor]] = []

    @property
    def num_held_tokens(self) -> int:
        """Positions it has key/value memory for."""
        return 0 if self._sequence is None else self._sequence.num_reserved

    def begin(self, reader: Reader, cache: KeyValueCache) -> None:
        """Start the program and run it up to its first forward."""
        self._reader = reader
        self._sequence = reader.new_sequence(cache)
        try:
            self._program = self._start(reader)
        except Exception as error:  # a program may raise anything; it is its caller's
            self.finish(None, error)
            return
        self._resume(None)

    def copy_cached(self) -> int:
        """Take from the cache what it holds of the waiting forward; the tokens taken.

        The rows whose logits are wanted are always computed.
        """
        forward, sequence = self._forward, self._sequence
        assert forward is not None and sequence is not None
        stop = len(forward.token_ids) - forward.num_logits
        copied = sequence.copy_cached(forward.token_ids[self._num_done : stop])
        self._num_done += copied
        self._num_cached += copied
        return copied

    @property
    def _num_plain(self) -> int:
        """Tokens of the waiting forward before those that are read exactly."""
        assert self._forward is not None
        num_tokens = len(self._forward.token_ids)
        return 0 if self._forward.is_exact else num_tokens - self._forward.num_exact

    def is_read(self) -> bool:
        """Whether the waiting forward needs no more computing."""
        forward = self._forward
        return forward is not None and self._num_done >= len(forward.token_ids) and not self._branch_parts

    def chunk_sizes(self) -> tuple[int, ...]:
        """Sizes of the chunks its waiting forward still needs."""
        assert self._forward is not None and self._reader is not None
        forward, rule = self._forward, self._reader.batch_rule
        num_plain, num_exact = self._num_plain, len(forward.token_ids) - self._num_plain
        sizes = cut_at_blocks(forward.at, num_plain, min(self._num_done, num_plain), rule.block_tokens)
        num_done = max(0, self._num_done - num_plain)
        if rule.padded_rows is not None:
            sizes += cut_to_size(num_exact - num_done, max(1, rule.padded_rows))
        else:
            sizes += cut_at_blocks(forward.at + num_plain, num_exact, num_done, rule.block_tokens)
        return (*sizes, *(part.num_tokens for part in self._branch_parts))

    def block_name(self) -> tuple[int, tuple[int, ...]] | None:
        """Names the shareable block it reads next, if any: two jobs need not compute the same one."""
        assert self._forward is not None and self._sequence is not None
        stop = len(self._forward.token_ids) - self._forward.num_logits
        return self._sequence.next_block(self._forward.token_ids[self._num_done : stop])

    def chunks(self, sizes: Sequence[int]) -> list[Chunk]:
        """The next chunks of its waiting forward."""
        forward, sequence = self._forward, self._sequence
        assert forward is not None and sequence is not None
        num_tokens = len(forward.token_ids)
        wanted_from = num_tokens - forward.num_logits
        branch_parts = iter(self._branch_parts)
        made, start = [], self._num_done
        for size in sizes:
            if start == num_tokens:
                made.append(self._branch_chunk(next(branch_parts)))
                continue
            stop = start + size
            num_wanted = min(size, max(0, stop - wanted_from))
            made.append(
                Chunk(
                    sequence.slab,
                    forward.token_ids[start:stop],
                    forward.at + start,
                    num_wanted,
                    is_exact=start >= self._num_plain,
                )
            )
            start = stop
        return made

    def note_read(self, chunks: Sequence[Chunk], logits: Sequence[Tensor | None]) -> None:
        """Record what a forward computed for it."""
        assert self._sequence is not None and self._forward is not None
        for chunk, rows in zip(chunks, logits, strict=True):
            if self._num_done == len(self._forward.token_ids):
                self._note_branches(self._branch_parts.popleft(), rows)
                continue
            if chunk.is_exact:
                self._sequence.stop_sharing()
            self._sequence.note_read(chunk.token_ids)
            self._num_done += len(chunk.token_ids)
            if rows is not None:
                self._parts.append(rows)

    def deliver(self) -> None:
        """Send the program what it asked for, and run it up to its next forward or its end."""
        forward, sequence = self._forward, self._sequence
        assert forward is not None and sequence is not None
        end = sequence.length
        has_taps = self._reader is not None and bool(self._reader.taps)
        states, branch_states = None, []
        if forward.num_states:
            states = sequence.slab.states_of(end - forward.num_states, end)
        if has_taps:
            start = end
            for branch in forward.branches:
                branch_states.append(sequence.slab.states_of(start, start + len(branch)))
                start += len(branch)
        reading = Reading(
            logits=self._joined(self._parts),
            cached_tokens=self._num_cached,
            states=states,
            branch_logits=tuple(map(self._joined, self._branch_logits)),
            branch_states=tuple(branch_states),
        )
        self._forward, self._parts, self._branch_logits = None, [], []
        self._resume(reading)

    def finish(self, outcome: Any, error: BaseException | None) -> None:
        """End it and free its memory; its caller hears of it by `tell`."""
        self.is_done = True
        self.error = error
        self._outcome = outcome
        self._close_program()
        self._sequence = self._forward = None
        self._parts, self._branch_logits = [], []

    def tell(self) -> None:
        """Tell its caller how it ended, unless that one went away."""
        if not self.is_cancelled:
            self._on_done(self._outcome, self.error)

    def _resume(self, reading: Reading | None) -> None:
        program = self._program
        assert program is not None
        try:
            forward = next(program) if reading is None else program.send(reading)
            while (error := self._fault_of(forward)) is not None:
                forward = program.throw(error)
        except StopIteration as stop:
            self._program = None
            self.finish(stop.value, None)
        except Exception as error:  # a program may raise anything; it is its caller's
            self._program = None
            self.finish(None, error)
        else:
            self._begin_forward(forward)

    def _begin_forward(self, forward: Forward) -> None:
        assert self._sequence is not None
        self._sequence.step_back(forward.at)
        if forward.is_exact:
            self._sequence.stop_sharing()
        end, sizes = forward.at + len(forward.token_ids), [len(branch) for branch in forward.branches]
        self._sequence.reserve(end + sum(sizes))
        self._forward = forward
        self._branch_parts.clear()
        self._branch_logits = [[] for _ in sizes]
        if sizes:
            assert self._reader is not None
            self._branch_parts.extend(part_branches(sizes, end, self._reader.batch_rule.block_tokens))
        self._num_done = self._num_cached = 0

    def _fault_of(self, forward: Forward) -> Exception | None:
        """What is wrong with a forward, as the error its program gets; bad input never reaches torch."""
        assert self._reader is not None and self._sequence is not None
        num_tokens, end = len(forward.token_ids), forward.at + len(forward.token_ids)
        longest = max((len(branch) for branch in forward.branches), default=0)
        if end + longest > self._reader.max_positions:
            return PromptTooLongError(prompt_tokens=end + longest, max_tokens=self._reader.max_positions)
        is_empty = not num_tokens and not (end and (forward.branches or forward.num_states))
        if is_empty or not 0 <= forward.num_logits <= num_tokens:
            return ValueError(
                f"a forward of {num_tokens} tokens cannot give {forward.num_logits} rows of logits"
            )
        if not 0 <= forward.at <= self._sequence.length:
            return ValueError(
                f"cannot read at {forward.at}: {self._sequence.length} positions are read so far"
            )
        if forward.branches_behind is not None and not 0 < forward.branches_behind <= end:
            return ValueError(f"branches cannot stand behind {forward.branches_behind} of {end} tokens")
        if not 0 <= forward.num_exact <= forward.num_logits:
            return ValueError(
                f"{forward.num_exact} tokens read exactly, of which {forward.num_logits} rows are wanted: "
                "the row behind every such token is"
            )
        if not all(forward.branches) or forward.num_branch_logits < 0:
            return ValueError("a branch has no tokens, or fewer than no rows of logits are wanted of it")
        if not 0 <= forward.num_states <= (end if self._reader.taps else 0):
            return ValueError(
                f"cannot give {forward.num_states} states: {end} positions are read, and the backbone was "
                f"loaded with taps={self._reader.taps}"
            )
        ids = [forward.token_ids, *forward.branches]
        if any(min(some) < 0 or max(some) >= self._reader.vocab_size for some in ids if some):
            return ValueError(f"a forward holds a token id outside 0..{self._reader.vocab_size - 1}")
        return None

    def _branch_chunk(self, part: BranchPart) -> Chunk:
        forward, sequence = self._forward, self._sequence
        assert forward is not None and sequence is not None
        end = forward.at + len(forward.token_ids)
        branches = forward.branches[part.first : part.first + len(part.sizes)]
        states_at = end + part.rows_before
        behind = end if forward.branches_behind is None else forward.branches_behind
        hidden = (behind, end) if behind < end else None
        if len(branches) > 1:
            token_ids = [token for branch in branches for token in branch]
            return Chunk(
                sequence.slab,
                token_ids,
                end,
                forward.num_branch_logits,
                branch_sizes=part.sizes,
                states_at=states_at,
                hidden=hidden,
            )
        stop = part.start + part.num_tokens
        num_wanted = max(0, stop - max(part.start, len(branches[0]) - forward.num_branch_logits))
        token_ids = list(branches[0][part.start : stop])
        return Chunk(
            sequence.slab, token_ids, end + part.start, num_wanted, states_at=states_at, hidden=hidden
        )

    def _note_branches(self, part: BranchPart, rows: Tensor | None) -> None:
        if rows is None:
            return
        assert self._forward is not None
        if len(part.sizes) == 1:
            self._branch_logits[part.first].append(rows)
            return
        counts = [min(size, self._forward.num_branch_logits) for size in part.sizes]
        for number, of_branch in enumerate(torch.split(rows, counts)):
            self._branch_logits[part.first + number].append(of_branch)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            assert self._reader is not None
            return torch.empty((0, self._reader.vocab_size))
        return torch.cat(tuple(parts))

    def _close_program(self) -> None:
        program, self._program = self._program, None
        if program is None:
            return
        try:
            program.close()
        except Exception:  # its caller is gone or has its error already
            log.exception("a turn's program failed while it was being closed")
