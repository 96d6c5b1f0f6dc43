"""B0 and B1: what a user of transformers has today, on the same weights and prompts.

All rows are told that a call is wanted: the reply begins with the opening of a call. Under a grammar the
rest is exactly one call of one of the tools, with the separators the model was trained on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers

from ..engine.quantize import load_model
from ..messages import read_messages
from ..prompt import PromptFormat, parse_reply, render_prompt
from ..scaffold.canonical import CALL_OPEN
from ..tools import bind_tools
from .questions import Question
from .rows import Answer, BenchModel

_OPENING = f"{CALL_OPEN}\n"
_CACHE_TRIALS = 2

Processors = list[Any]
Constrain = Callable[[Sequence[Question], int], Processors]
"""The logits processors for some questions whose padded prompts have so many tokens."""


class Transformers:
    """transformers' model and tokenizer, as its `generate` wants them."""

    def __init__(self, model: BenchModel) -> None:
        """Read the weights."""
        deployment = model.deployment
        self.device = torch.device(deployment.device)
        loaded: Any = load_model(
            model.folder,
            device=self.device,
            dtype=getattr(torch, deployment.dtype),
            quantization=deployment.quantization,
            adapter=model.adapter,
            trust_remote_code=False,
        )
        self._model = loaded
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
        self.vocab_size = int(self._model.config.vocab_size)
        self._format = PromptFormat.for_folder(model.folder)
        self.end = int(self.tokenizer.convert_tokens_to_ids(self._format.reply_end))
        self._opening = self.tokenizer.encode(_OPENING, add_special_tokens=False)
        self._num_forwards = 0
        self._model.model.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self._num_forwards += 1

    def generate(
        self, questions: Sequence[Question], max_tokens: int, constrain: Constrain, *, is_static: bool
    ) -> list[Answer]:
        """Answer some questions in one batch, with a static or a growing key/value cache."""
        prompts = [[*self._prompt(question), *self._opening] for question in questions]
        length = max(map(len, prompts))
        ids = torch.tensor([[self.end] * (length - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        before = self._num_forwards
        with torch.inference_mode():
            out = self._model.generate(
                ids.to(self.device),
                attention_mask=mask.to(self.device),
                max_new_tokens=max_tokens,
                do_sample=False,
                eos_token_id=self.end,
                pad_token_id=self.end,
                cache_implementation="static" if is_static else None,
                logits_processor=transformers.LogitsProcessorList(constrain(questions, length)),
            )
        forwards = self._num_forwards - before
        return [
            self._answer(question, made, forwards)
            for question, made in zip(questions, out[:, length:].tolist(), strict=True)
        ]

    def _prompt(self, question: Question) -> Sequence[int]:
        messages, tools = read_messages(question.messages), bind_tools(question.tools)
        return render_prompt(messages, tools, format=self._format, tokenizer=self.tokenizer).ids

    def _answer(self, question: Question, made: list[int], forwards: int) -> Answer:
        num_made = made.index(self.end) + 1 if self.end in made else len(made)
        text = _OPENING + str(self.tokenizer.decode(made[:num_made])).removesuffix(self._format.reply_end)
        calls = parse_reply(text, tuple(tool["name"] for tool in question.tools)).calls
        return Answer(
            calls=tuple((call.name, call.arguments) for call in calls),
            forwards=forwards,
            tokens=len(self._opening) + num_made,
        )


class GenerateRow:
    """`generate`, free or constrained."""

    def __init__(self, backend: Transformers, constrain: Constrain, *, tries_static: bool) -> None:
        """Choose a constraint.

        Args:
            backend: weights, shared by all rows like this.
            constrain: makes the processors.
            tries_static: whether a static cache is tried and kept where it is faster; on CUDA transformers
                compiles the model for one, and it is kept without a trial.
        """
        self._backend = backend
        self._constrain = constrain
        self._tries_static = tries_static
        self._is_static = False
        self.notes: tuple[str, ...] = ()

    async def warm_up(self, questions: Sequence[Question], max_tokens: int) -> None:
        """Compile grammars, and see which cache is faster."""
        for question in questions:
            await self.answer([question], max_tokens)
        if not self._tries_static:
            return
        if self._backend.device.type == "cuda":
            self._is_static = True
            await self.answer([max(questions, key=lambda question: len(question.ask))], max_tokens)
            self.notes = ("static cache, compiled",)
            return
        seconds = {is_static: self._trial(questions[0], max_tokens, is_static) for is_static in (False, True)}
        self._is_static = seconds[True] < seconds[False]
        self.notes = (f"{'static' if self._is_static else 'growing'} cache: the faster of both here",)

    def _trial(self, question: Question, max_tokens: int, is_static: bool) -> float:
        seconds = []
        for _ in range(_CACHE_TRIALS):
            started = time.perf_counter()
            self._backend.generate([question], max_tokens, self._constrain, is_static=is_static)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    async def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """One batch."""
        return self._backend.generate(questions, max_tokens, self._constrain, is_static=self._is_static)


def unconstrained(questions: Sequence[Question], length: int) -> Processors:
    """No processors."""
    return []


class XgrammarConstraint:
    """xgrammar's own logits processor; its compiler keeps compiled grammars."""

    def __init__(self, backend: Transformers) -> None:
        """Read the tokenizer."""
        import xgrammar

        info = xgrammar.TokenizerInfo.from_huggingface(
            backend.tokenizer, vocab_size=backend.vocab_size, stop_token_ids=[backend.end]
        )
        self._compiler = xgrammar.GrammarCompiler(info)

    def __call__(self, questions: Sequence[Question], length: int) -> Processors:
        """A processor for one batch."""
        from xgrammar.contrib.hf import LogitsProcessor

        grammars = [
            self._compiler.compile_json_schema(
                json.dumps(call_schema(question.tools)), any_whitespace=False, separators=(", ", ": ")
            )
            for question in questions
        ]
        return [LogitsProcessor(grammars)]


class LlguidanceConstraint:
    """llguidance with its own mask kernel; building a matcher takes it next to nothing."""

    def __init__(self, backend: Transformers) -> None:
        """Read the tokenizer."""
        import llguidance.hf

        self._vocab_size = backend.vocab_size
        self._tokenizer = llguidance.hf.from_tokenizer(backend.tokenizer, backend.vocab_size, backend.end)

    def __call__(self, questions: Sequence[Question], length: int) -> Processors:
        """A processor for one batch."""
        import llguidance

        matchers = []
        for question in questions:
            schema = {
                **call_schema(question.tools),
                "x-guidance": {
                    "whitespace_flexible": False,
                    "item_separator": ", ",
                    "key_separator": ": ",
                },
            }
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
            matchers.append(llguidance.LLMatcher(self._tokenizer, grammar))
        return [_LlguidanceProcessor(matchers, length, self._vocab_size)]


class _LlguidanceProcessor(transformers.LogitsProcessor):  # type: ignore[misc]  # untyped base
    def __init__(self, matchers: Sequence[Any], num_read: int, vocab_size: int) -> None:
        import llguidance.torch

        self._matchers = matchers
        self._num_read = num_read
        self._mask = llguidance.torch.allocate_token_bitmask(len(matchers), vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import llguidance.torch

        for index, matcher in enumerate(self._matchers):
            for token_id in input_ids[index, self._num_read :].tolist():
                if not matcher.is_stopped():
                    matcher.consume_token(token_id)
            if matcher.is_stopped():
                self._mask[index] = -1  # it has ended; the others have not
            else:
                llguidance.torch.fill_next_token_bitmask(matcher, self._mask, index)
        self._num_read = input_ids.shape[1]
        llguidance.torch.apply_token_bitmask_inplace(scores, self._mask.to(scores.device))
        return scores


def call_schema(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of `{"name": ..., "arguments": ...}` for any of the tools, keys in order and closed."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": _closed(tool["parameters"])},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }


def _closed(schema: Any) -> Any:
    """The same schema without undeclared keys, which grammars would allow and no row of ours writes."""
    if isinstance(schema, (list, tuple)):
        return [_closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    copied = {key: _closed(part) for key, part in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        copied["additionalProperties"] = False
    return copied
