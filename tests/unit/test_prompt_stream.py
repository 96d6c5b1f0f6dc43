"""Replies told apart while they arrive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.prompt import ReplySplitter, parse_reply


def _split(
    chunks: Iterable[str], stop: Sequence[str] = (), *, starts_thinking: bool = False
) -> dict[str, str]:
    """Everything handed out, joined by kind."""
    splitter = ReplySplitter(stop, starts_thinking=starts_thinking)
    joined: defaultdict[str, str] = defaultdict(str)
    for part in [part for chunk in chunks for part in splitter.feed(chunk)] + splitter.finish():
        joined[part[0]] += part[1]
    return dict(joined)


def test_words_arrive_at_once() -> None:
    splitter = ReplySplitter()

    assert splitter.feed("It is") == [("text", "It is")]
    assert splitter.feed(" 21") == [("text", " 21")]
    assert splitter.finish() == []


def test_part_of_a_tag_is_held_back_until_it_is_decided() -> None:
    splitter = ReplySplitter()

    assert splitter.feed("a <th") == [("text", "a")]
    assert splitter.feed("e b") == [("text", " <the b")]


def test_held_back_text_comes_out_at_the_end() -> None:
    splitter = ReplySplitter(["###"])

    assert splitter.feed("x <tool_ca") == [("text", "x")]
    assert splitter.finish() == [("text", " <tool_ca")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_thoughts_calls_and_words_are_told_apart_at_any_chunk_size(size: int) -> None:
    text = "<think>\nhmm < 3\n</think>\nLet me look.\n<tool_call>\n{}\n</tool_call>"

    joined = _split(text[at : at + size] for at in range(0, len(text), size))

    assert joined == {"reasoning": "hmm < 3", "text": "Let me look.", "call": "{}"}


def test_thoughts_opened_by_the_prompt_are_not_words() -> None:
    assert _split(["so", "</thi", "nk>Yes."], starts_thinking=True) == {"reasoning": "so", "text": "Yes."}


def test_thoughts_that_never_end_never_become_words() -> None:
    assert _split(["<thi", "nk>secret"]) == {"reasoning": "secret"}


def test_stop_sequence_ends_the_words_and_is_not_part_of_them() -> None:
    splitter = ReplySplitter(["STOP", "\n\n"])

    parts = splitter.feed("one ST") + splitter.feed("OP two") + splitter.feed("three") + splitter.finish()

    assert parts == [("text", "one")]
    assert splitter.stop == "STOP"


def test_stop_sequence_inside_thoughts_stops_nothing() -> None:
    assert _split(["<think>a STOP b</think>c"], ["STOP"]) == {"reasoning": "a STOP b", "text": "c"}


_SHARDS = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<", "th", " ", "\n", "a", "EN", "D"]
)
_texts = st.lists(_SHARDS, max_size=14).map("".join)


@given(text=_texts, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_how_the_text_is_cut_makes_no_difference(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    chunks = [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]

    assert _split(chunks, ["END"]) == _split([text], ["END"])


@given(text=_texts)
def test_nothing_inside_thoughts_is_ever_handed_out_as_words(text: str) -> None:
    joined = _split([f"a<think>{text.replace('</think>', '')}~</think>b"])

    assert joined["text"] == "ab"
    assert "~" in joined["reasoning"]


@given(
    words=st.text(st.sampled_from("ab <\n"), max_size=12),
    thoughts=st.text(st.sampled_from("xy \n"), max_size=9),
)
def test_words_streamed_are_the_words_parsed(words: str, thoughts: str) -> None:
    text = f"<think>{thoughts}</think>{words}"

    joined = _split(list(text))

    parsed = parse_reply(text, ())
    assert (joined.get("text", ""), joined.get("reasoning", "")) == (parsed.content, parsed.reasoning)
