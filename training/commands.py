"""The commands of `python -m training`: argument parsers, and the functions they run."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from agent_runtime import DeploymentConfig
from agent_runtime.config import values_from_pairs
from agent_runtime.runtime import embedded_model_folder

from .data.cli import add_data_command
from .display import CalibrationDisplay, EvaluationDisplay, TrainingDisplay, say
from .evaluate import evaluate, read_cases
from .export import export_model
from .free_decoding import evaluate_freely
from .heads.cli import add_heads_command
from .heads.report import is_heads_run, write_heads_report
from .options import PRESETS, add_decay_option, add_recipe_options, recipe_keys
from .ranks import joined_ranks
from .recipe import BackboneRecipe, TokenizerRecipe, read_recipe
from .recipes import backbone_preset, decayed_from, tokenizer_preset, train_backbone, train_tokenizer_recipe
from .recipes.calibrate import CalibrateRecipe, calibrate
from .recipes.embedded import train_embedded
from .recipes.heads import export_heads
from .recipes.tokenizer import conversation_length
from .reliability import reliability_tables
from .report import evaluation_tables, require_plots, write_evaluation_report, write_training_report
from .tracking import tracker


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`."""
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train and measure backbones and their heads."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_tokenizer(commands)
    _add_backbone(commands)
    add_heads_command(commands)
    _add_evaluate(commands)
    _add_calibrate(commands)
    _add_export(commands)
    _add_report(commands)
    _add_embedded(commands)
    add_data_command(commands)
    return parser


def _add_tokenizer(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("tokenizer", help="train the tokenizer")
    add_recipe_options(parser, TokenizerRecipe, example="vocab_size=8192")
    parser.set_defaults(run=_run_tokenizer)


def _run_tokenizer(parsed: argparse.Namespace) -> None:
    recipe = read_recipe(tokenizer_preset(parsed.preset), file=parsed.recipe, changes=tuple(parsed.set))
    folder = train_tokenizer_recipe(recipe)
    read, replied = conversation_length(folder)
    say(f"tokenizer saved in {folder}")
    say(f"a held-out conversation has {read:.1f} tokens, the replies in it {replied:.1f}")


def _add_backbone(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("backbone", help="train a backbone, or go on training it")
    add_recipe_options(parser, BackboneRecipe)
    add_decay_option(parser)
    parser.set_defaults(run=_run_backbone)


def _run_backbone(parsed: argparse.Namespace) -> None:
    recipe = read_recipe(backbone_preset(parsed.preset), file=parsed.recipe, changes=tuple(parsed.set))
    if parsed.decay_now is not None:
        recipe = decayed_from(recipe, parsed.decay_now)
    require_plots()
    with joined_ranks(recipe.device) as ranks:
        if not ranks.is_first:
            train_backbone(recipe, ranks=ranks)
            return
        with TrainingDisplay(recipe) as display, tracker(recipe) as tracked:
            train_backbone(recipe, watchers=(display, *tracked), ranks=ranks)
    write_training_report(recipe.folder)


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("evaluate", help="measure a model folder with the deployed engine")
    parser.add_argument("--model", help="model folder or Hub id (default: the embedded model)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SOURCE",
        help="synthetic, bfcl:FOLDER[:CATEGORY] or shared:FILE; may be repeated (default: synthetic)",
    )
    parser.add_argument("--limit", type=int, help="cases at most of each category")
    parser.add_argument(
        "--fill", choices=("autoregressive", "diffusion", "verified"), default="autoregressive"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the deployment"
    )
    parser.add_argument("--free", action="store_true", help="greedy transformers generate, no constraints")
    parser.add_argument("--output", type=Path, help="folder for the report: Markdown, plots, every outcome")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(parsed: argparse.Namespace) -> None:
    if parsed.output:
        require_plots()
    sources = parsed.data or ["synthetic"]
    cases = [case for source in sources for case in read_cases(source, limit=parsed.limit)]
    deployment = DeploymentConfig(fill=parsed.fill, **values_from_pairs(parsed.set))
    with EvaluationDisplay(len(cases)) as display:
        if parsed.free:
            model = parsed.model or embedded_model_folder()
            outcomes = evaluate_freely(model, cases, on_outcome=display.on_outcome)
        else:
            outcomes = asyncio.run(
                evaluate(parsed.model, cases, deployment=deployment, on_outcome=display.on_outcome)
            )
    say(evaluation_tables(outcomes))
    if parsed.output:
        write_evaluation_report(parsed.output, outcomes, model=parsed.model or "embedded", sources=sources)


def _add_calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("calibrate", help="fit the confidence of calls and values, and measure it")
    parser.add_argument("--model", help="model folder or Hub id (default: the embedded model)")
    parser.add_argument(
        "--heads",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="head bundle that gets the confidence head; made if there is none",
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="YAML file with keys to change")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key, for instance data.num_fit=500",
    )
    parser.add_argument("--output", type=Path, help="folder for the report (default: that of the heads)")
    parser.epilog = "keys: " + ", ".join(recipe_keys(CalibrateRecipe))
    parser.set_defaults(run=_run_calibrate)


def _run_calibrate(parsed: argparse.Namespace) -> None:
    require_plots()
    require_plots()
    recipe = read_recipe(CalibrateRecipe(), file=parsed.recipe, changes=tuple(parsed.set))
    with CalibrationDisplay(recipe.data.num_fit + recipe.data.num_test) as display:
        found = calibrate(
            parsed.model or embedded_model_folder(),
            parsed.heads,
            recipe,
            report=parsed.output,
            on_turn=display.on_turn,
        )
    say(reliability_tables(found.reliability))
    say(f"confidence saved in {parsed.heads}, report in {found.report}")


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("export", help="write a run's checkpoint as a model folder or a head bundle")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("output", type=Path, metavar="FOLDER", help="model folder to write")
    parser.add_argument("--checkpoint", choices=("latest", "best"), default="latest")
    parser.add_argument(
        "--figures", type=Path, metavar="FILE", help="Markdown with figures for the model card"
    )
    parser.set_defaults(run=_run_export)


def _run_export(parsed: argparse.Namespace) -> None:
    if is_heads_run(parsed.run_folder):
        say(f"bundle saved in {export_heads(parsed.run_folder, parsed.output, name=parsed.checkpoint)}")
        return
    figures = parsed.figures.read_text(encoding="utf-8") if parsed.figures else ""
    folder = export_model(parsed.run_folder, parsed.output, name=parsed.checkpoint, evaluation=figures)
    say(f"model saved in {folder}")


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("report", help="write the report of a training run again")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a training run")
    parser.set_defaults(run=_run_report)


def _run_report(parsed: argparse.Namespace) -> None:
    run: Path = parsed.run_folder
    write = write_heads_report if is_heads_run(run) else write_training_report
    say(f"report saved in {write(run)}")


def _add_embedded(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "embedded", help="the whole chain: tokenizer, backbone, model folder, evaluation"
    )
    parser.add_argument("--preset", choices=PRESETS, default="smoke", help="named recipe (default: smoke)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder for everything (default: runs)"
    )
    parser.add_argument("--public", help="folder of public rows in the normalised format, to read besides")
    parser.set_defaults(run=_run_embedded)


def _run_embedded(parsed: argparse.Namespace) -> None:
    say(train_embedded(parsed.preset, output=parsed.output, public=parsed.public))
