"""The engine on a CUDA device: the same promises as on the CPU."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.engine import Engine, StartProgram
from agent_runtime.engine.program import Forward, Program, Reading
from agent_runtime.engine.scheduler import SchedulerLimits, run_alone
from tests.forward_programs import greedy, wander
from tests.tiny_model import make_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), hidden=256, heads=4, kv_heads=2)


def logits(backbone: Backbone, token_ids: list[int]) -> torch.Tensor:
    sequence = backbone.new_sequence(backbone.new_cache(0))
    sequence.reserve(len(token_ids))
    read = backbone.read([Chunk(sequence.slab, token_ids, 0, len(token_ids))])[0]
    assert read is not None
    return read


def test_cuda_reads_like_the_cpu(folder: Path) -> None:
    token_ids = [(7 * number) % 500 for number in range(300)]

    on_cuda = logits(Backbone.load(folder, device="cuda"), token_ids)

    assert on_cuda.device.type == "cpu"
    torch.testing.assert_close(on_cuda, logits(Backbone.load(folder), token_ids), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_answers_on_cuda_are_the_same_alone_and_in_a_crowd(folder: Path, dtype: str) -> None:
    backbone = Backbone.load(folder, device="cuda", dtype=dtype, max_seq_len=1024)
    limits = SchedulerLimits(max_batch=6, max_queue=100)
    async with Engine(lambda: backbone, limits) as engine:
        crowd = await asyncio.gather(*(engine.run(wandering(seed)) for seed in range(12)))
        assert crowd == [run_alone(backbone, wander(seed, 512)) for seed in range(12)]


def wandering(seed: int) -> StartProgram[Any]:
    return lambda _backbone, _emit: wander(seed, 512)


def test_branches_and_states_on_cuda_are_those_of_the_cpu(folder: Path) -> None:
    prompt, branches = [(7 * number) % 500 for number in range(200)], [[5, 6, 7], [8], list(range(20, 50))]

    def program() -> Program[Reading]:
        return (yield Forward(prompt, 0, branches=branches, num_branch_logits=2, num_states=200))

    on_cuda = run_alone(Backbone.load(folder, device="cuda", taps=(0, 2, 4)), program())
    on_cpu = run_alone(Backbone.load(folder, taps=(0, 2, 4)), program())

    assert on_cuda.states is not None and on_cpu.states is not None
    assert on_cuda.states.device.type == "cuda"
    torch.testing.assert_close(on_cuda.states.cpu(), on_cpu.states, atol=2e-2, rtol=2e-2)
    for ours, theirs in zip(on_cuda.branch_logits, on_cpu.branch_logits, strict=True):
        assert ours.device.type == "cpu"
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=2e-3)
    for ours, theirs in zip(on_cuda.branch_states, on_cpu.branch_states, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_branches_on_cuda_are_the_same_alone_and_in_a_crowd(folder: Path, dtype: str) -> None:
    backbone = Backbone.load(folder, device="cuda", dtype=dtype, max_seq_len=1024, taps=(2, 4))

    def program(seed: int) -> Program[list[torch.Tensor]]:
        seen: list[torch.Tensor] = []
        for number in range(3):
            branches = [[seed, number, 3 * size] * (size + 1) for size in range(seed + 2)]
            prompt = [(seed + 7 * place) % 500 for place in range(90 * number + 40)]
            reading = yield Forward(prompt, 0, branches=branches, num_states=9)
            assert reading.states is not None
            seen += [reading.logits, reading.states, *reading.branch_logits, *reading.branch_states]
        return seen

    def starting(seed: int) -> StartProgram[list[torch.Tensor]]:
        return lambda _backbone, _emit: program(seed)

    async with Engine(lambda: backbone, SchedulerLimits(max_batch=6, max_queue=100)) as engine:
        crowd = await asyncio.gather(*(engine.run(starting(seed)) for seed in range(6)))
    for seed in range(6):
        assert all(map(torch.equal, crowd[seed], run_alone(backbone, program(seed))))


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantised_backbone_decodes(folder: Path, quantization: Any) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    backbone = Backbone.load(folder, device="cuda", dtype="bfloat16", quantization=quantization)

    assert len(run_alone(backbone, greedy([1, 2, 3], 8))) == 8
