"""What heads are trained on: samples of calls, rows read in one forward, the inputs that serving makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent_runtime.messages import EvidenceSpan, read_messages
from heads import (
    SlotReading,
    best_spans,
    collate_messages,
    collate_prompts,
    collate_slots,
    read_taps,
    span_log_probabilities,
)
from heads.span import SpanScores
from tests.unit.head_batches import objective, read, sampler, talks, tiny_backbone, tiny_batch
from training.conversations import offered_tools
from training.heads.frozen import TransformersReader
from training.heads.inputs import HeadTensors, full_drafts, key_log_odds, masked_drafts, message_inputs
from training.heads.metrics import Tally, measure, warnings_of
from training.heads.objective import HeadObjective
from training.heads.rows import HeadRow, collate_rows, fitting_talks
from training.heads.samples import ABSENT_SPAN, UNKNOWN_SPAN, Talk
from training.losses import SpanLabels, whole_span_loss

TOOL = {
    "name": "book",
    "description": "Book.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "people": {"type": "integer"},
            "note": {"type": "string"},
            "at": {"type": "object", "properties": {"hour": {"type": "integer"}}},
            "kind": {"enum": ["single", "double"]},
        },
        "required": ["city", "people"],
    },
}


def talk_of(request: str, arguments: dict[str, object], evidence: dict[str, EvidenceSpan]) -> Talk:
    messages = read_messages(
        [
            {"role": "user", "content": request},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"name": "book", "arguments": arguments}],
            },
        ]
    )
    found = sampler().talk(
        messages, offered_tools([TOOL]), evidence={(1, 0, path): span for path, span in evidence.items()}
    )
    assert found is not None
    return found


def span(start: int, end: int) -> EvidenceSpan:
    return EvidenceSpan(message_index=0, start=start, end=end)


def text(token_ids: tuple[int, ...]) -> str:
    return tiny_backbone().vocabulary.text_of(token_ids).decode()


def test_every_slot_of_the_called_tool_is_a_sample_and_given_ones_hold_their_value() -> None:
    talk = talk_of("Paris for 12", {"city": "Paris", "people": 12, "kind": "double"}, {"city": span(0, 5)})
    city, people, note, hour, kind = talk.calls[0].slots
    assert [text(slot.literal).removeprefix('", "arguments": ') for slot in talk.calls[0].slots] == [
        '{"city": "',
        '{"people":',
        '{"note": "',
        '{"at": {"hour":',
        '{"kind": "',
    ]
    assert [text(slot.value) for slot in (city, people, kind)] == ["Paris", " 12", "double"]
    assert [slot.is_given for slot in talk.calls[0].slots] == [True, True, False, False, True]
    assert [slot.is_optional for slot in talk.calls[0].slots] == [False, False, True, True, True]
    assert text(talk.ids[city.span[0] : city.span[1]]).strip() == "Paris"
    assert people.num_lead == 1 and city.num_lead == 0
    for slot in (city, people, kind):
        assert talk.ids[slot.gold_at : slot.gold_at + len(slot.value)] == slot.value
    assert not note.value and not hour.is_present


def test_an_optional_object_that_is_empty_is_given_though_none_of_its_slots_is() -> None:
    talk = talk_of("Paris", {"city": "Paris", "people": 1, "at": {}}, {})
    hour = talk.calls[0].slots[3]
    assert hour.is_present and not hour.is_given


def test_an_empty_string_is_a_value_without_tokens() -> None:
    city = talk_of("Nowhere", {"city": "", "people": 1}, {}).calls[0].slots[0]
    assert city.is_given and city.value == () and city.span == ABSENT_SPAN


SCRIPTS = ("Paris", "Zürich", "東京", "Москва", "القاهرة", "दिल्ली", "서울", "a", "7", "New York")


@given(
    st.sampled_from(SCRIPTS),
    st.sampled_from(("", "to ", "we go to ", "到")),
    st.sampled_from(("", " now", "!")),
)
@settings(max_examples=60, deadline=None)
def test_span_labels_lead_back_to_the_value_in_every_script(value: str, before: str, behind: str) -> None:
    talk = talk_of(
        before + value + behind,
        {"city": value, "people": 1},
        {"city": span(len(before), len(before) + len(value))},
    )
    found = talk.calls[0].slots[0].span
    if found == UNKNOWN_SPAN:  # the value is not whole tokens of the text
        return
    assert text(talk.ids[found[0] : found[1]]).strip() == value
    row = collate_rows([HeadRow.of([talk])], len(HeadRow.of([talk]).ids), pad_id=0, state={})
    start, end = row.span[0].tolist()
    columns = row.copied_from[0]
    assert tuple(columns[start:end]) == tuple(range(*found))


@given(st.integers(1, 9), st.data())
@settings(max_examples=40, deadline=None)
def test_spans_that_are_scored_highest_are_the_spans_that_labels_name(size: int, data: st.DataObject) -> None:
    """From label to loss to metric: one column is one token, the whole text too."""
    start = data.draw(st.integers(1, size))
    end = data.draw(st.integers(start + 1, size + 1))
    scores = torch.zeros(1, 1, size + 1), torch.zeros(1, 1, size + 1), torch.zeros(1, 1, 10)
    scores[0][0, 0, start] = scores[1][0, 0, end - 1] = scores[2][0, 0, end - start - 1] = 20.0
    is_copyable = torch.arange(size + 1)[None] > 0
    made = SpanScores(
        start=scores[0].masked_fill(~is_copyable[:, None], float("-inf")),
        last=scores[1].masked_fill(~is_copyable[:, None], float("-inf")),
        num_tokens=scores[2],
        absent=torch.full((1, 1), -20.0),
        given=torch.zeros(1, 1),
        where=torch.arange(size + 1)[None],
        is_copyable=is_copyable,
    )
    labels = SpanLabels(
        start=torch.tensor([start]), end=torch.tensor([end]), is_known=torch.ones(1, dtype=torch.bool)
    )
    assert float(whole_span_loss(span_log_probabilities(made)[0], labels)) < 1e-3
    best = best_spans(made)
    assert (int(best.start), int(best.end)) == (start, end)


def test_rows_survive_a_checkpoint() -> None:
    row = HeadRow.of(talks(2, 3))
    assert HeadRow.from_json(json.loads(json.dumps(row.as_json()))) == row


def test_a_row_takes_the_talks_that_fit() -> None:
    made = talks(2, 4)
    whole = len(HeadRow.of(made).ids)
    assert fitting_talks(made, max_tokens=whole, max_talks=9) == made
    assert fitting_talks(made, max_tokens=whole - 1, max_talks=9) == made[:3]
    assert fitting_talks(made, max_tokens=whole, max_talks=2) == made[:2]
    assert HeadRow.of(fitting_talks(made, max_tokens=3, max_talks=2)).ids == ()


# What a row gives is what each call on its own would give.


def alone(batch: HeadTensors, slot: int) -> tuple[list[int], list[int]]:
    """Prompt up to the tool's name, and branch with value, of one slot."""
    row = int(batch.row[slot])
    tokens = batch.tokens[row].tolist()
    offset = row * batch.tokens.shape[1]
    begin, fork = int(batch.begin[slot]), int(batch.visible_to[slot])
    prompt = tokens[: int(batch.num_shared[row])] + tokens[begin : fork + 1]
    first, anchor = int(batch.first[slot]) - offset, int(batch.anchor[slot]) - offset
    return prompt, tokens[first : anchor + 1 + int(batch.num_tokens[slot])]


def states_alone(token_ids: list[int], made: HeadObjective) -> Tensor:
    model = tiny_backbone().model
    return read_taps(model, made.bundle.config.taps, input_ids=torch.tensor([token_ids]), use_cache=False)[0]


def test_one_forward_of_rows_gives_the_states_of_every_branch_alone() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    for slot in range(len(batch.anchor)):
        prompt, branch = alone(batch, slot)
        expected = states_alone(prompt + branch, made)
        first = int(batch.first[slot])
        torch.testing.assert_close(
            states[first : first + len(branch)], expected[len(prompt) :], rtol=1e-3, atol=1e-3
        )


def test_a_model_that_cannot_be_packed_reads_the_same() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    reader = TransformersReader(tiny_backbone().model, made.bundle.config.taps)
    found = reader(batch.tokens, batch.positions, batch.may_read())
    is_real = torch.zeros(len(states), dtype=torch.bool)
    for slot in range(len(batch.anchor)):
        is_real[batch.first[slot] : batch.anchor[slot] + 1] = True
    torch.testing.assert_close(found[is_real], states[is_real], rtol=1e-3, atol=1e-3)


def half_masked(is_maskable: Tensor) -> Tensor:
    """Everything but the first token that may be masked."""
    return is_maskable & (is_maskable.long().cumsum(1) > 1)


@pytest.mark.parametrize("is_masked", [lambda maskable: maskable, half_masked])
def test_token_scores_of_a_row_are_those_of_each_call_as_serving_reads_it(
    is_masked: Callable[[Tensor], Tensor],
) -> None:
    made = objective()
    head, config = made.bundle.eval().diffusion, made.bundle.config
    assert head is not None
    batch, states = read(tiny_batch(), made)
    budgets = batch.num_tokens + 2
    drafts = masked_drafts(
        batch,
        budgets,
        torch.ones(len(budgets)),
        config,
        is_unread=torch.zeros(len(budgets), dtype=torch.bool),
        is_masked=is_masked,
    )
    scores = made.spans(batch, states)[1]
    copies = made.copies(batch, scores, drafts)
    rows = made.open_logits(batch, states, drafts, copies)
    ends = tiny_backbone().ends
    for slot in batch.is_given.nonzero()[:, 0].tolist():
        prompt, branch = alone(batch, slot)
        num_tokens = int(batch.num_tokens[slot])
        num_read = int((drafts.tokens[slot] != config.mask_token_id).long().cumprod(0).sum())
        num_read = min(num_read, num_tokens)
        read_states = states_alone(prompt + branch, made)
        anchor = len(prompt) + len(branch) - num_tokens - 1
        reading = SlotReading(
            anchor=read_states[anchor],
            draft=drafts.tokens[slot, : int(drafts.is_there[slot].sum())].tolist(),
            kind=int(batch.kinds[slot]),
            end_ids=[i for i in made.tables.end_ids[int(batch.is_string[slot])].tolist() if i >= 0],
            states=read_states[anchor + 1 : anchor + 1 + num_read],
            copies=[
                ([token for token in ids.tolist() if token >= 0], float(share))
                for ids, share in zip(copies.tokens[slot], copies.shares[slot], strict=True)
            ],
        )
        memory = head.read_prompt(collate_prompts([(read_states[: len(prompt)], prompt)]), ends)
        slots = collate_slots([[reading]])
        mine = rows.slot == slot
        expected = head.logits(head(slots, memory, ends), rows.place[mine], ends)
        torch.testing.assert_close(rows.logits[mine], expected, rtol=1e-3, atol=2e-3)


def test_span_scores_of_a_row_are_those_of_each_call_as_serving_reads_it() -> None:
    made = objective()
    head = made.bundle.eval().span
    assert head is not None
    batch, states = read(tiny_batch(), made)
    ends = tiny_backbone().ends
    scores = head(*message_inputs(batch, states, made.tables, ends), ends)
    for group, slot, at in _places(batch.span_grid):
        prompt, branch = alone(batch, slot)
        read_states = states_alone(prompt + branch, made)
        anchor = len(prompt) + len(branch) - int(batch.num_tokens[slot]) - 1
        row = states_alone(prompt + branch, made)[anchor + int(batch.num_lead[slot]), -1]
        logits = tiny_backbone().model.lm_head(tiny_backbone().model.model.norm(row)).log_softmax(-1)
        forms = made.tables.first_forms[torch.tensor(prompt)]
        firsts = logits[forms.clamp(min=0)].masked_fill(forms < 0, -30.0)
        where = batch.where[group][batch.is_copyable[group]].tolist()
        messages = collate_messages([(read_states[: len(prompt)], prompt)], [where], [firsts[None]])
        reading = SlotReading(
            anchor=read_states[anchor], draft=(0,), kind=int(batch.kinds[slot]), end_ids=(0,)
        )
        expected = head(collate_slots([[reading]]), messages, ends)
        width = len(where) + 1
        for name in ("start", "last"):
            torch.testing.assert_close(
                getattr(scores, name)[group, at, :width], getattr(expected, name)[0, 0], rtol=1e-3, atol=2e-3
            )
        for name in ("absent", "given"):
            torch.testing.assert_close(
                getattr(scores, name)[group, at], getattr(expected, name)[0, 0], rtol=1e-3, atol=2e-3
            )


def _places(grid: Tensor) -> Iterator[tuple[int, int, int]]:
    for group, row in enumerate(grid.tolist()):
        for at, slot in enumerate(row):
            if slot >= 0:
                yield group, slot, at


def test_key_log_odds_are_the_probability_of_the_text_that_leads_to_a_slot() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    which = batch.is_optional.nonzero()[:2, 0]
    found = key_log_odds(batch, states, which, tiny_backbone().ends)
    for slot, odds in zip(which.tolist(), found.tolist(), strict=True):
        prompt, branch = alone(batch, slot)
        literal = branch[: len(branch) - int(batch.num_tokens[slot])]
        logits = tiny_backbone().model(torch.tensor([prompt + literal])).logits[0, len(prompt) - 1 : -1]
        said = logits.log_softmax(-1).gather(1, torch.tensor(literal)[:, None]).sum().clamp(min=-30.0)
        assert odds == pytest.approx(float(said - torch.log(-torch.expm1(said))), abs=1e-2)


def test_drafts_begin_with_what_is_known_of_every_value_of_their_kind() -> None:
    made = objective()
    batch, _ = read(tiny_batch(), made)
    drafts = full_drafts(batch, batch.num_tokens + 1, made.bundle.config)
    for slot in batch.is_given.nonzero()[:, 0].tolist():
        num_lead = int(batch.num_lead[slot])
        tokens = drafts.tokens[slot, : int(drafts.is_there[slot].sum())]
        assert (tokens[num_lead:] == made.bundle.config.mask_token_id).all()
        assert (tokens[:num_lead] == drafts.labels[slot, :num_lead]).all()


def test_a_measurement_tells_drafts_spans_presence_and_lengths() -> None:
    made = objective()
    batch, states = read(tiny_batch(), made)
    tally = Tally()
    measure(made, batch, states, tally)
    shares = tally.shares()
    wanted = {
        "slot_exact",
        "token_accuracy",
        "span_top1",
        "span_top3",
        "presence_accuracy",
        "length_coverage",
    }
    assert wanted <= shares.keys()
    assert all(0.0 <= shares[name] <= 1.0 for name in wanted)
    assert shares["span_top3"] >= shares["span_top1"]


def test_bad_numbers_are_said_in_a_sentence() -> None:
    assert warnings_of({"null_prediction_rate": 0.9}) == ["null_prediction_rate is 0.90: bad from 0.7 to 1"]
    assert not warnings_of({"null_prediction_rate": 0.3, "real_token_accuracy": 0.9})
