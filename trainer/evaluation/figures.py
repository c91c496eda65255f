"""The parts of a report, as they are stored in `report.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from trainer.evaluation.intervals import Interval


class Figures(BaseModel):
    """Base class of the parts of a report. Unknown keys from newer versions are kept on reading and writing."""

    model_config = ConfigDict(extra="allow", frozen=True)


class LabelFigures(Figures):
    """The figures of one label on test; None if undefined, such as the precision of a label that is never predicted.

    Attributes:
        precision_at: precision among the 1%, 5% and 20% of the sentences with the highest probabilities, by "1%" etc.
        undefined: by figure, the reason for which it is undefined.
        intervals: by figure; empty in reports of older versions, which have `Report.intervals` only.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int
    threshold: float | None
    average_precision: float | None
    roc_auc: float | None = None
    mcc: float | None = None
    precision_at: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    intervals: dict[str, Interval] = {}


class AverageFigures(Figures):
    """An average over the labels ("macro", "micro" or "weighted"), with intervals and reasons as for a label."""

    precision: float | None
    recall: float | None
    f1: float | None
    mcc: float | None
    average_precision: float | None
    roc_auc: float | None
    undefined: dict[str, str] = {}
    intervals: dict[str, Interval] = {}


class ConfusionFigures(Figures):
    """Numbers of pairs of a gold label (row) and a predicted label (column), both in the order of `labels`.

    The last of `labels` is "none": no label in the place of the other. See `metrics.confusion`.
    """

    labels: list[str]
    matrix: list[list[int]]


class AgreementFigures(Figures):
    """The agreement of the annotators on one label, in the same data: Krippendorff's alpha with its interval."""

    alpha: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    n_sentences: int = 0


class LabelCalibrationFigures(Figures):
    """Measures of the error of one label's probabilities; 0 is the best value of each."""

    expected_calibration_error: float | None
    brier_score: float | None
    log_loss: float | None


class CalibrationFigures(LabelCalibrationFigures):
    """Means over the labels, and the figures of each label. `bins` is the number of bins of the calibration error."""

    bins: int
    per_label: dict[str, LabelCalibrationFigures]


class IntervalFigures(Figures):
    """Intervals of the main figures. `accuracy` is set for exclusive codebooks, `subset_accuracy` for other codebooks.

    `draws` is the number of draws of a bootstrap, which older versions used; 0 for other methods.
    """

    method: str
    confidence: float
    draws: int = 0
    macro_f1: Interval
    micro_f1: Interval
    accuracy: Interval | None = None
    subset_accuracy: Interval | None = None
    jaccard: Interval | None = None
    per_label_f1: dict[str, Interval]


class ReweightedFigures(Figures):
    """Precision, recall and F1 at the prevalence of the corpus; None if undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    intervals: dict[str, Interval] = {}


class LabelPrevalenceFigures(ReweightedFigures):
    """The figures of one label at its prevalence in the corpus.

    Attributes:
        prevalence: None, for the given `reason`, if there is none; the figures are then None as well.
        low, high: interval of an estimated prevalence; None for a given one.
        distance, p_value: how far the probabilities in the corpus differ from those of the re-weighted test set, as a
            share of the sentences, and the probability of such a distance under label shift.
        curve: "thresholds", and the precision, recall and F1 at each of these thresholds.
    """

    prevalence: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    distance: float | None = None
    p_value: float | None = None
    curve: dict[str, list[float | None]] = {}


class PrevalenceFigures(Figures):
    """The figures at the prevalence of the corpus, under the stated `assumption`.

    Attributes:
        source: "given", or the corpus from which the prevalence was estimated.
        macro: mean over the labels with a prevalence.
        micro: None unless every label has a prevalence.
        warnings: labels for which the assumption fails.
    """

    source: str
    assumption: str
    n_sentences: int | None = None
    n_documents: int | None = None
    per_label: dict[str, LabelPrevalenceFigures]
    macro: ReweightedFigures
    micro: ReweightedFigures | None = None
    warnings: list[str] = []


class CodebookReference(Figures):
    """The codebook of a report."""

    name: str
    version: str
    hash: str


class LabelValueFigures(Figures):
    """A value in the label cells of a file, the name of its label (empty for "none"), and the number of its rows."""

    value: str
    name: str
    rows: int
