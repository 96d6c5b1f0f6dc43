"""Our forward beside transformers' own, on the same weights: `python -m benchmarks.forward`.

Three peers read the same prompt and then decode the same tokens, turn about in each round so that a noisy
machine hurts all of them alike; medians over rounds count.

    dynamic  transformers' forward with its default cache
    static   transformers' forward with a preallocated cache
    ours     `engine/forward.py`, driven as the scheduler drives it (prompts in blocks)

Weights are random: arithmetic does not care. On a machine that is busy with other things `--cpu-time` counts
this thread's processor time instead. `--profile` says where the time of our forward goes, by operation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import SmolLM3Config, SmolLM3ForCausalLM, StaticCache

from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.forward import LeanForward
from agent_runtime.engine.key_values import KeyValueSlab
from agent_runtime.engine.same_rows import find_batch_rule
from agent_runtime.engine.weights import FileWeights

SHAPES = {
    "embedded": dict(hidden_size=384, intermediate_size=1024, num_hidden_layers=10, num_attention_heads=6,
                     num_key_value_heads=2, vocab_size=6144),
    "100M": dict(hidden_size=768, intermediate_size=2816, num_hidden_layers=12, num_attention_heads=12,
                 num_key_value_heads=4, vocab_size=16384),
}  # fmt: skip
BLOCK_TOKENS, MAX_ROWS = 64, 256


@dataclass(frozen=True)
class Peer:
    """`read(token_ids, at)` reads tokens at a position and waits for the last one's logits."""

    name: str
    restart: Callable[[], None]
    read: Callable[[list[int], int], Any]


def ours(forward: LeanForward, width: int, max_tokens: int) -> Peer:
    """Our forward, in the blocks and batches the scheduler makes."""
    slab = KeyValueSlab(forward.key_value_shape, max_tokens)
    rule = find_batch_rule(
        forward.try_rows,
        width,
        forward.dtype,
        forward.device,
        block_tokens=BLOCK_TOKENS,
        max_rows=MAX_ROWS,
    )

    def read(token_ids: list[int], at: int) -> Any:
        with torch.inference_mode():
            chunks = list(blocks(slab, token_ids, at))
            for first in range(0, len(chunks), MAX_ROWS // BLOCK_TOKENS):
                together = chunks[first : first + MAX_ROWS // BLOCK_TOKENS]
                hidden = forward(together, with_padding=rule.with_padding)
            return forward.logits(hidden)[:1]

    return Peer("ours", lambda: None, read)


def blocks(slab: KeyValueSlab, token_ids: list[int], at: int) -> Iterator[Chunk]:
    """The chunks of one read; only the last token's logits are wanted."""
    for start in range(0, len(token_ids), BLOCK_TOKENS):
        block = token_ids[start : start + BLOCK_TOKENS]
        yield Chunk(slab, block, at + start, int(start + BLOCK_TOKENS >= len(token_ids)))


def transformers_peer(model: Any, *, max_tokens: int | None) -> Peer:
    """The model's own forward, with a dynamic cache or one preallocated for `max_tokens`."""
    cache: list[Any] = []

    def restart() -> None:
        cache[:] = [
            None if max_tokens is None else StaticCache(config=model.config, max_cache_len=max_tokens)
        ]

    def read(token_ids: list[int], at: int) -> Any:
        with torch.inference_mode():
            output = model(
                torch.tensor([token_ids]),
                position_ids=torch.arange(at, at + len(token_ids)).unsqueeze(0),
                past_key_values=cache[0],
                use_cache=True,
                logits_to_keep=1,
            )
        cache[0] = output.past_key_values
        return output.logits[0].float()

    return Peer("dynamic" if max_tokens is None else "static", restart, read)


def measure(
    peers: Sequence[Peer], prompt: list[int], num_decoded: int, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Median milliseconds of the prompt and of one decoded token, per peer."""
    prompts: dict[str, list[float]] = {peer.name: [] for peer in peers}
    decodes: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds + 1):
        for peer in peers:
            peer.restart()
            started = clock()
            peer.read(prompt, 0)
            took = [clock() - started]
            for at in range(len(prompt), len(prompt) + num_decoded):
                started = clock()
                peer.read([at % 1000], at)
                took.append(clock() - started)
            if number:  # the first round warms up
                prompts[peer.name].append(1000 * took[0])
                decodes[peer.name] += [1000 * seconds for seconds in took[1:]]
    return {name: [statistics.median(prompts[name]), statistics.median(decodes[name])] for name in prompts}


def make_model(folder: Path, shape: str, dtype: torch.dtype) -> Any:
    """A random model of a shape, saved so that both sides read the same weights."""
    torch.manual_seed(0)
    config = SmolLM3Config(
        **SHAPES[shape],
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0},
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = SmolLM3ForCausalLM(config).to(dtype).eval()
    model.save_pretrained(folder)
    return model


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--shape", choices=SHAPES, nargs="*", default=list(SHAPES))
    arguments.add_argument(
        "--dtype", choices=["float32", "bfloat16"], nargs="*", default=["bfloat16", "float32"]
    )
    arguments.add_argument("--prompt", type=int, default=400, help="tokens of the prompt")
    arguments.add_argument("--decoded", type=int, default=40, help="tokens decoded after it")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--cpu-time", action="store_true", help="with one thread only")
    arguments.add_argument("--profile", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.cpu_time else time.perf_counter
    prompt = [(7 * number) % 1000 for number in range(options.prompt)]
    max_tokens = options.prompt + options.decoded
    print(
        f"{options.prompt} tokens of prompt, {options.decoded} decoded; {options.threads} thread(s); "
        f"medians of {'processor' if options.cpu_time else 'wall-clock'} time"
    )
    print(f"{'model':10} {'dtype':9} {'peer':8} {'prompt ms':>10} {'tokens/s':>9} {'decode ms':>10}")
    for shape in options.shape:
        for name in options.dtype:
            dtype = getattr(torch, name)
            with tempfile.TemporaryDirectory() as folder:
                model = make_model(Path(folder), shape, dtype)
                weights = FileWeights(Path(folder), device=torch.device("cpu"), dtype=dtype)
                with torch.inference_mode():
                    forward = LeanForward(
                        model.config,
                        weights,
                        max_positions=max_tokens,
                        dtype=dtype,
                        device=torch.device("cpu"),
                    )
            peer = ours(forward, model.config.hidden_size, max_tokens)
            if options.profile:
                profile(peer, prompt, options.decoded)
                continue
            peers = [
                transformers_peer(model, max_tokens=None),
                transformers_peer(model, max_tokens=max_tokens),
                peer,
            ]
            for who, (prompt_ms, decode_ms) in measure(
                peers, prompt, options.decoded, options.rounds, clock
            ).items():
                speed = 1000 * options.prompt / prompt_ms
                print(f"{shape:10} {name:9} {who:8} {prompt_ms:10.2f} {speed:9.0f} {decode_ms:10.3f}")


def profile(peer: Peer, prompt: list[int], num_decoded: int) -> None:
    """Where our forward's time goes."""
    for title, reads in (
        ("prompt", [(prompt, 0)] * 5),
        ("decoding", [([1], len(prompt) + number) for number in range(num_decoded)]),
    ):
        for token_ids, at in reads[:3]:
            peer.read(token_ids, at)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            for token_ids, at in reads:
                peer.read(token_ids, at)
        print(title)
        print(
            profiler.key_averages().table(
                sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=44
            )
        )


if __name__ == "__main__":
    main()
