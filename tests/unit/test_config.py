from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.config import (
    Capabilities,
    DeploymentConfig,
    resolve,
    revised,
    values_from_env,
    values_from_pairs,
)
from agent_runtime.errors import AgentRuntimeError, ConfigError

GPU = Capabilities(has_cuda=True, has_bitsandbytes=True)
CPU = Capabilities()


def test_misspelt_setting_names_itself_and_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="'temprature'.*'temperature'"):
        DeploymentConfig(temprature=1.0)  # type: ignore[call-arg]  # the point of the test


def test_setting_like_no_other_lists_what_is_known() -> None:
    with pytest.raises(ConfigError, match="known are fill, drafter"):
        DeploymentConfig(zzz=1)  # type: ignore[call-arg]  # the point of the test


def test_deployment_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        DeploymentConfig().seed = 3  # type: ignore[misc]  # the point of the test


def test_every_field_says_what_it_changes() -> None:
    for name, field in DeploymentConfig.model_fields.items():
        assert field.description and len(field.description) > 20, name


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"temperature": -0.1}, id="negative temperature"),
        pytest.param({"temperature": float("nan")}, id="temperature that is no number"),
        pytest.param({"top_p": 0.0}, id="nothing to sample from"),
        pytest.param({"max_batch": 0}, id="empty batch"),
        pytest.param({"max_queue": -1}, id="negative queue"),
        pytest.param({"fill": "magic"}, id="unknown fill"),
        pytest.param({"date": "tomorrow"}, id="date in words"),
        pytest.param({"date": 20261120}, id="date as a number"),
        pytest.param({"tool_timeout_s": float("inf")}, id="endless timeout"),
        pytest.param({"request_deadline_s": 0}, id="deadline already past"),
    ],
)
def test_value_out_of_range_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        DeploymentConfig(**changes)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"quantization": "4bit", "device": "cpu"}, ("quantization", "device")),
        ({"quantization": "8bit", "device": "mps"}, ("quantization", "device")),
        ({"dtype": "float16", "device": "cpu"}, ("dtype", "device")),
        ({"max_tokens": 512, "max_seq_len": 512}, ("max_tokens", "max_seq_len")),
        ({"think": True, "think_budget_tokens": 64, "max_tokens": 64}, ("think_budget_tokens", "max_tokens")),
    ],
)
def test_contradiction_names_both_settings(changes: dict[str, object], names: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as raised:
        DeploymentConfig(**changes)  # type: ignore[arg-type]  # the point of the test

    assert all(name in str(raised.value) for name in names)


def test_revised_validates_what_it_changes() -> None:
    config = DeploymentConfig(device="cpu")

    assert revised(config, seed=7).seed == 7
    assert config.seed == 0
    with pytest.raises(ConfigError, match="contradicts"):
        revised(config, quantization="4bit")


@pytest.mark.parametrize("name", ["cpu", "cuda", "mps"])
def test_preset_is_for_its_device_and_can_be_changed(name: str) -> None:
    config = DeploymentConfig.preset(name, seed=5)  # type: ignore[arg-type]  # parametrised names are plain strings

    assert (config.device, config.seed) == (name, 5)


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="'cpu', 'cuda', 'mps'"):
        DeploymentConfig.preset("tpu")  # type: ignore[arg-type]  # the point of the test


def test_yaml_file_is_read_with_its_preset(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("preset: cpu\nmax_batch: 2\nquantization: none\ndate: 2026-11-20\n")

    config = DeploymentConfig.from_yaml(file)

    assert config == DeploymentConfig.preset("cpu", max_batch=2, date="2026-11-20")


def test_empty_yaml_file_is_the_default_deployment(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("")

    assert DeploymentConfig.from_yaml(file) == DeploymentConfig()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("max_bach: 2", id="misspelt"),
        pytest.param("- max_batch", id="a list"),
        pytest.param("a: [", id="no YAML"),
        pytest.param("\x00", id="control character"),
        pytest.param("preset: tpu", id="unknown preset"),
        pytest.param("preset: [cpu]", id="preset that is no name"),
        pytest.param("1: 2", id="key that is no name"),
    ],
)
def test_bad_yaml_file_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"deployment\.yaml"):
        DeploymentConfig.from_yaml(file)


def test_missing_yaml_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        DeploymentConfig.from_yaml(tmp_path / "none.yaml")


def test_environment_sets_fields_of_every_kind() -> None:
    environment = {
        "SMOLCALL_MAX_BATCH": "3",
        "SMOLCALL_THINK": "true",
        "SMOLCALL_TOP_P": "0.5",
        "SMOLCALL_QUANTIZATION": "none",
        "SMOLCALL_REQUEST_DEADLINE_S": "none",
        "SMOLCALL_API_KEY": "not a field",
        "PATH": "/bin",
    }

    config = DeploymentConfig.from_env(environment)

    assert config == DeploymentConfig(max_batch=3, think=True, top_p=0.5)


def test_misspelt_environment_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"SMOLCALL_MAX_BACH.*'max_batch'"):
        values_from_env({"SMOLCALL_MAX_BACH": "3"})


def test_pairs_of_the_command_line_set_fields() -> None:
    assert DeploymentConfig(**values_from_pairs(["max-tokens=9", "date=none"])).max_tokens == 9
    with pytest.raises(ConfigError, match="name=value"):
        values_from_pairs(["max_tokens"])
    with pytest.raises(ConfigError, match="did you mean"):
        values_from_pairs(["max_token=3"])


def test_auto_takes_the_best_device_there_is() -> None:
    devices = [
        resolve(DeploymentConfig(), capabilities)[0].device
        for capabilities in (GPU, Capabilities(has_mps=True), CPU)
    ]

    assert devices == ["cuda", "mps", "cpu"]


def test_device_that_is_not_there_says_what_is() -> None:
    with pytest.raises(ConfigError, match=r"'cuda' is not there \(found: cpu\)"):
        resolve(DeploymentConfig(device="cuda"), CPU)


@pytest.mark.parametrize(
    ("config", "capabilities", "note"),
    [
        (DeploymentConfig(quantization="4bit"), CPU, "needs CUDA"),
        (DeploymentConfig(quantization="4bit"), Capabilities(has_cuda=True), "bitsandbytes is not installed"),
        (DeploymentConfig(dtype="float16"), CPU, "float32 is used"),
        (
            DeploymentConfig(dtype="bfloat16"),
            Capabilities(has_cuda=True, cuda_has_bfloat16=False),
            "float16 is used",
        ),
    ],
)
def test_what_a_device_cannot_honour_is_off_with_one_note(
    config: DeploymentConfig, capabilities: Capabilities, note: str
) -> None:
    before = config.model_dump()

    resolved, notes = resolve(config, capabilities)

    assert len(notes) == 1 and note in notes[0]
    assert (resolved.quantization, resolved.dtype) != (config.quantization, config.dtype)
    assert config.model_dump() == before


def test_resolving_twice_changes_nothing_more() -> None:
    resolved, _ = resolve(DeploymentConfig(quantization="4bit"), CPU)

    assert resolve(resolved, CPU) == (resolved, ())


def test_today_and_dates_are_kept_as_text() -> None:
    assert DeploymentConfig(date="today").date == "today"
    assert DeploymentConfig(date=datetime.date(2026, 11, 20)).date == "2026-11-20"  # type: ignore[arg-type]


@given(
    st.dictionaries(
        st.sampled_from([*DeploymentConfig.model_fields, "nonsense", ""]),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.none())
        ),
        max_size=4,
    )
)
def test_whatever_is_given_is_a_deployment_or_a_config_error(values: dict[str, object]) -> None:
    try:
        config = DeploymentConfig(**values)  # type: ignore[arg-type]  # the point of the test
    except AgentRuntimeError as error:
        assert isinstance(error, ConfigError)
    else:
        assert revised(config) == config
