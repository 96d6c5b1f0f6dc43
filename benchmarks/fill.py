"""Our autoregressive fill beside what a user has today: `python -m benchmarks.fill`.

The peers answer the same requests, on the same weights, in the same process, one after the other within
each request so that a noisy machine hurts all of them alike:

    B0  transformers' `generate`, then a parser
    B1  B0 under a grammar: xgrammar's own logits processor, and llguidance with its own mask kernel
    B2  `fill="autoregressive"`: jump-forward, typed decoding, our forward
    B3  `fill="verified"` without a head bundle: the same calls, drafted by copying and read whole

Two backbones: the embedded model, and a SmolLM3-shaped model of random weights (108M parameters) that shows
the same at a size where arithmetic weighs more. Random weights know no good place to end a string, so that
model's schemas get `maxLength` 16, for every peer.

The peers are told that a call is wanted (`tool_choice="required"`), so that only calls are timed; the prefix
cache is off so that every peer reads the whole prompt. Each request is answered `--rounds` times; the median
counts.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import llguidance.hf
import llguidance.torch
import torch
import transformers
import xgrammar
from xgrammar.contrib.hf import LogitsProcessor as XgrammarProcessor

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.config import revised
from agent_runtime.prompt import parse_reply
from training.data.synthetic import synthetic_examples

MAX_NEW_TOKENS = 160


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question with its tools."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]


@dataclass(kw_only=True)
class Score:
    """What one peer did over all requests."""

    latencies_ms: list[float] = field(default_factory=list)
    forwards: list[int] = field(default_factory=list)
    num_valid: int = 0


def requests_with_calls(num_requests: int, *, max_length: int | None) -> Iterator[Request]:
    """Held-out synthetic questions whose answer is one call."""
    examples = synthetic_examples(20_261_120, split="dev")
    single = (example for example in examples if len(example.target.get("tool_calls") or ()) == 1)
    for example in islice(single, num_requests):
        tools = copy.deepcopy(list(example.tools))
        if max_length is not None:
            for tool in tools:
                bound_strings(tool["parameters"], max_length)
        yield Request(messages=list(example.messages[:-1]), tools=tools)


def bound_strings(schema: Any, max_length: int) -> None:
    """Give every free string of a schema a `maxLength`, in place."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const", "format", "pattern"} & schema.keys():
            schema["maxLength"] = min(max_length, schema.get("maxLength", max_length))
            schema.pop("minLength", None)
        for part in schema.values():
            bound_strings(part, max_length)
    elif isinstance(schema, list):
        for part in schema:
            bound_strings(part, max_length)


def call_schema(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of `{"name": ..., "arguments": ...}` for any of the tools, keys in order and closed."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": closed(tool["parameters"])},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }


def closed(schema: Any) -> Any:
    """The same schema with no undeclared keys, which grammars would otherwise allow."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copied = {key: closed(part) for key, part in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        copied["additionalProperties"] = False
    return copied


class LlguidanceProcessor(transformers.LogitsProcessor):  # type: ignore[misc]
    """llguidance in `generate`, with its own mask kernel."""

    def __init__(self, matcher: llguidance.LLMatcher, prompt_tokens: int, vocab_size: int) -> None:
        """Watch one sequence, from the end of its prompt."""
        self.matcher = matcher
        self.read = prompt_tokens
        self.mask = llguidance.torch.allocate_token_bitmask(1, vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Mask what the grammar forbids."""
        for token in input_ids[0, self.read :].tolist():
            self.matcher.consume_token(token)
        self.read = input_ids.shape[1]
        llguidance.torch.fill_next_token_bitmask(self.matcher, self.mask)
        llguidance.torch.apply_token_bitmask_inplace(scores, self.mask)
        return scores


class Peers:
    """transformers' model with the ways a user would constrain it."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        """Load the model and both grammar engines."""
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.vocab_size = self.model.config.vocab_size
        self.end = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        info = xgrammar.TokenizerInfo.from_huggingface(
            self.tokenizer, vocab_size=self.vocab_size, stop_token_ids=[self.end]
        )
        self.xgrammar = xgrammar.GrammarCompiler(info)
        self.llguidance = llguidance.hf.from_tokenizer(self.tokenizer, self.vocab_size, self.end)
        self.forwards = 0
        self.model.model.register_forward_hook(self._count)
        self._opening = self.tokenizer.encode("<tool_call>\n", add_special_tokens=False)

    def _count(self, *_: Any) -> None:
        self.forwards += 1

    def plain(self, prompt: list[int], tools: list[dict[str, Any]]) -> str:
        """B0: the call's opening tag is given, the rest is free."""
        del tools
        return self._generate(prompt, [])

    def with_xgrammar(self, prompt: list[int], tools: list[dict[str, Any]]) -> str:
        """B1 with xgrammar; the compiled grammar is cached by its compiler."""
        grammar = self.xgrammar.compile_json_schema(
            json.dumps(call_schema(tools)), any_whitespace=False, separators=(", ", ": ")
        )
        return self._generate(prompt, [XgrammarProcessor(grammar)])

    def with_llguidance(self, prompt: list[int], tools: list[dict[str, Any]]) -> str:
        """B1 with llguidance."""
        schema = {
            **call_schema(tools),
            "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
        }
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        matcher = llguidance.LLMatcher(self.llguidance, grammar)
        length = len(prompt) + len(self._opening)
        return self._generate(prompt, [LlguidanceProcessor(matcher, length, self.vocab_size)])

    def _generate(self, prompt: list[int], processors: list[Any]) -> str:
        ids = torch.tensor([prompt + self._opening])
        with torch.inference_mode():
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                eos_token_id=self.end,
                pad_token_id=self.end,
                logits_processor=transformers.LogitsProcessorList(processors),
            )
        return "<tool_call>\n" + str(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=False))


def is_valid_reply(text: str, tools: list[dict[str, Any]]) -> bool:
    """Whether the reply holds a call and its arguments fit the tool's schema."""
    by_name = {tool["name"]: tool for tool in tools}
    calls = parse_reply(text.replace("<|im_end|>", ""), tuple(by_name)).calls
    return bool(calls) and all(is_valid(call.name, call.arguments, by_name) for call in calls)


def is_valid(name: str, arguments: Any, tools: dict[str, dict[str, Any]]) -> bool:
    """Whether arguments fit the schema of the named tool."""
    if name not in tools:
        return False
    validator = jsonschema.Draft202012Validator(
        tools[name]["parameters"], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return bool(validator.is_valid(arguments))


async def measure(folder: Path, dtype: str, requests: list[Request], rounds: int) -> dict[str, Score]:
    """Answer every request with every peer, side by side."""
    deployment = DeploymentConfig(
        fill="autoregressive", prefix_cache_tokens=0, dtype=dtype, device="cpu", max_parallel_calls=1
    )
    peers = Peers(folder, getattr(torch, dtype))
    ways: dict[str, Callable[[list[int], list[dict[str, Any]]], str]] = {
        "B0 transformers generate": peers.plain,
        "B1 generate + xgrammar": peers.with_xgrammar,
        "B1 generate + llguidance": peers.with_llguidance,
    }
    ours = {f"B{number} smolcall {fill}": fill for number, fill in ((2, "autoregressive"), (3, "verified"))}
    scores = {name: Score() for name in [*ways, *ours]}
    async with AsyncExitStack() as stack:
        runtimes = {}
        for name, fill in ours.items():
            loaded = AgentRuntime.load(folder, deployment=revised(deployment, fill=fill))
            runtimes[name] = await stack.enter_async_context(loaded)
            await runtimes[name].warm_up()
        for number, request in enumerate([requests[0], *requests]):
            is_warm_up = number == 0
            tools = {tool["name"]: tool for tool in request.tools}
            any_runtime = next(iter(runtimes.values()))
            prompt = list((await any_runtime.prompt(request.messages, tools=request.tools)).ids)
            timed: dict[str, list[float]] = {name: [] for name in scores}
            for _ in range(rounds):
                for name, answer in ways.items():
                    before = peers.forwards
                    start = time.perf_counter()
                    text = answer(prompt, request.tools)
                    timed[name].append((time.perf_counter() - start) * 1e3)
                    forwards, is_ok = peers.forwards - before, is_valid_reply(text, request.tools)
                    _note(
                        scores[name], forwards, is_ok, is_last=len(timed[name]) == rounds and not is_warm_up
                    )
                said = []
                for name, runtime in runtimes.items():
                    start = time.perf_counter()
                    turn = await runtime.respond(
                        request.messages,
                        tools=request.tools,
                        tool_choice="required",
                        parallel_tool_calls=False,
                    )
                    timed[name].append((time.perf_counter() - start) * 1e3)
                    is_ok = bool(turn.tool_calls) and all(
                        is_valid(call.name, call.arguments, tools) for call in turn.tool_calls
                    )
                    is_last = len(timed[name]) == rounds and not is_warm_up
                    _note(scores[name], turn.usage.forwards, is_ok, is_last=is_last)
                    said.append([(call.name, call.arguments) for call in turn.tool_calls])
                if said[0] != said[1]:
                    raise SystemExit(f"B2 and B3 made different calls, which is a fault: {said}")
            if not is_warm_up:
                for name, values in timed.items():
                    scores[name].latencies_ms.append(statistics.median(values))
    return scores


def _note(score: Score, forwards: int, is_ok: bool, *, is_last: bool) -> None:
    if is_last:
        score.forwards.append(forwards)
        score.num_valid += is_ok


def table(title: str, scores: dict[str, Score]) -> str:
    """A Markdown table; the ratio is against the faster B1, of medians."""
    rival = min(statistics.median(s.latencies_ms) for name, s in scores.items() if name.startswith("B1"))
    lines = [
        f"### {title}",
        "",
        "| | p50 ms | p95 ms | forwards a call (median, mean) | valid calls | speed-up over the best B1 |",
        "|---|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        p50 = statistics.median(score.latencies_ms)
        p95 = statistics.quantiles(score.latencies_ms, n=20)[-1]
        valid = 100 * score.num_valid / len(score.latencies_ms)
        forwards = f"{statistics.median(score.forwards):.1f}, {statistics.mean(score.forwards):.1f}"
        lines.append(f"| {name} | {p50:.1f} | {p95:.1f} | {forwards} | {valid:.2f} % | {rival / p50:.2f}x |")
    return "\n".join(lines)


def random_model(embedded: Path, folder: Path) -> int:
    """Write a SmolLM3-shaped model of random weights with the embedded tokenizer; returns its parameters."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(embedded)
    config = transformers.SmolLM3Config(
        vocab_size=config.vocab_size,
        hidden_size=768,
        intermediate_size=2560,
        num_hidden_layers=14,
        num_attention_heads=12,
        num_key_value_heads=4,
        max_position_embeddings=config.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    model = transformers.SmolLM3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    for file in embedded.iterdir():
        if file.name.startswith(("tokenizer", "prompt_format", "chat_template")):
            (folder / file.name).write_bytes(file.read_bytes())
    return int(model.num_parameters())


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=40, help="questions to answer")
    parser.add_argument("--rounds", type=int, default=3, help="times each question is answered by each peer")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--model", type=Path, help="a model folder to measure in place of the embedded model")
    parser.add_argument("--skip-random", action="store_true", help="measure the embedded model only")
    arguments = parser.parse_args()

    from agent_runtime import embedded_model_folder

    embedded = arguments.model or embedded_model_folder()
    requests = list(requests_with_calls(arguments.requests, max_length=None))
    scores = asyncio.run(measure(embedded, arguments.dtype, requests, arguments.rounds))
    print(table(f"{arguments.model or 'Embedded model'}, {arguments.dtype}", scores))
    if arguments.skip_random:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = random_model(embedded, folder)
        requests = list(requests_with_calls(max(4, arguments.requests // 4), max_length=16))
        scores = asyncio.run(measure(folder, arguments.dtype, requests, max(1, arguments.rounds // 2)))
        print()
        print(table(f"SmolLM3-shaped, {parameters / 1e6:.0f}M random parameters, {arguments.dtype}", scores))


if __name__ == "__main__":
    main()
