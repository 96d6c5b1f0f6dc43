"""Every loss of the heads reaches the parameters it is for, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from heads import NoiseConfig
from tests.unit.head_batches import objective, read, tiny_backbone, tiny_batch
from training.heads.inputs import own_values
from training.heads.objective import HeadObjective, TrainingNoise
from training.heads.recipe import HeadsRecipe, SizesRecipe
from training.losses import LossWeights

NOTHING = {
    "entropy": 0.0,
    "null_penalty": 0.0,
    "distillation": 0.0,
    "span": 0.0,
    "presence": 0.0,
    "length": 0.0,
}


def reached(**weights: float) -> set[str]:
    """Parameters with a gradient under these weights, the token loss taken away."""
    made = objective()
    made._weights = LossWeights(**{**NOTHING, **weights})
    batch, states = read(tiny_batch(), made)
    losses = made.losses(batch, states, progress=0.5, generator=torch.Generator().manual_seed(0))
    total = losses.total
    total.backward()  # type: ignore[no-untyped-call]
    return set(gradients(made))


def gradients(made: HeadObjective) -> Iterator[str]:
    for name, parameter in made.bundle.named_parameters():
        if parameter.grad is not None and float(parameter.grad.abs().sum()) > 0:
            yield name


def test_token_and_distillation_losses_reach_the_diffusion_head_alone() -> None:
    alone = reached()
    assert alone == reached(distillation=1.0)
    heads = {name.split(".")[0] for name in alone}
    assert heads == {"diffusion"}
    whole = {f"diffusion.{name}" for name, _ in objective().bundle.diffusion.named_parameters()}  # type: ignore[union-attr]
    assert whole - alone == set()


def test_span_loss_reaches_every_parameter_of_the_span_head() -> None:
    found = {name for name in reached(span=1.0) if not name.startswith("diffusion.")}
    whole = {f"span.{name}" for name, _ in objective().bundle.span.named_parameters()}  # type: ignore[union-attr]
    assert whole - found == {"span.given_out.weight", "span.given_out.bias"}


def test_what_the_messages_say_of_presence_is_learnt_from_presence() -> None:
    found = {name for name in reached(presence=1.0) if name.startswith("span.")}
    assert {"span.given_out.weight", "span.absent_in.weight", "span.state_in.weight"} <= found
    assert "span.absent_out.weight" not in found


def test_whole_span_loss_reaches_the_span_head_too() -> None:
    found = reached(span=1.0, span_pointer=0.0, span_soft=0.0, span_absent=0.0, span_whole=1.0)
    assert "span.num_tokens_out.weight" in found and "span.absent_out.weight" not in found


@pytest.mark.parametrize(("name", "output"), [("length", "length_out"), ("presence", "presence_out")])
def test_probes_learn_each_from_its_own_loss(name: str, output: str) -> None:
    found = {parameter for parameter in reached(**{name: 1.0}) if parameter.startswith("probes.")}
    outputs = {parameter.split(".")[1] for parameter in found if "_out" in parameter}
    assert outputs == {output}
    assert "probes.anchor_in.weight" in found


def test_the_backbone_has_no_gradient() -> None:
    reached(span=1.0, distillation=1.0)
    assert all(parameter.grad is None for parameter in tiny_backbone().model.parameters())


def test_products_in_bfloat16_give_gradients_in_float32() -> None:
    made = objective(dtype=torch.bfloat16)
    batch, states = read(tiny_batch(), made)
    losses = made.losses(
        batch, states.to(torch.bfloat16), progress=0.0, generator=torch.Generator().manual_seed(0)
    )
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert made.bundle.diffusion is not None
    gradient = made.bundle.diffusion.delta_out.weight.grad
    assert gradient is not None and gradient.dtype == torch.float32
    assert torch.isfinite(gradient).all()


def test_the_backbones_own_values_are_labels_up_to_where_they_leave_the_gold_ones() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    own = own_values(batch, states, made.tables, made.ends, made.bundle.config)
    model = tiny_backbone().model
    logits = model(
        batch.tokens,
        attention_mask=torch.zeros(batch.may_read().shape).masked_fill(~batch.may_read(), -1e30)[:, None],
        position_ids=batch.positions,
    ).logits.flatten(0, 1)
    for slot in (batch.is_given & (batch.gold_at > 0)).nonzero()[:, 0].tolist():
        at = int(batch.gold_at[slot])
        ends = made.tables.end_ids[int(batch.is_string[slot])]
        ends = ends[ends >= 0]
        row = logits[at - 1].clone()
        row[made.bundle.config.null_token_id] = row[ends].logsumexp(0)
        row[ends] -= 30.0
        row[made.bundle.config.mask_token_id] = float("-inf")
        assert int(own.tokens[slot, 0]) == int(row.argmax())
        gold = int(batch.tokens.flatten()[at]) if batch.num_tokens[slot] else None
        assert (int(own.num_agreed[slot]) > 0) == (int(row.argmax()) == gold)


def test_the_target_decides_what_is_learnt() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)

    def loss(target: str) -> float:
        made._noise = replace(made._noise, target=target)  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(3)
        return float(made.losses(batch, states, progress=0.2, generator=generator).total.detach())

    assert loss("gold") != loss("backbone")


def test_drafts_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)

    def loss(seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return float(made.losses(batch, states, progress=0.2, generator=generator).total.detach())

    assert loss(1) == loss(1) != loss(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unread_share", 1.0),
        ("blank_share", 1.0),
        ("null_share", 1.0),
        ("most_positions", 3),
        ("masks", NoiseConfig(full_share=1.0)),
    ],
)
def test_every_setting_of_the_noise_changes_what_is_learnt(name: str, value: object) -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    usual = replace(made._noise, most_positions=24, null_share=0.0)

    def loss(noise: TrainingNoise) -> float:
        made._noise = noise
        generator = torch.Generator().manual_seed(3)
        return float(made.losses(batch, states, progress=0.0, generator=generator).total.detach())

    assert loss(usual) != loss(replace(usual, **{name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"), [("max_width", 32), ("diffusion_blocks", 1), ("span_blocks", 1), ("dropout", 0.3)]
)
def test_every_size_of_the_recipe_is_one_of_the_heads(name: str, value: float) -> None:
    backbone = tiny_backbone()
    usual = backbone.head_config(HeadsRecipe())
    changed = backbone.head_config(HeadsRecipe(sizes=SizesRecipe(**{name: value})))
    assert changed != usual
