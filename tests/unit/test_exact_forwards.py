"""In an exact forward a row's bits do not depend on which tokens are read together."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.batching import cut_to_size
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.key_values import KeyValueSlab
from tests.tiny_model import make_tiny_model

START, END = 40, 300
TOKENS = [random.Random(0).randrange(500) for _ in range(END)]


@pytest.fixture(
    scope="module",
    params=[
        ("float32", 4, 2, None),
        ("bfloat16", 4, 2, None),
        ("bfloat16", 3, 3, None),
        ("float32", 6, 2, None),
        ("float32", 4, 2, 2560),  # single rows of so many inputs are summed in another order by some kernels
    ],
    ids=lambda setup: f"{setup[0]}, {setup[1]} heads of {setup[2]}, feed-forward {setup[3]}",
)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    dtype, heads, kv_heads, intermediate = request.param
    folder: Path = make_tiny_model(
        tmp_path_factory.mktemp("model"),
        hidden=16 * heads,
        heads=heads,
        kv_heads=kv_heads,
        intermediate=intermediate,
        spread=0.2,
    )
    return Backbone.load(folder, dtype=dtype)


def rows_read(backbone: Backbone, sizes: Iterable[int]) -> Tensor:
    """Logits behind every token from START on, read in chunks of these sizes; the beginning as a prompt."""
    slab = KeyValueSlab(backbone._forward.key_value_shape, END)
    backbone.read([Chunk(slab, TOKENS[:START], 0, 0)])
    rows, at = [], START
    for size in sizes:
        token_ids = TOKENS[at : min(at + size, END)]
        if not token_ids:
            break
        (read,) = backbone.read([Chunk(slab, token_ids, at, len(token_ids), is_exact=True)])
        assert read is not None
        rows.append(read)
        at += len(token_ids)
    return torch.cat(rows)


def test_rows_are_the_same_however_tokens_are_cut(backbone: Backbone) -> None:
    one_by_one = rows_read(backbone, itertools.repeat(1))
    chance = random.Random(1)

    for sizes in [
        *map(itertools.repeat, (2, 7, 33, 50, 64, 128)),
        (chance.randint(1, 70) for _ in range(99)),
    ]:
        assert torch.equal(rows_read(backbone, sizes), one_by_one)


def test_exact_rows_are_those_of_a_plain_forward_up_to_rounding(backbone: Backbone) -> None:
    slab = KeyValueSlab(backbone._forward.key_value_shape, END)
    (plain,) = backbone.read([Chunk(slab, TOKENS, 0, END - START)])
    assert plain is not None

    exact = rows_read(backbone, itertools.repeat(16))

    tolerance = 1e-3 if backbone.dtype == torch.float32 else 0.3
    assert (exact - plain).abs().max() < tolerance


def test_what_was_read_and_given_up_leaves_no_trace(backbone: Backbone) -> None:
    slab = KeyValueSlab(backbone._forward.key_value_shape, END)
    backbone.read([Chunk(slab, TOKENS[:START], 0, 0)])
    backbone.read([Chunk(slab, TOKENS[START + 5 : END], START, 0, is_exact=True)])

    (read,) = backbone.read([Chunk(slab, TOKENS[START : START + 9], START, 9, is_exact=True)])

    assert read is not None
    assert torch.equal(read, rows_read(backbone, itertools.repeat(1))[:9])


def test_sizes_of_chunks_that_must_be_small() -> None:
    assert cut_to_size(17, 8) == (8, 8, 1)
    assert cut_to_size(8, 8) == (8,)
    assert cut_to_size(3, 1) == (1, 1, 1)
