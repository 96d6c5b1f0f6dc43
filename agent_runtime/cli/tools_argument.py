"""What `--tools` means: a Python file, a JSON file, or a name inside a module."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError
from ..result_text import error_text
from ..tools import Tool, bind_tools


def read_tools(sources: Iterable[str]) -> tuple[Tool, ...]:
    """The tools of one or several sources.

    `tools.py` gives the tools in it: what is bound with `@tool`, else its public functions. `tools.py:name`
    and `package.module:name` give one of them (or a list). `tools.json` holds OpenAI tools or schemas,
    which can be called but not run.

    Raises:
        ConfigError: a source cannot be read, or has no tools.
        SchemaError: one of the tools cannot be honoured.
    """
    found: list[Any] = []
    for source in sources:
        found.extend(_read_source(source))
    return bind_tools(found)


def _read_source(source: str) -> list[Any]:
    if source.endswith(".json"):
        return _read_json(Path(source))
    place, _, name = source.partition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    elif name:
        module = _import_module(place)
    else:
        raise ConfigError(f"--tools {source}: give a .py file, a .json file, or module:name")
    return _named_tools(module, name, source) if name else _tools_in(module, source)


def _read_json(path: Path) -> list[Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--tools {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"--tools {path}: not JSON: {error}") from error
    tools = read.get("tools", [read]) if isinstance(read, Mapping) else read
    if not isinstance(tools, list) or not tools:
        raise ConfigError(f"--tools {path}: expected a list of tools")
    return tools


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"--tools {path}: no such file")
    name = f"smolcall_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--tools {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look their module up
    _prefer(path.resolve().parent)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file may fail in any way
        raise ConfigError(f"--tools {path}: {error_text(error)}{_line_of(error, path)}") from error
    return module


def _import_module(name: str) -> ModuleType:
    _prefer(Path.cwd())
    try:
        return importlib.import_module(name)
    except Exception as error:  # the user's module may fail in any way
        raise ConfigError(f"--tools {name}: {error_text(error)}") from error


def _prefer(folder: Path) -> None:
    """What stands beside a user's tools can be imported by them, as if python had been started there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _line_of(error: BaseException, path: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
    return f" (line {lines[-1]})" if lines else ""


def _named_tools(module: ModuleType, name: str, source: str) -> list[Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"--tools {source}: there is no {part!r} in {module.__name__}")
        found = getattr(found, part)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _tools_in(module: ModuleType, source: str) -> list[Any]:
    """What is bound with `@tool`, else the public functions written in the file itself."""
    public = [value for name, value in vars(module).items() if not name.startswith("_")]
    bound = [value for value in public if isinstance(value, Tool)]
    functions = [
        value for value in public if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    if not bound and not functions:
        raise ConfigError(
            f"--tools {source}: no tools in it: write a public function, or bind one with @tool"
        )
    return list(dict.fromkeys(bound or functions))
