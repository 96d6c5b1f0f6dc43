"""The diffusion head starts as the backbone, and nothing it should not see can change what it says."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from heads import (
    BackboneEnds,
    DiffusionHead,
    HeadBundle,
    HeadConfig,
    HeadConfigError,
    PromptInputs,
    SlotInputs,
    SlotReading,
    collate_prompts,
    collate_slots,
    open_rows,
    open_share,
    read_taps,
    revised,
    score_tokens,
)
from tests.tiny_heads import (
    END_IDS,
    HIDDEN,
    MASK,
    NULL,
    VOCAB,
    prompt_of,
    shaken,
    slot_of,
    tiny_backbone,
    tiny_config,
    tiny_ends,
)

PROMPT = (0, 11, 12, 13, 14, 15, 16)
KEY = (20, 21)
OTHER_KEY = (22, 23, 24)


def make_head(config: HeadConfig | None = None, *, is_trained: bool = False) -> DiffusionHead:
    head = HeadBundle.untrained(config or tiny_config(), tiny_ends()).diffusion
    assert head is not None
    if is_trained:
        shaken(head)
    return head.eval()


def scores(head: DiffusionHead, slots: SlotInputs, prompt: tuple[int, ...] = PROMPT) -> Tensor:
    """Scores of all positions of a batch of one prompt, (slots, positions, vocab)."""
    ends = tiny_ends()
    memory = head.read_prompt(collate_prompts([prompt_of(prompt, head.config)] * len(slots.draft)), ends)
    rows = torch.arange(slots.draft.numel())
    with torch.no_grad():
        return head.logits(head(slots, memory, ends), rows, ends).view(*slots.draft.shape, -1)


def backbone_logits(text: tuple[int, ...]) -> Tensor:
    logits: Tensor = tiny_backbone()(input_ids=torch.tensor([text])).logits
    return logits[0, -1]


TOKENS = [token for token in range(VOCAB) if token not in (MASK, NULL, *END_IDS)]


@pytest.mark.parametrize("num_known", [0, 1, 3])
def test_untrained_head_equals_the_backbone_on_what_it_has_read(num_known: int) -> None:
    head = make_head()
    known = (30, 31, 32)[:num_known]
    draft = (*known, *(MASK,) * (4 - num_known))
    slots = collate_slots([[slot_of(PROMPT, KEY, draft, head.config, num_read=num_known)]])

    said = scores(head, slots)[0, 0, num_known]

    expected = backbone_logits((*PROMPT, *KEY, *known))
    torch.testing.assert_close(said[TOKENS], expected[TOKENS], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said[NULL], expected[list(END_IDS)].logsumexp(0), rtol=1e-5, atol=1e-5)


def test_taps_are_outputs_of_layers_before_any_norm() -> None:
    model = tiny_backbone()
    ids = torch.tensor([PROMPT])
    num_hooks = len(model.model.layers[0]._forward_hooks)

    taps = read_taps(model, (0, 1, 3), input_ids=ids, use_cache=False)

    assert len(model.model.layers[0]._forward_hooks) == num_hooks
    assert torch.equal(taps[:, :, 0], model.model.embed_tokens(ids))
    read = model.model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    assert torch.equal(taps[:, :, 1], read[1])
    assert torch.equal(model.model.norm(taps[:, :, 2]), read[3])


def test_untrained_distribution_is_the_backbones_with_its_ends_as_one() -> None:
    head = make_head()
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK, MASK), head.config)]])

    said = scores(head, slots)[0, 0, 0].softmax(-1)

    expected = backbone_logits((*PROMPT, *KEY))
    expected[MASK] = expected[NULL] = float("-inf")
    torch.testing.assert_close(said[TOKENS], expected.softmax(-1)[TOKENS], rtol=1e-4, atol=1e-6)
    assert said[MASK] == 0
    assert float(said[list(END_IDS)].sum()) < 1e-9


def test_every_slot_begins_exactly_whatever_stands_in_other_slots() -> None:
    head = make_head()
    call = [
        slot_of(PROMPT, KEY, (MASK, MASK, MASK), head.config),
        slot_of(PROMPT, OTHER_KEY, (MASK,), head.config),
    ]

    said = scores(head, collate_slots([call]))

    for slot, key in ((0, KEY), (1, OTHER_KEY)):
        expected = backbone_logits((*PROMPT, *key))
        torch.testing.assert_close(said[0, slot, 0][TOKENS], expected[TOKENS], rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing() -> None:
    head = make_head(is_trained=True)
    short = slot_of(PROMPT, KEY, (30, MASK), head.config, num_read=1)
    long = slot_of(PROMPT, OTHER_KEY, (MASK,) * 5, head.config)
    alone = scores(head, collate_slots([[short]]))
    prompts = collate_prompts([prompt_of(PROMPT, head.config), prompt_of((*PROMPT, 40, 41), head.config)])
    slots = collate_slots([[short], [long, short]], num_slots=4, num_positions=8, num_ends=5)
    ends = tiny_ends()

    with torch.no_grad():
        reading = head(slots, head.read_prompt(prompts, ends), ends)
        padded = head.logits(reading, torch.tensor([0, 1]), ends)

    torch.testing.assert_close(padded, alone[0, 0], rtol=1e-4, atol=1e-5)
    assert reading.delta.isfinite().all()


def test_slots_do_not_see_each_other_unless_asked() -> None:
    def said_of_first(other_draft: tuple[int, ...], *, is_asked: bool) -> Tensor:
        config = tiny_config()
        assert config.diffusion is not None
        config = revised(config, diffusion=revised(config.diffusion, attends_across_slots=is_asked))
        head = make_head(config, is_trained=True)
        call = [
            slot_of(PROMPT, KEY, (MASK, MASK), config),
            slot_of(PROMPT, OTHER_KEY, other_draft, config, num_read=0),
        ]
        return scores(head, collate_slots([call]))[0, 0]

    assert torch.equal(said_of_first((33, 34), is_asked=False), said_of_first((35, MASK), is_asked=False))
    assert not torch.equal(said_of_first((33, 34), is_asked=True), said_of_first((35, MASK), is_asked=True))


def test_the_order_of_slots_does_not_matter() -> None:
    config = tiny_config()
    assert config.diffusion is not None
    head = make_head(
        revised(config, diffusion=revised(config.diffusion, attends_across_slots=True)), is_trained=True
    )
    call = [
        slot_of(PROMPT, KEY, (MASK, MASK), head.config),
        slot_of(PROMPT, OTHER_KEY, (MASK, 33), head.config),
    ]

    there, back = scores(head, collate_slots([call]))[0], scores(head, collate_slots([call[::-1]]))[0]

    torch.testing.assert_close(there, back.flip(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"draft": (31, MASK, MASK)}, id="draft"),
        pytest.param({"kind": 3}, id="kind"),
        pytest.param({"draft": (30, MASK, MASK, MASK)}, id="budget"),
        pytest.param({"states": None}, id="not re-encoded"),
        pytest.param({"draft": (30, NULL, NULL)}, id="less noise"),
    ],
)
def test_head_reads_all_it_is_given(other: dict[str, object]) -> None:
    head = make_head(is_trained=True)
    reading = slot_of(PROMPT, KEY, (30, MASK, MASK), head.config, num_read=1)

    before = scores(head, collate_slots([[reading]]))[0, 0, 1]
    after = scores(head, collate_slots([[replace(reading, **other)]]))[0, 0, 1]  # type: ignore[arg-type]

    assert not torch.allclose(before, after, atol=1e-4)


def test_a_trained_head_reads_the_prompt_and_guidance_moves_away_from_doing_without() -> None:
    head = make_head(is_trained=True)
    ends = tiny_ends()
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK, MASK), head.config)]])
    memory = head.read_prompt(collate_prompts([prompt_of(PROMPT, head.config)]), ends)
    blank = memory.without(torch.tensor([True]))

    with torch.no_grad():
        told, untold = head(slots, memory, ends), head(slots, blank, ends)

    assert not torch.allclose(told.delta, untold.delta)
    assert torch.equal(told.guided(untold, 0.0).delta, told.delta)
    torch.testing.assert_close(told.guided(untold, 1.0).delta, 2 * told.delta - untold.delta)


def test_an_unread_draft_stands_on_the_nearest_state_and_knows_its_age() -> None:
    config = tiny_config()
    reading = slot_of(PROMPT, KEY, (30, 31, MASK, MASK), config, num_read=2)
    assert reading.states is not None

    slots = collate_slots([[reading]])

    assert slots.age[0, 0].tolist() == [0, 0, 0, 1]
    assert torch.equal(slots.states[0, 0, 0], reading.anchor)
    assert torch.equal(slots.states[0, 0, 1:3], reading.states)
    assert torch.equal(slots.states[0, 0, 3], reading.states[1])


def test_states_of_tokens_that_changed_since_are_not_used() -> None:
    config = tiny_config()
    reading = replace(slot_of(PROMPT, KEY, (30, 31, 32, MASK), config, num_read=3), num_read=1)

    assert collate_slots([[reading]]).age[0, 0].tolist() == [0, 0, 1, 2]


def test_time_is_the_share_of_open_positions_and_one_at_the_start() -> None:
    config = tiny_config()
    call = [
        slot_of(PROMPT, KEY, (MASK,) * 4, config),
        slot_of(PROMPT, KEY, (30, MASK), config),
        slot_of(PROMPT, KEY, (30,), config),
    ]

    assert open_share(collate_slots([call]), config).tolist() == [[1.0, 0.5, 0.0]]


def test_vocabulary_meets_open_positions_only() -> None:
    head = make_head()
    seen: list[int] = []
    ends = tiny_ends()

    def counted(rows: Tensor) -> Tensor:
        seen.append(len(rows))
        return functional.linear(rows, ends.embedding)

    counting = BackboneEnds(
        embedding=ends.embedding, norm_weight=ends.norm_weight, epsilon=ends.epsilon, project=counted
    )
    slots = collate_slots([[slot_of(PROMPT, KEY, (30, MASK, 31, MASK, NULL), head.config)]], num_positions=64)
    memory = head.read_prompt(collate_prompts([prompt_of(PROMPT, head.config)]), counting)

    rows = open_rows(slots, head.config)
    logits = head.logits(head(slots, memory, counting), rows, counting)

    assert rows.tolist() == [1, 3]
    assert seen == [2]
    assert logits.shape == (2, VOCAB)


def test_a_denoise_step_never_waits_for_a_value() -> None:
    """What a CUDA graph needs: under fake tensors, reading a value back or a shape made of data raises."""
    head = make_head()
    ends = tiny_ends()
    prompt = collate_prompts([prompt_of(PROMPT, head.config)])
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK, MASK), head.config)]])

    def step(weights: dict[str, Tensor], *tensors: Tensor) -> Tensor:
        names = [field.name for field in fields(slots)]
        its_slots = SlotInputs(**dict(zip(names, tensors[3:], strict=True)))
        its_prompt = PromptInputs(states=tensors[0], token_ids=tensors[1], is_there=tensors[2])

        def project(rows: Tensor) -> Tensor:
            return functional.linear(rows, weights["embedding"])

        its_ends = BackboneEnds(
            embedding=weights["embedding"],
            norm_weight=weights["norm"],
            epsilon=ends.epsilon,
            project=project,
        )
        memory = head.read_prompt(its_prompt, its_ends)
        reading = head(its_slots, memory, its_ends)
        return head.logits(reading, torch.zeros(3, dtype=torch.long), its_ends)

    given = [getattr(prompt, field.name) for field in fields(prompt)]
    given += [getattr(slots, field.name) for field in fields(slots)]
    weights = {"embedding": ends.embedding, "norm": ends.norm_weight}
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        faked = [mode.from_tensor(tensor) for tensor in given]
        said = step({name: mode.from_tensor(weight) for name, weight in weights.items()}, *faked)

    assert said.shape == (3, VOCAB)


def test_mask_and_null_embeddings_are_learned_through_the_backbone() -> None:
    head = make_head()
    embedded = head.embed(torch.tensor([[0, 20, MASK, NULL]]), tiny_ends())

    tiny_backbone()(inputs_embeds=embedded).logits.sum().backward()

    for parameter in (head.mask_embedding, head.null_embedding):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


def test_training_moves_every_weight_of_the_head_and_none_of_the_backbone() -> None:
    head = make_head().train()
    ends = tiny_ends()
    prompt = collate_prompts([prompt_of(PROMPT, head.config)])
    reading = slot_of(PROMPT, KEY, (30, MASK, MASK, NULL), head.config, num_read=1)
    slots = collate_slots([[replace(reading, copies=(((30, 40, 41), 0.5), ((30, 44), 0.2)))]])
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    before = {name: p.detach().clone() for name, p in head.named_parameters()}

    for _ in range(3):  # the first step can only move what is behind the zeros
        reading = head(slots, head.read_prompt(prompt, ends), ends)
        loss = functional.cross_entropy(
            head.logits(reading, torch.tensor([1, 2, 3]), ends), torch.tensor([40, 41, NULL])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert [name for name, p in head.named_parameters() if torch.equal(p, before[name])] == []
    assert all(p.grad is None for p in tiny_backbone().parameters())


COPIES = (((30, 31, 32), 0.6), ((33,), 0.3))


def copying(draft: tuple[int, ...], copies: object = COPIES, *, num_read: int = 0) -> SlotInputs:
    """One slot with values that it may be copied from."""
    reading = slot_of(PROMPT, KEY, draft, tiny_config(), num_read=num_read)
    return collate_slots([[replace(reading, copies=copies)]])  # type: ignore[arg-type]


def test_an_untrained_head_takes_no_notice_of_copies() -> None:
    head = make_head()
    draft = (MASK,) * 4

    assert torch.equal(scores(head, copying(draft)), scores(head, copying(draft, ())))


@pytest.mark.parametrize(
    ("draft", "counted"),
    [
        pytest.param((MASK,) * 4, COPIES, id="nothing is known"),
        pytest.param((30, MASK, MASK, MASK), COPIES[:1], id="its first token"),
        pytest.param((MASK, NULL, NULL, NULL), COPIES[1:], id="its end"),
        pytest.param((34, MASK, MASK, MASK), (), id="another value"),
    ],
)
def test_copies_that_disagree_with_the_draft_do_not_count(draft: tuple[int, ...], counted: object) -> None:
    head = make_head(is_trained=True)

    said, expected = scores(head, copying(draft)), scores(head, copying(draft, counted))

    torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-5)


def test_a_trained_head_reads_copies_and_padding_of_them_changes_nothing() -> None:
    head = make_head(is_trained=True)
    draft = (MASK,) * 4
    reading = replace(slot_of(PROMPT, KEY, draft, head.config), copies=COPIES)
    said = scores(head, copying(draft))

    padded = scores(head, collate_slots([[reading]], num_copies=5, num_positions=7))

    assert not torch.allclose(said, scores(head, copying(draft, ())), atol=1e-3)
    torch.testing.assert_close(padded[:, :, :4], said, rtol=1e-4, atol=1e-5)


def test_without_a_prompt_there_is_nothing_to_copy() -> None:
    head = make_head(is_trained=True)
    ends = tiny_ends()
    memory = head.read_prompt(collate_prompts([prompt_of(PROMPT, head.config)]), ends)
    blank = memory.without(torch.tensor([True]))
    draft = (MASK,) * 4

    with torch.no_grad():
        given, none = (head(copying(draft, copies), blank, ends) for copies in (COPIES, ()))

    assert torch.equal(given.delta, none.delta)
    assert not given.copy_shares.any()


def test_a_head_learns_to_write_copies_that_it_has_never_seen() -> None:
    head = make_head()
    ends = tiny_ends()
    prompt = collate_prompts([prompt_of(PROMPT, head.config)])
    rows = torch.arange(4)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-2)

    def logits(value: tuple[int, ...]) -> Tensor:
        slots = copying((MASK,) * 4, ((value, 0.8), ((35,), 0.1)))
        return head.logits(head(slots, head.read_prompt(prompt, ends), ends), rows, ends)

    for number in range(40):
        value = tuple(40 + (number + step) % 20 for step in range(3))
        optimizer.zero_grad()
        functional.cross_entropy(logits(value), torch.tensor([*value, NULL])).backward()
        if not number:
            assert head.copy_out.bias.grad is not None and float(head.copy_out.bias.grad) < 0
        optimizer.step()

    assert logits((70, 72, 71)).argmax(-1).tolist() == [70, 72, 71, NULL]


def test_a_head_learns_a_whole_value_at_once() -> None:
    head = make_head()
    ends = tiny_ends()
    prompt = collate_prompts([prompt_of(PROMPT, head.config)])
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK,) * 4, head.config)]])
    labels = torch.tensor([40, 41, 42, NULL])
    rows = torch.arange(4)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)

    for _ in range(60):
        logits = head.logits(head(slots, head.read_prompt(prompt, ends), ends), rows, ends)
        optimizer.zero_grad()
        functional.cross_entropy(logits, labels).backward()
        optimizer.step()

    logits = head.logits(head(slots, head.read_prompt(prompt, ends), ends), rows, ends)
    assert logits.argmax(-1).tolist() == labels.tolist()


def test_teacher_scores_are_those_of_an_untrained_head() -> None:
    head = make_head()
    slots = collate_slots([[slot_of(PROMPT, KEY, (MASK,), head.config)]])

    taught = score_tokens(slots.anchors[0, :, -1], slots.end_ids[0], head.config, tiny_ends())

    torch.testing.assert_close(taught, scores(head, slots)[0, 0])


def test_half_precision_heads_read_half_precision_states() -> None:
    head = make_head(is_trained=True).to(torch.bfloat16)
    reading = slot_of(PROMPT, KEY, (MASK, MASK), head.config)
    assert reading.states is not None
    reading = replace(reading, anchor=reading.anchor.bfloat16(), states=reading.states.bfloat16())

    said = scores(head, collate_slots([[reading]]))

    assert said.dtype == torch.float32
    assert said[0, 0, 0][TOKENS].isfinite().all()


def test_slots_without_positions_or_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one position"):
        collate_slots([[SlotReading(anchor=torch.zeros(3, HIDDEN), draft=(), kind=0, end_ids=END_IDS)]])
    with pytest.raises(ValueError, match="may follow"):
        collate_slots([[SlotReading(anchor=torch.zeros(3, HIDDEN), draft=(MASK,), kind=0, end_ids=())]])


def test_a_config_without_a_diffusion_head_has_none() -> None:
    config = tiny_config(diffusion=None)

    assert HeadBundle(config).diffusion is None
    with pytest.raises(HeadConfigError, match="diffusion"):
        DiffusionHead(config)
