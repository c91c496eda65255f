"""The saved model on disk: a folder with a manifest of digests, checked before anything in it is built. Never a pickle.

manifest.json     what it is (see `Manifest`), with the SHA-256 of every other file
codebook.toml     the labels it assigns
classifier/       the kind's own files
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook, dump_codebook, load_codebook
from labels.errors import ArtefactError
from trainer.calibration.calibration import Calibration
from trainer.classifiers.base import Classifier, classifier_class

FORMAT = 1
MANIFEST, CODEBOOK, CLASSIFIER = "manifest.json", "codebook.toml", "classifier"
_PACKAGES = ("communique", "scikit-learn", "skops", "torch", "transformers", "numpy")
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Manifest:
    """What an artefact says of itself. `digest` (of files and calibration) identifies this artefact."""

    kind: str
    labels: tuple[str, ...]
    exclusive: bool
    allow_none: bool
    codebook_name: str
    codebook_version: str
    codebook_hash: str
    seed: int
    created_at: str
    split_hash: str
    training_hash: str
    synthetic: bool
    details: dict[str, Any]
    calibration: dict[str, Any]
    thresholds: dict[str, float]
    packages: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """16 hex digits: the model's id in predictions and in the store."""
        content = {"kind": self.kind, "calibration": self.calibration, "files": self.files}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Loaded:
    """An artefact whose digests held: its manifest, codebook, classifier and calibration."""

    manifest: Manifest
    codebook: Codebook
    classifier: Classifier
    calibration: Calibration


def save_artefact(folder: Path, manifest: Manifest, codebook: Codebook, classifier: Classifier) -> Manifest:
    """Write an artefact into an existing, empty folder; the manifest comes back with the digests filled in."""
    (folder / CODEBOOK).write_text(dump_codebook(codebook), encoding="utf-8")
    (folder / CLASSIFIER).mkdir()
    classifier.save(folder / CLASSIFIER)
    digests = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(_files(folder))}
    complete = Manifest(**(asdict(manifest) | {"labels": manifest.labels, "files": digests}))
    (folder / MANIFEST).write_text(json.dumps(asdict(complete), indent=1) + "\n", encoding="utf-8")
    return complete


def load_artefact(folder: Path) -> Loaded:
    """Open an artefact; every digest is checked before anything is built from it.

    Raises:
        ArtefactError: it is missing, a pickle, no artefact, of another format version, incomplete, or altered.
    """
    manifest = read_manifest(folder)
    _check_digests(folder, manifest)
    codebook = load_codebook(folder / CODEBOOK)
    classifier = classifier_class(manifest.kind).load(folder / CLASSIFIER, codebook)
    return Loaded(manifest, codebook, classifier, Calibration.from_dict(manifest.calibration))


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, digests unchecked.

    Raises:
        ArtefactError: as `load_artefact`, but for altered files.
    """
    _refuse_what_is_no_folder(folder)
    path = folder / MANIFEST
    if not path.is_file():
        hint = " Did you mean its `artefact/` folder?" if (folder / "artefact" / MANIFEST).is_file() else ""
        raise ArtefactError(
            f"{folder}: no {MANIFEST}, so this is no communique artefact.{hint} "
            "`communique train EXPERIMENT.toml --out DIR` writes one to DIR/artefact."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["format"]
        if not isinstance(found, int):
            raise TypeError("`format` is no number")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{path}: not a manifest ({error}). Copy the artefact again from where it was trained."
        ) from error
    if found != FORMAT:
        raise ArtefactError(
            f"{path}: artefact format {found}; this communique reads format {FORMAT}. "
            "Use the communique version that wrote it" + (", or a newer one." if found > FORMAT else ".")
        )
    known = {entry.name for entry in fields(Manifest)}
    if set(content) != known:
        odd = sorted(set(content) ^ known)
        raise ArtefactError(f"{path}: keys missing or unknown: {', '.join(odd)}. Copy the artefact again.")
    if not isinstance(content["labels"], list) or not isinstance(content["files"], dict):
        raise ArtefactError(f"{path}: `labels` must be a list and `files` an object. Copy the artefact again.")
    return Manifest(**(content | {"labels": tuple(content["labels"])}))


def package_versions() -> dict[str, str]:
    """Versions of the packages that a saved model depends on."""
    return {name: version(name) for name in _PACKAGES}


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in _files(folder))


def _refuse_what_is_no_folder(folder: Path) -> None:
    if folder.is_file():
        if folder.suffix.lower() in _PICKLES or folder.open("rb").read(2)[:1] == b"\x80":
            raise ArtefactError(
                f"{folder}: this looks like a pickle. Loading one can run any code, so communique never "
                "does. Train again: `communique train EXPERIMENT.toml --out DIR`."
            )
        raise ArtefactError(f"{folder}: a file; an artefact is a folder with a {MANIFEST}. Give the folder.")
    if not folder.is_dir():
        raise ArtefactError(
            f"{folder}: there is no such folder. Give an artefact's folder, or an MLflow URI such as "
            "models:/NAME@champion."
        )


def _check_digests(folder: Path, manifest: Manifest) -> None:
    present = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MANIFEST}
    missing, added = sorted(set(manifest.files) - present), sorted(present - set(manifest.files))
    if missing:
        raise ArtefactError(f"{folder}: incomplete, {missing[0]} is missing. Copy the artefact again.")
    if added:
        raise ArtefactError(f"{folder}: {added[0]} is not in its manifest. It was added after training: remove it.")
    for name, digest in manifest.files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise ArtefactError(
                f"{folder / name}: altered after training (its SHA-256 differs from the manifest's). "
                "Nothing was loaded. Copy the artefact again, or train it again."
            )


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
