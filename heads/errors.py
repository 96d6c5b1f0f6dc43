"""Every error this package raises.

    HeadsError
    ├── FolderNotFound     neither here nor on the Hub
    ├── HeadConfigError    a head config that cannot be used
    └── HeadBundleError    heads missing, damaged, half-written, or made for another backbone
        └── BundleMismatch     says which facts differ

`agent_runtime` depends on this package and not the other way round, so the engine turns a `HeadBundleError`
into its own `BundleError` (`raise BundleError(str(error)) from error`).
"""

from __future__ import annotations

from collections.abc import Mapping


class HeadsError(Exception):
    """Base of every error raised by this package."""


class FolderNotFound(HeadsError):
    """A folder that is neither here nor on the Hub. The message says why and what to do, not which."""


class HeadConfigError(HeadsError):
    """A head config that cannot be used: which field, what was found, what is expected."""


class HeadBundleError(HeadsError):
    """Heads that cannot be loaded or saved.

    Attributes:
        source: the folder or Hub id.
        part: the file (or tensor) in question; empty when it is the whole.
    """

    def __init__(self, reason: str, *, source: object, part: str = "") -> None:
        self.source = str(source)
        self.part = part
        super().__init__(f"head bundle {str(source)!r}{', ' + part if part else ''}: {reason}")


class BundleMismatch(HeadBundleError):
    """Heads made for another backbone or tokenizer.

    Attributes:
        differences: the facts that differ, each with (found here, expected by the bundle).
    """

    def __init__(self, differences: Mapping[str, tuple[object, object]], *, source: object) -> None:
        self.differences = dict(differences)
        told = "; ".join(
            f"{name} is {found!r} here, but the heads were made for {expected!r}"
            for name, (found, expected) in differences.items()
        )
        super().__init__(
            f"made for another backbone: {told}. Load the model these heads were trained on, or train heads "
            "on this one",
            source=source,
        )
