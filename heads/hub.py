"""Where a bundle or a model is: a folder here, or a repository on the Hub that is fetched into its cache."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .errors import FolderNotFound, HeadBundleError

_FILES = ("config.json", "calibration.json", "*.safetensors", "README.md")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_YES = ("1", "true", "yes", "on")


def find_bundle_folder(
    source: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | Path | None = None,
) -> Path:
    """The folder of a bundle.

    Raises:
        HeadBundleError: there is no such folder, or the Hub cannot give it.
    """
    try:
        return find_folder(
            source,
            files=_FILES,
            example="owner/name",
            revision=revision,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )
    except FolderNotFound as error:
        raise HeadBundleError(str(error), source=source) from error


def find_folder(
    source: str | Path,
    *,
    files: Sequence[str],
    example: str,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | Path | None = None,
) -> Path:
    """The folder of a local path or a Hub id.

    Args:
        source: what was given; a `Path` is never taken for a Hub id.
        files: patterns of the files that are fetched.
        example: a Hub id of the kind wanted, for the error.
        revision: branch, tag or commit on the Hub.
        local_files_only: never ask the Hub.
        cache_dir: the Hub's cache, if not the usual one.

    Raises:
        FolderNotFound: there is no such folder, or the Hub cannot give it.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise FolderNotFound("is a file: give the folder it stands in")
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
        raise FolderNotFound(f"does not exist: give an existing folder, or a Hub id like {example!r}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    is_local_only = local_files_only or os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES
    try:
        return Path(
            snapshot_download(
                source,
                revision=revision,
                local_files_only=is_local_only,
                cache_dir=cache_dir,
                allow_patterns=list(files),
            )
        )
    except LocalEntryNotFoundError as error:
        reason = "only local files are allowed" if is_local_only else "the Hub cannot be reached"
        raise FolderNotFound(
            f"is neither a folder here nor in the Hub's cache, and {reason}: fetch it once with "
            f"`hf download {source}`, or give a folder"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise FolderNotFound(
            "is neither a folder here nor a repository on the Hub that you may read: check the name, or log "
            "in with `hf auth login`"
        ) from error
    except OSError as error:  # every other answer of the Hub, and the network itself
        raise FolderNotFound(f"cannot be fetched from the Hub: {error}") from error
