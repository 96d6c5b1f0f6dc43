"""The same cases without any constraint: `transformers` generates greedily, and what it wrote is parsed.

The baseline that shows what constrained decoding adds. Everything else an evaluation measures goes through
the deployed engine (evaluate.py).
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agent_runtime.evaluation.bfcl import Call
from agent_runtime.messages import read_messages
from agent_runtime.prompt import PromptFormat, parse_reply, render_prompt

from .conversations import offered_tools
from .evaluate import Case
from .scores import Outcome

MAX_NEW_TOKENS = 256


class FreeDecoder:
    """A model folder that answers cases without constraints."""

    def __init__(self, model: str | Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self._format = PromptFormat.for_folder(model)

    def answer(self, case: Case) -> Outcome:
        """Generate a reply and judge it as the engine's are."""
        began = time.perf_counter()
        prompt = render_prompt(
            read_messages(case.messages),
            offered_tools(case.tools),
            format=self._format,
            tokenizer=self._tokenizer,
            date=datetime.date.fromisoformat(case.date) if case.date else None,
        )
        ids = torch.tensor([prompt.ids])
        with torch.inference_mode():
            written = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                eos_token_id=self._tokenizer.convert_tokens_to_ids(self._format.reply_end),
                pad_token_id=self._tokenizer.pad_token_id,
            )
        text = self._tokenizer.decode(written[0, len(prompt.ids) :]).removesuffix(self._format.reply_end)
        parsed = parse_reply(text, [tool["name"] for tool in case.tools])
        given = tuple(Call(call.name, call.arguments) for call in parsed.calls)
        return case.outcome(given, parsed.content, began=began, is_readable=not parsed.problems)


def evaluate_freely(
    model: str | Path, cases: Sequence[Case], *, on_outcome: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """Ask the model every case, one after the other."""
    decoder = FreeDecoder(model)
    outcomes: list[Outcome] = []
    for case in cases:
        outcomes.append(decoder.answer(case))
        on_outcome(outcomes[-1])
    return outcomes
