"""Where a bundle is: a folder here, or a repository on the Hub that is fetched into its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import HeadBundleError

_FILES = ("config.json", "calibration.json", "*.safetensors", "README.md")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_bundle_folder(
    source: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | Path | None = None,
) -> Path:
    """The folder of a local path or a Hub id.

    Raises:
        HeadBundleError: there is no such folder, or the Hub cannot give it.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise HeadBundleError("is a file: give the folder it stands in", source=source)
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
        raise HeadBundleError(
            "does not exist: give an existing folder, or a Hub id like 'owner/name'", source=source
        )
    return _fetch(source, revision=revision, local_files_only=local_files_only, cache_dir=cache_dir)


def _fetch(
    repo_id: str, *, revision: str | None, local_files_only: bool, cache_dir: str | Path | None
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    is_local_only = local_files_only or os.environ.get("HF_HUB_OFFLINE", "").lower() in (
        "1",
        "true",
        "yes",
        "on",
    )
    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                local_files_only=is_local_only,
                cache_dir=cache_dir,
                allow_patterns=list(_FILES),
            )
        )
    except LocalEntryNotFoundError as error:
        reason = "only local files are allowed" if is_local_only else "the Hub cannot be reached"
        raise HeadBundleError(
            f"is neither a folder here nor in the Hub's cache, and {reason}: fetch it once with "
            f"`hf download {repo_id}`, or give a folder",
            source=repo_id,
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise HeadBundleError(
            "is neither a folder here nor a repository on the Hub that you may read: check the name, or log "
            "in with `hf auth login`",
            source=repo_id,
        ) from error
    except OSError as error:  # every other answer of the Hub, and the network itself
        raise HeadBundleError(f"cannot be fetched from the Hub: {error}", source=repo_id) from error
