from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError
from tests.conftest import make_examples
from tests.lazy import Lazy
from trainer.calibration.abstention import Abstention, LabelLimits
from trainer.calibration.calibration import uncalibrated
from trainer.classifiers.base import Classifier, build_classifier
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.experiment import parse_experiment
from trainer.config.models import TfidfSection
from trainer.model.model import Manifest, Model, folder_size, package_versions, read_manifest, save_artefact

dump = Lazy("skops.io:dump")

TEXTS = [example.text for example in make_examples(60)[40:]]


def a_manifest(codebook: Codebook, kind: str, **more: Any) -> Manifest:
    calibration = uncalibrated(2, "for a test", exclusive=False, allow_none=True)
    values: dict[str, Any] = {
        "kind": kind,
        "labels": codebook.label_names,
        "exclusive": False,
        "allow_none": True,
        "codebook_name": codebook.name,
        "codebook_version": codebook.version,
        "codebook_hash": codebook.hash,
        "seed": 13,
        "created_at": "2026-01-02T03:04:05+00:00",
        "split_hash": "0" * 16,
        "training_hash": "1" * 16,
        "synthetic": False,
        "details": {"train_seconds": 0.5},
        "calibration": calibration,
        "thresholds": dict.fromkeys(codebook.label_names, 0.5),
        "packages": package_versions(),
    }
    return Manifest(**(values | more))


def save(codebook: Codebook, kind: str = "tfidf", folder: str = "artefact", **more: Any) -> tuple[Manifest, Classifier]:
    section = parse_experiment({"model": {"kind": kind}}, "here").model
    classifier = build_classifier(section, codebook, 1).fit(make_examples(40), [])
    Path(folder).mkdir()
    return save_artefact(Path(folder), a_manifest(codebook, kind, **more), codebook, classifier), classifier


@pytest.fixture
def artefact(codebook: Codebook) -> Path:
    save(codebook)
    return Path("artefact")


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


# -- round trip


@pytest.mark.parametrize("kind", ["majority", "keywords", "tfidf"])
def test_a_saved_model_comes_back_with_its_manifest_codebook_and_probabilities(codebook: Codebook, kind: str) -> None:
    manifest, classifier = save(codebook, kind)
    loaded = Model.load(Path("artefact"))
    assert loaded.manifest == manifest
    assert loaded.codebook == codebook
    assert loaded.manifest.calibration == uncalibrated(2, "for a test", exclusive=False, allow_none=True)
    assert (loaded.classifier.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


def test_the_manifest_holds_the_digest_of_every_other_file_and_the_versions(codebook: Codebook) -> None:
    manifest, _ = save(codebook)
    files = {path.relative_to("artefact").as_posix() for path in Path("artefact").rglob("*") if path.is_file()}
    assert set(manifest.files) == files - {"manifest.json"}
    assert {"codebook.toml", "classifier/weights.safetensors"} <= set(manifest.files)
    assert {len(digest) for digest in manifest.files.values()} == {64}
    assert (manifest.format, manifest.minor) == (2, 1)
    assert set(manifest.packages) >= {"communique", "scikit-learn", "torch", "transformers"}


def test_an_artefact_holds_no_pickle(artefact: Path) -> None:
    for path in artefact.rglob("*"):
        if path.is_file():
            assert path.suffix in (".json", ".toml", ".safetensors")
            assert not path.read_bytes().startswith(b"\x80")


def test_all_files_are_as_readable_as_the_manifest(artefact: Path) -> None:
    modes = {path.stat().st_mode for path in artefact.rglob("*") if path.is_file()}
    assert modes == {(artefact / "manifest.json").stat().st_mode}


def test_the_digest_names_the_model_whenever_and_wherever_it_was_trained(codebook: Codebook) -> None:
    first, _ = save(codebook, "majority", "first")
    later, _ = save(codebook, "majority", "later", created_at="2027-01-01T00:00:00+00:00", details={"train_seconds": 9})
    assert first.digest == later.digest == read_manifest(Path("later")).digest
    assert len(first.digest) == 16


def test_another_calibration_classifier_or_codebook_is_another_model(codebook: Codebook) -> None:
    manifest, _ = save(codebook, "majority", "first")
    calibration = uncalibrated(2, "another", exclusive=False, allow_none=True)
    others = [
        manifest.model_copy(update={"calibration": calibration}),
        save(codebook, "keywords", "keywords")[0],
        save(codebook.model_copy(update={"description": "Other words."}), "majority", "reworded")[0],
    ]
    assert len({manifest.digest, *(other.digest for other in others)}) == 4


def test_an_artefact_can_be_moved(artefact: Path) -> None:
    shutil.move(artefact, "elsewhere")
    assert Model.load(Path("elsewhere")).manifest.kind == "tfidf"


def test_folder_size_counts_the_bytes_of_all_files(artefact: Path) -> None:
    expected = sum(len(path.read_bytes()) for path in artefact.rglob("*") if path.is_file())
    assert folder_size(artefact) == expected


# -- digests


@pytest.mark.parametrize("name", ["codebook.toml", "classifier/weights.safetensors"])
def test_an_altered_file_is_refused_by_name_with_the_repair(artefact: Path, name: str) -> None:
    content = bytearray((artefact / name).read_bytes())
    content[len(content) // 2] ^= 1
    (artefact / name).write_bytes(content)
    with pytest.raises(
        ArtefactError, match=rf"{name}: this file was altered after training .*Nothing was loaded"
    ) as caught:
        Model.load(artefact)
    assert "Copy the artefact again" in str(caught.value)


@pytest.mark.parametrize("name", ["codebook.toml", "classifier/weights.safetensors"])
def test_a_missing_file_is_named(artefact: Path, name: str) -> None:
    (artefact / name).unlink()
    with pytest.raises(ArtefactError, match=f"^artefact: the artefact is incomplete: {name} is missing"):
        Model.load(artefact)


@pytest.mark.parametrize("name", ["notes.txt", "classifier/model.pkl", ".hidden"])
def test_an_added_file_is_refused_by_name(artefact: Path, name: str) -> None:
    (artefact / name).write_text("x", encoding="utf-8")
    with pytest.raises(ArtefactError, match=f"{name} is not in the manifest.*Remove this file"):
        Model.load(artefact)


def test_a_file_outside_the_folder_cannot_be_named_in_the_manifest(artefact: Path) -> None:
    Path("outside.txt").write_text("x", encoding="utf-8")
    rewrite_manifest(artefact, lambda manifest: manifest | {"files": manifest["files"] | {"../outside.txt": "0" * 64}})
    with pytest.raises(ArtefactError, match=r"\.\./outside\.txt is missing"):
        Model.load(artefact)


def test_a_link_to_nowhere_is_refused_like_an_altered_file(artefact: Path) -> None:
    (artefact / "codebook.toml").unlink()
    (artefact / "codebook.toml").symlink_to("nowhere.toml")
    with pytest.raises(ArtefactError, match=r"codebook\.toml"):
        Model.load(artefact)


def test_digests_are_checked_before_anything_is_built(artefact: Path) -> None:
    """The codebook would not even parse; the message is about the digest, not about TOML."""
    (artefact / "codebook.toml").write_text("[[[", encoding="utf-8")
    with pytest.raises(ArtefactError, match="altered after training"):
        Model.load(artefact)


class Trap:
    """Unpickling it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "pytorch_model.bin", "model.pt", "MODEL.PICKLE"])
def test_a_pickle_is_refused_and_never_run(name: str, protocol: int) -> None:
    Path(name).write_bytes(pickle.dumps(Trap(), protocol=protocol))
    with pytest.raises(ArtefactError, match=f"^{name}: this looks like a pickle"):
        Model.load(Path(name))
    assert not Path("sprung").exists()


def test_a_pickle_of_any_name_is_recognised() -> None:
    Path("model").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArtefactError, match=r"^model: this looks like a pickle"):
        Model.load(Path("model"))
    assert not Path("sprung").exists()


class OfFormat1(TfidfClassifier):
    """Saves what a format 1 artefact would hold, but with a trap in it."""

    def save(self, folder: Path) -> None:
        dump({"trap": Trap()}, folder / "pipeline.skops")


def test_a_hostile_classifier_of_format_1_is_refused_although_its_digest_is_right(codebook: Codebook) -> None:
    Path("artefact").mkdir()
    classifier = OfFormat1(codebook, TfidfSection(kind="tfidf"), seed=1)
    save_artefact(Path("artefact"), a_manifest(codebook, "tfidf"), codebook, classifier)
    with pytest.raises(ArtefactError, match=r"pipeline\.skops: the file contains types that are not trusted: .*Trap"):
        Model.load(Path("artefact"))
    assert not Path("sprung").exists()


# -- manifests


def test_an_artefact_of_format_1_is_read_with_its_id_and_not_altered(codebook: Codebook) -> None:
    manifest, classifier = save(codebook)
    rewrite_manifest(Path("artefact"), of_format_1)
    before = (Path("artefact") / "manifest.json").read_bytes()
    loaded = Model.load(Path("artefact"))
    assert loaded.manifest == manifest
    assert loaded.manifest.digest == manifest.digest
    assert (loaded.classifier.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()
    assert (Path("artefact") / "manifest.json").read_bytes() == before


def test_the_id_is_made_of_kind_calibration_and_files_as_in_format_1(artefact: Path) -> None:
    raw = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))
    content = json.dumps({key: raw[key] for key in ("kind", "calibration", "files")}, sort_keys=True)
    assert read_manifest(artefact).digest == hashlib.sha256(content.encode()).hexdigest()[:16]


def test_optional_sections_have_defaults_and_are_left_out_of_the_file(artefact: Path) -> None:
    manifest = read_manifest(artefact)
    assert (manifest.profile, manifest.abstention, manifest.screening, manifest.training_ids) == (None, None, None, ())
    raw = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))
    assert not {"profile", "abstention", "screening", "training_ids"} & set(raw)


RULE = Abstention(
    error="misses",
    max_error=0.05,
    confidence=0.95,
    joint=False,
    labels={"aid": LabelLimits(low=0.1, high=0.5, units=59, errors=0, bound=0.05, abstained=0.2, hindsight=0.1)},
)


def test_optional_sections_come_back_and_change_the_id_only_where_they_change_answers(codebook: Codebook) -> None:
    sections: dict[str, Any] = {"profile": {"words": 12.5}, "training_ids": ("a", "b")}
    plain, _ = save(codebook, "majority", "plain")
    described, _ = save(codebook, "majority", "described", **sections)
    abstaining, _ = save(codebook, "majority", "abstaining", **sections, abstention=RULE)
    assert read_manifest(Path("abstaining")) == abstaining
    assert abstaining.training_ids == ("a", "b")
    assert plain.digest == described.digest != abstaining.digest == read_manifest(Path("abstaining")).digest


def test_a_newer_minor_version_without_unknown_sections_is_read(artefact: Path) -> None:
    rewrite_manifest(artefact, lambda manifest: manifest | {"minor": 7})
    assert Model.load(artefact).manifest.minor == 7


def of_format_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest as communique wrote it before there were optional sections."""
    return {key: value for key, value in manifest.items() if key != "minor"} | {"format": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m | {"format": 3},
            r"format 3 is not supported; .* reads formats 1 to 2\. Use .* or a newer version",
        ),
        (lambda m: m | {"format": 0}, r"format 0 is not supported; .* reads formats 1 to 2"),
        (
            lambda m: m | {"format": "2"},
            r"manifest\.json: this file is not a valid manifest \(`format` must be a whole number",
        ),
        (lambda m: m | {"format": None}, r"manifest\.json: this file is not a valid manifest"),
        (
            lambda m: m | {"minor": "0"},
            r"manifest\.json: this file is not a valid manifest \(`minor` must be a whole number",
        ),
        (lambda m: {k: v for k, v in m.items() if k != "format"}, r"not a valid manifest \('format'\)"),
        (lambda m: [m], "not a valid manifest"),
        (lambda m: {k: v for k, v in m.items() if k != "seed"}, "key `seed`: Field required"),
        (lambda m: m | {"colour": 1}, "key `colour`: Extra inputs are not permitted"),
        (lambda m: of_format_1(m) | {"colour": 1}, "key `colour`: Extra inputs are not permitted"),
        (lambda m: m | {"labels": None}, r"manifest\.json: key `labels`"),
        (lambda m: m | {"files": list(m["files"])}, r"manifest\.json: key `files`"),
        (lambda m: m | {"calibration": {"exclusive": False}}, r"key `calibration\.labels`: Field required"),
        (lambda m: m | {"kind": "oracle"}, r"kind 'oracle' is unknown to this version"),
        (
            lambda m: m | {"minor": 2, "drift": {}, "audit": {}},
            r"format 2\.2 has unknown sections: audit, drift\. .* up to 2\.1\. Upgrade communique",
        ),
    ],
)
def test_a_manifest_that_cannot_be_read_raises_and_says_why(artefact: Path, change: Any, message: str) -> None:
    rewrite_manifest(artefact, change)
    with pytest.raises(ArtefactError, match=message):
        Model.load(artefact)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_manifest_that_is_no_json_raises_with_its_path(artefact: Path, content: bytes) -> None:
    (artefact / "manifest.json").write_bytes(content)
    with pytest.raises(
        ArtefactError, match=r"manifest\.json: this file is not a valid manifest .*Copy the artefact again"
    ):
        Model.load(artefact)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", r"^absent: this folder does not exist\. .*models:/NAME@champion"),
        ("empty", r"^empty: this folder has no manifest\.json, so it is not a communique artefact"),
        ("notes.txt", r"^notes\.txt: this is a file; an artefact is a folder"),
        ("run", r"^run: .*Did you mean its `artefact/` folder\?"),
    ],
)
def test_what_is_no_artefact_is_refused_with_a_hint(codebook: Codebook, path: str, message: str) -> None:
    Path("empty").mkdir()
    Path("notes.txt").write_text("x", encoding="utf-8")
    Path("run").mkdir()
    save(codebook, "majority", "run/artefact")
    with pytest.raises(ArtefactError, match=message):
        Model.load(Path(path))


def test_the_manifest_alone_can_be_read_from_an_altered_artefact(artefact: Path) -> None:
    (artefact / "codebook.toml").unlink()
    assert read_manifest(artefact).kind == "tfidf"
