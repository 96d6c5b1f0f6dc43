"""What is learned on top of the frozen backbone.

Nothing learned is part of this version: the runtime fills calls with the backbone alone
(`fill="autoregressive"`). The diffusion head, the span head and their bundles will live here.
"""

from __future__ import annotations

__all__: list[str] = []
