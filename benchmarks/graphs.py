"""Short reads with and without CUDA graphs, beside what the hardware allows: `python -m benchmarks.graphs`.

Four peers read the same tokens of the same random weights, turn about in each round:

    plain     `engine/forward.py`, kernel by kernel
    static    the forward of fixed shapes, kernel by kernel
    graph     the same, recorded once and replayed
    compiled  recorded after torch's compiler has fused what stands between attentions (`--compile`)

Measured is the time until the scores are on the CPU, where constraints are applied; those themselves are not
in it. First one read: a decoded token and a draft for 1 to 64 conversations. Then what a call of 38 tokens
needs: B1 decodes every token, B2 reads what is forced in one go (11 reads), verified reads the whole draft
and on average a quarter of another time; warm has the prompt's beginning in the cache, cold has nothing.
The floor counts bytes and operations (`engine/forward_cost.py`) at the rates of an H200.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import SmolLM3Config

from agent_runtime.bench.shapes import SHAPES
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.forward import LeanForward
from agent_runtime.engine.forward_cost import H200, forward_cost
from agent_runtime.engine.graph_setup import GraphOrder, open_graphs
from agent_runtime.engine.graphs import GraphedForward, PlainRecorder
from agent_runtime.engine.key_values import KeyValueSlab
from agent_runtime.engine.linear import Linear, make_linear
from agent_runtime.runtime import embedded_model_folder

CALL_TOKENS = 38
FORCED_READS = (4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 3)
BLOCK_TOKENS = 256
WARM_TOKENS = 64


class RandomWeights:
    """Made on the device as they are asked for; arithmetic does not care what they are."""

    def __init__(self, config: Any, *, device: torch.device, dtype: torch.dtype) -> None:
        self._config = config
        self._kind: Any = {"device": device, "dtype": dtype}
        self._embedding: torch.Tensor | None = None

    def tensor(self, name: str) -> torch.Tensor:
        """Embeddings, or the weight of a norm."""
        if "embed_tokens" not in name:
            return torch.ones(self._config.hidden_size, **self._kind)
        if self._embedding is None:
            size = (self._config.vocab_size, self._config.hidden_size)
            self._embedding = torch.randn(size, **self._kind).mul_(0.02)
        return self._embedding

    def linear(self, names: Sequence[str]) -> Linear:
        """Layers side by side."""
        if "embed_tokens" in names[0]:
            return make_linear([self.tensor("embed_tokens")])
        return make_linear([torch.randn(self._shape(name), **self._kind).mul_(0.02) for name in names])

    def _shape(self, name: str) -> tuple[int, int]:
        config = self._config
        size = config.hidden_size // config.num_attention_heads
        queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
        part = name.rsplit(".", 1)[-1]
        outputs = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        outputs |= {"gate_proj": config.intermediate_size, "up_proj": config.intermediate_size}
        inputs = {"o_proj": queries, "down_proj": config.intermediate_size}
        return outputs.get(part, config.hidden_size), inputs.get(part, config.hidden_size)


@dataclass
class Peer:
    """One way to read; `slabs` are its conversations."""

    name: str
    read: Callable[[Sequence[Chunk]], object]
    slabs: list[KeyValueSlab]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)

    def draft(self, at: int, num_tokens: int, conversations: int) -> None:
        """Read so many tokens of each conversation."""
        self.read([Chunk(slab, [1] * num_tokens, at, num_tokens) for slab in self.slabs[:conversations]])


def plain_peer(forward: LeanForward, conversations: int, length: int, padded_rows: int) -> Peer:
    """Reads as `Backbone` does without graphs."""

    def read(chunks: Sequence[Chunk]) -> object:
        with torch.inference_mode():
            return forward.logits(forward(chunks, with_padding=lambda rows: max(rows, padded_rows)))

    slabs = [KeyValueSlab(forward.key_value_shape, length) for _ in range(conversations)]
    return Peer("plain", read, slabs)


def graph_peer(name: str, graphs: GraphedForward, conversations: int) -> Peer:
    """Reads as `Backbone` does with them."""
    slabs: list[KeyValueSlab] = []
    for _ in range(conversations):
        slab = graphs.pool.new_slab(graphs.pool.length)
        assert slab is not None
        slabs.append(slab)
    return Peer(name, graphs.read, slabs)


@dataclass(frozen=True)
class Read:
    """One forward of so many tokens of each conversation."""

    title: str
    at: int
    num_tokens: int
    conversations: int

    def __call__(self, peer: Peer, _: int) -> None:
        """Have a peer read."""
        peer.draft(self.at, self.num_tokens, self.conversations)


def reads_of(prompt: int, batches: Sequence[int]) -> Iterator[Read]:
    """A decoded token and a draft, for some numbers of conversations."""
    for conversations in batches:
        yield Read(f"token x {conversations}", prompt, 1, conversations)
        yield Read(f"draft x {conversations}", prompt, CALL_TOKENS, conversations)


def calls_of(forward: LeanForward, prompt: int) -> Mapping[str, Callable[[Peer, int], None]]:
    """What a call needs behind its prompt, and with it."""

    def sizes(peer: Peer, parts: Sequence[int]) -> None:
        at = prompt
        for size in parts:
            peer.draft(at, size, 1)
            at += size

    def verified(peer: Peer, number: int) -> None:
        sizes(peer, [CALL_TOKENS])
        if number % 4 == 0:
            peer.draft(prompt + CALL_TOKENS - 12, 12, 1)

    def warm(peer: Peer, number: int) -> None:
        peer.draft(prompt - WARM_TOKENS, WARM_TOKENS, 1)
        verified(peer, number)

    def cold(peer: Peer, number: int) -> None:
        with torch.inference_mode():
            for at in range(0, prompt, BLOCK_TOKENS):
                end = min(at + BLOCK_TOKENS, prompt)
                forward([Chunk(peer.slabs[0], [1] * (end - at), at, int(end == prompt))])
        verified(peer, number)

    return {
        "B1: 38 reads": lambda peer, number: sizes(peer, [1] * CALL_TOKENS),
        "B2: 11 reads": lambda peer, number: sizes(peer, FORCED_READS),
        "verified: 1.25 reads": verified,
        "warm: 64 tokens, verified": warm,
        "cold: prompt, verified": cold,
    }


def measure(peers: Sequence[Peer], title: str, reading: Callable[[Peer, int], None], rounds: int) -> None:
    """Milliseconds of a reading, peers turn about; the first rounds warm up and record."""
    for number in range(-3, rounds):
        for peer in peers:
            _wait()
            started = time.perf_counter()
            reading(peer, number)
            _wait()
            if number >= 0:
                peer.milliseconds.setdefault(title, []).append(1000 * (time.perf_counter() - started))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the value that one in twenty exceeds."""
    return statistics.median(values), sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def config_of(shape: str) -> Any:
    """The config of a shape; that of the embedded model for its own."""
    if not SHAPES[shape]:
        return SmolLM3Config.from_pretrained(embedded_model_folder())
    return SmolLM3Config(
        **{"vocab_size": 4096, **SHAPES[shape]}, bos_token_id=0, eos_token_id=1, pad_token_id=2
    )


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--shape", choices=SHAPES, default="smollm3-3b")
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    arguments.add_argument("--prompt", type=int, default=1000)
    arguments.add_argument("--rows", type=int, default=64)
    arguments.add_argument("--batch", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--compile", action="store_true")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    config = config_of(options.shape)
    length = options.prompt + CALL_TOKENS
    with torch.inference_mode():
        weights = RandomWeights(config, device=device, dtype=dtype)
        forward = LeanForward(config, weights, max_positions=2 * length, dtype=dtype, device=device)
    most = max(options.batch)
    order = GraphOrder(
        record=True, rows=options.rows, batches=tuple(options.batch), lengths=(length,), max_batch=most
    )
    made = {
        "static": open_graphs(forward, order, recorder=PlainRecorder()),
        "graph": open_graphs(forward, order),
    }
    if options.compile:
        made["compiled"] = open_graphs(forward, replace(order, compile=True))
    peers = [plain_peer(forward, most, length, padded_rows=8)]
    peers += [graph_peer(name, graphs, most) for name, graphs in made.items() if graphs is not None]
    names = [peer.name for peer in peers]
    print(f"{options.shape}, {options.dtype}, {options.device}; prompt {options.prompt}, {options.rows} rows")
    print(f"{'p50 / p95 ms':26}" + "".join(f"{name:>17}" for name in names) + f"{'floor':>9}{'reached':>9}")
    report: dict[str, Any] = {"options": {key: str(value) for key, value in vars(options).items()}, "ms": {}}

    def show(title: str, floor_ms: float | None) -> None:
        found = {peer.name: percentiles(peer.milliseconds[title]) for peer in peers}
        report["ms"][title] = {**found, "floor": floor_ms}
        line = f"{title:26}" + "".join(f"{middle:9.2f} /{late:6.2f}" for middle, late in found.values())
        if floor_ms is not None:
            line += f"{floor_ms:9.2f}{floor_ms / min(middle for middle, _ in found.values()):9.0%}"
        print(line, flush=True)

    for read in reads_of(options.prompt, options.batch):
        measure(peers, read.title, read, options.rounds)
        rows = read.num_tokens * read.conversations
        floor = forward_cost(config, rows=rows, context=length, conversations=read.conversations)
        show(read.title, 1000 * floor.floor_s(H200))
    for title, call in calls_of(forward, options.prompt).items():
        measure(peers, title, call, options.rounds)
        show(title, None)
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
