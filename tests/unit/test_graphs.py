"""The forward of fixed shapes equals the other one, and a recorded forward reads nothing but its buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.forward import LeanForward
from agent_runtime.engine.graphs import BucketPlan, GraphedForward, PlainRecorder
from agent_runtime.engine.key_values import KeyValueSlab
from agent_runtime.engine.slab_pool import SlabPool
from agent_runtime.engine.static_forward import StaticForward
from tests.tiny_model import make_tiny_model

TAPS = (0, 2, 4)
NUM_ROWS = 16
PLAN = BucketPlan(num_rows=NUM_ROWS, batches=(1, 2, 5), lengths=(64, 128, 256))


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> LeanForward:
    folder = make_tiny_model(tmp_path_factory.mktemp("model") / "model", spread=0.2)
    return Backbone.load(folder, taps=TAPS, max_seq_len=256)._forward


def static_of(forward: LeanForward) -> StaticForward:
    pool = SlabPool(forward.key_value_shape, num_places=5, length=256)
    return StaticForward(forward.parts, pool, num_rows=NUM_ROWS, taps=TAPS)


def pooled(pool: SlabPool) -> KeyValueSlab:
    slab = pool.new_slab(200)
    assert slab is not None
    return slab


@dataclass(frozen=True)
class Piece:
    """A chunk, before there is a slab."""

    conversation: int
    sizes: tuple[int, ...]
    is_branched: bool
    num_wanted: int


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[int], list[list[Piece]]]:
    """How much of each conversation is read before, and what several forwards then read."""
    lengths = draw(st.lists(st.integers(0, 150), min_size=1, max_size=5))
    forwards: list[list[Piece]] = []
    for _ in range(draw(st.integers(1, 3))):
        left = NUM_ROWS
        pieces: list[Piece] = []
        for conversation in draw(st.permutations(range(len(lengths)))):
            if left == 0 or draw(st.booleans()) and pieces:
                continue
            total = draw(st.integers(1, left))
            is_branched = lengths[conversation] > 0 and draw(st.booleans())
            first = draw(st.integers(1, total)) if is_branched else total
            sizes = (first, total - first) if first < total else (total,)
            pieces.append(Piece(conversation, sizes, is_branched, draw(st.integers(0, total))))
            left -= total
        forwards.append(pieces)
    return lengths, forwards


def token_ids(seed: int, count: int) -> list[int]:
    return torch.randint(500, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def read_beginnings(forward: LeanForward, slabs: Sequence[KeyValueSlab], lengths: Sequence[int]) -> None:
    for number, (slab, length) in enumerate(zip(slabs, lengths, strict=True)):
        if length:
            forward([Chunk(slab, token_ids(number, length), 0, 0)])


def chunks_of(
    pieces: Sequence[Piece], slabs: Sequence[KeyValueSlab], ends: Sequence[int], seed: int
) -> list[Chunk]:
    return [
        Chunk(
            slabs[piece.conversation],
            token_ids(seed + piece.conversation, sum(piece.sizes)),
            ends[piece.conversation],
            piece.num_wanted,
            branch_sizes=piece.sizes if piece.is_branched else (),
        )
        for piece in pieces
    ]


def expected(forward: LeanForward, chunks: Sequence[Chunk]) -> list[Tensor]:
    hidden = forward(chunks)
    logits = forward.logits(hidden) if len(hidden) else torch.empty((0, 512))
    return list(torch.split(logits, [chunk.num_rows for chunk in chunks]))


def assert_same_scores(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)
    best = wanted.topk(2, -1).values
    is_clear = best[:, 0] - best[:, 1] > 1e-3
    assert torch.equal(found.argmax(-1)[is_clear], wanted.argmax(-1)[is_clear])


@settings(max_examples=60, deadline=None)
@given(readings())
def test_static_forward_reads_what_the_other_reads(
    forward: LeanForward, reading: tuple[list[int], list[list[Piece]]]
) -> None:
    lengths, forwards = reading
    static = static_of(forward)
    graphed = GraphedForward(static, PLAN, PlainRecorder())
    with torch.inference_mode():
        ours = [pooled(static.pool) for _ in lengths]
        theirs = [KeyValueSlab(forward.key_value_shape, 256) for _ in lengths]
        ends = list(lengths)
        read_beginnings(forward, ours, lengths)
        read_beginnings(forward, theirs, lengths)
        for number, pieces in enumerate(forwards):
            seed = 1000 * number
            scores = graphed.read(chunks_of(pieces, ours, ends, seed))
            wanted = expected(forward, chunks_of(pieces, theirs, ends, seed))
            for found, right in zip(scores, wanted, strict=True):
                assert (found is None) == (not len(right))
                if found is not None:
                    assert_same_scores(found, right)
            for piece in pieces:
                if not piece.is_branched:
                    ends[piece.conversation] += sum(piece.sizes)
        for mine, other, end in zip(ours, theirs, ends, strict=True):
            torch.testing.assert_close(
                mine.data[:, :, :, :end], other.data[:, :, :, :end], atol=1e-4, rtol=1e-4
            )
            assert mine.states is not None and other.states is not None
            torch.testing.assert_close(mine.states[:, :end], other.states[:, :end], atol=1e-4, rtol=1e-4)
