"""Export: an artefact that runs on onnxruntime, made from one that runs on torch and compared with it on labelled rows.

What can be exported is decided by the classifiers (`Exportable`: `transformer`, `cascade`); `trainer.classifiers.onnx`
writes and runs the graph.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from labels.errors import ArtefactError, DataError
from labels.files import output_folder, refuse_occupied
from labels.progress import report_progress
from labels.records import Example
from labels.text.examples import read_examples
from trainer.calibration.calibration import Bools, Calibration, Probabilities, with_none
from trainer.classifiers.base import CLASSES, Exportable, classifier_class, label_matrix
from trainer.data.dataset import read_gold
from trainer.model.model import Manifest, Model, folder_size, read_manifest, save_artefact

TOLERANCE = 1e-3
"""Largest difference between calibrated probabilities that is accepted in float32."""
FEWEST_ROWS, LEAST_AGREEING, MOST_LOST = 500, 0.99, 0.02
"""What int8 must reach: on at least so many rows, this share of equal label sets, and no larger loss of recall."""

_CHUNK = 256


@dataclass(frozen=True)
class Recall:
    """A label's recall against gold before and after the export; None where no gold row has the label."""

    positives: int
    before: float | None
    after: float | None

    @property
    def too_low(self) -> bool:
        """Whether the export lost more than `MOST_LOST`; a loss of exactly that is accepted."""
        return self.before is not None and self.after is not None and self.before - self.after > MOST_LOST + 1e-9


@dataclass(frozen=True)
class Agreement:
    """How far an exported model agrees, on labelled rows, with the model it was made from.

    Attributes:
        origin: where the rows come from.
        agreeing: share of rows with equal label sets, 0 to 1.
        apart: rows whose label sets differ although no probability was within `TOLERANCE` of a decision boundary.
        largest_difference: between two calibrated probabilities of the same label and row.
        recalls: by label.
    """

    origin: str
    rows: int
    agreeing: float
    apart: int
    largest_difference: float
    recalls: dict[str, Recall]

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Labels without a gold row."""
        return tuple(label for label, recall in self.recalls.items() if not recall.positives)


@dataclass(frozen=True)
class ExportReport:
    """The exported artefact's folder and id, and how it compares with the artefact it was made from.

    Sizes are bytes of the whole artefact; speeds are sentences a second over the check rows.
    """

    folder: Path
    model_id: str
    exported_from: str
    precision: str
    agreement: Agreement
    bytes_before: int
    bytes_after: int
    speed_before: float
    speed_after: float


def export_artefact(
    source: Path, out: Path, *, int8: bool = False, data: Path | None = None, overwrite: bool = False
) -> ExportReport:
    """Write the artefact in `source` to `out` as one that runs on onnxruntime; `source` is not changed.

    The export is kept only if it agrees on the check rows. In float32, every calibrated probability must be within
    `TOLERANCE`, and label sets may differ only where that difference decides. In int8, `LEAST_AGREEING` of the label
    sets must be equal, and no label may lose more recall than `MOST_LOST`.

    Args:
        int8: use 8-bit weights: smaller and faster, but less exact. Needs `FEWEST_ROWS` check rows. A cascade cannot
            be exported in int8, because it is certified in float32.
        data: a labelled file of check rows; None takes the validation rows that the run left beside the artefact.

    Raises:
        ArtefactError: the kind cannot be exported in this precision, the artefact is an export already, the export
            disagrees (the message has the figures), or onnxruntime is not installed.
        DataError: there are too few check rows, they cannot be read, or none of them reaches the exported part; or
            `out` is occupied or overlaps with `source`.
    """
    _refuse_place(source, out, data, overwrite=overwrite)
    classifier, model = _open(source, int8=int8)
    examples, origin = _check_rows(source, model, data, FEWEST_ROWS if int8 else 1)
    texts = [example.text for example in examples]
    if not classifier.read_by_exported(texts).any():
        raise DataError(
            f"{source}: none of the {len(examples)} check rows ({origin}) reaches the part to be exported, so that it "
            "cannot be checked. With --data, give a labelled file of harder sentences."
        )
    precision = "int8" if int8 else "float32"
    with tempfile.TemporaryDirectory(prefix="communique-") as work, output_folder(out, overwrite=overwrite) as draft:
        # First into a temporary folder: `out` appears only once the check has passed.
        report_progress("Writing the graph", 0, 1)
        classifier.save_exported(Path(work), int8=int8)
        exported = replace(model, classifier=type(model.classifier).load(Path(work), model.codebook), manifest=None)
        before, speed_before = _ask(model, texts, 0)
        after, speed_after = _ask(exported, texts, len(texts))
        agreement = compare(before, after, label_matrix(examples, model.labels), model, origin)
        if refusal := why_refused(agreement, precision):
            raise ArtefactError(f"{source}: {refusal}")
        manifest = _write(draft, model, exported, precision, agreement)
    return ExportReport(
        folder=out,
        model_id=manifest.digest,
        exported_from=model.id,
        precision=precision,
        agreement=agreement,
        bytes_before=folder_size(source),
        bytes_after=folder_size(out),
        speed_before=speed_before,
        speed_after=speed_after,
    )


def compare(before: Probabilities, after: Probabilities, gold: Bools, model: Model, origin: str) -> Agreement:
    """Compare (n, labels) calibrated probabilities of two models with each other and with gold."""
    old, new = model.decide(before), model.decide(after)
    other = (old != new).any(axis=1)
    return Agreement(
        origin=origin,
        rows=len(gold),
        agreeing=float(1 - other.mean()),
        apart=int((other & ~_undecided(before, old != new, model.calibration)).sum()),
        largest_difference=float(np.abs(before - after).max()),
        recalls={
            label: _recall(gold[:, column], old[:, column], new[:, column]) for column, label in enumerate(model.labels)
        },
    )


def _undecided(probabilities: Probabilities, differing: Bools, calibration: Calibration) -> Bools:
    """(n,) whether every label that differs, or the two likeliest classes, are so close that `TOLERANCE` decides."""
    if not calibration.exclusive:
        near = np.abs(probabilities - calibration.thresholds) <= TOLERANCE
        return np.asarray((near | ~differing).all(axis=1))
    # With one label at most, sets differ where the two likeliest classes change places: each may move by `TOLERANCE`.
    classes = with_none(probabilities.astype(np.float64), calibration.none is not None)
    ranked = np.sort(classes, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2] <= 2 * TOLERANCE)


def _recall(gold: Bools, old: Bools, new: Bools) -> Recall:
    positives = int(gold.sum())
    if not positives:
        return Recall(0, None, None)
    return Recall(positives, float((gold & old).sum() / positives), float((gold & new).sum() / positives))


def _refuse_place(source: Path, out: Path, data: Path | None, *, overwrite: bool) -> None:
    refuse_occupied(out, overwrite=overwrite, reads=[data] if data else ())
    old, new = source.resolve(), out.resolve()
    if old.is_relative_to(new) or new.is_relative_to(old):
        raise DataError(f"{out}: this place holds the artefact to be exported. Choose another with --out.")


def _open(source: Path, *, int8: bool) -> tuple[Exportable, Model]:
    """The artefact's classifier and model, if it can be exported in this precision."""
    kind = read_manifest(source).kind
    if not issubclass(classifier_class(kind), Exportable):
        able = [name for name in CLASSES if issubclass(classifier_class(name), Exportable)]
        raise ArtefactError(
            f"{source}: a model of kind {kind} cannot be exported, because it has no encoder of its own. "
            f"Train one of {', '.join(able)}, or use this model as it is."
        )
    model = Model.load(source)
    classifier = model.classifier
    assert isinstance(classifier, Exportable)
    if classifier.is_exported():
        origin = model.manifest.details.get("exported_from", "unknown") if model.manifest else "unknown"
        raise ArtefactError(
            f"{source}: this model is an export already. Give the artefact it was made from (id {origin})."
        )
    if why := classifier.why_not_exported(int8=int8):
        raise ArtefactError(f"{source}: {why}")
    return classifier, model


def _check_rows(source: Path, model: Model, data: Path | None, fewest: int) -> tuple[list[Example], str]:
    """The labelled rows to check on, and where they come from."""
    if data is None:
        examples, origin = _validation_rows(source.resolve().parent, model.id), "the run's validation rows"
        place, what = source, "validation rows of a run beside it"
    else:
        examples, origin = read_examples(data, model.codebook), data.name
        place, what = data, "labelled rows"
    if len(examples) < fewest:
        wanted = f"int8 needs at least {fewest} to be checked on" if fewest > 1 else "an export must be checked"
        raise DataError(
            f"{place}: {len(examples)} {what}, but {wanted}. "
            "With --data, give a labelled file that the model was not trained on."
        )
    return examples, origin


def _validation_rows(run: Path, model_id: str) -> list[Example]:
    """The validation rows that a run left in its folder; none where it made another model, or has no report."""
    try:
        reported = json.loads((run / "report.json").read_text(encoding="utf-8"))["model_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    predictions = run / "predictions.parquet"
    return read_gold(predictions, "validation") if reported == model_id and predictions.is_file() else []


def _ask(model: Model, texts: Sequence[str], asked: int) -> tuple[Probabilities, float]:
    """(n, labels) calibrated probabilities, and texts per second; `asked` texts went to the other model before."""
    model.predict_proba(texts[:1])  # the first call also loads and warms up, which is not part of the speed
    parts: list[Probabilities] = []
    seconds = 0.0
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        began = time.perf_counter()
        parts.append(model.predict_proba(chunk))
        seconds += time.perf_counter() - began
        report_progress("Checking", asked + start + len(chunk), 2 * len(texts))
    return np.concatenate(parts), len(texts) / seconds


def why_refused(agreement: Agreement, precision: str) -> str:
    """Why an export with this agreement is refused, with the figures; empty where it is accepted."""
    if precision == "float32":
        same = agreement.largest_difference <= TOLERANCE and not agreement.apart
        wanted = f"Probabilities may differ by {TOLERANCE:g}, and label sets only where that decides"
        repair = "This encoder cannot be exported as it is."
    else:
        same = agreement.agreeing >= LEAST_AGREEING and not any(recall.too_low for recall in agreement.recalls.values())
        wanted = f"{LEAST_AGREEING:.0%} must agree, and no recall may fall by more than {100 * MOST_LOST:g} points"
        repair = "Export it in float32, without --int8."
    return "" if same else f"{precision} is refused: {_figures(agreement)} {wanted}. Nothing was written. {repair}"


def _figures(agreement: Agreement) -> str:
    recalls = ", ".join(
        f"{label} {recall.before:.3f} -> {recall.after:.3f}" + (" (too low)" if recall.too_low else "")
        for label, recall in agreement.recalls.items()
        if recall.before is not None and recall.after is not None
    )
    return (
        f"on {agreement.rows} rows ({agreement.origin}) {agreement.agreeing:.2%} of the label sets agree, and "
        f"probabilities differ by up to {agreement.largest_difference:.2g}; recall before and after: "
        f"{recalls or 'unknown, as no row has a gold label'}."
    )


def _write(draft: Path, model: Model, exported: Model, precision: str, agreement: Agreement) -> Manifest:
    import onnxruntime

    assert model.manifest is not None
    export = {"engine": "onnxruntime", "precision": precision, "exported_from": model.id, "check": asdict(agreement)}
    details = model.manifest.details | export
    packages = model.manifest.packages | {"onnxruntime": onnxruntime.__version__}
    manifest = model.manifest.model_copy(update={"details": details, "packages": packages})
    return save_artefact(draft, manifest, model.codebook, exported.classifier)
