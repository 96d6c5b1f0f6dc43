"""How much memory something takes at its peak, beyond what was taken before it."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class PeakMemory:
    """Watches one device. On CUDA torch's allocator counts; on the CPU Linux' resident set; else nothing."""

    def __init__(self, device: str) -> None:
        self._is_cuda = device == "cuda"
        self._before: float | None = None

    def start(self) -> None:
        """From here on."""
        if self._is_cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / 2**20
            return
        try:
            _RESET.write_text(_RESET_PEAK)
            self._before = _resident("VmRSS")
        except OSError:  # no /proc, or one that does not let us
            self._before = None

    def held(self) -> float | None:
        """Megabytes taken since then and not given back; None where nobody counts."""
        if self._before is None:
            return None
        now = torch.cuda.memory_allocated() / 2**20 if self._is_cuda else _resident("VmRSS")
        return max(0.0, now - self._before)

    def stop(self) -> float | None:
        """The most megabytes since then, beyond what was taken then; None where nobody counts."""
        if self._before is None:
            return None
        if self._is_cuda:
            return float(torch.cuda.max_memory_allocated() / 2**20 - self._before)
        return max(0.0, _resident("VmHWM") - self._before)


def _resident(name: str) -> float:
    """Megabytes that the kernel states under a name.

    Raises:
        OSError: it does not.
    """
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 2**10
    raise OSError(f"{_STATUS} has no {name}")
