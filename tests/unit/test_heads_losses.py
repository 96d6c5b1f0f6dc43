"""Every loss has a gradient that points the right way, and none of them forbids what serving asks for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from heads import Calibration
from training.losses import (
    LossWeights,
    SpanLabels,
    confidence_loss,
    distillation_loss,
    entropy_weight,
    length_loss,
    presence_loss,
    span_loss,
    token_loss,
    whole_span_loss,
)

VOCAB, NULL, MASK = 40, 38, 39
PLAIN = LossWeights(label_smoothing=0.0, entropy=0.0, null=1.0, null_penalty=0.0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def number(x: Tensor) -> float:
    return float(x.detach())


def token_scores(rows: int, *, seed: int = 0) -> Tensor:
    scores = drawn(rows, VOCAB, seed=seed)
    scores[:, MASK] = float("-inf")
    return scores.requires_grad_()


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, of)
    assert found.isfinite().all()
    assert found.abs().sum() > 0
    return found


LABELS = torch.tensor([3, 7, NULL, NULL])
TIMES = torch.tensor([1.0, 0.5, 1.0, 0.0])


def test_token_loss_raises_the_label_and_lowers_the_rest() -> None:
    scores = token_scores(4)

    loss = token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=LossWeights())
    found = gradient(loss.total, scores)

    assert (found.gather(1, LABELS[:, None]) < 0).all()
    assert (found[:, MASK] == 0).all()


def test_token_loss_is_cross_entropy_when_nothing_is_added() -> None:
    scores = token_scores(2)

    loss = token_loss(scores, LABELS[:2], TIMES[:2], null_token_id=NULL, weights=PLAIN)

    assert number(loss.total) == pytest.approx(number(functional.cross_entropy(scores, LABELS[:2])))
    assert number(loss.cross_entropy) == pytest.approx(number(loss.total))


def test_null_labels_weigh_less_and_by_the_time_of_their_own_sample() -> None:
    scores = token_scores(4)
    weights = LossWeights(label_smoothing=0.0, entropy=0.0, null_penalty=0.0, null=0.4)
    each = functional.cross_entropy(scores.detach(), LABELS, reduction="none")
    scales = torch.tensor([1.0, 1.0, 0.4 * (0.3 + 0.7 * 1.0), 0.4 * 0.3])

    loss = token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=weights)

    assert number(loss.total) == pytest.approx(number((each * scales).sum() / scales.sum()), rel=1e-5)


def test_null_where_a_token_belongs_is_punished() -> None:
    scores = token_scores(4)
    weights = LossWeights(null_penalty=5.0)

    with_penalty = gradient(
        token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=weights).total, scores
    )
    without = gradient(
        token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=LossWeights(null_penalty=0.0)).total,
        scores,
    )

    assert (with_penalty[:2, NULL] > without[:2, NULL]).all()
    torch.testing.assert_close(with_penalty[2:], without[2:])


def test_only_nulls_or_no_rows_at_all_are_no_trouble() -> None:
    for rows in (2, 0):
        scores = token_scores(rows)
        labels = torch.full((rows,), NULL)

        loss = token_loss(scores, labels, torch.ones(rows), null_token_id=NULL, weights=LossWeights())

        assert rows == 0 or loss.total.isfinite()


def test_entropy_is_rewarded_at_first_and_never_at_the_end() -> None:
    scores = token_scores(4)
    weights = LossWeights(entropy=0.08, entropy_until=0.5)

    def total(progress: float) -> Tensor:
        return token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=weights, progress=progress).total

    assert [entropy_weight(weights, p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.08, 0.04, 0, 0])
    assert number(total(0.0)) < number(total(0.25)) < number(total(0.5)) == number(total(1.0))
    assert not torch.allclose(gradient(total(0.0), scores), gradient(total(1.0), scores))


def test_a_perfectly_known_token_can_lock() -> None:
    """With the constants of an earlier system the best probability of a sure token was 0.68, the lock 0.7."""
    vocab = 128_256
    label = torch.tensor([5])
    scores = torch.zeros(1, vocab)
    known = torch.tensor(2.0, requires_grad=True)  # one number is enough: the rest are alike
    optimizer = torch.optim.LBFGS([known], max_iter=60, line_search_fn="strong_wolfe")

    def scored() -> Tensor:
        return scores.index_fill(1, label, 0.0) + known * functional.one_hot(label, vocab)

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = token_loss(
            scored(), label, torch.ones(1), null_token_id=vocab - 1, weights=LossWeights()
        ).total
        total.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch does not annotate it

    assert number(scored().softmax(-1)[0, 5]) > max(0.95, Calibration().lock_from)


def test_training_temperature_is_divided_by() -> None:
    scores = token_scores(4)
    heated = token_loss(
        scores, LABELS, TIMES, null_token_id=NULL, weights=PLAIN.model_copy(update={"temperature": 2.0})
    )
    halved = token_loss(scores / 2, LABELS, TIMES, null_token_id=NULL, weights=PLAIN)

    assert number(heated.total) == pytest.approx(number(halved.total))


def test_distillation_pulls_towards_the_teacher_most_at_the_beginning() -> None:
    scores, teacher = token_scores(2, seed=1), token_scores(2, seed=2).detach()
    scores = scores.detach()[:1].expand(2, -1).clone().requires_grad_()
    teacher = teacher[:1].expand(2, -1)

    loss = distillation_loss(scores, teacher, torch.tensor([0, 6]), weights=LossWeights())
    found = gradient(loss, scores)

    assert found[0].abs().sum() > found[1].abs().sum() > 0
    moved = scores.detach() - 0.5 * found
    assert distillation_loss(moved, teacher, torch.tensor([0, 6]), weights=LossWeights()) < loss
    assert number(distillation_loss(teacher, teacher, torch.tensor([0, 6]), weights=LossWeights())) < 1e-6


def test_distillation_temperature_keeps_the_size_of_gradients() -> None:
    scores, teacher = token_scores(8), token_scores(8, seed=3).detach()
    positions = torch.zeros(8)
    sizes = [
        number(
            gradient(
                distillation_loss(
                    scores, teacher, positions, weights=LossWeights(distillation_temperature=heat)
                ),
                scores,
            )
            .abs()
            .sum()
        )
        for heat in (1.0, 4.0)
    ]

    assert 0.3 < sizes[1] / sizes[0] < 3.0


# Spans: (rows, length), column 0 is "not in the text", the last two columns of row 0 are padding.

COPYABLE = torch.tensor(
    [[0, 1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]], dtype=torch.bool
)
SPANS = SpanLabels(
    start=torch.tensor([2, 1, 0]), end=torch.tensor([4, 2, 0]), is_known=torch.tensor([True, True, True])
)


def span_scores(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    start, last = (drawn(3, 7, seed=seed + n).masked_fill(~COPYABLE, float("-inf")) for n in range(2))
    return start.requires_grad_(), last.requires_grad_(), drawn(3, seed=seed + 2).requires_grad_()


def test_span_loss_raises_both_ends_and_the_right_answer_to_whether() -> None:
    start, last, absent = span_scores()

    loss = span_loss(start, last, absent, COPYABLE, SPANS, weights=LossWeights())
    by_start, by_last, by_absent = torch.autograd.grad(loss, (start, last, absent))

    assert by_start[0, 2] < 0 and by_last[0, 3] < 0 and by_start[1, 1] < 0 and by_last[1, 1] < 0
    assert (by_absent[:2] > 0).all() and by_absent[2] < 0
    for found in (by_start, by_last):
        assert found.isfinite().all()
        assert (found[~COPYABLE] == 0).all()
        assert (found[2] == 0).all()  # a row without a span has no part in the pointers


def test_span_loss_adds_up_as_written() -> None:
    start, last, absent = span_scores()
    parts = {
        name: number(
            span_loss(
                start,
                last,
                absent,
                COPYABLE,
                SPANS,
                weights=LossWeights(**{"span_pointer": 0.0, "span_soft": 0.0, "span_absent": 0.0, name: 1.0}),
            )
        )
        for name in ("span_pointer", "span_soft", "span_absent")
    }

    whole = number(span_loss(start, last, absent, COPYABLE, SPANS, weights=LossWeights()))

    assert all(part > 0 for part in parts.values())
    expected = 0.8 * parts["span_pointer"] + 0.2 * parts["span_soft"] + 0.2 * parts["span_absent"]
    assert whole == pytest.approx(expected, rel=1e-5)


def test_soft_target_forgives_near_misses() -> None:
    only_soft = LossWeights(span_pointer=0.0, span_absent=0.0)
    labels = SpanLabels(start=torch.tensor([3]), end=torch.tensor([4]), is_known=torch.tensor([True]))
    copyable = torch.ones(1, 8, dtype=torch.bool)
    copyable[0, 0] = False

    def loss_of_pointing_at(column: int) -> float:
        scores = torch.full((1, 8), -4.0)
        scores[0, column] = 4.0
        return number(span_loss(scores, scores, torch.zeros(1), copyable, labels, weights=only_soft))

    assert loss_of_pointing_at(3) < loss_of_pointing_at(4) < loss_of_pointing_at(5) < loss_of_pointing_at(7)


@settings(max_examples=30, deadline=None)
@given(extra=st.integers(1, 20), junk=st.floats(-50, 50))
def test_padding_has_no_part_in_the_span_loss(extra: int, junk: float) -> None:
    start, last, absent = span_scores()
    padding = torch.full((3, extra), junk)
    padded = [torch.cat((scores.detach(), padding), 1) for scores in (start, last)]
    copyable = functional.pad(COPYABLE, (0, extra))

    longer = span_loss(padded[0], padded[1], absent, copyable, SPANS, weights=LossWeights())

    shorter = span_loss(start, last, absent, COPYABLE, SPANS, weights=LossWeights())
    assert number(longer) == pytest.approx(number(shorter), rel=1e-5)


def test_rows_whose_label_contradicts_its_record_have_no_part() -> None:
    start, last, absent = span_scores()
    labels = SpanLabels(start=SPANS.start, end=SPANS.end, is_known=torch.tensor([True, False, True]))

    found = torch.autograd.grad(
        span_loss(start, last, absent, COPYABLE, labels, weights=LossWeights()), (start, last, absent)
    )

    assert all(number(g[1].abs().sum()) == 0 for g in found)
    assert all(number(g[0].abs().sum()) > 0 for g in found)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(3, 3, id="empty"),
        pytest.param(3, 2, id="reversed"),
        pytest.param(0, 2, id="begins where nothing stands"),
        pytest.param(3, 6, id="ends in padding"),
    ],
)
def test_a_label_that_is_no_span_is_refused(start: int, end: int) -> None:
    scores = span_scores()
    labels = SpanLabels(
        start=torch.tensor([start, 1, 0]), end=torch.tensor([end, 2, 0]), is_known=SPANS.is_known
    )

    with pytest.raises(ValueError, match="span label 0"):
        span_loss(*scores, COPYABLE, labels, weights=LossWeights())


def test_a_batch_without_any_span_still_teaches_absence() -> None:
    start, last, absent = span_scores()
    nothing = torch.zeros(3, dtype=torch.long)
    labels = SpanLabels(start=nothing, end=nothing, is_known=torch.ones(3, dtype=torch.bool))

    loss = span_loss(start, last, absent, COPYABLE, labels, weights=LossWeights())

    assert (gradient(loss, absent) < 0).all()


def test_whole_span_loss_raises_the_right_span_alone() -> None:
    scores = drawn(3, 7, 3).requires_grad_()  # (rows, length, tokens)
    log_probabilities = scores.flatten(1).log_softmax(-1).view_as(scores)

    found = gradient(whole_span_loss(log_probabilities, SPANS), scores)

    assert [tuple(at) for at in (found < 0).nonzero().tolist()] == [(0, 2, 1), (1, 1, 0)]
    assert (found[2] == 0).all()


def test_spans_too_long_to_be_proposed_have_no_part_in_the_whole_span_loss() -> None:
    scores = drawn(3, 7, 1).requires_grad_()
    log_probabilities = scores.flatten(1).log_softmax(-1).view_as(scores)

    found = gradient(whole_span_loss(log_probabilities, SPANS), scores)

    assert (found[0] == 0).all() and (found[1] != 0).any()


def test_presence_length_and_confidence_losses_have_gradients_that_point_right() -> None:
    odds = drawn(6).requires_grad_()
    is_true = torch.tensor([1, 0, 1, 0, 1, 0])
    for loss in (presence_loss(odds, is_true), confidence_loss(odds, is_true)):
        assert ((gradient(loss, odds) < 0) == is_true.bool()).all()

    scores = drawn(3, 9).requires_grad_()
    found = gradient(length_loss(scores, torch.tensor([0, 4, 40])), scores)
    assert found[0, 0] < 0 and found[1, 4] < 0 and found[2, 8] < 0
    assert int((found < 0).sum()) == 3


def test_every_weight_of_the_losses_has_an_effect() -> None:
    """No dead settings: those for whole parts are multiplied in by the recipe."""
    scores, teacher = token_scores(4), token_scores(4, seed=5).detach()
    spans = span_scores()

    def everything(weights: LossWeights) -> Tensor:
        tokens = token_loss(scores, LABELS, TIMES, null_token_id=NULL, weights=weights, progress=0.2).total
        copied = distillation_loss(scores, teacher, torch.arange(4), weights=weights)
        return torch.stack((tokens, copied, span_loss(*spans, COPYABLE, SPANS, weights=weights)))

    by_recipe = {"distillation", "span", "span_whole", "presence", "length"}
    usual = everything(LossWeights())
    for name, value in LossWeights().model_dump().items():
        if name in by_recipe:
            continue
        changed = LossWeights(**{name: value + 1 if name == "span_window" else value * 0.5})
        assert not torch.equal(everything(changed), usual), name
