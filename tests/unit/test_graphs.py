"""The forward of fixed shapes equals the other one, and a recorded forward reads nothing but its buffers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.engine import Engine, StartProgram
from agent_runtime.engine.forward import LeanForward
from agent_runtime.engine.forward_cost import forward_cost
from agent_runtime.engine.graph_setup import GraphOrder, keeps_bits
from agent_runtime.engine.graphs import BucketPlan, GraphedForward, PlainRecorder
from agent_runtime.engine.key_values import KeyValueSlab
from agent_runtime.engine.linear import PlainLinear
from agent_runtime.engine.parts import Layer, Parts
from agent_runtime.engine.scheduler import SchedulerLimits, run_alone
from agent_runtime.engine.slab_pool import SlabPool
from agent_runtime.engine.static_forward import Bucket, StaticForward, finish, project
from agent_runtime.engine.view import BackboneView
from agent_runtime.prompt import PromptFormat
from tests.forward_programs import greedy, wander
from tests.tiny_model import make_tiny_model
from tests.unit.tape_recorder import TapeRecorder
from tests.unit.test_verified_turns import compared, random_shapes, requests_of

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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=12, deadline=None)
@given(readings())
def test_replayed_forward_depends_on_its_buffers_alone(
    forward: LeanForward, reading: tuple[list[int], list[list[Piece]]]
) -> None:
    lengths, forwards = reading
    recorder = TapeRecorder()
    pair = [
        GraphedForward(static_of(forward), PLAN, recorder),
        GraphedForward(static_of(forward), PLAN, PlainRecorder()),
    ]
    seen: list[list[Tensor | None]] = []
    for graphed in pair:
        slabs = [pooled(graphed.pool) for _ in lengths]
        with torch.inference_mode():
            read_beginnings(forward, slabs, lengths)
        ends, scores = list(lengths), []
        for number, pieces in enumerate([*forwards, *forwards, *reversed(forwards)]):
            scores += graphed.read(chunks_of(pieces, slabs, ends, 1000 * number))
            ends = [
                min(170, end + number % 2) for end in ends
            ]  # some positions are read again, some are new: whatever was there before is zeros
        seen.append([*scores, *(slab.data[:, :, :, :end] for slab, end in zip(slabs, lengths, strict=True))])

    assert recorder.num_replayed == 3 * len(forwards) - recorder.num_recorded
    for replayed, plain in zip(*seen, strict=True):
        assert (replayed is None) == (plain is None)
        if replayed is not None and plain is not None:
            assert torch.equal(replayed, plain)


def test_forward_never_waits_for_the_device_or_copies_from_the_host(forward: LeanForward) -> None:
    # On the meta device nothing has a value: whatever asks for one, or for a shape made of one, fails.
    static = meta_static(forward)

    with _OnlyOn("meta") as seen, torch.inference_mode():
        for bucket in PLAN:
            static(bucket)

    assert static.logits.shape == (NUM_ROWS, 512)
    assert seen.num_operations > 100
    assert not seen.names & {"aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.masked_select"}


def test_counted_operations_are_those_that_torch_counts(forward: LeanForward) -> None:
    static = meta_static(forward)
    config = SimpleNamespace(
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
    )

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        static(Bucket(1, NUM_ROWS, 256))

    assert counter.get_total_flops() == forward_cost(config, rows=NUM_ROWS, context=256).operations


class _OnlyOn(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's, as below
    """Holds every tensor of every operation to one device."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self.names: set[str] = set()
        self.num_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.names.add(str(func).rsplit(".", 1)[0])
        self.num_operations += 1
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, Tensor):
                assert leaf.device.type == self._device, f"{func} has a tensor on {leaf.device}"
        return out


def meta_static(forward: LeanForward) -> StaticForward:
    """The same shapes, without a value anywhere."""
    parts = plain_parts(forward, torch.device("meta"))
    shape = replace(forward.key_value_shape, device=torch.device("meta"))
    return StaticForward(
        parts, SlabPool(shape, num_places=5, length=256), num_rows=NUM_ROWS, taps=forward.taps
    )


def plain_parts(forward: LeanForward, device: torch.device) -> Parts:
    """Made-up weights of the same shapes, in the linear layers that a GPU has."""
    parts = forward.parts
    width, heads = parts.embedding.shape[1], parts.num_heads + 2 * parts.num_kv_heads
    inner = width * 11 // 4
    generator = torch.Generator().manual_seed(0)

    def linear(outputs: int, inputs: int) -> PlainLinear:
        weight = torch.randn((outputs, inputs), generator=generator) * 0.1
        return PlainLinear(weight.to(device))

    layers = tuple(
        Layer(
            input_norm=layer.input_norm.to(device),
            query_key_value=linear(heads * parts.head_size, width),
            attention_output=linear(width, parts.num_heads * parts.head_size),
            feed_forward_norm=layer.feed_forward_norm.to(device),
            gate_up=linear(2 * inner, width),
            down=linear(width, inner),
            is_rotary=layer.is_rotary,
        )
        for layer in parts.layers
    )
    rotary = copy.copy(parts.rotary)
    rotary.cosines, rotary.sines = rotary.cosines.to(device), rotary.sines.to(device)
    return replace(
        parts,
        embedding=parts.embedding.to(device),
        norm=parts.norm.to(device),
        head=linear(len(parts.embedding), width),
        layers=layers,
        rotary=rotary,
    )


def test_what_is_compiled_has_no_breaks_and_serves_every_layer_and_bucket(forward: LeanForward) -> None:
    parts = plain_parts(forward, torch.device("cpu"))
    counter = CompileCounter()
    options: dict[str, Any] = {"fullgraph": True, "dynamic": False, "backend": counter}
    compiled_project: Any = torch.compile(project, **options)
    compiled_finish: Any = torch.compile(finish, **options)
    hidden = torch.randn((NUM_ROWS, parts.embedding.shape[1]))
    positions = torch.arange(NUM_ROWS)
    rotation = parts.rotary.cosines[positions], parts.rotary.sines[positions]

    with torch.inference_mode():
        for layer in [*parts.layers, *parts.layers]:
            queries, keys, values = compiled_project(parts, layer, hidden, *rotation)
            for found, wanted in zip(
                (queries, keys, values), project(parts, layer, hidden, *rotation), strict=True
            ):
                torch.testing.assert_close(found, wanted)
            read = queries.reshape(NUM_ROWS, -1).clone(memory_format=torch.contiguous_format)
            torch.testing.assert_close(
                compiled_finish(parts, layer, hidden, read), finish(parts, layer, hidden, read)
            )

    assert counter.frame_count == 3  # with and without rotation, and what follows attention


class FailingRecorder:
    """Records so many shapes and then no more."""

    def __init__(self, num_good: int) -> None:
        self._num_left = num_good

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        if not self._num_left:
            raise RuntimeError("capture is not possible: a stream is busy")
        self._num_left -= 1
        return PlainRecorder().record(function)


def test_shapes_that_cannot_be_recorded_run_without_and_the_log_says_so_once(
    forward: LeanForward, caplog: pytest.LogCaptureFixture
) -> None:
    graphed = GraphedForward(static_of(forward), PLAN, FailingRecorder(1))
    plain = GraphedForward(static_of(forward), PLAN, PlainRecorder())
    slabs = [(pooled(graphed.pool), pooled(plain.pool)) for _ in range(3)]

    for at, number in [(0, 0), (3, 1), (6, 2), (70, 0), (70, 1), (150, 2)]:
        for ours, theirs in [slabs[number]]:
            (found,) = graphed.read([Chunk(ours, [1, 2, 3], at, 3)])
            (wanted,) = plain.read([Chunk(theirs, [1, 2, 3], at, 3)])
            assert found is not None and wanted is not None
            assert torch.equal(found, wanted)

    assert len(graphed.buckets) > 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert "cuda_graphs is off" in line
    assert "a stream is busy" in line


def test_compiler_is_given_up_before_graphs_and_the_log_says_both(
    forward: LeanForward, caplog: pytest.LogCaptureFixture
) -> None:
    static, plain = static_of(forward), GraphedForward(static_of(forward), PLAN, PlainRecorder())
    static.compile()
    graphed = GraphedForward(static, PLAN, FailingRecorder(0))

    (found,) = graphed.read([Chunk(pooled(graphed.pool), [1, 2, 3], 0, 3)])

    (wanted,) = plain.read([Chunk(pooled(plain.pool), [1, 2, 3], 0, 3)])
    assert found is not None and wanted is not None
    assert torch.equal(found, wanted)
    assert not graphed.is_compiled
    compiling, recording = [record.getMessage() for record in caplog.records]
    assert "compile is off" in compiling
    assert "cuda_graphs is off" in recording


@given(
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=4),
    max_batch=st.integers(1, 40),
    max_length=st.integers(64, 4096),
    num_rows=st.integers(8, 256),
    data=st.data(),
)
def test_the_smallest_bucket_that_holds_a_forward_is_chosen(
    batches: list[int],
    lengths: list[int],
    max_batch: int,
    max_length: int,
    num_rows: int,
    data: st.DataObject,
) -> None:
    plan = BucketPlan.fitted(
        num_rows=num_rows, batches=batches, lengths=lengths, max_batch=max_batch, max_length=max_length
    )
    batch = data.draw(st.integers(1, max_batch))
    tokens = data.draw(st.integers(1, num_rows))
    length = data.draw(st.integers(1, plan.lengths[-1]))

    chosen = plan.choose(batch=batch, tokens=tokens, length=length)

    fitting = [
        bucket
        for bucket in plan
        if bucket.batch >= batch and bucket.tokens >= tokens and bucket.length >= length
    ]
    assert chosen in fitting
    assert chosen.length == min(bucket.length for bucket in fitting)
    assert chosen.batch == min(bucket.batch for bucket in fitting)
    assert chosen.tokens == min(bucket.tokens for bucket in fitting if bucket.batch == chosen.batch)
    assert plan.batches[-1] == max_batch
    assert all(length % 64 == 0 for length in plan.lengths)


def test_conversation_moves_to_the_front_when_that_makes_the_forward_smaller(forward: LeanForward) -> None:
    graphed = GraphedForward(static_of(forward), PLAN, PlainRecorder())
    slabs = [pooled(graphed.pool) for _ in range(4)]
    last = slabs[-1]
    with torch.inference_mode():
        read_beginnings(forward, [last], [40])
    (before,) = graphed.read([Chunk(last, [7], 40, 1)])
    del slabs[:3]

    (after,) = graphed.read([Chunk(last, [7], 40, 1)])

    assert before is not None and after is not None
    assert_same_scores(after, before)
    assert [bucket.batch for bucket in graphed.buckets] == [5, 1]
    assert graphed.pool.place_of(last) == 0


def test_place_of_a_conversation_that_ended_is_free_and_holds_nothing_of_it(forward: LeanForward) -> None:
    pool = static_of(forward).pool
    slab = pooled(pool)
    slab.data.fill_(float("nan"))

    del slab

    assert pool.num_free == 5
    assert not pooled(pool).data.isnan().any()


def test_conversation_that_outgrows_its_place_leaves_the_pool_with_what_it_has(forward: LeanForward) -> None:
    shape = forward.key_value_shape
    graphed = GraphedForward(
        StaticForward(forward.parts, SlabPool(shape, num_places=1, length=128), num_rows=NUM_ROWS, taps=TAPS),
        replace(PLAN, batches=(1,), lengths=(64, 128)),
        PlainRecorder(),
    )
    slab = graphed.pool.new_slab(100)
    assert slab is not None
    with torch.inference_mode():
        read_beginnings(forward, [slab], [100])
    before = slab.copy_out(0, 100)

    slab.reserve(140, keep=100)

    after = slab.copy_out(0, 100)
    assert torch.equal(after.key_values, before.key_values)
    assert torch.equal(after.states, before.states)  # type: ignore[arg-type]
    assert not graphed.takes(Chunk(slab, [1], 100, 1))
    assert graphed.pool.num_free == 1
    assert graphed.pool.new_slab(200) is None


def test_pool_without_a_free_place_gives_none(forward: LeanForward) -> None:
    pool = SlabPool(forward.key_value_shape, num_places=1, length=128)
    taken = pool.new_slab(64)

    assert taken is not None
    assert pool.new_slab(64) is None


def test_branches_may_go_on_from_before_the_end(forward: LeanForward) -> None:
    static = static_of(forward)
    graphed = GraphedForward(static, PLAN, PlainRecorder())
    slab, other = pooled(static.pool), KeyValueSlab(forward.key_value_shape, 256)
    with torch.inference_mode():
        for each in (slab, other):
            read_beginnings(forward, [each], [90])
        asked = Chunk(slab, [1, 2, 3, 4, 5], 90, 2, branch_sizes=(3, 2), hidden=(80, 90), states_at=95)
        piece = Chunk(slab, [6, 7, 8], 93, 3, hidden=(70, 90))
        for chunk in (asked, piece):
            (found,) = graphed.read([chunk])
            (wanted,) = expected(forward, [replace(chunk, slab=other)])
            assert found is not None
            assert_same_scores(found, wanted)
    assert slab.states is not None and other.states is not None
    torch.testing.assert_close(slab.states[:, 95:98], other.states[:, 95:98], atol=1e-4, rtol=1e-4)


def test_rows_whose_bits_depend_on_their_place_are_found(forward: LeanForward) -> None:
    static = static_of(forward)

    def by_place(rows: Tensor) -> Tensor:
        return rows * torch.arange(len(rows)).unsqueeze(1)

    assert keeps_bits(static, PLAN, forward.try_rows)
    assert not keeps_bits(static, PLAN, by_place)
    assert static.pool.num_free == 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "model", spread=0.2)


ORDER = GraphOrder(record=True, rows=16, batches=(1, 2), lengths=(1024,), max_batch=6)


async def test_answers_are_the_same_alone_in_a_crowd_and_from_the_cache(folder: Path) -> None:
    backbone = Backbone.load(folder, max_seq_len=1024, graphs=ORDER)
    shared = token_ids(5, 130)

    def wandering(seed: int) -> StartProgram[Any]:
        return lambda _backbone, _emit: wander(seed, 512, shared_prompt=shared if seed % 2 else ())

    limits = SchedulerLimits(max_batch=6, max_queue=100, prefix_cache_tokens=4096)
    async with Engine(lambda: backbone, limits) as engine:
        crowd = await asyncio.gather(*(engine.run(wandering(seed)) for seed in range(12)))
        again = await asyncio.gather(*(engine.run(wandering(seed)) for seed in reversed(range(12))))

    alone = [
        run_alone(backbone, wander(seed, 512, shared_prompt=shared if seed % 2 else ())) for seed in range(12)
    ]
    assert crowd == alone
    assert again == alone[::-1]
    assert backbone.graphs is not None
    assert backbone.graphs.pool.num_free == 6


def test_greedy_text_is_that_of_a_backbone_without_graphs(folder: Path) -> None:
    plain = Backbone.load(folder, max_seq_len=400)
    graphed = Backbone.load(folder, max_seq_len=400, graphs=ORDER)

    for seed in range(4):
        prompt = token_ids(seed, 60 + 90 * seed)
        assert run_alone(graphed, greedy(prompt, 24)) == run_alone(plain, greedy(prompt, 24))


def test_backbone_cuts_exact_forwards_as_wide_as_its_graphs(folder: Path) -> None:
    rule = Backbone.load(folder, max_seq_len=400, graphs=ORDER).batch_rule

    assert rule.padded_rows == 16
    assert [rule.with_padding(count) for count in (1, 16, 17)] == [16, 16, 17]


async def test_verified_turns_through_graphs_are_the_autoregressive_ones(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, spread=0.2, seed=1)
    order = replace(ORDER, rows=32, max_batch=5)
    backbone = Backbone.load(folder, dtype="bfloat16", max_seq_len=1024, graphs=order)
    view = BackboneView.from_tokenizer(
        backbone.tokenizer, PromptFormat.compact(), vocab_size=backbone.vocab_size
    )

    seen = await compared(backbone, requests_of(view, random_shapes(4, 1), 1), view)

    assert seen.num_calls >= 1
    assert seen.verified_forwards <= seen.forwards
