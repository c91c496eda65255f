"""The fitted models of a cascade with their calibrations and rules, and the files in which they are saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError
from trainer.calibration.calibration import Calibration, LabelCalibration, Probabilities
from trainer.calibration.certificate import Certificate, DeferralRule
from trainer.classifiers import base
from trainer.classifiers.base import Classifier, Exportable

FILE, CHEAP, MIDDLE, EXPENSIVE = "cascade.json", "cheap", "middle", "expensive"


class Member(BaseModel):
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


class MiddleMember(Member):
    """A classifier between the cheap and the expensive one, with its own rule."""

    rule: DeferralRule


class Members(BaseModel):
    """The fitted parts of a cascade: the contents of `cascade.json`, and the classifiers.

    `rule` is the rule of the cheap classifier. `middle` is omitted from the file if it is empty.
    """

    model_config = ConfigDict(frozen=True)

    cheap: Member
    expensive: Member
    rule: DeferralRule
    certificate: Certificate
    middle: tuple[MiddleMember, ...] = ()

    @property
    def stages(self) -> list[tuple[Member, DeferralRule]]:
        """The cheaper classifiers with their rules, the cheapest first."""
        return [(self.cheap, self.rule), *((member, member.rule) for member in self.middle)]

    @property
    def folders(self) -> dict[str, Member]:
        """The subfolder of each classifier, the cheapest first."""
        middle = {f"{MIDDLE}-{number}": member for number, member in enumerate(self.middle, 1)}
        return {CHEAP: self.cheap, **middle, EXPENSIVE: self.expensive}

    def save(self, folder: Path, *, export: Exportable | None = None) -> None:
        """Write a folder with the files of each classifier, and `cascade.json` with everything else.

        Args:
            export: the expensive classifier, if it is to be saved for onnxruntime.
        """
        for name, member in self.folders.items():
            (folder / name).mkdir()
            if name == EXPENSIVE and export is not None:
                export.save_exported(folder / name, int8=False)
            else:
                member.classifier.save(folder / name)
        content = self.model_dump_json(indent=1, exclude=None if self.middle else {MIDDLE})
        (folder / FILE).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load files written by `save`.

        Raises:
            ArtefactError: one of the classifiers cannot be loaded, or the cascade has an outdated rule.
        """
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if "rule" not in content:
            raise ArtefactError(
                f"{folder / FILE}: this cascade was written by an early version of communique, with a rule that is "
                "no longer supported. Train the cascade again."
            )
        middle = {f"{MIDDLE}-{number}": own for number, own in enumerate(content.get(MIDDLE, ()), 1)}
        for name, member in {CHEAP: content[CHEAP], **middle, EXPENSIVE: content[EXPENSIVE]}.items():
            member["classifier"] = base.classifier_class(member["kind"]).load(folder / name, codebook)
        return cls.model_validate(content)


def thresholds_alone(calibration: Calibration) -> Calibration:
    """Make a calibration with the same thresholds that leaves probabilities unchanged."""
    # Method "none" leaves probabilities unchanged: each member has already calibrated them.
    none = calibration.none and _threshold_alone(calibration.none)
    return replace(calibration, labels=tuple(map(_threshold_alone, calibration.labels)), none=none)


def _threshold_alone(label: LabelCalibration) -> LabelCalibration:
    reason = label.reason if label.method == "none" else ""
    return LabelCalibration("none", label.n, label.positives, threshold=label.threshold, reason=reason)
