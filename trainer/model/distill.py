"""Distil a model into a small student: train it on the model's probabilities for texts without labels, and compare.

The student is a fine-tuned encoder of a few layers, or static token vectors (`trainer.classifiers.students.static`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from labels.environment.progress import progress_stage, report_progress
from labels.errors import DataError, ExperimentError, counted, refuse_lone_string
from labels.output.folders import output_folder
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import Classifier, Student, build_classifier, label_matrix
from trainer.classifiers.cascades.members import thresholds_alone
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import FinetuneSection, StaticSection
from trainer.data.splits import group_examples
from trainer.data.unlabelled import read_unlabelled
from trainer.evaluation.comparison import Comparison, compare_predictions
from trainer.model.export import check_rows, refuse_place
from trainer.model.model import Manifest, Model, folder_size, package_versions, save_artefact

FEWEST_TEXTS = 100
"""Minimum number of texts to learn from; fewer are not enough for a useful student."""
_CHUNK = 256


@dataclass(frozen=True)
class DistillReport:
    """The student's folder and id, and its comparison with its teacher on labelled rows.

    Attributes:
        texts: number of texts from which the student learned.
        origin: source of the labelled rows.
        comparison: differences in F1 with intervals, student minus teacher.
        agreeing: share of rows with equal label sets, in [0, 1].
        bytes_before, bytes_after: sizes of the two artefacts.
        speed_before, speed_after: sentences per second of the two models, measured on the labelled rows.
        notes: remarks on how the labelled file was read.
    """

    folder: Path
    model_id: str
    distilled_from: str
    kind: str
    texts: int
    origin: str
    comparison: Comparison
    agreeing: float
    bytes_before: int
    bytes_after: int
    speed_before: float
    speed_after: float
    notes: tuple[str, ...] = ()


def distill(
    artefact: str | Path,
    texts: str | Path | Sequence[str],
    out: str | Path,
    *,
    layers: int = 2,
    static: bool = False,
    epochs: int = 0,
    data: str | Path | None = None,
    store: str = "",
    seed: int = 13,
    overwrite: bool = False,
) -> DistillReport:
    """Train a small student of a model, save it to `out`, and compare both on labelled rows; the model is not changed.

    The student learns the model's calibrated probabilities and keeps its thresholds.

    Args:
        artefact: the folder of the model: its artefact, or its run.
        texts: a file or folder, `STORE` ("store") for the sentences of the label store, or a list of texts. Texts of
            the labelled rows are left out.
        layers: number of layers of the student; the first layers of the model's own encoder if it has trained one,
            otherwise of the bundled encoder.
        static: make a student of static token vectors instead, which has no layers.
        epochs: passes over the texts; 0 for the default: 4, or 20 if the student is static.
        data: labelled file for the comparison; None for the validation rows in the folder of the training run.
        store: path or URL of the label store, for `texts = "store"`.

    Raises:
        ArtefactError: the artefact cannot be opened.
        DataError: there are no labelled rows, they cannot be read, or `out` is occupied or overlaps with the artefact.
        ExperimentError: there are fewer than `FEWEST_TEXTS` texts, or the encoder has fewer layers.
    """
    folder, out, file = _artefact_folder(Path(artefact)), Path(out), Path(data) if data else None
    refuse_place(folder, out, file, overwrite=overwrite)
    teacher = Model.load(folder)
    rows, origin, read = check_rows(folder, teacher, file, 1, "a comparison needs labelled rows")
    learned = _learned_texts(texts, [row.text for row in rows], store)
    with output_folder(out, overwrite=overwrite) as draft:
        probabilities, _ = _ask(teacher, learned, "Asking the model")
        student = _student(teacher, layers=layers, static=static, epochs=epochs, seed=seed)
        assert isinstance(student, Student)
        student.learn(learned, probabilities, teacher.classifier)
        model = Model(teacher.codebook, student, thresholds_alone(teacher.calibration))
        before, speed_before = _ask(teacher, [row.text for row in rows], "Comparing")
        after, speed_after = _ask(model, [row.text for row in rows], "Comparing")
        comparison = compare_models(teacher, rows, before, after)
        kind = "static" if static else "finetune"
        agreeing = float((teacher.decide(before) == model.decide(after)).all(axis=1).mean())
        check = {"origin": origin, "agreeing": agreeing, "macro_f1": asdict(comparison.macro_f1)}
        manifest = save_artefact(
            draft, _manifest(teacher, model, kind, len(learned), seed, check), model.codebook, student
        )
    return DistillReport(
        folder=out,
        model_id=manifest.digest,
        distilled_from=teacher.id,
        kind=kind,
        texts=len(learned),
        origin=origin,
        comparison=comparison,
        agreeing=agreeing,
        bytes_before=folder_size(folder),
        bytes_after=folder_size(out),
        speed_before=speed_before,
        speed_after=speed_after,
        notes=read.notes if read else (),
    )


def compare_models(teacher: Model, rows: Sequence[Example], before: Probabilities, after: Probabilities) -> Comparison:
    """Compare the (n, labels) probabilities of a student with those of its teacher on n labelled rows."""
    # A large group is no reason to stop: nothing is divided, and the intervals only become wider.
    groups = group_examples(rows, allow_large=True)
    gold = label_matrix(rows, teacher.labels)
    return compare_predictions(teacher.labels, gold, teacher.decide(before), teacher.decide(after), groups)


def _artefact_folder(folder: Path) -> Path:
    """Return the artefact of a run folder, or the folder itself."""
    return folder / "artefact" if (folder / "artefact" / "manifest.json").is_file() else folder


def _learned_texts(given: str | Path | Sequence[str], held_out: Sequence[str], store: str) -> list[str]:
    if isinstance(given, str | Path):
        found = list(read_unlabelled(str(given), held_out, store=store, key="--texts"))
    else:
        refuse_lone_string(given, "texts")
        known = set(held_out)
        found = [text for text in dict.fromkeys(given) if text not in known]
    if len(found) < FEWEST_TEXTS:
        raise ExperimentError(
            f"{counted(len(found), 'text')} to learn from, but a student needs at least {FEWEST_TEXTS}, preferably "
            "thousands. Provide more texts."
        )
    return found


def _student(teacher: Model, *, layers: int, static: bool, epochs: int, seed: int) -> Classifier:
    """Return the unfitted student."""
    given = {"epochs": epochs} if epochs else {}
    if static:
        return build_classifier(StaticSection(kind="static", **given), teacher.codebook, seed)
    if layers < 1:
        raise DataError(f"layers = {layers}: choose at least 1, or static=True for a student without layers.")
    own = teacher.classifier
    length = own.max_length_ if isinstance(own, TransformerClassifier) else 128
    section = FinetuneSection(kind="finetune", keep_layers=layers, max_length=max(length, 8), **given)
    return build_classifier(section, teacher.codebook, seed)


def _ask(model: Model, texts: Sequence[str], stage: str) -> tuple[Probabilities, float]:
    """Return (n, labels) calibrated probabilities, and the number of texts per second."""
    model.predict_proba(texts[:1])  # warm up: loading is not part of the speed
    parts: list[Probabilities] = []
    start = time.perf_counter()
    with progress_stage(stage):
        for at in range(0, len(texts), _CHUNK):
            parts.append(model.predict_proba(texts[at : at + _CHUNK]))
            report_progress("sentences", min(at + _CHUNK, len(texts)), len(texts))
    return np.concatenate(parts), len(texts) / (time.perf_counter() - start)


def _manifest(teacher: Model, student: Model, kind: str, texts: int, seed: int, check: dict[str, object]) -> Manifest:
    """Return the manifest of a student; what describes only the teacher's answers (`profile`...) is left out."""
    assert teacher.manifest is not None
    own = {
        "kind": kind,
        "seed": seed,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "details": student.classifier.describe() | {"distilled_from": teacher.id, "texts": texts, "check": check},
        "calibration": student.calibration,
        "packages": package_versions(),
        **dict.fromkeys(("profile", "abstention", "screening")),
    }
    return teacher.manifest.model_copy(update=own)
