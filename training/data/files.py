"""Opening data files, packed or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agent_runtime.errors import ConfigError

from ..extras import require


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a data file, unpacked where its name ends in `.zst`.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is packed and zstandard is not installed.
    """
    if not path.is_file():
        raise ConfigError(f"no data file at {path}")
    if path.suffix != ".zst":
        with path.open("rb") as file:
            yield file
        return
    require("zstandard", by=f"reading {path.name}")
    import zstandard

    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as unpacked:
            yield unpacked
    except zstandard.ZstdError as error:
        raise ConfigError(f"{path} cannot be unpacked, is it whole? {error}") from error
