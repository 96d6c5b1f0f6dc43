"""One run of the bench: a model is found or made, rows are opened and warmed up, and the plan is measured."""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
import transformers
from rich.console import Console

from .. import __version__
from ..config import DeploymentConfig, resolve, revised
from ..engine.device import find_capabilities
from ..engine.model_folder import find_model_folder
from ..errors import ConfigError
from ..runtime import embedded_model_folder, find_heads
from .measure import GrowthQuestions, Measurement, Plan
from .models import count_parameters, write_random_model
from .open_rows import OpenRows
from .questions import GrowthKind, Question, bounded, bundled_questions, growth_questions
from .report import BenchReport, Machine, Settings
from .rows import KINDS, BenchModel

if TYPE_CHECKING:
    from ..cli.discovered import CommandContext

_LENGTHS, _QUICK_LENGTHS = (4, 8, 16, 32, 64), (4, 16)
_BATCHES, _QUICK_BATCHES = (1, 4, 8), (1, 4)
_REPEATS, _QUICK_REPEATS = 3, 1
_QUICK_QUESTIONS = 4
_GROWTH_SCAFFOLD_TOKENS = 80
_WITHOUT_GRAMMAR = frozenset({"b0"})
_GROWTH_QUESTIONS, _QUICK_GROWTH_QUESTIONS = 2, 1
_RANDOM_STRING_LENGTH = 16
_PACKAGES = ("torch", "transformers", "xgrammar", "llguidance")


async def run_bench(arguments: argparse.Namespace, context: CommandContext) -> BenchReport:
    """Measure what was asked for.

    Raises:
        AgentRuntimeError: it contradicts itself, or the model cannot be used.
    """
    transformers.utils.logging.disable_progress_bar()
    started, began = datetime.datetime.now(datetime.UTC), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, _progress(context.progress) as tell:
        model = _model_of(arguments, context, Path(scratch), tell)
        opened = OpenRows(model)
        try:
            plan = _plan_of(arguments, model)
            kinds = [kind for kind in KINDS if arguments.rows is None or kind.key in arguments.rows]
            for kind in kinds:
                tell(f"{kind.title}: loading, warming up")
                await opened.open(kind, plan)
            measurement = Measurement(opened.rows, plan, device=model.deployment.device, tell=tell)
            measured = await measurement.run()
        finally:
            opened.close()
        return BenchReport(
            smolcall=__version__,
            started=started.isoformat(timespec="seconds"),
            seconds=time.perf_counter() - began,
            machine=_machine(model.deployment),
            settings=Settings(
                model=model.name,
                parameters=count_parameters(model.folder),
                is_random=model.is_random,
                heads=None if model.heads is None else str(model.heads),
                num_questions=len(plan.questions),
                repeats=plan.repeats,
                max_tokens=plan.max_tokens,
            ),
            rows=tuple(opened.report(kind, measured) for kind in kinds),
            agreements=measured.agreements,
        )


def _model_of(
    arguments: argparse.Namespace, context: CommandContext, scratch: Path, tell: Callable[[str], None]
) -> BenchModel:
    """The weights, and how everything runs on them."""
    if arguments.random_weights is not None:
        for option in ("heads", "adapter"):
            if getattr(arguments, option) is not None:
                raise ConfigError(
                    f"--{option} contradicts --random-weights: it fits no random weights; leave one out"
                )
    changes = {} if arguments.device is None else {"device": arguments.device}
    deployment, notes = resolve(revised(context.deployment, **changes), find_capabilities())
    for note in notes:
        context.progress.print(f"smolcall bench: {note}")
    deployment = revised(
        deployment,
        fill="autoregressive",  # rows choose their own
        temperature=0.0,
        think=False,
        date=None,
        max_parallel_calls=1,
        prefix_cache_tokens=0,
        max_batch=max((deployment.max_batch, *_or(arguments.batches, _BATCHES))),
        request_deadline_s=None,
    )
    folder = (
        embedded_model_folder()
        if arguments.model is None
        else find_model_folder(arguments.model, revision=arguments.revision)
    )
    name = "embedded model" if arguments.model is None else str(arguments.model)
    if arguments.random_weights is not None:
        tell(f"making random weights of {arguments.random_weights}")
        write_random_model(arguments.random_weights, folder, scratch)
        return BenchModel(
            folder=scratch,
            name=f"shape of {arguments.random_weights}",
            is_random=True,
            deployment=deployment,
        )
    adapter = arguments.adapter
    return BenchModel(
        folder=folder,
        name=name,
        is_random=False,
        adapter=None if adapter is None else find_model_folder(adapter, what="adapter"),
        heads=find_heads(arguments.model, arguments.heads, deployment),
        deployment=deployment,
    )


def _plan_of(arguments: argparse.Namespace, model: BenchModel) -> Plan:
    is_quick = arguments.quick
    questions: Sequence[Question] = bundled_questions()
    questions = questions[: arguments.questions or (_QUICK_QUESTIONS if is_quick else len(questions))]
    if model.is_random:
        questions = [bounded(question, _RANDOM_STRING_LENGTH) for question in questions]
    return Plan(
        questions=tuple(questions),
        growth=tuple(
            _growth(
                model,
                kind,
                length,
                number=_QUICK_GROWTH_QUESTIONS if is_quick else _GROWTH_QUESTIONS,
            )
            for kind in get_args(GrowthKind)
            for length in _or(arguments.lengths, _QUICK_LENGTHS if is_quick else _LENGTHS)
        ),
        batches=tuple(_or(arguments.batches, _QUICK_BATCHES if is_quick else _BATCHES)),
        repeats=arguments.repeats or (_QUICK_REPEATS if is_quick else _REPEATS),
        max_tokens=arguments.max_tokens,
    )


def _growth(model: BenchModel, kind: GrowthKind, length: int, *, number: int) -> GrowthQuestions:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder, local_files_only=True)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    questions = growth_questions(encode, length, kind=kind, number=number)
    # Weights that know no words write a token for every letter or two.
    longest = max(
        sum(text["maxLength"] for text in question.tools[0]["parameters"]["properties"].values())
        for question in questions
    )
    return GrowthQuestions(
        kind=kind,
        argument_tokens=length,
        max_tokens=_GROWTH_SCAFFOLD_TOKENS + longest,
        questions=questions,
        encode=encode,
        left_out=_WITHOUT_GRAMMAR if model.is_random or kind == "made up" else frozenset(),
    )


def _or(given: Sequence[int] | None, default: Sequence[int]) -> Sequence[int]:
    """What was typed, which may be nothing at all."""
    return default if given is None else given


def _machine(deployment: DeploymentConfig) -> Machine:
    is_cuda = deployment.device == "cuda"
    return Machine(
        processor=torch.cuda.get_device_name() if is_cuda else _processor_name(),
        device=deployment.device,
        dtype=deployment.dtype,
        threads=torch.get_num_threads(),
        versions={name: found for name in _PACKAGES if (found := _version(name)) is not None},
    )


def _processor_name() -> str:
    """What Linux calls the processor; elsewhere what Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """A line that says what is measured, on a terminal; nothing elsewhere."""
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield status.update
