"""One run of `smolcall bfcl`: choose categories, ask what is open, score everything."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from agent_runtime import AgentRuntime
from agent_runtime.cli.discovered import CommandContext
from agent_runtime.config import DeploymentConfig
from agent_runtime.errors import ConfigError
from agent_runtime.evaluation.bfcl import LIVE, NON_LIVE, SINGLE_TURN, Question, categories, read_questions
from agent_runtime.runtime import embedded_model_folder

from .asking import Answer, ask_all, has_failed
from .files import BfclFolder, json_line
from .scoring import CategoryScore, score_category, summary
from .table import AskingProgress

_GROUPS = {
    "all": SINGLE_TURN,
    "live": LIVE,
    "non_live": NON_LIVE,
    "ast": tuple(name for name in SINGLE_TURN if "relevance" not in name),
    "relevance": tuple(name for name in SINGLE_TURN if "relevance" in name),
}
_NO_INFLUENCE = ("max_batch", "max_queue", "prefix_cache_tokens")
"""Settings that change how fast answers come, and not which."""
_READ_BYTES = 1 << 20


async def run_bfcl(arguments: argparse.Namespace, context: CommandContext) -> list[CategoryScore]:
    """Ask and score.

    Args:
        arguments: see `BfclCommand.add_options`.
        context: deployment, runtime and consoles.

    Returns:
        The score of every category, in the leaderboard's order.

    Raises:
        AgentRuntimeError: the files or the model cannot be used.
    """
    chosen = chosen_categories(arguments.data, arguments.categories)
    questions = {
        category: list(islice(read_questions(arguments.data, category), arguments.limit))
        for category in chosen
    }
    folder = BfclFolder(arguments.out, arguments.name or _default_name(arguments.model, context.deployment))
    if arguments.fresh and arguments.score_only:
        raise ConfigError("--fresh contradicts --score-only: leave one of them out")
    if arguments.fresh:
        folder.forget(chosen)
    if not arguments.score_only:
        folder.claim(_description(arguments, context.deployment))
        concurrency = arguments.concurrency or context.deployment.max_batch
        await _ask_open(questions, folder, context, concurrency=concurrency, retry=arguments.retry)
    scores = [
        score_category(category, asked, folder.read_answers(category), name=folder.name)
        for category, asked in questions.items()
    ]
    scores = [score for score in scores if score.right.total]
    if not scores:
        raise ConfigError(f"there are no answers to score in {folder.results}: leave --score-only out")
    for score in scores:
        folder.write_score(score.category, score.rows())
    folder.write_summary({"name": folder.name, **summary(scores)})
    return scores


def chosen_categories(data: Path, named: Sequence[str]) -> list[str]:
    """Categories by name or group, in the leaderboard's order; of a group, those whose files are there.

    Raises:
        ConfigError: an unknown name, or no question file.
    """
    present = categories(data)
    if not present:
        raise ConfigError(
            f"{data} holds no BFCL_v4_*.json of a category with one turn: give the folder of question files"
        )
    wanted: set[str] = set()
    for name in (part for text in named for part in text.split(",") if part):
        if name in _GROUPS:
            wanted.update(set(_GROUPS[name]) & set(present))
        elif name in SINGLE_TURN:
            wanted.add(name)
        else:
            raise ConfigError(
                f"unknown category {name!r}: choose among {', '.join([*_GROUPS, *SINGLE_TURN])}. "
                "Conversations, memory and web search are run by the official program "
                "(python -m integrations.bfcl.official)"
            )
    if not wanted:
        raise ConfigError(f"{data} holds none of {', '.join(named)}, only {', '.join(present)}")
    return [name for name in SINGLE_TURN if name in wanted]


async def _ask_open(
    questions: dict[str, list[Question]],
    folder: BfclFolder,
    context: CommandContext,
    *,
    concurrency: int,
    retry: bool,
) -> None:
    async with AsyncExitStack() as stack:
        runtime: AgentRuntime | None = None
        progress = stack.enter_context(AskingProgress(context.progress))
        for category, asked in questions.items():
            answered = folder.read_answers(category)
            if retry and (failed := {id for id, row in answered.items() if has_failed(row["result"])}):
                folder.drop_answers(category, failed)
                answered = {id: row for id, row in answered.items() if id not in failed}
            left = [question for question in asked if question.id not in answered]
            progress.begin(category, done=len(asked) - len(left), total=len(asked))
            if not left:
                continue
            if runtime is None:  # a run that is complete needs no weights
                runtime = await stack.enter_async_context(context.load())
                await runtime.warm_up()
            with folder.open_answers(category) as file:

                def keep(answer: Answer, file: Any = file) -> None:
                    file.write(json_line(answer))
                    file.flush()
                    progress.advance()

                await ask_all(runtime, left, concurrency=concurrency, on_answer=keep)
            folder.sort_answers(category, [question.id for question in asked])


def _default_name(model: str | None, deployment: DeploymentConfig) -> str:
    base = "smolcall-embedded" if model is None else Path(model).name or model
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{base}-{deployment.fill}").strip("-.") or "model"


def _description(arguments: argparse.Namespace, deployment: DeploymentConfig) -> dict[str, Any]:
    settings = deployment.model_dump(mode="json", exclude=set(_NO_INFLUENCE))
    return {
        "model": arguments.model or "embedded",
        "weights": _fingerprint(Path(arguments.model) if arguments.model else embedded_model_folder()),
        "revision": arguments.revision,
        "adapter": arguments.adapter,
        "heads": arguments.heads,
        **{f"setting {name}": value for name, value in settings.items()},
    }


def _fingerprint(folder: Path) -> str | None:
    """Tells weights from earlier ones without reading gigabytes: by the sizes and the ends of their files."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as weights:
            digest.update(weights.read(_READ_BYTES))
            weights.seek(max(0, size - _READ_BYTES))
            digest.update(weights.read(_READ_BYTES))
    return digest.hexdigest() if files else None
