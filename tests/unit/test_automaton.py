from __future__ import annotations

import itertools
import random
import time

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agent_runtime.errors import ConfigError
from agent_runtime.scaffold.automaton import TokenAutomaton, compile_language
from agent_runtime.scaffold.language import Language, LanguageError, language_of
from agent_runtime.scaffold.shape import ConstantsShape, IntegerShape, NumberShape, Shape, StringShape
from agent_runtime.scaffold.vocabulary import TokenVocabulary
from tests.shared_data import shared

from .shapes import scalar_shapes
from .vocabularies import small_vocabulary

VOCABULARY = small_vocabulary()


def fewest_tokens(language: Language, vocabulary: TokenVocabulary, limit: int) -> int | None:
    """Breadth-first over bytes of whole token sequences, without token classes."""
    automaton = language.automaton
    reached = {(0, 0)}
    for used in range(limit + 1):
        if any(
            automaton.is_final[state]
            and count >= language.min_length
            and (language.max_length is None or count <= language.max_length)
            for state, count in reached
        ):
            return used
        following = set()
        for state, count in reached:
            for token in vocabulary.tokens:
                after = _read(language, state, count, token)
                if token and after is not None:
                    following.add(after)
        reached = following
    return None


def _read(language: Language, state: int, count: int, token: bytes) -> tuple[int, int] | None:
    for byte in token:
        count += bool(language.automaton.is_boundary[state])
        state = int(language.automaton.table[state, byte])
        if state < 0:
            return None
    return state, min(count, 40)


@settings(max_examples=60, deadline=None)
@given(scalar_shapes, st.booleans())
def test_the_fewest_tokens_of_a_value_are_what_searching_finds(shape: Shape, leading_space: bool) -> None:
    language = language_of(shape, leading_space=leading_space)

    automaton = compile_language(language, VOCABULARY)

    if automaton.min_tokens <= 4:
        assert automaton.min_tokens == fewest_tokens(language, VOCABULARY, 4)
    else:
        assert fewest_tokens(language, VOCABULARY, 3) is None


@settings(max_examples=80, deadline=None)
@given(scalar_shapes, st.integers(0, 2**32))
def test_tokens_are_accepted_as_their_text_is(shape: Shape, seed: int) -> None:
    language = language_of(shape)
    automaton = compile_language(language, VOCABULARY)
    randomness = random.Random(seed)
    for _ in range(5):
        token_ids = _random_walk(automaton, randomness)
        if randomness.random() < 0.5 and token_ids:
            token_ids[randomness.randrange(len(token_ids))] = randomness.randrange(len(VOCABULARY))
        raw = VOCABULARY.text_of(token_ids)
        try:
            is_right = language.accepts(raw.decode()) and all(VOCABULARY.tokens[i] for i in token_ids)
        except UnicodeDecodeError:
            is_right = False

        assert automaton.accepts(token_ids) == is_right, raw


def _random_walk(automaton: TokenAutomaton, randomness: random.Random) -> list[int]:
    state, count, taken = 0, 0, list[int]()
    for _ in range(randomness.randrange(12)):
        following = [
            token for token in range(len(automaton.classes)) if automaton.step(state, count, token)[0] >= 0
        ]
        if not following:
            break
        taken.append(randomness.choice(following))
        state, count = automaton.step(state, count, taken[-1])
    return taken


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.none() | st.integers(0, 6), st.integers(0, 2**32))
def test_counts_written_out_as_states_accept_the_same(low: int, more: int | None, seed: int) -> None:
    shape = StringShape(min_length=low, max_length=None if more is None else low + more)
    automaton = compile_language(language_of(shape), VOCABULARY)

    table, is_final, distance = automaton.expanded()

    assert distance[0] == automaton.min_tokens
    randomness = random.Random(seed)
    for _ in range(30):
        token_ids = [randomness.randrange(32, 300) for _ in range(randomness.randrange(8))]
        state = 0
        for token_id in token_ids:
            state = int(table[state, automaton.classes[token_id]]) if state >= 0 else -1
        assert (state >= 0 and bool(is_final[state])) == automaton.accepts(token_ids)


def test_tokens_that_no_state_tells_apart_share_a_class() -> None:
    automaton = compile_language(language_of(IntegerShape()), VOCABULARY)

    digits = {int(automaton.classes[ord(digit)]) for digit in "123456789"}

    assert len(digits) == 1
    assert automaton.classes[ord("0")] not in digits
    assert automaton.classes[ord("x")] == 0
    assert (automaton.next[:, 0] == -1).all()
    columns = {column.tobytes() for column in automaton.next.T}
    assert len(columns) == automaton.num_classes


def test_half_characters_may_be_followed_only_by_their_other_half() -> None:
    half = VOCABULARY.tokens.index("é日".encode()[:3])
    rest = VOCABULARY.tokens.index("日".encode()[1:] + b"!")
    automaton = compile_language(language_of(StringShape()), VOCABULARY)

    assert automaton.accepts([half, rest])
    assert not automaton.accepts([half])
    assert not automaton.accepts([rest])
    assert not automaton.accepts([half, ord("a")])


def test_compiled_automata_are_kept_and_read_only() -> None:
    language = language_of(IntegerShape(minimum=3))

    automaton = compile_language(language, VOCABULARY)

    assert compile_language(language, small_vocabulary()) is automaton
    with pytest.raises(ValueError, match="read-only"):
        automaton.next[0, 0] = 1


def test_a_vocabulary_that_cannot_write_the_language_is_refused() -> None:
    with pytest.raises(LanguageError, match="no sequence of the vocabulary's tokens"):
        compile_language(language_of(IntegerShape()), TokenVocabulary(tokens=(b"a", b"b")))


def test_a_minimum_length_beyond_counting_is_refused() -> None:
    with pytest.raises(LanguageError, match="minLength 100000 is too long"):
        compile_language(language_of(StringShape(min_length=100_000)), VOCABULARY)


def test_a_very_long_maximum_length_costs_no_more_than_a_long_one() -> None:
    automaton = compile_language(language_of(StringShape(max_length=10**9)), VOCABULARY)

    assert automaton.min_tokens == 0
    assert automaton.min_tokens_to_accept.nbytes < 2**21


def test_few_tokens_beside_a_length_limit_are_searched_for_together() -> None:
    vocabulary = TokenVocabulary(tokens=(b"aaaa", b"a", b"bb"))
    automaton = compile_language(language_of(StringShape(min_length=6, max_length=7)), vocabulary)

    assert automaton.min_tokens == 2  # aaaa bb
    exact = compile_language(language_of(StringShape(min_length=7, max_length=7)), vocabulary)
    assert exact.min_tokens == 3  # aaaa bb a
    for length in range(1, 5):
        for token_ids in itertools.product(range(3), repeat=length):
            size = len(vocabulary.text_of(token_ids))
            assert exact.accepts(token_ids) == (size == 7)


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>", "<tool_call>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Weather in Zürich — 12 °C, 日本 😀"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def test_tokens_of_a_byte_level_tokenizer_write_the_bytes_it_decodes() -> None:
    tokenizer = byte_level_tokenizer()
    text = 'Zürich 日本 😀 — "quoted"\n\t\\ é'

    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)

    ids = tokenizer.encode(text, add_special_tokens=False)
    assert vocabulary.text_of(ids) == text.encode()
    assert vocabulary.encode is not None
    assert list(vocabulary.encode(text)) == ids
    assert vocabulary.end_ids == (tokenizer.convert_tokens_to_ids("<|end|>"),)
    for control in ("<|end|>", "<tool_call>"):
        assert vocabulary.tokens[tokenizer.convert_tokens_to_ids(control)] == b""
    assert TokenVocabulary.from_tokenizer(tokenizer) is vocabulary


def test_tokens_of_a_byte_fallback_tokenizer_are_read() -> None:
    vocabulary = {"<unk>": 0, "<0x0A>": 1, "\u2581the": 2, "é": 3}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<unk>"])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback()])

    found = TokenVocabulary.from_tokenizer(tokenizer)

    assert found.tokens == (b"", b"\n", b" the", "é".encode())


def test_a_tokenizer_of_unknown_bytes_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))

    with pytest.raises(ConfigError, match="does not say which bytes a token writes"):
        TokenVocabulary.from_tokenizer(tokenizer)


def test_prefixes_of_a_vocabulary_form_a_tree() -> None:
    vocabulary = TokenVocabulary(tokens=(b"ab", b"a", b"", b"abc", b"b", b"ab"))

    tree = vocabulary.prefixes

    def spelt(node: int) -> bytes:
        return b"" if node == 0 else spelt(int(tree.parent[node])) + bytes((int(tree.byte[node]),))

    assert [spelt(int(node)) for node in tree.node_of_token] == list(vocabulary.tokens)
    assert len(tree.parent) == len({b"", b"a", b"ab", b"abc", b"b"})
    assert tree.levels[-1] == len(tree.parent)


SCALE_SHAPES: dict[str, Shape] = {
    "true": ConstantsShape(values=(True, False)),
    "-90071": IntegerShape(),
    "0.125": NumberShape(minimum=0),
    'Zürich, 日本 😀 \\"x\\"': StringShape(),
    "no more than 255 characters": StringShape(max_length=255),
    "123e4567-e89b-12d3-a456-426614174000": StringShape(format="uuid"),
    "2024-02-29T12:00:00+01:00": StringShape(format="date-time"),
    "ada.lovelace@example.org": StringShape(format="email"),
}


def test_languages_compile_at_128k_tokens() -> None:
    packed = shared("tokenizer-128k/tokenizer.json.zst").read_bytes()
    unpacked = zstandard.ZstdDecompressor().stream_reader(packed).read()
    vocabulary = TokenVocabulary.from_tokenizer(Tokenizer.from_str(unpacked.decode()))
    assert len(vocabulary.prefixes.parent) > 200_000
    assert vocabulary.encode is not None

    for text, shape in SCALE_SHAPES.items():
        started = time.process_time()
        automaton = compile_language(language_of(shape), vocabulary)

        assert time.process_time() - started < 1.0, text
        assert automaton.num_classes < 300, text
        assert automaton.accepts(vocabulary.encode(text)), text
