"""What this machine can do, as torch sees it. What a deployment makes of it is `config.resolve`."""

from __future__ import annotations

import importlib.util

import torch

from ..config import Capabilities


def find_capabilities() -> Capabilities:
    """Ask torch what there is; slow the first time on a machine with a GPU."""
    has_cuda = torch.cuda.is_available()
    gpus = (
        [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        if has_cuda
        else []
    )
    return Capabilities(
        has_cuda=has_cuda,
        has_mps=torch.backends.mps.is_available(),
        has_bitsandbytes=importlib.util.find_spec("bitsandbytes") is not None,
        cuda_has_bfloat16=has_cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        cpu_has_fast_bfloat16=_cpu_has_fast_bfloat16(),
        num_threads=torch.get_num_threads(),
        names=tuple(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus),
    )


def _cpu_has_fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX); otherwise it is slower than float32.

    With AVX512-BF16 alone a prompt is read 1.5 to 1.8 times as fast as in float32 (benchmarks/forward.py).
    """
    probes = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(probe is not None and bool(probe()) for probe in probes)
