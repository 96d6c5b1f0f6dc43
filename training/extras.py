"""Packages that only training needs: asked for where they are used, and named where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from agent_runtime.errors import ConfigError

_HELP = "pip install 'smolcall[train]' (in a checkout: pip install -e '.[train]')"


def require(package: str, *, by: str) -> None:
    """Make sure that a package of the extra `train` is there, before work is done that would be lost without.

    Args:
        package: its import name.
        by: what needs it, as the beginning of a sentence.

    Raises:
        ConfigError: it is not installed; the message names the extra.
    """
    if find_spec(package) is None:
        raise ConfigError(f"{by} needs {package}: {_HELP}")
