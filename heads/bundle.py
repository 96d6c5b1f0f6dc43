"""`HeadBundle`: the heads of one backbone, and how they are kept: on disk, and on the Hub.

A bundle is a folder: `config.json` (what the heads are, and size and digest of every other file),
`heads.safetensors`, `calibration.json`, `README.md`. `config.json` is written last, so what was not written
to its end is known by it. Every way a bundle can be wrong ends in a `HeadBundleError` that says what differs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .calibration import Calibration
from .card import model_card
from .confidence import ConfidenceHead
from .config import BackboneFacts, HeadConfig, problems_of
from .diffusion import DiffusionHead
from .errors import BundleMismatch, HeadBundleError
from .hub import find_bundle_folder
from .inputs import BackboneEnds
from .probes import SlotProbes
from .span import SpanHead

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_FORMAT = "smolcall-heads"
_VERSION = 1
_CONFIG, _WEIGHTS, _CALIBRATION, _CARD = "config.json", "heads.safetensors", "calibration.json", "README.md"
_NAMED = 4
"""Tensors that an error names before it says how many more there are."""


class HeadBundle(nn.Module):
    """All heads of one backbone; a head that the config leaves out is None.

    Attributes:
        config: what the heads are, and which backbone they belong to.
        calibration: temperatures and thresholds; may be replaced by newly fitted ones.
    """

    def __init__(self, config: HeadConfig, *, calibration: Calibration | None = None) -> None:
        super().__init__()
        self.config = config
        self.calibration = Calibration() if calibration is None else calibration
        self.diffusion = DiffusionHead(config) if config.diffusion is not None else None
        self.span = SpanHead(config) if config.span is not None else None
        self.probes = SlotProbes(config) if config.probes is not None else None
        self.confidence = ConfidenceHead(config) if config.confidence is not None else None

    @classmethod
    def untrained(cls, config: HeadConfig, ends: BackboneEnds, *, seed: int = 0) -> Self:
        """New heads for a backbone: they say what the backbone says, until they are trained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            bundle = cls(config)
        if bundle.diffusion is not None:
            bundle.diffusion.begin_on(ends)
        return bundle

    @property
    def num_parameters(self) -> dict[str, int]:
        """Parameters of each head there is."""
        return {name: sum(p.numel() for p in head.parameters()) for name, head in self.named_children()}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        backbone: BackboneFacts | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | Path | None = None,
    ) -> Self:
        """Load heads for serving (in evaluation mode).

        Args:
            source: a folder, or a Hub id.
            backbone: what they will stand on. Left out, nothing is compared.
            device: where to.
            dtype: of the weights; None keeps that of the file.
            revision: branch, tag or commit on the Hub.
            local_files_only: never ask the Hub.
            cache_dir: the Hub's cache, if not the usual one.

        Raises:
            HeadBundleError: missing, damaged, half-written, or not heads at all.
            BundleMismatch: made for another backbone or tokenizer.
        """
        folder = find_bundle_folder(
            source, revision=revision, local_files_only=local_files_only, cache_dir=cache_dir
        )
        manifest = _read_manifest(folder)
        config = _validated(HeadConfig, manifest["config"], folder, _CONFIG)
        if backbone is not None and (differences := config.backbone.differences(backbone)):
            raise BundleMismatch(differences, source=source)
        _check_files(folder, manifest["files"])
        calibration = _validated(Calibration, _read_json(folder, _CALIBRATION), folder, _CALIBRATION)
        with torch.random.fork_rng(devices=[]):  # loading leaves a caller's random numbers as they were
            bundle = cls(config, calibration=calibration)
        bundle._take(_read_weights(folder), folder)
        return bundle.to(device=device, dtype=dtype).eval()

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        base_model: str = "",
        notes: str = "",
    ) -> Path:
        """Write the bundle; an earlier one in the folder is replaced, other files stay.

        Args:
            folder: made if missing.
            dtype: of the saved weights; None keeps theirs.
            base_model: the backbone's Hub id, for the model card.
            notes: Markdown for the model card: data, recipe, figures.

        Raises:
            HeadBundleError: a weight is not finite, the folder holds something else (a backbone, say), or it
                cannot be written.
        """
        target = Path(folder).expanduser()
        _refuse_foreign(target)
        weights = {
            name: tensor.detach().to(device="cpu", dtype=dtype or tensor.dtype).contiguous().clone()
            for name, tensor in self.state_dict().items()
        }
        broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
        if broken:
            raise HeadBundleError(
                f"{_listed(broken)} not finite: training diverged; save an earlier checkpoint", source=target
            )
        card = model_card(
            self.config,
            self.calibration,
            num_parameters=self.num_parameters,
            base_model=base_model,
            notes=notes,
        )
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=target) as name:
                partial = Path(name)
                save_file(weights, partial / _WEIGHTS, metadata={"format": "pt"})
                _write_json(partial / _CALIBRATION, self.calibration.model_dump(mode="json"))
                (partial / _CARD).write_text(card, encoding="utf-8")
                manifest = {
                    "format": _FORMAT,
                    "version": _VERSION,
                    "files": {file: _digest(partial / file) for file in (_WEIGHTS, _CALIBRATION)},
                    "config": self.config.model_dump(mode="json"),
                }
                _write_json(partial / _CONFIG, manifest)
                for file in (_WEIGHTS, _CALIBRATION, _CARD, _CONFIG):
                    (partial / file).replace(target / file)
        except OSError as error:
            raise HeadBundleError(f"cannot be written: {error}", source=target) from error
        return target

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        commit_message: str = "Upload heads",
        api: HfApi | None = None,
        **saved: Any,
    ) -> str:
        """Put the bundle on the Hub, made private or public if it is not there yet.

        Args:
            repo_id: `owner/name`.
            private: of a repository that is made.
            commit_message: of the commit.
            api: with your own endpoint or token; None uses those of `hf auth login`.
            **saved: `dtype`, `base_model`, `notes`, as for `save_pretrained`.

        Returns:
            The commit's address.

        Raises:
            HeadBundleError: the Hub refuses, or cannot be reached.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError

        api = HfApi() if api is None else api
        staging = Path(tempfile.mkdtemp(prefix="heads-"))
        try:
            self.save_pretrained(staging, **saved)
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=staging, commit_message=commit_message)
        except (OSError, HFValidationError) as error:  # the Hub's other errors are OSErrors
            raise HeadBundleError(f"the Hub did not take it: {error}", source=repo_id) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return str(commit)

    def _take(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        own = self.state_dict()
        problems = {
            "missing": sorted(own.keys() - weights.keys()),
            "unknown": sorted(weights.keys() - own.keys()),
            "of another shape": [
                f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
                for name in sorted(own.keys() & weights.keys())
                if weights[name].shape != own[name].shape
            ],
        }
        told = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
        if told:
            raise HeadBundleError(
                f"weights do not belong to its config: {'; '.join(told)}; fetch or save it again",
                source=folder,
                part=_WEIGHTS,
            )
        self.load_state_dict(dict(weights), assign=True)


def _refuse_foreign(target: Path) -> None:
    """A backbone's folder has a config.json too, and must not lose it."""
    path = target / _CONFIG
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # damaged: nothing is lost
    if isinstance(found, dict) and found.get("format") != _FORMAT:
        raise HeadBundleError(
            f"its {_CONFIG} is not that of heads (model_type {found.get('model_type')!r}): save into a "
            "folder of its own",
            source=target,
        )


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / _CONFIG).is_file():
        others = ", ".join(sorted(path.name for path in _visible(folder))[:_NAMED]) or "nothing"
        raise HeadBundleError(
            f"no {_CONFIG} (found {others}): it is no head bundle, or saving it was interrupted",
            source=folder,
        )
    manifest = _read_json(folder, _CONFIG)
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        found = manifest.get("model_type") if isinstance(manifest, dict) else None
        hint = f"it is a model folder of type {found!r}" if found else f"its format is not {_FORMAT!r}"
        raise HeadBundleError(
            f"no head bundle: {hint}; give the folder of the heads", source=folder, part=_CONFIG
        )
    if manifest.get("version") != _VERSION:
        raise HeadBundleError(
            f"its format has version {manifest.get('version')!r}, this installation reads {_VERSION}: "
            "upgrade smolcall, or save the heads again with this version",
            source=folder,
            part=_CONFIG,
        )
    if not isinstance(manifest.get("config"), dict) or not _is_file_table(manifest.get("files")):
        raise HeadBundleError("'config' or 'files' is missing: fetch it again", source=folder, part=_CONFIG)
    return manifest


def _is_file_table(files: Any) -> bool:
    return (
        isinstance(files, dict)
        and {_WEIGHTS, _CALIBRATION} <= files.keys()
        and all(
            isinstance(stated, dict) and {"bytes", "sha256"} <= stated.keys() for stated in files.values()
        )
    )


def _check_files(folder: Path, stated: Mapping[str, Mapping[str, Any]]) -> None:
    for name in (_WEIGHTS, _CALIBRATION):
        path = folder / name
        if not path.is_file():
            raise HeadBundleError(
                "missing: saving or fetching was interrupted; fetch it again", source=folder, part=name
            )
        size, expected = path.stat().st_size, stated[name]["bytes"]
        if size != expected:
            raise HeadBundleError(
                f"has {size} bytes instead of {expected}: it is half-written or of another bundle; fetch it "
                "again",
                source=folder,
                part=name,
            )
        if _digest(path)["sha256"] != stated[name]["sha256"]:
            raise HeadBundleError(
                "its content is not what was saved (sha256 differs): it is damaged or of another bundle; "
                "fetch it again",
                source=folder,
                part=name,
            )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load_file(folder / _WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise HeadBundleError(f"cannot be read: {error}", source=folder, part=_WEIGHTS) from error
    return weights


def _read_json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeadBundleError(
            f"is no readable JSON ({error}): fetch it again", source=folder, part=name
        ) from error


def _validated(kind: type[Any], data: Any, folder: Path, part: str) -> Any:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise HeadBundleError(problems_of(error), source=folder, part=part) from error


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
