"""Save, open and use models, which predict calibrated probabilities and label sets.

A saved model, called an artefact, is a folder without pickles:

manifest.json     description of the model (see `Manifest`), with the SHA-256 of every other file
codebook.toml     the labels that the model assigns
classifier/       the files of the classifier

Digests are checked before the model is built. Artefacts of format 1, in which linear models are skops files and
encoders have no sentence-transformers files, are converted in memory. No command changes a saved artefact.
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
from labels.errors import ArtefactError, InputError, did_you_mean, refuse_lone_string
from trainer.calibration.abstention import Abstention, Screening
from trainer.calibration.calibration import Bools, Calibration, Probabilities
from trainer.classifiers.base import Classifier, classifier_class
from trainer.classifiers.explanations import Explanation, Pause, refuse_unexplained, why_not_explained

FORMAT, MINOR = 2, 1
"""Format version of new artefacts. A minor version adds optional sections; a major version needs conversion."""

MANIFEST, CODEBOOK, CLASSIFIER = "manifest.json", "codebook.toml", "classifier"
_PACKAGES = ("communique", "scikit-learn", "torch", "transformers", "numpy")
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".bin", ".ckpt")


class Manifest(BaseModel):
    """The contents of `manifest.json`.

    The last five fields are optional sections, omitted from the file if empty: `profile` describes the training texts,
    `abstention` specifies when the model gives no answer, `screening` specifies the sentences that the model is meant
    to find, `training_ids` lists the ids of the texts of train and validation (`trainer.model.seen`), and `middle`
    (since 2.1) lists the kinds of the models between the first and the last of a cascade.
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
    abstention: Abstention | None = None
    screening: Screening | None = None
    training_ids: tuple[str, ...] = ()
    middle: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits that identify the model by its answers; predictions and the store use them as the model id.

        An optional section changes the id only if it is set and affects answers, so ids of format 1 stay valid.
        """
        # Leave out seed, time and packages: models with the same answers have the same id, however they were made.
        content = self.model_dump(mode="json", include={"kind", "calibration", "files"})
        content |= {k: v.model_dump() for k in ("abstention", "screening") if (v := getattr(self, k)) is not None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the text of `manifest.json`, without empty optional sections."""
        empty = {name for name in _SECTIONS if not getattr(self, name)}
        return json.dumps(self.model_dump(mode="json", exclude=empty), indent=1) + "\n"


_SECTIONS = ("profile", "abstention", "screening", "training_ids", "middle")


@dataclass(frozen=True)
class Model:
    """A trained model: a calibrated classifier with its codebook. `manifest` is None until the model is saved."""

    codebook: Codebook
    classifier: Classifier
    calibration: Calibration
    manifest: Manifest | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open an artefact after checking every digest.

        Raises:
            ArtefactError: the folder is missing, a pickle, not an artefact, incomplete or altered, or has an
                unsupported format version.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        # Check the digests before any file is opened, so that an altered file never reaches the code that reads it.
        _check_digests(folder, manifest)
        codebook = load_codebook(folder / CODEBOOK)
        classifier = classifier_class(manifest.kind).load(folder / CLASSIFIER, codebook)
        return cls(codebook, classifier, manifest.calibration, manifest)

    @property
    def id(self) -> str:
        """The artefact's digest; empty until the model is saved."""
        return self.manifest.digest if self.manifest else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names in codebook order, which is also the order of columns in all arrays."""
        return self.codebook.label_names

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) calibrated probabilities in [0, 1].

        Raises:
            DataError: `texts` is a single string.
        """
        refuse_lone_string(texts, "texts")
        return self.calibrated(self.classifier.predict_proba(texts))

    def calibrated(self, raw: Probabilities) -> Probabilities:
        """Return (n, labels) calibrated probabilities for the classifier's raw probabilities."""
        # Use float32 everywhere (files, server, exports), so that every way of predicting gives the same numbers.
        return self.calibration.apply(raw).astype(np.float32)

    def why_not_explained(self) -> str:
        """Return why the predictions of this model cannot be explained; empty if they can be explained."""
        return why_not_explained(self.classifier, self._kind)

    def explain(
        self, texts: Sequence[str], *, labels: Sequence[str] | None = None, top_k: int | None = None
    ) -> list[list[Explanation]]:
        """Explain what each word of n texts adds to the logits of labels.

        Args:
            labels: the labels to explain; None for the assigned labels of each text, or for its most probable label if
                no label is assigned.
            top_k: number of words with the largest weights; None for all words.

        Raises:
            InputError: the model cannot be explained, or it has no such label.
            DataError: `texts` is a single string.
        """
        refuse_lone_string(texts, "texts")
        if reason := self.why_not_explained():
            raise InputError(reason)
        chosen = (
            [list(labels)] * len(texts) if labels is not None else self.labels_to_explain(self.predict_proba(texts))
        )
        return [
            [explanation.strongest(top_k) for explanation in self.explain_text(text, own)]
            for text, own in zip(texts, chosen, strict=True)
        ]

    def labels_to_explain(self, probabilities: NDArray[np.floating]) -> list[list[str]]:
        """Return the assigned labels of each row, or the most probable label if none is assigned."""
        sets = self.label_sets(probabilities)
        likeliest = probabilities.argmax(axis=1)
        return [list(own) or [self.labels[i]] for own, i in zip(sets, likeliest, strict=True)]

    def explain_text(self, text: str, labels: Sequence[str], pause: Pause = lambda: None) -> list[Explanation]:
        """Return one explanation with all words for each label; `pause` is called before each slice of the work.

        Raises:
            InputError: the model cannot be explained, or it has no such label.
        """
        for label in labels:
            if label not in self.labels:
                near, known = did_you_mean(label, self.labels), ", ".join(self.labels)
                raise InputError(f"'{label}' is not a label of this model{near}. Labels: {known}.")
        classifier = refuse_unexplained(self.classifier, self._kind)
        return classifier.explain(text, [self.labels.index(label) for label in labels], pause)

    @property
    def _kind(self) -> str:
        return self.manifest.kind if self.manifest else type(self.classifier).__name__

    def decide(self, probabilities: NDArray[np.floating]) -> Bools:
        """Return (n, labels) booleans, true for assigned labels: those about which the model does not abstain."""
        decided, abstained = self.calibration.decide(probabilities), self.abstained(probabilities)
        return decided if abstained is None else decided & ~abstained

    def abstained(self, probabilities: NDArray[np.floating]) -> Bools | None:
        """Return (n, labels) booleans, true where the model abstains; None if it never does."""
        rule = self.manifest.abstention if self.manifest else None
        return rule.abstained(probabilities, self.labels, self.calibration) if rule else None

    def screened(self, probabilities: NDArray[np.floating]) -> Bools | None:
        """Return (n, labels) booleans, true for sentences to read for a label; None without a screening threshold."""
        rule = self.manifest.screening if self.manifest else None
        return rule.screened(probabilities, self.labels) if rule else None

    def label_sets(self, probabilities: NDArray[np.floating]) -> list[tuple[str, ...]]:
        """Return the labels assigned to each row, in codebook order."""
        names = self.labels
        return [tuple(names[i] for i in np.flatnonzero(row)) for row in self.decide(probabilities)]


def save_artefact(folder: Path, manifest: Manifest, codebook: Codebook, classifier: Classifier) -> Manifest:
    """Write an artefact in the current format to an existing, empty folder.

    Returns:
        The manifest as written, with the digests of all files.
    """
    (folder / CODEBOOK).write_text(dump_codebook(codebook), encoding="utf-8")
    (folder / CLASSIFIER).mkdir()
    classifier.save(folder / CLASSIFIER)
    for path in _files(folder):
        # safetensors files are readable only by their owner, but a server may run under another account.
        path.chmod((folder / CODEBOOK).stat().st_mode)
    digests = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(_files(folder))}
    # The manifest comes last: a folder without a manifest is refused.
    # Versions that do not know cascades of several models refuse the section, instead of ignoring these models.
    middle = getattr(classifier, "middle_kinds", ())
    own = {"files": digests, "format": FORMAT, "minor": MINOR, "middle": middle}
    complete = manifest.model_copy(update=own)
    (folder / MANIFEST).write_text(complete.to_json(), encoding="utf-8")
    return complete


def read_manifest(folder: Path) -> Manifest:
    """Read only the manifest, converted to the current format; digests are not checked.

    Raises:
        ArtefactError: see `Model.load`; altered files are not detected.
    """
    _refuse_other_places(folder)
    path = folder / MANIFEST
    content = _read_content(path)
    _refuse_other_versions(path, content)
    try:
        # Format 1 differs only in the files of the classifiers, and each kind reads both formats.
        return Manifest.model_validate(content | {"format": FORMAT})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ArtefactError(f"{path}: key `{key}`: {problem['msg']}. Copy the artefact again.") from error


def _read_content(path: Path) -> dict[str, Any]:
    """Read the JSON object of a manifest and check that its format version is an integer."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, value in (("format", content["format"]), ("minor", content.get("minor", MINOR))):
            if type(value) is not int:  # not `isinstance`, because True is an instance of int
                raise TypeError(f"`{name}` must be a whole number")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{path}: this file is not a valid manifest ({error}). Copy the artefact again from its original folder."
        ) from error
    found: dict[str, Any] = content
    return found


def _refuse_other_versions(path: Path, content: dict[str, Any]) -> None:
    major, minor = content["format"], content.get("minor", MINOR)
    if not 1 <= major <= FORMAT:
        raise ArtefactError(
            f"{path}: artefact format {major} is not supported; this version of communique reads formats 1 to "
            f"{FORMAT}. Use the version that wrote the artefact" + (", or a newer version." if major > FORMAT else ".")
        )
    unknown = sorted(set(content) - set(Manifest.model_fields))
    # A section may change the answers of a model, so an unknown section must not be ignored.
    if unknown and (major, minor) > (FORMAT, MINOR):
        raise ArtefactError(
            f"{path}: artefact format {major}.{minor} has unknown sections: {', '.join(unknown)}. This version of "
            f"communique reads formats up to {FORMAT}.{MINOR}. Upgrade communique."
        )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which a saved model depends."""
    return {name: version(name) for name in _PACKAGES}


def folder_size(folder: Path) -> int:
    """Return the total size in bytes of all files in a folder and its subfolders."""
    return sum(path.stat().st_size for path in _files(folder))


def _refuse_other_places(folder: Path) -> None:
    """Refuse paths that are not a folder with a manifest."""
    if folder.is_file():
        # Every pickle of protocol 2 or higher starts with this byte, whatever the name of the file.
        if folder.suffix.lower() in _PICKLES or folder.open("rb").read(1) == b"\x80":
            raise ArtefactError(
                f"{folder}: this looks like a pickle. Loading a pickle can run any code, so communique never loads "
                "pickles. Train the model again: `communique train EXPERIMENT.toml --out DIR`."
            )
        raise ArtefactError(f"{folder}: this is a file; an artefact is a folder with a {MANIFEST}. Pass the folder.")
    if not folder.is_dir():
        raise ArtefactError(
            f"{folder}: this folder does not exist. Pass an artefact's folder, or an MLflow URI such as "
            "models:/NAME@champion."
        )
    if not (folder / MANIFEST).is_file():
        hint = " Did you mean its `artefact/` folder?" if (folder / "artefact" / MANIFEST).is_file() else ""
        raise ArtefactError(
            f"{folder}: this folder has no {MANIFEST}, so it is not a communique artefact.{hint} "
            "`communique train EXPERIMENT.toml --out DIR` writes one to DIR/artefact."
        )


def _check_digests(folder: Path, manifest: Manifest) -> None:
    present = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MANIFEST}
    # Added files are also refused: an additional file may change what a library loads.
    missing, added = sorted(set(manifest.files) - present), sorted(present - set(manifest.files))
    if missing:
        raise ArtefactError(f"{folder}: the artefact is incomplete: {missing[0]} is missing. Copy the artefact again.")
    if added:
        raise ArtefactError(
            f"{folder}: {added[0]} is not in the manifest, so it was added after training. Remove this file."
        )
    for name, digest in manifest.files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise ArtefactError(
                f"{folder / name}: this file was altered after training (the manifest has another SHA-256). "
                "Nothing was loaded. Copy the artefact again, or train the model again."
            )


def _files(folder: Path) -> Iterable[Path]:
    # Broken links count as files: they are reported as altered instead of being ignored.
    return (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
