from __future__ import annotations

import subprocess
import sys

import pytest

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError
from tests.conftest import make_examples
from trainer.classifiers.base import CLASSES, Classifier, build_classifier, classifier_class
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.experiment import parse_experiment


@pytest.mark.parametrize("kind", CLASSES)
def test_every_kind_of_an_experiment_has_its_classifier(kind: str, codebook: Codebook) -> None:
    section = parse_experiment({"model": {"kind": kind}}, "here").model
    classifier = build_classifier(section, codebook, seed=1)
    assert type(classifier) is classifier_class(kind)
    assert classifier.labels == codebook.label_names
    assert all(hasattr(classifier, name) for name in Classifier.__annotations__)


def test_the_section_of_the_experiment_reaches_the_classifier(codebook: Codebook) -> None:
    sizes = []
    for words in (1, 2):
        section = parse_experiment({"model": {"kind": "tfidf", "word_ngrams": words}}, "here").model
        classifier = build_classifier(section, codebook, seed=1).fit(make_examples(20), [])
        assert isinstance(classifier, TfidfClassifier)
        sizes.append(classifier.describe()["features"]["words"])
    assert sizes[0] < sizes[1]


def test_an_unknown_kind_raises_and_lists_the_known_ones() -> None:
    with pytest.raises(ArtefactError, match=f"kind 'oracle' .*Known kinds: {', '.join(CLASSES)}"):
        classifier_class("oracle")


def test_a_classifier_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from trainer.classifiers.base import classifier_class; before = set(sys.modules); "
        "classifier_class('majority'); "
        "assert not {m for m in before if m.startswith('trainer.classifiers.') and m.split('.')[-1] in "
        "('majority', 'keywords', 'tfidf', 'finetune')}; assert 'trainer.classifiers.baselines' in sys.modules; "
        "assert 'trainer.classifiers.tfidf' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
