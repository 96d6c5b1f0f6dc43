"""The full-size backbone: SMOLCALL_TEST_WEIGHTS names a folder with SmolLM3-3B."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.scheduler import run_alone
from tests.forward_programs import greedy

FOLDER = os.environ.get("SMOLCALL_TEST_WEIGHTS", "")

pytestmark = [
    pytest.mark.weights,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not Path(FOLDER, "config.json").is_file(), reason="SMOLCALL_TEST_WEIGHTS names no model folder"
    ),
]


def test_full_size_forward_equals_transformers() -> None:
    from transformers import SmolLM3ForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = Backbone.load(FOLDER, device=device, dtype="bfloat16", max_seq_len=1024)
    token_ids = backbone.tokenizer.encode("The capital of France is Paris, and the capital of Italy is")
    sequence = backbone.new_sequence(backbone.new_cache(0))
    sequence.reserve(len(token_ids))
    ours = backbone.read([Chunk(sequence.slab, token_ids, 0, len(token_ids))])[0]
    written = run_alone(backbone, greedy(token_ids, 3))
    del backbone

    model = SmolLM3ForCausalLM.from_pretrained(FOLDER, dtype=torch.bfloat16).to(device)
    with torch.inference_mode():
        theirs = model(torch.tensor([token_ids], device=device)).logits[0].float().cpu()

    assert ours is not None
    assert (ours.argmax(-1) == theirs.argmax(-1)).float().mean() > 0.9
    assert (ours - theirs).abs().mean() < 0.1
    assert len(written) == 3
