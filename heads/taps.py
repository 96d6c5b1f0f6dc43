"""Reading a transformers backbone at its taps: the states heads stand on, for training and for tests.

Serving's own forward gives the same states; what they mean is said once, in `read_taps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def read_taps(model: Any, taps: Sequence[int], **inputs: Any) -> Tensor:
    """States of a `SmolLM3ForCausalLM` (or a model built like it) at some layers.

    Layer n's tap is its output, before any norm; 0 is the embeddings. The last layer's tap is therefore what
    the last norm and the vocabulary turn into token scores.

    Args:
        model: the backbone; its vocabulary is not touched.
        taps: rising layer numbers.
        **inputs: of its body: `input_ids` or `inputs_embeds`, and whatever else the forward takes.

    Returns:
        (batch, length, taps, hidden).
    """
    body = model.model
    found: dict[int, Tensor] = {}

    def keep(number: int, states: Any) -> None:
        found[number] = states[0] if isinstance(states, tuple) else states

    hooks = [
        body.layers[number - 1].register_forward_hook(
            lambda _module, _inputs, output, number=number: keep(number, output)
        )
        for number in taps
        if number > 0
    ]
    if 0 in taps:
        hooks.append(body.layers[0].register_forward_pre_hook(lambda _module, given: keep(0, given[0])))
    try:
        body(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([found[number] for number in taps], -2)
