"""A model folder before its weights are read: found on disk or fetched, and checked.

Every way a folder can be wrong ends in a `ConfigError` that names the file and says what to do.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from heads import FolderNotFound, find_folder

from ..errors import ConfigError
from .weights import weight_files

_ARCHITECTURE = "SmolLM3ForCausalLM"
_MODEL_TYPE = "smollm3"
_NEEDED_TOKENS = ("<|im_start|>", "<|im_end|>")
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "tokenizer*")
_EXAMPLE = "HuggingFaceTB/SmolLM3-3B"
# A fingerprint reads this much of each weight file: enough to tell any two trainings apart, at any size.
_SAMPLES_PER_FILE = 64
_SAMPLE_BYTES = 4096


def find_model_folder(
    model: str | Path, *, revision: str | None = None, local_files_only: bool = False, what: str = "model"
) -> Path:
    """The folder of a local path or a Hub id (fetched into the Hub's cache if it must be).

    Raises:
        ConfigError: there is no such folder, or the Hub cannot give it.
    """
    try:
        return find_folder(
            model, files=_FETCHED, example=_EXAMPLE, revision=revision, local_files_only=local_files_only
        )
    except FolderNotFound as error:
        raise ConfigError(f"{what} folder {str(model)!r} {error}") from error


def read_config(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The model's config.

    Raises:
        ConfigError: it is missing, unreadable, or of another architecture.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"model folder {folder}: no config.json: is it a folder that save_pretrained wrote?"
        )
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"model folder {folder}: config.json is not JSON: {error}") from error
    architectures = stated.get("architectures") or []
    if stated.get("model_type") != _MODEL_TYPE or (architectures and _ARCHITECTURE not in architectures):
        found = ", ".join(architectures) or str(stated.get("model_type"))
        raise ConfigError(f"model folder {folder}: its architecture is {found}, expected {_ARCHITECTURE}")
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code, local_files_only=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ConfigError(f"model folder {folder}: config.json cannot be used: {error}") from error


def read_tokenizer(folder: Path, vocab_size: int, *, trust_remote_code: bool = False) -> Any:
    """The model's tokenizer, checked against its vocabulary.

    Raises:
        ConfigError: it is missing, unreadable, too large for the model, or lacks a token that every
            conversation needs.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"model folder {folder}: no tokenizer.json: save the tokenizer into the same folder"
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # the tokenizers library raises bare Exceptions for a damaged file
        raise ConfigError(f"model folder {folder}: its tokenizer cannot be read: {error}") from error
    highest = max(tokenizer.get_vocab().values())
    if highest >= vocab_size:
        raise ConfigError(
            f"model folder {folder}: its tokenizer has ids up to {highest} but the model only {vocab_size} "
            "rows: tokenizer and weights are not of the same model"
        )
    missing = [name for name in _NEEDED_TOKENS if name not in tokenizer.get_vocab()]
    if missing:
        raise ConfigError(
            f"model folder {folder}: its tokenizer lacks {', '.join(missing)}: use the tokenizer the model "
            "was trained with"
        )
    return tokenizer


def fingerprint_of(folder: Path, adapter: Path | None = None) -> str:
    """A short name that changes whenever the weights do; heads are made for one such backbone."""
    digest = hashlib.sha256()
    for path in weight_files(folder):
        _feed_samples(digest, path)
    if adapter is not None:
        for path in sorted(adapter.glob("*.safetensors")):
            _feed_samples(digest, path)
    return digest.hexdigest()[:32]


def _feed_samples(digest: Any, path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"{size}\n".encode())
    with path.open("rb") as file:
        header = file.read(8)
        digest.update(header + file.read(min(int.from_bytes(header, "little"), size)))
        start = file.tell()
        for sample in range(_SAMPLES_PER_FILE):
            file.seek(start + (size - start) * sample // _SAMPLES_PER_FILE)
            digest.update(file.read(_SAMPLE_BYTES))
