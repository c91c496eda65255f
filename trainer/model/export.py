"""Export an artefact to onnxruntime, and compare it with the original on labelled rows.

Classifiers that implement `Exportable` can be exported (see `transformer` and `cascade`). `trainer.classifiers.onnx`
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

from labels.environment.progress import report_progress
from labels.errors import ArtefactError, DataError, counted
from labels.output.folders import output_folder, refuse_occupied
from labels.records import Example
from labels.text.examples import LabelledFiles, read_labelled
from labels.text.labelled.label_values import LabelValue
from trainer.calibration.calibration import Bools, Calibration, Probabilities, with_none
from trainer.classifiers.base import CLASSES, Exportable, classifier_class, label_matrix
from trainer.data.predicted import read_gold
from trainer.model.model import Manifest, Model, folder_size, read_manifest, save_artefact
from trainer.model.starter import shown_place

TOLERANCE = 1e-3
"""Largest accepted difference between calibrated probabilities in float32."""
FEWEST_ROWS, LEAST_AGREEING, MOST_LOST = 500, 0.99, 0.02
"""Requirements for int8: minimum check rows, minimum share of equal label sets, maximum loss of recall."""

_CHUNK = 256


@dataclass(frozen=True)
class Recall:
    """A label's recall against gold before and after the export; None if no gold row has the label."""

    positives: int
    before: float | None
    after: float | None

    @property
    def too_low(self) -> bool:
        """Whether recall fell by more than `MOST_LOST`; a loss of exactly `MOST_LOST` is accepted."""
        # 1e-9: in floating point, 0.90 - 0.88 is slightly more than 0.02.
        return self.before is not None and self.after is not None and self.before - self.after > MOST_LOST + 1e-9


@dataclass(frozen=True)
class Agreement:
    """The agreement of an exported model with the original on labelled rows.

    Attributes:
        origin: the source of the rows.
        agreeing: share of rows with equal label sets, in [0, 1].
        apart: number of rows whose label sets differ although no probability is close enough to its threshold for a
            difference of `TOLERANCE` to matter.
        largest_difference: largest difference between two calibrated probabilities of the same label and row.
        recalls: label -> recall before and after the export.
    """

    origin: str
    rows: int
    agreeing: float
    apart: int
    largest_difference: float
    recalls: dict[str, Recall]

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The labels without positive gold rows, whose recall is unknown."""
        return tuple(label for label, recall in self.recalls.items() if not recall.positives)


@dataclass(frozen=True)
class ExportReport:
    """The exported artefact's folder and id, and a comparison with the original artefact.

    Sizes are in bytes and include the whole artefact; speeds are in sentences per second, measured on the check rows.
    `label_values` are values in the labelled file that differ from the names of their labels; `notes` are remarks on
    how the file was read.
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
    label_values: tuple[LabelValue, ...] = ()
    notes: tuple[str, ...] = ()


def export_artefact(
    source: Path, out: Path, *, int8: bool = False, data: Path | None = None, overwrite: bool = False
) -> ExportReport:
    """Export the artefact in `source` to `out`, to run on onnxruntime; `source` is not changed.

    The export is kept only if it agrees with the original on the check rows. In float32, every calibrated probability
    must be within `TOLERANCE` of the original, and label sets may differ only if such a difference changes the
    decision. In int8, a share of at least `LEAST_AGREEING` of the label sets must be the same, and no label may lose
    more recall than `MOST_LOST`.

    Args:
        int8: use 8-bit weights, which are smaller and faster but less exact. Needs `FEWEST_ROWS` check rows. A cascade
            cannot be exported in int8, because it is certified in float32.
        data: labelled file of check rows; None uses the validation rows in the folder of the training run.

    Raises:
        ArtefactError: the kind cannot be exported in this precision, the artefact is already an export, the export
            disagrees (the message contains the figures), or onnxruntime is not installed.
        DataError: the check rows are too few, cannot be read, or are never passed on to the exported part; or `out`
            is occupied or overlaps with `source`.
    """
    refuse_place(source, out, data, overwrite=overwrite)
    classifier, model = _open(source, int8=int8)
    fewest = FEWEST_ROWS if int8 else 1
    wanted = f"int8 needs at least {fewest} check rows" if int8 else "an export needs check rows"
    examples, origin, read = check_rows(source, model, data, fewest, wanted)
    texts = _check_texts(source, classifier, examples, origin)
    precision = "int8" if int8 else "float32"
    with tempfile.TemporaryDirectory(prefix="communique-") as work, output_folder(out, overwrite=overwrite) as draft:
        # Save to a temporary folder first: `out` is created only after the check has passed.
        report_progress("Writing the graph", 0, 1)
        classifier.save_exported(Path(work), int8=int8)
        # Load the export from the written files, because these files will be used later.
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
        label_values=read.values if read else (),
        notes=read.notes if read else (),
    )


def compare(before: Probabilities, after: Probabilities, gold: Bools, model: Model, origin: str) -> Agreement:
    """Compare the calibrated probabilities of two models, each of shape (n, labels), with each other and with gold."""
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
    """Return an array (n,) that is true for rows whose label sets differences up to `TOLERANCE` could change."""
    if not calibration.exclusive:
        near = np.abs(probabilities - calibration.thresholds) <= TOLERANCE
        return np.asarray((near | ~differing).all(axis=1))
    # In an exclusive codebook, two classes may change places, and the probability of each may move by `TOLERANCE`.
    classes = with_none(probabilities.astype(np.float64), calibration.none is not None)
    ranked = np.sort(classes, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2] <= 2 * TOLERANCE)


def _recall(gold: Bools, old: Bools, new: Bools) -> Recall:
    positives = int(gold.sum())
    if not positives:
        return Recall(0, None, None)
    return Recall(positives, float((gold & old).sum() / positives), float((gold & new).sum() / positives))


def refuse_place(source: Path, out: Path, data: Path | None, *, overwrite: bool) -> None:
    """Raise DataError if `out` is occupied, holds `data`, or overlaps with the artefact in `source`."""
    refuse_occupied(out, overwrite=overwrite, reads=[data] if data else ())
    # An export inside its source would change the source; replacing a parent folder would delete the source.
    old, new = source.resolve(), out.resolve()
    if old.is_relative_to(new) or new.is_relative_to(old):
        raise DataError(f"{out}: this folder overlaps with the artefact. Choose another folder with --out.")


def _open(source: Path, *, int8: bool) -> tuple[Exportable, Model]:
    """Open the artefact and return its classifier and model, if they can be exported in this precision."""
    kind = read_manifest(source).kind
    if not issubclass(classifier_class(kind), Exportable):
        able = [name for name in CLASSES if issubclass(classifier_class(name), Exportable)]
        raise ArtefactError(
            f"{source}: a model of kind {kind} cannot be exported, because it does not train an encoder. "
            f"Train a model of kind {', '.join(able)}, or use this model without exporting it."
        )
    model = Model.load(source)
    classifier = model.classifier
    assert isinstance(classifier, Exportable)
    if classifier.is_exported():
        origin = model.manifest.details.get("exported_from", "unknown") if model.manifest else "unknown"
        raise ArtefactError(f"{source}: this model is already an export. Pass the original artefact (id {origin}).")
    if why := classifier.why_not_exported(int8=int8):
        raise ArtefactError(f"{source}: {why}")
    return classifier, model


def check_rows(
    source: Path, model: Model, data: Path | None, fewest: int, wanted: str
) -> tuple[list[Example], str, LabelledFiles | None]:
    """Return the labelled check rows, a description of their source, and the file that was read, if any.

    Args:
        source: the artefact; its run folder contains the validation rows.
        data: labelled file; None for the validation rows.
        fewest: minimum number of rows; `wanted` says what they are needed for.

    Raises:
        DataError: there are fewer rows, or the file cannot be read.
    """
    read = None
    if data is None:
        examples, origin = _validation_rows(source.resolve().parent, model.id), "the run's validation rows"
        place, what = shown_place(source), ("validation row in its run folder", "validation rows in its run folder")
    else:
        read = read_labelled([(data, "")], model.codebook)
        examples, origin = read.examples[0], data.name
        place, what = str(data), ("labelled row", "labelled rows")
    if len(examples) < fewest:
        raise DataError(
            f"{place}: {counted(len(examples), *what)}, but {wanted}. "
            "With --data, pass a labelled file that was not used for training."
        )
    return examples, origin, read


def _check_texts(source: Path, classifier: Exportable, examples: Sequence[Example], origin: str) -> list[str]:
    """Return the texts of the check rows, at least one of which must reach the part to be exported."""
    texts = [example.text for example in examples]
    if not classifier.read_by_exported(texts).any():
        raise DataError(
            f"{source}: none of the {len(examples)} check rows ({origin}) reaches the part to be exported, so the "
            "export cannot be checked. Pass a labelled file of harder sentences with --data."
        )
    return texts


def _validation_rows(run: Path, model_id: str) -> list[Example]:
    """Return the validation rows in the folder of a run; empty if it has no report or trained another model."""
    try:
        reported = json.loads((run / "report.json").read_text(encoding="utf-8"))["model_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    # Compare the id, because the run in this folder may have been repeated since the artefact was copied here.
    predictions = run / "predictions.parquet"
    if reported != model_id or not predictions.is_file():
        return []
    # A cross-validation has no validation part.
    return read_gold(predictions, "validation") or read_gold(predictions, "out-of-fold")


def _ask(model: Model, texts: Sequence[str], asked: int) -> tuple[Probabilities, float]:
    """Return (n, labels) calibrated probabilities and the number of texts per second.

    Args:
        asked: the number of texts that the other model has already processed, for the progress report.
    """
    model.predict_proba(texts[:1])  # warm up: loading is not part of the speed
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
    """Return why an export with this agreement is refused, with the figures; empty if it is accepted."""
    if precision == "float32":
        same = agreement.largest_difference <= TOLERANCE and not agreement.apart
        wanted = (
            f"Probabilities may differ by at most {TOLERANCE:g}, and label sets only if such a difference changes "
            "the decision"
        )
        repair = "Use the model without exporting it."
    else:
        same = agreement.agreeing >= LEAST_AGREEING and not any(recall.too_low for recall in agreement.recalls.values())
        wanted = f"{LEAST_AGREEING:.0%} must agree, and no recall may fall by more than {100 * MOST_LOST:g} points"
        repair = "Export the model in float32, without --int8."
    return "" if same else f"{precision} is refused: {_figures(agreement)} {wanted}. Nothing was written. {repair}"


def _figures(agreement: Agreement) -> str:
    recalls = ", ".join(
        f"{label} {recall.before:.3f} -> {recall.after:.3f}" + (" (too low)" if recall.too_low else "")
        for label, recall in agreement.recalls.items()
        if recall.before is not None and recall.after is not None
    )
    return (
        f"on {counted(agreement.rows, 'row')} ({agreement.origin}), {agreement.agreeing:.2%} of the label "
        "sets agree, and "
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
