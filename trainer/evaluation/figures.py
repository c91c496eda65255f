"""The parts of a report, as they are stored in `report.json`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from trainer.evaluation.intervals import Interval

_ROUNDING = 1e-9
"""A mean of figures that are all 1 can exceed 1 by the last digit."""
Share = Annotated[float, Field(ge=-_ROUNDING, le=1 + _ROUNDING, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=-1 - _ROUNDING, le=1 + _ROUNDING, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0)]


def _ordered(found: Interval) -> Interval:
    """Refuse bounds that cannot be an interval of a figure."""
    low, high = found.low, found.high
    if low is not None and high is not None and not -1 - _ROUNDING <= low <= high <= 1 + _ROUNDING:
        raise ValueError(f"{low:g} to {high:g} is not the interval of a figure")
    return found


Bounds = Annotated[Interval, AfterValidator(_ordered)]


class Figures(BaseModel):
    """Base class of the parts of a report. Unknown keys from newer versions are kept on reading and writing."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, with only the keys that were set."""
        return self.model_dump(mode="json", exclude_unset=True)


class LabelFigures(Figures):
    """The figures of one label on test; None if undefined, such as the precision of a label that is never predicted.

    Attributes:
        precision_at: precision among the 1%, 5% and 20% of the sentences with the highest probabilities, by "1%" etc.
        undefined: by figure, the reason for which it is undefined.
        intervals: by figure; empty in reports of older versions, which have `Report.intervals` only.
    """

    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Number
    predicted: Number
    threshold: Share | None
    average_precision: Share | None
    roc_auc: Share | None = None
    mcc: Correlation | None = None
    precision_at: dict[str, Share | None] = {}
    undefined: dict[str, str] = {}
    intervals: dict[str, Bounds] = {}


class AverageFigures(Figures):
    """An average over the labels ("macro", "micro" or "weighted"), with intervals and reasons as for a label."""

    precision: Share | None
    recall: Share | None
    f1: Share | None
    mcc: Correlation | None
    average_precision: Share | None
    roc_auc: Share | None
    undefined: dict[str, str] = {}
    intervals: dict[str, Bounds] = {}


class ConfusionFigures(Figures):
    """Numbers of pairs of a gold label (row) and a predicted label (column), both in the order of `labels`.

    The last of `labels` is "none": no label in the place of the other. See `metrics.confusion`.
    """

    labels: list[str]
    matrix: list[list[Number]]

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        if {len(self.matrix), *map(len, self.matrix)} != {len(self.labels)}:
            raise ValueError(f"`matrix` must have {len(self.labels)} rows and columns, one for each of `labels`")
        return self


class AgreementFigures(Figures):
    """The agreement of the annotators on one label, in the same data: Krippendorff's alpha with its interval."""

    alpha: Correlation | None
    low: Correlation | None = None
    high: Correlation | None = None
    reason: str = ""
    n_sentences: Number = 0


class LabelCalibrationFigures(Figures):
    """Measures of the error of one label's probabilities; 0 is the best value of each."""

    expected_calibration_error: Share | None
    brier_score: Share | None
    log_loss: Amount | None


class CalibrationFigures(LabelCalibrationFigures):
    """Means over the labels, and the figures of each label. `bins` is the number of bins of the calibration error."""

    bins: Number
    per_label: dict[str, LabelCalibrationFigures]


class IntervalFigures(Figures):
    """Intervals of the main figures. `accuracy` is set for exclusive codebooks, `subset_accuracy` for other codebooks.

    `draws` is the number of draws of a bootstrap, which older versions used; 0 for other methods.
    """

    method: str
    confidence: Annotated[float, Field(gt=0, lt=1)]
    draws: Number = 0
    macro_f1: Bounds
    micro_f1: Bounds
    accuracy: Bounds | None = None
    subset_accuracy: Bounds | None = None
    jaccard: Bounds | None = None
    per_label_f1: dict[str, Bounds]


class ReweightedFigures(Figures):
    """Precision, recall and F1 at the prevalence of the corpus; None if undefined."""

    precision: Share | None
    recall: Share | None
    f1: Share | None
    intervals: dict[str, Bounds] = {}


class LabelPrevalenceFigures(ReweightedFigures):
    """The figures of one label at its prevalence in the corpus.

    Attributes:
        prevalence: None, for the given `reason`, if there is none; the figures are then None as well.
        low, high: interval of an estimated prevalence; None for a given one.
        distance, p_value: how far the probabilities in the corpus differ from those of the re-weighted test set, as a
            share of the sentences, and the probability of such a distance under label shift.
        curve: "thresholds", and the precision, recall and F1 at each of these thresholds.
    """

    prevalence: Share | None
    low: Share | None = None
    high: Share | None = None
    reason: str = ""
    distance: Share | None = None
    p_value: Share | None = None
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
    n_sentences: Number | None = None
    n_documents: int | None = None
    per_label: dict[str, LabelPrevalenceFigures]
    macro: ReweightedFigures
    micro: ReweightedFigures | None = None
    warnings: list[str] = []


class SliceFigures(Figures):
    """The figures of the test sentences with one value in one column, such as one source.

    Attributes:
        by, value: the column and its value.
        n, n_groups: numbers of sentences, and of groups with at least one of them.
        labelled: share of the sentences with at least one label.
        micro_f1, exact_match: None if undefined, for the `reason`.
        difference: micro-F1 minus that of all other sentences, in [-1, 1].
        p, adjusted_p: two-sided p value of "no difference", and the same after Holm's correction over all slices.
        worse: whether the slice is reliably worse than the other sentences.
    """

    by: str
    value: str
    n: Number
    n_groups: Number
    labelled: Share
    micro_f1: Share | None
    exact_match: Share | None
    intervals: dict[str, Bounds] = {}
    difference: Correlation | None = None
    p: Share | None = None
    adjusted_p: Share | None = None
    worse: bool = False
    reason: str = ""


class CheckFigures(Figures):
    """The failure rate of the behavioural checks of one capability and kind.

    Attributes:
        capability: what is checked, such as "negation"; "all" for all together.
        kind: "minimum", "invariance", "directional", or "all".
        n, failed: numbers of cases, and of those that the model fails.
        interval: of the rate, binomial, because cases are written one by one.
    """

    capability: str
    kind: str
    n: Number
    failed: Number
    rate: Share
    interval: Bounds


class ChecksFigures(Figures):
    """The results of behavioural checks from the file `source`, whose contents have the hash `digest`."""

    source: str
    digest: str
    rates: list[CheckFigures]


class FoldFigures(Figures):
    """A fold of a cross-validation: the model fitted without it, and its figures on the examples of the fold.

    Attributes:
        column: the column whose value `name` is left out; empty for a fold of documents. None in older reports.
        thresholds: by label, those of the model of the fold; None if it has none, and in older reports.
    """

    name: str
    column: str | None = None
    thresholds: dict[str, Share] | None = None
    n_train: Number
    n_validation: Number
    n_test: Number
    macro_f1: Share | None
    micro_f1: Share | None
    per_label_f1: dict[str, Share | None]
    train_seconds: Amount


class CodebookReference(Figures):
    """The codebook of a report."""

    name: str
    version: str
    hash: str


class LabelValueFigures(Figures):
    """A value in the label cells of a file, the name of its label (empty for "none"), and the number of its rows."""

    value: str
    name: str
    rows: Number
