"""Combine two classifiers: a cheap one answers the sentences it is sure about, an expensive one answers the rest.

A certificate limits how often the cascade differs from the expensive classifier alone. The rule and the bounds are in
`trainer.calibration.certificate`.
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
from labels.errors import ArtefactError, ExperimentError, counted
from labels.records import Example
from trainer.calibration import calibration as calibrating
from trainer.calibration import certificate as certifying
from trainer.calibration.calibration import Bools, Calibration, Floats, LabelCalibration, Probabilities
from trainer.calibration.certificate import Certificate, DeferralRule
from trainer.classifiers import base
from trainer.classifiers.base import Classifier, Exportable
from trainer.classifiers.explanations import Explanation, Pause, refuse_unexplained, why_not_explained
from trainer.config.models import CascadeSection
from trainer.config.sections import CalibrationSection
from trainer.data.splits import make_split

FILE, CHEAP, EXPENSIVE = "cascade.json", "cheap", "expensive"


class _Member(BaseModel):
    """A classifier of the cascade with its calibration; the classifier is saved to separate files."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    kind: str
    calibration: Calibration
    classifier: SkipValidation[Classifier] = Field(exclude=True)

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) calibrated probabilities, the same as from a model with this classifier alone."""
        return self.calibrated(self.classifier.predict_proba(texts))

    def calibrated(self, raw: Probabilities) -> Probabilities:
        return self.calibration.apply(raw).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind} | self.classifier.describe()


class _Fitted(BaseModel):
    """The fitted parts of a cascade: the contents of `cascade.json`, and the two classifiers."""

    model_config = ConfigDict(frozen=True)

    cheap: _Member
    expensive: _Member
    rule: DeferralRule
    certificate: Certificate


class CascadeClassifier(Classifier):
    """The cheap classifier reads every sentence; the expensive classifier reads the uncertain rest.

    Each classifier is calibrated on validation, as it would be alone. Then validation is split into two halves that
    keep documents and near-duplicates together. The rule is chosen on the first half and certified once on the second.
    The bounds ignore two facts: early stopping and calibration have used both halves (the rule has not), and sentences
    from the same document are not independent.

    Attributes:
        calibration_: the thresholds of the expensive classifier; the probabilities are already calibrated.
        checkpoints: the checkpoints of the expensive classifier, see `ResumableClassifier`. A refused cascade can be
            trained again from these with other limits, but a second certificate on the same sentences is weaker.
        notes: the notes of the expensive classifier.
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
            ExperimentError: validation is too small to certify anything (checked before fitting), or the limits do not
                hold on the half of validation that is used to certify.
        """
        first, second = self._halves(validation)
        # Concatenate the halves; `_certify` divides the arrays again at the same place.
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
        """Split validation into two halves, each large enough for a certificate."""
        sizes = [len(validation) // 2, len(validation) - len(validation) // 2]
        if min(sizes) >= self._limits.fewest_sentences:
            # Documents are kept whole, so the halves may be unequal, and the sizes are checked again. Large groups are
            # allowed: at worst they make a half too small, which is refused below.
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
            f"needs at least {fewest} validation sentences to choose the cut-off, and {fewest} others to test it. "
            f"The data have {counted(sum(sizes), 'sentence')}, in halves of {sizes[0]} and {sizes[1]}. Provide more "
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
        """Calibrate a classifier; return it with its calibration, and its calibrated probabilities for validation."""
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
        """Choose the rule on the first `half` rows of both classifiers' probabilities; certify it on the other rows."""
        limits, classes = self._limits, self._classes(said)
        cheap, expensive = self.calibration_.decide(said), self.calibration_.decide(answers)
        # A label gets its own bound if both halves have enough positives; the other labels share one bound.
        positives = np.minimum(expensive[:half].sum(axis=0), expensive[half:].sum(axis=0))
        common = positives >= limits.fewest_positives
        thresholds = None if self._codebook.exclusive else self.calibration_.thresholds
        rule = certifying.choose_rule(classes[:half], expensive[:half], thresholds, common, limits)
        sure = rule.sure(classes[half:])
        return rule, certifying.certify(cheap[half:], expensive[half:], sure, self.labels, common, limits.confidence)

    def _classes(self, probabilities: Probabilities) -> Floats:
        """Return (n, classes) probabilities, with a column for "none" if the codebook has this class."""
        none = self._codebook.exclusive and self._codebook.allow_none
        return calibrating.with_none(probabilities.astype(np.float64), none)

    def _refuse_breaches(self, certificate: Certificate) -> None:
        breaches = list(self._breaches(certificate))
        if breaches:
            lines = "\n".join(f"  {breach}" for breach in breaches)
            kind = self._section.expensive.kind
            raise ExperimentError(
                f"The cascade cannot be certified. On the {certificate.cases} validation sentences used to test it, it "
                f"differs too much from {kind} alone:\n{lines}\nProvide more validation sentences "
                f"({self._limits.fewest_sentences} are enough if no label set differs), raise the limit, or train "
                f'{kind} alone: model.kind = "{kind}".'
            )

    def _breaches(self, certificate: Certificate) -> Iterator[str]:
        """Yield a line of a message for each exceeded limit."""
        limits, of_labels = self._limits, [label for label in certificate.labels if label.upper_bound is not None]
        figures = [("label sets that differ", "max_disagreement", certificate.disagreements, certificate.cases)]
        figures += [(f"lost positives of {label.name}", "max_lost", label.lost, label.positives) for label in of_labels]
        for what, key, failures, cases in figures:
            limit, bound = getattr(limits, key), certifying.upper_bound(failures, cases, limits.confidence)
            if bound > limit:
                most = certifying.most_failures(cases, limit, limits.confidence)
                yield (
                    f"{what}: {failures} of {cases} ({failures / cases:.1%}), upper bound {bound:.1%} at confidence "
                    f"{limits.confidence:g}; model.{key} = {limit:g} allows {most}"
                )

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) calibrated probabilities, from the cheap classifier if it is sure, else from the other."""
        fitted = base.fitted(self.fitted_)
        probabilities = fitted.cheap.predict_proba(texts)
        # A cascade is fast because the expensive classifier encodes only these texts.
        rest = np.flatnonzero(~fitted.rule.sure(self._classes(probabilities))).tolist()
        if rest:
            probabilities[rest] = fitted.expensive.predict_proba([texts[row] for row in rest])
        return probabilities

    def answered(self, texts: Sequence[str]) -> Bools:
        """Return an array (n,) that is true for texts that the cheap classifier answers."""
        fitted = base.fitted(self.fitted_)
        return fitted.rule.sure(self._classes(fitted.cheap.predict_proba(texts)))

    def why_not_explained(self) -> str:
        """Return why one of the two classifiers cannot be explained; empty if both can be explained."""
        fitted = base.fitted(self.fitted_)
        reasons = (why_not_explained(member.classifier, member.kind) for member in (fitted.cheap, fitted.expensive))
        return next(filter(None, reasons), "")

    def explain(self, text: str, columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return the explanations of the classifier that answers this text."""
        fitted = base.fitted(self.fitted_)
        member = fitted.cheap if self.answered([text])[0] else fitted.expensive
        return refuse_unexplained(member.classifier, member.kind).explain(text, columns, pause)

    def _exportable(self) -> Exportable | None:
        """Return the expensive classifier, if it is of a kind that can be exported."""
        classifier = base.fitted(self.fitted_).expensive.classifier
        return classifier if isinstance(classifier, Exportable) else None

    def save(self, folder: Path) -> None:
        """Write `cheap/` and `expensive/` with the files of each kind, and `cascade.json` with everything else."""
        self._write(folder, exported=False)

    def is_exported(self) -> bool:
        """Return whether the expensive classifier already runs on onnxruntime."""
        exportable = self._exportable()
        return exportable is not None and exportable.is_exported()

    def why_not_exported(self, *, int8: bool) -> str:
        """Like the expensive classifier's method, but int8 is always refused: a cascade is certified in float32."""
        exportable, kind = self._exportable(), base.fitted(self.fitted_).expensive.kind
        if exportable is None:
            return (
                f"a cascade whose expensive model is of kind {kind} cannot be exported, because {kind} does not train "
                "an encoder. Train a cascade with another expensive model, or use this cascade without exporting it."
            )
        if int8:
            return (
                f"a cascade cannot be exported in int8, because its certificate holds for {kind} in float32. "
                f"Export the cascade without --int8, or train {kind} alone "
                f'(model.kind = "{kind}") and export this model.'
            )
        return exportable.why_not_exported(int8=False)

    def read_by_exported(self, texts: Sequence[str]) -> Bools:
        """Return an array (n,) that is true for texts that the cheap classifier leaves to the expensive classifier."""
        return ~self.answered(texts)

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but the expensive classifier is exported; `load` opens both forms.

        The cheap classifier is never exported: the rule was chosen on its probabilities, and even tiny changes in the
        probabilities could send other sentences to the expensive classifier.

        Raises:
            ArtefactError: `why_not_exported` gives a reason, or the export of the expensive classifier fails.
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
        """Load a cascade written by `save` or `save_exported`.

        Raises:
            ArtefactError: one of the two classifiers cannot be loaded, or the cascade has an outdated rule.
        """
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if "rule" not in content:
            raise ArtefactError(
                f"{folder / FILE}: this cascade was written by an early version of communique, with a rule that is "
                "no longer supported. Train the cascade again."
            )
        for name in (CHEAP, EXPENSIVE):
            member = content[name]
            member["classifier"] = base.classifier_class(member["kind"]).load(folder / name, codebook)
        classifier = cls(codebook, CascadeSection(kind="cascade"), seed=0)
        classifier.fitted_ = fitted = _Fitted.model_validate(content)
        classifier.calibration_ = _thresholds_alone(fitted.expensive.calibration)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Return the certificate and the descriptions of the two classifiers."""
        fitted = base.fitted(self.fitted_)
        certificate = fitted.model_dump(mode="json", include={"certificate"})
        return certificate | {CHEAP: fitted.cheap.describe(), EXPENSIVE: fitted.expensive.describe()}


def _thresholds_alone(calibration: Calibration) -> Calibration:
    """Make a calibration with the same thresholds that leaves probabilities unchanged."""
    # Method "none" leaves probabilities unchanged: each member has already calibrated them.
    none = calibration.none and _threshold_alone(calibration.none)
    return replace(calibration, labels=tuple(map(_threshold_alone, calibration.labels)), none=none)


def _threshold_alone(label: LabelCalibration) -> LabelCalibration:
    reason = label.reason if label.method == "none" else ""
    return LabelCalibration("none", label.n, label.positives, threshold=label.threshold, reason=reason)
