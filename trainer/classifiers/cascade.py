"""A cascade: a cheap classifier answers the sentences it is sure about, an expensive one the rest.

How far its answers may differ from those of the expensive one alone is certified; `trainer.calibration.certificate` has
the rule and the bounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, ExperimentError
from labels.records import Example
from trainer.calibration import calibration as calibrating
from trainer.calibration import certificate as certifying
from trainer.calibration.calibration import Bools, Calibration, Floats, LabelCalibration, Probabilities
from trainer.calibration.certificate import Certificate, DeferralRule
from trainer.classifiers import base
from trainer.classifiers.base import Classifier, Exportable
from trainer.config.experiment import CalibrationSection
from trainer.config.models import CascadeSection
from trainer.data.splits import make_split

FILE, CHEAP, EXPENSIVE = "cascade.json", "cheap", "expensive"


class _Member(BaseModel):
    """A classifier of the cascade with its calibration; the classifier has files of its own."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    kind: str
    calibration: Calibration
    classifier: SkipValidation[Classifier] = Field(exclude=True)

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) calibrated probabilities, as a model of this classifier alone gives them."""
        return self.calibrated(self.classifier.predict_proba(texts))

    def calibrated(self, raw: Probabilities) -> Probabilities:
        return self.calibration.apply(raw).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind} | self.classifier.describe()


class _Fitted(BaseModel):
    """What `fit` makes and `load` reads: the content of `cascade.json`, and the two classifiers."""

    model_config = ConfigDict(frozen=True)

    cheap: _Member
    expensive: _Member
    rule: DeferralRule
    certificate: Certificate


class CascadeClassifier(Classifier):
    """The cheap classifier reads every sentence, the expensive one those that the cheap one is not sure about.

    Both are calibrated on validation, as each would be alone. Then validation is divided into two halves, which keep
    documents and near-duplicates together: the rule is chosen on the first half and certified, once, on the second. The
    bounds disregard two things: early stopping and calibration have seen both halves (though not the rule), and
    sentences of one document are not independent of each other.

    Attributes:
        calibration_: the thresholds of the expensive classifier; the probabilities are calibrated already.
        checkpoints: the expensive classifier's, as in `ResumableClassifier`. A refused cascade can be trained again
            from there with other limits; but a second certificate on the same sentences is worth less.
        notes: the expensive classifier's.
    """

    needs_calibration = False
    distributed = True
    stops_early = True
    checkpoints: Path | None = None

    def __init__(self, codebook: Codebook, section: CascadeSection, seed: int) -> None:
        self.labels = codebook.label_names
        self.notes: tuple[str, ...] = ()
        self._codebook = codebook
        self._section = section
        self._limits = certifying.Limits(section.max_disagreement, section.max_lost, section.confidence)
        self._seed = seed
        self.calibration_ = calibrating.not_calibrated(codebook)
        self.fitted_: _Fitted | None = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit both classifiers, choose the rule, and certify it.

        Raises:
            ExperimentError: validation is too small to certify anything, which is checked before anything is fitted;
                or the limits do not hold on the half of validation that certifies.
        """
        first, second = self._halves(validation)
        # One after the other, so that `_certify` can cut the arrays into the halves again.
        rows = [*first, *second]
        cheap, expensive = self._build()
        cheap.fit(examples, validation)
        expensive.fit(examples, validation)
        self.notes = expensive.notes
        quick, said = self._calibrate(self._section.cheap.kind, cheap, rows)
        slow, answers = self._calibrate(self._section.expensive.kind, expensive, rows)
        self.calibration_ = _thresholds_alone(slow.calibration)
        rule, certificate = self._certify(said, answers, len(first))
        self._refuse_breaches(certificate)
        self.fitted_ = _Fitted(cheap=quick, expensive=slow, rule=rule, certificate=certificate)
        return self

    def _halves(self, validation: Sequence[Example]) -> list[list[Example]]:
        """Validation in two parts, each large enough to certify something."""
        sizes = [len(validation) // 2, len(validation) - len(validation) // 2]
        if min(sizes) >= self._limits.fewest_sentences:
            # Whole documents may make the halves unequal, so their sizes are checked again. Large groups are allowed:
            # they can only make a half too small, which is refused.
            halves = make_split(validation, (0.5, 0.5), self._seed, allow_large=True)
            sizes = [len(half) for half in halves]
        if min(sizes) >= self._limits.fewest_sentences:
            return halves
        raise ExperimentError(self._too_small(sizes))

    def _too_small(self, sizes: Sequence[int]) -> str:
        limits, fewest = self._limits, self._limits.fewest_sentences
        least = math.ceil(1000 * certifying.upper_bound(0, min(sizes), limits.confidence)) / 1000
        higher = f", raise model.max_disagreement to at least {least:g}" if least < 1 else ""
        return (
            f"model.max_disagreement = {limits.max_disagreement:g}: a certificate at confidence {limits.confidence:g} "
            f"needs at least {fewest} validation sentences to choose the cut-off on, and {fewest} others to test it. "
            f"There are {sum(sizes)}, in halves of {sizes[0]} and {sizes[1]}. Give more "
            f"validation sentences{higher}, or train {self._section.expensive.kind} alone: "
            f'model.kind = "{self._section.expensive.kind}".'
        )

    def _build(self) -> tuple[Classifier, Classifier]:
        cheap = base.build_classifier(self._section.cheap, self._codebook, self._seed)
        expensive = base.build_classifier(self._section.expensive, self._codebook, self._seed)
        if isinstance(expensive, base.ResumableClassifier):
            expensive.checkpoints = self.checkpoints
        return cheap, expensive

    def _calibrate(
        self, kind: str, classifier: Classifier, validation: Sequence[Example]
    ) -> tuple[_Member, Probabilities]:
        """The classifier with its calibration, and its calibrated probabilities of the validation sentences."""
        raw = classifier.predict_proba([example.text for example in validation])
        calibration = calibrating.not_calibrated(self._codebook)
        if classifier.needs_calibration:
            gold, own = base.label_matrix(validation, self.labels), CalibrationSection()
            calibration = calibrating.fit_calibration(
                raw, gold, self._codebook, method=own.method, min_positives=own.min_positives
            )
        member = _Member(kind=kind, classifier=classifier, calibration=calibration)
        return member, member.calibrated(raw)

    def _certify(self, said: Probabilities, answers: Probabilities, half: int) -> tuple[DeferralRule, Certificate]:
        """Choose the rule on the first `half` rows of the two classifiers' probabilities, certify it on the others."""
        limits, classes = self._limits, self._classes(said)
        cheap, expensive = self.calibration_.decide(said), self.calibration_.decide(answers)
        # A label gets a bound of its own where both halves have enough of it; the others share one.
        positives = np.minimum(expensive[:half].sum(axis=0), expensive[half:].sum(axis=0))
        common = positives >= limits.fewest_positives
        thresholds = None if self._codebook.exclusive else self.calibration_.thresholds
        rule = certifying.choose_rule(classes[:half], expensive[:half], thresholds, common, limits)
        sure = rule.sure(classes[half:])
        return rule, certifying.certify(cheap[half:], expensive[half:], sure, self.labels, common, limits.confidence)

    def _classes(self, probabilities: Probabilities) -> Floats:
        """(n, classes): with the column of "none" where there is one."""
        none = self._codebook.exclusive and self._codebook.allow_none
        return calibrating.with_none(probabilities.astype(np.float64), none)

    def _refuse_breaches(self, certificate: Certificate) -> None:
        breaches = list(self._breaches(certificate))
        if breaches:
            lines = "\n".join(f"  {breach}" for breach in breaches)
            kind = self._section.expensive.kind
            raise ExperimentError(
                f"The cascade cannot be certified. On the {certificate.cases} validation sentences that test it, it "
                f"differs too much from {kind} alone:\n{lines}\nGive more validation sentences "
                f"({self._limits.fewest_sentences} suffice if none disagrees), raise the limit, or train "
                f'{kind} alone: model.kind = "{kind}".'
            )

    def _breaches(self, certificate: Certificate) -> Iterator[str]:
        """What exceeds a limit, as lines for a message."""
        limits, of_labels = self._limits, [label for label in certificate.labels if label.upper_bound is not None]
        figures = [("label sets that differ", "max_disagreement", certificate.disagreements, certificate.cases)]
        figures += [(f"lost of {label.name}", "max_lost", label.lost, label.positives) for label in of_labels]
        for what, key, failures, cases in figures:
            limit, bound = getattr(limits, key), certifying.upper_bound(failures, cases, limits.confidence)
            if bound > limit:
                most = certifying.most_failures(cases, limit, limits.confidence)
                yield (
                    f"{what}: {failures} of {cases} ({failures / cases:.1%}), at most {bound:.1%} at confidence "
                    f"{limits.confidence:g}; model.{key} = {limit:g} allows {most}"
                )

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) calibrated probabilities: the cheap classifier's where it is sure, else the expensive one's."""
        fitted = base.fitted(self.fitted_)
        probabilities = fitted.cheap.predict_proba(texts)
        # Only these texts are encoded by the expensive classifier, which is what makes a cascade fast.
        rest = np.flatnonzero(~fitted.rule.sure(self._classes(probabilities))).tolist()
        if rest:
            probabilities[rest] = fitted.expensive.predict_proba([texts[row] for row in rest])
        return probabilities

    def answered(self, texts: Sequence[str]) -> Bools:
        """(n,): which texts the cheap classifier answers."""
        fitted = base.fitted(self.fitted_)
        return fitted.rule.sure(self._classes(fitted.cheap.predict_proba(texts)))

    def _exportable(self) -> Exportable | None:
        """The expensive classifier, if it is of a kind that can be exported."""
        classifier = base.fitted(self.fitted_).expensive.classifier
        return classifier if isinstance(classifier, Exportable) else None

    def save(self, folder: Path) -> None:
        """Write `cheap/` and `expensive/` with each kind's own files, and `cascade.json` with all else."""
        self._write(folder, exported=False)

    def is_exported(self) -> bool:
        """Whether the expensive classifier runs on onnxruntime already."""
        exportable = self._exportable()
        return exportable is not None and exportable.is_exported()

    def why_not_exported(self, *, int8: bool) -> str:
        """In int8 no cascade is exported, since it was certified in float32; else as for the expensive classifier."""
        exportable, kind = self._exportable(), base.fitted(self.fitted_).expensive.kind
        if exportable is None:
            return (
                f"a cascade whose expensive model is of kind {kind} cannot be exported: that model must have "
                "an encoder of its own. Train such a cascade, or use this one as it is."
            )
        if int8:
            return (
                f"a cascade cannot be exported in int8, because its certificate holds for {kind} in float32. "
                f"Export it without --int8, or train {kind} alone "
                f'(model.kind = "{kind}") and export that.'
            )
        return exportable.why_not_exported(int8=False)

    def read_by_exported(self, texts: Sequence[str]) -> Bools:
        """(n,): which texts the cheap classifier leaves to the expensive one."""
        return ~self.answered(texts)

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but with the export of the expensive classifier; `load` opens it too.

        The cheap classifier is not exported, whatever its kind: the rule was chosen on its probabilities, and a change
        in their last digit could send other sentences to the expensive one.

        Raises:
            ArtefactError: for the reasons of `why_not_exported`, or of the expensive classifier.
        """
        if why := self.why_not_exported(int8=int8):
            raise ArtefactError(why)
        self._write(folder, exported=True)

    def _write(self, folder: Path, *, exported: bool) -> None:
        fitted, exportable = base.fitted(self.fitted_), self._exportable()
        for name in (CHEAP, EXPENSIVE):
            (folder / name).mkdir()
        fitted.cheap.classifier.save(folder / CHEAP)
        if exported and exportable is not None:
            exportable.save_exported(folder / EXPENSIVE, int8=False)
        else:
            fitted.expensive.classifier.save(folder / EXPENSIVE)
        (folder / FILE).write_text(fitted.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Open what `save` or `save_exported` wrote.

        Raises:
            ArtefactError: one of the two classifiers cannot be opened.
        """
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if "rule" not in content:
            raise ArtefactError(
                f"{folder / FILE}: an early communique wrote this cascade, whose rule has changed. Train it again."
            )
        for name in (CHEAP, EXPENSIVE):
            member = content[name]
            member["classifier"] = base.classifier_class(member["kind"]).load(folder / name, codebook)
        classifier = cls(codebook, CascadeSection(kind="cascade"), seed=0)
        classifier.fitted_ = fitted = _Fitted.model_validate(content)
        classifier.calibration_ = _thresholds_alone(fitted.expensive.calibration)
        return classifier

    def describe(self) -> dict[str, Any]:
        """The certificate's figures, and the descriptions of the two classifiers."""
        fitted = base.fitted(self.fitted_)
        certificate = fitted.model_dump(mode="json", include={"certificate"})
        return certificate | {CHEAP: fitted.cheap.describe(), EXPENSIVE: fitted.expensive.describe()}


def _thresholds_alone(calibration: Calibration) -> Calibration:
    """The calibration with the same decisions that leaves probabilities as they are."""
    # The method "none" leaves probabilities alone: they are calibrated when a member gives them.
    none = calibration.none and _threshold_alone(calibration.none)
    return replace(calibration, labels=tuple(map(_threshold_alone, calibration.labels)), none=none)


def _threshold_alone(label: LabelCalibration) -> LabelCalibration:
    reason = label.reason if label.method == "none" else ""
    return LabelCalibration("none", label.n, label.positives, threshold=label.threshold, reason=reason)
