"""A recorder that keeps to the rules of CUDA graphs on any device: addresses and numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's, as below
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, out))
        return out


class TapeRecorder:
    """Replays operation by operation, from and to the tensors that were there when it was recorded.

    Whatever an operation made is filled with NaN first (or with a far too large number), so a replay that
    rests on anything but what it reads anew comes out wrong. Python's numbers are those of the recording.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.num_recorded = 0
        self.num_replayed = 0

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        tape = _Tape()
        with tape:
            function()
        self.num_recorded += 1
        self.names |= {str(func) for func, *_ in tape.operations}

        def replay() -> None:
            self.num_replayed += 1
            with torch.inference_mode():
                for _func, args, _kwargs, out in tape.operations:
                    for made in _made(args, out):
                        _poison(made)
                for func, args, kwargs, out in tape.operations:
                    again = func(*args, **kwargs)
                    for old, new in zip(_tensors(out), _tensors(again), strict=True):
                        if _address(old) != _address(new):
                            old.copy_(new)

        return replay


def _made(args: Any, out: Any) -> list[Tensor]:
    """What an operation put into memory of its own."""
    given = {_address(tensor) for tensor in _tensors(args)}
    return [tensor for tensor in _tensors(out) if _address(tensor) not in given]


def _poison(tensor: Tensor) -> None:
    if tensor.dtype.is_floating_point:
        tensor.fill_(float("nan"))
    elif tensor.dtype == torch.bool:
        tensor.logical_not_()
    else:
        tensor.fill_(0)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    # Packed weights have no storage that can be seen.
    return id(tensor) if tensor.is_mkldnn else tensor.untyped_storage().data_ptr()
