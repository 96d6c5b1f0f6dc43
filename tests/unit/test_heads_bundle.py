"""Bundles come back as they were saved, and each way to be wrong is told apart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent_runtime.scaffold.slot_budget import DEFAULT_RULES, SlotBudgetRules
from heads import (
    BackboneFacts,
    BundleMismatch,
    Calibration,
    HeadBundle,
    HeadBundleError,
    HeadConfigError,
    HeadsError,
    Temperature,
    config_for,
    revised,
)
from tests.tiny_heads import shaken, tiny_config, tiny_ends


def make_bundle() -> HeadBundle:
    bundle = HeadBundle.untrained(tiny_config(), tiny_ends())
    shaken(bundle)
    bundle.calibration = Calibration(
        confidence=Temperature(temperature=1.5, bias=-0.25), measured={"confidence_ece_after": 0.02}
    )
    return bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle().save_pretrained(tmp_path / "bundle", base_model="owner/model", notes="Read 3 rows.")


def test_a_bundle_comes_back_as_it_was_saved(folder: Path) -> None:
    saved = make_bundle()

    loaded = HeadBundle.from_pretrained(folder, backbone=saved.config.backbone)

    assert loaded.config == saved.config
    assert loaded.calibration == saved.calibration
    assert not loaded.training
    ours, theirs = saved.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_files_are_the_announced_ones_and_the_card_says_what_is_inside(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "calibration.json",
        "config.json",
        "heads.safetensors",
    ]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in (
        "base_model: owner/model",
        "Read 3 rows.",
        "diffusion",
        "ffffffff",
        "confidence_ece_after: 0.02",
    ):
        assert said in card


def test_saving_again_replaces_the_bundle_and_leaves_other_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    other = HeadBundle.untrained(revised(tiny_config(), span=None), tiny_ends())

    other.save_pretrained(folder, dtype=torch.bfloat16)

    loaded = HeadBundle.from_pretrained(folder)
    assert loaded.span is None
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert (folder / "notes.txt").read_text() == "mine"
    assert not list(folder.glob(".partial*"))


def test_heads_can_be_loaded_in_another_dtype(folder: Path) -> None:
    loaded = HeadBundle.from_pretrained(folder, dtype=torch.bfloat16)

    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


def test_loading_leaves_random_numbers_as_they_were(folder: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    HeadBundle.from_pretrained(folder)

    assert torch.equal(torch.rand(3), expected)


def test_untrained_heads_are_the_same_every_time() -> None:
    one, two = (HeadBundle.untrained(tiny_config(), tiny_ends()).state_dict() for _ in range(2))

    assert all(torch.equal(one[name], two[name]) for name in one)


def edit_json(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        change(data)
        (folder / name).write_text(json.dumps(data))

    return damage


def flip_a_bit(folder: Path) -> None:
    path = folder / "heads.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut_in_half(folder: Path) -> None:
    path = folder / "heads.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def swap_calibration(folder: Path) -> None:
    path = folder / "calibration.json"
    path.write_text(path.read_text().replace("1.5", "2.5"))


def narrower_config(data: dict[str, Any]) -> None:
    data["config"]["diffusion"]["width"] = 64


def without_probes(data: dict[str, Any]) -> None:
    data["config"]["probes"] = None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda f: (f / "config.json").unlink(), "no config.json", id="config missing"),
        pytest.param(lambda f: (f / "config.json").write_text("{"), "no readable JSON", id="config cut"),
        pytest.param(
            lambda f: (f / "config.json").write_text('{"model_type": "smollm3"}'),
            "model folder of type 'smollm3'",
            id="a backbone",
        ),
        pytest.param(lambda f: (f / "config.json").write_text("[]"), "format is not", id="another format"),
        pytest.param(
            edit_json("config.json", lambda data: data.update(version=99)), "version 99", id="newer version"
        ),
        pytest.param(
            edit_json("config.json", lambda data: data.pop("files")), "'files' is missing", id="no file table"
        ),
        pytest.param(
            edit_json("config.json", lambda data: data["config"].update(widht=3)), "widht", id="unknown field"
        ),
        pytest.param(
            edit_json("config.json", lambda data: data["config"].update(taps=[1])), "taps", id="wrong taps"
        ),
        pytest.param(edit_json("config.json", narrower_config), "of another shape", id="shapes"),
        pytest.param(edit_json("config.json", without_probes), "unknown: probes.", id="unknown weights"),
        pytest.param(
            lambda f: (f / "heads.safetensors").unlink(), "heads.safetensors: missing", id="weights missing"
        ),
        pytest.param(cut_in_half, "5000 bytes instead of", id="weights cut"),
        pytest.param(flip_a_bit, "sha256 differs", id="weights changed"),
        pytest.param(
            lambda f: (f / "calibration.json").unlink(), "calibration.json: missing", id="calibration missing"
        ),
        pytest.param(swap_calibration, "calibration.json: its content", id="calibration changed"),
    ],
)
def test_each_damage_is_named(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder)

    with pytest.raises(HeadBundleError) as raised:
        HeadBundle.from_pretrained(folder)

    assert said in str(raised.value)
    assert str(folder) in str(raised.value)
    assert raised.value.source == str(folder)


def test_weights_of_another_training_are_not_taken_for_these(folder: Path, tmp_path: Path) -> None:
    other = HeadBundle.untrained(tiny_config(), tiny_ends(), seed=1).save_pretrained(tmp_path / "other")
    shutil.copy(other / "heads.safetensors", folder / "heads.safetensors")

    with pytest.raises(HeadBundleError, match="another bundle"):
        HeadBundle.from_pretrained(folder)


def test_weights_that_are_missing_are_listed(folder: Path) -> None:
    path = folder / "heads.safetensors"
    weights = load_file(path)
    del weights["span.nothing"]
    save_file(weights, path)
    restate(folder)

    with pytest.raises(HeadBundleError, match=r"missing: span\.nothing"):
        HeadBundle.from_pretrained(folder)


def test_a_weight_file_that_is_none_is_named(folder: Path) -> None:
    (folder / "heads.safetensors").write_bytes(b"nonsense")
    restate(folder)

    with pytest.raises(HeadBundleError, match="cannot be read"):
        HeadBundle.from_pretrained(folder)


def restate(folder: Path) -> None:
    """State size and digest of the weights anew, as somebody who edits a bundle by hand would."""
    import hashlib

    content = (folder / "heads.safetensors").read_bytes()
    stated = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_json("config.json", lambda data: data["files"].update({"heads.safetensors": stated}))(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 64),
        ("num_layers", 9),
        ("vocab_size", 97),
        ("fingerprint", "other"),
        ("tokenizer_fingerprint", "other"),
    ],
)
def test_heads_of_another_backbone_say_what_differs(folder: Path, field: str, value: object) -> None:
    here = revised(tiny_config().backbone, **{field: value})

    with pytest.raises(BundleMismatch) as raised:
        HeadBundle.from_pretrained(folder, backbone=here)

    assert raised.value.differences == {field: (value, getattr(tiny_config().backbone, field))}
    assert field in str(raised.value) and repr(value) in str(raised.value)


def test_what_is_not_known_is_not_compared(folder: Path) -> None:
    here = revised(tiny_config().backbone, fingerprint="", tokenizer_fingerprint="")

    HeadBundle.from_pretrained(folder, backbone=here)


def test_a_weight_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    bundle = make_bundle()
    assert bundle.probes is not None
    bundle.probes.length_out.bias.data[2] = float("nan")

    with pytest.raises(HeadBundleError, match=r"probes\.length_out\.bias not finite"):
        bundle.save_pretrained(tmp_path / "bundle")

    assert not (tmp_path / "bundle").exists()


def test_a_backbones_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "smollm3"}')

    with pytest.raises(HeadBundleError, match="a folder of its own"):
        make_bundle().save_pretrained(tmp_path)

    assert (tmp_path / "config.json").read_text() == '{"model_type": "smollm3"}'


def test_a_damaged_bundle_can_be_saved_anew(folder: Path) -> None:
    (folder / "config.json").write_text("{")

    make_bundle().save_pretrained(folder)

    assert HeadBundle.from_pretrained(folder).config == tiny_config()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(HeadBundleError, match="cannot be written"):
        make_bundle().save_pretrained(tmp_path / "file" / "bundle")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("no/such/folder", "does not exist", id="path"),
        pytest.param("owner/heads", "only local files are allowed", id="hub id"),
        pytest.param("just-a-name", "does not exist", id="name"),
    ],
)
def test_a_bundle_that_is_nowhere_says_where_it_was_looked_for(
    tmp_path: Path, source: str, said: str
) -> None:
    with pytest.raises(HeadBundleError, match=said):
        HeadBundle.from_pretrained(source, local_files_only=True, cache_dir=tmp_path)


def test_a_file_is_no_bundle(folder: Path) -> None:
    with pytest.raises(HeadBundleError, match="is a file"):
        HeadBundle.from_pretrained(folder / "config.json")


def test_a_bundle_in_the_hubs_cache_is_found(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "cache" / "models--owner--heads"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("a" * 40))

    loaded = HeadBundle.from_pretrained("owner/heads", local_files_only=True, cache_dir=tmp_path / "cache")

    assert loaded.config == tiny_config()


class RecordingHub:
    """Stands in for `HfApi`: takes what it is given, or refuses."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.asked: list[str] = []
        self.uploaded: Path | None = None
        self.loaded: HeadBundle | None = None

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.asked.append(f"{repo_id} private={private} exist_ok={exist_ok}")

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.uploaded = folder_path
        self.loaded = HeadBundle.from_pretrained(folder_path)
        return f"https://hub/{repo_id}/commit/1"


def test_push_puts_a_whole_bundle_on_the_hub() -> None:
    hub = RecordingHub()

    address = make_bundle().push_to_hub("owner/heads", private=True, api=hub, notes="N")  # type: ignore[arg-type]  # a stand-in

    assert hub.asked == ["owner/heads private=True exist_ok=True"]
    assert address == "https://hub/owner/heads/commit/1"
    assert hub.loaded is not None and hub.loaded.config == tiny_config()
    assert hub.uploaded is not None and not hub.uploaded.exists()


def test_a_hub_that_refuses_is_a_bundle_error() -> None:
    hub = RecordingHub(refusal=OSError("403 Forbidden"))

    with pytest.raises(HeadBundleError, match="403 Forbidden"):
        make_bundle().push_to_hub("owner/heads", api=hub)  # type: ignore[arg-type]  # a stand-in


@pytest.mark.parametrize(("hidden", "layers", "vocab"), [(256, 6, 4096), (2048, 36, 128_256), (40, 1, 300)])
def test_one_function_makes_configs_for_backbones_of_any_size(hidden: int, layers: int, vocab: int) -> None:
    facts = BackboneFacts(hidden_size=hidden, num_layers=layers, vocab_size=vocab)

    config = config_for(facts, mask_token_id=vocab - 2, null_token_id=vocab - 1)

    assert config.taps[-1] == layers
    if vocab < 10_000:  # the full-size one is not built on every test machine
        small = HeadBundle(config)
        assert set(small.num_parameters) == {"diffusion", "span", "probes", "confidence"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"null_token_id": 90}, "both 90"),
        ({"mask_token_id": 96}, "beyond the vocabulary"),
        ({"taps": (3, 2)}, "rising layer numbers"),
        ({"taps": (-1, 3)}, "counted from 0"),
        ({"slot_kinds": ("a", "a")}, "occur twice"),
        ({"diffusion": {"width": 32, "num_attention_heads": 5}}, "attention heads"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_config_that_cannot_be_used_says_why(changes: dict[str, object], said: str) -> None:
    with pytest.raises(HeadConfigError, match=said) as raised:
        revised(tiny_config(), **changes)

    assert isinstance(raised.value, HeadsError)


def test_kinds_a_bundle_does_not_know_are_other() -> None:
    config = tiny_config(slot_kinds=("other", "string"))

    assert config.kind_of("string") == 1
    assert config.kind_of("uuid") == 0


def test_slot_budget_facts_are_the_runtimes_rules() -> None:
    facts = tiny_config().slot_budget

    assert SlotBudgetRules(**facts.model_dump()) == DEFAULT_RULES


def test_importing_the_package_does_not_import_torch() -> None:
    script = (
        "import sys, heads, heads.errors; assert 'torch' not in sys.modules; heads.HeadBundle; dir(heads)"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_every_public_name_can_be_fetched() -> None:
    import heads

    assert all(getattr(heads, name) is not None for name in heads.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = heads.Nonsense
