"""Held-out calls as a deployment fills them with the heads of now: what decides which checkpoint is the best.

The tool is named, so that a call is right or wrong by its values alone, whatever the backbone would have
chosen. And drafts are not read again: the backbone would correct what heads say, until all heads look alike.
"""

from __future__ import annotations

import asyncio
import tempfile
from itertools import islice
from pathlib import Path

import torch

from agent_runtime import AgentRuntime, DeploymentConfig
from agent_runtime.errors import AgentRuntimeError
from agent_runtime.evaluation.bfcl import Call
from heads import HeadBundle

from ..data import Example, synthetic_examples
from ..scores import is_same_calls

_SEED = 4_000_037
"""Of the conversations: neither those of evaluation nor those of calibration, which come after."""

_AT_ONCE = 8


class HeldOutFills:
    """Some held-out conversations whose next turn is one call."""

    def __init__(self, model: Path, num_calls: int) -> None:
        """Draw them.

        Args:
            model: the backbone's folder.
            num_calls: as many conversations.
        """
        drawn = synthetic_examples(_SEED, split="dev")
        self._examples = list(islice((one for one in drawn if len(_calls_of(one)) == 1), num_calls))
        self._model = model

    def share_right(self, bundle: HeadBundle, dtype: torch.dtype) -> float:
        """The share of calls that the diffusion fill writes as the data has them."""
        with tempfile.TemporaryDirectory(prefix="heads-") as folder:
            bundle.save_pretrained(folder, dtype=dtype)
            return asyncio.run(self._share_right(Path(folder)))

    async def _share_right(self, heads: Path) -> float:
        deployment = DeploymentConfig(fill="diffusion", reencode_every=0)
        waiting = iter(self._examples)
        verdicts: list[bool] = []
        async with AgentRuntime.load(self._model, heads=heads, deployment=deployment) as runtime:

            async def answer() -> None:
                verdicts.extend([await _is_right(runtime, example) for example in waiting])

            await asyncio.gather(*(answer() for _ in range(_AT_ONCE)))
        return sum(verdicts) / max(len(verdicts), 1)


async def _is_right(runtime: AgentRuntime, example: Example) -> bool:
    expected = _calls_of(example)
    try:
        turn = await runtime.respond(
            example.messages[:-1],
            tools=example.tools,
            date=example.date,
            tool_choice=expected[0].name,
            parallel_tool_calls=False,
        )
    except AgentRuntimeError:  # a conversation that the runtime refuses is not filled right
        return False
    return is_same_calls([Call(call.name, call.arguments) for call in turn.tool_calls], expected)


def _calls_of(example: Example) -> list[Call]:
    return [Call(call["name"], call["arguments"]) for call in example.target.get("tool_calls") or ()]
