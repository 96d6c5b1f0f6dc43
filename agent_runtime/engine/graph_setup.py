"""Whether and how a backbone records short reads as graphs: what a deployment asks, what a device allows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..errors import ConfigError
from .chunks import Chunk
from .forward import LeanForward
from .graphs import BucketPlan, CudaRecorder, GraphedForward, PlainRecorder, Recorder
from .same_rows import is_same_at_any_place
from .slab_pool import SlabPool
from .static_forward import StaticForward

if TYPE_CHECKING:
    from ..config import DeploymentConfig

log = logging.getLogger(__name__)

# The rest of a device's memory is for prompts, the prefix cache and what forwards need meanwhile.
_MOST_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOrder:
    """What is asked of `open_graphs`.

    Attributes:
        record: `auto` leaves it to the device; False has the static forward run without being recorded.
        compile: whether torch's compiler fuses what stands between attentions.
        rows: of every forward.
        batches: numbers of conversations.
        lengths: numbers of positions.
        max_batch: conversations there can be.
    """

    record: bool | Literal["auto"] = "auto"
    compile: bool = False
    rows: int = 64
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    lengths: tuple[int, ...] = (1024, 2048, 4096)
    max_batch: int = 8


def graphs_of(deployment: DeploymentConfig) -> GraphOrder | None:
    """The part of a resolved deployment that says how short reads are computed; None: as prompts are."""
    if deployment.cuda_graphs is False and not deployment.compile:
        return None
    return GraphOrder(
        record=deployment.cuda_graphs,
        compile=deployment.compile,
        rows=deployment.graph_buckets.rows,
        batches=deployment.graph_buckets.batches,
        lengths=deployment.graph_buckets.lengths,
        max_batch=deployment.max_batch,
    )


def open_graphs(
    forward: LeanForward, order: GraphOrder, *, recorder: Recorder | None = None
) -> GraphedForward | None:
    """The recorded forward of a backbone; None, with a line in the log, where `auto` finds it does not suit.

    Args:
        forward: gives the parts.
        order: what is asked.
        recorder: how shapes are recorded; as the device can when left out.

    Raises:
        ConfigError: graphs are asked for by name and there is no memory for their conversations.
    """
    shape = forward.key_value_shape
    plan = BucketPlan.fitted(
        num_rows=order.rows,
        batches=order.batches,
        lengths=order.lengths,
        max_batch=order.max_batch,
        max_length=shape.max_length,
    )
    num_bytes = SlabPool.num_bytes(shape, num_places=order.max_batch, length=plan.lengths[-1])
    if order.record == "auto" and num_bytes > _MOST_OF_FREE_MEMORY * _free_bytes(shape.device):
        log.warning("cuda_graphs is off: %s", _too_large(num_bytes, order, plan))
        return None
    try:
        pool = SlabPool(shape, num_places=order.max_batch, length=plan.lengths[-1])
        static = StaticForward(forward.parts, pool, num_rows=order.rows, taps=forward.taps)
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"cuda_graphs: {_too_large(num_bytes, order, plan)}") from error
    if not keeps_bits(static, plan, forward.try_rows):
        reason = "kernels of this device give a token other last bits in other company or shapes"
        if order.record == "auto":
            log.warning("cuda_graphs is off: %s; cuda_graphs=True uses them all the same", reason)
            return None
        log.warning("%s, so an answer may depend on what else is computed", reason)
    if order.compile:
        static.compile()
    if recorder is None:
        is_recorded = order.record is not False and shape.device.type == "cuda"
        recorder = CudaRecorder(shape.device) if is_recorded else PlainRecorder()
    return GraphedForward(static, plan, recorder)


def keeps_bits(static: StaticForward, plan: BucketPlan, try_rows: Callable[[Tensor], Tensor]) -> bool:
    """Whether a row comes out the same in every shape of the plan, at any place, beside any others.

    Args:
        static: its first layer's attention is tried.
        plan: the shapes.
        try_rows: everything else, row by row.
    """
    device, dtype = static.logits.device, static.logits.dtype
    generator = torch.Generator().manual_seed(0)

    def made_up(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device=device, dtype=dtype)

    with torch.inference_mode(), static.fixed_kernels():
        if not is_same_at_any_place(try_rows, made_up(plan.num_rows, static.hidden_size)):
            return False
        shortest = plan.lengths[0]
        most = min(plan.num_rows, shortest)
        slab = static.pool.new_slab(shortest)
        assert slab is not None
        slab.data[0].copy_(made_up(*slab.data[0].shape))
        queries = made_up(most, *static.query_shape)
        first = plan.choose(batch=1, tokens=most, length=shortest)
        together = static.try_attention(Chunk(slab, range(most), shortest - most, 0), first, queries)
        for bucket in plan:
            count = min(bucket.tokens, most)
            for start in {0, (7 * count) % (most - count + 1)}:
                few = slice(start, start + count)
                chunk = Chunk(slab, range(count), shortest - most + start, 0)
                if not torch.equal(static.try_attention(chunk, bucket, queries[few]), together[few]):
                    return False
    return True


def _free_bytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def _too_large(num_bytes: int, order: GraphOrder, plan: BucketPlan) -> str:
    return (
        f"{order.max_batch} conversations of {plan.lengths[-1]} tokens take {num_bytes / 2**30:.1f} GiB; "
        "lower max_batch or the last of graph_buckets.lengths"
    )
