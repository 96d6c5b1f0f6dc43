"""Spans: half-open, in one message, never reversed, and (0, 0) for what is not in the text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heads import (
    HeadBundle,
    HeadConfig,
    HeadConfigError,
    MessageInputs,
    SlotReading,
    SpanHead,
    SpanScores,
    best_spans,
    collate_messages,
    collate_slots,
    read_taps,
    revised,
    span_iou,
    span_log_probabilities,
)
from tests.tiny_heads import (
    END_IDS,
    MASK,
    prompt_of,
    shaken,
    slot_of,
    tiny_backbone,
    tiny_config,
    tiny_ends,
)
from training.losses import LossWeights, SpanLabels, span_loss, whole_span_loss

PROMPT = (0, 50, 11, 12, 13, 51, 14, 15, 52)
COPYABLE = (2, 3, 4, 6, 7)  # two messages, [2, 5) and [6, 8)
KEY = (20, 21)


def make_head(config: HeadConfig | None = None) -> SpanHead:
    head = HeadBundle.untrained(config or tiny_config(), tiny_ends()).span
    assert head is not None
    return head.eval()


def messages_of(
    config: HeadConfig,
    firsts: Tensor | None = None,
    *,
    prompt: tuple[int, ...] = PROMPT,
    copyable: tuple[int, ...] = COPYABLE,
) -> MessageInputs:
    scores = torch.full((1, len(prompt)), -5.0) if firsts is None else firsts
    return collate_messages([prompt_of(prompt, config)], [copyable], [scores])


def drawn_scores(seed: int, where: list[int], *, longest: int = 8, num_slots: int = 2) -> SpanScores:
    generator = torch.Generator().manual_seed(seed)
    is_copyable = torch.tensor([[index > 0 for index in where]])
    shape = (1, num_slots, len(where))
    start, last = (
        torch.randn(shape, generator=generator).masked_fill(~is_copyable[:, None], float("-inf"))
        for _ in range(2)
    )
    return SpanScores(
        start=start,
        last=last,
        num_tokens=torch.randn((1, num_slots, longest), generator=generator),
        absent=torch.randn(1, num_slots, generator=generator) - 2.0,
        given=torch.zeros(1, num_slots),
        where=torch.tensor([where]),
        is_copyable=is_copyable,
    )


WHERES = st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True).map(
    lambda indices: [0, *sorted(indices)]
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), where=WHERES, longest=st.integers(1, 20), k=st.integers(1, 40))
def test_spans_are_whole_forward_and_within_one_message(
    seed: int, where: list[int], longest: int, k: int
) -> None:
    proposals = best_spans(drawn_scores(seed, where, longest=longest), k=k)

    for slot in range(2):
        found = set()
        for start, end, probability in zip(
            proposals.start[0, slot].tolist(),
            proposals.end[0, slot].tolist(),
            proposals.probability[0, slot].tolist(),
            strict=True,
        ):
            assert 0.0 <= probability <= 1.0 + 1e-6
            if probability == 0.0:
                assert (start, end) == (0, 0)
                continue
            assert (start, end) not in found
            found.add((start, end))
            if (start, end) != (0, 0):
                assert 0 < start < end <= start + longest
                assert set(range(start, end)) <= set(where)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), where=WHERES, longest=st.integers(1, 20))
def test_best_span_is_that_of_trying_all(seed: int, where: list[int], longest: int) -> None:
    scores = drawn_scores(seed, where, longest=longest, num_slots=1)
    runs = [
        (a, b)
        for a in range(1, len(where))
        for b in range(a, min(len(where), a + longest))
        if where[b] - where[a] == b - a
    ]

    joint = span_log_probabilities(scores)[0, 0]

    raw = {
        (a, b): float(scores.start[0, 0, a] + scores.last[0, 0, b] + scores.num_tokens[0, 0, b - a])
        for a, b in runs
    }
    total = torch.tensor(list(raw.values())).logsumexp(0)
    assert joint.exp().sum() == pytest.approx(1.0, abs=1e-4)
    for (a, b), score in raw.items():
        assert float(joint[a, b - a]) == pytest.approx(score - float(total), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), where=WHERES)
def test_probabilities_of_all_answers_sum_to_one(seed: int, where: list[int]) -> None:
    proposals = best_spans(drawn_scores(seed, where), k=10_000)

    torch.testing.assert_close(proposals.probability.sum(-1), torch.ones(1, 2), rtol=0, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(a=st.integers(0, 12), n=st.integers(1, 13))
def test_a_label_comes_back_as_the_span_it_was_made_of(a: int, n: int) -> None:
    """From one token to the whole text: what the loss prefers is what decoding gives."""
    length = 13
    start, end = a + 1, min(a + n, length) + 1
    where = list(range(length + 1))
    start_scores, last_scores = torch.zeros(1, length + 1), torch.zeros(1, length + 1)
    is_copyable = torch.arange(length + 1)[None] > 0
    labels = SpanLabels(start=torch.tensor([start]), end=torch.tensor([end]), is_known=torch.tensor([True]))
    absent = torch.zeros(1, requires_grad=True)
    start_scores.requires_grad_()
    last_scores.requires_grad_()

    span_loss(start_scores, last_scores, absent, is_copyable, labels, weights=LossWeights()).backward()

    assert start_scores.grad is not None and last_scores.grad is not None and absent.grad is not None
    proposals = best_spans(
        SpanScores(
            start=-100 * start_scores.grad[None].masked_fill(~is_copyable, float("inf")),
            last=-100 * last_scores.grad[None].masked_fill(~is_copyable, float("inf")),
            num_tokens=torch.zeros(1, 1, length),
            absent=-100 * absent.grad[None],
            given=torch.zeros(1, 1),
            where=torch.tensor([where]),
            is_copyable=is_copyable,
        )
    )
    found = (int(proposals.start[0, 0, 0]), int(proposals.end[0, 0, 0]))
    assert found == (start, end)
    assert span_iou(found, (start, end)) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((2, 4), (2, 4), 1.0),
        ((2, 3), (4, 5), 0.0),
        ((2, 5), (3, 6), 0.5),
        ((0, 0), (0, 0), 1.0),
        ((0, 0), (2, 3), 0.0),
    ],
)
def test_overlap_is_counted_half_open(
    first: tuple[int, int], second: tuple[int, int], expected: float
) -> None:
    assert span_iou(first, second) == expected


def test_untrained_head_starts_where_the_backbone_would_begin() -> None:
    config = tiny_config()
    firsts = torch.full((1, len(PROMPT)), -6.0)
    firsts[0, 6] = -0.1
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK,), config)]])

    with torch.no_grad():
        scores = make_head(config)(slots, messages_of(config, firsts), tiny_ends())

    assert int(scores.start[0, 0].argmax()) == 4  # the column of prompt token 6
    assert int(best_spans(scores, k=2).start[0, 0].max()) == 6


def test_only_message_tokens_are_pointed_at_and_padding_changes_nothing() -> None:
    config = tiny_config()
    head = make_head(config)
    shaken(head)
    reading = slot_of(PROMPT, KEY, (MASK,), config)
    alone = messages_of(config)
    longer = (*PROMPT, 60, 61, 62, 63)
    together = collate_messages(
        [prompt_of(PROMPT, config), prompt_of(longer, config)],
        [COPYABLE, (*COPYABLE, 9, 10, 11)],
        [torch.full((1, len(PROMPT)), -5.0), torch.full((1, len(longer)), -5.0)],
        num_slots=3,
        length=16,
    )

    with torch.no_grad():
        one = head(collate_slots([[reading]]), alone, tiny_ends())
        two = head(collate_slots([[reading], [reading]], num_slots=3), together, tiny_ends())

    assert (one.start[0, 0] > float("-inf")).tolist() == [False] + [True] * 5
    torch.testing.assert_close(two.start[0, 0, :6], one.start[0, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(two.last[0, 0, :6], one.last[0, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(two.absent[0, 0], one.absent[0, 0], rtol=1e-4, atol=1e-4)
    assert two.absent[1].isfinite().all()


def test_tokens_are_read_with_what_follows_them() -> None:
    config = tiny_config()
    head = make_head(config)
    shaken(head)
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK,), config)]])

    with torch.no_grad():
        before = head(slots, messages_of(config), tiny_ends())
        changed = (*PROMPT[:7], 77, *PROMPT[8:])  # the last copyable token
        after = head(slots, messages_of(config, prompt=changed), tiny_ends())

    assert not torch.allclose(before.start[0, 0, 1], after.start[0, 0, 1], atol=1e-4)


def test_without_message_tokens_the_answer_is_not_in_the_text() -> None:
    config = tiny_config()
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK,), config)]])

    with torch.no_grad():
        scores = make_head(config)(slots, messages_of(config, copyable=()), tiny_ends())
    best = best_spans(scores, k=3)

    assert best.start.flatten().tolist() == best.end.flatten().tolist() == [0] * best.start.numel()
    assert float(best.probability[0, 0, 0]) == 1.0


def test_the_first_token_of_a_prompt_cannot_be_copied() -> None:
    with pytest.raises(ValueError, match="not in the text"):
        messages_of(tiny_config(), copyable=(0, 1))


def test_head_learns_spans_and_absence_in_few_steps() -> None:
    """The slot's key says which of two marked words is meant; a third key means neither."""
    config = tiny_config()
    assert config.span is not None
    config = revised(config, span=revised(config.span, dropout=0.0))
    head = make_head(config).train()
    ends = tiny_ends()
    generator = torch.Generator().manual_seed(3)
    size, length = 400, 13
    text = torch.randint(30, 48, (size, length), generator=generator)
    text[:, 0] = 0
    one, two = torch.randint(1, 5, (size,), generator=generator), torch.full((size,), 8)
    text.scatter_(1, torch.stack((one, two), 1), torch.tensor([24, 25]).expand(size, 2))
    key = torch.randint(0, 3, (size,), generator=generator)
    start = torch.stack((one + 1, two + 1, torch.zeros_like(one)), 1).gather(1, key[:, None])[:, 0]
    end = torch.where(key < 2, start + 2, 0)  # the two tokens behind the mark
    branches = torch.cat((text, 60 + key[:, None]), 1)
    states = read_taps(tiny_backbone(), config.taps, input_ids=branches, use_cache=False)

    def scored(rows: Tensor) -> SpanScores:
        slots = collate_slots(
            [[SlotReading(anchor=states[row, -1], draft=(MASK,), kind=1, end_ids=END_IDS)] for row in rows]
        )
        messages = collate_messages(
            [(states[row, :-1], text[row].tolist()) for row in rows],
            [range(1, length)] * len(rows),
            [torch.zeros(1, length)] * len(rows),
        )
        scores: SpanScores = head(slots, messages, ends)
        return scores

    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for step in range(100):
        rows = torch.arange(step * 32, step * 32 + 32) % 340
        scores = scored(rows)
        known = torch.ones(32, dtype=torch.bool)
        labels = SpanLabels(start=start[rows], end=end[rows], is_known=known)
        loss = span_loss(
            scores.start[:, 0],
            scores.last[:, 0],
            scores.absent[:, 0],
            scores.is_copyable,
            labels,
            weights=LossWeights(),
        ) + whole_span_loss(span_log_probabilities(scores)[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    head.eval()
    unseen = torch.arange(340, size)
    with torch.no_grad():
        best = best_spans(scored(unseen))
    is_right = (best.start[:, 0, 0] == start[unseen]) & (best.end[:, 0, 0] == end[unseen])
    assert float(is_right.float().mean()) >= 0.9


def test_a_config_without_a_span_head_has_none() -> None:
    config = tiny_config(span=None)

    assert HeadBundle(config).span is None
    with pytest.raises(HeadConfigError, match="span"):
        SpanHead(config)
