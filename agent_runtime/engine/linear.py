"""Linear layers as plain callables: packed for the CPU, plain, or a module of someone else's.

A transformer forward of a small model on a CPU is mostly matrix products over few rows. oneDNN's packed
kernels beat `F.linear` there by 1.2 to 4 times, and give every row the same bits whatever rows stand
beside it, so turns can share a forward without changing each other's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Linear = Callable[[Tensor], Tensor]
"""Maps (rows, inputs) to (rows, outputs)."""

# A vocabulary may have far more outputs, and a second one would not fit beside it.
_MOST_TOUCHY_OUTPUTS = 16384


class PlainLinear:
    """`x @ weight.T + bias`, as torch does it."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = weight
        self._bias = bias
        self.shape, self.dtype, self.device = weight.shape, weight.dtype, weight.device

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply it to (rows, inputs)."""
        return functional.linear(rows, self._weight, self._bias)


class PackedLinear:
    """The same, with the weight laid out once in the order oneDNN's kernels read it."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        self._bias = bias
        self.shape, self.dtype, self.device = weight.shape, weight.dtype, weight.device
        self._apply = torch.ops.mkldnn._linear_pointwise.default

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply it to (rows, inputs)."""
        return self._apply(rows, self._packed, self._bias, "none", [], "")  # type: ignore[no-any-return]


class JoinedLinear:
    """Several modules that read the same rows (quantised or adapted ones, which cannot be fused)."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = tuple(modules)

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply all and put their outputs side by side."""
        if len(self._modules) == 1:
            return self._modules[0](rows)  # type: ignore[no-any-return]
        return torch.cat([module(rows) for module in self._modules], dim=-1)


def touchy_like(linear: Linear) -> Linear | None:
    """One of the same kind and shape that shows in which order it sums; None for someone else's modules.

    Kernels are chosen by shape, not by value. Half of its weights are the other half with the opposite sign,
    so its sums cancel: all that is left of them is what rounding did, which follows from the order alone.
    With usual weights a result in bfloat16 hides all but one in a million such differences.
    """
    if not isinstance(linear, PlainLinear | PackedLinear):
        return None
    num_outputs, num_inputs = min(linear.shape[0], _MOST_TOUCHY_OUTPUTS), linear.shape[1]
    half = num_inputs // 2
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(half, generator=generator)
    weight = torch.zeros((num_outputs, num_inputs))
    weight[:, :half] = torch.randn((num_outputs, half), generator=generator)
    weight[:, half : 2 * half] = -weight[:, shuffled]
    inner = make_linear([weight.to(device=linear.device, dtype=linear.dtype)])
    columns = torch.cat((torch.arange(half), shuffled, torch.zeros(num_inputs - 2 * half, dtype=torch.long)))
    columns = columns.to(linear.device)

    def apply(rows: Tensor) -> Tensor:
        repeated = rows.repeat(1, -(-half // rows.shape[1]))
        return inner(repeated[:, columns])

    return apply


def make_linear(weights: Sequence[Tensor], biases: Sequence[Tensor | None] = ()) -> Linear:
    """One linear out of several that read the same rows, packed where this machine has the kernels."""
    weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
    present = [bias for bias in biases if bias is not None]
    bias = torch.cat(present) if present else None
    if can_pack(weight):
        return PackedLinear(weight, bias)
    return PlainLinear(weight, bias)


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN's packed kernels exist for this weight's device and dtype.

    They are private to torch (its compiler emits them), so their absence is a case, not a fault.
    """
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if weight.dtype == torch.float32:
        return True
    return weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
