"""One round of a labelling loop: fit a model to today's gold, measure it without the test part, and save it.

The figures are out-of-fold on train and validation, or on validation for models that are too slow to be fitted several
times. They count only sentences that no model chose: sentences chosen because a model was uncertain are harder than the
corpus, and later rounds have more of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from labels.environment.progress import progress_stage
from labels.errors import ExperimentError, counted
from labels.output.folders import output_folder
from labels.records import Example
from labels.store import now
from trainer.calibration.calibration import Bools
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.predicted import Predicted
from trainer.data.splits import group_examples, make_split
from trainer.environment import silence_libraries
from trainer.evaluation.metrics import count, defined, group_counts
from trainer.evaluation.stopping import gain_bound
from trainer.model.model import save_artefact
from trainer.runs.evaluate import predict_examples
from trainer.runs.fitting import fit_model
from trainer.runs.loop_folder import FEWEST, ROUND, LoopFolder, Round, round_text
from trainer.runs.run import RunResult, fitted_manifest, run_experiment
from trainer.runs.tracking.connection import describe
from trainer.runs.tracking.record import RECORD, new_record, published
from trainer.runs.tracking.track import continue_run

logger = logging.getLogger(__name__)

_UNCHOSEN = ("", "random")
"""Values of `Example.drawn` for sentences that no model chose; imported sentences have none."""


def fit_round(loop: LoopFolder, with_gold: int) -> Round:
    """Fit, measure, save and log the next round of a loop.

    The caller keeps other processes away. A round is saved completely or not at all. If MLflow fails, the round is
    logged together with the next one.

    Args:
        with_gold: number of sentences with gold when the round was asked for.

    Raises:
        ExperimentError: the gold does not suffice, or no longer matches the split.
    """
    silence_libraries()
    earlier = loop.rounds()
    number = earlier[-1].number + 1 if earlier else 1
    dataset = load_dataset(on_frozen_split(loop, earlier))
    start = time.perf_counter()
    fitted = fit_model(loop.experiment, dataset)
    validation = predict_examples(fitted.model, dataset.parts["validation"])
    judged = _out_of_fold(loop, dataset) if loop.folds else validation
    one = replace(_measured(loop, dataset, judged, number, with_gold), seconds=time.perf_counter() - start)
    with output_folder(loop.round_folder(number)) as draft:
        artefact = draft / "artefact"
        artefact.mkdir()
        content = fitted_manifest(loop.experiment, dataset, fitted, validation)
        manifest = save_artefact(artefact, content, dataset.codebook, fitted.model.classifier)
        dataset.split.save(draft / "split.json")
        one = replace(_bounded(loop, one, earlier), model_id=manifest.digest)
        (draft / ROUND).write_text(round_text(one), encoding="utf-8")
    _log(loop, dataset)
    return one


def on_frozen_split(loop: LoopFolder, rounds: Sequence[Round]) -> Experiment:
    """The experiment of a loop on the split of its last round, if this split is frozen."""
    if not rounds or not rounds[-1].frozen:
        return loop.experiment
    manifest = str(loop.round_folder(rounds[-1].number) / "split.json")
    split = loop.experiment.split.model_copy(update={"manifest": manifest})
    return loop.experiment.model_copy(update={"split": split})


def finish_loop(loop: LoopFolder) -> RunResult:
    """Fit the last model of a loop and evaluate it on test, for the first and only time; see `run_experiment`.

    Raises:
        ExperimentError: the loop has no round, or has ended already.
    """
    rounds = loop.rounds()
    if not rounds:
        raise ExperimentError(f"{loop.path}: this loop has no model yet; it needs {FEWEST} labelled sentences.")
    return run_experiment(on_frozen_split(loop, rounds), loop.final)


# -- figures


def _out_of_fold(loop: LoopFolder, dataset: Dataset) -> Predicted:
    """Predictions for train and validation by models that were fitted and calibrated without the sentence's group."""
    pool = [*dataset.parts["train"], *dataset.parts["validation"]]
    shares = [1 / loop.folds] * loop.folds
    # Large groups are allowed, because folds may be uneven: no fold is a test set.
    folds = make_split(pool, shares, loop.experiment.seed, allow_large=True)
    parts: list[Predicted] = []
    for number, fold in enumerate(folds):
        held = {example.id for example in fold}
        rest = {name: [one for one in dataset.parts[name] if one.id not in held] for name in ("train", "validation")}
        with progress_stage(f"Fold {number + 1} of {loop.folds}"):
            model = fit_model(loop.experiment, replace(dataset, parts={**dataset.parts, **rest})).model
        parts.append(predict_examples(model, fold))
    return _joined(parts)


def _joined(parts: Sequence[Predicted]) -> Predicted:
    import numpy as np

    examples = [example for part in parts for example in part.examples]
    predicted = np.concatenate([part.predicted for part in parts])
    return Predicted(examples, predicted, np.concatenate([part.probabilities for part in parts]))


def _measured(loop: LoopFolder, dataset: Dataset, judged: Predicted, number: int, with_gold: int) -> Round:
    chosen, note = _comparable(judged)
    examples = [judged.examples[row] for row in chosen]
    labels = dataset.codebook.label_names
    gold, predicted = label_matrix(examples, labels), judged.predicted[chosen]
    counts = count(gold, predicted)
    everything = [example for part in dataset.parts.values() for example in part]
    groups = dict(
        zip((one.document_id for one in everything), group_examples(everything, allow_large=True), strict=True)
    )
    sizes = {name: len(part) for name, part in dataset.parts.items()}
    in_test = {groups[one.document_id] for one in dataset.parts["test"]}
    return Round(
        number=number,
        model_id="",
        labelled=sizes["train"] + sizes["validation"],
        **sizes,
        with_gold=with_gold,
        frozen=bool(loop.experiment.split.manifest) or len(in_test) >= loop.experiment.evaluation.min_groups,
        basis="out-of-fold" if loop.folds else "validation",
        evaluated=len(examples),
        macro_f1=defined(counts.macro_f1),
        per_label=dict(zip(labels, map(defined, counts.f1), strict=True)),
        gain=None,
        reason="",
        seconds=0.0,
        created_at=now(),
        notes=(*dataset.notes, *note),
        counts=_by_document(examples, gold, predicted),
        groups=groups,
    )


def _comparable(judged: Predicted) -> tuple[list[int], list[str]]:
    """Rows of the sentences that no model chose; all rows, with a note, if these are too few."""
    rows = [row for row, example in enumerate(judged.examples) if example.drawn in _UNCHOSEN]
    if len(rows) >= FEWEST or len(rows) == len(judged.examples):
        return rows, []
    few = counted(len(rows), "sentence was", "sentences were")
    return list(range(len(judged.examples))), [
        f"only {few} not chosen by a model, so the figures include the other sentences and may be too low"
    ]


def _by_document(examples: Sequence[Example], gold: Bools, predicted: Bools) -> dict[str, list[list[int]]]:
    documents = sorted({example.document_id for example in examples})
    place = {document: number for number, document in enumerate(documents)}
    counts = group_counts(gold, predicted, [place[example.document_id] for example in examples])
    rows = zip(counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), strict=True)
    return {
        document: [[int(n) for n in kind] for kind in kinds] for document, kinds in zip(documents, rows, strict=True)
    }


def _bounded(loop: LoopFolder, one: Round, earlier: Sequence[Round]) -> Round:
    # Figures on validation can be compared only while validation stays the same.
    usable = [past for past in (*earlier, one) if past.basis == "out-of-fold" or past.frozen]
    settings = loop.experiment.evaluation
    gain, reason = gain_bound(
        [(past.labelled, past.counts) for past in usable if past.counts],
        one.groups,
        draws=settings.bootstrap,
        min_groups=settings.min_groups,
        seed=loop.experiment.seed,
    )
    return replace(one, gain=gain, reason=reason)


# -- MLflow


def _log(loop: LoopFolder, dataset: Dataset) -> None:
    """Log the rounds that MLflow does not have yet as children of the loop's run; a failure is only reported."""
    if not loop.experiment.tracking.enabled:
        return
    try:
        if not (loop.path / RECORD).is_file():
            book, experiment = dataset.codebook, loop.experiment
            tags = {"codebook.name": book.name, "codebook.hash": book.hash}
            name = f"{experiment.tracking.experiment}-loops"
            record = new_record("loop", name, experiment.name, published(experiment), tags, source=dataset.source)
            record.save(loop.path)
        continue_run(loop.path)
    except Exception as error:
        logger.warning("MLflow: this round is logged with the next one: %s", describe(error))
