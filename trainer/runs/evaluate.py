"""Evaluation of a model on labelled examples: predictions, the report, and the files that hold them.

The examples are the test part of a run or, for a saved model, the rows of any labelled file.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from labels.errors import DataError
from labels.output.folders import output_folder, refuse_occupied
from labels.records import Example
from labels.text.examples import LabelledFiles, ReadingOptions, read_labelled
from trainer.calibration.calibration import Bools, Floats
from trainer.classifiers.base import label_matrix
from trainer.config.sections import EvaluationSection
from trainer.data.coder_agreement import file_agreement, store_agreement
from trainer.data.dataset import hash_examples, hash_test
from trainer.data.leakage import is_starter, starter_examples
from trainer.data.predicted import Predicted, write_predictions
from trainer.data.splits import Split, group_examples
from trainer.evaluation.failures.behaviour import SHIPPED, CheckResults, read_checks, run_checks, shipped_checks
from trainer.evaluation.failures.mistakes import Mistake, find_mistakes
from trainer.evaluation.failures.slices import SliceSettings, describe_examples, slice_figures
from trainer.evaluation.figures import CodebookReference, SliceFigures
from trainer.evaluation.intervals import Interval
from trainer.evaluation.metrics import count, defined
from trainer.evaluation.plots import attempt_plots, draw_plots
from trainer.evaluation.report import Outcome, Report, build_report
from trainer.model.model import Manifest, Model, folder_size
from trainer.model.seen import seen_note
from trainer.runs.corpus_prevalence import Prevalence, check_settings, prevalence_figures
from trainer.runs.tracking.connection import check_server, connect
from trainer.runs.tracking.looks import TEST_TAG, count_looks
from trainer.runs.tracking.record import UNTRACKED, Record, Tracked, new_record
from trainer.runs.tracking.registry import fetch_artefact
from trainer.runs.tracking.track import track_finished


def evaluate_model(
    model: Model, examples: Sequence[Example], settings: EvaluationSection, seed: int
) -> tuple[Outcome, Report]:
    """Evaluate a model on labelled examples; returns the outcome, and the report with the prediction speed."""
    # Only the prediction is timed: the speed on the leaderboard must not depend on the size of the report.
    start = time.perf_counter()
    predictions = predict_examples(model, examples)
    seconds = time.perf_counter() - start
    outcome = outcome_of(model, predictions)
    report = report_on(model, outcome, examples, settings, seed)
    return outcome, report.extended(sentences_per_second=len(examples) / seconds)


def outcome_of(model: Model, predictions: Predicted) -> Outcome:
    """Return predictions as arrays, with the thresholds of a model."""
    return Outcome(
        labels=model.labels,
        exclusive=model.codebook.exclusive,
        gold=label_matrix(predictions.examples, model.labels),
        predicted=predictions.predicted,
        # The metrics clip probabilities to 1 - 1e-6, which float32 cannot represent exactly.
        probabilities=predictions.probabilities.astype(np.float64),
        # A large group is no reason to stop: an evaluation divides nothing, and the intervals only become wider.
        groups=group_examples(predictions.examples, allow_large=True),
        thresholds=model.calibration.thresholds,
    )


def report_on(
    model: Model, outcome: Outcome, examples: Sequence[Example], settings: EvaluationSection, seed: int
) -> Report:
    """Compute the report of an outcome, with slices, and at the prevalence of the corpus if the settings name one."""
    report = build_report(outcome, confidence=settings.confidence, min_groups=settings.min_groups)
    prevalence = prevalence_figures(model, outcome, settings, seed)
    found = {"prevalence": prevalence.model_dump(mode="json")} if prevalence else {}
    return report.extended(slices=outcome_slices(outcome, examples, settings), **found)


def outcome_slices(outcome: Outcome, examples: Sequence[Example], settings: EvaluationSection) -> list[SliceFigures]:
    """Return the figures of an outcome on slices of its examples."""
    how = SliceSettings(settings.confidence, settings.min_groups)
    return slice_figures(outcome.gold, outcome.predicted, outcome.groups, describe_examples(examples), how)


def predict_examples(model: Model, examples: Sequence[Example]) -> Predicted:
    """Run a model on labelled examples."""
    probabilities = model.predict_proba([example.text for example in examples])
    return Predicted(examples, model.decide(probabilities), probabilities)


def macro_f1(labels: Sequence[str], predictions: Predicted) -> float | None:
    """Return the macro-F1 of predictions; None if undefined. The champion has the best macro-F1 on validation."""
    return defined(count(label_matrix(predictions.examples, labels), predictions.predicted).macro_f1)


def check_model(model: Model, file: Path | None = None) -> CheckResults:
    """Run behavioural checks on a model.

    Args:
        file: a TOML file of checks; None or `SHIPPED_NAME` for those that are shipped for the model's codebook.

    Raises:
        DataError: the file is not valid, or none is shipped for the codebook.
    """
    shipped = file is None or str(file) == SHIPPED_NAME
    path = shipped_checks(model.codebook.name) if shipped else file
    if path is None:
        raise DataError(
            f"no behavioural checks are shipped for the codebook '{model.codebook.name}'. Name a TOML file of checks; "
            f"{SHIPPED / 'diplomatic-statements.toml'} is an example."
        )

    def predict(texts: Sequence[str]) -> tuple[Floats, Bools]:
        probabilities = model.predict_proba(texts)
        return probabilities.astype(np.float64), model.decide(probabilities)

    checks = read_checks(path, model.labels)
    if shipped:
        checks = replace(checks, source=f"the checks shipped for {model.codebook.name}")
    return run_checks(checks, model.labels, predict)


def write_report(folder: Path, outcome: Outcome, report: Report, parts: Mapping[str, Predicted]) -> Report:
    """Write `report.json`, `predictions.parquet` with these parts, and `plots/` of the outcome into a new folder.

    Returns:
        The report as written, with a note if the plots could not be drawn.
    """
    (folder / "plots").mkdir()
    notes = attempt_plots(lambda: draw_plots(outcome, report, folder / "plots"))
    report = report.extended(notes=[*report.notes, *notes])
    (folder / "report.json").write_text(report.to_text(), encoding="utf-8")
    write_predictions(folder / "predictions.parquet", outcome.labels, parts)
    return report


SHIPPED_NAME = "shipped"
"""The name of the checks that are shipped for a codebook, in place of a file."""
EXPERIMENT = "communique-evaluations"
"""The MLflow experiment of evaluations, separate from training runs, so that leaderboards rank only runs."""


@dataclass(frozen=True)
class Evaluation:
    """A report, the folder with the report, predictions and plots (None if nothing was written), and MLflow's run.

    `mistakes` are all sentences with a wrong label set, the most confident first.
    """

    report: Report
    folder: Path | None
    tracked: Tracked = UNTRACKED
    mistakes: tuple[Mistake, ...] = ()


def evaluate_file(
    model: Model,
    artefact: Path,
    data: Path,
    out: Path | None,
    options: ReadingOptions | None = None,
    *,
    prevalence: Prevalence = "",
    checks: Path | None = None,
    store: str = "",
    overwrite: bool = False,
    track: bool = True,
) -> Evaluation:
    """Evaluate a model on a labelled file; unless `out` is None, write the report and plots to it.

    Rows on which nobody decided are left out, and counted in the report's notes. `prevalence` is as in
    `evaluation.prevalence`. With a file of behavioural `checks`, the report has their failure rates, too. It has the
    agreement of the coders in the label `store`, or of those whose decisions the file records.

    Raises:
        DataError: a file cannot be read, or has labels that the model's codebook lacks.
        ExperimentError: the prevalence is not valid.
        TrackingError: MLflow cannot be reached. Later errors of MLflow are returned, because the report is finished.
    """
    if out is not None:
        refuse_occupied(out, overwrite=overwrite, reads=(artefact, data))
    check_settings(prevalence, model.codebook)
    checked = {"checks": check_model(model, checks).figures.to_dict()} if checks else {}
    if track:
        check_server()
    labelled = read_labelled([(data, "test")], model.codebook, options or ReadingOptions())
    examples = labelled.examples[0]
    assert model.manifest is not None
    if track:
        connect()
    outcome, report = evaluate_model(model, examples, EvaluationSection(prevalence=prevalence), model.manifest.seed)
    notes = [*labelled.notes, *seen_note(model.manifest, artefact, examples)]
    report = _with_context(report, model, artefact, data, labelled).extended(notes=notes, **checked)
    coders = store_agreement(store, model.codebook) if store else file_agreement(data, model.codebook)
    if coders:
        report = report.extended(agreement={label: own.model_dump() for label, own in coders.items()})
    if track and (looks := count_looks(report.test_hash)) is not None:
        report = report.extended(test_looks=looks + 1)
    record, mistakes = _record(report, data, examples), tuple(find_mistakes(outcome, examples))
    if out is None:
        return Evaluation(report, None, _track_report(record, report) if track else UNTRACKED, mistakes)
    with output_folder(out, overwrite=overwrite) as draft:
        predicted = Predicted(examples, outcome.predicted, outcome.probabilities)
        report = write_report(draft, outcome, report, {"test": predicted})
        record.save(draft)
    return Evaluation(report, out, track_finished(out, record) if track else UNTRACKED, mistakes)


def _track_report(record: Record, report: Report) -> Tracked:
    with TemporaryDirectory() as folder:
        (Path(folder) / "report.json").write_text(report.to_text(), encoding="utf-8")
        return track_finished(Path(folder), record)


def _record(report: Report, data: Path, examples: Sequence[Example]) -> Record:
    book = report.codebook
    tags = {
        TEST_TAG: report.test_hash,
        "model.id": report.model_id,
        **({"codebook.version": book.version, "codebook.hash": book.hash} if book else {}),
    }
    params = {"model": {"kind": report.kind}, "data": str(data)}
    test = {"parts": {"test": len(examples)}, "digests": {"test": hash_examples(examples)}, "source": str(data)}
    return new_record("evaluate", EXPERIMENT, f"{report.kind} on {data.name}", params, tags, **test)


def _with_context(report: Report, model: Model, artefact: Path, data: Path, labelled: LabelledFiles) -> Report:
    """Return the report with the model, codebook and data that its figures refer to."""
    manifest = model.manifest
    assert manifest is not None
    return report.extended(
        kind=manifest.kind,
        codebook=codebook_reference(manifest),
        data=str(data),
        synthetic=manifest.synthetic,
        model_id=manifest.digest,
        artefact_bytes=folder_size(artefact),
        train_seconds=manifest.details.get("train_seconds"),
        test_hash=hash_test(labelled.examples[0]),
        label_values=[asdict(value) for value in labelled.values],
    )


def codebook_reference(manifest: Manifest) -> CodebookReference:
    """Return the reference, for a report, to the codebook that an artefact was trained with."""
    return CodebookReference(
        name=manifest.codebook_name, version=manifest.codebook_version, hash=manifest.codebook_hash
    )


def calibration_shortfalls(model: Model) -> tuple[dict[str, str], list[str]]:
    """Return the reason for each label that is not calibrated, and notes on labels calibrated by another method.

    There is one note per reason to calibrate by a method other than the requested one.
    """
    named = zip(model.labels, model.calibration.labels, strict=True)
    reasons = {label: own for label, own in named if own.reason}
    other: dict[str, list[str]] = {}
    for label, own in reasons.items():
        if own.method != "none":
            other.setdefault(own.reason, []).append(label)
    notes = [f"{', '.join(labels)}: {reason}" for reason, labels in other.items()]
    return {label: own.reason for label, own in reasons.items() if own.method == "none"}, notes


@dataclass(frozen=True)
class Figured:
    """The main figures on some sentences of a test set; `interval` is that of macro-F1, None if there is none."""

    name: str
    n: int
    macro_f1: float | None
    micro_f1: float | None
    interval: Interval | None

    def to_dict(self) -> dict[str, object]:
        """Return plain values of JSON."""
        return asdict(self)


def figures_without(
    reference: str, path: Path, part: str, leaked: Collection[str], options: ReadingOptions, manifest: Path | None
) -> list[Figured]:
    """Evaluate a model on all sentences of a file, without the leaked ones, and on these alone.

    Args:
        reference: the folder of a run or artefact, or an MLflow URI.
        part: the role of the file, from which the ids of rows without an id follow.
        leaked: ids of the leaked sentences.
        manifest: a split whose test part is evaluated; None for the whole file.

    Raises:
        InputError: the model or the file cannot be read, or no labelled sentence is left.
    """
    model = Model.load(fetch_artefact(reference))
    if manifest and is_starter(path):
        examples = starter_examples(model.codebook)
    else:
        examples = read_labelled([(path, part)], model.codebook, options).examples[0]
    if manifest:
        tested = set(Split.load(manifest).test)
        examples = [example for example in examples if example.id in tested]
    outcome = outcome_of(model, predict_examples(model, examples))
    leaks = np.array([example.id in leaked for example in examples])
    chosen = {"all": leaks | True, "without leaks": ~leaks, "leaks only": leaks}
    return [_figured(name, outcome, rows) for name, rows in chosen.items() if rows.any()]


def _figured(name: str, outcome: Outcome, rows: NDArray[np.bool_]) -> Figured:
    settings = EvaluationSection()
    report = build_report(outcome.subset(rows), confidence=settings.confidence, min_groups=settings.min_groups)
    interval = report.intervals.macro_f1 if report.intervals else None
    return Figured(name, report.n_test, report.macro_f1, report.micro_f1, interval)
