"""Start the training of a classifier from a saved model instead of from the plain encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from labels.errors import ExperimentError
from labels.records import Example
from trainer.classifiers.base import Classifier, fitted
from trainer.classifiers.finetune import FinetuneClassifier, Initial
from trainer.model.model import CLASSIFIER, Manifest, Model
from trainer.model.seen import seen_note


def start_from(classifier: Classifier, artefact: Path, name: str, held_out: Sequence[Example]) -> None:
    """Let a classifier of kind `finetune` start from the model in `artefact`, and note how many examples it has seen.

    Args:
        name: what the user typed for the artefact, for messages.
        held_out: the validation and test examples.

    Raises:
        ArtefactError: the artefact is missing or altered.
        ExperimentError: its model is of another kind, or exported.
    """
    model = Model.load(artefact)
    source, manifest = model.classifier, cast("Manifest", model.manifest)  # loaded models have one
    if not isinstance(source, FinetuneClassifier) or source.is_exported():
        what = "exported" if manifest.kind == "finetune" else 'not of kind "finetune"'
        raise ExperimentError(f"model.init: the model in {name} is {what}. Name a fine-tuned model as it was trained.")
    own = fitted(source.settings_), model.id, manifest.training_ids
    cast("FinetuneClassifier", classifier).initial = Initial(artefact / CLASSIFIER, model.labels, *own)
    kept = [label for label in classifier.labels if label in model.labels]
    rows = f"with its weights for {', '.join(kept)}" if kept else "with new weights for all labels"
    seen = (f"model.init: {note}" for note in seen_note(manifest, artefact, held_out))
    classifier.notes += (f"training started from model {model.id} ({name}), {rows}", *seen)
