"""The wheel holds the four packages, their type markers and the embedded model, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_wheel_has_exactly_the_four_packages(wheel_names: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names if ".dist-info/" not in name}

    assert tops == {"agent_runtime", "heads", "training", "integrations"}


def test_every_package_is_typed(wheel_names: list[str]) -> None:
    markers = {name for name in wheel_names if name.endswith("py.typed")}

    assert markers == {f"{name}/py.typed" for name in ("agent_runtime", "heads", "training", "integrations")}
