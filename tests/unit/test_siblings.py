"""Conversations side by side over one listing: the same labels and the same loss as each on its own."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from agent_runtime.messages import EvidenceSpan, read_messages
from agent_runtime.prompt import PromptFormat
from training.batches import COPY, NAME, VALUE, Batch, DataState, LabelledSequence, Pointer, batches
from training.conversations import conversation, offered_tools
from training.data.synthetic.siblings import KINDS, sibling_examples
from training.forward import LossSums, TrainingForward
from training.labels import Labeller
from training.recipe import ArchitectureRecipe, BatchRecipe, DataRecipe
from training.source import ConversationSource
from training.tokenizer import train_tokenizer
from training.trainer import new_model


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["the weather in Paris"], vocab_size=300)


def test_siblings_share_listing_system_message_and_date() -> None:
    for index in range(20):
        first, *others = islice(sibling_examples(1, index), 5)
        head = [m for m in first.messages if m["role"] == "system"]
        for other in others:
            assert (other.tools, other.date) == (first.tools, first.date)
            assert [m for m in other.messages if m["role"] == "system"] == head


def test_siblings_are_the_same_for_the_same_number() -> None:
    assert list(islice(sibling_examples(3, 7), 6)) == list(islice(sibling_examples(3, 7), 6))
    assert next(sibling_examples(3, 7)) != next(sibling_examples(3, 8))


def test_siblings_are_of_every_kind_and_ask_for_different_things() -> None:
    kinds = {e.kind for index in range(60) for e in islice(sibling_examples(2, index), 8)}
    assert kinds == {kind for kind, _ in KINDS}
    for index in range(20):
        requests = [e.messages[-2]["content"] for e in islice(sibling_examples(2, index), 6)]
        assert len(set(requests)) > 2


def test_calls_of_siblings_are_of_offered_tools() -> None:
    for index in range(40):
        for example in islice(sibling_examples(5, index), 6):
            called = {c["name"] for m in example.messages for c in m.get("tool_calls", ())}
            assert called <= {tool["name"] for tool in example.tools}
            assert not called or example.kind not in ("none_fits", "chat")


def labelled(
    tokenizer: PreTrainedTokenizerFast, number: int
) -> tuple[LabelledSequence, list[LabelledSequence]]:
    """Three siblings side by side, and each on its own."""
    labeller = Labeller(tokenizer, PromptFormat.compact(), DataRecipe())
    talks = [(conversation(e), e.evidence) for e in islice(sibling_examples(4, number), 3)]
    row = labeller.label_siblings(iter(talks), max_tokens=4000, max_branches=3)
    return row, [
        labeller.label(messages, tools, date=date, evidence=evidence)
        for (messages, tools, date), evidence in talks
    ]


def test_siblings_have_the_labels_each_would_have_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    row, alone = labelled(tokenizer, 1)
    shared = row.starts[0]
    ends = [*row.starts[1:], len(row.ids)]
    for sequence, start, end in zip(alone, row.starts, ends, strict=True):
        assert row.ids[:shared] + row.ids[start:end] == sequence.ids
        assert row.weights[:shared] + row.weights[start:end] == sequence.weights


def test_siblings_stop_where_the_next_would_not_fit(tokenizer: PreTrainedTokenizerFast) -> None:
    labeller = Labeller(tokenizer, PromptFormat.compact(), DataRecipe())

    def row(max_tokens: int, max_branches: int) -> LabelledSequence:
        talks = ((conversation(example), example.evidence) for example in sibling_examples(4, 2))
        return labeller.label_siblings(talks, max_tokens=max_tokens, max_branches=max_branches)

    assert len(row(10_000, 5).starts) == 5
    assert len(row(row(10_000, 4).starts[3], 9).starts) == 3
    assert row(5, 9) == LabelledSequence((), ())


def one_batch(rows: list[LabelledSequence]) -> Batch:
    """The rows as one batch."""
    length = max(len(row.ids) for row in rows)
    recipe = BatchRecipe(tokens=length * len(rows), lengths=(length,))
    return next(batches(lambda start, stride: iter(rows), recipe, pad_id=0, state=DataState()))


def loss_of(forward: TrainingForward, batch: Batch) -> LossSums:
    branches = None if batch.branches is None else torch.from_numpy(batch.branches)
    return forward.loss(
        torch.from_numpy(batch.tokens),
        torch.from_numpy(batch.weights),
        branches,
        torch.from_numpy(batch.pointers),
    )


def test_loss_side_by_side_is_the_loss_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    architecture = ArchitectureRecipe(hidden_size=32, num_layers=4, num_heads=2, intermediate_size=64)
    model = new_model(architecture, vocab_size=len(tokenizer), bos_id=0, eos_id=1, pad_id=2, seed=0)
    forward = TrainingForward(model, dtype=torch.float32, is_compiled=False)
    (first, first_alone), (second, second_alone) = labelled(tokenizer, 1), labelled(tokenizer, 2)
    together = loss_of(forward, one_batch([first, second]))
    one_by_one = LossSums.total(
        [loss_of(forward, one_batch([sequence])) for sequence in first_alone + second_alone]
    )
    torch.testing.assert_close(together.weight, one_by_one.weight)
    assert together.num_full == one_by_one.num_full
    torch.testing.assert_close(together.loss.detach(), one_by_one.loss, rtol=1e-4, atol=1e-3)
    assert together.num_pointers == one_by_one.num_pointers > 5
    torch.testing.assert_close(together.pointer_loss.detach(), one_by_one.pointer_loss, rtol=1e-4, atol=1e-3)


def test_pointers_lead_to_the_token_that_is_written_next(tokenizer: PreTrainedTokenizerFast) -> None:
    kinds = set()
    for number in range(12):
        row, _ = labelled(tokenizer, number)
        for kind, reader, read in row.pointers:
            assert read <= reader
            if kind == NAME:
                assert read < row.starts[0]
                assert row.ids[read] == row.ids[reader + 1]
            if kind == COPY:
                assert row.ids[read - 1] == row.ids[reader]
            kinds.add(kind)
    assert kinds == {COPY, NAME, VALUE, COPY}


def test_a_copied_value_is_pointed_at_in_the_request(tokenizer: PreTrainedTokenizerFast) -> None:
    tools = offered_tools(
        [{"name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}]
    )
    asked = {"role": "user", "content": "How warm is it in Oslo?"}
    called = {"name": "get_weather", "arguments": {"city": "Oslo"}}
    messages = read_messages([asked, {"role": "assistant", "tool_calls": [called]}])
    labeller = Labeller(tokenizer, PromptFormat.compact(), DataRecipe())
    span = EvidenceSpan(message_index=0, start=18, end=22)
    row = labeller.label(messages, tools, evidence={(1, 0, "city"): span})
    name, value, *copied = row.pointers
    assert tokenizer.decode(row.ids[name.read :]).startswith("get_weather\n- city")
    assert tokenizer.decode(row.ids[value.read :]).startswith("Oslo?")
    assert tokenizer.decode(row.ids[value.reader + 1 :]).startswith('Oslo"}')
    # Inside the value each token looks at what goes on in the request; the last one at what stands behind.
    assert [pointer.kind for pointer in copied] == [COPY] * len(copied)
    assert [pointer.reader for pointer in copied] == [value.reader + 1 + n for n in range(len(copied))]
    assert [pointer.read for pointer in copied] == [value.read + 1 + n for n in range(len(copied))]
    assert tokenizer.decode(row.ids[copied[-1].read :]).startswith("?")


def test_attention_learns_to_look_where_pointers_lead(tokenizer: PreTrainedTokenizerFast) -> None:
    architecture = ArchitectureRecipe(hidden_size=32, num_layers=4, num_heads=2, intermediate_size=64)
    model = new_model(architecture, vocab_size=len(tokenizer), bos_id=0, eos_id=1, pad_id=2, seed=0)
    forward = TrainingForward(model, dtype=torch.float32, is_compiled=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = one_batch([labelled(tokenizer, 1)[0]])
    losses = []
    for _ in range(30):
        pointer_loss = loss_of(forward, batch).pointer_loss
        optimizer.zero_grad()
        torch.autograd.backward(pointer_loss)
        optimizer.step()
        losses.append(float(pointer_loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_rows_that_wait_keep_where_their_conversations_begin() -> None:
    rows = [LabelledSequence((1, 2, 3, 4), (0.0, 1.0, 0.0, 1.0), (1, 3), (Pointer(NAME, 2, 1),))]
    state = DataState(num_taken=1, waiting={8: rows})
    assert DataState.from_json(state.as_json(), LabelledSequence).waiting == {8: rows}


def test_held_out_conversations_are_the_same_wherever_training_begins(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)

    def first_rows(start: int, *, is_held_out: bool) -> list[LabelledSequence]:
        source = ConversationSource(tmp_path, DataRecipe(start=start), is_held_out=is_held_out)
        return list(islice(source(0, 1), 3))

    assert first_rows(0, is_held_out=True) == first_rows(5000, is_held_out=True)
    assert first_rows(0, is_held_out=False) != first_rows(5000, is_held_out=False)
