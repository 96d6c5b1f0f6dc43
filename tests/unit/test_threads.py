from __future__ import annotations

import threading

import torch

from agent_runtime.engine.threads import ThreadChoice, using_threads


def choice(trials: list[float], *, can_vary: bool = True, num_threads: int = 8) -> ThreadChoice:
    """A choice for a model of 10M weights, whose trials of the machine take these seconds."""
    return ThreadChoice(
        num_weights=10**7, can_vary=can_vary, num_threads=num_threads, trial=lambda: trials.pop(0)
    )


def test_small_forwards_use_one_thread_without_a_trial() -> None:
    assert choice([]).choose(1) == 1
    assert choice([]).choose(9) == 1


def test_large_forwards_use_all_threads_of_an_idle_machine() -> None:
    assert choice([2e-5]).choose(256) == 8


def test_busy_machine_gets_one_thread_and_ever_longer_pauses_between_trials() -> None:
    trials = [8e-3] * 3 + [2e-5] * 2
    threads = choice(trials)

    chosen = [threads.choose(256) for _ in range(1 + 8 + 1 + 16 + 1 + 32 + 1 + 1)]

    assert chosen == [1] * 59 + [8, 8]
    assert not trials


def test_huge_forwards_use_all_threads_whatever_the_machine_does() -> None:
    assert choice([]).choose(2000) == 8


def test_threads_do_not_vary_where_bits_would() -> None:
    fixed = choice([], can_vary=False)

    assert [fixed.choose(rows) for rows in (1, 256, 5000)] == [8, 8, 8]
    with fixed.for_rows(1):
        assert torch.get_num_threads() == torch.get_num_threads()


def test_threads_are_set_for_one_thread_and_set_back() -> None:
    before = torch.get_num_threads()
    is_inside, is_seen = threading.Event(), threading.Event()

    def inside() -> None:
        with using_threads(before + 1):
            is_inside.set()
            is_seen.wait(10)
        after.append(torch.get_num_threads())

    after: list[int] = []
    other = threading.Thread(target=inside)
    other.start()
    is_inside.wait(10)
    meanwhile = torch.get_num_threads()
    is_seen.set()
    other.join()

    assert meanwhile == before
    assert after == [before]


def test_a_choice_made_for_real_forwards_gives_back_what_it_took() -> None:
    before = torch.get_num_threads()
    threads = ThreadChoice(num_weights=10**7, can_vary=True, num_threads=before)

    for rows in (1, 64, 256):
        with threads.for_rows(rows):
            assert torch.get_num_threads() in (1, before)

    assert torch.get_num_threads() == before
