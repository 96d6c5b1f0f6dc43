"""Packages that fetch their names late."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOOR = """
from agent_runtime.lazy_names import lazy_names

def refuse():
    if not is_allowed:
        raise ImportError("something is missing")

is_allowed = True
__getattr__, __dir__ = lazy_names(__name__, {"room": ("value",)}, check=refuse)
"""


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "lazy_house").mkdir()
    (tmp_path / "lazy_house" / "__init__.py").write_text(DOOR)
    (tmp_path / "lazy_house" / "room.py").write_text("value = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazy_house", "lazy_house.room"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("lazy_house")


def test_module_is_imported_when_its_name_is_first_asked_for(door: ModuleType) -> None:
    assert "value" in dir(door) and "lazy_house.room" not in sys.modules

    fetched = door.value

    assert fetched is sys.modules["lazy_house.room"].value and door.__dict__["value"] is fetched


def test_unknown_name_is_an_attribute_error_that_names_the_package(door: ModuleType) -> None:
    with pytest.raises(AttributeError, match="'lazy_house' has no attribute 'other'"):
        _ = door.other


def test_check_comes_before_the_import(door: ModuleType) -> None:
    vars(door)["is_allowed"] = False

    with pytest.raises(ImportError, match="something is missing"):
        _ = door.value
    assert "lazy_house.room" not in sys.modules
