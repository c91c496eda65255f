"""What the pages of a run are made from: its report, its predictions on test, its model's manifest and its codebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import ArtefactError, DataError
from labels.text.examples import ReadingOptions
from trainer.classifiers.base import label_matrix
from trainer.data.dataset import hash_test
from trainer.data.predicted import Predicted
from trainer.data.splits import group_examples
from trainer.evaluation.report import Outcome, Report
from trainer.model.model import CODEBOOK, Manifest, Model, read_manifest
from trainer.runs.choice.sides import Side, folder_of, read_side
from trainer.runs.evaluate import evaluate_file
from trainer.runs.tracking.looks import note_look
from trainer.runs.tracking.outputs import names_logged
from trainer.runs.tracking.registration import find_challenger
from trainer.runs.tracking.registry import fetch_artefact
from trainer.runs.tracking.tracker import ARTEFACT


@dataclass(frozen=True)
class Contents:
    """The contents of the pages.

    Attributes:
        name: the reference by which the run or model was found.
        data: the predictions on the sentences of the report: its test part.
        outcome: the same as arrays.
        test_hash: 16 hex digits of the texts and gold labels of these sentences.
        manifest, codebook: of the model; None if only an evaluation was named, which holds no model.
    """

    name: str
    report: Report
    data: Predicted
    outcome: Outcome
    test_hash: str
    manifest: Manifest | None
    codebook: Codebook | None


def read_contents(reference: str, data: Path | None = None, options: ReadingOptions | None = None) -> Contents:
    """Read what the pages are made from.

    Args:
        reference: the folder of a run, evaluation or artefact, the id of an MLflow run, or an MLflow URI.
        data: a labelled file on which the model is evaluated; None for the predictions of its run.

    Raises:
        InputError: a file is missing or damaged; or a model without a run is named without `data`.
        TrackingError: MLflow cannot be reached.
    """
    if data is not None:
        return _with_look(_evaluated(reference, data, options or ReadingOptions()))
    _refuse_lone_artefact(Path(reference))
    side = read_side(reference)
    artefact = _artefact(reference)
    return _with_look(_contents(side, read_manifest(artefact) if artefact else None, artefact))


def _with_look(contents: Contents) -> Contents:
    """Count this look at the test sentences in MLflow, if there is a store, and add the number to the report."""
    if contents.report.basis != "test":
        return contents
    looks = note_look(contents.test_hash, "report", [contents.name])
    known = {} if looks is None else {"test_looks": looks}
    return replace(contents, report=contents.report.extended(test_hash=contents.test_hash, **known))


def _refuse_lone_artefact(path: Path) -> None:
    alone = (path / "manifest.json").is_file() and not (path / "report.json").is_file()
    if alone and not (path.name == ARTEFACT and (path.parent / "report.json").is_file()):
        raise DataError(
            f"{path}: this model has no predictions beside it, so there are no figures. Name the folder of its "
            f"run, or evaluate it on labelled rows with `communique evaluate {path} FILE --out DIR` and name DIR."
        )


def _artefact(reference: str) -> Path | None:
    """Return the folder of the model of a run; None for an evaluation, which has none."""
    path = Path(reference)
    if names_logged(reference) and not path.exists():
        try:
            return fetch_artefact(find_challenger(reference).model_uri)
        except ArtefactError:  # its report is still worth reading
            return None
    folder = folder_of(path) / ARTEFACT
    return folder if (folder / "manifest.json").is_file() else None


def _evaluated(reference: str, data: Path, options: ReadingOptions) -> Contents:
    artefact = fetch_artefact(reference)
    model = Model.load(artefact)
    with _scratch() as folder:
        evaluate_file(model, artefact, data, folder, options, track=False)
        side = read_side(str(folder))
    return _contents(Side(reference, side.report, side.parts), model.manifest, artefact)


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "evaluation"


def _contents(side: Side, manifest: Manifest | None, artefact: Path | None) -> Contents:
    report, data = side.report, side.part(side.report.basis)
    if not data.examples:
        raise DataError(f"{side.name}: its {report.basis} part has no sentences. Give labelled rows with --data FILE.")
    if manifest and report.model_id and report.model_id != manifest.digest:
        raise DataError(
            f"{side.name}: key `model_id` of report.json is '{report.model_id}', but the model beside it is "
            f"'{manifest.digest}'. The report belongs to another model: restore the folder, or evaluate the model "
            "again."
        )
    thresholds = [report.per_label[label].threshold for label in report.labels]
    outcome = Outcome(
        labels=tuple(report.labels),
        exclusive=report.exclusive,
        gold=label_matrix(data.examples, report.labels),
        predicted=data.predicted,
        probabilities=data.probabilities.astype(np.float64),
        groups=group_examples(data.examples, allow_large=True),
        thresholds=np.array([np.nan if own is None else own for own in thresholds]),
    )
    codebook = load_codebook(artefact / CODEBOOK) if artefact else None
    return Contents(side.name, report, data, outcome, hash_test(data.examples), manifest, codebook)
