"""The saved model: texts in, calibrated probabilities and label sets out. On disk it is a folder, never a pickle.

manifest.json     what the model is (see `Manifest`), with the SHA-256 of every other file
codebook.toml     the labels it assigns
classifier/       the kind's own files

Digests are checked before anything is built. Artefacts of format 1, in which linear models are skops files and encoders
lack sentence-transformers' files, are converted in memory; no command alters a saved artefact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from labels.codebook.schema import Codebook, dump_codebook, load_codebook
from labels.errors import ArtefactError, refuse_lone_string
from trainer.calibration.calibration import Bools, Calibration, Probabilities
from trainer.classifiers.base import Classifier, classifier_class

FORMAT, MINOR = 2, 0
"""The version that is written. A new minor version adds optional sections; a new major one needs conversion."""

MANIFEST, CODEBOOK, CLASSIFIER = "manifest.json", "codebook.toml", "classifier"
_PACKAGES = ("communique", "scikit-learn", "torch", "transformers", "numpy")
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".bin", ".ckpt")


class Manifest(BaseModel):
    """What an artefact says about itself.

    The last four fields are optional sections, left out of the file where a model has none: `profile` describes the
    training texts, `abstention` says when the model gives no answer, `screening` which sentences it was meant to find,
    and `training_ids` are the examples that it was fitted to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    calibration: Calibration
    thresholds: dict[str, float]
    packages: dict[str, str]
    files: dict[str, str] = {}
    format: int = FORMAT
    minor: int = MINOR
    profile: dict[str, Any] | None = None
    abstention: dict[str, Any] | None = None
    screening: dict[str, Any] | None = None
    training_ids: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits that identify what the model answers: its id in predictions and in the store.

        Optional sections count only where they are set and change answers, so that ids of format 1 stay as they are.
        """
        content = self.model_dump(mode="json", include={"kind", "calibration", "files"})
        content |= {name: value for name in ("abstention", "screening") if (value := getattr(self, name))}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The text of `manifest.json`, without empty optional sections."""
        empty = {name for name in _SECTIONS if not getattr(self, name)}
        return json.dumps(self.model_dump(mode="json", exclude=empty), indent=1) + "\n"


_SECTIONS = ("profile", "abstention", "screening", "training_ids")


@dataclass(frozen=True)
class Model:
    """What `train` makes, and `serve`, `predict` and `evaluate` use. Before it is saved it has no manifest."""

    codebook: Codebook
    classifier: Classifier
    calibration: Calibration
    manifest: Manifest | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open an artefact; every digest is checked before anything is built from it.

        Raises:
            ArtefactError: it is missing, a pickle, not an artefact, of another format version, incomplete, or altered.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        _check_digests(folder, manifest)
        codebook = load_codebook(folder / CODEBOOK)
        classifier = classifier_class(manifest.kind).load(folder / CLASSIFIER, codebook)
        return cls(codebook, classifier, manifest.calibration, manifest)

    @property
    def id(self) -> str:
        """The artefact's digest; empty before it is saved."""
        return self.manifest.digest if self.manifest else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in codebook order: the columns of everything below."""
        return self.codebook.label_names

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) calibrated probabilities in [0, 1].

        Raises:
            DataError: `texts` is a single string.
        """
        refuse_lone_string(texts, "texts")
        return self.calibrated(self.classifier.predict_proba(texts))

    def calibrated(self, raw: Probabilities) -> Probabilities:
        """(n, labels) calibrated probabilities from the classifier's own."""
        return self.calibration.apply(raw).astype(np.float32)

    def decide(self, probabilities: NDArray[np.floating]) -> Bools:
        """(n, labels) booleans: which labels are assigned."""
        return self.calibration.decide(probabilities)

    def label_sets(self, probabilities: NDArray[np.floating]) -> list[tuple[str, ...]]:
        """The labels assigned to each row, in codebook order."""
        names = self.labels
        return [tuple(names[i] for i in np.flatnonzero(row)) for row in self.decide(probabilities)]


def save_artefact(folder: Path, manifest: Manifest, codebook: Codebook, classifier: Classifier) -> Manifest:
    """Write an artefact of the current format into an existing, empty folder.

    Returns:
        The manifest as written, with the digests.
    """
    (folder / CODEBOOK).write_text(dump_codebook(codebook), encoding="utf-8")
    (folder / CLASSIFIER).mkdir()
    classifier.save(folder / CLASSIFIER)
    for path in _files(folder):
        # safetensors makes its files private to their owner; a server may run under another account.
        path.chmod((folder / CODEBOOK).stat().st_mode)
    digests = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(_files(folder))}
    complete = manifest.model_copy(update={"files": digests, "format": FORMAT, "minor": MINOR})
    (folder / MANIFEST).write_text(complete.to_json(), encoding="utf-8")
    return complete


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, in the current format; digests are not checked.

    Raises:
        ArtefactError: as `Model.load`, except for altered files.
    """
    _refuse_other_places(folder)
    path = folder / MANIFEST
    content = _read_content(path)
    _refuse_other_versions(path, content)
    try:
        # Format 1 differs only in the classifiers' own files, which each kind reads in both forms.
        return Manifest.model_validate(content | {"format": FORMAT})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ArtefactError(f"{path}: key `{key}`: {problem['msg']}. Copy the artefact again.") from error


def _read_content(path: Path) -> dict[str, Any]:
    """The manifest's JSON object, whose format is a number."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, value in (("format", content["format"]), ("minor", content.get("minor", MINOR))):
            if type(value) is not int:
                raise TypeError(f"`{name}` is not a whole number")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{path}: not a manifest ({error}). Copy the artefact again from where it was trained."
        ) from error
    found: dict[str, Any] = content
    return found


def _refuse_other_versions(path: Path, content: dict[str, Any]) -> None:
    major, minor = content["format"], content.get("minor", MINOR)
    if not 1 <= major <= FORMAT:
        raise ArtefactError(
            f"{path}: artefact format {major}; this communique reads formats 1 to {FORMAT}. "
            "Use the communique version that wrote it" + (", or a newer one." if major > FORMAT else ".")
        )
    unknown = sorted(set(content) - set(Manifest.model_fields))
    # Sections may change what a model answers: one that is not understood must not be ignored.
    if unknown and (major, minor) > (FORMAT, MINOR):
        raise ArtefactError(
            f"{path}: artefact format {major}.{minor} has sections that this communique, which reads up to "
            f"{FORMAT}.{MINOR}, does not know: {', '.join(unknown)}. Use a newer communique."
        )


def package_versions() -> dict[str, str]:
    """Versions of the packages that a saved model depends on."""
    return {name: version(name) for name in _PACKAGES}


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in _files(folder))


def _refuse_other_places(folder: Path) -> None:
    """Refuse what is not a folder with a manifest."""
    if folder.is_file():
        if folder.suffix.lower() in _PICKLES or folder.open("rb").read(1) == b"\x80":
            raise ArtefactError(
                f"{folder}: this looks like a pickle. Loading a pickle can run any code, so communique never does. "
                "Train the model again: `communique train EXPERIMENT.toml --out DIR`."
            )
        raise ArtefactError(f"{folder}: this is a file; an artefact is a folder with a {MANIFEST}. Give the folder.")
    if not folder.is_dir():
        raise ArtefactError(
            f"{folder}: no such folder. Give an artefact's folder, or an MLflow URI such as models:/NAME@champion."
        )
    if not (folder / MANIFEST).is_file():
        hint = " Did you mean its `artefact/` folder?" if (folder / "artefact" / MANIFEST).is_file() else ""
        raise ArtefactError(
            f"{folder}: no {MANIFEST}, so this is not a communique artefact.{hint} "
            "`communique train EXPERIMENT.toml --out DIR` writes one to DIR/artefact."
        )


def _check_digests(folder: Path, manifest: Manifest) -> None:
    present = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MANIFEST}
    # Additions are refused too: a file beside the expected ones may change what a library loads.
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
    # Dangling links count as files, so that they are reported as altered rather than overlooked.
    return (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
