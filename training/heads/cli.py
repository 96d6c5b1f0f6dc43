"""`python -m training heads`: train the heads of a backbone, watch them, and leave a bundle and a report."""

from __future__ import annotations

import argparse

from ..display import TrainingDisplay, say
from ..options import add_decay_option, add_recipe_options
from ..ranks import joined_ranks
from ..recipe import read_recipe
from ..recipes.backbone import decayed_from
from ..recipes.heads import heads_preset, train_heads
from ..report import require_plots
from ..tracking import tracker
from .metrics import WATCHED
from .recipe import HeadsRecipe
from .report import write_heads_report

_SHOWN = (
    ("loss", "loss", "{:.3f}"),
    ("right tokens", "real_token_accuracy", "{:.1%}"),
    ("says unused", "null_prediction_rate", "{:.1%}"),
    ("right where it says so", "null_precision", "{:.1%}"),
    ("unused positions", "avg_null_ratio", "{:.1%}"),
    ("span, presence, length", "span_loss", "{:.2f}"),
    ("held-out calls filled right", "fill_exact", "{:.1%}"),
    ("held-out values right in one step", "slot_exact", "{:.1%}"),
    ("  by the backbone, token by token", "backbone_slot_exact", "{:.1%}"),
    ("held-out spans right, first / of three", "span_top1", "{:.1%}"),
    ("held-out presence", "presence_accuracy", "{:.1%}"),
    ("held-out values that fit", "length_coverage", "{:.1%}"),
    ("slots a second", "slots_per_second", "{:,.0f}"),
    ("learning rate", "learning_rate_share", "{:.0%} of full"),
    ("gradient norm", "gradient_norm", "{:.2f}"),
)


def add_heads_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("heads", help="train the heads of a backbone, or go on training them")
    add_recipe_options(parser, HeadsRecipe)
    parser.add_argument("--model", help="backbone: model folder or Hub id (default: the embedded model)")
    add_decay_option(parser)
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    require_plots()
    recipe = read_recipe(heads_preset(parsed.preset), file=parsed.recipe, changes=tuple(parsed.set))
    if parsed.model is not None:
        recipe = recipe.model_copy(update={"model": parsed.model})
    if parsed.decay_now is not None:
        recipe = decayed_from(recipe, parsed.decay_now)
    with joined_ranks(recipe.device) as ranks:
        if not ranks.is_first:
            train_heads(recipe, ranks=ranks)
            return
        display = TrainingDisplay(recipe, what="heads", shown=_SHOWN, verdict=_verdict)
        with display, tracker(recipe) as tracked:
            folder = train_heads(recipe, watchers=(display, *tracked), ranks=ranks)
    say(f"bundle saved in {folder / 'bundle'}, report in {write_heads_report(folder)}")


def _verdict(name: str, value: float) -> str:
    return WATCHED[name].verdict(value) if name in WATCHED else ""
