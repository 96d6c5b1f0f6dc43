from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent_runtime.engine.typed_decoding import (
    BudgetError,
    PackedAutomata,
    class_max,
    decode_slots,
    forward_backward,
    n_best,
    viterbi,
)
from agent_runtime.scaffold.automaton import TokenAutomaton, compile_language
from agent_runtime.scaffold.language import LanguageError, language_of
from agent_runtime.scaffold.shape import IntegerShape, Shape, StringShape
from agent_runtime.scaffold.vocabulary import TokenVocabulary

TOKENS = (b"a", b"b", b"1", b"12", b"ab", b'\\"', b"-", b"")
NULL = len(TOKENS) - 1
VOCABULARY = TokenVocabulary(tokens=TOKENS)
SHAPES: tuple[Shape, ...] = (
    StringShape(),
    StringShape(patterns=("^(?:ab|ba)*$",)),
    StringShape(patterns=("^a+1?$",)),
    StringShape(min_length=2, max_length=3),
    StringShape(max_length=1),
    StringShape(max_length=0),
    IntegerShape(),
    IntegerShape(minimum=-12, maximum=21),
    IntegerShape(multiple_of=12),
)


@dataclass(frozen=True)
class Problem:
    automata: list[TokenAutomaton]
    budgets: list[int]
    log_probs: Tensor
    fixed: Tensor | None
    is_capturable: bool = False

    def packed(self) -> PackedAutomata:
        return PackedAutomata.pack(self.automata, self.budgets, is_capturable=self.is_capturable)


@st.composite
def problems(draw: st.DrawFn, *, with_fixed: bool = False) -> Problem:
    """A few slots of different languages and budgets under random logits."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    automata = [compile_language(language_of(shape), VOCABULARY) for shape in shapes]
    length = draw(st.integers(2, 4))
    budgets = [draw(st.integers(automaton.min_tokens, length)) for automaton in automata]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn((len(shapes), length, len(TOKENS)), generator=generator, dtype=torch.float64) * 3
    fixed = None
    if with_fixed:
        fixed = torch.full((len(shapes), length), -1)
        for slot, automaton in enumerate(automata):  # settle some positions as one accepted value has them
            sequences = list(accepted(automaton, budgets[slot], length))
            chosen = draw(st.sampled_from(sequences))
            for position in range(length):
                if draw(st.booleans()):
                    fixed[slot, position] = chosen[position]
    return Problem(automata, budgets, logits.log_softmax(-1), fixed, is_capturable=draw(st.booleans()))


def accepted(automaton: TokenAutomaton, budget: int, length: int) -> list[tuple[int, ...]]:
    """Every token sequence that writes a value and ends in NULLs, by trying them all."""
    found = []
    for used in range(budget + 1):
        values = itertools.product(range(NULL), repeat=used)
        found += [(*value, *[NULL] * (length - used)) for value in values if automaton.accepts(value)]
    return found


def ranked(problem: Problem, slot: int) -> list[tuple[float, tuple[int, ...]]]:
    """All accepted sequences with their scores, best first. NULL beyond the budget costs nothing."""
    rows = problem.log_probs[slot]
    found = []
    for sequence in accepted(problem.automata[slot], problem.budgets[slot], rows.shape[0]):
        score = 0.0
        for position, token in enumerate(sequence):
            if position >= problem.budgets[slot]:
                break
            if problem.fixed is not None and problem.fixed[slot, position] >= 0:
                score += 0.0 if problem.fixed[slot, position] == token else -math.inf
            else:
                score += float(rows[position, token])
        if score > -math.inf:
            found.append((score, sequence))
    return sorted(found, reverse=True)


@settings(max_examples=60, deadline=None)
@given(problems(with_fixed=True))
def test_viterbi_finds_what_trying_everything_finds(problem: Problem) -> None:
    packed = problem.packed()

    best = viterbi(problem.log_probs, packed, NULL, fixed=problem.fixed)

    for slot in range(len(problem.automata)):
        score, sequence = ranked(problem, slot)[0]
        assert math.isclose(float(best.scores[slot]), score, rel_tol=1e-9, abs_tol=1e-9)
        assert tuple(best.token_ids[slot].tolist()) == sequence


@settings(max_examples=40, deadline=None)
@given(problems(with_fixed=True))
def test_counting_only_where_needed_finds_the_same(problem: Problem) -> None:
    packed = problem.packed()

    found = decode_slots(problem.log_probs, problem.automata, problem.budgets, NULL, fixed=problem.fixed)

    expected = viterbi(problem.log_probs, packed, NULL, fixed=problem.fixed)
    assert torch.equal(found.token_ids, expected.token_ids)
    assert torch.allclose(found.scores, expected.scores)


@settings(max_examples=40, deadline=None)
@given(problems(with_fixed=True), st.integers(1, 5))
def test_n_best_are_the_first_of_all_in_order(problem: Problem, n: int) -> None:
    packed = problem.packed()

    found = n_best(problem.log_probs, packed, NULL, n, fixed=problem.fixed)

    for slot in range(len(problem.automata)):
        expected = ranked(problem, slot)[:n]
        scores = found.scores[slot].tolist()
        assert np.allclose(scores[: len(expected)], [score for score, _ in expected])
        assert [tuple(ids) for ids in found.token_ids[slot].tolist()[: len(expected)]] == [
            s for _, s in expected
        ]
        assert scores[len(expected) :] == [-math.inf] * (n - len(expected))


@settings(max_examples=40, deadline=None)
@given(problems(with_fixed=True))
def test_marginals_are_shares_of_the_total(problem: Problem) -> None:
    packed = problem.packed()
    best = viterbi(problem.log_probs, packed, NULL, fixed=problem.fixed).token_ids

    marginals = forward_backward(problem.log_probs, packed, NULL, fixed=problem.fixed)

    shares = marginals.of_tokens(problem.log_probs, best, packed, NULL)
    for slot, automaton in enumerate(problem.automata):
        sequences = ranked(problem, slot)
        total = sum(math.exp(score) for score, _ in sequences)
        assert math.isclose(float(marginals.log_z[slot]), math.log(total), rel_tol=1e-6, abs_tol=1e-9)
        for position in range(best.shape[1]):
            is_free = problem.fixed is None or int(problem.fixed[slot, position]) < 0
            by_class = np.zeros(packed.num_classes)
            null = same = 0.0
            for score, sequence in sequences:
                weight = math.exp(score) / total
                if sequence[position] == NULL:
                    null += weight
                else:
                    by_class[automaton.classes[sequence[position]]] += weight
                same += weight * (sequence[position] == int(best[slot, position]))
            assert np.allclose(marginals.classes[slot, position].numpy(), by_class, atol=1e-9)
            assert math.isclose(float(marginals.null[slot, position]), null, abs_tol=1e-9)
            if is_free:
                assert math.isclose(float(shares[slot, position]), same, abs_tol=1e-9)


@settings(max_examples=30, deadline=None)
@given(problems())
def test_class_max_is_the_best_token_of_each_class(problem: Problem) -> None:
    packed = problem.packed()

    best = class_max(problem.log_probs, packed)

    for slot, automaton in enumerate(problem.automata):
        for token_class in range(1, automaton.num_classes):
            members = np.flatnonzero(automaton.classes == token_class)
            assert torch.equal(best[slot, :, token_class], problem.log_probs[slot][:, members].amax(-1))


@pytest.mark.parametrize("is_capturable", [False, True])
def test_log_z_teaches_the_head_to_write_valid_values(is_capturable: bool) -> None:
    automaton = compile_language(language_of(IntegerShape()), VOCABULARY)
    packed = PackedAutomata.pack([automaton], [3], is_capturable=is_capturable)
    logits = torch.zeros((1, 3, len(TOKENS)), requires_grad=True)

    (-forward_backward(logits.log_softmax(-1), packed, NULL).log_z.sum()).backward()  # type: ignore[no-untyped-call]  # torch

    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0, TOKENS.index(b"a")] > 0 > logits.grad[0, 0, TOKENS.index(b"12")]


def test_budget_below_the_shortest_value_is_refused() -> None:
    automaton = compile_language(language_of(StringShape(min_length=5)), VOCABULARY)

    with pytest.raises(BudgetError, match="slot 1 has 2 token positions but its shortest value takes 3"):
        PackedAutomata.pack([automaton, automaton], [3, 2])


def test_settled_tokens_that_lead_nowhere_score_minus_infinity() -> None:
    packed = PackedAutomata.pack([compile_language(language_of(IntegerShape()), VOCABULARY)], [2])
    fixed = torch.tensor([[TOKENS.index(b"a"), -1]])

    best = viterbi(torch.zeros((1, 2, len(TOKENS))), packed, NULL, fixed=fixed)

    assert best.scores.tolist() == [-math.inf]


def test_logits_wider_than_the_vocabulary_never_yield_the_extra_tokens() -> None:
    packed = PackedAutomata.pack(
        [compile_language(language_of(StringShape()), VOCABULARY)], [3], vocab_size=len(TOKENS) + 4
    )
    logits = torch.zeros((1, 3, len(TOKENS) + 4))
    logits[..., -1] = 100.0

    best = viterbi(logits, packed, NULL)

    assert (best.token_ids < len(TOKENS)).all()


@pytest.mark.parametrize("is_capturable", [False, True])
def test_half_precision_logits_are_summed_in_single_precision(is_capturable: bool) -> None:
    automata = [compile_language(language_of(shape), VOCABULARY) for shape in SHAPES]
    packed = PackedAutomata.pack(automata, [4] * len(automata), is_capturable=is_capturable)
    halves = torch.randn(
        (len(automata), 4, len(TOKENS)), generator=torch.Generator().manual_seed(1)
    ).bfloat16()

    found, exact = viterbi(halves, packed, NULL), viterbi(halves.float(), packed, NULL)

    assert torch.equal(found.token_ids, exact.token_ids)
    assert torch.equal(found.scores, exact.scores)
    shares = forward_backward(halves, packed, NULL)
    assert torch.allclose(shares.log_z, forward_backward(halves.float(), packed, NULL).log_z)
    assert torch.equal(n_best(halves, packed, NULL, 2).scores[:, 0], exact.scores)


def test_counting_that_takes_too_many_states_is_refused() -> None:
    automaton = compile_language(language_of(StringShape(min_length=9_000)), VOCABULARY)

    with pytest.raises(LanguageError, match="decode this slot token by token"):
        PackedAutomata.pack([automaton], [automaton.min_tokens])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_decoding_is_captured_in_a_cuda_graph() -> None:
    automata = [compile_language(language_of(shape), VOCABULARY) for shape in SHAPES]
    packed = PackedAutomata.pack(automata, [4] * len(automata), device="cuda")
    static = torch.randn((len(automata), 4, len(TOKENS)), device="cuda")
    viterbi(static, packed, NULL)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = viterbi(static, packed, NULL)
        shares = forward_backward(static, packed, NULL)
    static.copy_(torch.randn_like(static))

    graph.replay()

    assert torch.equal(captured.token_ids, viterbi(static, packed, NULL).token_ids)
    assert torch.allclose(shares.log_z, forward_backward(static, packed, NULL).log_z)
