"""The calibrate recipe: a confidence head for a backbone, fitted on calls of the deployed engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from agent_runtime import DeploymentConfig
from agent_runtime.config import Fill
from agent_runtime.engine.model_folder import find_model_folder, fingerprint_of, read_config, read_tokenizer
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from heads import (
    BackboneFacts,
    BundleMismatch,
    Calibration,
    ConfidenceConfig,
    HeadBundle,
    HeadConfig,
    ValueWeights,
    revised,
    stated_in_card,
)

from ..calibrate import JudgedTurn, judged_turns
from ..confidence_fit import ConfidenceFitRecipe, fit_confidence, stated_by, stated_plainly
from ..data import synthetic_examples
from ..recipe import RecipePart
from ..reliability import (
    Reliability,
    best_threshold,
    measured,
    reliability_tables,
    write_reliability_report,
)
from ..value_fit import ValueFitRecipe, fit_values

_NOTES = "### Confidence"


class CalibrateDataRecipe(RecipePart):
    """Which conversations are asked: composed ones, of actions that backbones are not trained on."""

    fit_seed: int = 2_000_003
    """Seed of the conversations the head is fitted on."""

    num_fit: int = Field(default=4000, ge=20)
    """So many of them at most."""

    test_seed: int = 3_000_017
    """Seed of those it is measured on."""

    num_test: int = Field(default=2000, ge=20)
    """So many of them at most."""

    minutes: float = Field(default=8.0, gt=0)
    """No conversation is begun after so long; two thirds of it are for fitting."""


class CalibrateRecipe(RecipePart):
    """Everything the calibration of confidence is told."""

    data: CalibrateDataRecipe = CalibrateDataRecipe()
    fit: ConfidenceFitRecipe = ConfidenceFitRecipe()

    values: ValueFitRecipe = ValueFitRecipe()
    """Of the weights by which the diffusion fill chooses values; they come first, since they change calls."""

    fills: tuple[Fill, ...] = ()
    """How the calls are filled, each for its part of the conversations. None named: verified (its calls are
    those of the autoregressive fill, sooner), and diffusion where the bundle has a head for it."""

    concurrency: int = Field(default=8, ge=1)
    """Turns at the same time."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What came of a calibration."""

    bundle: HeadBundle
    reliability: Reliability
    report: Path


def calibrate(
    model: str | Path,
    heads: Path,
    recipe: CalibrateRecipe,
    *,
    report: Path | None = None,
    on_turn: Callable[[JudgedTurn], None] = lambda turn: None,
) -> Calibrated:
    """Fit confidence for a backbone and put it into a bundle, made if there is none.

    Args:
        model: a model folder or Hub id.
        heads: the bundle's folder. Its other heads stay as they are.
        recipe: what to ask and how to fit.
        report: folder for the report; the bundle's own when left out.
        on_turn: told of every conversation that was asked.

    Raises:
        HeadBundleError: the folder holds something that is no bundle, or a damaged one.
        BundleMismatch: its heads were made for another backbone.
        ConfigError: the model cannot be read, or gives too few calls to fit on.
    """
    bundle = _bundle_for(model, heads, recipe)
    data = recipe.data

    fills = recipe.fills or (("verified", "diffusion") if bundle.diffusion is not None else ("verified",))

    with TemporaryDirectory() as scratch:
        deployed = Path(scratch)

        def ask(seed: int, count: int, minutes: float, fills: Sequence[Fill] = fills) -> list[JudgedTurn]:
            turns: list[JudgedTurn] = []
            share = count // len(fills)
            for number, fill in enumerate(fills):
                examples = islice(synthetic_examples(seed, share * number, split="dev"), share)
                asked = judged_turns(
                    model,
                    examples,
                    heads=deployed if fill == "diffusion" else None,
                    deployment=DeploymentConfig(fill=fill),
                    concurrency=recipe.concurrency,
                    max_seconds=60 * minutes / len(fills),
                    on_turn=on_turn,
                )
                turns += asyncio.run(asked)
            return turns

        if "diffusion" in fills:
            part = recipe.values
            # Weights that change nothing, so that values are weighed at all.
            _set_values(bundle, ValueWeights()).save_pretrained(deployed)
            fitted = fit_values(ask(part.seed, part.num_conversations, part.minutes, ("diffusion",)), part)
            _set_values(bundle, fitted.weights, fitted.shares()).save_pretrained(deployed)
        fitted_on = ask(data.fit_seed, data.num_fit, data.minutes * 2 / 3)
        tested_on = ask(data.test_seed, data.num_test, data.minutes / 3)
    head, of_slots, of_calls, stated = fit_confidence(fitted_on, bundle.config, recipe.fit)
    calibration = bundle.calibration.model_copy(update={"confidence": of_slots, "call": of_calls})
    reliability = Reliability(
        turns=tested_on,
        plain=stated_plainly(tested_on, bundle.config),
        learned=stated_by(head, calibration, tested_on, bundle.config),
        slot_kinds=bundle.config.slot_kinds,
        threshold=best_threshold(fitted_on, stated.calls),
    )
    bundle.confidence = head
    bundle.calibration = Calibration.model_validate(
        {**calibration.model_dump(), "measured": {**calibration.measured, **measured(reliability)}}
    )
    _save(bundle, heads, reliability, num_fitted=len(fitted_on))
    written = write_reliability_report(
        report or heads,
        reliability,
        about=(
            f"Fitted on the calls of {len(fitted_on):,} composed conversations (seed {data.fit_seed}), "
            f"measured on {len(tested_on):,} others (seed {data.test_seed}); fill {' and '.join(fills)}. "
            "Neither has an action that backbones are trained on."
        ),
    )
    return Calibrated(bundle, reliability, written)


def _set_values(
    bundle: HeadBundle, weights: ValueWeights | None, shares: Mapping[str, float] | None = None
) -> HeadBundle:
    """The bundle, choosing values by these weights."""
    old = bundle.calibration
    bundle.calibration = Calibration.model_validate(
        {**old.model_dump(), "values": weights, "measured": {**old.measured, **(shares or {})}}
    )
    return bundle


def _bundle_for(model: str | Path, folder: Path, recipe: CalibrateRecipe) -> HeadBundle:
    """The bundle in the folder, with a new confidence head; or one with nothing else."""
    facts, part = _facts_of(model), ConfidenceConfig(width=recipe.fit.width)
    if not (folder / "config.json").exists():
        return HeadBundle(
            HeadConfig(
                backbone=facts,
                taps=(facts.num_layers,),
                mask_token_id=0,
                null_token_id=1,
                confidence=part,
            )
        )
    old = HeadBundle.from_pretrained(folder)
    differences = old.config.backbone.differences(facts)
    if differences:
        raise BundleMismatch(differences, source=folder)
    new = HeadBundle(revised(old.config, confidence=part), calibration=old.calibration)
    for name in ("diffusion", "span", "probes"):
        setattr(new, name, getattr(old, name))
    return new


def _facts_of(model: str | Path) -> BackboneFacts:
    """What heads must have been made for, without reading the weights into memory."""
    folder = find_model_folder(model)
    config = read_config(folder)
    tokenizer = read_tokenizer(folder, config.vocab_size)
    return BackboneFacts(
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
        fingerprint=fingerprint_of(folder, None),
        tokenizer_fingerprint=TokenVocabulary.from_tokenizer(tokenizer).fingerprint,
    )


def _save(bundle: HeadBundle, folder: Path, reliability: Reliability, *, num_fitted: int) -> None:
    """Write the bundle; its card keeps what was said in it, and says how confidence was fitted."""
    said = stated_in_card(folder)
    notes = said.notes.partition(_NOTES)[0].strip()
    about = (
        f"{_NOTES}\n\nFitted on the calls of {num_fitted:,} composed conversations, measured on "
        f"{len(reliability.turns):,} others.\n\n{reliability_tables(reliability)}"
    )
    bundle.save_pretrained(folder, base_model=said.base_model, notes=f"{notes}\n\n{about}".strip())
