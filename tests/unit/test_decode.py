from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.decode import MOST_REPEATED, Decoded, WordStream, decode_text
from agent_runtime.engine.sampling import Sampler, Sampling
from agent_runtime.engine.tape import Tape
from tests.programs import Row, TableBackbone, random_rows, run_program, scripted_rows, tiny_view

VIEW = tiny_view()
VOCAB = len(VIEW.vocabulary)
PROMPT = VIEW.encode("Hello there")


def decoded(
    backbone: TableBackbone,
    *,
    stop: tuple[str, ...] = (),
    max_tokens: int = 100,
    sampling: Sampling | None = None,
    **options: Any,
) -> tuple[Decoded, list[str]]:
    tape = Tape()
    tape.write(PROMPT)
    pieces: list[str] = []
    program = decode_text(
        VIEW,
        tape,
        stops=options.pop("stops", VIEW.end_ids),
        sampler=Sampler(sampling or Sampling()),
        max_length=len(PROMPT) + max_tokens,
        words=WordStream(pieces.append, stop=stop),
        **options,
    )
    return run_program(program, backbone), pieces


def saying(text: str, *then: int) -> TableBackbone:
    return TableBackbone(scripted_rows(VOCAB, PROMPT, [*VIEW.encode(text), *then], strength=60.0))


def test_words_stream_until_the_end() -> None:
    outcome, pieces = decoded(saying("It is 21 degrees.", VIEW.ends[0]))

    assert (outcome.text, outcome.ending) == ("It is 21 degrees.", "end")
    assert len(pieces) > 1 and "".join(pieces) == outcome.text


def test_words_stop_at_the_limit() -> None:
    outcome, _ = decoded(saying("a a a a a a a a a a"), max_tokens=3)

    assert outcome.ending == "length"
    assert len(VIEW.encode(outcome.text)) == 3


def test_words_that_only_repeat_themselves_are_ended() -> None:
    loop, other = VIEW.encode("so and "), VIEW.encode("Well, ")
    rows = scripted_rows(VOCAB, PROMPT, [*other, *loop * 300, VIEW.ends[0]], strength=60.0)

    outcome, _ = decoded(TableBackbone(rows), max_tokens=2000)

    assert outcome.ending == "length"
    num_written = len(loop) * outcome.text.count("so and") + len(other)
    assert MOST_REPEATED <= num_written <= MOST_REPEATED + len(other) + len(loop)


def test_a_long_row_of_zeros_is_no_loop() -> None:
    zeros = "0 " * (MOST_REPEATED // len(VIEW.encode("0 ")) - 20)

    outcome, _ = decoded(saying(f"{zeros}then 1.", VIEW.ends[0]), max_tokens=2000)

    assert (outcome.text, outcome.ending) == (f"{zeros}then 1.", "end")


def test_a_stop_sequence_ends_the_words_and_is_not_part_of_them() -> None:
    outcome, pieces = decoded(saying("one two END three", VIEW.ends[0]), stop=("END",))

    assert (outcome.text, outcome.ending) == ("one two", "stop")
    assert "".join(pieces) == "one two"


def test_control_tokens_are_never_words() -> None:
    def row_after(tokens: tuple[int, ...]) -> Row:
        row = np.zeros(VOCAB, np.float32)
        row[[i for i in range(VOCAB) if not VIEW.vocabulary.tokens[i] and i not in VIEW.ends]] = 90.0
        row[VIEW.encode("a")[0]] = 1.0
        return row

    outcome, _ = decoded(TableBackbone(row_after), max_tokens=5)

    assert outcome.text == "aaaaa"


def test_a_call_may_begin_among_the_words_but_not_first() -> None:
    outcome, _ = decoded(
        saying("Let me see.", VIEW.call_open), stops=VIEW.end_or_call_ids, first_stops=VIEW.end_ids
    )

    assert (outcome.text, outcome.ending) == ("Let me see.", "call")


def test_sampling_depends_on_the_seed_alone() -> None:
    def text(seed: int) -> str:
        sampling = Sampling(temperature=1.0, top_p=0.9, seed=seed)
        return decoded(TableBackbone(random_rows(VOCAB)), sampling=sampling, max_tokens=30)[0].text

    assert text(1) == text(1) != text(2)


def test_no_probable_token_is_left_out_of_the_nucleus() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.7))

    drawn = {sampler.choose(logits, np.arange(4)).token_id for _ in range(200)}

    assert drawn == {0, 1}


def test_draws_follow_the_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    sampler = Sampler(Sampling(temperature=1.0))

    counts = np.bincount([sampler.choose(logits, np.arange(3)).token_id for _ in range(4000)])

    assert counts / 4000 == pytest.approx([0.5, 0.3, 0.2], abs=0.04)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


@given(st.text(alphabet="aé日😀 \nEND", max_size=30), st.lists(st.integers(1, 4), max_size=40))
def test_streamed_pieces_are_the_words_however_they_are_cut(text: str, sizes: list[int]) -> None:
    pieces: list[str] = []
    words = WordStream(pieces.append, stop=("END",))

    for piece in cut(text.encode(), sizes):
        if words.feed(piece):
            break
    words.finish()

    assert "".join(pieces) == words.text == text.split("END", 1)[0].strip()


@given(st.text(alphabet="ab{ \n", max_size=20), st.lists(st.integers(1, 4), max_size=30))
def test_a_held_text_is_handed_out_whole_or_not_at_all(text: str, sizes: list[int]) -> None:
    pieces: list[str] = []
    words = WordStream(pieces.append, held_starts=("{",))

    for piece in cut(text.encode(), sizes):
        words.feed(piece)
    words.finish()

    assert words.is_held == text.strip().startswith("{")
    assert words.text == text.strip()
    if words.is_held:
        assert pieces == []
        words.release()
    assert "".join(pieces) == words.text == text.strip()


def test_half_a_character_at_the_end_is_shown_as_one() -> None:
    words = WordStream(lambda text: None)

    words.feed("a日".encode()[:-1])
    words.finish()

    assert words.text == "a\ufffd"
