"""The training forward of a SmolLM3 backbone: the same weights and the same function, in fewer kernels.

`transformers`' forward is written for every device and feature; on a CPU it spends most of its time outside
the matrix products. This one keeps float32 parameters (the optimizer's master copies), multiplies in
bfloat16, joins products that read the same input, and compiles the two halves of a layer around attention.
Serving does not use it: the deployed forward is `agent_runtime.engine.backbone`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import SmolLM3ForCausalLM

from .batches import COPY, NAME, VALUE

POINTING_HEADS = {NAME: 0, COPY: -2, VALUE: -1}
"""The attention head that learns each kind of pointer, in the layer that points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSums:
    """Weighted sums over the supervised tokens of a batch; divide to get means."""

    loss: Tensor  # (), carries the gradient
    weight: Tensor  # ()
    num_right: Tensor  # () tokens predicted right, among those of full weight
    num_full: Tensor  # ()
    full_loss: Tensor  # () plain cross-entropy over those
    pointer_loss: Tensor  # (), carries the gradient
    num_pointers: Tensor  # ()

    @classmethod
    def total(cls, parts: Sequence[LossSums]) -> LossSums:
        """Sums over all parts, without gradient."""
        names = [field.name for field in fields(cls)]
        return cls(
            **{name: torch.stack([getattr(part, name).detach() for part in parts]).sum() for name in names}
        )


def _rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return (normed * weight).to(x.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on `x` (tokens, heads, head_dim)."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _before_attention(
    x: Tensor,
    norm: Tensor,
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    num_heads: int,
    num_kv_heads: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    mixed = F.linear(_rms_norm(x, norm, epsilon), qkv)
    head_dim = qkv.shape[0] // (num_heads + 2 * num_kv_heads)
    heads = mixed.view(x.shape[0], num_heads + 2 * num_kv_heads, head_dim)
    turned = _rotate(heads[:, : num_heads + num_kv_heads].float(), cos[:, None], sin[:, None]).to(x.dtype)
    return turned[:, :num_heads], turned[:, num_heads:], heads[:, num_heads + num_kv_heads :]


def _after_attention(
    x: Tensor, attended: Tensor, output: Tensor, norm: Tensor, gate_up: Tensor, down: Tensor, epsilon: float
) -> Tensor:
    x = x + F.linear(attended, output)
    gate, up = F.linear(_rms_norm(x, norm, epsilon), gate_up).chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, down)


def _positions(branches: Tensor) -> Tensor:
    """Positions of tokens: every branch goes on where the part read by all ends."""
    index = torch.arange(branches.shape[1], device=branches.device).expand_as(branches)
    is_first = F.pad(branches[:, 1:] != branches[:, :-1], (1, 0), value=True)
    begins = torch.where(is_first, index, 0).cummax(dim=1).values  # where the branch of each token begins
    num_shared = (branches == 0).sum(dim=1, keepdim=True)
    return torch.where(branches == 0, index, index - begins + num_shared)


def _unread(branches: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to attention scores (rows, length, length): minus infinity where nothing may be read."""
    reader, read = branches[:, :, None], branches[:, None, :]
    may_read = ((read == 0) | (read == reader)).tril()
    return torch.zeros_like(may_read, dtype=dtype).masked_fill(~may_read, float("-inf"))


def _pointer_loss(query: Tensor, key: Tensor, unread: Tensor, pointers: Tensor) -> Tensor:
    """Cross-entropy of attention: each kind of pointer has a head of its own (`POINTING_HEADS`)."""
    num_heads, head_dim = query.shape[2:]
    shared = num_heads // key.shape[2]
    loss = torch.zeros((), device=query.device)
    for kind, its_head in POINTING_HEADS.items():
        row, _, reader, read = pointers[pointers[:, 1] == kind].unbind(1)
        if not len(row):
            continue
        head = its_head % num_heads
        # All scores of the head in one product: a gathered key for every pointer would be far more to move.
        scores = torch.bmm(query[:, :, head], key[:, :, head // shared].transpose(1, 2))
        asked = scores[row, reader].float() * head_dim**-0.5
        asked = asked + unread.expand(query.shape[0], -1, -1)[row, reader]
        loss = loss + F.cross_entropy(asked, read, reduction="sum")
    return loss


def _token_losses(states: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every row of `states` (tokens, hidden), and whether its likeliest token is the target.

    Written out instead of `F.cross_entropy`, because a compiler makes two passes over the logits of it.
    """
    logits = F.linear(states, head).float()
    highest = logits.detach().amax(-1)
    total = (logits - highest[:, None]).exp().sum(-1).log() + highest
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    of_target = torch.where(is_target, logits, 0.0).sum(-1)
    return total - of_target, of_target.detach() >= highest


def _attend(query: Tensor, key: Tensor, value: Tensor, unread: Tensor) -> Tensor:
    """Attention of `query` (rows, length, heads, head_dim), flattened to (rows * length, heads * head_dim).

    `unread` is minus infinity where a position may not be read. On a CPU the three plain kernels take a third
    of the time of torch's fused one, for rows of a few hundred tokens.
    """
    rows, length, num_heads, head_dim = query.shape
    num_kv_heads = key.shape[2]
    shared = num_heads // num_kv_heads
    if query.device.type != "cpu":
        # Of torch's kernels only the memory-efficient one takes a mask and keeps no scores for the backward
        # pass, and it does not share key heads (`enable_gqa` would choose float32 scores of every layer).
        keys, values = (x.repeat_interleave(shared, dim=2).transpose(1, 2) for x in (key, value))
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), keys, values, attn_mask=unread[:, None]
        )
        return attended.transpose(1, 2).reshape(rows * length, -1)
    # Query heads of one key head stand below each other.
    grouped = query.view(rows, length, num_kv_heads, shared, head_dim).permute(0, 2, 3, 1, 4)
    grouped = (grouped * head_dim**-0.5).reshape(rows * num_kv_heads, shared * length, head_dim)
    keys, values = (x.transpose(1, 2).reshape(rows * num_kv_heads, length, head_dim) for x in (key, value))
    scores = torch.bmm(grouped, keys.transpose(1, 2)).view(rows, num_heads, length, length)
    scores += unread[:, None]
    shares = scores.softmax(-1).view(rows * num_kv_heads, shared * length, length)
    attended = torch.bmm(shares, values).view(rows, num_kv_heads, shared, length, head_dim)
    return attended.permute(0, 3, 1, 2, 4).reshape(rows * length, -1)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """The weights of a layer as its two halves take them."""

    input_norm: Tensor
    qkv: Tensor
    output: Tensor
    after_norm: Tensor
    gate_up: Tensor
    down: Tensor
    has_rotation: bool


class LayerForward:
    """One layer of a SmolLM3 backbone over flattened rows of tokens.

    `is_compiled` compiles its two halves; worthwhile for runs of more than a few minutes, when every batch
    has the same number of tokens.
    """

    def __init__(self, config: Any, *, is_compiled: bool) -> None:
        self._num_heads, self._num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._epsilon = config.rms_norm_eps
        self._head_dim = config.hidden_size // config.num_attention_heads
        self._before: Callable[..., tuple[Tensor, Tensor, Tensor]] = _before_attention
        self._after: Callable[..., Tensor] = _after_attention
        if is_compiled:
            self._before, self._after = torch.compile(_before_attention), torch.compile(_after_attention)
        self._inverse_frequencies = 1.0 / (
            config.rope_parameters["rope_theta"]
            ** (torch.arange(0, self._head_dim, 2, dtype=torch.float32) / self._head_dim)
        )

    def packed(self, layer: Any, dtype: torch.dtype) -> PackedLayer:
        """The weights of a transformers layer, joined and converted; gradients flow back through it."""
        attention, mlp = layer.self_attn, layer.mlp
        qkv = torch.cat((attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight))
        return PackedLayer(
            input_norm=layer.input_layernorm.weight,
            qkv=qkv.to(dtype),
            output=attention.o_proj.weight.to(dtype),
            after_norm=layer.post_attention_layernorm.weight,
            gate_up=torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).to(dtype),
            down=mlp.down_proj.weight.to(dtype),
            has_rotation=bool(attention.use_rope),
        )

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of positions (tokens,)."""
        angles = positions[:, None].float() * self._inverse_frequencies.to(positions.device)
        return angles.cos(), angles.sin()

    def layer(
        self,
        x: Tensor,
        weights: PackedLayer,
        turn: tuple[Tensor, Tensor],
        unread: Tensor,
        on_attention: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """States (tokens, hidden) behind a layer.

        Args:
            x: states before it.
            weights: of `packed`.
            turn: of `rotation`.
            unread: minus infinity where a token may not be read, (rows or 1, length, length).
            on_attention: told queries and keys, (rows, length, heads, size).
        """
        length = unread.shape[1]
        cos, sin = turn
        if not weights.has_rotation:
            cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
        query, key, value = self._before(
            x, weights.input_norm, weights.qkv, cos, sin, self._num_heads, self._num_kv_heads, self._epsilon
        )
        in_rows = (x.shape[0] // length, length, -1, self._head_dim)
        query, key, value = query.view(in_rows), key.view(in_rows), value.view(in_rows)
        if on_attention is not None:
            on_attention(query, key)
        attended = _attend(query, key, value, unread)
        return self._after(
            x, attended, weights.output, weights.after_norm, weights.gate_up, weights.down, self._epsilon
        )


class TrainingForward:
    """Forward and loss of `model`, whose parameters stay float32. `is_compiled` as for `LayerForward`."""

    def __init__(self, model: SmolLM3ForCausalLM, *, dtype: torch.dtype, is_compiled: bool) -> None:
        self.model = model
        self.config = model.config
        self.dtype = dtype
        self._layers = LayerForward(model.config, is_compiled=is_compiled)
        self._token_losses: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = _token_losses
        if is_compiled:  # every batch supervises another number of tokens
            self._token_losses = torch.compile(_token_losses, dynamic=True)
        layers = list(model.model.layers)
        self._pointing_layer = next((layer for layer in layers if not layer.self_attn.use_rope), layers[-1])
        self._angles: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def states(
        self, tokens: Tensor, branches: Tensor | None = None, pointers: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Final normed states of `tokens` (rows, length), flattened to (rows * length, hidden).

        Also the loss of the attention that `pointers` (rows of: row, kind, reader, read) ask for, summed.
        `branches` (rows, length) numbers what stands side by side in a row, behind a part (0) read by all.
        """
        rows, length = tokens.shape
        cos, sin = self._rotation(rows, length, tokens.device)
        if branches is None:
            branches = torch.zeros((1, length), dtype=torch.long, device=tokens.device)
        else:
            at = _positions(branches).reshape(-1)
            cos, sin = cos[at], sin[at]
        unread = _unread(branches, self.dtype)
        pointed = torch.zeros((), device=tokens.device)

        def point(query: Tensor, key: Tensor) -> None:
            nonlocal pointed
            assert pointers is not None
            pointed = _pointer_loss(query, key, unread, pointers)

        body = self.model.model
        x = F.embedding(tokens.reshape(-1), body.embed_tokens.weight).to(self.dtype)
        for layer in body.layers:
            is_pointing = pointers is not None and layer is self._pointing_layer
            weights = self._layers.packed(layer, self.dtype)
            x = self._layers.layer(x, weights, (cos, sin), unread, point if is_pointing else None)
        return _rms_norm(x, body.norm.weight, self.config.rms_norm_eps), pointed

    def loss(
        self,
        tokens: Tensor,
        weights: Tensor,
        branches: Tensor | None = None,
        pointers: Tensor | None = None,
    ) -> LossSums:
        """Cross-entropy of the tokens whose weight is above zero; only their rows meet the vocabulary."""
        states, pointed = self.states(tokens, branches, pointers)
        targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1)).reshape(-1)
        scales = torch.nn.functional.pad(weights[:, 1:], (0, 1)).reshape(-1)
        picked = scales.nonzero().squeeze(-1)
        targets, scales = targets[picked], scales[picked]
        head = self.model.lm_head.weight.to(self.dtype)
        losses, is_right = self._token_losses(states[picked], head, targets)
        is_full = scales >= 0.5
        return LossSums(
            loss=(losses * scales).sum(),
            weight=scales.sum(),
            num_right=(is_right & is_full).sum(),
            num_full=is_full.sum(),
            full_loss=(losses.detach() * is_full).sum(),
            pointer_loss=pointed,
            num_pointers=torch.tensor(0 if pointers is None else len(pointers)),
        )

    def _rotation(self, rows: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `rows` rows, flattened; kept, since batches have few distinct shapes."""
        kept = self._angles.get((rows, length))
        if kept is None:
            cos, sin = self._layers.rotation(torch.arange(length, device=device))
            kept = (cos.repeat(rows, 1), sin.repeat(rows, 1))
            self._angles[rows, length] = kept
        return kept
