"""Combine classifiers: cheaper ones answer the sentences that they are sure about, an expensive one answers the rest.

A certificate limits how often the cascade differs from the expensive classifier alone. The rules and the bounds are in
`trainer.calibration.certificate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.environment.progress import progress_stage
from labels.errors import ArtefactError, ExperimentError, counted
from labels.records import Example
from trainer.calibration import calibration as calibrating
from trainer.calibration import certificate as certifying
from trainer.calibration.calibration import Bools, Floats, Probabilities
from trainer.calibration.certificate import Certificate, DeferralRule
from trainer.classifiers import base
from trainer.classifiers.base import Classifier, Exportable
from trainer.classifiers.cascades.members import (
    CHEAP,
    EXPENSIVE,
    MIDDLE,
    Member,
    Members,
    MiddleMember,
    thresholds_alone,
)
from trainer.classifiers.explanations import Explanation, Pause, refuse_unexplained, why_not_explained
from trainer.config.models import CascadeSection
from trainer.config.sections import CalibrationSection
from trainer.data.splits import make_split


class CascadeClassifier(Classifier):
    """The cheap classifier reads every sentence; each later one reads the sentences that are still uncertain.

    Each classifier is calibrated on validation, as it would be alone. Then validation is split into two halves that
    keep documents and near-duplicates together. The rules are chosen on the first half and certified once, all of them
    together, on the second. The bounds ignore two facts: early stopping and calibration have used both halves (the
    rules have not), and sentences from the same document are not independent.

    With `learn_from = "expensive"`, the cheaper classifiers learn what the expensive one says about the train texts and
    the unlabelled texts: its probabilities if they can (`Student`), otherwise its label sets.

    Attributes:
        calibration_: the thresholds of the expensive classifier; the probabilities are already calibrated.
        checkpoints: the checkpoints of the expensive classifier, see `ResumableClassifier`. A refused cascade can be
            trained again from these with other limits, but a second certificate on the same sentences is weaker.
        unlabelled: texts without labels, set before `fit`.
        notes: the notes of the expensive classifier.
    """

    needs_calibration = False
    distributed = True
    stops_early = True
    checkpoints: Path | None = None
    unlabelled: Sequence[str] = ()

    def __init__(self, codebook: Codebook, section: CascadeSection, seed: int) -> None:
        self.labels = codebook.label_names
        self.notes: tuple[str, ...] = ()
        self._codebook = codebook
        self._section = section
        self._limits = certifying.Limits(section.max_disagreement, section.max_lost, section.confidence)
        self._seed = seed
        self.calibration_ = calibrating.not_calibrated(codebook)
        self.fitted_: Members | None = None

    @property
    def middle_kinds(self) -> tuple[str, ...]:
        """The kinds of the classifiers between the cheap and the expensive one."""
        return tuple(member.kind for member in base.fitted(self.fitted_).middle)

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit all classifiers, choose the rules, and certify them.

        Raises:
            ExperimentError: validation is too small to certify anything (checked before fitting), or the limits do not
                hold on the half of validation that is used to certify.
        """
        first, second = self._halves(validation)
        # Concatenate the halves; `_certify` divides the arrays again at the same place.
        rows = [*first, *second]
        *cheaper, expensive = self._build()
        if self._section.learn_from == "gold":
            for classifier in cheaper:
                classifier.fit(examples, validation)
        expensive.fit(examples, validation)
        slow, answers = self._calibrate(self._section.expensive.kind, expensive, rows)
        self.notes = expensive.notes
        self.calibration_ = thresholds_alone(slow.calibration)
        if self._section.learn_from == "expensive":
            self._teach(cheaper, slow, examples, validation)
        kinds = [section.kind for section in self._section.members]
        made = [self._calibrate(kind, one, rows) for kind, one in zip(kinds, cheaper, strict=False)]
        rules, certificate = self._certify([said for _, said in made], answers, len(first))
        self._refuse_breaches(certificate)
        (quick, *between), rule = [member for member, _ in made], rules[0]
        middle = tuple(MiddleMember(**dict(member), rule=own) for member, own in zip(between, rules[1:], strict=True))
        self.fitted_ = Members(cheap=quick, middle=middle, expensive=slow, rule=rule, certificate=certificate)
        return self

    def _teach(
        self,
        cheaper: Sequence[Classifier],
        teacher: Member,
        examples: Sequence[Example],
        validation: Sequence[Example],
    ) -> None:
        """Fit the cheaper classifiers to what the expensive one says about the train texts and the unlabelled texts."""
        texts = [*(example.text for example in examples), *self.unlabelled]
        with progress_stage("Teaching"):
            probabilities = teacher.predict_proba(texts)
            decided = self.calibration_.decide(probabilities)
            sets = [tuple(np.array(self.labels)[row].tolist()) for row in decided]
            said = [
                Example(f"taught-{i}", f"taught-{i}", *pair) for i, pair in enumerate(zip(texts, sets, strict=True))
            ]
            for classifier in cheaper:
                if isinstance(classifier, base.Student):
                    classifier.learn(texts, probabilities, teacher.classifier)
                else:
                    classifier.fit(said, validation)

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

    def _build(self) -> list[Classifier]:
        """Return the unfitted classifiers, the cheapest first."""
        built = [base.build_classifier(section, self._codebook, self._seed) for section in self._section.members]
        expensive = built[-1]
        if isinstance(expensive, base.ResumableClassifier):
            expensive.checkpoints = self.checkpoints
        return built

    def _calibrate(
        self, kind: str, classifier: Classifier, validation: Sequence[Example]
    ) -> tuple[Member, Probabilities]:
        """Calibrate a classifier; return it with its calibration, and its calibrated probabilities for validation."""
        raw = classifier.predict_proba([example.text for example in validation])
        calibration = calibrating.not_calibrated(self._codebook)
        if classifier.needs_calibration:
            gold, own = base.label_matrix(validation, self.labels), CalibrationSection()
            calibration = calibrating.fit_calibration(
                raw, gold, self._codebook, method=own.method, min_positives=own.min_positives
            )
        member = Member(kind=kind, classifier=classifier, calibration=calibration)
        return member, member.calibrated(raw)

    def _certify(
        self, said: Sequence[Probabilities], answers: Probabilities, half: int
    ) -> tuple[list[DeferralRule], Certificate]:
        """Choose the rules on the first `half` rows of all probabilities, and certify them on the other rows.

        Args:
            said: the probabilities of each cheaper classifier; `answers`: those of the expensive one.
        """
        limits, expensive = self._limits, self.calibration_.decide(answers)
        classes = [self._classes(each) for each in said]
        # A label gets its own bound if both halves have enough positives; the other labels share one bound.
        positives = np.minimum(expensive[:half].sum(axis=0), expensive[half:].sum(axis=0))
        common = positives >= limits.fewest_positives
        thresholds = None if self._codebook.exclusive else self.calibration_.thresholds
        rules = certifying.choose_rules([each[:half] for each in classes], expensive[:half], thresholds, common, limits)
        sure = np.column_stack([rule.sure(each[half:]) for rule, each in zip(rules, classes, strict=True)])
        first, answered = sure.argmax(axis=1), np.atleast_1d(sure.any(axis=1))
        cheaper = np.stack([self.calibration_.decide(each[half:]) for each in said])[first, np.arange(len(first))]
        certificate = certifying.certify(cheaper, expensive[half:], answered, self.labels, common, limits.confidence)
        if len(rules) > 1:
            counts = np.bincount(first[answered], minlength=len(rules)).tolist()
            certificate = replace(certificate, answered_by=tuple(counts))
        return rules, certificate

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
        """Return (n, labels) calibrated probabilities, each row from the first classifier that is sure."""
        probabilities, member = self._ask_cheaper(texts)
        # A cascade is fast because the expensive classifier encodes only these texts.
        rest = np.flatnonzero(member < 0).tolist()
        if rest:
            expensive = base.fitted(self.fitted_).expensive
            probabilities[rest] = expensive.predict_proba([texts[row] for row in rest])
        return probabilities

    def _ask_cheaper(self, texts: Sequence[str]) -> tuple[Probabilities, NDArray[np.int64]]:
        """Return the probabilities of the last classifier asked, and the (n,) number of the sure one; -1 for none."""
        probabilities = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        member, left = np.full(len(texts), -1, dtype=np.int64), np.arange(len(texts))
        for number, (one, rule) in enumerate(base.fitted(self.fitted_).stages):
            own = one.predict_proba([texts[row] for row in left.tolist()])
            sure = rule.sure(self._classes(own))
            probabilities[left], member[left[sure]] = own, number
            left = left[~sure]
            if not len(left):
                break
        return probabilities, member

    def answered(self, texts: Sequence[str]) -> Bools:
        """Return an array (n,) that is true for texts that a cheaper classifier answers."""
        return np.asarray(self._ask_cheaper(texts)[1] >= 0)

    def why_not_explained(self) -> str:
        """Return why one of the classifiers cannot be explained; empty if all can be explained."""
        members = base.fitted(self.fitted_).folders.values()
        reasons = (why_not_explained(member.classifier, member.kind) for member in members)
        return next(filter(None, reasons), "")

    def explain(self, text: str, columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return the explanations of the classifier that answers this text."""
        members = list(base.fitted(self.fitted_).folders.values())
        member = members[int(self._ask_cheaper([text])[1][0])]  # -1 is the last, which is the expensive one
        return refuse_unexplained(member.classifier, member.kind).explain(text, columns, pause)

    def _exportable(self) -> Exportable | None:
        """Return the expensive classifier, if it is of a kind that can be exported."""
        classifier = base.fitted(self.fitted_).expensive.classifier
        return classifier if isinstance(classifier, Exportable) else None

    def save(self, folder: Path) -> None:
        """Write a folder with the files of each classifier, and `cascade.json` with everything else.

        The folders are `cheap/`, `middle-1/`, `middle-2/`... and `expensive/`.
        """
        base.fitted(self.fitted_).save(folder)

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
        """Return an array (n,) that is true for texts that the cheaper classifiers leave to the expensive one."""
        return ~self.answered(texts)

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but the expensive classifier is exported; `load` opens both forms.

        Cheaper classifiers are never exported: the rules were chosen on their probabilities, and even tiny changes in
        the probabilities could send other sentences to the expensive classifier.

        Raises:
            ArtefactError: `why_not_exported` gives a reason, or the export of the expensive classifier fails.
        """
        if why := self.why_not_exported(int8=int8):
            raise ArtefactError(why)
        base.fitted(self.fitted_).save(folder, export=self._exportable())

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load a cascade written by `save` or `save_exported`.

        Raises:
            ArtefactError: one of the classifiers cannot be loaded, or the cascade has an outdated rule.
        """
        classifier = cls(codebook, CascadeSection(kind="cascade"), seed=0)
        classifier.fitted_ = fitted = Members.load(folder, codebook)
        classifier.calibration_ = thresholds_alone(fitted.expensive.calibration)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Return the certificate and the descriptions of the classifiers."""
        fitted = base.fitted(self.fitted_)
        certificate = fitted.model_dump(mode="json", include={"certificate"})
        middle = {MIDDLE: [member.describe() for member in fitted.middle]} if fitted.middle else {}
        return certificate | {CHEAP: fitted.cheap.describe(), **middle, EXPENSIVE: fitted.expensive.describe()}
