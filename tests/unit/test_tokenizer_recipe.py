"""The tokenizer: words are cut alike everywhere, and calls piece by piece as in one go."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from agent_runtime.prompt import PromptFormat, check_tokenizer, text_encoder
from agent_runtime.runtime import embedded_model_folder
from agent_runtime.scaffold.canonical import CALL_CLOSE, CALL_OPEN, call_pieces
from training.data import synthetic_examples
from training.recipe import TokenizerRecipe
from training.recipes import train_tokenizer_recipe
from training.tokenizer import SPECIAL_TOKENS, load_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("tokenizer")
    return train_tokenizer_recipe(TokenizerRecipe(vocab_size=1200, num_synthetic=300, output=str(output)))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(folder)


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(text_encoder(tokenizer).encode_text(text).ids)


def test_control_tokens_come_first_and_serve_the_compact_format(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens(list(range(len(SPECIAL_TOKENS)))) == list(SPECIAL_TOKENS)
    check_tokenizer(tokenizer, PromptFormat.compact())
    assert {"<|reserved_special_token_2|>", "<|reserved_special_token_11|>"} <= set(SPECIAL_TOKENS)


@given(st.text())
def test_any_text_comes_back_as_it_was(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    written = text.encode("utf8", "ignore").decode()
    assert tokenizer.decode(ids(tokenizer, written)) == written


@given(st.from_regex(r"[A-Za-z]{2,12}", fullmatch=True))
def test_word_is_the_same_tokens_wherever_it_stands(tokenizer: PreTrainedTokenizerFast, word: str) -> None:
    name = word.capitalize()  # function words are written small
    alone = ids(tokenizer, name)
    for before, after in [
        ("Go to ", " now"),
        ('"', '"'),
        ("", "."),
        ("(", ")"),
        ("\n- ", ": string"),
        ("x_", "_y"),
    ]:
        assert ids(tokenizer, before + name + after) == ids(tokenizer, before) + alone + ids(tokenizer, after)


@given(st.integers())
def test_digits_are_tokens_of_their_own(tokenizer: PreTrainedTokenizerFast, number: int) -> None:
    assert len(ids(tokenizer, str(number))) == len(str(number))


def test_function_word_keeps_its_space_and_others_do_not(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens(ids(tokenizer, "Weather in the Hague")).count("Ġ") == 1


def call_text_ids(tokenizer: PreTrainedTokenizerFast, name: str, arguments: dict[str, Any]) -> list[int]:
    pieces = call_pieces(name, arguments)
    return ids(tokenizer, "".join(piece.text for piece in pieces if piece.kind != "control"))


def test_calls_are_cut_alike_piece_by_piece_and_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = text_encoder(tokenizer)
    tags = {encoder.control_id(CALL_OPEN), encoder.control_id(CALL_CLOSE)}
    num_calls = 0
    for example in islice(synthetic_examples(77), 300):
        for message in example.messages:
            for call in message.get("tool_calls", ()):
                pieces = encoder.encode_call(call_pieces(call["name"], call["arguments"]))
                without_tags = [token for token in pieces if token not in tags]
                assert without_tags == call_text_ids(tokenizer, call["name"], call["arguments"]), call
                num_calls += 1
    assert num_calls > 200


_words = st.from_regex(r"[A-Za-z0-9é'-]([A-Za-z0-9é' .-]{0,10}[A-Za-z0-9é])?", fullmatch=True)
_scalars = st.one_of(
    _words, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
) | st.sampled_from([[], {}])


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}[a-z]", fullmatch=True), _values, max_size=4))
def test_borders_of_slots_are_borders_of_tokens(
    tokenizer: PreTrainedTokenizerFast, arguments: dict[str, Any]
) -> None:
    encoder = text_encoder(tokenizer)
    pieces = [piece for piece in call_pieces("f", arguments) if piece.kind != "control"]
    joined = [token for piece in pieces for token in encoder.encode_text(piece.text).ids]
    assert joined == call_text_ids(tokenizer, "f", arguments), json.dumps(arguments)


def test_shipped_tokenizer_cuts_text_as_training_does() -> None:
    shipped = json.loads((embedded_model_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    fresh = json.loads(train_tokenizer(["a b"], vocab_size=300).backend_tokenizer.to_str())

    for part in ("added_tokens", "normalizer", "pre_tokenizer", "decoder"):
        assert shipped[part] == fresh[part]


def test_folder_loads_with_auto_tokenizer_and_its_template_opens_a_conversation(folder: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(str(folder))
    text = loaded.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith("<|begin_of_text|>")
    assert text.endswith("<|im_start|>assistant\n")
