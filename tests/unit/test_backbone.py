from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import SmolLM3Config, SmolLM3ForCausalLM

from agent_runtime.engine.backbone import Backbone
from agent_runtime.engine.chunks import Chunk
from agent_runtime.engine.forward import LeanForward
from agent_runtime.engine.key_values import KeyValueSlab
from agent_runtime.engine.scheduler import run_alone
from agent_runtime.engine.weights import ModuleWeights
from agent_runtime.errors import ConfigError, PromptTooLongError
from tests.forward_programs import greedy
from tests.tiny_model import make_tiny_model, make_tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone.load(folder)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Callable[[list[int]], torch.Tensor]:
    return reference_of(folder)


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "damaged")


def reference_of(folder: Path) -> Callable[[list[int]], torch.Tensor]:
    model = SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def read(token_ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = model(torch.tensor([token_ids])).logits[0]
        return logits

    return read


def tokens(count: int, seed: int = 0, vocab: int = 512) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab, (count,), generator=generator).tolist()


def read_in(backbone: Backbone, token_ids: list[int], cuts: list[int]) -> torch.Tensor:
    """Logits of every position, read in chunks that end at `cuts`."""
    sequence = backbone.new_sequence(backbone.new_cache(0))
    sequence.reserve(len(token_ids))
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, len(token_ids)], strict=True):
        read = backbone.read([Chunk(sequence.slab, token_ids[start:stop], start, stop - start)])[0]
        assert read is not None
        parts.append(read)
    return torch.cat(parts)


def assert_same_scores(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


def test_forward_equals_transformers(
    backbone: Backbone, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    token_ids = tokens(300)

    assert_same_scores(read_in(backbone, token_ids, []), reference(token_ids))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"heads": 6, "kv_heads": 2, "hidden": 96}, id="three queries share a key"),
        pytest.param({"heads": 4, "kv_heads": 4}, id="no sharing"),
        pytest.param({"heads": 4, "kv_heads": 1}, id="one key head"),
        pytest.param({"layers": 9}, id="two layers without rotary positions"),
        pytest.param({"layers": 1}, id="one layer"),
    ],
)
def test_forward_equals_transformers_in_every_shape(tmp_path: Path, shape: dict[str, int]) -> None:
    folder = make_tiny_model(tmp_path, seed=3, **shape)  # type: ignore[arg-type]
    token_ids = tokens(90)

    assert_same_scores(read_in(Backbone.load(folder), token_ids, [50, 51]), reference_of(folder)(token_ids))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"no_rope_layers": [0, 1, 0, 1]}, id="given layers without rotary positions"),
        pytest.param({"attention_bias": True, "mlp_bias": True}, id="biases"),
        pytest.param({"tie_word_embeddings": False}, id="a head of its own"),
        pytest.param(
            {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "rope_theta": 50000.0,
                    "factor": 4.0,
                    "original_max_position_embeddings": 1024,
                }
            },
            id="yarn",
        ),
    ],
)
def test_forward_equals_transformers_for_every_config(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = make_tiny_model(tmp_path)
    config = SmolLM3Config.from_pretrained(folder)
    config = SmolLM3Config(**{**config.to_dict(), **changes})
    torch.manual_seed(1)
    model = SmolLM3ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    token_ids = tokens(70)

    assert_same_scores(read_in(Backbone.load(folder), token_ids, [40]), reference_of(folder)(token_ids))


def test_long_prompt_read_in_blocks_equals_transformers(
    backbone: Backbone, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    token_ids = tokens(1500)

    ours = read_in(backbone, token_ids, list(range(64, 1500, 64)))

    assert_same_scores(ours, reference(token_ids))


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, 119), max_size=12), seed=st.integers(0, 99))
def test_any_cut_of_a_prompt_reads_the_same(backbone: Backbone, cuts: set[int], seed: int) -> None:
    token_ids = tokens(120, seed)

    torch.testing.assert_close(
        read_in(backbone, token_ids, sorted(cuts)), read_in(backbone, token_ids, []), atol=1e-4, rtol=1e-4
    )


def test_stepping_back_reads_as_if_it_never_went_on(
    backbone: Backbone, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    first, wrong, right = tokens(80), tokens(30, seed=1), tokens(20, seed=2)
    sequence = backbone.new_sequence(backbone.new_cache(0))
    sequence.reserve(200)

    backbone.read([Chunk(sequence.slab, first, 0, 0)])
    backbone.read([Chunk(sequence.slab, wrong, 80, 1)])
    read = backbone.read([Chunk(sequence.slab, right, 60, 20)])[0]

    assert read is not None
    assert_same_scores(read, reference(first[:60] + right)[-20:])


def test_growing_slab_keeps_what_was_read(
    backbone: Backbone, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    token_ids = tokens(900)
    sequence = backbone.new_sequence(backbone.new_cache(0))
    sequence.reserve(10)
    sequence.length = 10
    backbone.read([Chunk(sequence.slab, token_ids[:10], 0, 0)])

    sequence.reserve(900)
    read = backbone.read([Chunk(sequence.slab, token_ids[10:], 10, 1)])[0]

    assert read is not None
    assert_same_scores(read, reference(token_ids)[-1:])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_company_does_not_change_a_bit(folder: Path, dtype: str) -> None:
    backbone = Backbone.load(folder, dtype=dtype)
    if backbone.batch_rule.padded_rows is not None:
        pytest.skip("this machine's kernels depend on the number of rows, and the batch rule says so")

    def chunk(seed: int, count: int, at: int) -> Chunk:
        sequence = backbone.new_sequence(backbone.new_cache(0))
        sequence.reserve(at + count)
        if at:
            backbone.read([Chunk(sequence.slab, tokens(at, seed), 0, 0)])
        return Chunk(sequence.slab, tokens(count, seed + 100), at, 1)

    def chunks() -> list[Chunk]:
        return [chunk(0, 1, 30), chunk(1, 5, 60), chunk(2, 64, 0), chunk(3, 1, 200), chunk(4, 33, 64)]

    together = backbone.read(chunks())
    alone = [backbone.read([one])[0] for one in chunks()]

    for one, other in zip(together, alone, strict=True):
        assert one is not None and other is not None
        assert torch.equal(one, other)


def test_bfloat16_stays_close_to_float32(folder: Path, backbone: Backbone) -> None:
    token_ids = tokens(200)

    rough = read_in(Backbone.load(folder, dtype="bfloat16"), token_ids, [64, 128, 192])
    exact = read_in(backbone, token_ids, [])

    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_sharded_weights_read_like_one_file(
    folder: Path, damaged: Path, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    model = SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    (damaged / "model.safetensors").unlink()
    model.save_pretrained(damaged, max_shard_size="100KB")
    assert (damaged / "model.safetensors.index.json").is_file()

    assert_same_scores(read_in(Backbone.load(damaged), tokens(40), []), reference(tokens(40)))


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"
)  # between peft and transformers
def test_merged_adapter_reads_like_peft(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(model, config).eval()
    adapted.save_pretrained(tmp_path)
    token_ids = tokens(60)
    with torch.inference_mode():
        theirs = adapted(torch.tensor([token_ids])).logits[0]

    backbone = Backbone.load(folder, adapter=tmp_path)

    assert_same_scores(read_in(backbone, token_ids, [30]), theirs)
    assert backbone.fingerprint != Backbone.load(folder).fingerprint


def test_layers_that_cannot_be_fused_read_like_the_module_they_are(
    folder: Path, reference: Callable[[list[int]], torch.Tensor]
) -> None:
    class Quantised(torch.nn.Linear):
        """Stands for the layers of bitsandbytes and peft, which need their own `forward`."""

    model = SmolLM3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for name, module in list(model.named_modules()):
        if name.endswith(("v_proj", "down_proj")):
            module.__class__ = Quantised
    forward = LeanForward(
        model.config,
        ModuleWeights(model),
        max_positions=100,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    token_ids = tokens(70)

    with torch.inference_mode():
        slab = KeyValueSlab(forward.key_value_shape, 70)
        ours = forward.logits(forward([Chunk(slab, token_ids, 0, 70)]))

    assert_same_scores(ours, reference(token_ids))


def test_fingerprint_follows_the_weights(folder: Path, damaged: Path) -> None:
    before = Backbone.load(folder).fingerprint
    assert Backbone.load(damaged).fingerprint == before
    weights = load_file(damaged / "model.safetensors")
    weights["model.layers.2.mlp.up_proj.weight"] += 0.01
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})

    assert Backbone.load(damaged).fingerprint != before


def test_loaded_backbone_says_what_it_is(folder: Path, backbone: Backbone) -> None:
    assert backbone.folder == folder
    assert backbone.vocab_size == 512
    assert backbone.config.model_type == "smollm3"
    assert backbone.tokenizer.convert_tokens_to_ids("<tool_call>") is not None
    assert backbone.max_positions == 4096
    assert Backbone.load(folder, max_seq_len=100).max_positions == 100
    assert Backbone.load(folder, max_seq_len=10**6).max_positions == 4096


def test_prompt_beyond_the_last_position_is_refused(folder: Path) -> None:
    backbone = Backbone.load(folder, max_seq_len=64)

    with pytest.raises(PromptTooLongError) as caught:
        run_alone(backbone, greedy(tokens(70), 1))

    assert (caught.value.prompt_tokens, caught.value.max_tokens) == (70, 64)


def test_missing_folder_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="does not exist.*give an existing folder"):
        Backbone.load("./no/such/folder")


def test_unreachable_hub_model_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'nobody/nothing' is neither a folder here nor in the Hub's cache"):
        Backbone.load("nobody/nothing", local_files_only=True)


def test_file_in_place_of_a_folder_is_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is a file: give the folder"):
        Backbone.load(folder / "config.json")


def _change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.k_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _larger_tokenizer(folder: Path) -> None:
    make_tiny_tokenizer(vocab=600).save_pretrained(folder)


def _tokenizer_without_turns(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_start|>", "<|other|>"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_remove("config.json"), "no config.json", id="no config"),
        pytest.param(
            lambda f: (f / "config.json").write_text("{"), "config.json is not JSON", id="bad config"
        ),
        pytest.param(
            lambda f: _change_config(f, model_type="llama", architectures=["LlamaForCausalLM"]),
            "architecture is LlamaForCausalLM, expected SmolLM3ForCausalLM",
            id="other architecture",
        ),
        pytest.param(lambda f: _change_config(f, hidden_act="gelu"), "hidden_act 'gelu'", id="activation"),
        pytest.param(
            lambda f: _change_config(f, layer_types=["sliding_attention"] * 4), "sliding-window", id="sliding"
        ),
        pytest.param(
            lambda f: _change_config(
                f, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
            ),
            "rope_type 'dynamic'",
            id="rope",
        ),
        pytest.param(_remove("model.safetensors"), "no weights", id="no weights"),
        pytest.param(_as_pickle, "its weights are pickles", id="pickles"),
        pytest.param(_drop_weight, "k_proj.weight' is in none of its safetensors files", id="weight missing"),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b"no"),
            "model.safetensors is damaged",
            id="damaged",
        ),
        pytest.param(_remove("tokenizer.json"), "no tokenizer.json", id="no tokenizer"),
        pytest.param(
            lambda f: (f / "tokenizer.json").write_text("{}"),
            "its tokenizer cannot be read",
            id="bad tokenizer",
        ),
        pytest.param(_larger_tokenizer, "not of the same model", id="larger tokenizer"),
        pytest.param(_tokenizer_without_turns, r"lacks <\|im_start\|>", id="tokenizer without turns"),
    ],
)
def test_unusable_folder_is_a_config_error_that_names_the_fault(
    damaged: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(damaged)

    with pytest.raises(ConfigError, match=message) as caught:
        Backbone.load(damaged)
    assert str(damaged) in str(caught.value) or "config.json asks" in str(caught.value)


def test_weights_of_another_shape_are_a_config_error(damaged: Path) -> None:
    _change_config(damaged, num_hidden_layers=6, layer_types=None, no_rope_layers=None)

    with pytest.raises(ConfigError, match=r"model\.layers\.4"):
        Backbone.load(damaged)


def test_weights_of_another_width_are_a_config_error(damaged: Path) -> None:
    _change_config(damaged, intermediate_size=100)
    weights = load_file(damaged / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"] = torch.zeros(64, 100)
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ConfigError, match="do not have the shapes its config.json states"):
        Backbone.load(damaged)


def test_few_bits_without_cuda_are_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="quantization='4bit' needs a CUDA device"):
        Backbone.load(folder, quantization="4bit")


def test_unknown_dtype_is_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="dtype='int8'"):
        Backbone.load(folder, dtype="int8")


def test_folder_without_adapter_is_a_config_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no adapter_config.json"):
        Backbone.load(folder, adapter=tmp_path)
