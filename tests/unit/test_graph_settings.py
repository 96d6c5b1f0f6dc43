"""What a deployment says of graphs, and what becomes of it on machines that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runtime import ConfigError, DeploymentConfig
from agent_runtime.config import Capabilities, resolve, values_from_env
from agent_runtime.engine.graph_setup import GraphOrder, graphs_of
from agent_runtime.graph_settings import GraphBuckets

CPU = Capabilities()
CUDA = Capabilities(has_cuda=True, has_bitsandbytes=True)


@pytest.mark.parametrize(
    ("asked", "capabilities", "note"),
    [
        pytest.param({"cuda_graphs": True}, CPU, "cuda_graphs=True is off: it needs CUDA", id="no CUDA"),
        pytest.param({"cuda_graphs": True}, Capabilities(has_mps=True), "runs on mps", id="MPS"),
        pytest.param({"compile": True}, CPU, "compile=True is off: it gains nothing on cpu", id="compile"),
        pytest.param({"cuda_graphs": True, "quantization": "8bit"}, CUDA, "outliers", id="8 bit"),
        pytest.param({"compile": True, "quantization": "4bit"}, CUDA, "quantization='4bit'", id="4 bit"),
    ],
)
def test_what_a_device_cannot_do_is_switched_off_with_one_note(
    asked: dict[str, object], capabilities: Capabilities, note: str
) -> None:
    resolved, notes = resolve(DeploymentConfig.model_validate(asked), capabilities)

    assert len(notes) == 1
    assert note in notes[0]
    assert resolved.cuda_graphs is False or resolved.compile is False
    assert resolve(resolved, capabilities) == (resolved, ())


def test_auto_is_off_without_a_word_where_there_is_no_cuda() -> None:
    resolved, notes = resolve(DeploymentConfig(), CPU)

    assert (resolved.cuda_graphs, notes) == (False, ())
    assert graphs_of(resolved) is None


def test_a_deployment_says_which_shapes_are_recorded() -> None:
    buckets = GraphBuckets(rows=128, batches=(1, 4), lengths=(2048,))
    resolved, notes = resolve(DeploymentConfig(graph_buckets=buckets, max_batch=12), CUDA)

    assert notes == ()
    assert graphs_of(resolved) == GraphOrder(
        record="auto", compile=False, rows=128, batches=(1, 4), lengths=(2048,), max_batch=12
    )


def test_compiling_needs_no_graphs() -> None:
    resolved, _ = resolve(DeploymentConfig(cuda_graphs=False, compile=True), CUDA)

    order = graphs_of(resolved)

    assert order is not None
    assert (order.record, order.compile) == (False, True)


def test_variables_set_graphs_too() -> None:
    found = values_from_env(
        {
            "SMOLCALL_CUDA_GRAPHS": "auto",
            "SMOLCALL_COMPILE": "true",
            "SMOLCALL_GRAPH_BUCKETS": "{rows: 32, batches: [1, 2]}",
        }
    )

    deployment = DeploymentConfig(**found)

    assert (deployment.cuda_graphs, deployment.compile) == ("auto", True)
    assert (deployment.graph_buckets.rows, deployment.graph_buckets.batches) == (32, (1, 2))
    assert DeploymentConfig(**values_from_env({"SMOLCALL_CUDA_GRAPHS": "false"})).cuda_graphs is False


@pytest.mark.parametrize(
    "buckets",
    [{"rows": 4}, {"batches": []}, {"lengths": [0]}, {"row": 64}],
    ids=lambda buckets: next(iter(buckets)),
)
def test_shapes_that_cannot_be_are_refused(buckets: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="graph_buckets"):
        DeploymentConfig.model_validate({"graph_buckets": buckets})


def test_deployment_of_the_guide_can_be_read(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    file = tmp_path / "deployment.yaml"
    file.write_text(guide.split("```yaml\n")[1].split("```")[0], encoding="utf-8")

    deployment = DeploymentConfig.from_yaml(file)

    assert (deployment.graph_buckets.rows, deployment.max_batch) == (128, 8)
